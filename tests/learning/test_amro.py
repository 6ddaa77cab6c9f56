"""The colony learns from what it serves, and only from verdicts that mean something."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from agentnet import Agent, Pool, Runtime, Task, TraceStore, load_router
from agentnet.graphs.live import Step
from agentnet.learning.judges import ExactJudge, NoisyJudge
from agentnet.learning.learner import GatedLearner
from agentnet.learning.samples import spoilt
from agentnet.routers.amro_s import AmroSRouter

POOL = Pool([Agent(name="right", call=lambda text: "4"), Agent(name="wrong", call=lambda text: "5")])
JUDGE = ExactJudge(lambda task, answer: answer == "4", name="sum")


def make() -> AmroSRouter:
    return AmroSRouter(recipe="paper", layers=1, seed=1)


def share(router: AmroSRouter) -> float:
    """How often the right agent is drawn for 500 new tasks."""
    decisions = router.route_batch([Task(f"new {i}") for i in range(500)], POOL)
    return sum(decision.agents == ("right",) for decision in decisions) / 500


def serve(runtime: Runtime, learner: GatedLearner, tasks: int = 200) -> list[str]:
    """Serves in steps of 20, each learned before the next, so that every run of the test is the same."""
    versions = []
    for at in range(0, tasks, 20):
        results = runtime.batch([f"What is 2 + 2? ({i})" for i in range(at, at + 20)])
        versions.append(results[0].decisions[0].version)
        learner.drain()
    return versions


def test_the_colony_learns_which_agent_is_right(tmp_path: Path) -> None:
    router, again = make(), make()
    assert 0.4 < share(router) < 0.6
    with TraceStore.open(tmp_path / "t.db") as store:
        with (
            GatedLearner(router, JUDGE, store=store, rate=1.0, checkpoint=tmp_path / "saved") as learner,
            Runtime(POOL, router, store=store, observers=[learner]) as runtime,
        ):
            versions = serve(runtime, learner)
            stats = learner.stats()
        assert stats.judged == stats.learned == 200 > stats.accepted and stats.errors == 0
        assert share(router) > 0.9
        assert len(set(versions)) == len(versions) == 10, "every step was served by a newer snapshot"
        assert {run.run_id for run in store.runs(router_version=versions[3])}, "and its traces say which"
        with GatedLearner(again, None, store=store, rate=0.0):
            assert again.snapshot_number == router.snapshot_number
            assert np.array_equal(again.colony.tau, router.colony.tau) and share(again) == share(router)
    loaded = load_router(tmp_path / "saved")
    assert isinstance(loaded, AmroSRouter) and share(loaded) == share(router)


def _taught_beside(judge: NoisyJudge | ExactJudge) -> float:
    """Teaches a colony what another one served, which stays as it is: no choice feeds on itself."""
    taught = make()
    with (
        GatedLearner(taught, judge, rate=1.0) as learner,
        Runtime(POOL, make(), observers=[learner]) as runtime,
    ):
        serve(runtime, learner, tasks=400)
    return share(taught)


def test_verdicts_that_mean_nothing_teach_nothing() -> None:
    coin = NoisyJudge(JUDGE, false_accept=0.5, false_reject=0.5, seed=5)
    assert _taught_beside(JUDGE) > 0.9
    assert 0.3 < _taught_beside(coin) < 0.7


def test_a_colony_read_back_from_traces_is_the_one_that_learned_live(tmp_path: Path) -> None:
    """With one batch each, replaying the log gives the pheromones of the live learner."""
    live, replayed = make(), make()
    with TraceStore.open(tmp_path / "t.db") as store:
        with (
            GatedLearner(live, JUDGE, rate=1.0, batch=1000, every_s=3600.0, concurrency=1) as learner,
            Runtime(POOL, live, store=store, observers=[learner], concurrency=1) as runtime,
        ):
            runtime.batch([f"What is 2 + 2? ({i})" for i in range(40)])
        with GatedLearner(
            replayed, JUDGE, store=store, rate=1.0, batch=1000, every_s=3600.0, concurrency=1
        ) as learner:
            learner.drain()
            assert learner.stats().recovered == 40
    assert live.snapshot_number == replayed.snapshot_number == 1
    assert np.allclose(replayed.colony.tau, live.colony.tau, rtol=1e-12)


def test_rejected_runs_deposit_nothing() -> None:
    """Bit for bit (recipe ``paper``): a batch with rejected runs is as one without them."""
    told, spared = make(), make()
    nothing = ExactJudge(lambda task, answer: False, name="never")
    pool = Pool([POOL["right"]])
    for router, more in ((told, True), (spared, False)):
        with GatedLearner(router, JUDGE, rate=1.0) as learner, Runtime(pool, router) as runtime:
            result = runtime.run("What is 2 + 2?")
            learner.offer(replace(result, latency_s=1.0))
            learner.drain()
        if more:
            with (
                GatedLearner(router, nothing, rate=1.0) as learner,
                Runtime(pool, router, observers=[learner]) as runtime,
            ):
                runtime.batch([f"What is 2 + 2? ({i})" for i in range(20)])
                learner.drain()
                assert learner.stats().judged == 20 and learner.stats().accepted == 0
    assert np.array_equal(told.colony.tau, spared.colony.tau)


def test_an_agent_that_fails_of_itself_is_marked_down_and_a_backend_that_is_down_teaches_nothing() -> None:
    def crash(text: str) -> str:
        raise ValueError("boom")

    pool = Pool([Agent(name="crashes", call=crash), Agent(name="works", call=lambda text: "4")])
    router = AmroSRouter(layers=1)
    judge = ExactJudge(lambda task, answer: answer == "4", name="sum")
    with (
        GatedLearner(router, judge, rate=1.0) as learner,
        Runtime(pool, router, observers=[learner]) as runtime,
    ):
        results = runtime.batch([f"q{i}" for i in range(120)])
        learner.drain()
    assert {result.status for result in results} == {"ok", "error"}
    crashes, works = (router.colony.tau[0, 0, router.colony.space.column(name)] for name in pool.names)
    assert crashes < 0.45 < 0.55 < works

    step = Step(node="a", agent="a", error="down", calls=2)
    assert not spoilt([step]) and not spoilt([])
    assert spoilt([replace(step, backend="b"), Step(node="c", agent="c", skipped=True)])
    assert not spoilt([replace(step, backend="b"), Step(node="c", agent="c", answer="4")])
