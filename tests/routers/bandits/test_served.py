"""A bandit behind a runtime learns from judged runs, live and read back from traces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agentnet import Agent, Pool, Runtime, Task, TraceStore, load_router
from agentnet.learning.judges import ExactJudge
from agentnet.learning.learner import GatedLearner
from agentnet.routers.bandits.router import BanditRouter

from .streams import NAMES, bandit, tasks_of

SUMS = Agent(name="sums", call=lambda text: "4" if "2 + 2" in text else "no idea")
TALKS = Agent(name="talks", call=lambda text: "no idea" if "2 + 2" in text else "hello")
POOL = Pool([SUMS, TALKS])
JUDGE = ExactJudge(lambda task, answer: answer != "no idea", name="known")


def asked(n: int, seed: int) -> list[str]:
    """Every other task is a sum."""
    _, topics = tasks_of(n, seed)
    return [f"What is 2 + 2? ({i})" if i % 2 else f"Say hello in {topics[i]} ({i})" for i in range(n)]


def right(router: BanditRouter) -> float:
    """How often the agent that can is chosen, for new tasks."""
    texts = asked(200, seed=7)
    decisions = router.route_batch([Task(text) for text in texts], POOL)
    return float(
        np.mean([(d.agents[0] == "sums") == ("2 + 2" in t) for d, t in zip(decisions, texts, strict=True)])
    )


def serve(router: BanditRouter, store: TraceStore | None, texts: list[str], **settings: object) -> None:
    with (
        GatedLearner(router, JUDGE, store=store, rate=1.0, **settings) as learner,  # type: ignore[arg-type]
        Runtime(POOL, router, store=store, observers=[learner]) as runtime,
    ):
        for at in range(0, len(texts), 20):
            runtime.batch(texts[at : at + 20])
            learner.drain()
        stats = learner.stats()
    assert stats.judged == stats.learned == len(texts) and stats.errors == 0


@pytest.mark.parametrize("name", NAMES)
def test_it_learns_from_what_a_runtime_serves(name: str, tmp_path: Path) -> None:
    router, other = bandit(name), bandit(name)
    assert right(router) < 0.75
    with TraceStore.open(tmp_path / "t.db") as store:
        serve(router, store, asked(220, seed=0), checkpoint=tmp_path / "saved")
        assert right(router) > 0.85
        (run, *_) = store.runs(router_version=router.version.partition(".")[0] + ".3")
        (decision,) = store.run(run.run_id).decisions
        assert decision.propensity is not None and 0 < decision.propensity <= 1
        with GatedLearner(other, None, store=store, rate=0.0):
            assert other.snapshot() == router.snapshot(), "another process serves the same state"
    loaded = load_router(tmp_path / "saved")
    assert isinstance(loaded, BanditRouter) and loaded.snapshot() == router.snapshot()


def test_a_bandit_read_back_from_traces_is_the_one_that_learned_live(tmp_path: Path) -> None:
    live, replayed = bandit("thompson"), bandit("thompson")
    batch = {"batch": 1000, "every_s": 3600.0, "concurrency": 1}
    with TraceStore.open(tmp_path / "t.db") as store:
        with (
            GatedLearner(live, JUDGE, rate=1.0, **batch) as learner,  # type: ignore[arg-type]
            Runtime(POOL, live, store=store, observers=[learner], concurrency=1) as runtime,
        ):
            runtime.batch(asked(150, seed=1))
        with GatedLearner(replayed, JUDGE, store=store, rate=1.0, **batch) as learner:  # type: ignore[arg-type]
            learner.drain()
            assert learner.stats().recovered == 150
    tasks = [Task(text) for text in asked(20, seed=2)]
    first, second = (router.score_batch(tasks, POOL).raw for router in (live, replayed))
    assert not live.belief.warming
    np.testing.assert_allclose(first, second, atol=1e-9)
