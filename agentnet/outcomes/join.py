"""Joins outcome tables of the same agents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from agentnet.errors import DataError
from agentnet.graphs.pool import Pool
from agentnet.outcomes.table import Outcomes, Queries

_MATRICES = (
    "score", "cost", "latency_s", "propensity", "weight", "prompt_tokens", "completion_tokens",
)  # fmt: skip
_COLUMNS = ("text", "context", "history", "task", "gold", "metric")


def concat(tables: Sequence[Outcomes], pool: Pool) -> Outcomes:
    """Returns the rows of several tables over one pool; a query of two tables is taken from the first.

    Args:
        tables: At least one; their columns are matched by agent name.
        pool: The columns of the result.

    Raises:
        DataError: there is no table, or the tables are of different kinds.
    """
    if not tables:
        raise DataError("there is no outcome table to join.")
    if len({table.kind for table in tables}) > 1:
        raise DataError("label packs and outcome packs cannot be joined.")
    seen: set[str] = set()
    parts = []
    for table in tables:
        fresh = np.array([query not in seen for query in table.queries.query_id.tolist()], bool)
        seen.update(table.queries.query_id.tolist())
        parts.append(table.for_pool(pool).take(fresh))
    columns: dict[str, Any] = {
        name: tuple(item for part in parts for item in getattr(part.queries, name)) for name in _COLUMNS
    }
    queries = Queries(
        query_id=np.concatenate([part.queries.query_id for part in parts]),
        split=np.concatenate([part.queries.split for part in parts]),
        **columns,
    )
    matrices: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in _MATRICES
    }
    texts = [part.response for part in parts]
    empty = [np.full((len(part), len(pool)), None, object) for part in parts]
    if any(text is not None for text in texts):
        filled = [e if text is None else text for text, e in zip(texts, empty, strict=True)]
        matrices["response"] = np.concatenate(filled)
    return Outcomes(
        queries=queries,
        pool=pool,
        runs=tuple(run for part in parts for run in part.runs),
        source=" + ".join(dict.fromkeys(part.source for part in parts if part.source)),
        kind=tables[0].kind,
        **matrices,
    )
