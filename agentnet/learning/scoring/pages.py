"""Reads runs that are to be scored, page by page: no transaction stays open while a model is asked."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from sqlalchemy import Engine, Select, and_, exists, func, or_, select

from agentnet.errors import TaskError
from agentnet.graphs.task import Message, Task
from agentnet.learning.scoring.scorers import Subject
from agentnet.traces.models import RUN_ITSELF, OutcomeRow, RunRow
from agentnet.traces.reader import RunFilter, RunTrace
from agentnet.traces.records import RunRecord
from agentnet.traces.store import TraceStore

Answers = Literal["auto", "answer", "steps", "both"]
"""Which answers of a run are scored; ``"auto"``: the run's own, and its steps' where it has none."""
PAGE = 500


def _query(what: Any, where: RunFilter, unjudged_by: str | None) -> Select[Any]:
    query = where.apply(select(*what)).where(RunRow.status != "running")
    if unjudged_by is not None:
        judged = exists().where(
            OutcomeRow.run_id == RunRow.run_id,
            OutcomeRow.step_seq == RUN_ITSELF,
            OutcomeRow.judge == unjudged_by,
        )
        query = query.where(~judged)
    return query


def count_runs(store: TraceStore, where: RunFilter, unjudged_by: str | None = None) -> int:
    """Returns how many runs `pages` would go through."""

    def count(engine: Engine) -> int:
        with engine.connect() as connection:
            found = connection.execute(_query([func.count()], where, unjudged_by)).scalar_one()
        return int(found)

    return store.read(count)


def pages(
    store: TraceStore, where: RunFilter, *, unjudged_by: str | None = None, size: int = PAGE
) -> Iterator[list[RunTrace]]:
    """Yields finished runs with their parts, the earliest first, a page at a time.

    Args:
        store: Where they are.
        where: Which runs.
        unjudged_by: Leaves out runs whose own answer this judge has judged.
        size: Runs a page.
    """
    last: tuple[float, str] | None = None
    while True:
        query = _query([RunRow.started_at, RunRow.run_id], where, unjudged_by)
        if last is not None:
            later = and_(RunRow.started_at == last[0], RunRow.run_id > last[1])
            query = query.where(or_(RunRow.started_at > last[0], later))
        query = query.order_by(RunRow.started_at, RunRow.run_id).limit(size)

        def fetch(engine: Engine, query: Select[Any] = query) -> list[Any]:
            with engine.connect() as connection:
                return list(connection.execute(query))

        rows = store.read(fetch)
        if not rows:
            return
        last = (rows[-1][0], rows[-1][1])
        yield store.traces([row[1] for row in rows])


def subjects(trace: RunTrace, answers: Answers) -> list[Subject]:
    """Returns what of a run can be scored; nothing where its texts were not kept."""
    task = task_of(trace.run)
    if task is None:
        return []
    ran = [step for step in trace.steps if not step.skipped]
    alone = ran[0].agent if len(ran) == 1 else None
    found = []
    if answers != "steps" and trace.run.answer is not None:
        found.append(Subject(run=trace.run, task=task, answer=trace.run.answer, agent=alone))
    if answers in ("steps", "both") or (answers == "auto" and not found):
        found += [
            Subject(run=trace.run, task=task, answer=step.answer, step=step, agent=step.agent)
            for step in ran
            if step.answer is not None
        ]
    return found


def task_of(run: RunRecord) -> Task | None:
    """Returns the task of a run, or None where it was not kept or cannot be one."""
    if run.task_text is None:
        return None
    turns = [turn for turn in run.task_history if isinstance(turn, Mapping)]
    try:
        history = tuple(Message(turn["role"], turn["content"]) for turn in turns)  # type: ignore[arg-type]
        return Task(run.task_text, context=run.task_context, history=history, session_id=run.session_id)
    except (TaskError, KeyError):
        return None


def sampled(run_id: str, rate: float) -> bool:
    """Whether a run is in the sample of a rate: the same runs at every call, and in all larger samples.

    >>> sum(sampled(f"{i:032x}", 0.25) for i in range(1000)) in range(200, 300)
    True
    """
    if rate >= 1:
        return True
    digest = hashlib.blake2b(run_id.encode(), digest_size=8, person=b"score").digest()
    return int.from_bytes(digest) / 2.0**64 < rate
