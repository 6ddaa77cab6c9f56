"""The two windows of a log that drift is looked for between, in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import DataError
from agentnet.outcomes.choices import ChoiceLog
from agentnet.outcomes.encoders import task_text
from agentnet.outcomes.table import Queries

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from agentnet.traces.reader import RunFilter
    from agentnet.traces.store import TraceStore

Floats = NDArray[np.float64]
MOST = 10_000
"""Runs of a window that are looked at, a uniform sample: what bounds the memory."""
RECENT = 0.25
"""Share of the runs, the latest, that are compared with those before, unless told otherwise."""
_CHUNK = 500


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Charges:
    """n calls of agents with what they cost.

    Attributes:
        agent: [n] names.
        task: [n] position of the call's task in the window's texts.
        cost: [n] USD; NaN unknown.
        prompt: [n] prompt tokens; NaN unknown.
        completion: [n] completion tokens; NaN unknown.
    """

    agent: NDArray[np.str_]
    task: NDArray[np.intp]
    cost: Floats
    prompt: Floats
    completion: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Window:
    """What is looked at of a stretch of time.

    Attributes:
        texts: [n] what of each run's task is encoded; "" where it was not captured.
        at: [n] when it started, seconds since the epoch.
        charges: What the agents' calls cost in these runs.
        log: Judged decisions; None where there are none.
        runs: Finished runs in that time, of which n were drawn.
        notes: What could not be read, for reports.
    """

    texts: tuple[str, ...]
    at: Floats
    charges: Charges
    log: ChoiceLog | None
    runs: int
    notes: tuple[str, ...] = ()

    @classmethod
    def of_log(cls, log: ChoiceLog) -> Window:
        """Takes a log of decisions as a window; the cost of plans of one agent is that agent's."""
        asked = [task_text(task) for task in log.queries.tasks()]
        alone = np.flatnonzero(log.agent >= 0)
        unknown = np.full(len(alone), np.nan)
        charges = Charges(
            agent=np.array(log.agents, np.str_)[log.agent[alone]],
            task=alone.astype(np.intp),
            cost=log.cost[alone],
            prompt=unknown,
            completion=unknown,
        )
        texts = tuple(asked[query] for query in log.query)
        judged = log.take(log.judged)
        return cls(
            texts=texts, at=log.at, charges=charges, log=judged if len(judged) else None, runs=len(log)
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Returns how much there was, as JSON values."""
        return {
            "runs": self.runs,
            "drawn": len(self.texts),
            "judged": 0 if self.log is None else len(self.log),
            "first": float(self.at.min()) if len(self.at) else None,
            "last": float(self.at.max()) if len(self.at) else None,
        }


def joined(first: ChoiceLog, second: ChoiceLog) -> ChoiceLog:
    """Puts the two parts of a divided log together again; plans and pool are those of both."""
    queries = Queries(
        query_id=np.concatenate((first.queries.query_id, second.queries.query_id)),
        split=np.concatenate((first.queries.split, second.queries.split)),
        text=first.queries.text + second.queries.text,
        context=first.queries.context + second.queries.context,
        history=first.queries.history + second.queries.history,
        task=first.queries.task + second.queries.task,
    )
    columns: dict[str, Any] = {
        name: np.concatenate((getattr(first, name), getattr(second, name)))
        for name in ("plan", "propensity", "score", "cost", "weight", "at")
    }
    query = np.concatenate((first.query, second.query + len(first.queries)))
    return replace(first, queries=queries, query=query, **columns)


def split_log(log: ChoiceLog, *, recent: float = RECENT) -> tuple[Window, Window]:
    """Divides a log in memory by time: the reference window and the recent one."""
    order = np.argsort(log.at, kind="stable")
    first = len(order) - int(recent * len(order))
    return Window.of_log(log.take(order[:first])), Window.of_log(log.take(order[first:]))


def read_windows(
    store: TraceStore,
    *,
    most: int = MOST,
    recent_from: float | None = None,
    seed: int = 0,
    **where: Any,
) -> tuple[Window, Window]:
    """Reads the reference window and the recent one of a trace database.

    Each window is a uniform sample of at most ``most`` finished runs (and of as many judged decisions), drawn
    by a hash of the run's id; everything else passes by as a stream.

    Args:
        store: The traces.
        most: Runs of each window to keep.
        recent_from: When the recent window starts; None takes the latest quarter of the runs.
        seed: Another seed draws others.
        **where: Fields of `agentnet.traces.reader.RunFilter`; ``since`` is when the reference window starts.

    Raises:
        DataError: one of the windows has no finished runs.
    """
    from agentnet.traces.queries import one_kind
    from agentnet.traces.reader import RunFilter

    def find(engine: Engine) -> tuple[RunFilter, float | None]:
        with engine.connect() as connection:
            kept = one_kind(connection, RunFilter(**where))
            return kept, _later_part(connection, kept) if recent_from is None else recent_from

    kept, start = store.read(find)
    if start is None:
        raise DataError("there are too few finished runs to compare a recent window with what came before.")
    sides = []
    for side, called in ((replace(kept, until=start), "before"), (replace(kept, since=start), "after")):
        window = _window(store, side, most, seed)
        if not window.runs:
            raise DataError(
                f"there are no finished runs {called} the recent window's start: choose another --since, or "
                "leave it out to compare the latest quarter of the runs with those before."
            )
        sides.append(window)
    return sides[0], sides[1]


def _finished(where: RunFilter, *columns: Any) -> Any:
    from sqlalchemy import select

    from agentnet.traces.models import RunRow

    return where.apply(select(*columns).where(RunRow.status.not_in(("running", "cancelled"))))


def _later_part(connection: Connection, where: RunFilter) -> float | None:
    """When the latest quarter of the finished runs begins."""
    from sqlalchemy import func

    from agentnet.traces.models import RunRow

    count = connection.execute(_finished(where, func.count())).scalar_one()
    if count < 2:
        return None
    behind = int(count * (1 - RECENT))
    at = connection.execute(
        _finished(where, RunRow.started_at).order_by(RunRow.started_at).offset(behind).limit(1)
    ).scalar_one()
    return float(at)


def _window(store: TraceStore, where: RunFilter, most: int, seed: int) -> Window:
    from agentnet.traces.choices import read_choices

    window = store.read(lambda engine: _sampled(engine, where, most, seed))
    filters = {name: getattr(where, name) for name in where.__slots__}
    try:
        log, _ = read_choices(store, most=most, seed=seed, **filters)
    except DataError as error:
        return replace(window, notes=(str(error),))
    return replace(window, log=log)


def _sampled(engine: Engine, where: RunFilter, most: int, seed: int) -> Window:
    """The drawn runs' texts and charges."""
    from sqlalchemy import select

    from agentnet.traces.models import RunRow, StepRow
    from agentnet.traces.sampling import Sample

    sample = Sample[str](most, seed=seed)
    with engine.connect() as connection:
        streamed = connection.execution_options(yield_per=5_000)
        for (run_id,) in streamed.execute(_finished(where, RunRow.run_id)):
            sample.add(run_id, run_id)
    ids = sorted(sample)
    runs: list[Any] = []
    steps: list[Any] = []
    asked = (RunRow.run_id, RunRow.started_at, RunRow.task_text, RunRow.task_context, RunRow.task_history)
    paid = (
        StepRow.run_id, StepRow.agent, StepRow.cost_usd, StepRow.prompt_tokens, StepRow.completion_tokens,
    )  # fmt: skip
    with engine.connect() as connection:
        for at in range(0, len(ids), _CHUNK):
            chunk = ids[at : at + _CHUNK]
            runs += connection.execute(select(*asked).where(RunRow.run_id.in_(chunk))).all()
            some = select(*paid).where(StepRow.run_id.in_(chunk), StepRow.skipped.is_(False))
            steps += connection.execute(some).all()
    runs.sort(key=lambda row: (row.started_at, row.run_id))
    where_is = {row.run_id: i for i, row in enumerate(runs)}
    steps.sort(key=lambda row: where_is[row.run_id])
    return Window(
        texts=tuple(_text(row) for row in runs),
        at=np.array([row.started_at for row in runs], np.float64),
        charges=Charges(
            agent=np.array([row.agent for row in steps], np.str_),
            task=np.array([where_is[row.run_id] for row in steps], np.intp),
            cost=_numbers([row.cost_usd for row in steps]),
            prompt=_numbers([row.prompt_tokens for row in steps]),
            completion=_numbers([row.completion_tokens for row in steps]),
        ),
        log=None,
        runs=sample.offered,
    )


def _text(row: Any) -> str:
    from agentnet.graphs.task import Message, Task

    if row.task_text is None:
        return ""
    turns = tuple(Message(turn["role"], turn["content"]) for turn in row.task_history)
    return task_text(Task(row.task_text, context=row.task_context, history=turns))


def _numbers(values: Sequence[Any]) -> Floats:
    """Numbers with NaN for what is unknown; money is compared, not added up, so that floats will do."""
    return np.array([np.nan if value is None else float(value) for value in values], np.float64)
