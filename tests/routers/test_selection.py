"""Utility, ties, thresholds; the dial as a property."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from agentnet.routers.selection import choose, fill_cost, pick_threshold, priority, utility


@st.composite
def problems(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    shape = draw(array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=6))
    score = draw(arrays(np.float64, shape, elements=st.sampled_from([0.0, 0.25, 0.5, 0.51, 0.9, 1.0])))
    known = st.sampled_from([0.0, 1e-4, 1.1e-4, 0.002, 0.5])
    cost = draw(arrays(np.float64, shape, elements=st.one_of(known, st.just(np.nan))))
    return score, cost


@given(problems(), st.floats(0, 1), st.floats(0, 1), st.sampled_from([0.0, 1e-4, 0.5]))
def test_a_higher_cost_weight_never_chooses_a_dearer_agent(
    problem: tuple[np.ndarray, np.ndarray], one: float, other: float, unit: float
) -> None:
    score, cost = problem
    low, high = sorted((one, other))
    order = np.arange(score.shape[1])
    rows = np.arange(len(score))
    paid = fill_cost(cost)
    cheap, dear = (
        paid[rows, choose(score, cost, order, cost_weight=weight, unit_cost=unit)] for weight in (high, low)
    )
    # Utilities within 1e-9 count as equal, which is 1e-9 * unit / weight in money.
    slack = 1e-9 * (unit or 1.0) / max(low, 1e-3) + 1e-12
    assert (cheap <= dear + slack).all()


@given(problems(), st.floats(0, 1))
def test_the_choice_has_the_highest_utility(problem: tuple[np.ndarray, np.ndarray], weight: float) -> None:
    score, cost = problem
    chosen = choose(score, cost, np.arange(score.shape[1])[::-1], cost_weight=weight, unit_cost=0.5)
    value = utility(score, cost, cost_weight=weight, unit_cost=0.5)
    assert (value[np.arange(len(value)), chosen] >= value.max(1) - 1e-8).all()


@given(problems(), st.floats(0, 1), st.randoms(use_true_random=False))
def test_the_order_of_the_pool_does_not_matter(problem, weight, random) -> None:  # type: ignore[no-untyped-def]
    score, cost = problem
    names = [f"a{i}" for i in range(score.shape[1])]
    mix = list(range(len(names)))
    random.shuffle(mix)
    prior = np.zeros(len(names))
    plain = choose(score, cost, priority(names, prior), cost_weight=weight, unit_cost=0.5)
    mixed_names = [names[i] for i in mix]
    mixed = choose(
        score[:, mix], cost[:, mix], priority(mixed_names, prior), cost_weight=weight, unit_cost=0.5
    )
    assert [names[i] for i in plain] == [mixed_names[i] for i in mixed]


def test_ties_go_to_the_cheaper_agent_and_at_full_weight_to_the_better() -> None:
    order = np.arange(2)
    same = choose(np.array([[0.5, 0.5]]), np.array([2.0, 1.0]), order, cost_weight=0.0, unit_cost=1.0)
    assert same.tolist() == [1]
    full = choose(np.array([[0.4, 0.5]]), np.array([1.0, 1.0]), order, cost_weight=1.0, unit_cost=1.0)
    assert full.tolist() == [1]


def test_an_unknown_cost_counts_as_the_dearest() -> None:
    score, order = np.array([[0.9, 0.8, 0.7]]), np.arange(3)
    cost = np.array([np.nan, 0.2, 1.0])
    assert choose(score, cost, order, cost_weight=0.5, unit_cost=1.0).tolist() == [1]
    assert choose(score, cost, order, cost_weight=0.0, unit_cost=1.0).tolist() == [0]
    none = np.full(3, np.nan)
    assert choose(score, none, order, cost_weight=0.9, unit_cost=0.0).tolist() == [0]


def test_the_threshold_keeps_false_alarms_in_bounds() -> None:
    rng = np.random.default_rng(0)
    top = np.concatenate((rng.beta(8, 2, 1000), rng.beta(2, 8, 100)))
    away = np.arange(1100) >= 1000
    for bound in (0.0, 0.02, 0.2):
        found = pick_threshold(top, away, false_alarms=bound)
        assert found is not None
        threshold, recall = found
        assert (top[~away] < threshold).mean() <= bound
        assert recall == (top[away] < threshold).mean() > 0.3
    assert pick_threshold(top, np.zeros(1100, bool), false_alarms=0.1) is None
    assert pick_threshold(np.ones(5), np.array([True, False, False, False, True]), false_alarms=0.1) is None
