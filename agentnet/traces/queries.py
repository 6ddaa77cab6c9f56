"""What all readers of runs share: the kind of runs to read, and the queries that rows of runs ask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sqlalchemy import Connection, select

from agentnet.graphs.task import Message
from agentnet.outcomes.schema import METRICS
from agentnet.outcomes.splits import hash_split
from agentnet.outcomes.table import SPLITS, Queries
from agentnet.traces.models import RunRow
from agentnet.traces.reader import RunFilter

KINDS = ("live", "replayed", "simulated")


def one_kind(connection: Connection, where: RunFilter) -> RunFilter:
    """Returns the filter for one kind of runs, for they are never mixed: the first of `KINDS` there is."""
    if where.kind is not None:
        return where
    for kind in KINDS:
        narrowed = replace(where, kind=kind)
        if connection.execute(narrowed.apply(select(RunRow.run_id)).limit(1)).first() is not None:
            return narrowed
    other = connection.execute(where.apply(select(RunRow.kind)).order_by(RunRow.kind).limit(1)).scalar()
    return replace(where, kind=other or KINDS[0])


def queries_of(rows: Sequence[Any], ids: Sequence[str]) -> Queries:
    """Returns the queries of rows of runs, one a query: with their split as recorded, else by their text."""
    texts = tuple(row.task_text for row in rows)
    hashed = hash_split(texts)
    split = [row.split if row.split in SPLITS else side for row, side in zip(rows, hashed, strict=True)]
    return Queries(
        query_id=np.array(ids, np.str_),
        text=texts,
        split=np.array(split, np.str_),
        context=tuple(row.task_context for row in rows),
        history=tuple(tuple(Message(turn["role"], turn["content"]) for turn in r.task_history) for r in rows),
        task=tuple(row.task_label or "" for row in rows),
        gold=tuple(row.gold for row in rows),
        metric=tuple(row.metric if row.metric in METRICS else "" for row in rows),
    )
