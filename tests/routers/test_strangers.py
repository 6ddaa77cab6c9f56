"""Agents without any outcome: what a description is worth, and what it is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.outcomes.table import Outcomes

LEARNERS = ("knn", "kmeans", "task_best")


@pytest.fixture(params=LEARNERS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def sure(kit: Any) -> Outcomes:
    """Outcomes in which each agent is right on its own topic alone: similarity tells all."""
    data: Outcomes = kit.planted()
    own = [[agent.name == f"{task}_agent" for agent in data.pool] for task in data.queries.task]
    return replace(data, score=np.array(own, np.float32))


def share(router: Any, data: Outcomes, pool: Pool, agent: str) -> float:
    return float(np.mean([d.agents == (agent,) for d in router.route_batch(data.tasks(), pool)]))


@pytest.mark.parametrize("description", ["", "recipe oven flour butter", "Answers every question well."])
def test_a_description_does_not_beat_outcomes(name: str, kit: Any, description: str) -> None:
    """Every topic has a known agent that is good at it: nothing goes to the newcomer."""
    data = sure(kit)
    router = kit.make(name)
    router.fit(data, data.pool)
    assert router._prior[0] > 0  # on these data similarity speaks, and still it is no outcome
    test = data.split("test")
    pool = data.pool.add(Agent(name="new", description=description))
    scores = router.score_batch(test.tasks(), pool)
    assert (scores.raw[:, -1] <= scores.raw[:, :-1].max(1)).all()
    assert share(router, test, pool, "new") == 0


@pytest.mark.parametrize("description", ["", "recipe oven flour butter"])
def test_where_similarity_says_nothing_a_stranger_has_the_low_end(
    name: str, kit: Any, description: str
) -> None:
    """Descriptions mislead: each agent is wrong on its own topic and differs in quality elsewhere."""
    data = sure(kit)
    lucky = np.random.default_rng(3).random(data.score.shape) < np.array([0.2, 0.6, 0.7, 0.8])
    data = replace(data, score=np.where(data.score > 0, 0, lucky).astype(np.float32))
    router = kit.make(name)
    router.fit(data, data.pool)
    test = data.split("test")
    pool = data.pool.add(Agent(name="new", description=description))
    raw = router.score_batch(test.tasks(), pool).raw
    assert (raw[:, -1] <= np.percentile(router.stats.mean(data.pool), 25) + 1e-9).all()
    assert share(router, test, pool, "new") == 0


def test_a_described_stranger_gets_what_the_known_agents_cannot_do(name: str, kit: Any) -> None:
    data = sure(kit)
    left = data.pool.remove("cooking_agent")
    router = kit.make(name)
    router.fit(data.for_pool(left), left)
    test = data.split("test")
    cooking = np.array([task == "cooking" for task in test.queries.task])
    cook = Agent(name="cook", description="recipe oven flour butter simmer boil pan salt onion garlic")
    for agent, low, high in ((cook, 0.5, 1.0), (Agent(name="cook"), 0.0, 0.0)):
        pool = left.add(agent)
        got = np.array([d.agents == ("cook",) for d in router.route_batch(test.tasks(), pool)])
        assert low <= got[cooking].mean() <= high
        assert got[~cooking].mean() == 0


def test_equal_scores_go_to_the_agent_with_outcomes(kit: Any) -> None:
    """`best_single` gives a stranger the mean of all agents; here that is every agent's score."""
    data = kit.planted()
    data = replace(data, score=np.ones_like(data.score), cost=np.full(data.cost.shape, np.nan))
    router = kit.make("best_single")
    router.fit(data, data.pool)
    pool = data.pool.add(Agent(name="aaa"))  # the name alone would put it first
    assert share(router, data, pool, "aaa") == 0


def test_in_a_label_pack_a_description_wins_its_own_queries(name: str, kit: Any) -> None:
    """One agent an intent: the known agents' scores are no bound for an intent never seen."""
    data = kit.labels(out_of_scope=0)
    held = data.pool.names[-1]
    router = kit.make(name)
    router.fit(data, data.pool.remove(held))
    test = data.split("test")
    mine = np.array([gold == held for gold in test.queries.gold])
    words = "contract court judge plaintiff statute appeal verdict clause tort liability"
    pool = data.pool.remove(held).add(Agent(name=held, description=words))
    scores = router.score_batch(test.tasks(), pool)
    assert (scores.raw[mine, -1] > scores.raw[mine, :-1].max(1)).mean() > 0.5
    got = np.array([d.agents == (held,) for d in router.route_batch(test.tasks(), pool)])
    assert got[mine].mean() > 0.5
