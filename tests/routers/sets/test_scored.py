"""Expected scores from a log: learned per agent, with holes, and chosen on rows left out."""

from __future__ import annotations

import numpy as np
import pytest

from agentnet.routers.sets.scored import STRENGTHS, choose_heads, fit_heads


def log(n: int = 120, *, seed: int = 0, holes: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Agent 0 is good on positive rows, agent 1 on negative ones, agent 2 is middling everywhere."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 6)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    good = np.stack((x[:, 0] > 0, x[:, 0] < 0, rng.random(n) < 0.5), axis=1)
    score = good.astype(np.float32)
    score[rng.random(score.shape) < holes] = np.nan
    return x, score, np.ones_like(score)


@pytest.mark.parametrize("holes", [0.0, 0.5])
def test_it_learns_who_is_good_where(holes: float) -> None:
    x, score, weight = log(holes=holes)
    heads, raw, chosen = choose_heads(x, score, weight, seed=0)
    fresh, truth, _ = log(seed=1)
    right = heads.predict(fresh)[:, :2].argmax(1) == truth[:, :2].argmax(1)
    assert right.mean() > 0.85
    assert chosen["strength"] in STRENGTHS
    assert raw.shape == score.shape and ((raw > 0) & (raw < 1)).all()


def test_predictions_of_rows_come_from_heads_that_have_not_seen_them() -> None:
    """Scores that mean nothing are predicted no better than their mean, which own rows would allow."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 80)).astype(np.float32)
    score = (rng.random((60, 1)) < 0.5).astype(np.float32)
    _, raw, _ = choose_heads(x, score, np.ones_like(score), seed=0)
    assert ((raw - score) ** 2).mean() > 0.9 * score.var()
    own = fit_heads(x, score, np.ones_like(score), strength=3.0).predict(x)
    assert ((own - score) ** 2).mean() < 0.5 * score.var()


def test_an_agent_without_a_score_and_one_always_right() -> None:
    x, score, weight = log()
    score[:, 1], score[:, 2] = np.nan, 1.0
    heads = fit_heads(x, score, weight, strength=1.0)
    found = heads.predict(x)
    assert np.isfinite(found).all() and (found[:, 2] > 0.9).all()


def test_scores_count_by_their_weight() -> None:
    x = np.ones((20, 1), np.float32)
    score = np.r_[np.ones(10), np.zeros(10)].astype(np.float32)[:, None]
    weight = np.r_[np.full(10, 9.0), np.ones(10)].astype(np.float32)[:, None]
    level = fit_heads(x, score, weight, strength=10.0).predict(x)[0, 0]
    assert level == pytest.approx(0.9, abs=0.02)


def test_a_seed_makes_the_same_heads() -> None:
    x, score, weight = log()
    one, two = (choose_heads(x, score, weight, seed=4) for _ in range(2))
    assert one[0].weight.tobytes() == two[0].weight.tobytes() and one[1].tobytes() == two[1].tobytes()
