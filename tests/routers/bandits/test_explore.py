"""From beliefs to probabilities, and from probabilities to choices."""

from __future__ import annotations

from math import erf, sqrt

import numpy as np
import pytest

from agentnet.graphs.task import Task
from agentnet.routers.bandits.arms import Arms, Posterior
from agentnet.routers.bandits.explore import GRACE, draw, may_explore, noise, numbers, wins, with_floor


def normal(mean: list[float], variance: list[float], common: float = 0.0) -> Posterior:
    """What is believed of agents with these means, whose shared part weighs the same in all."""
    own, lever = np.array([variance]), np.ones((1, len(mean), 1))
    return Posterior(mean=np.array([mean]), own=own, lever=lever, common=np.array([[common]]))


def test_thompson_probabilities_are_those_of_the_posterior() -> None:
    posterior = normal([0.6, 0.5], [0.02, 0.03])
    found = wins(posterior, np.zeros((1, 1)), noise(("a", "b"), 1, 20_000, 0), width=1.0)
    exact = 0.5 * (1 + erf(0.1 / sqrt(0.05) / sqrt(2)))
    assert found[0, 0] == pytest.approx(exact, abs=0.015) and found.sum() == pytest.approx(1)


def test_doubt_that_all_agents_share_changes_no_choice() -> None:
    sure = normal([0.6, 0.5], [0.0, 0.0], common=100.0)
    found = wins(sure, np.array([[10.0]]), noise(("a", "b"), 1, 200, 0), width=1.0)
    assert found.tolist() == [[1.0, 0.0]]


def test_joint_draws_follow_the_arms_covariance() -> None:
    """Two agents that share much are told apart more surely than their deviations alone would say."""
    arms = Arms.start(("a", "b"), 1, ridge=50.0, shared=0.1)
    arms = arms.learned(np.array([0] * 5 + [1] * 5), np.ones((10, 1)), np.array([1.0] * 5 + [0.0] * 5))
    posterior = arms.posterior(np.ones((1, 1)))
    found = wins(posterior, arms.root, noise(arms.names, 1, 20_000, 0), width=0.5)
    z = posterior.lever[0, :, 0]
    variance = posterior.own[0].sum() + (z[0] - z[1]) ** 2 * arms.common[0, 0]
    gap = posterior.mean[0, 0] - posterior.mean[0, 1]
    exact = 0.5 * (1 + erf(gap / (0.5 * sqrt(variance)) / sqrt(2)))
    assert found[0, 0] == pytest.approx(exact, abs=0.015)


def test_noise_of_an_agent_depends_on_its_name_alone() -> None:
    shared, own = noise(("a", "b"), 3, 8, 1)
    again, other = noise(("b", "c", "a"), 3, 8, 1)
    assert np.array_equal(shared, again) and np.array_equal(own[:, 0], other[:, 2])
    assert not np.array_equal(noise(("a",), 3, 8, 2)[1], own[:, :1])


def test_costs_are_taken_off_what_is_drawn() -> None:
    posterior = normal([0.6, 0.5], [1e-9, 1e-9])
    drawn = noise(("a", "b"), 1, 50, 0)
    assert wins(posterior, np.zeros((1, 1)), drawn, width=1.0, minus=np.array([0.2, 0.0])).tolist() == [
        [0, 1]
    ]


def test_the_floor_is_a_mixture_and_never_more_than_even() -> None:
    mixed = with_floor(np.array([[0.7, 0.3, 0.0]]), 0.1)
    np.testing.assert_allclose(mixed, [[0.59, 0.31, 0.1]])
    np.testing.assert_allclose(with_floor(np.array([[1.0, 0.0]]), 0.9), [[0.5, 0.5]])


def test_draws_follow_the_chances_and_not_the_order_of_the_pool() -> None:
    at = np.random.default_rng(0).random(20_000)
    chances = np.tile([0.7, 0.25, 0.05, 0.0], (len(at), 1))
    found = draw(chances, ("b", "a", "d", "c"), at)
    share = np.bincount(found, minlength=4) / len(at)
    np.testing.assert_allclose(share, chances[0], atol=0.012)
    assert share[3] == 0
    moved = draw(chances[:, ::-1], ("c", "d", "a", "b"), at)
    assert np.array_equal(moved, 3 - found)


def test_numbers_belong_to_seed_and_task() -> None:
    tasks = [Task(f"t{i}") for i in range(2000)]
    found = numbers(tasks, None, "1.0")
    assert np.array_equal(found, numbers(tasks, None, "1.0"))
    assert not np.array_equal(found, numbers(tasks, None, "1.1"))
    assert abs(found.mean() - 0.5) < 0.03 and abs((found < 0.25).mean() - 0.25) < 0.04


def test_the_budget_grows_with_the_rounds() -> None:
    assert may_explore(1e9, 0, None)
    assert may_explore(0.99 * 0.1 * GRACE, 0, 0.1) and not may_explore(0.1 * GRACE, 0, 0.1)
    assert may_explore(0.1 * GRACE, 1, 0.1)
    assert not may_explore(0.0, 0, 0.0), "a budget of nothing never explores"
