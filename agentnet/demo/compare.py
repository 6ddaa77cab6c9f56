"""Step (c) of the demo: solve new tasks live with every system, side by side."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from agentnet.demo.record import judge
from agentnet.demo.shared_answers import SharedAnswers
from agentnet.demo.tasks import DemoTask, Verifier
from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Task
from agentnet.graphs.task_graph import TaskGraph
from agentnet.routers.base import Router
from agentnet.runtime.runtime import Runtime
from agentnet.traces.store import TraceStore

VOTE, ORACLE = "all agents, vote", "oracle"


@dataclass(frozen=True, slots=True)
class System:
    """One way to solve a task: a graph, or a router that gives one."""

    name: str
    graph: TaskGraph | None = None
    router: Router | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What one system did on one task."""

    system: str
    task_id: str
    right: float
    abstained: bool
    agents: tuple[str, ...]
    seconds: float
    tokens: int | None
    calls: int
    explanation: str = ""


@dataclass(slots=True)
class Board:
    """Everything that was answered, task by task."""

    items: list[DemoTask] = field(default_factory=list)
    rows: dict[str, list[Answered]] = field(default_factory=dict)
    decided: list[dict[str, Any]] = field(default_factory=list)
    """A few routed tasks with question, graph and explanation, for the report."""

    def add(self, row: Answered) -> None:
        """Adds one row to its system's."""
        self.rows.setdefault(row.system, []).append(row)


def systems(
    pool: Pool, routed: Mapping[str, Router], *, best: str, generalist: str, rng: np.random.Generator
) -> Callable[[Task], list[System]]:
    """Returns what is run on each task, the routed systems first.

    Args:
        pool: The specialists; a random one is drawn anew for each task.
        routed: Routers by the name they have in the table.
        best: The best single agent of the training traces.
        generalist: Name of the generalist.
        rng: Draws the random agent.
    """
    from agentnet.graphs import builders

    everyone = builders.vote(pool.names)

    def of(task: Task) -> list[System]:
        return [
            *(System(name, router=router) for name, router in routed.items()),
            System("best single agent", TaskGraph.of([best])),
            System("random agent", TaskGraph.of([pool.names[int(rng.integers(len(pool)))]])),
            System("generalist, nearest examples", TaskGraph.of([generalist])),
            System(VOTE, everyone),
        ]

    return of


async def compare(
    runtime: Runtime,
    client: SharedAnswers,
    store: TraceStore,
    tasks: Sequence[DemoTask],
    of: Callable[[Task], list[System]],
    verifier: Verifier,
    *,
    budget_s: float | None,
    progress: Callable[[int, int], None],
) -> Board:
    """Runs every system on every task; ends early, between two tasks, when the time is used up.

    Args:
        runtime: Runs graphs; its router is set per system.
        client: The shared model client, for what calls took.
        store: Where every run is logged.
        tasks: New tasks.
        of: The systems of a task.
        verifier: Scores answers.
        budget_s: Seconds after which no further task is begun; None has no bound.
        progress: Called with (done, total).
    """
    board = Board()
    start = time.perf_counter()
    for done, item in enumerate(tasks):
        if budget_s is not None and done and time.perf_counter() - start > budget_s:
            break
        board.items.append(item)
        for system in of(item.task):
            await _run(runtime, client, store, item, system, verifier, board)
        progress(done + 1, len(tasks))
        await asyncio.sleep(0)
    store.flush()
    return board


async def _run(
    runtime: Runtime,
    client: SharedAnswers,
    store: TraceStore,
    item: DemoTask,
    system: System,
    verifier: Verifier,
    board: Board,
) -> None:
    runtime.router = system.router
    saved = client.saved_s
    result = await runtime.arun(item.task, system.graph, tags={"system": system.name, "phase": "test"})
    steps = judge(store, result, item, verifier)
    decision = result.decisions[0] if result.decisions else None
    abstained = result.status == "abstained"
    row = Answered(
        system=system.name,
        task_id=item.task.task_id or "",
        right=0.0 if abstained else verifier.score(item, result.answer),
        abstained=abstained,
        agents=tuple(step.agent for step in result.steps if not step.skipped),
        seconds=result.latency_s + client.saved_s - saved,
        tokens=result.tokens,
        calls=result.calls,
    )
    board.add(row)
    if system.router is not None and decision is not None:
        board.decided.append(
            {
                "system": system.name,
                "question": item.task.text,
                "answer": result.answer,
                "gold": item.gold,
                "right": row.right,
                "abstained": abstained,
                "graph": decision.graph,
                "explanation": decision.explain(),
            }
        )
    if system.name == VOTE:
        board.add(_oracle(row, steps))


def _oracle(vote: Answered, steps: Sequence[float]) -> Answered:
    """Right where any agent was; what it would have cost is one agent's share of the vote."""
    n = max(1, len(steps))
    tokens = None if vote.tokens is None else round(vote.tokens / n)
    return Answered(
        system=ORACLE,
        task_id=vote.task_id,
        right=float(max(steps, default=0.0)),
        abstained=False,
        agents=(),
        seconds=vote.seconds / n,
        tokens=tokens,
        calls=1,
    )
