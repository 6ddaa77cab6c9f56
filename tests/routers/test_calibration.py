"""Calibration brings scores to probabilities and never changes their order."""

from __future__ import annotations

import numpy as np
import pytest

from agentnet.routers.calibration import Calibration, calibration_error, fit_calibration, fit_logistic


def overconfident(rng: np.random.Generator, n: int, agents: int = 3) -> tuple[np.ndarray, np.ndarray]:
    chance = rng.beta(2, 2, (n, agents))
    odds = 3 * np.log(chance / (1 - chance)) + 1
    return 1 / (1 + np.exp(-odds)), (rng.random((n, agents)) < chance).astype(np.float32)


def test_it_lowers_the_calibration_error_on_fresh_rows() -> None:
    rng = np.random.default_rng(0)
    curve = fit_calibration(*overconfident(rng, 2000))
    raw, score = overconfident(rng, 4000)
    before = calibration_error(raw.ravel(), score.ravel())
    after = calibration_error(curve.apply(raw).ravel(), score.ravel())
    assert before > 0.1
    assert after < 0.03


@pytest.mark.parametrize("shape", ["sigmoid", "step"])
def test_it_is_strictly_increasing_and_a_probability(shape: str) -> None:
    rng = np.random.default_rng(1)
    raw = rng.random((1000, 2))
    chance = raw if shape == "sigmoid" else np.where(raw > 0.7, 0.9, 0.1)
    curve = fit_calibration(raw, (rng.random(raw.shape) < chance).astype(np.float32))
    grid = np.linspace(0.002, 0.998, 500)
    out = curve.apply(grid)
    assert (np.diff(out) > 0).all()
    assert out.min() >= 0 and out.max() <= 1
    if shape == "step":
        assert curve.kind == "isotonic"
        assert curve.apply(np.array([0.4, 0.95])) == pytest.approx([0.1, 0.9], abs=0.07)


def test_holes_are_left_out_and_few_rows_change_nothing() -> None:
    rng = np.random.default_rng(2)
    raw, score = overconfident(rng, 500)
    score[rng.random(score.shape) < 0.5] = np.nan
    assert fit_calibration(raw, score).id is not None
    assert fit_calibration(raw[:5], score[:5]).id is None
    assert fit_calibration(np.full((100, 2), 0.4), np.ones((100, 2))).id is None


def test_the_id_names_the_content() -> None:
    one = Calibration("platt", 2.0, 0.1)
    assert one.id == Calibration("platt", 2.0, 0.1).id != Calibration("platt", 2.0, 0.2).id
    assert Calibration.from_dict(one.to_dict()) == one
    curve = Calibration("isotonic", x=(0.1, 0.5), y=(0.0, 1.0))
    assert Calibration.from_dict(curve.to_dict()) == curve


def test_logistic_regression_finds_the_truth_also_where_right_answers_are_rare() -> None:
    rng = np.random.default_rng(3)
    x = rng.standard_normal(60_000)
    y = (rng.random(60_000) < 1 / (1 + np.exp(-(2 * x - 5)))).astype(float)
    slope, offset = fit_logistic(x, y, ridge=0.0)
    assert (slope, offset) == pytest.approx((2, -5), abs=0.15)
    slope, _ = fit_logistic(x, (x > 0).astype(float))  # separable: finite by the ridge
    assert 3 < slope < 1000


def test_calibration_error_of_the_truth_is_small() -> None:
    rng = np.random.default_rng(4)
    p = rng.random(20_000)
    y = (rng.random(20_000) < p).astype(float)
    assert calibration_error(p, y) < 0.02
    assert calibration_error(np.clip(p + 0.2, 0, 1), y) > 0.1
    assert np.isnan(calibration_error(p, np.full(20_000, np.nan)))
