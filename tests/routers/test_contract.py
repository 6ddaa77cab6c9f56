"""What every router promises, for every registered router."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentnet.errors import NotFitted, PoolError
from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Task
from agentnet.routers.base import RouteOptions, Router
from agentnet.routers.persist import load
from agentnet.routers.registry import router_class, router_names
from agentnet.routers.single import SingleRouter

NAMES = router_names()
SINGLE = tuple(name for name in NAMES if issubclass(router_class(name), SingleRouter))
DIALLED = tuple(name for name in NAMES if name not in ("random", "round_robin"))


def choices(router: Router, tasks: list[Task], pool: Pool, **options: Any) -> list[tuple[str, ...]]:
    return [d.agents for d in router.route_batch(tasks, pool, options=RouteOptions(**options))]


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_router_that_learned_nothing_refuses(name: str, kit: Any) -> None:
    router, pool = kit.make(name), Pool([Agent(name="a"), Agent(name="b")])
    if not router.needs_fit:
        decision = router.route("x", pool)
        assert decision.agents[0] in pool and 0 < decision.propensity <= 1
        assert not router.score_batch([Task("x")], pool).known.any()
        return
    with pytest.raises(NotFitted, match="fit or load"):
        router.route("x", pool)


def test_scores_have_the_promised_shapes(name: str, kit: Any, fitted: Any) -> None:
    data = kit.planted().split("test")
    n, agents = len(data), len(data.pool)
    scores = fitted(name).score_batch(data.tasks(), data.pool)
    assert scores.agents == data.pool.names
    assert scores.raw.shape == scores.calibrated.shape == (n, agents)
    assert scores.cost.shape in ((agents,), (n, agents))
    assert scores.known.shape == (agents,) and scores.known.all()
    assert np.isfinite(scores.raw).all()
    assert ((scores.calibrated >= 0) & (scores.calibrated <= 1)).all()
    assert len(fitted(name).route_batch(data.tasks(), data.pool)) == n
    assert fitted(name).route_batch([], data.pool) == []


def test_twins_decide_alike(name: str, kit: Any) -> None:
    data = kit.planted(160)
    twins = [kit.make(name) for _ in range(2)]
    for twin in twins:
        twin.fit(data, data.pool, seed=3)
    tasks = data.split("test").tasks()
    assert twins[0].version == twins[1].version != "unfitted"
    assert choices(twins[0], tasks, data.pool) == choices(twins[1], tasks, data.pool)


def test_a_loaded_router_decides_as_the_saved_one(name: str, kit: Any, tmp_path: Path) -> None:
    data = kit.planted(160)
    router = kit.make(name).with_options(cost_weight=0.2)
    router.fit(data, data.pool)
    router.save(tmp_path / "router")
    loaded = load(tmp_path / "router")
    tasks = data.split("test").tasks()
    assert type(loaded) is type(router)
    assert loaded.version == router.version
    assert loaded.settings == router.settings
    assert loaded.options.cost_weight == router.options.cost_weight
    before, after = router.score_batch(tasks, data.pool), loaded.score_batch(tasks, data.pool)
    np.testing.assert_array_equal(before.calibrated, after.calibrated)
    assert before.calibration_id == after.calibration_id
    assert choices(router, tasks, data.pool) == choices(loaded, tasks, data.pool)


def test_only_text_context_and_history_decide(name: str, kit: Any, fitted: Any) -> None:
    data = kit.planted().split("test")
    n = len(data)
    blank = replace(data.queries, task=("?",) * n, gold=(None,) * n, metric=("",) * n)
    blanked = replace(data, queries=blank, score=np.full_like(data.score, np.nan), response=None)
    router = fitted(name)
    if name == "round_robin":  # its turn goes on from call to call
        router = kit.make(name)
        router.fit(kit.planted(), data.pool)
        other = kit.make(name)
        other.fit(kit.planted(), data.pool)
    else:
        other = router
    assert choices(router, data.tasks(), data.pool) == choices(other, blanked.tasks(), data.pool)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "oracle"])
def test_test_rows_are_not_learned_from(name: str, kit: Any) -> None:
    data = kit.planted(160)
    flipped = data.score.copy()
    test = data.queries.split == "test"
    flipped[test] = 1 - flipped[test]
    routers = [kit.make(name) for _ in range(2)]
    routers[0].fit(data, data.pool)
    routers[1].fit(replace(data, score=flipped), data.pool)
    assert routers[0].version == routers[1].version


@pytest.mark.parametrize("name", SINGLE)
def test_an_agent_never_seen_can_be_scored(name: str, kit: Any, fitted: Any) -> None:
    data = kit.planted().split("test")
    new = Agent(name="new", description="recipe oven flour", price_in_per_mtok="1", price_out_per_mtok="2")
    pool = data.pool.add(new)
    scores = fitted(name).score_batch(data.tasks(), pool)
    assert scores.known.tolist() == [True] * 4 + [False]
    assert np.isfinite(scores.raw).all()
    strangers = Pool([new, Agent(name="other")])
    assert all(d.agents for d in fitted(name).route_batch(data.tasks(), strangers))


def test_agents_may_be_missing_and_come_in_any_order(name: str, kit: Any, fitted: Any) -> None:
    data = kit.planted().split("test")
    tasks = data.tasks()
    if name == "round_robin":
        pytest.skip("its turn goes on from call to call; its order is tested in test_simple.py")
    router = fitted(name)
    backwards = Pool(reversed(data.pool.agents))
    assert choices(router, tasks, data.pool) == choices(router, tasks, backwards)
    few = data.pool.subset(data.pool.names[1:3])
    assert {agent for agents in choices(router, tasks, few) for agent in agents} <= set(few.names)


def test_an_empty_pool_cannot_be_made() -> None:
    with pytest.raises(PoolError, match="at least one agent"):
        Pool([])


@pytest.mark.parametrize("name", SINGLE)
def test_it_abstains_below_the_threshold_and_not_above(name: str, kit: Any, fitted: Any) -> None:
    data = kit.planted().split("test")
    router = fitted(name)
    best = router.score_batch(data.tasks(), data.pool).calibrated.max(1)
    middle = min(float(np.median(best)) + 1e-9, 1.0)
    decisions = router.route_batch(data.tasks(), data.pool, options=RouteOptions(abstain_below=middle))
    assert [d.abstained for d in decisions] == (best < middle).tolist()
    assert all(d.graph is None and d.agents == () for d in decisions if d.abstained)
    kept = router.route_batch(data.tasks(), data.pool, options=RouteOptions(abstain_below=0.0))
    assert not any(d.abstained for d in kept)


@pytest.mark.parametrize("name", [name for name in SINGLE if name in DIALLED])
def test_a_higher_cost_weight_never_raises_the_predicted_cost(name: str, kit: Any, fitted: Any) -> None:
    data = kit.planted().split("test")
    router, means = fitted(name), []
    cost = np.broadcast_to(router.score_batch(data.tasks(), data.pool).cost, data.score.shape)
    for weight in (0.0, 0.05, 0.2, 0.5, 0.9, 1.0):
        chosen = choices(router, data.tasks(), data.pool, cost_weight=weight)
        means.append(np.mean([cost[i, data.pool.index(agents[0])] for i, agents in enumerate(chosen)]))
    assert all(later <= earlier + 1e-12 for earlier, later in pairwise(means))
    assert means[-1] == pytest.approx(cost.min(1).mean())


def test_it_learns_from_logs_with_holes(name: str, kit: Any) -> None:
    data = kit.partial(kit.planted(240), keep=0.4)
    router = kit.make(name)
    router.fit(data, data.pool)
    decisions = router.route_batch(data.split("test").tasks(), data.pool)
    assert all(d.agents for d in decisions)
    assert all(np.isfinite(d.raw).all() for d in decisions)


def test_it_learns_from_labels(name: str, kit: Any, fitted: Any) -> None:
    data = kit.labels().split("test")
    router = fitted(name, "labels")
    decisions = router.route_batch(data.tasks(), data.pool, options=RouteOptions(abstain_below=0.0))
    assert all(d.agents for d in decisions)
    assert decisions[0].scores[data.pool.names[0]].cost is None


def test_a_decision_is_json_and_can_be_explained(name: str, kit: Any, fitted: Any) -> None:
    data = kit.planted()
    decision = fitted(name).route(data.split("test").tasks()[0], data.pool)
    told = json.loads(json.dumps(decision.to_dict(), allow_nan=False))
    assert told["router"] == name and told["version"] == fitted(name).version
    assert told["propensity"] is not None and 0 < told["propensity"] <= 1
    assert set(told["scores"]) == set(data.pool.names)
    words = decision.explain()
    assert all(agent in words for agent in decision.agents)
    assert decision.evidence.lines() and all(line.strip() for line in decision.evidence.lines())
    assert decision.latency_s is not None and decision.latency_s > 0


def test_one_task_or_many_give_the_same_decision(name: str, kit: Any, fitted: Any) -> None:
    if name == "round_robin":
        pytest.skip("its turn goes on from call to call; its order is tested in test_simple.py")
    data = kit.planted().split("test")
    router, tasks = fitted(name), data.tasks()[:8]
    options = RouteOptions()
    one_by_one = [router.route(task, data.pool, options=options).agents for task in tasks]
    assert choices(router, tasks, data.pool) == one_by_one
