"""Collects the rows of a trace database into `Outcomes`; see `agentnet.traces.export.to_outcomes`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Engine, Text, cast, select

from agentnet.errors import DataError
from agentnet.graphs.agent import Agent
from agentnet.graphs.live import Step
from agentnet.graphs.pool import Pool
from agentnet.graphs.task_graph import TaskGraph
from agentnet.outcomes.table import LoggedRun, Outcomes, Queries
from agentnet.traces.cells import Cells
from agentnet.traces.models import RUN_ITSELF, DecisionRow, OutcomeRow, PoolRow, RunRow, StepRow
from agentnet.traces.queries import one_kind, queries_of
from agentnet.traces.reader import RunFilter
from agentnet.traces.records import step_of

LOGGED_GRAPH = "logged_graph"
"""Tag of a run that is kept for its graph only: its cells were imported beside it."""

Judged = dict[str, tuple[float, float, float]]
"""By judge: when, score and weight of its latest judgement."""


@dataclass(slots=True)
class _Run:
    """What is kept of a run while its parts are read."""

    query: int
    alone: bool
    """Kept for its graph only."""
    cost_usd: float | None
    tokens: int | None
    latency_s: float | None
    turns: int = 0
    decision: _Decision | None = None
    judged: dict[int, Judged] = field(default_factory=dict)
    """By step."""
    ran: int = 0
    only: int = RUN_ITSELF
    """The step that ran, where it was a single one."""
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class _Decision:
    graph: TaskGraph | None
    certain: frozenset[str]
    propensity: float | None
    by_agent: Mapping[str, float]
    router: str

    def propensity_of(self, agent: str) -> float | None:
        if agent in self.by_agent:
            return self.by_agent[agent]
        if self.propensity is None or self.graph is None or agent not in self.certain:
            return None
        alone = self.graph.agents == (agent,)
        return self.propensity if alone or self.propensity == 1 else None


def collect(engine: Engine, where: RunFilter, source: str, *, logged: bool) -> Outcomes:
    """Returns the outcomes of the runs that pass a filter.

    Args:
        engine: The database.
        where: Which runs.
        source: Name of the database, for reports.
        logged: Whether to add the runs with their graphs.

    Raises:
        DataError: there are none, or their texts were not captured.
    """
    with engine.connect().execution_options(yield_per=2000) as connection:
        where = one_kind(connection, where)
        reading = _Reading(connection, where)
        reading.read(logged=logged)
    return reading.outcomes(f"{source} ({where.kind})", logged=logged)


class _Reading:
    """Reads each table once, as a stream; of a step only numbers stay, unless its run is asked for."""

    def __init__(self, connection: Connection, where: RunFilter) -> None:
        self._connection = connection
        self._where = where
        self._runs: dict[str, _Run] = {}
        self._queries: dict[str, int] = {}
        self._rows: list[Any] = []
        self._versions: set[str] = set()
        self._columns: dict[str, int] = {}
        self._agents: list[Agent] = []
        self._cells = Cells()
        self._graphs: dict[str, tuple[TaskGraph, frozenset[str]]] = {}

    def read(self, *, logged: bool) -> None:
        self._read_runs()
        self._read_pool()
        self._read_decisions()
        self._read_judgements()
        self._read_steps(logged=logged)

    def _stream(self, model: Any, columns: tuple[Any, ...], *order: Any) -> Iterator[Any]:
        query = select(*columns).join(RunRow, RunRow.run_id == model.run_id)
        return iter(self._connection.execute(self._where.apply(query).order_by(*order)))

    def _read_runs(self) -> None:
        names = (
            "run_id", "task_hash", "task_text", "task_context", "task_history", "task_label", "gold",
            "metric", "split", "tags", "pool_version", "cost_usd", "prompt_tokens", "completion_tokens",
            "latency_s",
        )  # fmt: skip
        query = select(*(getattr(RunRow, name) for name in names)).where(RunRow.status != "running")
        total = 0
        for row in self._connection.execute(
            self._where.apply(query).order_by(RunRow.started_at, RunRow.run_id)
        ):
            total += 1
            key = row.tags.get("query_id") or row.task_hash
            at = self._queries.get(key)
            if at is None:
                if row.task_text is None:
                    continue
                at = self._queries[key] = len(self._rows)
                self._rows.append(row)
            self._versions.add(row.pool_version)
            cost = None if row.cost_usd is None else float(row.cost_usd)
            counts = [count for count in (row.prompt_tokens, row.completion_tokens) if count is not None]
            tokens = sum(counts) if counts else None
            self._runs[row.run_id] = _Run(at, LOGGED_GRAPH in row.tags, cost, tokens, row.latency_s)
        if not self._rows:
            why = "their texts were not captured" if total else "run some tasks, or import a pack"
            raise DataError(f"the trace store has {total} finished runs to learn from: {why}.")

    def _read_pool(self) -> None:
        query = select(PoolRow.pool_version, PoolRow.agents).order_by(PoolRow.first_seen.desc())
        for version, agents in self._connection.execute(query):
            for data in agents if version in self._versions else ():
                if data.get("name") not in self._columns:  # the newest definition of a name counts
                    self._add(Agent.from_dict(data))

    def _add(self, agent: Agent) -> int:
        self._agents.append(agent)
        return self._columns.setdefault(agent.name, len(self._columns))

    def _read_decisions(self) -> None:
        columns = (
            DecisionRow.run_id, DecisionRow.turn, cast(DecisionRow.graph, Text),
            cast(DecisionRow.scores, Text),
            DecisionRow.propensity, DecisionRow.router, DecisionRow.role,
        )  # fmt: skip
        for run_id, turn, graph, scores, propensity, router, role in self._stream(DecisionRow, columns):
            run = self._runs.get(run_id)
            if run is None or role == "shadow":
                continue
            run.turns += 1
            if turn == 0:
                known, certain = self._graph(graph) if graph else (None, frozenset[str]())
                run.decision = _Decision(known, certain, propensity, _by_agent(scores), router)

    def _graph(self, text: str) -> tuple[TaskGraph, frozenset[str]]:
        """A graph from its JSON; equal ones are built once, for a log holds few different ones."""
        if text not in self._graphs:
            graph = TaskGraph.from_dict(json.loads(text))
            self._graphs[text] = (graph, _certain(graph))
        return self._graphs[text]

    def _read_steps(self, *, logged: bool) -> None:
        names = (
            "run_id", "seq", "turn", "round", "node", "agent", "backend", "answer", "score", "skipped",
            "error", "prompt_tokens", "completion_tokens", "cached_tokens", "calls", "cost_usd", "latency_s",
        )  # fmt: skip
        columns = tuple(getattr(StepRow, name) for name in names)
        stream = self._stream(StepRow, columns, StepRow.run_id, StepRow.seq)
        for run_id, rows in groupby(stream, key=itemgetter(0)):
            run = self._runs.get(run_id)
            if run is not None:
                self._add_steps(run, list(rows), logged=logged)

    def _add_steps(self, run: _Run, rows: list[Any], *, logged: bool) -> None:
        done = [row for row in rows if not row.skipped]
        run.ran = len(done)
        run.only = done[0].seq if run.ran == 1 else RUN_ITSELF
        if logged:
            run.steps = tuple(step_of(row) for row in rows)
        for row in done if not run.alone else ():
            column = self._columns.get(row.agent)
            if column is None:
                column = self._add(Agent(name=row.agent))
            first = row.turn == 0 and run.decision is not None
            propensity = run.decision.propensity_of(row.agent) if first and run.decision else None
            self._cells.observe(
                run.query, column, row.answer, row.cost_usd, row.latency_s, row.prompt_tokens,
                row.completion_tokens, propensity,
            )  # fmt: skip
            for _, score, weight in self._judgements(run, row.seq):
                self._cells.judge(run.query, column, score, weight)

    def _judgements(self, run: _Run, step: int) -> list[tuple[float, float, float]]:
        """A step's judgements; the only step's answer is also the run's."""
        found = list(run.judged.get(step, {}).values())
        if step == run.only != RUN_ITSELF:
            found += run.judged.get(RUN_ITSELF, {}).values()
        return found

    def _read_judgements(self) -> None:
        o = OutcomeRow
        columns = (o.run_id, o.step_seq, o.judge, o.judged_at, o.score, o.weight)
        for run_id, step, judge, when, score, weight in self._stream(o, columns, o.id):
            run = self._runs.get(run_id)
            if run is None:
                continue
            judges = run.judged.setdefault(step, {})
            if judge not in judges or judges[judge][0] <= when:
                judges[judge] = (when, score, weight)

    # ------------------------------------------------------------------------------------------
    def outcomes(self, source: str, *, logged: bool) -> Outcomes:
        queries = queries_of(self._rows, list(self._queries))
        if not self._agents:
            raise DataError("the trace store names no agents: its runs have neither pools nor steps.")
        pool = Pool(self._agents)
        runs = tuple(self._logged_runs(queries)) if logged else ()
        if set(queries.metric) == {"label"} and None not in queries.gold and not self._has_cells():
            return Outcomes.from_labels(queries, pool, source=source, runs=runs)
        matrices = self._cells.matrices(len(queries), len(pool))
        return Outcomes(queries=queries, pool=pool, runs=runs, source=source, **matrices)

    def _has_cells(self) -> bool:
        return any(run.ran for run in self._runs.values() if not run.alone)

    def _logged_runs(self, queries: Queries) -> Iterator[LoggedRun]:
        for run in self._runs.values():
            decision = run.decision
            if decision is None or decision.graph is None or run.turns != 1:
                continue  # a run that grew has no single graph
            judged = (
                self._judgements(run, run.only) if run.ran == 1 else run.judged.get(RUN_ITSELF, {}).values()
            )
            weight = sum(item[2] for item in judged)
            yield LoggedRun(
                query_id=str(queries.query_id[run.query]),
                graph=decision.graph,
                score=sum(item[1] * item[2] for item in judged) / weight if weight else None,
                steps=run.steps,
                propensity=decision.propensity,
                cost_usd=run.cost_usd,
                tokens=run.tokens,
                latency_s=run.latency_s,
                router=decision.router or None,
            )


def _certain(graph: TaskGraph) -> frozenset[str]:
    """Agents of nodes that run whatever the others answer: behind no stop condition."""
    doubtful: set[str] = set()
    for layer in graph.layers:
        for node in layer:
            edges = [edge for edge in graph.spatial if edge.target == node]
            if any(edge.stop is not None or edge.source in doubtful for edge in edges):
                doubtful.add(node)
    return frozenset(node.agent for node in graph.nodes if node.id not in doubtful)


def _by_agent(text: str) -> dict[str, float]:
    """The agents' own propensities, where a router gave some."""
    if '"propensity"' not in text:
        return {}
    found = {agent: score.get("propensity") for agent, score in json.loads(text).items()}
    return {agent: float(value) for agent, value in found.items() if value is not None}
