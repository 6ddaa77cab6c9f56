"""`Rows`: the encoded outcomes a router keeps, growing by probes and by agents' examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.graphs.pool import Pool
from agentnet.outcomes.table import Outcomes

_SNIPPET = 160


def snippet(text: str) -> str:
    """Returns the first characters of a text on one line."""
    return " ".join(text[: 2 * _SNIPPET].split())[:_SNIPPET]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """N encoded queries with the outcomes of A agents.

    Attributes:
        names: The A agents.
        texts: First characters of the N queries, for evidence; empty strings where they are not kept.
        vectors: [N, d] float32 unit vectors.
        score: [N, A] float32; NaN unknown.
        weight: [N, A] float32; None where every score counts 1.
        cost: [N, A] float64 USD, NaN unknown; None where none is known.
    """

    names: tuple[str, ...]
    texts: tuple[str, ...]
    vectors: NDArray[np.float32]
    score: NDArray[np.float32]
    weight: NDArray[np.float32] | None
    cost: NDArray[np.float64] | None

    @classmethod
    def of(cls, outcomes: Outcomes, vectors: NDArray[np.float32], *, keep_texts: bool) -> Rows:
        """Takes the columns and rows of outcomes."""
        seen = outcomes.observed
        plain = bool((outcomes.weight[seen] == 1).all())
        costs = not np.isnan(outcomes.cost).all()
        snippets = [snippet(text) for text in outcomes.queries.text]
        return cls(
            names=outcomes.agents,
            texts=tuple(snippets) if keep_texts else ("",) * len(snippets),
            vectors=np.ascontiguousarray(vectors, np.float32),
            score=outcomes.score,
            weight=None if plain else np.nan_to_num(outcomes.weight, nan=1.0),
            cost=outcomes.cost if costs else None,
        )

    def __len__(self) -> int:
        return len(self.texts)

    def columns(self, names: Sequence[str]) -> Rows:
        """Returns these agents' columns, in this order; unknown agents get NaN."""
        where = {name: i for i, name in enumerate(self.names)}
        at = np.array([where.get(name, -1) for name in names], np.intp)
        missing = at < 0

        def pick(matrix: NDArray[Any] | None, empty: float) -> Any:
            if matrix is None:
                return None
            picked = matrix[:, at]
            picked[:, missing] = empty
            return picked

        return replace(
            self, names=tuple(names), score=pick(self.score, np.nan), weight=pick(self.weight, 1.0),
            cost=pick(self.cost, np.nan),
        )  # fmt: skip

    def join(self, other: Rows) -> Rows:
        """Returns the rows of both, with the agents of both as columns."""
        names = tuple(dict.fromkeys((*self.names, *other.names)))
        a, b = self.columns(names), other.columns(names)

        def both(x: NDArray[Any] | None, y: NDArray[Any] | None, empty: float) -> Any:
            if x is None and y is None:
                return None
            fill = [np.full(part.score.shape, empty) if m is None else m for m, part in ((x, a), (y, b))]
            return np.concatenate(fill).astype((x if x is not None else fill[1]).dtype)

        return Rows(
            names=names,
            texts=(*a.texts, *b.texts),
            vectors=np.concatenate((a.vectors, b.vectors)),
            score=np.concatenate((a.score, b.score)),
            weight=both(a.weight, b.weight, 1.0),
            cost=both(a.cost, b.cost, np.nan),
        )

    def with_labels(self, pool: Pool, encode: Callable[[Sequence[str]], NDArray[np.float32]]) -> Rows:
        """Returns the pool's columns for a router of a label pack.

        Each example of an agent is a further row with the label of that agent, and a row is right for one
        agent only: scores that are missing are 0.
        """
        rows = self.columns(pool.names)
        pairs = [(column, text) for column, agent in enumerate(pool) for text in agent.examples]
        if pairs:
            texts = tuple(text for _, text in pairs)
            score = np.zeros((len(pairs), len(pool)), np.float32)
            score[np.arange(len(pairs)), [column for column, _ in pairs]] = 1
            examples = Rows(
                names=pool.names, texts=texts, vectors=encode(texts), score=score, weight=None, cost=None
            )
            rows = rows.join(examples)
        return replace(rows, score=np.nan_to_num(rows.score, nan=0.0))

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Returns JSON values and arrays; the inverse of `restore`."""
        arrays: dict[str, NDArray[Any]] = {"vectors": self.vectors, "score": self.score}
        if self.weight is not None:
            arrays["weight"] = self.weight
        if self.cost is not None:
            arrays["cost"] = self.cost
        return {"row_agents": list(self.names), "texts": list(self.texts)}, arrays

    @classmethod
    def restore(cls, state: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Rows:
        """Builds the rows from what `state` returned."""
        return cls(
            names=tuple(state["row_agents"]),
            texts=tuple(state["texts"]),
            vectors=arrays["vectors"],
            score=arrays["score"],
            weight=arrays.get("weight"),
            cost=arrays.get("cost"),
        )
