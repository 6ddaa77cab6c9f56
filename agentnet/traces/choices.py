"""Reads a trace database as a log of choices, in one pass and in bounded memory."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Select, Text, and_, cast, func, or_, select

from agentnet.errors import DataError
from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.graphs.task_graph import TaskGraph
from agentnet.outcomes.choices import ChoiceLog
from agentnet.traces.models import DecisionRow, OutcomeRow, PoolRow, RunRow
from agentnet.traces.queries import one_kind, queries_of
from agentnet.traces.reader import RunFilter
from agentnet.traces.sampling import Sample
from agentnet.traces.scores import merge_judgements
from agentnet.traces.store import TraceStore

MOST = 50_000
"""Decisions that are kept of a log, unless told otherwise: what bounds the memory."""
_PAGE = 1_000  # few enough that PostgreSQL looks decisions and judgements up by index
_CHUNK = 500
_GRAPHS = 4_096
_NAN = float("nan")
_OWN = 8
"""Columns of a run and its decision, before those of a judgement."""


@dataclass(slots=True)
class Total:
    """Sums over the decisions that one agent answered alone."""

    runs: int = 0
    judged: int = 0
    score: float = 0.0
    priced: int = 0
    cost: float = 0.0


@dataclass(slots=True, kw_only=True)
class Seen:
    """What a pass over all decisions of a log counted; the log itself holds a sample of them.

    Attributes:
        decisions: Finished runs with a graph that a router, or the caller, chose in one turn.
        judged: Those with a score.
        usable: Those with a score and a propensity.
        kept: Decisions in the log.
        newest: When the latest of them started, seconds since the epoch.
        kind: ``"live"``, ``"replayed"`` or ``"simulated"``.
        routers: Decisions by ``NAME VERSION``.
        agents: By agent, over the runs of it alone.
        tags: [n] tags of the runs in the log, decision by decision.
    """

    decisions: int = 0
    judged: int = 0
    usable: int = 0
    kept: int = 0
    newest: float = 0.0
    kind: str = "live"
    routers: dict[str, int] = field(default_factory=dict)
    agents: dict[str, Total] = field(default_factory=dict)
    tags: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values."""
        agents = {
            name: {
                "runs": total.runs,
                "score": total.score / total.judged if total.judged else None,
                "cost_usd": total.cost / total.priced if total.priced else None,
            }
            for name, total in self.agents.items()
        }
        names = ("decisions", "judged", "usable", "kept", "newest", "kind", "routers")
        return {name: getattr(self, name) for name in names} | {"agents": agents}


@dataclass(frozen=True, slots=True)
class _Row:
    """A decision that may be kept."""

    run_id: str
    at: float
    graph: str
    propensity: float
    score: float
    weight: float
    cost: float


def read_choices(
    source: TraceStore | str | Path,
    *,
    most: int = MOST,
    seed: int = 0,
    progress: Callable[[int], None] = lambda done: None,
    **where: Any,
) -> tuple[ChoiceLog, Seen]:
    """Reads what routers chose, with which probability, and what came of it.

    One pass over the runs in the order of time, page by page; sums are taken over all of them, and of the
    judged ones a uniform sample of at most ``most`` is kept (by a hash of the run's id, so that two
    processes keep the same). Texts are read for those alone. Memory is bounded by ``most`` and a page.

    A run's score is the weighted mean of its judges' latest judgements of its answer; where one agent alone
    ran, judgements of its step count too. Runs of several turns, and shadow decisions, are left out. Queries,
    splits and kinds are as in `agentnet.traces.export.to_outcomes`.

    Args:
        source: A store, or the address of an existing database.
        most: Decisions to keep.
        seed: Another seed keeps others.
        progress: Called with the number of runs read, now and then.
        **where: Fields of `RunFilter`; without ``kind`` it is the live runs where there are any.

    Raises:
        StoreError: there is no such database.
        DataError: there are no judged decisions, or their texts were not captured.
    """
    own = not isinstance(source, TraceStore)
    store = source if isinstance(source, TraceStore) else TraceStore.open(source, create=False)
    with closing(store) if own else nullcontext():
        return store.read(lambda engine: _read(engine, RunFilter(**where), store.url, most, seed, progress))


def _read(
    engine: Engine, where: RunFilter, source: str, most: int, seed: int, progress: Callable[[int], None]
) -> tuple[ChoiceLog, Seen]:
    with engine.connect() as connection:
        where = one_kind(connection, where)
        seen = Seen(kind=str(where.kind))
        sample = Sample[_Row](most, seed=seed)
        graphs = _Graphs()
        for row, router in _decisions(connection, where, progress):
            if _count(seen, row, router, graphs):
                sample.add(row.run_id, row)
        kept = list(sample)
        if not kept:
            raise DataError(
                f"the trace store has {seen.decisions} decisions of kind {seen.kind!r} and no score of any: "
                "`agentnet traces score` makes scores."
            )
        log, seen.tags = _build(connection, kept, f"{source} ({seen.kind})")
    seen.kept = len(log)
    return log, seen


# -- the pass over all runs --------------------------------------------------------------------
def _decisions(
    connection: Connection, where: RunFilter, progress: Callable[[int], None]
) -> Iterator[tuple[_Row, str]]:
    """Yields every decision with its router; a page of runs is in memory at a time."""
    after: tuple[float, str] | None = None
    done = 0
    while True:
        page = _page(where, after).subquery("page")
        rows = connection.execute(_parts(page)).all()
        if not rows:
            return
        for _, group in groupby(rows, key=itemgetter(0)):
            parts = list(group)
            done += 1
            found = _decision(parts)
            if found is not None:
                yield found
        after = (rows[-1][1], rows[-1][0])
        progress(done)


def _page(where: RunFilter, after: tuple[float, str] | None) -> Select[Any]:
    """The next finished runs by time."""
    columns = (RunRow.run_id, RunRow.started_at, RunRow.cost_usd)
    query = where.apply(select(*columns).where(RunRow.status.not_in(("running", "cancelled"))))
    if after is not None:
        at, run_id = after
        later = or_(RunRow.started_at > at, and_(RunRow.started_at == at, RunRow.run_id > run_id))
        query = query.where(RunRow.started_at >= at, later)  # the first condition is what an index serves
    return query.order_by(RunRow.started_at, RunRow.run_id).limit(_PAGE)


def _parts(page: Any) -> Select[Any]:
    """Runs of a page with their acting decisions and judgements, a row for each pair."""
    d, o = DecisionRow, OutcomeRow
    acting = and_(d.run_id == page.c.run_id, d.role != "shadow")
    return (
        select(
            page.c.run_id, page.c.started_at, page.c.cost_usd,
            d.turn, d.router, d.router_version, cast(d.graph, Text).label("graph"), d.propensity,
            o.step_seq, o.judge, o.judged_at, o.score, o.weight,
        )
        .select_from(page)
        .outerjoin(d, acting)
        .outerjoin(o, o.run_id == page.c.run_id)
        .order_by(page.c.started_at, page.c.run_id)
    )  # fmt: skip


def _decision(parts: list[Any]) -> tuple[_Row, str] | None:
    """The decision of a run; None where it has none, several, or no graph."""
    run_id, at, cost, turn, router, version, graph, propensity = parts[0][:_OWN]
    if turn is None or graph in (None, "null"):
        return None
    if len(parts) > 1 and any(part[3:5] != (turn, router) for part in parts):
        return None
    score, weight = merge_judgements((part[_OWN:] for part in parts), alone=graph.count('"agent"') == 1)
    chance = _NAN if propensity is None else propensity
    row = _Row(run_id, at, graph, chance, score, weight, _NAN if cost is None else float(cost))
    return row, f"{router} {version}" if version else router


def _count(seen: Seen, row: _Row, router: str, graphs: _Graphs) -> bool:
    """Adds a decision to the sums; returns whether it is judged."""
    judged = not math.isnan(row.score)
    seen.decisions += 1
    seen.newest = max(seen.newest, row.at)
    seen.routers[router] = seen.routers.get(router, 0) + 1
    if judged:
        seen.judged += 1
        seen.usable += not math.isnan(row.propensity)
    agent = graphs.alone(row.graph)
    if agent is None:
        return judged
    total = seen.agents.get(agent) or seen.agents.setdefault(agent, Total())
    total.runs += 1
    if judged:
        total.judged += 1
        total.score += row.score
    if not math.isnan(row.cost):
        total.priced += 1
        total.cost += row.cost
    return judged


class _Graphs:
    """Agents of graphs by their JSON; the few that recur are read once."""

    def __init__(self) -> None:
        self._alone: dict[str, str | None] = {}

    def alone(self, text: str) -> str | None:
        """The agent of a graph of one node; None for others."""
        if text in self._alone:
            return self._alone[text]
        if len(self._alone) >= _GRAPHS:
            self._alone.clear()
        nodes = json.loads(text)["nodes"]
        self._alone[text] = found = str(nodes[0]["agent"]) if len(nodes) == 1 else None
        return found


# -- what is kept ------------------------------------------------------------------------------
def _build(
    connection: Connection, kept: list[_Row], source: str
) -> tuple[ChoiceLog, tuple[Mapping[str, Any], ...]]:
    """The log of the kept decisions, and their runs' tags."""
    texts = _texts(connection, [row.run_id for row in kept])
    rows = [row for row in kept if row.run_id in texts]
    if not rows:
        raise DataError("the trace store's texts were not captured: routers learn from them.")
    numbers: dict[str, int] = {}
    firsts: list[Any] = []
    query = []
    for row in rows:
        run = texts[row.run_id]
        key = run.tags.get("query_id") or run.task_hash
        if key not in numbers:
            numbers[key] = len(firsts)
            firsts.append(run)
        query.append(numbers[key])
    plans, plan = _plans([row.graph for row in rows])
    log = ChoiceLog.of(
        queries_of(firsts, list(numbers)),
        _pool(connection, {run.pool_version for run in texts.values()}, plans),
        plans=plans,
        query=query,
        plan=plan,
        propensity=[row.propensity for row in rows],
        score=[row.score for row in rows],
        cost=[row.cost for row in rows],
        weight=[row.weight for row in rows],
        at=[row.at for row in rows],
        source=source,
    )
    return log, tuple(texts[row.run_id].tags for row in rows)


def _texts(connection: Connection, run_ids: list[str]) -> dict[str, Any]:
    """What routers and reports need of the kept runs; those without a text are left out."""
    names = (
        "run_id", "task_hash", "task_text", "task_context", "task_history", "task_label", "gold", "metric",
        "split", "tags", "pool_version",
    )  # fmt: skip
    columns = [getattr(RunRow, name) for name in names]
    found = {}
    for at in range(0, len(run_ids), _CHUNK):
        query = select(*columns).where(RunRow.run_id.in_(run_ids[at : at + _CHUNK]))
        for row in connection.execute(query):
            if row.task_text is not None:
                found[row.run_id] = row
    return found


def _plans(texts: list[str]) -> tuple[list[TaskGraph], list[int]]:
    """The different graphs, equal ones once, and which of them each text is."""
    by_text: dict[str, int] = {}
    by_content: dict[str, int] = {}
    plans: list[TaskGraph] = []
    for text in texts:
        if text in by_text:
            continue
        graph = TaskGraph.from_dict(json.loads(text))
        by_text[text] = by_content.setdefault(graph.fingerprint, len(plans))
        if by_text[text] == len(plans):
            plans.append(graph)
    return plans, [by_text[text] for text in texts]


def _pool(connection: Connection, versions: set[str], plans: list[TaskGraph]) -> Pool:
    """The agents that there were, by their newest definitions; the newest pool's come first."""
    agents: dict[str, Agent] = {}
    query = select(PoolRow.pool_version, PoolRow.agents).order_by(PoolRow.first_seen.desc())
    for version, definitions in connection.execute(query):
        for data in definitions if version in versions else ():
            if data.get("name") not in agents:
                agents[data["name"]] = Agent.from_dict(data)
    for plan in plans:
        for name in plan.agents:
            agents.setdefault(name, Agent(name=name))
    return Pool(list(agents.values()))


def newest_pool(store: TraceStore) -> Pool | None:
    """Returns the pool that the latest run was served from; None where no run names one."""

    def find(engine: Engine) -> Pool | None:
        latest = select(func.max(RunRow.started_at)).where(RunRow.pool_version != "").scalar_subquery()
        query = (
            select(PoolRow.agents)
            .join(RunRow, RunRow.pool_version == PoolRow.pool_version)
            .where(RunRow.started_at == latest)
            .limit(1)
        )
        with engine.connect() as connection:
            found = connection.execute(query).scalar()
        return Pool.from_list(found) if found else None

    return store.read(find)
