"""Estimators against exact enumeration: every log that could have been drawn, with its probability."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from agentnet.bench.offpolicy import estimators as e

MU = np.array([[0.5, 0.3, 0.2], [0.1, 0.6, 0.3]])
PI = np.array([[0.1, 0.1, 0.8], [0.7, 0.3, 0.0]])
SCORE = np.array([[0.2, 0.9, 0.4], [1.0, 0.3, 0.6]])
WRONG = np.array([[0.7, 0.1, 0.3], [0.2, 0.9, 0.5]])
TRUTH = float((PI * SCORE).sum(1).mean())


def expectation(estimator, mu=MU, rows: int = 2) -> float:
    """Expected value over all logs of so many rows: queries uniform, choices by MU, weights from ``mu``."""
    total = 0.0
    cells = list(itertools.product(range(2), range(3)))
    for log in itertools.product(cells, repeat=rows):
        query, plan = np.array(log).T
        chance = np.prod(0.5 * MU[query, plan])
        total += chance * estimator(SCORE[query, plan], PI[query, plan] / mu[query, plan], query, plan)
    return total


def robust(q: np.ndarray):
    def estimate(value, weight, query, plan) -> float:
        return e.doubly_robust(value, weight, q[query, plan], (PI * q).sum(1)[query]).value

    return estimate


def test_ips_is_unbiased_over_all_logs() -> None:
    assert expectation(lambda value, weight, *_: e.ips(value, weight).value) == pytest.approx(TRUTH)


def test_doubly_robust_is_unbiased_with_right_weights_and_any_model() -> None:
    assert expectation(robust(WRONG)) == pytest.approx(TRUTH)


def test_doubly_robust_is_unbiased_with_the_true_model_and_wrong_weights() -> None:
    assert expectation(robust(SCORE), mu=np.full((2, 3), 0.25)) == pytest.approx(TRUTH)


def test_doubly_robust_with_both_wrong_is_biased_so_that_the_tests_above_can_fail() -> None:
    assert abs(expectation(robust(WRONG), mu=np.full((2, 3), 0.25)) - TRUTH) > 0.01


def test_the_direct_method_is_as_biased_as_its_model() -> None:
    bias = float((PI * (WRONG - SCORE)).sum(1).mean())
    got = expectation(lambda v, w, query, plan: e.direct((PI * WRONG).sum(1)[query]).value)
    assert got - TRUTH == pytest.approx(bias)


def test_effective_sample_size_has_the_expectation_that_overlap_predicts() -> None:
    squares = float((PI**2 / MU).sum(1).mean())
    assert expectation(lambda v, weight, *_: float((weight**2).mean())) == pytest.approx(squares)


PI6 = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0, 1, 0], [0.5, 0.25, 0.25], [0.2, 0.2, 0.6], [1, 0, 0]])
Q6 = np.array(
    [[0.5, 0.4, 0.9], [0.2, 0.7, 0.1], [0.3, 0.6, 0.8], [0.9, 0.1, 0.5], [0.4, 0.4, 0.4], [0.6, 0.7, 0.2]]
)
A6 = np.array([0, 1, 1, 2, 2, 0])
P6 = np.array([0.5, 0.2, 0.25, 0.1, 0.4, 0.8])
R6 = np.array([1.0, 0.0, 1.0, 1.0, 0.0, 0.5])
OBP = {
    "ips": 1.4208333333333334,
    "snips": 0.5819112627986348,
    "dm": 0.5516666666666666,
    "dr": 0.5558333333333334,
    "switch": 0.7558333333333332,
}


def test_same_figures_as_the_open_bandit_pipeline() -> None:
    # Computed once with obp 0.4.1 on these arrays; its switch has the threshold 3.
    rows = np.arange(6)
    weight = PI6[rows, A6] / P6
    arrays = (R6, weight, Q6[rows, A6], (PI6 * Q6).sum(1))
    found = {
        "ips": e.ips(*arrays[:2]).value,
        "snips": e.snips(*arrays[:2]).value,
        "dm": e.direct(arrays[3]).value,
        "dr": e.doubly_robust(*arrays).value,
        "switch": e.switch(*arrays, threshold=3.0).value,
    }
    assert found == pytest.approx(OBP, abs=1e-12)


def test_switch_goes_from_the_model_to_doubly_robust() -> None:
    rows = np.arange(6)
    arrays = (R6, PI6[rows, A6] / P6, Q6[rows, A6], (PI6 * Q6).sum(1))
    assert e.switch(*arrays, threshold=0.0).value == pytest.approx(e.direct(arrays[3]).value)
    assert e.switch(*arrays, threshold=np.inf).value == pytest.approx(e.doubly_robust(*arrays).value)


def test_switch_leaves_out_a_weight_whose_variance_outdoes_its_bias() -> None:
    weight = np.ones(1000)
    weight[:4] = 300.0  # whose terms cancel
    residual = np.tile([0.1, -0.1], 500)
    assert e.switch_threshold(weight, residual) < 300
    assert np.isinf(e.switch_threshold(np.zeros(3), np.ones(3)))


# -- properties ------------------------------------------------------------------------------------
N = 40
unit = st.floats(0, 1)
columns = st.tuples(
    arrays(float, N, elements=unit),
    arrays(float, N, elements=st.floats(0.01, 50)),
    arrays(float, N, elements=unit),
    arrays(float, N, elements=unit),
)


@settings(max_examples=60, deadline=None)
@given(columns, st.randoms(use_true_random=False))
def test_order_of_decisions_does_not_matter(drawn, random) -> None:
    order = np.array(random.sample(range(N), N))
    mixed = tuple(column[order] for column in drawn)
    for estimator in (e.doubly_robust, e.switch, e.recommended):
        one, two = estimator(*drawn), estimator(*mixed)
        assert (one.value, one.low, one.high) == pytest.approx((two.value, two.low, two.high), abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(columns, st.floats(-5, 5))
def test_a_constant_on_values_and_model_shifts_the_estimate_by_it(drawn, shift) -> None:
    value, weight, predicted, expected = drawn
    for estimator in (e.doubly_robust, e.recommended):
        here = estimator(value, weight, predicted, expected)
        there = estimator(value + shift, weight, predicted + shift, expected + shift)
        assert there.value == pytest.approx(here.value + shift, abs=1e-7)
        assert there.low == pytest.approx(here.low + shift, abs=1e-7)
    assert e.snips(value + shift, weight).value == pytest.approx(
        e.snips(value, weight).value + shift, abs=1e-7
    )


@settings(max_examples=60, deadline=None)
@given(columns, st.floats(0.1, 10))
def test_effective_sample_size_lies_between_one_and_n_whatever_the_scale(drawn, scale) -> None:
    weight = drawn[1]
    ess = e.effective_sample_size(weight)
    assert 1 - 1e-9 <= ess <= N + 1e-9
    assert e.effective_sample_size(scale * weight) == pytest.approx(ess)


@settings(max_examples=60, deadline=None)
@given(columns)
def test_the_recommended_value_lies_in_its_interval_which_is_the_doubly_robust_one(drawn) -> None:
    mine, plain = e.recommended(*drawn), e.doubly_robust(*drawn)
    assert (mine.low, mine.high, mine.se) == (plain.low, plain.high, plain.se)
    assert mine.low - 1e-12 <= mine.value <= mine.high + 1e-12
    assert min(plain.value, drawn[3].mean()) - 1e-9 <= mine.value <= max(plain.value, drawn[3].mean()) + 1e-9


def test_on_its_own_log_every_estimator_is_the_mean() -> None:
    value = np.array([0.0, 1.0, 1.0, 0.5])
    one = np.ones(4)
    for found in (e.ips(value, one), e.snips(value, one), e.doubly_robust(value, one, value, value)):
        assert found.value == pytest.approx(value.mean())


# -- the recommended one -----------------------------------------------------------------------------
def test_a_correction_within_its_noise_is_drawn_to_the_model() -> None:
    rng = np.random.default_rng(0)
    value = (rng.random(400) < 0.5).astype(float)
    weight = np.where(rng.random(400) < 0.05, 20.0, 0.0)
    model = np.full(400, 0.5)
    mine = e.recommended(value, weight, model, model)
    plain = e.doubly_robust(value, weight, model, model)
    assert abs(mine.value - 0.5) < 0.35 * abs(plain.value - 0.5)


def test_a_model_that_the_log_contradicts_is_overruled() -> None:
    rng = np.random.default_rng(0)
    value = (rng.random(4000) < 0.9).astype(float)
    model = np.full(4000, 0.2)
    mine = e.recommended(value, np.ones(4000), model, model)
    assert mine.value == pytest.approx(0.9, abs=0.02)


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(1)
    covered = {"dr": 0, "recommended": 0, "dm": 0}
    rounds, n = 600, 400
    for _ in range(rounds):
        query = rng.integers(2, size=n)
        plan = (rng.random(n)[:, None] > np.cumsum(MU[query], axis=1)).sum(1)
        value = (rng.random(n) < SCORE[query, plan]).astype(float)
        arrays = (value, PI[query, plan] / MU[query, plan], WRONG[query, plan], (PI * WRONG).sum(1)[query])
        for found in (e.doubly_robust(*arrays), e.recommended(*arrays), e.direct(arrays[3])):
            covered[found.name] += found.low <= TRUTH <= found.high
    assert 0.925 <= covered["dr"] / rounds <= 0.975
    assert covered["recommended"] == covered["dr"]
    assert covered["dm"] / rounds < 0.5
