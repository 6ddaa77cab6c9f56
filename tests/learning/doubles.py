"""An online router that counts what it learned, and runs made by hand."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any

import numpy as np

from agentnet.errors import RouterError
from agentnet.graphs.live import Step
from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Task
from agentnet.graphs.task_graph import TaskGraph
from agentnet.learning.judges import Verdict
from agentnet.routers.base import FitReport
from agentnet.routers.decision import Decision, Evidence, Scores
from agentnet.routers.online import OnlineRouter, Served
from agentnet.runtime.result import RunResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen(Evidence):
    """What the double decided on."""

    task: str
    agent: str


@dataclass(frozen=True)
class Counts:
    """One snapshot: how often each task was learned from."""

    number: int = 0
    by_task: Mapping[str, int] | None = None


class CountingRouter(OnlineRouter):
    """Serves the first agent; learns how often it was told of each task, unless it was rejected."""

    name = "counting"
    needs_fit = False

    def __init__(self) -> None:
        super().__init__()
        self.state = Counts()
        self.batches: list[list[Served]] = []  # shared with copies, as a router's fitted state is
        self.before_learning: Callable[[], None] = lambda: None

    @property
    def counts(self) -> dict[str, int]:
        return dict(self.state.by_task or {})

    @property
    def snapshot_number(self) -> int:
        return self.state.number

    def learn(self, batch: Sequence[Served]) -> int:
        self.before_learning()
        counts = self.counts
        used = [one for one in batch if "task" in one.evidence and one.score > 0]
        for one in used:
            task = one.evidence["task"]
            counts[task] = counts.get(task, 0) + 1
        self.batches.append(list(batch))
        if used:
            self.state = Counts(self.state.number + 1, counts)
        return len(used)

    def snapshot(self) -> bytes:
        return json.dumps([self.state.number, self.counts]).encode()

    def adopt(self, data: bytes) -> None:
        if not data.startswith(b"["):
            raise RouterError("this is no state of a counting router.")
        number, counts = json.loads(data)
        self.state = Counts(number, counts)

    def score_batch(self, tasks: Sequence[Task], pool: Pool, *, vectors: Any = None) -> Scores:
        zeros = np.zeros((len(tasks), len(pool)))
        known = np.ones(len(pool), bool)
        return Scores(agents=pool.names, raw=zeros, calibrated=zeros, cost=zeros, known=known)

    def _decide(
        self, tasks: Sequence[Task], pool: Pool, scores: Scores, options: Any, **_: Any
    ) -> list[Decision]:
        version = f"unfitted.{self.state.number}"
        return [decided(task.text, pool.names[0], version=version) for task in tasks]

    def _fit(self, outcomes: Any, pool: Pool, *, seed: int, device: str) -> FitReport:
        return FitReport(router=self.name, n_train=0, n_val=0, seconds=0)

    def _state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return {"number": self.state.number, "counts": self.counts}, {}

    def _restore(self, config: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
        self.state = Counts(config["number"], config["counts"])


def decided(text: str, agent: str = "a", *, router: str = "counting", version: str = "1") -> Decision:
    """A decision of the double."""
    return Decision(
        graph=TaskGraph.of([agent]),
        candidates=(agent,),
        raw=[0.0],
        calibrated=[0.0],
        cost=[0.0],
        propensity=1.0,
        router=router,
        version=version,
        evidence=partial(Seen, task=text, agent=agent),
    )


def run(text: str, answer: str = "good", *, router: str = "counting", **changes: Any) -> RunResult:
    """A finished run of the task ``text``; its id is made of the text."""
    values: dict[str, Any] = {
        "run_id": f"run-{text}",
        "task": Task(text),
        "status": "ok",
        "answer": answer,
        "decisions": (decided(text, router=router),),
        "steps": (Step(node="a", agent="a", answer=answer, cost=Decimal("0.5"), latency_s=0.1),),
        "cost": Decimal("0.5"),
        "latency_s": 0.25,
    }
    return RunResult(**{**values, **changes})


class Script:
    """A judge that accepts the answer "good", rejects others, and does what certain answers ask for."""

    def __init__(self, name: str = "verifier:script") -> None:
        self._name = name
        self.seen: list[str] = []
        self.cost: Decimal | None = Decimal(0)

    @property
    def name(self) -> str:
        return self._name

    async def judge(self, task: Task, answer: str) -> Verdict:
        self.seen.append(task.text)
        if answer == "raise":
            raise RuntimeError("no verdict, sk-abcdef1234567890")
        if answer == "hang":
            await _never()
        if answer == "unreadable":
            return Verdict(None, self.name, "said perhaps", self.cost)
        score = float(answer) if answer[:1].isdigit() else float(answer == "good")
        return Verdict(score, self.name, cost=self.cost)


async def _never() -> None:
    import asyncio

    await asyncio.Event().wait()


def spin(seconds: float) -> None:
    """Uses this much CPU time of this thread."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


class Gate:
    """Holds a thread until it is opened."""

    def __init__(self) -> None:
        self.reached, self._open = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self.reached.set()
        assert self._open.wait(30)

    def open(self) -> None:
        self._open.set()
