"""Columns: they learn, are chosen on held-back rows, and their probabilities are probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from agentnet.routers.sets.linear import STRENGTHS, Columns, chances, choose_strength, fit_columns, log_loss

LOGITS = arrays(
    np.float32, st.tuples(st.integers(1, 4), st.integers(1, 6)), elements=st.floats(-500, 500, width=32)
)


def blobs(n: int, *, seed: int = 0, noise: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors around three directions."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    x = np.eye(8)[labels] + noise * rng.standard_normal((n, 8))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32), labels


@given(LOGITS, st.floats(0.1, 10))
def test_probabilities_add_up_and_large_logits_do_not_overflow(
    logits: np.ndarray, temperature: float
) -> None:
    before = logits.copy()
    share, familiarity = chances(logits, temperature)
    np.testing.assert_allclose(share.sum(1), 1, rtol=1e-5)
    assert (share >= 0).all() and np.isfinite(familiarity).all()
    scaled = logits.astype(np.float64) / temperature
    np.testing.assert_allclose(familiarity, np.logaddexp.reduce(scaled, axis=1), rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(logits, before)  # the caller's array stays


def test_the_columns_tell_the_labels_of_new_rows() -> None:
    x, y = blobs(60)
    columns = fit_columns(x, y, ["a", "b", "c"], strength=10.0)
    fresh, wanted = blobs(60, seed=1)
    assert columns.names == ("a", "b", "c")
    assert (columns.logits(fresh).argmax(1) == wanted).mean() > 0.9
    np.testing.assert_allclose(columns.logits(fresh), fresh @ columns.weight + columns.bias, rtol=1e-5)


def test_the_mean_of_the_vectors_is_only_a_matter_of_the_optimiser() -> None:
    """Centring must not change what is served: a common part of all rows moves every logit alike."""
    x, y = blobs(60)
    moved = np.concatenate((x, np.full((len(x), 1), 0.7, np.float32)), axis=1)
    here, there = (fit_columns(part, y, "abc", strength=10.0) for part in (x, moved))
    np.testing.assert_allclose(chances(here.logits(x))[0], chances(there.logits(moved))[0], atol=2e-3)


def test_the_strength_is_the_one_that_is_best_on_held_back_rows() -> None:
    x, y = blobs(60, noise=1.5)
    held = blobs(60, seed=1, noise=1.5)
    columns, strength = choose_strength(x, y, "abc", held)
    losses = {s: log_loss(fit_columns(x, y, "abc", strength=s).logits(held[0]), held[1]) for s in STRENGTHS}
    assert strength == min(losses, key=lambda s: losses[s])
    assert log_loss(columns.logits(held[0]), held[1]) == pytest.approx(min(losses.values()))


def test_some_of_the_columns() -> None:
    x, y = blobs(30)
    columns = fit_columns(x, y, "abc", strength=10.0)
    few = columns.take(np.array([2, 0]))
    assert few.names == ("c", "a")
    np.testing.assert_allclose(few.logits(x), columns.logits(x)[:, [2, 0]], rtol=1e-5)


def test_one_agent_is_a_column_too() -> None:
    x, _ = blobs(6)
    columns = fit_columns(x, np.zeros(6, int), ["a"], strength=10.0)
    assert np.isfinite(columns.logits(x)).all()
    np.testing.assert_array_equal(chances(columns.logits(x))[0], np.ones((6, 1)))


def test_log_loss_of_a_sure_and_a_torn_row() -> None:
    assert log_loss(np.array([[50.0, 0.0]]), np.array([0])) == pytest.approx(0, abs=1e-6)
    assert log_loss(np.zeros((2, 4)), np.array([0, 3])) == pytest.approx(np.log(4), rel=1e-5)
    assert Columns((), np.zeros((8, 0), np.float32), np.zeros(0, np.float32)).logits(blobs(3)[0]).shape == (
        3,
        0,
    )
