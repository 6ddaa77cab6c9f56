"""`TaskTypes`: from a query to weights over task types; and the two that need no training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import InvalidInput, RouterLoadError

FLOOR = 0.01
"""Least weight of a type. [default, not in paper]"""

Weights = NDArray[np.float64]
State = tuple[dict[str, Any], dict[str, NDArray[Any]]]


class TaskTypes(ABC):
    """w(q): how much of each task type is in a query.

    Source: AMRO-S, arXiv 2603.12933, semantic router: normalised weights w(q) = (w_t(q)), t in T [digest].

    Attributes:
        kind: Under which a saved state is found again.
        needs_text: Whether `weights` reads the texts; else it reads the vectors, or neither.
        types: Names of the T task types, in the order of the columns.
        floor: Least weight of a type.
    """

    kind: ClassVar[str]
    needs_text: ClassVar[bool] = False

    def __init__(self, types: Sequence[str], *, floor: float = FLOOR) -> None:
        """Names the types.

        Raises:
            InvalidInput: a name is missing or twice there, or the floors of all types exceed 1.
        """
        self.types = tuple(types)
        self.floor = float(floor)
        if not self.types or len(set(self.types)) != len(self.types):
            raise InvalidInput(f"task types need one name each and at least one; got {list(self.types)}.")
        if not 0 <= self.floor * len(self.types) <= 1:
            raise InvalidInput(
                f"a floor of {floor} for each of {len(self.types)} task types does not fit into a sum of 1; "
                f"give at most {1 / len(self.types):.3g}."
            )

    def weights(self, texts: Sequence[str], vectors: NDArray[np.float32] | None = None) -> Weights:
        """Returns [n, T] float64 weights; every row sums to 1, none is below the floor.

        Args:
            texts: The queries.
            vectors: [n, d] float32 unit vectors of them, where the types are read off vectors.

        Raises:
            InvalidInput: vectors are needed and missing, or do not fit.
        """
        return lift(self._probabilities(texts, vectors), self.floor)

    @abstractmethod
    def _probabilities(self, texts: Sequence[str], vectors: NDArray[np.float32] | None) -> Weights:
        """[n, T] probabilities without the floor."""

    def state(self) -> State:
        """Returns JSON values and arrays from which `restore` makes the same types again."""
        return {"kind": self.kind, "types": list(self.types), "floor": self.floor}, {}

    @classmethod
    @abstractmethod
    def restore(cls, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Makes task types from `state`; further arrays are ignored."""


class OneType(TaskTypes):
    """A single task type: what a colony uses that has learned from nothing yet.

    >>> OneType().weights(["2 + 2?", "Hello"]).tolist()
    [[1.0], [1.0]]
    """

    kind = "one"

    def __init__(self, name: str = "any") -> None:
        """Names the only type."""
        super().__init__((name,), floor=0)

    def _probabilities(self, texts: Sequence[str], vectors: NDArray[np.float32] | None) -> Weights:
        return np.ones((len(texts), 1))

    @classmethod
    def restore(cls, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Makes task types from `state`."""
        return cls(config["types"][0])


class Fixed(TaskTypes):
    """Weights known beforehand for some texts and one row for all others: for tests and planned streams.

    >>> Fixed(("math", "code"), {"2 + 2?": (1, 0)}, floor=0).weights(["2 + 2?", "Hello"]).tolist()
    [[1.0, 0.0], [0.5, 0.5]]
    """

    kind = "fixed"
    needs_text = True

    def __init__(
        self,
        types: Sequence[str],
        known: Mapping[str, Sequence[float]],
        *,
        other: Sequence[float] | None = None,
        floor: float = FLOOR,
    ) -> None:
        """Sets the weights.

        Args:
            types: Names of the types.
            known: Text -> T weights, which are divided by their sum.
            other: Weights of all other texts; None shares evenly.
            floor: Least weight of a type.

        Raises:
            InvalidInput: a row has the wrong length, a negative weight or no weight at all.
        """
        super().__init__(types, floor=floor)
        self._known = {text: self._row(row) for text, row in known.items()}
        self._other = self._row([1.0] * len(self.types) if other is None else other)

    def _row(self, row: Sequence[float]) -> tuple[float, ...]:
        if len(row) != len(self.types) or min(row) < 0 or not 0 < sum(row) < float("inf"):
            raise InvalidInput(f"{list(row)} are no weights of the types {', '.join(self.types)}.")
        return tuple(float(value) / sum(row) for value in row)

    def _probabilities(self, texts: Sequence[str], vectors: NDArray[np.float32] | None) -> Weights:
        rows = [self._known.get(text, self._other) for text in texts]
        return np.array(rows, np.float64).reshape(len(texts), len(self.types))

    def state(self) -> State:
        """Returns JSON values and no arrays."""
        config, arrays = super().state()
        known = {text: list(row) for text, row in self._known.items()}
        return config | {"known": known, "other": list(self._other)}, arrays

    @classmethod
    def restore(cls, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Makes task types from `state`."""
        return cls(config["types"], config["known"], other=config["other"], floor=config["floor"])


def lift(probabilities: NDArray[np.floating[Any]], floor: float) -> Weights:
    """Returns floor + (1 - T * floor) * p: every weight at or above the floor, every row summing to 1.

    To cut at the floor and divide by the sum would leave small weights a little under it; to shrink towards
    the floor keeps it, and the order of the types with it. [our choice]

    Args:
        probabilities: [n, T], rows summing to about 1.
        floor: Least weight, at most 1 / T.

    >>> lift(np.array([[1.0, 0.0]]), 0.01).tolist()
    [[0.99, 0.01]]
    """
    p = np.asarray(probabilities, np.float64)
    p = p / p.sum(1, keepdims=True)
    result: Weights = floor + (1 - p.shape[1] * floor) * p
    return result


def restore_types(config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> TaskTypes:
    """Makes task types of any kind from their `TaskTypes.state`.

    Raises:
        RouterLoadError: the kind is unknown, or something is missing.
    """
    from agentnet.routers.intents.head import EncodedTypes
    from agentnet.routers.intents.language_model import LanguageModelTypes

    kinds: dict[str, type[TaskTypes]] = {
        cls.kind: cls for cls in (OneType, Fixed, EncodedTypes, LanguageModelTypes)
    }
    cls = kinds.get(config.get("kind", ""))
    if cls is None:
        raise RouterLoadError(f"task types of kind {config.get('kind')!r}; there are {', '.join(kinds)}.")
    try:
        return cls.restore(config, arrays)
    except KeyError as error:
        raise RouterLoadError(f"the saved task types ({cls.kind}) lack {error}.") from None
