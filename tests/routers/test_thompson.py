"""`thompson`: an agent is chosen as often as it may be the best."""

from __future__ import annotations

from math import erf, sqrt

import pytest

from agentnet.errors import InvalidInput
from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Task
from agentnet.routers.base import RouteOptions
from agentnet.routers.online import Served
from agentnet.routers.policy import policy_of
from agentnet.routers.thompson import ThompsonRouter

POOL = Pool([Agent(name="tried"), Agent(name="new")])


def after(n: int, score: float, width: float, draws: int = 20_000) -> ThompsonRouter:
    """A bandit without context and floor that has seen n scores of one agent; nothing is shared."""
    router = ThompsonRouter(features="none", floor=0.0, width=width, draws=draws, ridge=2.0, shared=0.0)
    evidence = {"agent": "tried", "basis": "", "context": [1.0], "look": [], "gap": 0.0}
    router.learn([Served(evidence=evidence, ran=("tried",), score=score)] * n)
    return router


@pytest.mark.parametrize(("width", "weight"), [(1.0, 0.0), (0.2, 0.0), (0.3, 0.4)])
def test_the_probability_is_that_of_the_posterior(width: float, weight: float) -> None:
    """The dial takes from means and deviations alike where no cost is known."""
    router = after(30, 0.8, width)
    options = RouteOptions(cost_weight=weight)
    found = policy_of(router, [Task("x")], POOL, options=options).agents(POOL)[0, 0]
    gap, deviation = 30 * 0.3 / 32, width * sqrt(1 / 32 + 1 / 2)
    assert found == pytest.approx(0.5 * (1 + erf(gap / deviation / sqrt(2))), abs=0.012)


def test_it_explores_less_the_more_it_knows() -> None:
    few, many = (policy_of(after(n, 0.7, 1.0), [Task("x")], POOL).agents(POOL)[0, 0] for n in (1, 500))
    assert few < many


def test_the_logged_probability_is_the_drawn_one_with_few_draws_too() -> None:
    """The estimate is coarse, but the choice is drawn from it: the log says just that."""
    router = after(3, 0.6, 1.0, draws=4)
    chance = policy_of(router, [Task("x")], POOL).agents(POOL)[0]
    assert (chance * 4 == (chance * 4).round()).all()
    for i in range(50):
        decision = router.route(f"t{i}", POOL)
        assert decision.propensity == chance[POOL.index(decision.agents[0])]


def test_settings_are_checked() -> None:
    for wrong in ({"width": -1.0}, {"draws": 0}):
        with pytest.raises(InvalidInput, match=next(iter(wrong))):
            ThompsonRouter(**wrong)  # type: ignore[arg-type]
