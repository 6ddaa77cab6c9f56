"""Learn from logs: serve, collect, learn, promote, see the gain; break an agent, and watch it recover.

Run it: python examples/learn_from_logs.py [RUNS] [ENCODER] [FOLDER]   (RUNS in each phase; files in FOLDER)
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from agentnet import Router, Runtime, TraceStore, make_router
from agentnet.demo.recorded import RecordedTask, ReplayedAgents, recorded_tasks, right, stream
from agentnet.graphs.task import Task
from agentnet.learning.scoring.run import score_traces
from agentnet.learning.scoring.scorers import VerifierScorer
from agentnet.registry.base import Registry, open_registry
from agentnet.releases.drift import drift_of
from agentnet.releases.gates import Gates
from agentnet.releases.learn import Plan, Release, learn
from agentnet.releases.paired import read_pairs, run_pairs
from agentnet.traces.export import to_outcomes

# Three agents on one model of 135 million parameters. Its answers were recorded and are replayed here.
# With a real model: agents = Pool([Agent(name=..., backend=Backend(model="openai/gpt-4o-mini"))])
NAMES = ("spell_backward", "gcd", "lcm")
agents = ReplayedAgents(NAMES)
verifier = VerifierScorer(right, name="recorded")  # or an LLM judge, people, thumbs: docs/scoring.md

# It explores on 30% of the tasks, for good: what is never tried is never learned.
EXPLORE = {"epsilon": 0.3, "halving": None, "budget": None}
# The model has no price; a small example has little evidence, and 30 questions to tell calibration from.
GATES = Gates(max_cost_rise=None, min_effective=30, max_calibration_error=0.15)


def baseline(tasks: list[RecordedTask], url: str) -> Router:
    """The best agent of a small trial, whatever the task; it explores, and so its log can be learned from."""
    explorer = make_router("random")
    with TraceStore.open(url) as trial, Runtime(agents.pool, explorer, store=trial) as runtime:
        runtime.batch(stream(tasks, 400, seed=1))
        score_traces(trial, verifier, failed="zero")
        router = make_router("eps_greedy", context=False, **EXPLORE)
        router.fit(to_outcomes(trial), agents.pool)
    return router


def serve(runtime: Runtime, store: TraceStore, tasks: Iterable[Task]) -> float:
    """Serves tasks, scores what came out, and returns the share of right answers."""
    results = runtime.batch(tasks)
    score_traces(store, verifier, failed="zero")
    return sum(bool(right(result.task, result.answer)) for result in results) / len(results)


def compare(registry: Registry, old: str, new: str, tasks: list[RecordedTask], url: str) -> str:
    """Runs what both versions choose on tasks that no log holds; the interval is of paired differences."""
    fresh = [Task(task.text, task_id=task.task_id) for task in tasks]
    with TraceStore.open(url) as check, Runtime(agents.pool, store=check) as runtime:
        run_pairs(runtime, fresh, old=registry.load(old), new=registry.load(new))
        score_traces(check, verifier, failed="zero")
        pairs = read_pairs(check, old=old, new=new)
    assert pairs is not None
    gain = pairs.gain(Gates(level=0.95))
    told = f"{pairs.old.mean():.2f} -> {pairs.new.mean():.2f}"
    return f"{len(pairs.new)} new tasks: {told}, gain {gain.gain:+.2f} [{gain.low:+.2f}, {gain.high:+.2f}]"


def tell(release: Release) -> None:
    """Prints the verdict with its reasons."""
    print(f"{release.done}: {release.verdict.reason}")


def wait(runtime: Runtime, version: str) -> None:
    """Waits until the runtime has taken a promoted version up."""
    while runtime.router_version != version:
        time.sleep(0.01)


def main(runs: int, encoder: str, folder: Path) -> None:
    settings = {**EXPLORE, "encoder": encoder}
    log, new = recorded_tasks("log", kinds=NAMES), recorded_tasks("new", kinds=NAMES)
    check = f"sqlite:///{folder}/check.db"
    registry = open_registry(folder / "registry")
    first = registry.add(baseline(log, f"sqlite:///{folder}/trial.db"), note="best agent of a trial")
    registry.promote(first.id, reason="to begin with")
    with (
        TraceStore.open(f"sqlite:///{folder}/traces.db") as store,
        Runtime(agents.pool, registry=registry, store=store, refresh_s=0.05) as runtime,
    ):
        # 1. Serve with the baseline, and score.
        print(f"1 baseline: {serve(runtime, store, stream(log, runs, seed=2)):.2f} right")

        # 2. Learn. The candidate looks at the task and explores as much as the baseline.
        release = learn(store, registry, Plan(router="eps_greedy", settings=settings, gates=GATES))
        print("2 ", end="")
        tell(release)
        if release.done != "promoted":
            return
        wait(runtime, release.version)

        # 3. See the gain: the same process serves it now.
        promoted = time.time()
        print(f"3 learned: {serve(runtime, store, stream(log, runs, seed=3)):.2f} right")
        print("  " + compare(registry, first.id, release.version, new, check))

        # 4. Break an agent. Drift is noticed, and since when.
        agents.broken.add("gcd")
        print(f"4 gcd broken: {serve(runtime, store, stream(log, runs, seed=4)):.2f} right")
        report = drift_of(store, since=promoted)
        for alarm in report.alarms:
            print(f"  {alarm.line()}")

        # 5. Learn from what came after the change, and watch it recover.
        since = max(alarm.since.high for alarm in report.alarms if alarm.since is not None)
        again = learn(store, registry, Plan(gates=GATES, where={"since": since}))
        print("5 ", end="")
        tell(again)
        if again.done != "promoted":
            return
        wait(runtime, again.version)
        print(f"  recovered: {serve(runtime, store, stream(log, runs, seed=5)):.2f} right")
        print("  " + compare(registry, release.version, again.version, new, check))


if __name__ == "__main__":
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 4000
    reads = sys.argv[2] if len(sys.argv) > 2 else "minilm"  # "hash" is quicker and knows words only
    if len(sys.argv) > 3:
        main(size, reads, Path(sys.argv[3]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(size, reads, Path(temporary))
