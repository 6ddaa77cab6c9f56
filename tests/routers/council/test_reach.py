"""pick_reach: messages go further only where that pays in decisions."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from agentnet.routers.council.bank import exchange_rates
from agentnet.routers.council.reach import pick_reach

Floats = NDArray[np.float64]
RATES = exchange_rates()


def world(decides: str, seed: int = 0, n: int = 400) -> tuple[list[Floats], Floats, Floats, Floats]:
    """Levels, outcomes, cost and types; the levels predict what they can of what decides, with noise."""
    rng = np.random.default_rng(seed)
    kind, near = np.arange(n) % 3, rng.integers(0, 3, n)
    own = {"nothing": np.full(n, -1), "types": kind, "neighbours": near}[decides]
    chance = np.where(own[:, None] == np.arange(3), 0.9, 0.4)
    score = (rng.random((n, 3)) < chance).astype(float)
    means = np.broadcast_to(score.mean(0), (n, 3))
    typed = np.stack([score[kind == k].mean(0) for k in kind]) + 0.02 * rng.normal(size=(n, 3))
    local = typed + 0.15 * rng.normal(size=(n, 3))
    if decides == "neighbours":
        local = chance + 0.05 * rng.normal(size=(n, 3))
    cost = np.tile([0.001, 0.001, 0.001], (n, 1))
    return [means, typed, local], score, cost, np.eye(3)[kind]


@pytest.mark.parametrize(("decides", "level"), [("types", 1), ("neighbours", 2)])
def test_it_goes_as_far_as_the_answer_is(decides: str, level: int) -> None:
    for seed in range(5):
        levels, score, cost, posterior = world(decides, seed)
        assert pick_reach(levels, score, cost, posterior, RATES, 0.001) == level


def test_in_noise_the_means_are_enough() -> None:
    """Agents are alike: guesses win by chance half of the time, by more than their error seldom."""
    picked = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        score = (rng.random((300, 3)) < 0.5).astype(float)
        levels = [np.full((300, 3), 0.5), 0.5 + 0.01 * rng.normal(size=(300, 3))]
        picked.append(pick_reach(levels, score, np.full((300, 3), 1e-3), np.ones((300, 1)), RATES, 1e-3))
    assert sum(picked) <= 9


def test_what_was_not_observed_is_left_out_and_no_cost_is_no_error() -> None:
    levels, score, cost, posterior = world("types")
    score = score.copy()
    score[::4, 1] = np.nan
    assert pick_reach(levels, score, np.full_like(cost, np.nan), posterior, RATES, 0.0) == 1
    cost[:, 2] = np.nan
    assert pick_reach(levels, score, cost, posterior, RATES, 0.001) == 1


def test_a_log_of_one_agent_a_query_is_judged_too() -> None:
    levels, score, cost, posterior = world("types", n=1200)
    hidden = np.arange(3) != np.random.default_rng(0).integers(0, 3, 1200)[:, None]
    score = np.where(hidden, np.nan, score)
    assert pick_reach(levels, score, np.where(hidden, np.nan, cost), posterior, RATES, 0.001) == 1
