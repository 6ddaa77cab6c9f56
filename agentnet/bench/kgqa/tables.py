"""Recorded answers as outcomes: one table scored by token F1, one by exact match."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.bench.kgqa.answers import exact_match
from agentnet.bench.kgqa.record import Item, batch_of
from agentnet.errors import DataError
from agentnet.graphs.pool import Pool
from agentnet.learning.scoring.metrics import token_f1
from agentnet.outcomes.table import Outcomes
from agentnet.traces.export import to_outcomes
from agentnet.traces.store import TraceStore


@dataclass(frozen=True, slots=True, eq=False)
class Tables:
    """The same questions, agents and answers under two scores.

    Attributes:
        f1: Scored by token F1; routers learn from this one.
        em: Scored by exact match.
        missing: Questions that are left out because not every agent was asked yet.
    """

    f1: Outcomes
    em: Outcomes
    missing: int

    def __len__(self) -> int:
        return len(self.f1)


def load_tables(store: TraceStore, pool: Pool, items: Sequence[Item]) -> Tables:
    """Returns the outcomes of all questions that every agent of the pool was asked.

    Scores are computed from the recorded answers and the gold answers of ``items``. An agent that failed
    has an empty answer.

    Args:
        store: Holds the recorded runs.
        pool: The agents; only runs of this very pool count.
        items: The questions, in the order wanted.

    Raises:
        DataError: nothing was recorded, or no question is complete.
    """
    columns = [_one_agent(store, pool, agent.name) for agent in pool]
    done = [item for item in items if all(item.query_id in rows for _, rows in columns)]
    if not done:
        raise DataError("no question was answered by every agent of the pool; record some first.")
    first, where = columns[0]
    base = first.take(np.array([where[item.query_id] for item in done], np.intp))

    def joined(name: str) -> NDArray[Any]:
        parts = [getattr(table, name)[[rows[item.query_id] for item in done], [0]] for table, rows in columns]
        return np.stack(parts, axis=1)

    response = joined("response")
    response[response == None] = ""  # noqa: E711 - elementwise
    queries = replace(
        base.queries,
        split=np.array([item.split for item in done], np.str_),
        task=tuple(item.dataset for item in done),
        gold=tuple(item.gold for item in done),
        metric=("f1",) * len(done),
    )
    f1 = Outcomes(
        queries=queries,
        pool=pool,
        score=_scores(token_f1, response, done),
        response=response,
        source=f"{store.url} (live)",
        cost=joined("cost"),
        latency_s=joined("latency_s"),
        prompt_tokens=joined("prompt_tokens"),
        completion_tokens=joined("completion_tokens"),
    )
    em = replace(
        f1,
        queries=replace(queries, metric=("exact_match",) * len(done)),
        score=_scores(exact_match, response, done),
    )
    return Tables(f1, em, len(items) - len(done))


def _one_agent(store: TraceStore, pool: Pool, agent: str) -> tuple[Outcomes, dict[str, int]]:
    """An agent's own runs as outcomes with one column, and the row of each question."""
    found = to_outcomes(store, runs=False, kind="live", batch_id=batch_of(pool, agent))
    table = found.for_pool(Pool([pool[agent]]))
    if table.response is None:
        table = replace(table, response=np.full(table.score.shape, None, object))
    # A run that was cut off is no answer; one that failed is: an empty one.
    ended = store.finished(batch_of(pool, agent), statuses=("ok", "abstained", "error"))
    rows = enumerate(table.queries.query_id.tolist())
    return table, {query_id: row for row, query_id in rows if query_id in ended}


def _scores(
    metric: Callable[[str, str], float], response: NDArray[np.object_], items: Sequence[Item]
) -> NDArray[np.float32]:
    rows = [[metric(text, item.gold) for text in texts] for texts, item in zip(response, items, strict=True)]
    return np.array(rows, np.float32)
