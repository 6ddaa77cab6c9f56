"""Profiles: empirical Bayes over arms, and what they predict of a row that was left out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from agentnet.routers.council.profiles import Profiles, _prior, rich_arms

Floats = NDArray[np.float64]


def drawn(
    seed: int = 0, *, n: int = 60, arms: int = 6, types: int = 3, sharp: float = 0.3, few: int | None = None
) -> tuple[Floats, Floats, Floats]:
    """Outcomes y [n, M], what was seen [n, M] and types [n, T]; ``few`` outcomes of the last arm."""
    rng = np.random.default_rng(seed)
    posterior = rng.dirichlet(np.full(types, sharp), n)
    truth = rng.uniform(0.1, 0.9, (types, arms))
    seen = (rng.random((n, arms)) < 0.9).astype(float)
    if few is not None:
        seen[:, -1] = 0.0
        seen[rng.permutation(n)[:few], -1] = 1.0
    y = np.where(seen > 0, (rng.random((n, arms)) < posterior @ truth).astype(float), 0.0)
    return y, seen, posterior


@given(st.integers(0, 1000), st.integers(1, 4))
def test_a_row_left_out_is_predicted_as_by_a_fit_without_it(seed: int, types: int) -> None:
    """The closed form equals the brute force: the same prior, the row taken out, solved anew."""
    y, seen, posterior = drawn(seed, n=25, arms=4, types=types)
    found = Profiles.of(y, seen, posterior)
    rich = rich_arms(seen)
    centre, spread, noise = _prior(y[:, rich], seen[:, rich], posterior)
    precision = np.linalg.inv(spread)
    trust = seen / np.maximum(posterior @ noise, 0.01)[:, None]
    for row, arm in zip(*np.nonzero(seen), strict=True):
        rest = np.arange(len(y)) != row
        p, w = posterior[rest], trust[rest, arm]
        profile = np.linalg.solve(
            precision + p.T @ (w[:, None] * p), precision @ centre + p.T @ (w * y[rest, arm])
        )
        assert found.left_out[row, arm] == pytest.approx(posterior[row] @ profile, abs=1e-8)


def test_an_outcome_has_no_part_in_its_own_prediction() -> None:
    """Of an arm that takes no part in the prior: changed, it changes every other row's prediction only."""
    y, seen, posterior = drawn(few=8)
    row = int(np.flatnonzero(seen[:, -1])[0])
    changed = y.copy()
    changed[row, -1] = 1 - changed[row, -1]
    before, after = Profiles.of(y, seen, posterior), Profiles.of(changed, seen, posterior)
    assert after.left_out[row, -1] == pytest.approx(before.left_out[row, -1], abs=1e-12)
    others = np.arange(len(y)) != row
    assert (np.abs(after.left_out - before.left_out)[others, -1] > 1e-6).all()
    np.testing.assert_allclose(after.left_out[:, :-1], before.left_out[:, :-1], atol=1e-12)


def test_an_arm_without_outcomes_is_what_arms_are() -> None:
    y, seen, posterior = drawn(few=0, n=300)
    found = Profiles.of(y, seen, posterior)
    rich = rich_arms(seen)
    assert rich.tolist() == [True] * 5 + [False]
    centre, _, _ = _prior(y[:, rich], seen[:, rich], posterior)
    np.testing.assert_allclose(found.score[:, -1], centre)
    error = found.error(posterior)
    assert (error[:, -1] > 2 * error[:, :-1].max(1)).all()


def test_an_arm_with_many_outcomes_has_its_own_means() -> None:
    rng = np.random.default_rng(1)
    kind = np.arange(6000) % 2
    truth = np.array([[0.9, 0.2], [0.1, 0.6]])
    y = (rng.random((6000, 2)) < truth[kind]).astype(float)
    found = Profiles.of(y, np.ones_like(y), np.eye(2)[kind])
    own = np.stack([y[kind == t].mean(0) for t in (0, 1)])
    np.testing.assert_allclose(found.score, own, atol=0.01)
    assert found.error(np.eye(2)).max() < 1e-3


@pytest.mark.parametrize("together", [True, False])
def test_outcomes_of_one_type_speak_for_the_types_that_go_with_it(together: bool) -> None:
    """Forty arms that are as good in one type as in the other; a new one is seen in the first only."""
    rng = np.random.default_rng(2)
    kind = np.arange(200) % 2
    first = rng.uniform(0.1, 0.9, 40)
    truth = np.stack([first, first if together else rng.permutation(first)])
    y = np.column_stack(((rng.random((200, 40)) < truth[kind]).astype(float), np.ones(200)))
    seen = np.ones_like(y)
    seen[:, -1] = (kind == 0) & (np.arange(200) < 40)
    found = Profiles.of(np.where(seen > 0, y, 0.0), seen, np.eye(2)[kind])
    raised = found.score[:, -1] - found.score[:, :-1].mean(1)
    assert raised[0] > 0.25
    assert raised[1] > 0.15 if together else abs(raised[1]) < 0.1


def test_some_of_the_arms_are_as_they_were() -> None:
    y, seen, posterior = drawn()
    whole, at = Profiles.of(y, seen, posterior), np.array([4, 1, 1])
    part = whole.take(at)
    np.testing.assert_array_equal(part.error(posterior), whole.error(posterior)[:, at])
    np.testing.assert_array_equal(part.score, whole.score[:, at])
    np.testing.assert_array_equal(part.left_out, whole.left_out[:, at])


def test_an_arm_that_never_saw_a_type_does_not_level_the_others_in_it() -> None:
    """As in a log of a router that sends nothing of a type to one agent."""
    rng = np.random.default_rng(3)
    kind = np.arange(300) % 2
    truth = np.array([[0.9, 0.5, 0.1, 0.5], [0.5, 0.5, 0.5, 0.5]])
    seen = np.ones((300, 4))
    seen[kind == 0, 3] = 0.0
    y = np.where(seen > 0, (rng.random((300, 4)) < truth[kind]).astype(float), 0.0)
    found = Profiles.of(y, seen, np.eye(2)[kind])
    assert found.score[0, 0] - found.score[0, 2] > 0.7


def test_forty_outcomes_outweigh_what_four_arms_are_like() -> None:
    rng = np.random.default_rng(4)
    y = np.column_stack(((rng.random((300, 4)) < 0.25).astype(float), np.ones(300)))
    seen = np.ones_like(y)
    seen[40:, -1] = 0.0
    found = Profiles.of(np.where(seen > 0, y, 0.0), seen, np.ones((300, 1)))
    assert found.score[0, -1] > 0.6
