"""The learner without a store: what is offered, judged, learned and counted, and that nobody waits."""

from __future__ import annotations

import threading
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from agentnet import Agent, Pool, Runtime, Task
from agentnet.errors import InvalidInput
from agentnet.graphs.live import Step
from agentnet.learning.learner import GatedLearner
from agentnet.learning.samples import sampled
from agentnet.runtime.result import RunResult

from .doubles import CountingRouter, Gate, Script, decided, run, spin


def learner(router: CountingRouter, judge: Script | None = None, **settings: Any) -> GatedLearner:
    """A learner that learns when a batch is full or somebody waits, and never by the clock."""
    return GatedLearner(router, judge or Script(), **{"rate": 1.0, "every_s": 3600.0, **settings})


def test_what_passes_the_gate_is_learned_once_with_score_one() -> None:
    router = CountingRouter()
    with learner(router) as taught:
        for text, answer in (("q1", "good"), ("q2", "bad"), ("q3", "0.5"), ("q4", "0.49")):
            taught.offer(run(text, answer))
        taught.drain()
        stats = taught.stats()
    assert router.counts == {"q1": 1, "q3": 1}
    assert [one.score for one in router.batches[0]] == [1.0, 0.0, 1.0, 0.0], "the gate is binary"
    one = router.batches[0][0]
    assert (one.evidence, one.ran) == ({"task": "q1", "agent": "a"}, ("a",))
    assert (one.cost, one.latency_s) == (0.5, 0.25)
    assert (stats.offered, stats.sampled, stats.judged, stats.accepted, stats.learned) == (4, 4, 4, 2, 2)
    assert (stats.batches, stats.errors, stats.dropped, stats.waiting) == (1, 0, 0, 0)
    assert (stats.version, stats.shared_version) == (1, None)


@pytest.mark.parametrize("tell", [True, False])
def test_rejected_runs_change_nothing(tell: bool) -> None:
    router = CountingRouter()
    before = router.state
    with learner(router, batch=1, tell_rejected=tell) as taught:
        for i in range(20):
            taught.offer(run(f"q{i}", "bad"))
        taught.drain()
        stats = taught.stats()
        assert (stats.judged, stats.accepted, stats.batches) == (20, 0, 20 * tell)
    assert router.state is before and len(router.batches) == 20 * tell


def test_without_a_gate_every_judged_run_is_learned_with_its_own_score() -> None:
    router = CountingRouter()
    with learner(router, accept=None) as taught:
        for text, answer in (("q1", "0.3"), ("q2", "bad"), ("q3", "unreadable")):
            taught.offer(run(text, answer))
    assert [one.score for one in router.batches[0]] == [0.3, 0.0]


@pytest.mark.parametrize(
    "result",
    [
        run("q", status="error"),
        run("q", status="limit"),
        run("q", status="cancelled"),
        run("q", status="abstained", decisions=()),
        run("q", abstained=True),
        run("q", router="knn"),
        run("q", decisions=(decided("q"), decided("q"))),
        run("q", decisions=()),
    ],
    ids=["error", "limit", "cancelled", "abstained", "fallback", "other router", "two turns", "no decision"],
)
def test_what_cannot_teach_is_not_offered(result: RunResult) -> None:
    judge = Script()
    with learner(CountingRouter(), judge) as taught:
        taught.offer(result)
        taught.drain()
        assert (taught.stats().offered, judge.seen) == (0, [])


def test_skipped_nodes_did_not_run() -> None:
    router = CountingRouter()
    steps = (
        Step(node="n1", agent="a", answer="x"),
        Step(node="n2", agent="a", skipped=True),
        Step(node="n3", agent="a", error="no"),
        Step(node="n1", agent="a", round=1, answer="y"),
    )
    with learner(router) as taught:
        taught.offer(run("q", steps=steps))
    assert router.batches[0][0].ran == ("n1", "n3")


# -- sampling and the queue ----------------------------------------------------------------------
def test_the_rate_is_honoured_and_the_same_runs_are_taken_again() -> None:
    def taken(seed: int, rate: float) -> set[str]:
        judge = Script()
        with learner(CountingRouter(), judge, rate=rate, seed=seed) as taught:
            for i in range(2000):
                taught.offer(run(f"q{i}", "bad"))
            taught.drain()
            stats = taught.stats()
        assert (stats.offered, stats.sampled, stats.judged) == (2000, len(judge.seen), len(judge.seen))
        return set(judge.seen)

    few = taken(0, 0.2)
    assert 310 < len(few) < 490, "400 expected; 5 standard errors are 89"
    assert taken(0, 0.2) == few != taken(1, 0.2)
    assert few == {f"q{i}" for i in range(2000) if sampled(f"run-q{i}", rate=0.2)}
    assert few < taken(0, 0.5), "a higher rate takes more of the same"
    assert taken(0, 0.0) == set() and len(taken(0, 1.0)) == 2000


def test_a_full_queue_drops_the_oldest_and_counts() -> None:
    router, judge = CountingRouter(), Script()
    with learner(router, judge, queue=5) as taught:
        taught.pause()
        for i in range(12):
            taught.offer(run(f"q{i}"))
        stats = taught.stats()
        assert (stats.sampled, stats.dropped, stats.waiting) == (12, 7, 5)
        taught.resume()
        taught.drain()
    assert judge.seen == [f"q{i}" for i in range(7, 12)]


def test_paused_it_judges_nothing_and_goes_on_where_it_was() -> None:
    judge = Script()
    with learner(CountingRouter(), judge, batch=1) as taught:
        taught.pause()
        for i in range(3):
            taught.offer(run(f"q{i}"))
        taught.refresh()  # there and back through the worker's loop
        assert (judge.seen, taught.stats().waiting) == ([], 3)
        taught.drain()
        assert (len(judge.seen), taught.stats().learned) == (3, 3)


# -- failures ------------------------------------------------------------------------------------
def test_a_judge_that_fails_costs_its_run_only(caplog: pytest.LogCaptureFixture) -> None:
    router = CountingRouter()
    with learner(router, judge_timeout_s=0.02) as taught:
        for text, answer in (
            ("q1", "raise"),
            ("q2", "hang"),
            ("q3", "unreadable"),
            ("q4", "7"),
            ("q5", "good"),
        ):
            taught.offer(run(text, answer))
        taught.drain()
        stats = taught.stats()
    assert router.counts == {"q5": 1}
    assert (stats.errors, stats.unreadable, stats.judged) == (3, 1, 1)
    assert "run-q1" in caplog.text and "RuntimeError: no verdict, [secret]" in caplog.text
    assert "sk-abcdef" not in caplog.text


def test_a_router_that_fails_to_learn_costs_its_batch_only() -> None:
    router = CountingRouter()
    failures = [ValueError("no"), None]

    def fail() -> None:
        if (failure := failures.pop(0)) is not None:
            raise failure

    router.before_learning = fail
    with learner(router, batch=2) as taught:
        for i in range(4):
            taught.offer(run(f"q{i}"))
        taught.drain()
        assert (taught.stats().errors, taught.stats().learned) == (1, 2)
    assert router.counts == {"q2": 1, "q3": 1}


def test_costs_of_judging_are_summed_and_unknown_ones_counted() -> None:
    judge = Script()
    judge.cost = Decimal("0.25")
    with learner(CountingRouter(), judge) as taught:
        taught.offer(run("q1"))
        taught.offer(run("q2", "unreadable"))
        taught.drain()
        judge.cost = None
        taught.offer(run("q3"))
        taught.drain()
        stats = taught.stats()
    assert (stats.judge_cost, stats.judge_cost_unknown) == (Decimal("0.50"), 1)


# -- batches and snapshots -----------------------------------------------------------------------
def test_batches_are_as_large_as_asked() -> None:
    router = CountingRouter()
    with learner(router, batch=4) as taught:
        taught.pause()
        for i in range(10):
            taught.offer(run(f"q{i}"))
        taught.drain()
        assert taught.stats().batches == 3
    assert [[one.evidence["task"] for one in batch] for batch in router.batches] == [
        ["q0", "q1", "q2", "q3"],
        ["q4", "q5", "q6", "q7"],
        ["q8", "q9"],
    ]


def test_a_batch_that_is_not_full_is_learned_in_time() -> None:
    router, learned = CountingRouter(), threading.Event()
    router.before_learning = learned.set
    with learner(router, batch=100, every_s=0.01) as taught:
        taught.offer(run("q"))
        assert learned.wait(30)


def test_readers_in_other_threads_see_each_new_snapshot_and_never_an_older_one() -> None:
    router, stop = CountingRouter(), threading.Event()
    seen: list[int] = []

    def read() -> None:
        while not stop.is_set():
            seen.append(router.snapshot_number)

    reader = threading.Thread(target=read)
    reader.start()
    with learner(router, batch=1) as taught:
        for i in range(30):
            taught.offer(run(f"q{i}"))
            taught.drain()
            assert taught.stats().version == i + 1
    stop.set()
    reader.join()
    assert seen == sorted(seen) and router.snapshot_number == 30


def test_serving_goes_on_while_learning_is_stuck() -> None:
    router, gate = CountingRouter(), Gate()
    router.before_learning = gate
    pool = Pool([Agent(name="a", call=lambda text: "good")])
    with (
        learner(router, batch=1, queue=3) as taught,
        Runtime(pool, router, observers=[taught]) as runtime,
    ):
        runtime.run("first")
        assert gate.reached.wait(30), "the learner is inside learn() now"
        results = [runtime.run(f"q{i}") for i in range(20)]
        assert all(result.ok for result in results)
        assert {result.decisions[0].version for result in results} == {"unfitted.0"}, "the old snapshot"
        gate.open()
        taught.drain()
        assert runtime.run("last").decisions[0].version != "unfitted.0"


def test_how_long_learning_held_the_interpreter_is_measured() -> None:
    router = CountingRouter()
    with learner(router, batch=1) as taught:
        taught.offer(run("q1"))
        taught.drain()
        usual = taught.stats().longest_hold_s
        router.before_learning = lambda: spin(usual + 0.02)
        taught.offer(run("q2"))
        taught.drain()
        assert taught.stats().longest_hold_s >= usual + 0.02


# -- the end -------------------------------------------------------------------------------------
def test_close_drains_then_takes_nothing_more(tmp_path: Path) -> None:
    router = CountingRouter()
    router.version = "v1"
    taught = learner(router, checkpoint=tmp_path / "saved")
    taught.pause()
    for i in range(10):
        taught.offer(run(f"q{i}"))
    taught.close()
    assert len(router.counts) == 10
    assert (tmp_path / "saved" / "config.json").is_file()
    taught.offer(run("late"))
    assert (taught.stats().dropped, "late" in router.counts) == (1, False)
    with pytest.raises(InvalidInput, match="closed"):
        taught.drain()
    taught.close()
    assert [t.name for t in threading.enumerate() if t.name.startswith("agentnet-learn")] == []


def test_a_router_that_learned_nothing_is_not_saved(tmp_path: Path) -> None:
    learner(CountingRouter(), checkpoint=tmp_path / "saved").close()
    assert not (tmp_path / "saved").exists()


async def test_async_and_sync_do_the_same() -> None:
    def offer(taught: GatedLearner) -> None:
        for i in range(7):
            taught.offer(run(f"q{i}", "good" if i % 2 else "bad"))

    one, two = CountingRouter(), CountingRouter()
    async with learner(one, batch=2) as taught:
        taught.pause()
        offer(taught)
        await taught.adrain()
        a = taught.stats()
        assert not await taught.arefresh()
    with learner(two, batch=2) as taught:
        taught.pause()
        offer(taught)
        taught.drain()
        b = taught.stats()
        assert not taught.refresh()
    assert one.state == two.state and one.batches == two.batches
    assert (a.judged, a.accepted, a.batches, a.version) == (b.judged, b.accepted, b.batches, b.version)


async def test_async_runs_are_learned_from() -> None:
    router = CountingRouter()
    pool = Pool([Agent(name="a", call=lambda text: "good")])
    async with learner(router) as taught, Runtime(pool, router, observers=[taught]) as runtime:
        await runtime.abatch([Task(f"q{i}") for i in range(20)])
        await taught.adrain()
    assert router.counts == {f"q{i}": 1 for i in range(20)}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"rate": 1.5}, "rate"),
        ({"accept": -1}, "accept"),
        ({"queue": 0}, "queue"),
        ({"batch": 2.5}, "batch"),
        ({"every_s": 0}, "every_s"),
        ({"concurrency": 0}, "concurrency"),
        ({"judge_timeout_s": 0}, "judge_timeout_s"),
        ({"recover_s": -1}, "recover_s"),
    ],
)
def test_settings_that_cannot_be_used(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        learner(CountingRouter(), **settings)


def test_only_online_routers_learn_and_only_with_a_judge() -> None:
    make: Callable[..., Any] = GatedLearner
    with pytest.raises(InvalidInput, match="OnlineRouter"):
        make("amro_s", Script())
    with pytest.raises(InvalidInput, match="judge"):
        make(CountingRouter(), None)
