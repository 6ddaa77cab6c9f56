"""Reads a judge's and a gold standard's scores from a trace database, as `Judgements`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, select

from agentnet.errors import NotEnoughEvidence
from agentnet.learning.scoring.table import Judgements
from agentnet.traces.models import RUN_ITSELF, DecisionRow, OutcomeRow, RunRow, StepRow
from agentnet.traces.queries import one_kind
from agentnet.traces.reader import RunFilter
from agentnet.traces.store import TraceStore

_CHUNK = 500
_COLUMNS = ("run_id", "step_seq", "judge", "judged_at", "score")
_Scores = dict[str, tuple[float, float]]
"""By judge: when, and the score."""
_Chunk = dict[str, dict[int, _Scores]]
"""By run and step."""
SEVERAL = " + "
"""Joins the agents of a run's answer to which several contributed: together they count as one."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One answer that a judge or a gold standard has scored."""

    run_id: str
    step_seq: int
    """Where the judge's score stands: -1 for the run's own answer."""
    agent: str
    router: str
    judge: float | None
    """The judge's latest score; None where it has not judged."""
    gold: float | None
    """Gold's latest score, the first gold name first; None where there is none."""


def read_judgements(store: TraceStore, judge: str, gold: Sequence[str] | str, **where: Any) -> Judgements:
    """Returns what a judge has scored, with gold where there is gold, grouped by router.

    Args:
        store: Where the outcomes are.
        judge: The judge's name, as it stands in outcomes.
        gold: Names that count as gold, the most trusted first: ``"human"``, ``"verifier:gold"``.
        **where: Fields of `RunFilter`. Live, replayed and simulated runs are never mixed.

    Raises:
        NotEnoughEvidence: the judge has judged nothing here; the message names who has.
    """
    names = [gold] if isinstance(gold, str) else list(gold)
    agents: list[str] = []
    groups: list[str] = []
    scores: list[float] = []
    known: list[float | None] = []
    ids: list[str] = []
    for item in iter_judged(store, judge, names, **where):
        if item.judge is None:
            continue
        agents.append(item.agent)
        groups.append(item.router)
        scores.append(item.judge)
        known.append(item.gold)
        ids.append(f"{item.run_id}:{item.step_seq}")
    if not scores:
        raise NotEnoughEvidence(
            f"{judge!r} has judged no answer here; there are judgements by {_names(judges_of(store))}."
        )
    return Judgements.of(agent=agents, judge=scores, gold=known, group=groups, ids=ids)


def _names(found: Sequence[str]) -> str:
    return ", ".join(found) or "nobody: `agentnet traces score` makes some"


def judges_of(store: TraceStore) -> list[str]:
    """Returns the names of all who have judged."""

    def find(engine: Engine) -> list[str]:
        with engine.connect() as connection:
            return list(
                connection.execute(select(OutcomeRow.judge).distinct().order_by(OutcomeRow.judge)).scalars()
            )

    return store.read(find)


def iter_judged(store: TraceStore, judge: str, gold: Sequence[str], **where: Any) -> Iterator[Judged]:
    """Yields the answers that a judge or gold has scored, as a stream, by run and step."""
    names = [judge, *gold]
    wanted = store.read(lambda engine: _one_kind(engine, RunFilter(**where)))
    query = select(*(getattr(OutcomeRow, name) for name in _COLUMNS))
    query = query.join(RunRow, RunRow.run_id == OutcomeRow.run_id).where(OutcomeRow.judge.in_(names))
    query = wanted.apply(query).order_by(OutcomeRow.run_id, OutcomeRow.step_seq, OutcomeRow.judged_at)
    engine = store.engine
    store.flush()
    with engine.connect().execution_options(yield_per=2000) as reading, engine.connect() as asking:
        chunk: _Chunk = {}
        for run_id, step, name, at, score in reading.execute(query):
            if run_id not in chunk and len(chunk) >= _CHUNK:
                yield from _judged(asking, chunk, judge, gold)
                chunk = {}
            chunk.setdefault(run_id, {}).setdefault(step, {})[name] = (at, score)  # the latest comes last
        yield from _judged(asking, chunk, judge, gold)


def _one_kind(engine: Engine, where: RunFilter) -> RunFilter:
    with engine.connect() as connection:
        return one_kind(connection, where)


def _judged(connection: Connection, chunk: _Chunk, judge: str, gold: Sequence[str]) -> Iterator[Judged]:
    run_ids = list(chunk)
    if not run_ids:
        return
    steps: dict[str, dict[int, str]] = {}
    query = select(StepRow.run_id, StepRow.seq, StepRow.agent)
    query = query.where(StepRow.run_id.in_(run_ids), StepRow.skipped.is_(False))
    for run_id, seq, agent in connection.execute(query.order_by(StepRow.run_id, StepRow.seq)):
        steps.setdefault(run_id, {})[seq] = agent
    deciding = select(DecisionRow.run_id, DecisionRow.router, DecisionRow.router_version).where(
        DecisionRow.run_id.in_(run_ids), DecisionRow.turn == 0, DecisionRow.role != "shadow"
    )
    routers = {
        row.run_id: f"{row.router} {row.router_version}".strip() for row in connection.execute(deciding)
    }
    for run_id, by_step in chunk.items():
        ran = steps.get(run_id, {})
        alone = next(iter(ran)) if len(ran) == 1 else None
        for step, scores in _merged(by_step, alone, judge).items():
            agent = SEVERAL.join(sorted(set(ran.values()))) if step == RUN_ITSELF else ran.get(step, "")
            yield Judged(
                run_id,
                step,
                agent or "(unknown)",
                routers.get(run_id) or "(no router)",
                scores[judge][1] if judge in scores else None,
                next((scores[name][1] for name in gold if name in scores), None),
            )


def _merged(by_step: dict[int, _Scores], alone: int | None, judge: str) -> dict[int, _Scores]:
    """The only step's answer is the run's: one of them may be judged, and the other have gold."""
    if alone is None or not {alone, RUN_ITSELF} <= by_step.keys():
        return by_step
    both: _Scores = dict(by_step[RUN_ITSELF])
    for name, found in by_step[alone].items():
        if name not in both or both[name][0] <= found[0]:
            both[name] = found
    place = alone if by_step[alone].get(judge) == both.get(judge) else RUN_ITSELF
    return {
        place: both,
        **{step: found for step, found in by_step.items() if step not in (alone, RUN_ITSELF)},
    }
