"""`eps_greedy`: epsilon is exact, and falls."""

from __future__ import annotations

import pytest

from agentnet.errors import InvalidInput
from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Task
from agentnet.routers.eps_greedy import EpsGreedyRouter
from agentnet.routers.online import Served
from agentnet.routers.policy import policy_of

POOL = Pool([Agent(name="a"), Agent(name="b"), Agent(name="c"), Agent(name="d")])


def after(n: int, **settings: object) -> EpsGreedyRouter:
    """A bandit without context that has seen n good scores of ``b``."""
    made = EpsGreedyRouter(**{"context": False, "floor": 0.0, "budget": None, **settings})  # type: ignore[arg-type]
    evidence = {"agent": "b", "basis": "", "context": [1.0], "look": [], "gap": 0.0}
    made.learn([Served(evidence=evidence, ran=("b",), score=1.0)] * n)
    return made


def chances(router: EpsGreedyRouter) -> list[float]:
    found: list[float] = policy_of(router, [Task("x")], POOL).agents(POOL)[0].tolist()
    return found


def test_the_best_has_one_minus_epsilon_and_its_share() -> None:
    assert chances(after(10, epsilon=0.2, halving=None)) == pytest.approx([0.05, 0.85, 0.05, 0.05])


def test_epsilon_halves_and_the_floor_stays() -> None:
    assert chances(after(100, epsilon=0.4, halving=100.0)) == pytest.approx([0.05, 0.85, 0.05, 0.05])
    assert chances(after(300, epsilon=0.4, halving=100.0)) == pytest.approx([0.025, 0.925, 0.025, 0.025])
    found = chances(after(300, epsilon=0.0, floor=0.1))
    assert found == pytest.approx([0.1, 0.7, 0.1, 0.1])


def test_a_fit_counts_towards_halving(kit: object) -> None:
    data = kit.planted(320)  # type: ignore[attr-defined]
    router = EpsGreedyRouter(context=False, epsilon=1.0, halving=20.0, floor=0.0, budget=None)
    router.fit(data, data.pool)
    epsilon = 20 / (20 + len(data.without_split("test")))
    found = policy_of(router, [Task("x")], data.pool).agents(data.pool)[0]
    assert found.max() == pytest.approx(1 - epsilon * 3 / 4)


def test_without_context_every_task_is_alike_and_nothing_is_encoded() -> None:
    router = after(5)
    assert router.features == "none" and router.belief.contexts.dim == 1
    raw = router.score_batch([Task("x"), Task("a much longer task")], POOL).raw
    assert (raw[0] == raw[1]).all()


def test_settings_are_checked() -> None:
    for wrong in ({"epsilon": -0.1}, {"halving": 0.0}):
        with pytest.raises(InvalidInput, match=next(iter(wrong))):
            EpsGreedyRouter(**wrong)  # type: ignore[arg-type]
