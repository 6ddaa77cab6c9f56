"""Finds in the trace store what earlier processes served and did not get to learn from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agentnet.learning.samples import Sample, from_trace, sampled

if TYPE_CHECKING:
    from sqlalchemy import Engine, Select

    from agentnet.traces.store import TraceStore

_PAGE = 1000
_RUNS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Which recorded runs a learner takes up."""

    router: str
    """The router's name."""
    state: str
    """Name of the shared state: runs applied to it are left out."""
    judge: str
    """The judge's name: a run with a verdict of its is not judged again."""
    rate: float
    seed: int
    drop_below: float | None
    """A run whose verdict is below this is left out; None takes rejected ones up too."""
    since: float
    """Runs that started at this time or later, seconds since the epoch."""
    until: float
    """Runs that started before this time."""


def unlearned(store: TraceStore, search: Search) -> Iterator[Sample]:
    """Yields the runs, the earliest first, as a stream: a page of ids and a few runs are in memory at once.

    Raises:
        StoreError: the store cannot be read.
    """
    after: tuple[float, str] | None = None
    while True:
        query = _page(search, after)

        def fetch(engine: Engine, query: Select[Any] = query) -> list[tuple[str, float, float | None]]:
            with engine.connect() as connection:
                return [(row[0], row[1], row[2]) for row in connection.execute(query)]

        page = store.read(fetch)
        wanted = {run_id: score for run_id, _, score in page if _wanted(search, run_id, score)}
        ids = list(wanted)
        for at in range(0, len(ids), _RUNS):
            for trace in store.traces(ids[at : at + _RUNS]):
                sample = from_trace(trace, search.router, score=wanted[trace.run.run_id])
                if sample is not None:
                    yield sample
        if len(page) < _PAGE:
            return
        after = (page[-1][1], page[-1][0])


def _wanted(search: Search, run_id: str, score: float | None) -> bool:
    dropped = score is not None and search.drop_below is not None and score < search.drop_below
    return not dropped and sampled(run_id, rate=search.rate, seed=search.seed)


def _page(search: Search, after: tuple[float, str] | None) -> Select[Any]:
    """The next ids in the order of their start, each with the judge's first verdict."""
    from sqlalchemy import and_, or_, select

    from agentnet.traces.models import RUN_ITSELF, AppliedKeyRow, DecisionRow, OutcomeRow, RunRow

    verdict = (
        select(OutcomeRow.score)
        .where(
            OutcomeRow.run_id == RunRow.run_id,
            OutcomeRow.step_seq == RUN_ITSELF,
            OutcomeRow.judge == search.judge,
        )
        .order_by(OutcomeRow.judged_at)
        .limit(1)
        .scalar_subquery()
    )
    decided = select(DecisionRow.run_id).where(
        DecisionRow.run_id == RunRow.run_id,
        DecisionRow.router == search.router,
        DecisionRow.role != "shadow",
        DecisionRow.abstained.is_(False),
    )
    applied = select(AppliedKeyRow.key).where(
        AppliedKeyRow.name == search.state, AppliedKeyRow.key == RunRow.run_id
    )
    query = (
        select(RunRow.run_id, RunRow.started_at, verdict)
        .where(
            RunRow.started_at >= search.since,
            RunRow.started_at < search.until,
            RunRow.status.in_(("ok", "error")),
            RunRow.kind == "live",
            decided.exists(),
            ~applied.exists(),
        )
        .order_by(RunRow.started_at, RunRow.run_id)
        .limit(_PAGE)
    )
    if after is not None:
        started, run_id = after
        later = and_(RunRow.started_at == started, RunRow.run_id > run_id)
        query = query.where(or_(RunRow.started_at > started, later))
    return query
