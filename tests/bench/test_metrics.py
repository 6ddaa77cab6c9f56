from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentnet.bench import metrics

points = st.lists(st.tuples(st.floats(0.01, 10), st.floats(0, 1)), min_size=1, max_size=20)


def test_bootstrap_interval_covers_the_true_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for i in range(200):
        lo, hi = metrics.bootstrap_ci(rng.binomial(1, 0.3, 200), draws=400, seed=i)
        hits += lo <= 0.3 <= hi
    assert 0.90 <= hits / 200 <= 0.99


def test_paired_interval_is_narrower_than_the_difference_of_two_unpaired() -> None:
    rng = np.random.default_rng(1)
    base = rng.binomial(1, 0.5, 500).astype(float)
    better = np.maximum(base, rng.binomial(1, 0.1, 500))
    lo, hi = metrics.bootstrap_ci(better - base)
    own_lo, own_hi = metrics.bootstrap_ci(better)
    assert lo > 0
    assert hi - lo < own_hi - own_lo


def test_bootstrap_of_nothing_is_not_a_number() -> None:
    assert all(math.isnan(v) for v in metrics.bootstrap_ci([]))


@given(points)
def test_the_hull_is_concave_rising_and_dominates_every_point(data: list[tuple[float, float]]) -> None:
    curve = metrics.hull(data)
    xs, ys = [c for c, _ in curve], [s for _, s in curve]
    assert xs == sorted(xs) and ys == sorted(ys)
    slopes = [(ys[i + 1] - ys[i]) / (xs[i + 1] - xs[i]) for i in range(len(xs) - 1) if xs[i + 1] > xs[i]]
    assert all(a >= b - 1e-9 for a, b in pairwise(slopes))
    for cost, score in data:
        assert np.interp(cost, xs, ys, left=0.0) >= score - 1e-9 or cost < xs[0]


@given(points, st.floats(0, 1))
def test_a_further_point_never_lowers_aiq(data: list[tuple[float, float]], score: float) -> None:
    more = [*data, (5.0, score)]
    assert metrics.aiq(more, low=0, high=10) >= metrics.aiq(data, low=0, high=10) - 1e-6


def test_pareto_distance_is_zero_on_the_front_and_grows_below_it() -> None:
    front = [(1.0, 0.5), (2.0, 0.8)]
    assert metrics.pareto_distance((1.0, 0.5), front, max_cost=2) == 0
    assert metrics.pareto_distance((0.5, 0.9), front, max_cost=2) == 0
    assert metrics.pareto_distance((2.0, 0.7), front, max_cost=2) == pytest.approx(0.1)


def test_gap_closed_has_no_value_without_a_gap() -> None:
    assert metrics.gap_closed(0.5, 0.8, 0.8) is None


def test_entropy_names_collapse() -> None:
    assert metrics.entropy(metrics.shares(["a"] * 9).values()) == 0
    assert metrics.entropy(metrics.shares("abcd").values()) == pytest.approx(2)


def test_calibration_error_sees_overconfidence_and_ignores_unknown() -> None:
    rng = np.random.default_rng(2)
    p = rng.uniform(0, 1, 4000)
    y = rng.binomial(1, p)
    assert metrics.calibration_error(p, y) < 0.03
    assert metrics.calibration_error(np.clip(p + 0.3, 0, 1), y) > 0.15
    assert metrics.calibration_error([np.nan], [1.0]) is None
    assert metrics.calibration_error(np.r_[p, np.nan], np.r_[y, 1]) == metrics.calibration_error(p, y)
