"""Fits routers on simulated societies and measures what they decide; every job's result is kept in a file."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from agentnet.bench.files import write_json
from agentnet.bench.protocol import Entry
from agentnet.bench.society import Kind, Society, SocietyEnvironment, shuffled_texts
from agentnet.graphs.task_graph import TaskGraph
from agentnet.outcomes.table import Outcomes
from agentnet.routers.base import RouteOptions, Router
from agentnet.routers.registry import make_router
from agentnet.routers.selection import exchange_rate
from agentnet.routers.topology.graphs import Graphs

TASKS = 1000
"""Tasks of a society: 600 train, 200 val, 200 test."""
ENCODER = "hash"
PRICED = "price"
"""Setting that is filled with what the society's dearest agent's cost is worth in score."""
ONE_GRAPH = "one graph for all"
BEST = "best topology"
_NEW = 7
"""Seed of the tasks of a society's new state."""
_DIGITS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A simulated society with its tasks.

    Attributes:
        seed: Of the society.
        kind: Of the society.
        adversaries: How many agents are adversarial; None as the kind says.
        shuffled: Whether texts are exchanged at random.
    """

    seed: int
    kind: Kind = "mixed"
    adversaries: int | None = None
    shuffled: bool = False

    @property
    def key(self) -> str:
        """Its name in files.

        >>> World(seed=3, kind="adversarial", adversaries=2).key
        'adversarial-3-2'
        """
        parts = [self.kind, str(self.seed)]
        parts += [] if self.adversaries is None else [str(self.adversaries)]
        return "-".join(parts + (["shuffled"] if self.shuffled else []))


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A router to be fitted in a world.

    Attributes:
        world: Where.
        entry: The router.
        refits: Once an agent has turned bad, fit anew on so many tasks of the new state, each number in turn;
            empty turns nobody.
    """

    world: World
    entry: Entry
    refits: tuple[int, ...] = ()

    @property
    def key(self) -> str:
        """Its name in files."""
        label = re.sub(r"\W+", "_", self.entry.label).strip("_")
        return f"{self.world.key}--{label}{'--turned' if self.refits else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """What a way to choose came to on the n test tasks of a world; simulated.

    Attributes:
        world: The world.
        label: The way to choose.
        state: Empty, or the state of the society in which it was measured.
        score: [n] expected accuracy.
        tokens: [n].
        value: [n] score minus price times tokens.
        best: [n] value of the best topology.
        agents: [n] agents kept.
        edges: [n].
        seconds: Of the fit; 0 where nothing was fitted.
    """

    world: World
    label: str
    state: str = ""
    score: tuple[float, ...]
    tokens: tuple[float, ...]
    value: tuple[float, ...]
    best: tuple[float, ...]
    agents: tuple[int, ...]
    edges: tuple[int, ...]
    seconds: float = 0.0

    def mean(self, what: str) -> float:
        """Mean of a column over the tasks."""
        return float(np.mean(getattr(self, what)))

    @property
    def ratio(self) -> float:
        """Value over the best topology's."""
        return self.mean("value") / self.mean("best")

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Sheet:
        """Builds a sheet from JSON values."""
        columns: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
        return cls(**columns | {"world": World(**data["world"])})


class Bed:
    """A society's tasks, and the judge of what is decided on its test tasks.

    Args:
        world: Whose sheets are written.
        society: Of the world, maybe in another state.
        outcomes: Its tasks, with a test split.
        state: Told in the sheets.
    """

    def __init__(self, world: World, society: Society, outcomes: Outcomes, state: str = "") -> None:
        self.world, self.society, self.outcomes, self.state = world, society, outcomes, state
        self.test = outcomes.split("test")
        self.options = RouteOptions(cost_weight=society.dial)

    @classmethod
    def of(cls, world: World, tasks: int = TASKS) -> Bed:
        """Draws a world's society and its tasks."""
        society = Society.draw(world.seed, world.kind, adversaries=world.adversaries)
        outcomes = society.outcomes(tasks, 0)
        return cls(world, society, shuffled_texts(outcomes) if world.shuffled else outcomes)

    @cached_property
    def _judge(self) -> SocietyEnvironment:
        return self.society.environment(self.test, self.test.pool, expected=True)

    @cached_property
    def _best(self) -> NDArray[np.float64]:
        # Where somebody has turned, the judge has the conditions before and after; `after` has its own.
        optima = self.society.after.optima
        return np.array([optima[c % len(optima)].value for c in self._judge.conditions.tolist()])

    def sheet(self, label: str, graphs: Graphs, seconds: float = 0.0) -> Sheet:
        """Measures a graph for each test task."""
        returns = self._judge.run(torch.arange(len(self.test)), graphs, torch.Generator())
        score, tokens = returns.score.double().numpy(), returns.cost.double().numpy()
        return Sheet(
            world=self.world,
            label=label,
            state=self.state,
            score=_rounded(score),
            tokens=_rounded(tokens, 1),
            value=_rounded(score - self.society.price * tokens),
            best=_rounded(self._best),
            agents=tuple(graphs.keep.sum(1).tolist()),
            edges=tuple(graphs.edges.sum((1, 2)).tolist()),
            seconds=round(seconds, 2),
        )

    def best(self) -> Sheet:
        """The sheet of the best topology of every task's condition: the bound of all others."""
        optima = self.society.after.optima
        rows = [optima[c % len(optima)].graphs for c in self._judge.conditions.tolist()]
        return self.sheet(BEST, Graphs.cat(rows))

    def fitted(self, entry: Entry, rows: Outcomes | None = None) -> tuple[Router, float]:
        """Fits a router on this bed's tasks, or others; returns it and the seconds that took."""
        settings = {k: v for k, v in (entry.settings or {}).items() if v is not PRICED}
        if len(settings) < len(entry.settings or {}):
            settings[PRICED] = exchange_rate(self.society.dial)
        router: Any = make_router(entry.router, encoder=ENCODER, **settings)
        router.use_environment(self.society.environment)
        given = self.outcomes if rows is None else rows
        start = time.perf_counter()
        router.fit(given, given.pool, seed=0)
        return router, time.perf_counter() - start

    def decided(self, router: Router) -> Graphs:
        """The graphs that a router decides on the test tasks."""
        return Graphs.of(self._route(router, self.test), self.test.pool.names)

    def _route(self, router: Router, rows: Outcomes) -> list[TaskGraph]:
        decisions = router.route_batch(rows.tasks(), rows.pool, options=self.options)
        graphs = [decision.graph for decision in decisions]
        assert all(graph is not None for graph in graphs)  # no threshold, no abstention
        return [graph for graph in graphs if graph is not None]

    def one_graph(self, router: Router) -> Graphs:
        """The graph that is best for all tasks of those that a router decides on training tasks.

        The society judges them, with expected scores, on the training tasks: it is as good as a choice among
        these graphs can be that ignores the task.
        """
        rows = self.outcomes.split("train")
        decided = {graph.fingerprint: graph for graph in self._route(router, rows)}
        graphs = Graphs.of(list(decided.values()), rows.pool.names)
        judge = self.society.environment(rows, rows.pool, expected=True)
        tasks = torch.arange(len(rows))
        values = []
        for row in range(len(graphs)):
            returns = judge.run(tasks, graphs.take(torch.full((len(rows),), row)), torch.Generator())
            values.append(float(returns.utility(self.society.price).mean()))
        return graphs.take(torch.full((len(self.test),), int(np.argmax(values))))

    def turned(self, graphs: Graphs, tasks: int) -> Bed:
        """The bed after the agent that most of these graphs keep has turned bad; tasks are drawn anew."""
        agent = int(graphs.keep.sum(0).argmax())
        society = self.society.turned(agent, at=0)
        return Bed(self.world, society, society.outcomes(tasks, _NEW), "right after")


def run_job(job: Job, tasks: int = TASKS) -> list[Sheet]:
    """Fits and measures; one sheet, or several where more is asked for."""
    bed = Bed.of(job.world, tasks)
    router, seconds = bed.fitted(job.entry)
    graphs = bed.decided(router)
    label = job.entry.label
    sheets = [bed.sheet(label, graphs, seconds), bed.best()]
    if job.entry.router == "agp":
        sheets.append(bed.sheet(f"{label}, {ONE_GRAPH}", bed.one_graph(router)))
    if job.refits:
        after = bed.turned(graphs, tasks)
        sheets += [after.sheet(label, after.decided(router)), after.best()]
        for count in job.refits:
            few = _few(after.society, count)
            again, seconds = after.fitted(job.entry, few)
            done = Bed(job.world, after.society, after.outcomes, f"refitted on {count}")
            sheets.append(done.sheet(label, done.decided(again), seconds))
    return sheets


def _few(society: Society, count: int) -> Outcomes:
    """Tasks of the new state, other ones than those judged on: three quarters train, the rest val."""
    rows = society.outcomes(count, _NEW + 1)
    split = rows.queries.split
    return rows.with_split(np.where(split == "test", "train", split))


class Shelf:
    """Sheets by job, a file each: a run that was cut off goes on, and nothing is run twice.

    Args:
        folder: Made if missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, job: Job) -> list[Sheet] | None:
        """The sheets of a job; None where it was not run yet."""
        path = self.folder / f"{job.key}.json"
        if not path.exists():
            return None
        return [Sheet.from_dict(item) for item in json.loads(path.read_text(encoding="utf-8"))]

    def put(self, job: Job, sheets: Sequence[Sheet]) -> None:
        """Keeps the sheets of a job."""
        write_json(self.folder / f"{job.key}.json", [asdict(sheet) for sheet in sheets])

    def run(self, job: Job, tasks: int = TASKS) -> list[Sheet]:
        """Returns the sheets of a job, running it where that was not done yet."""
        found = self.get(job)
        if found is None:
            found = run_job(job, tasks)
            self.put(job, found)
        return found


def _rounded(values: NDArray[np.float64], digits: int = _DIGITS) -> tuple[float, ...]:
    return tuple(np.round(values, digits).tolist())
