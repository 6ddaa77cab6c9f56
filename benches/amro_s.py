"""AMRO-S: speed of sampling paths, what learning costs serving, how long it holds the interpreter, memory.

    python benches/amro_s.py [--quick] [--blocks 20] [--requests 1000] [--add] [--out FILE]
        [--parts paths,holding,serving,memory,recorded]

- ``paths``: 100,000 paths of three hops (16 agents a layer, 3 specialists, random weights and eta) by `walk`
  on one thread, against plain Python loops of the same rule over lists. The loops run on 2,000 of the
  paths, which come out the same for the same uniform numbers; their time is scaled to 100,000.
- ``serving``: one task at a time through ``Runtime.arun`` with function agents, on paths of three hops;
  blocks with and without the learner (rate 0.2, batches of 32, a program as the judge) take turns. The ratio
  is of p99 over pairs of blocks. ``recorded``: the same where both sides record in SQLite, and the learner
  keeps its state there.
- ``holding``: the main thread does nothing but look at the clock while the learner's threads work. A gap is
  how long it could not. The interpreter's switch interval is once the usual 5 ms, once a second, so that
  nothing makes the learner give way. The machine's own gaps are in the baseline, with the learner paused;
  the time the watcher waited for a processor is taken off, and a gap counts for a thread of the learner at
  most with the processor time which that thread used within it. What was loaded before is frozen
  (`gc.freeze`): a full garbage collection would hold any thread for tens of ms.
- ``memory``: a million tasks of different texts, 10,000 a call, batches learned now and then; growth after
  the first 50,000, and the size of the state by specialists, agents and settings of the dial.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import platform
import resource
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from pathlib import Path

import numpy as np
import torch
from amro_s_paths import AGENTS, LAYERS, Lists, Result, bench_paths, ratio_of, sig

from agentnet import Agent, Outcomes, Pool, RunResult, Runtime, Task, TraceStore
from agentnet.learning.judges import ExactJudge
from agentnet.learning.learner import GatedLearner
from agentnet.outcomes.encoders.cache import CachedEncoder
from agentnet.outcomes.encoders.hashing import HashingEncoder
from agentnet.outcomes.table import Queries
from agentnet.routers.amro_s import AmroSRouter
from agentnet.routers.base import RouteOptions
from agentnet.routers.decision import Feedback
from agentnet.routers.online import Served

TYPES = ("math", "code", "general")
BATCH, RATE = 32, 0.2
DIM, CACHED = 64, 20_000


# -- serving -----------------------------------------------------------------------------------
def make_pool(agents: int = AGENTS) -> Pool:
    """Function agents that know every fourth sum, each another one."""

    def answer(number: int) -> Callable[[str], str]:
        return lambda text: "0" if len(text) % 4 == number % 4 else "1"

    return Pool(Agent(name=f"agent{i:02}", call=answer(i)) for i in range(agents))


def text_of(i: int) -> str:
    return f"{TYPES[i % 3]} question {i}: what is {i % 97} plus {i % 89}, by rule {i * 31 % 9973}?"


def make_router(pool: Pool, types: int = 3) -> AmroSRouter:
    """A fitted router of recipe ``paper`` with a specialist per label, and the cheap hashing encoder."""
    n = 60 * types
    rng = np.random.default_rng(0)
    queries = Queries(
        query_id=np.arange(n).astype(str),
        text=tuple(f"label{i % types} {text_of(i)}" for i in range(n)),
        split=np.full(n, "train"),
        task=tuple(f"label{i % types}" for i in range(n)),
    )
    score = (rng.random((n, len(pool))) < 0.5).astype(np.float32)
    router = AmroSRouter(recipe="paper", encoder=f"hash:{DIM}", seed=0)
    router.use_encoder(CachedEncoder(HashingEncoder(DIM), memory=CACHED))
    router.fit(Outcomes(queries=queries, pool=pool, score=score, cost=rng.random(score.shape) * 1e-3), pool)
    return router


def judge() -> ExactJudge:
    return ExactJudge(lambda task, answer: answer == "0", name="zero")


async def bench_serving(blocks: int, requests: int, recorded: bool) -> Result:
    pool = make_pool()
    router = make_router(pool)
    number = count()
    with tempfile.TemporaryDirectory() as folder:
        store = TraceStore.open(Path(folder) / "traces.db") if recorded else None
        learner = GatedLearner(router, judge(), store=store, rate=RATE, batch=BATCH)
        sides = {
            "off": Runtime(pool, router, store=store),
            "on": Runtime(pool, router, store=store, observers=[learner]),
        }
        whole: dict[str, Lists] = {name: [] for name in sides}
        routing: dict[str, Lists] = {name: [] for name in sides}
        medians: dict[str, Lists] = {name: [] for name in sides}
        for block in range(-1, blocks):
            for name in ("on", "off") if block % 2 else ("off", "on"):
                gc.collect()
                seconds, routed = [], []
                for _ in range(requests):
                    task = Task(text_of(next(number)))
                    start = time.perf_counter()
                    result = await sides[name].arun(task)
                    seconds.append(time.perf_counter() - start)
                    routed.append(result.decisions[0].latency_s or 0.0)
                if block >= 0:
                    whole[name].append(float(np.quantile(seconds, 0.99)))
                    medians[name].append(statistics.median(seconds))
                    routing[name].append(float(np.quantile(routed, 0.99)))
                # What is left of a block belongs to no other one.
                await learner.adrain()
                if store is not None:
                    await store.aflush()
        stats = learner.stats()
        await learner.aclose()
        for runtime in sides.values():
            await runtime.aclose()
        if store is not None:
            store.close()
    assert stats.errors == stats.dropped == 0, stats
    return {
        "blocks": blocks,
        "requests_a_block": requests,
        "p99_ms": {name: sig(statistics.median(each) * 1e3) for name, each in whole.items()},
        "p50_ms": {name: sig(statistics.median(each) * 1e3) for name, each in medians.items()},
        "p99_ratio_on_off": ratio_of(whole["on"], whole["off"]),
        "p50_ratio_on_off": ratio_of(medians["on"], medians["off"]),
        "route_alone_p99_ms": {name: sig(statistics.median(each) * 1e3) for name, each in routing.items()},
        "route_alone_p99_ratio_on_off": ratio_of(routing["on"], routing["off"]),
        "learned": stats.learned,
        "batches": stats.batches,
    }


# -- holding -----------------------------------------------------------------------------------
def queued() -> Callable[[], float]:
    """Returns a reader of the seconds that this thread has waited for a processor; 0 where nobody counts."""
    file = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")
    if not file.exists():
        return lambda: 0.0
    stream = file.open("rb", buffering=0)

    def read() -> float:
        stream.seek(0)
        return int(stream.read(100).split()[1]) * 1e-9

    return read


def watch(seconds: float) -> Lists:
    """Looks at the clock again and again.

    Returns:
        Each gap's length less the time this thread waited for a processor, its length, and the processor
        time of the learner's judging thread and of its batch thread within it; all in seconds.
    """
    threads = sorted(threading.enumerate(), key=lambda thread: thread.name)
    names = ("agentnet-learner", "agentnet-learn_")
    found = [one for name in names for one in threads if one.name.startswith(name)]
    clocks = [time.pthread_getcpuclockid(one.ident) for one in found if one.ident is not None]
    waited, gaps = queued(), []
    last = start = time.perf_counter()
    used = [waited(), *map(time.clock_gettime, clocks)]
    while last < start + seconds:
        time.sleep(0)
        now, busy = time.perf_counter(), [waited(), *map(time.clock_gettime, clocks)]
        queue, *parts = (b - a for a, b in zip(used, busy, strict=True))
        gaps.append((now - last - queue, now - last, *parts))
        last, used = now, busy
    return gaps


def spread(values: Sequence[float]) -> Result:
    p50, p99, most = np.quantile(values, [0.5, 0.99, 1.0]) * 1e3
    return {"p50_ms": sig(p50), "p99_ms": sig(p99), "max_ms": sig(most)}


def top(seconds: Iterable[float]) -> list[float]:
    """The three longest, in milliseconds."""
    return [sig(value * 1e3) for value in sorted(seconds)[-3:][::-1]]


def bench_holding(rounds: int, recorded: bool) -> Result:
    pool = make_pool()
    router = make_router(pool)
    found: Result = {"batches_watched": 0}
    each = 4 * BATCH
    with tempfile.TemporaryDirectory() as folder:
        store = TraceStore.open(Path(folder) / "traces.db") if recorded else None
        with Runtime(pool, router, store=store) as runtime:
            results = runtime.batch([text_of(i) for i in range(2 * rounds * each)])
        learner = GatedLearner(router, judge(), store=store, rate=1.0, batch=BATCH, recover_s=0)
        usual = sys.getswitchinterval()
        # A full garbage collection of all that was loaded takes tens of ms in whichever thread it falls.
        gc.collect()
        gc.freeze()
        for interval in (usual, 1.0):
            gaps: dict[str, Lists] = {"learning": [], "paused": []}
            for _ in range(rounds):
                learner.pause()
                gc.collect()
                gaps["paused"] += watch(0.4)
                for _ in range(each):
                    learner.offer(results.pop())
                learner.resume()
                sys.setswitchinterval(interval)
                before = learner.stats().batches
                while learner.stats().waiting:
                    gaps["learning"] += watch(0.1)
                sys.setswitchinterval(usual)
                found["batches_watched"] += learner.stats().batches - before
            found[f"switch_interval_{interval:g}_s"] = {
                name: {
                    "longest_gaps_ms": top(one[1] for one in values),
                    "less_waiting_for_a_processor_ms": top(one[0] for one in values),
                    "longest_by_judging_ms": top(min(one[0], one[2]) for one in values),
                    "longest_by_batch_ms": top(min(one[0], one[-1]) for one in values),
                    "looks": len(values),
                }
                for name, values in gaps.items()
            }
        found["learners_own_longest_ms"] = sig(learner.stats().longest_hold_s * 1e3)
        learner.close()
        if store is not None:
            store.close()
    return found


def bench_batches(batches: int) -> Result:
    """Times of `learn` of one batch, and of reading its runs into what is learned from."""
    pool = make_pool()
    router = make_router(pool)
    reading, wall, busy = [], [], []
    with Runtime(pool, router) as runtime:
        results: list[RunResult] = list(runtime.batch([text_of(i) for i in range(8 * BATCH)]))
    gc.collect()
    gc.freeze()
    for block in range(-3, batches):
        start = time.perf_counter()
        served = [
            Served.of(Feedback(text="", decision=one.decisions[0], score=float(i % 2), cost=None))
            for i, one in enumerate(results[(block % 8) * BATCH :][:BATCH])
        ]
        read, used = time.perf_counter(), time.thread_time()
        assert router.learn(served) == BATCH
        if block >= 0:
            reading.append(read - start)
            wall.append(time.perf_counter() - read)
            busy.append(time.thread_time() - used)
    return {
        "batches": batches,
        "learn": spread(wall),
        "learn_processor": spread(busy),
        "read": spread(reading),
    }


# -- memory ------------------------------------------------------------------------------------
def resident_mb() -> float:
    """Memory of this process now; its peak where there is no /proc."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return pages * resource.getpagesize() / 2**20


def bench_memory(requests: int, chunk: int) -> Result:
    pool, rng = make_pool(), np.random.default_rng(0)
    router = make_router(pool)
    warm = requests // 20
    marks: list[tuple[int, float, int]] = []
    options = RouteOptions(rng=rng)
    learned = 0
    for start in range(0, requests, chunk):
        decisions = router.route_batch(
            [Task(text_of(i)) for i in range(start, start + chunk)], pool, options=options
        )
        for at in range(0, chunk, max(chunk // 5, BATCH)):
            batch = decisions[at : at + BATCH]
            learned += router.learn(
                [Served.of(Feedback(text="", decision=one, score=float(rng.random() < 0.5))) for one in batch]
            )
        router.observe(Feedback(text="", decision=decisions[-1], score=1.0))
        del decisions, batch
        if (start + chunk) % warm == 0:
            gc.collect()
            marks.append((start + chunk, resident_mb(), sys.getallocatedblocks()))
    first, last = marks[0], marks[-1]
    later = marks[len(marks) // 2 :]
    return {
        "requests": requests,
        "learned": learned,
        "snapshots": router.snapshot_number,
        "warm_up": first[0],
        "resident_mb": {"after_warm_up": sig(first[1]), "at_the_end": sig(last[1])},
        "growth_mb": sig(last[1] - first[1]),
        "growth_of_second_half_mb": sig(later[-1][1] - later[0][1]),
        "python_blocks": {"after_warm_up": first[2], "at_the_end": last[2]},
        "blocks_a_1000_requests_in_second_half": sig(
            (later[-1][2] - later[0][2]) / max(1, later[-1][0] - later[0][0]) * 1000
        ),
        "marks": [{"requests": n, "resident_mb": sig(mb), "python_blocks": b} for n, mb, b in marks],
        "state": [state_of(types, agents) for types, agents in ((3, 16), (6, 16), (3, 32), (6, 32))],
    }


def state_of(types: int, agents: int) -> Result:
    """Size of the learned state before and after 2,000 requests with learning."""
    pool = make_pool(agents)
    router = make_router(pool, types)
    before = len(router.snapshot())
    decisions = router.route_batch([Task(text_of(i)) for i in range(2000)], pool)
    for at in range(0, 2000, BATCH):
        batch = decisions[at : at + BATCH]
        router.learn([Served.of(Feedback(text="", decision=one, score=1.0)) for one in batch])
    settings = len(router._bank.dials) if router._bank else 0
    edges = router.colony.space.edges
    return {
        "specialists": len(router.colony.types),
        "agents": agents,
        "edges": edges,
        "dial_settings": settings,
        "formula_bytes": len(router.colony.types) * edges * 8 * settings,
        "snapshot_bytes": {"before": before, "after": len(router.snapshot())},
    }


def main() -> int:
    """Measures, prints and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a short look; its figures mean little")
    parser.add_argument("--blocks", type=int, default=20)
    parser.add_argument("--requests", type=int, default=1000, help="requests in a block of serving")
    parser.add_argument("--parts", default="paths,holding,serving,memory,recorded")
    parser.add_argument("--add", action="store_true", help="keep the other parts of the file")
    parser.add_argument("--out", type=Path, default=Path("results.json"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    blocks, requests = (3, 100) if args.quick else (args.blocks, args.requests)
    result: Result = {
        "machine": {
            "processor": platform.machine(),
            "python": platform.python_version(),
            "torch": torch.__version__,
        },
        "agents": AGENTS,
        "layers": LAYERS,
        "types": len(TYPES),
        "rate": RATE,
        "batch": BATCH,
    }
    if args.add and args.out.exists():
        result = json.loads(args.out.read_text(encoding="utf-8")) | result
    command = " ".join(["python", "benches/amro_s.py", *sys.argv[1:]])

    def holding() -> Result:
        rounds = 1 if args.quick else 5
        return {
            "single_batches": bench_batches(50 if args.quick else 500),
            "in_memory": bench_holding(rounds, False),
            "recorded": bench_holding(rounds, True),
        }

    parts: dict[str, Callable[[], Result]] = {
        "paths": lambda: bench_paths(blocks, args.quick),
        "holding": holding,
        "serving": lambda: asyncio.run(bench_serving(blocks, requests, False)),
        "memory": lambda: bench_memory(*((20_000, 1000) if args.quick else (1_000_000, 10_000))),
        "recorded": lambda: asyncio.run(bench_serving(blocks, requests, True)),
    }
    wanted = args.parts.split(",")
    for name, bench in parts.items():
        if name in wanted:
            result[name] = {"command": command} | bench()
            print(json.dumps({name: result[name]}, indent=2), flush=True)
            args.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
