"""Many concurrent tasks over eight live backends: accuracy, throughput and latency by router and level.

Real HTTP on loopback, the real LiteLLM client, the real runtime. Eight OpenAI-compatible test servers run in
a process of their own, each with its latency, capacity, failure rate and accuracy by type of question. The
learned router is fitted on outcomes of other questions, taken from the same servers at low load.

    python benches/stress.py [--tasks 5000] [--levels 20,50,200,500,1000]
        [--routers amro_s,round_robin,random] [--drill 3000] [--quick] [--add] [--out results.json]

Routers: ``amro_s`` (one layer, sampling, hashing encoder), ``round_robin`` (weights: the declared
capacities), ``rate_round_robin`` (weights: declared capacity over unloaded latency) and ``random``. All have
the same client, retries and time limit; a task that fails counts as wrong. The drill slows one backend
tenfold and kills another at one third of its tasks; both are well again at two thirds.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import platform
import resource
import statistics
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from agentnet import Agent, Backend, Limits, Outcomes, Pool, RunResult, Runtime, Task, TaskGraph
from agentnet.bench.metrics import bootstrap_ci
from agentnet.outcomes.table import Queries
from agentnet.routers.base import Router
from agentnet.routers.registry import make_router
from agentnet.runtime.client import Request, Response
from agentnet.runtime.clients.litellm_client import LiteLLMClient
from agentnet.runtime.live import LiveTracker
from agentnet.testing import Behaviour, Fleet, Pupil, Question, make_quiz

LIMIT_S = 60.0
COOLDOWN_S = 2.0
FORGET_S = 5.0
SLOWED, KILLED = "cedar", "delta"
DRILL_CONCURRENCY, WINDOW = 100, 200
RECORDED = 240
MARKS = {"onnection": "connection", "429": "429", "RateLimit": "429", "500": "500", "Internal": "500"}
SETTINGS = ("machine", "limit_s", "cooldown_s", "forget_s", "fleet", "tasks", "drill_setting")


@dataclass(frozen=True, slots=True)
class Member:
    """One backend: what it is, and what it says of itself."""

    name: str
    capacity: int
    declared: int
    """What the client believes and holds to (``Backend.max_parallel``)."""
    latency_s: float
    overload: Literal["wait", "reject"]
    failure_rate: float
    accuracy: tuple[float, float, float]
    """For math, code and general questions."""
    price: str
    """USD per million tokens."""

    def behaviour(self) -> Behaviour:
        """What the server does."""
        skill = dict(zip(("math", "code", "general"), self.accuracy, strict=True))
        return Behaviour(
            answer=Pupil(self.name, skill),
            latency_s=self.latency_s,
            jitter=0.3,
            capacity=self.capacity,
            overload=self.overload,
            failure_rate=self.failure_rate,
        )


FLEET = (
    Member("harbor", 14, 14, 1.40, "wait", 0.0, (0.95, 0.93, 0.95), "3"),
    Member("ridge", 8, 8, 1.10, "reject", 0.01, (0.92, 0.96, 0.92), "2.5"),
    Member("cedar", 6, 6, 0.95, "wait", 0.005, (0.97, 0.88, 0.90), "2"),
    Member("delta", 5, 6, 1.20, "reject", 0.01, (0.90, 0.91, 0.96), "2"),
    Member("ember", 4, 4, 0.70, "wait", 0.02, (0.84, 0.90, 0.92), "1"),
    Member("flint", 4, 4, 0.90, "reject", 0.0, (0.91, 0.82, 0.90), "1"),
    Member("grove", 4, 4, 1.00, "wait", 0.01, (0.83, 0.80, 0.93), "0.5"),
    Member("heath", 4, 4, 1.20, "wait", 0.03, (0.80, 0.86, 0.86), "0.5"),
)
BEHAVIOURS = {item.name: item.behaviour() for item in FLEET}


class WatchedClient(LiteLLMClient):
    """Notes which agent each request is for, in order, and does something after so many requests."""

    def __init__(self, after: dict[int, Callable[[], Awaitable[None]]] | None = None) -> None:
        super().__init__()
        self.asked: list[str] = []
        self._after = after or {}
        self.doing: list[asyncio.Task[None]] = []

    async def complete(self, request: Request) -> Response:
        """Passes a request on."""
        if (act := self._after.get(len(self.asked))) is not None:
            self.doing.append(asyncio.create_task(act()))  # type: ignore[arg-type]
        self.asked.append(str(request.agent))
        # What is left of the task's time differs from call to call, and LiteLLM opens new connections for
        # every new timeout it is told. The run itself ends in time (`Limits`); the attempt has the backend's.
        return await super().complete(replace(request, timeout_s=None))


@dataclass(slots=True)
class Round:
    """What one stretch of tasks gave; ``right`` is 0 or 1 for each."""

    results: list[RunResult]
    seconds: float
    processor_s: float
    asked: list[str]
    right: np.ndarray


def agent_of(item: Member, url: str) -> Agent:
    """One agent on one server."""
    price = Decimal(item.price)
    backend = Backend(
        name=item.name, model="openai/test", max_parallel=item.declared, options={"api_base": url},
        price_in_per_mtok=price, price_out_per_mtok=price,
    )  # fmt: skip
    return Agent(name=item.name, backend=backend)


def pool_of(fleet: Fleet) -> Pool:
    """The agents, one on each server."""
    return Pool(agent_of(item, fleet.urls[item.name]) for item in FLEET)


async def play(
    pool: Pool,
    router: Router | None,
    quiz: Sequence[Question],
    concurrency: int,
    *,
    graph: TaskGraph | None = None,
    client: WatchedClient | None = None,
) -> Round:
    """Runs the questions with so many in flight at all times, and marks the answers."""
    client, results = client or WatchedClient(), dict[int, RunResult]()
    tasks = [Task(question.text, task_id=f"q{i}") for i, question in enumerate(quiz)]
    gc.collect()
    tracker = LiveTracker(client, cooldown_s=COOLDOWN_S, forget_s=FORGET_S)
    async with Runtime(pool, router, client=tracker) as runtime:
        start, busy = time.perf_counter(), time.process_time()
        stream = runtime.abatch_iter(tasks, graph, concurrency=concurrency, limits=Limits(seconds=LIMIT_S))
        async for i, result in stream:
            results[i] = result
        seconds, processor = time.perf_counter() - start, time.process_time() - busy
    await asyncio.gather(*client.doing)
    right = [results[i].ok and results[i].answer == question.answer for i, question in enumerate(quiz)]
    return Round(
        [results[i] for i in range(len(quiz))], seconds, processor, client.asked, np.array(right, float)
    )


async def recorded_outcomes(n: int) -> Outcomes:
    """What a user would have: every agent's answers to n other questions, at low load."""
    quiz = make_quiz(n, seed=1000)
    async with Fleet(BEHAVIOURS) as fleet:
        pool = pool_of(fleet)
        rounds = await asyncio.gather(
            *(play(pool, None, quiz, 3, graph=TaskGraph.of([name])) for name in pool.names)
        )
    rows = [
        {
            "query_id": f"q{i}",
            "agent": name,
            "score": float(right) if result.ok else None,
            "cost_usd": result.cost,
            "latency_s": result.latency_s,
            "response": result.answer,
        }
        for name, done in zip(pool.names, rounds, strict=True)
        for i, (result, right) in enumerate(zip(done.results, done.right, strict=True))
    ]
    queries = Queries(
        query_id=np.array([f"q{i}" for i in range(n)]),
        text=tuple(question.text for question in quiz),
        split=np.array(["val" if i % 5 == 0 else "train" for i in range(n)]),
        task=tuple(question.kind for question in quiz),
    )
    return Outcomes.from_rows(queries, pool, rows)


def make(name: str, outcomes: Outcomes | None) -> Router:
    """A router as it is measured."""
    if name == "round_robin":
        return make_router("round_robin", weights=[f"{item.name}={item.declared}" for item in FLEET])
    if name == "rate_round_robin":
        return make_router("round_robin", weights=[f"{m.name}={m.declared / m.latency_s:.4f}" for m in FLEET])
    if name != "amro_s":
        return make_router(name)
    router = make_router("amro_s", layers=1, mode="sample", encoder="hash")
    assert outcomes is not None
    router.fit(outcomes, outcomes.pool, seed=0)
    return router


def kind_of(result: RunResult) -> str:
    """Why a task failed."""
    text = " ".join([result.error or "", *(step.error or "" for step in result.steps)])
    if result.status == "limit":
        return "time limit"
    return next((kind for mark, kind in MARKS.items() if mark in text), "other")


def told(done: Round) -> dict[str, Any]:
    """The figures of one round."""
    taken = np.array([result.latency_s for result in done.results])
    decided = [result.decisions[0].latency_s or 0.0 for result in done.results if result.decisions]
    failed = [result for result in done.results if not result.ok]
    n = len(done.results)
    return {
        "tasks": n,
        "accuracy": float(done.right.mean()),
        "accuracy_ci": bootstrap_ci(done.right),
        "answered_and_wrong": float((1 - done.right).sum() - len(failed)) / n,
        "failed": len(failed) / n,
        "errors": dict(Counter(map(kind_of, failed)).most_common()),
        "tasks_per_s": n / done.seconds,
        "latency_p50_s": float(np.quantile(taken, 0.5)),
        "latency_p99_s": float(np.quantile(taken, 0.99)),
        "decision_p50_ms": float(np.quantile(decided, 0.5)) * 1e3 if decided else None,
        "decision_p99_ms": float(np.quantile(decided, 0.99)) * 1e3 if decided else None,
        "processor_ms_per_task": done.processor_s / n * 1e3,
        "share": {item.name: done.asked.count(item.name) / len(done.asked) for item in FLEET},
    }


async def ceiling(names: Sequence[str], outcomes: Outcomes | None, n: int) -> dict[str, Any]:
    """Tasks a second that client and runtime manage when the servers answer at once; median of three."""
    fast = {
        name: replace(how, latency_s=0.0, failure_rate=0.0, capacity=None) for name, how in BEHAVIOURS.items()
    }
    found: dict[str, list[float]] = {}
    async with Fleet(fast) as fleet:
        pool = Pool(agent_of(replace(item, declared=64), fleet.urls[item.name]) for item in FLEET)
        quiz = make_quiz(n, seed=7)
        for turn in range(4):
            for name in ("one backend, no router", *names):
                one = TaskGraph.of([pool.names[0]]) if name not in names else None
                router = make(name, outcomes) if one is None else None
                done = await play(pool, router, quiz, 64, graph=one)
                if turn:
                    found.setdefault(name, []).append(n / done.seconds)
    return {name: statistics.median(values) for name, values in found.items()}


async def drill(name: str, outcomes: Outcomes | None, quiz: Sequence[Question]) -> dict[str, Any]:
    """One backend ten times slower and one killed in the second third of the tasks."""
    fall, rise = len(quiz) // 3, 2 * len(quiz) // 3
    async with Fleet(BEHAVIOURS) as fleet:

        async def turn(well: bool) -> None:
            usual = BEHAVIOURS[SLOWED].latency_s
            await fleet.change(SLOWED, latency_s=usual if well else 10 * usual)
            await (fleet.start(KILLED) if well else fleet.stop(KILLED))

        client = WatchedClient({fall: partial(turn, False), rise: partial(turn, True)})
        done = await play(pool_of(fleet), make(name, outcomes), quiz, DRILL_CONCURRENCY, client=client)
    phases = {"before": slice(0, fall), "broken": slice(fall, rise), "after": slice(rise, None)}
    figures: dict[str, Any] = {
        "phases": {
            phase: {
                "accuracy": float(done.right[part].mean()),
                "failed": float(np.mean([not result.ok for result in done.results[part]])),
                "errors": dict(Counter(kind_of(r) for r in done.results[part] if not r.ok)),
                "latency_p99_s": float(np.quantile([r.latency_s for r in done.results[part]], 0.99)),
                "share": {b: done.asked[part].count(b) / len(done.asked[part]) for b in (SLOWED, KILLED)},
            }
            for phase, part in phases.items()
        },
        "tasks_per_s": len(quiz) / done.seconds,
    }
    for backend, what in ((SLOWED, "slowed"), (KILLED, "killed")):
        mine = np.array([asked == backend for asked in done.asked], float)
        figures[what] = {"backend": backend} | moved(mine, fall, rise)
    return figures


def moved(mine: np.ndarray, fall: int, rise: int) -> dict[str, int | float | None]:
    """Decisions until the share in the last ``WINDOW`` is below 1/4, and again above 1/2, of that before."""
    share = np.convolve(mine, np.ones(WINDOW) / WINDOW)[: len(mine)]
    before = float(mine[:fall].mean())
    low = np.flatnonzero(share[fall:rise] < before / 4)
    high = np.flatnonzero(share[rise:] > before / 2)
    gone = share[rise - 1] < before / 2
    return {
        "share_before": before,
        "decisions_to_leave": int(low[0]) + 1 if len(low) else None,
        "share_at_the_end_of_the_fault": float(share[rise - 1]),
        "decisions_to_return": int(high[0]) + 1 if gone and len(high) else None,
    }


def show(name: str, concurrency: int, row: dict[str, Any]) -> None:
    """Prints a level's line."""
    low, high = row["accuracy_ci"]
    change = "change {:+.4f} [{:+.4f}, {:+.4f}]".format(*row["change"]) if "change" in row else ""
    print(
        f"{name:17s}{concurrency:5d}  accuracy {row['accuracy']:.4f} [{low:.4f}, {high:.4f}] {change}"
        f"  {row['tasks_per_s']:6.1f}/s  p50 {row['latency_p50_s']:6.2f} s  p99 {row['latency_p99_s']:6.2f} s"
        f"  failed {row['failed']:.4f} {row['errors']}",
        flush=True,
    )


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All parts, one after the other; the routers take turns within a level."""
    names, levels = options.routers.split(","), [int(value) for value in options.levels.split(",")]
    outcomes = await recorded_outcomes(40 if options.quick else RECORDED) if "amro_s" in names else None
    top = await ceiling(names, outcomes, 60 if options.quick else 200)
    capacity = sum(item.capacity / item.latency_s for item in FLEET)
    print(f"tasks/s at most: servers {capacity:.1f}, client alone {json.dumps(top)}", flush=True)
    quiz = make_quiz(options.tasks, seed=1)
    rows: dict[str, dict[str, Any]] = {name: {} for name in names}
    base: dict[str, np.ndarray] = {}
    for concurrency in levels:
        for name in names:
            async with Fleet(BEHAVIOURS) as fleet:  # servers that have seen nothing yet
                done = await play(pool_of(fleet), make(name, outcomes), quiz, concurrency)
            row = rows[name][str(concurrency)] = told(done)
            if name in base:
                change = done.right - base[name]
                row["change"] = (float(change.mean()), *bootstrap_ci(change))
            base.setdefault(name, done.right)
            show(name, concurrency, row)
    drills: dict[str, Any] = {}
    if options.drill:
        for name in names:
            drills[name] = await drill(name, outcomes, make_quiz(options.drill, seed=2))
            print(f"drill {name}: {json.dumps(drills[name])}", flush=True)
    return {"ceiling_tasks_per_s": top, "servers_tasks_per_s": capacity, "levels": rows, "drill": drills}


def added(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The new figures beside those of other routers that were measured before, under the same settings."""
    for key in SETTINGS:
        if old[key] != json.loads(json.dumps(new[key])):
            raise SystemExit(f"the results in --out have another {key}; write to another file.")
    merged = {key: old[key] | new[key] for key in ("ceiling_tasks_per_s", "levels", "drill")}
    return new | merged | {"command": f"{old['command']}; {new['command']}"}


def main() -> int:
    """Measures, prints and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, default=5000)
    parser.add_argument("--levels", default="20,50,200,500,1000")
    parser.add_argument("--routers", default="amro_s,round_robin,random")
    parser.add_argument("--drill", type=int, default=3000, help="tasks of the fault drill; 0 leaves it out")
    parser.add_argument("--quick", action="store_true", help="300 tasks, two levels, no drill")
    parser.add_argument("--add", action="store_true", help="add to the routers measured before in --out")
    parser.add_argument("--out", type=Path, default=Path("results.json"))
    options = parser.parse_args()
    if options.quick:
        options.tasks, options.levels, options.drill = 300, "20,200", 0
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    result = {
        "command": " ".join(["python", "benches/stress.py", *sys.argv[1:]]),
        "python": platform.python_version(),
        "machine": {"processor": platform.machine(), "cores": os.cpu_count()},
        "tasks": options.tasks,
        "limit_s": LIMIT_S,
        "cooldown_s": COOLDOWN_S,
        "forget_s": FORGET_S,
        "fleet": [{key: getattr(item, key) for key in Member.__slots__} for item in FLEET],
        "drill_setting": {"concurrency": DRILL_CONCURRENCY, "window": WINDOW, "tasks": options.drill},
    } | asyncio.run(measure(options))
    if options.add:
        result = added(json.loads(options.out.read_text(encoding="utf-8")), result)
    options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
