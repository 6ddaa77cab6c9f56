"""`Log`: the logged queries a `collective` remembers, growing by probes of new agents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from agentnet.outcomes.table import Outcomes
from agentnet.routers.council.views import Vectors
from agentnet.routers.rows import snippet

_MATRICES = ("score", "trust", "cost", "latency")
_EMPTY = {"score": np.nan, "trust": 1.0, "cost": np.nan, "latency": np.nan}


@dataclass(frozen=True, slots=True, eq=False)
class Log:
    """N queries with the outcomes of A agents.

    Attributes:
        names: The A agents.
        ids: The N queries' ids: a probe on a known query joins its row.
        texts: First characters of the queries, for evidence; empty where they are not kept.
        relations: [N, R] float32 views side by side.
        posterior: [N, T] their types.
        score: [N, A] float32; NaN not observed.
        trust: [N, A] float32 weight of each score.
        cost: [N, A] USD; NaN unknown.
        latency: [N, A] float32 seconds; NaN unknown.
    """

    names: tuple[str, ...]
    ids: tuple[str, ...]
    texts: tuple[str, ...]
    relations: Vectors
    posterior: NDArray[np.float64]
    score: NDArray[np.float32]
    trust: NDArray[np.float32]
    cost: NDArray[np.float64]
    latency: NDArray[np.float32]

    @classmethod
    def of(
        cls, outcomes: Outcomes, relations: Vectors, posterior: NDArray[np.float64], *, keep_texts: bool
    ) -> Self:
        """Takes the columns and rows of outcomes."""
        queries = outcomes.queries
        texts = [snippet(text) if keep_texts else "" for text in queries.text]
        trust = np.nan_to_num(outcomes.weight, nan=1.0)
        # One layout in memory, the one that a file gives back: sums come out the same to the bit.
        score, trust, cost, late = map(
            np.ascontiguousarray, (outcomes.score, trust, outcomes.cost, outcomes.latency_s)
        )
        ids = tuple(queries.query_id.tolist())
        return cls(outcomes.agents, ids, tuple(texts), relations, posterior, score, trust, cost, late)

    def __len__(self) -> int:
        return len(self.ids)

    def columns(self, names: Sequence[str]) -> Self:
        """Returns these agents' columns, in this order; unknown agents have no outcome."""
        where = {name: i for i, name in enumerate(self.names)}
        at = np.array([where.get(name, -1) for name in names], np.intp)
        changed: dict[str, Any] = {}
        for matrix in _MATRICES:
            picked = getattr(self, matrix)[:, at]
            picked[:, at < 0] = _EMPTY[matrix]
            changed[matrix] = np.ascontiguousarray(picked)
        return replace(self, names=tuple(names), **changed)

    def join(self, other: Log) -> Log:
        """Returns the queries of both with the agents of both; what both observed stays as it is here."""
        names = tuple(dict.fromkeys((*self.names, *other.names)))
        mine, more = self.columns(names), other.columns(names)
        place = {query: i for i, query in enumerate(mine.ids)}
        known = np.array([query in place for query in more.ids], bool)
        at = np.array([place[query] for query in more.ids if query in place], np.intp)
        fresh = ~np.isnan(more.score[known]) & np.isnan(mine.score[at])
        changed: dict[str, Any] = {}
        for matrix in _MATRICES:
            both = getattr(mine, matrix).copy()
            both[at] = np.where(fresh, getattr(more, matrix)[known], both[at])
            changed[matrix] = np.concatenate((both, getattr(more, matrix)[~known]))
        new = np.flatnonzero(~known).tolist()
        return Log(
            names=names,
            ids=(*mine.ids, *(more.ids[i] for i in new)),
            texts=(*mine.texts, *(more.texts[i] for i in new)),
            relations=np.concatenate((mine.relations, more.relations[~known])),
            posterior=np.concatenate((mine.posterior, more.posterior[~known])),
            **changed,
        )

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Returns JSON values and arrays; the inverse of `restore`."""
        arrays = {f"log_{name}": getattr(self, name) for name in ("relations", "posterior", *_MATRICES)}
        return {"agents": list(self.names), "ids": list(self.ids), "texts": list(self.texts)}, arrays

    @classmethod
    def restore(cls, state: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Makes a log from what `state` returned."""
        columns = {name: arrays[f"log_{name}"] for name in ("relations", "posterior", *_MATRICES)}
        return cls(
            names=tuple(state["agents"]), ids=tuple(state["ids"]), texts=tuple(state["texts"]), **columns
        )


def typed_means(
    values: NDArray[np.floating[Any]], posterior: NDArray[np.float64], fallback: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Returns [T, M] mean known values by type, drawn to the mean over all by five observations.

    Args:
        values: [N, M] costs or latencies; NaN unknown.
        posterior: [N, T].
        fallback: [M] what stands for an arm without any known value; NaN unknown.
    """
    known = ~np.isnan(values)
    filled = np.where(known, values, 0.0).astype(np.float64)
    count = known.sum(0)
    mean = np.where(count > 0, filled.sum(0) / np.maximum(count, 1), fallback)
    result: NDArray[np.float64] = (posterior.T @ filled + 5.0 * mean) / (posterior.T @ known + 5.0)
    return result
