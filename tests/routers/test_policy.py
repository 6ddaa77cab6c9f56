"""What a router would do on tasks, as probabilities of plans."""

from __future__ import annotations

import numpy as np
import pytest

from agentnet.errors import RouterError
from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Task
from agentnet.graphs.task_graph import TaskGraph
from agentnet.outcomes.table import Outcomes, Queries
from agentnet.routers.policy import policy_of
from agentnet.routers.registry import make_router

POOL = Pool([Agent(name="a"), Agent(name="b"), Agent(name="c")])
TASKS = [Task("one"), Task("two")]


def outcomes() -> Outcomes:
    queries = Queries(query_id=np.array(["0", "1"]), text=("one", "two"), split=np.array(["train", "train"]))
    score = np.array([[1, 0, 0], [1, 1, 0]], np.float32)
    return Outcomes(queries=queries, pool=POOL, score=score, cost=np.tile([0.3, 0.2, 0.1], (2, 1)))


def test_a_certain_router_has_one_plan_a_task() -> None:
    router = make_router("best_single")
    router.fit(outcomes(), POOL)
    policy = policy_of(router, TASKS, POOL)
    assert policy.plans == (TaskGraph.of(["a"]),)
    assert policy.agents(POOL).tolist() == [[1, 0, 0], [1, 0, 0]]
    assert policy.cost.tolist() == pytest.approx([0.3, 0.3])
    assert policy.share == {"a": 1.0}
    logged = [TaskGraph.of(["b"]), TaskGraph.of(["a"])]
    assert policy.of_plans(logged).tolist() == [[0, 1], [0, 1]]


def test_a_drawing_router_tells_its_probabilities() -> None:
    policy = policy_of(make_router("random"), TASKS, POOL)
    np.testing.assert_allclose(policy.agents(POOL), 1 / 3)
    assert policy.of_plans([TaskGraph.of(["a", "b"])]).tolist() == [[0], [0]]


def test_a_router_that_draws_in_secret_is_refused() -> None:
    class Secret(type(make_router("random"))):  # type: ignore[misc]
        def chances(self, *_: object) -> None:
            return None

    with pytest.raises(RouterError, match="chances"):
        policy_of(Secret(), TASKS, POOL)
