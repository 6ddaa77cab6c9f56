"""``cascade`` and ``vote`` learn members and order from data with a known answer."""

from __future__ import annotations

import numpy as np
import pytest

from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.outcomes.table import Outcomes, Queries
from agentnet.routers.base import RouteOptions
from agentnet.routers.registry import make_router

NAMES = ("cheap1", "cheap2", "noise", "strong")
COSTS = np.array([0.001, 0.001, 0.0005, 0.05])


def planted(n: int = 400, *, shuffle: bool = False, seed: int = 0) -> Outcomes:
    """Two cheap agents agree only when right; the strong one is right on most of what they miss."""
    rng = np.random.default_rng(seed)
    easy = rng.random(n) < 0.6
    right = np.zeros((n, 4), bool)
    right[:, 0] = easy | (rng.random(n) < 0.1)
    right[:, 1] = easy | (rng.random(n) < 0.1)
    right[:, 2] = rng.random(n) < 0.1
    right[:, 3] = rng.random(n) < 0.85
    text = np.where(right, "42", "")
    for i in range(n):
        for j in range(4):
            if not right[i, j]:
                text[i, j] = str(rng.integers(100, 10_000))
    score = right.astype(np.float32)
    if shuffle:
        for j in range(4):
            score[:, j] = score[rng.permutation(n), j]
    queries = Queries(
        query_id=np.array([f"q{i}" for i in range(n)]),
        text=tuple(f"question {i}" for i in range(n)),
        split=np.array(["train", "train", "val", "test"] * (n // 4)),
    )
    pool = Pool(Agent(name=name) for name in NAMES)
    return Outcomes(
        queries=queries, pool=pool, score=score, cost=np.tile(COSTS, (n, 1)), response=text.astype(object)
    )


def test_the_cascade_finds_the_cheap_pair_and_the_strong_agent() -> None:
    data = planted()
    router = make_router("cascade")
    router.fit(data, data.pool)
    decision = router.route("anything", data.pool)
    assert set(decision.agents) == {"cheap1", "cheap2", "strong"}
    assert decision.agents[-1] == "strong"
    assert decision.graph is not None and decision.graph.replayable
    assert "stopped" in decision.explain() or "stage" in decision.explain()


def test_shuffled_scores_leave_nothing_to_gain_from_agreement() -> None:
    real, shuffled = planted(), planted(shuffle=True)
    gains = []
    for data in (real, shuffled):
        router = make_router("cascade")
        router.fit(data, data.pool)
        decision = router.route("anything", data.pool, options=RouteOptions(cost_weight=0.0))
        best = float(data.without_split("test").mean_score.max())
        gains.append(decision.expected_score - best)
    assert gains[0] > 0.03
    assert gains[1] < gains[0] / 2


def test_the_vote_beats_its_best_member_where_errors_are_independent() -> None:
    rng = np.random.default_rng(3)
    n = 400
    right = rng.random((n, 4)) < 0.7
    text = np.where(right, "42", rng.integers(100, 10**6, (n, 4)).astype(str)).astype(object)
    base = planted(n)
    data = Outcomes(
        queries=base.queries, pool=base.pool, score=right.astype(np.float32), cost=base.cost, response=text
    )
    router = make_router("vote")
    router.fit(data, data.pool)
    decision = router.route("anything", data.pool)
    assert len(decision.agents) >= 3
    assert decision.expected_score > float(data.mean_score.max()) + 0.05


@pytest.mark.parametrize("name", ["cascade", "vote"])
def test_without_text_the_best_single_agent_is_left(name: str) -> None:
    data = planted()
    bare = Outcomes(queries=data.queries, pool=data.pool, score=data.score, cost=data.cost)
    router = make_router(name)
    report = router.fit(bare, bare.pool)
    assert router.route("x", bare.pool, options=RouteOptions(cost_weight=0.0)).agents == ("strong",)
    assert any("no recorded text" in note for note in report.notes)


@pytest.mark.parametrize("name", ["cascade", "vote"])
def test_a_pool_without_a_member_gets_a_plan_it_can_run(name: str) -> None:
    data = planted()
    router = make_router(name)
    router.fit(data, data.pool)
    for pool in (data.pool.remove("strong"), Pool([Agent(name="stranger")])):
        assert set(router.route("x", pool).agents) <= set(pool.names)
