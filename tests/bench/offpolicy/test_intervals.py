from __future__ import annotations

import numpy as np
import pytest

from agentnet.bench.offpolicy.intervals import (
    bootstrap,
    compare_runs,
    group_numbers,
    standard_error,
    studentised,
    t_quantile,
)
from agentnet.errors import DataError, InvalidInput


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(4, 2.7764), (5, 2.5706), (10, 2.2281), (24, 2.0639), (100, 1.9840)]
)
def test_quantiles_of_student_are_those_of_the_tables(freedom: float, quantile: float) -> None:
    assert t_quantile(0.95, freedom) == pytest.approx(quantile, abs=0.008)


def test_a_level_outside_of_0_and_1_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"such as 0\.95"):
        t_quantile(95, 10)


def test_copies_of_rows_in_one_group_add_no_evidence() -> None:
    scores = np.random.default_rng(0).random(50)
    groups = np.arange(50)
    copied = standard_error(np.tile(scores, 4), np.tile(groups, 4))
    assert copied == pytest.approx(standard_error(scores))
    assert standard_error(np.tile(scores, 4)) < 0.6 * copied


def test_one_group_has_no_standard_error() -> None:
    assert np.isnan(standard_error(np.ones(5), np.zeros(5, np.intp)))


def test_bootstrap_and_studentised_agree_on_many_rows() -> None:
    scores = np.random.default_rng(0).random(2000)
    one, two = bootstrap("b", scores, replicates=1000), studentised("s", scores)
    assert one.value == pytest.approx(two.value)
    assert one.low == pytest.approx(two.low, abs=0.002)
    assert one.high == pytest.approx(two.high, abs=0.002)


def test_the_bootstrap_resamples_groups_whole() -> None:
    scores = np.tile(np.random.default_rng(0).random(60), 5)
    groups = np.tile(np.arange(60), 5)
    alone, whole = bootstrap("b", scores), bootstrap("b", scores, groups=groups)
    assert whole.value == pytest.approx(alone.value)
    assert whole.high - whole.low > 1.7 * (alone.high - alone.low)


def test_the_bootstrap_is_the_same_under_a_seed() -> None:
    scores = np.random.default_rng(0).random(50)
    assert bootstrap("b", scores, seed=3) == bootstrap("b", scores, seed=3)
    assert bootstrap("b", scores, seed=3) != bootstrap("b", scores, seed=4)


def test_labels_of_groups_must_be_one_a_row() -> None:
    with pytest.raises(DataError, match="one label a decision"):
        group_numbers(np.array(["a"]), 2)


def test_pairs_of_runs_leave_out_what_is_not_judged() -> None:
    new, old = np.array([1.0, np.nan, 1.0, 0.0]), np.array([0.0, 1.0, 1.0, np.nan])
    assert compare_runs(new, old).value == 0.5


def test_pairs_of_runs_are_tighter_than_two_separate_means() -> None:
    rng = np.random.default_rng(0)
    task = rng.random(500)
    new, old = (rng.random(500) < task * 0.9 + 0.1).astype(float), (task > 0.5).astype(float)
    pair = compare_runs(new, old)
    apart = np.hypot(studentised("", new).se, studentised("", old).se)
    assert pair.se < apart
    assert pair.detectable == pytest.approx((pair.quantile + 0.8416) * pair.se, rel=1e-3)


def test_five_thousand_pairs_detect_two_points() -> None:
    rng = np.random.default_rng(0)
    new, old = (rng.random((2, 5000)) < 0.6).astype(float)
    assert compare_runs(new, old).detectable < 0.03
    alike = np.where(rng.random(5000) < 0.7, old, new)
    assert compare_runs(alike, old).detectable < 0.02


@pytest.mark.parametrize(("new", "old"), [(np.ones(3), np.ones(2)), (np.ones((2, 2)), np.ones((2, 2)))])
def test_runs_that_are_no_pairs_are_refused(new: np.ndarray, old: np.ndarray) -> None:
    with pytest.raises(DataError, match="pairs are needed"):
        compare_runs(new, old)


def test_fewer_than_two_pairs_are_refused() -> None:
    with pytest.raises(DataError, match="fewer than two"):
        compare_runs(np.array([1.0, np.nan]), np.array([1.0, 1.0]))
