"""`EncodedTypes`: task types read off sentence vectors by a calibrated multinomial logistic head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import InvalidInput
from agentnet.routers.heads import SoftmaxHead, fit_head, folds
from agentnet.routers.intents.base import FLOOR, State, TaskTypes, Weights
from agentnet.routers.tuning import sample_rows

STRENGTHS = (1.0, 10.0, 100.0, 1000.0)
"""Inverse penalties that are tried."""
TEMPERATURES = (0.05, 20.0)
_FOLDS = 5
_MOST_ROWS = 8000
"""Most rows that the strength is chosen on; the head itself learns from all."""
_SECTIONS = 60


class EncodedTypes(TaskTypes):
    """P(type | vector) = softmax((x W + b) / temperature): the fast default.

    The interface is that of AMRO-S's fine-tuned language model; the specification names a sentence encoder
    and multinomial logistic regression as its stand-in without a GPU [default, not in paper]. Penalty and
    temperature are chosen by the log loss of predictions for rows that were left out [our choice].
    """

    kind = "encoded"

    def __init__(
        self, types: Sequence[str], head: SoftmaxHead, *, temperature: float = 1.0, floor: float = FLOOR
    ) -> None:
        """Takes a head; `fit` makes one.

        Args:
            types: Names of the T types.
            head: [d, T] weights and [T] biases.
            temperature: Above 0; the logits are divided by it.
            floor: Least weight of a type.

        Raises:
            InvalidInput: the head has another number of types, or the temperature is not above 0.
        """
        super().__init__(types, floor=floor)
        if head.bias.shape != (len(self.types),) or temperature <= 0:
            raise InvalidInput(
                f"a head of shape {head.weight.shape} and temperature {temperature} do not give "
                f"{len(self.types)} task types."
            )
        self.head = head
        self.temperature = float(temperature)
        self.chosen: dict[str, float] = {}
        """What `fit` chose and the log loss on rows left out; empty where nothing was fitted."""

    @classmethod
    def fit(
        cls,
        vectors: NDArray[np.float32],
        labels: Sequence[str],
        *,
        seed: int = 0,
        floor: float = FLOOR,
        groups: Sequence[str] | None = None,
    ) -> Self:
        """Learns the types from labelled vectors; the same input gives the same head.

        Args:
            vectors: [n, d] unit vectors.
            labels: [n] type of each; the types are the sorted labels. One label alone is fine.
            seed: Divides the rows into folds.
            floor: Least weight of a type.
            groups: [n] rows that look alike (fillings of one template) are left out together;
                None is each row.

        Raises:
            InvalidInput: no rows, or not a label and a group each.

        >>> vectors = np.repeat(np.eye(2, dtype=np.float32), 10, axis=0)
        >>> types = EncodedTypes.fit(vectors, ["math"] * 10 + ["code"] * 10)
        >>> types.types, types.weights(["a", "b"], np.eye(2, dtype=np.float32)).argmax(1).tolist()
        (('code', 'math'), [1, 0])
        """
        x = np.ascontiguousarray(vectors, np.float32)
        if x.ndim != 2 or len(x) != len(labels) or not len(x):
            raise InvalidInput(f"vectors of shape {x.shape} and {len(labels)} labels: give one label each.")
        if groups is not None and len(groups) != len(x):
            raise InvalidInput(f"{len(groups)} groups of {len(x)} rows: give one group each.")
        names, y = np.unique(np.asarray(labels, dtype=str), return_inverse=True)
        types = tuple(names.tolist())
        if len(types) == 1:
            head = SoftmaxHead(np.zeros((x.shape[1], 1), np.float32), np.zeros(1, np.float32))
            return cls(types, head, floor=floor)
        rows = sample_rows(len(x), _MOST_ROWS, seed)
        fold = _folds(y, groups, seed)[rows]
        trials = []
        for strength in STRENGTHS:
            logits = _left_out(x[rows], y[rows], fold, len(types), strength)
            temperature = fit_temperature(logits, y[rows])
            trials.append((log_loss(logits / temperature, y[rows]), strength, temperature))
        loss, strength, temperature = min(trials)
        made = cls(types, fit_head(x, y, len(types), strength=strength), temperature=temperature, floor=floor)
        made.chosen = {"strength": strength, "temperature": temperature, "log_loss": loss}
        return made

    def _probabilities(self, texts: Sequence[str], vectors: NDArray[np.float32] | None) -> Weights:
        dim = len(self.head.weight)
        if vectors is None:
            raise InvalidInput("these task types are read off vectors; give the encoder's vectors.")
        if vectors.ndim != 2 or vectors.shape != (len(texts), dim):
            raise InvalidInput(
                f"vectors of shape {vectors.shape} for {len(texts)} texts; the head was fitted on "
                f"{dim} numbers a text: use the encoder it was fitted with."
            )
        return softmax(_logits(self.head, vectors) / self.temperature)

    def state(self) -> State:
        """Returns JSON values and the head's arrays."""
        config, _ = super().state()
        config |= {"temperature": self.temperature, "chosen": self.chosen}
        return config, {"types_weight": self.head.weight, "types_bias": self.head.bias}

    @classmethod
    def restore(cls, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Makes task types from `state`."""
        head = SoftmaxHead(arrays["types_weight"], arrays["types_bias"])
        made = cls(config["types"], head, temperature=config["temperature"], floor=config["floor"])
        made.chosen = dict(config["chosen"])
        return made


def clustered_types(
    vectors: NDArray[np.float32], count: int, seed: int = 0, *, floor: float = FLOOR
) -> EncodedTypes:
    """Task types without labels: a head that tells the clusters of known queries apart [our choice].

    Args:
        vectors: [n, d] unit vectors, n >= count.
        count: How many clusters (spherical k-means); they are named ``cluster 1`` and so on.
        seed: Makes the clusters deterministic.
        floor: Least weight of a type.

    Raises:
        InvalidInput: fewer vectors than clusters.
    """
    from agentnet.routers.clustering import cluster_of

    if not 1 <= count <= len(vectors):
        raise InvalidInput(f"{count} clusters of {len(vectors)} vectors; give 1 to {len(vectors)}.")
    nearest = cluster_of(vectors, count, seed=seed)
    width = len(str(count))
    return EncodedTypes.fit(vectors, [f"cluster {i + 1:0{width}}" for i in nearest], seed=seed, floor=floor)


def fit_temperature(logits: NDArray[np.floating[Any]], labels: NDArray[np.integer[Any]]) -> float:
    """Returns the temperature that makes logits predict labels best; meant for rows left out.

    The log loss is convex in the inverse temperature, so that a golden-section search finds the least. A
    1 / (n + T) part of every label is spread over the types, as in Platt (1999), or the temperature of
    predictions without a mistake would fall without end.

    Source: Guo et al., "On calibration of modern neural networks", ICML 2017.

    Args:
        logits: [n, T].
        labels: [n] right type.

    >>> hasty = np.array([[9.0, 0.0]] * 10)
    >>> fit_temperature(hasty, np.array([0] * 7 + [1] * 3)) > 5
    True
    """
    spread = 1 / (len(logits) + logits.shape[1])

    def loss(log_temperature: float) -> float:
        scores = _log_softmax(logits / np.exp(log_temperature))
        right = scores[np.arange(len(labels)), labels]
        return -float(((1 - spread) * right + spread * scores.mean(1)).mean())

    low, high = np.log(TEMPERATURES)
    ratio = (np.sqrt(5) - 1) / 2
    for _ in range(_SECTIONS):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if loss(left) <= loss(right):
            high = right
        else:
            low = left
    return round(float(np.exp((low + high) / 2)), 6)


def softmax(logits: NDArray[np.floating[Any]]) -> Weights:
    """Returns [n, T] float64 probabilities."""
    result: Weights = np.exp(_log_softmax(logits))
    return result


def log_loss(logits: NDArray[np.floating[Any]], labels: NDArray[np.integer[Any]]) -> float:
    """Returns the mean of -log softmax(logits)[label]; logits may be log-probabilities."""
    return -float(_log_softmax(logits)[np.arange(len(labels)), labels].mean())


def _log_softmax(logits: NDArray[np.floating[Any]]) -> Weights:
    x = np.asarray(logits, np.float64)
    x = x - x.max(1, keepdims=True)
    result: Weights = x - np.log(np.exp(x).sum(1, keepdims=True))
    return result


def _logits(head: SoftmaxHead, vectors: NDArray[np.float32]) -> Weights:
    result: Weights = (np.asarray(vectors, np.float32) @ head.weight + head.bias).astype(np.float64)
    return result


def _folds(y: NDArray[np.intp], groups: Sequence[str] | None, seed: int) -> NDArray[np.intp]:
    """[n] fold of each row; a group stays together and counts for the label of its first row."""
    if groups is None:
        return folds(y, min(_FOLDS, len(y)), seed=seed)
    _, first, group = np.unique(np.asarray(groups, dtype=str), return_index=True, return_inverse=True)
    return folds(y[first], min(_FOLDS, len(first)), seed=seed)[group]


def _left_out(
    x: NDArray[np.float32], y: NDArray[np.intp], fold: NDArray[np.intp], count: int, strength: float
) -> Weights:
    """[n, T] logits of every row from a head fitted on the other folds; 0 where there is no other fold."""
    logits = np.zeros((len(y), count))
    for held in np.unique(fold):
        out = fold == held
        if not out.all():
            logits[out] = _logits(fit_head(x[~out], y[~out], count, strength=strength), x[out])
    return logits
