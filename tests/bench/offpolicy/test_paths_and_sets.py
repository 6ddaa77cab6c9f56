"""Paths and sets against exact enumeration."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from agentnet.bench.offpolicy.estimators import robust_scores
from agentnet.bench.offpolicy.paths import (
    path_weights,
    per_decision_scores,
    stepwise_robust_scores,
    trajectory_scores,
)
from agentnet.bench.offpolicy.sets import set_chance, set_weights
from agentnet.errors import DataError

# A small process: two choices a step, two steps; the second state is the first choice.
MU = {(): np.array([0.7, 0.3]), (0,): np.array([0.5, 0.5]), (1,): np.array([0.2, 0.8])}
PI = {(): np.array([0.4, 0.6]), (0,): np.array([1.0, 0.0]), (1,): np.array([0.5, 0.5])}
REWARD = {(0,): 0.1, (1,): 0.3, (0, 0): 0.2, (0, 1): 0.9, (1, 0): 0.6, (1, 1): 0.0}
PATHS = list(itertools.product(range(2), repeat=2))


def true_q(state: tuple[int, ...], choice: int) -> float:
    after = (*state, choice)
    return REWARD[after] + (true_v(after) if len(after) < 2 else 0.0)


def true_v(state: tuple[int, ...]) -> float:
    return float(sum(PI[state][c] * true_q(state, c) for c in range(2)))


def every_path(final_only: bool = False):
    """All four paths: chance under MU, ratios, rewards."""
    chance = np.array([MU[()][a] * MU[(a,)][b] for a, b in PATHS])
    ratio = np.array([[PI[()][a] / MU[()][a], PI[(a,)][b] / MU[(a,)][b]] for a, b in PATHS])
    reward = np.array([[0.0 if final_only else REWARD[(a,)], REWARD[(a, b)]] for a, b in PATHS])
    return chance, ratio, reward


def model(q) -> tuple[np.ndarray, np.ndarray]:
    predicted = np.array([[q((), a), q((a,), b)] for a, b in PATHS])
    value = np.array([[sum(PI[s][c] * q(s, c) for c in range(2)) for s in ((), (a,))] for a, _ in PATHS])
    return predicted, value


def test_trajectory_and_per_decision_weights_are_unbiased() -> None:
    chance, ratio, reward = every_path()
    assert chance @ trajectory_scores(ratio, reward) == pytest.approx(true_v(()))
    assert chance @ per_decision_scores(ratio, reward) == pytest.approx(true_v(()))


def test_both_agree_where_only_the_end_is_rewarded() -> None:
    _, ratio, reward = every_path(final_only=True)
    assert per_decision_scores(ratio, reward) == pytest.approx(trajectory_scores(ratio, reward))


def test_per_decision_weights_vary_less_where_steps_are_rewarded() -> None:
    chance, ratio, reward = every_path()
    spread = [chance @ f(ratio, reward) ** 2 for f in (trajectory_scores, per_decision_scores)]
    assert spread[1] < spread[0]


def test_stepwise_doubly_robust_is_unbiased_with_any_model() -> None:
    chance, ratio, reward = every_path()
    predicted, value = model(lambda state, choice: 0.3 + 0.2 * len(state) - 0.4 * choice)
    assert chance @ stepwise_robust_scores(ratio, reward, predicted, value) == pytest.approx(true_v(()))


def test_stepwise_doubly_robust_with_the_true_model_has_no_variance_and_forgives_wrong_weights() -> None:
    _, ratio, reward = every_path()
    predicted, value = model(true_q)
    for weights in (ratio, ratio * 3):
        scores = stepwise_robust_scores(weights, reward, predicted, value)
        assert scores == pytest.approx(np.full(4, true_v(())))


def test_one_step_is_the_single_choice() -> None:
    rng = np.random.default_rng(0)
    ratio, reward, predicted, value = rng.random((4, 7, 1))
    assert stepwise_robust_scores(ratio, reward, predicted, value) == pytest.approx(
        robust_scores(reward[:, 0], ratio[:, 0], predicted[:, 0], value[:, 0])
    )


def test_a_run_that_ended_early_is_padded_by_ratio_one_and_zeros() -> None:
    ratio, reward = np.array([[2.0]]), np.array([[0.5]])
    padded = np.array([[2.0, 1.0]]), np.array([[0.5, 0.0]])
    assert per_decision_scores(*padded) == per_decision_scores(ratio, reward)
    assert path_weights(padded[0]) == path_weights(ratio)
    zero = np.zeros((1, 2))
    assert stepwise_robust_scores(*padded, zero, zero) == per_decision_scores(ratio, reward)


@pytest.mark.parametrize(
    ("ratio", "reward"),
    [
        (np.ones(3), np.ones(3)),
        (np.ones((2, 2)), np.ones((2, 3))),
        (np.full((1, 2), np.nan), np.ones((1, 2))),
        (-np.ones((1, 2)), np.ones((1, 2))),
    ],
)
def test_arrays_that_are_no_runs_are_refused(ratio: np.ndarray, reward: np.ndarray) -> None:
    with pytest.raises(DataError):
        per_decision_scores(ratio, reward)


# -- sets --------------------------------------------------------------------------------------------
SUBSETS = np.array(list(itertools.product([False, True], repeat=3)))
LOGGING = np.tile([0.5, 0.2, 0.9], (8, 1))
TARGET = np.tile([0.1, 0.7, 1.0], (8, 1))


@pytest.mark.parametrize("nonempty", [False, True])
def test_chances_of_all_sets_add_up_to_one(nonempty: bool) -> None:
    chance = set_chance(LOGGING, SUBSETS, nonempty=nonempty)
    assert chance.sum() == pytest.approx(1)
    assert (chance[0] == 0) == nonempty


@pytest.mark.parametrize("nonempty", [False, True])
def test_weights_of_sets_make_the_log_answer_for_the_other_policy(nonempty: bool) -> None:
    rows = SUBSETS[1:] if nonempty else SUBSETS
    logging, target = LOGGING[: len(rows)], TARGET[: len(rows)]
    score = rows @ np.array([0.2, 0.3, 0.4])
    chance = set_chance(logging, rows, nonempty=nonempty)
    weights = set_weights(target, logging, rows, nonempty=nonempty)
    truth = set_chance(target, rows, nonempty=nonempty) @ score
    assert chance @ (weights * score) == pytest.approx(truth)


def test_a_set_that_its_own_policy_never_chooses_is_refused() -> None:
    with pytest.raises(DataError, match="never chooses"):
        set_weights(np.array([[0.5]]), np.array([[0.0]]), np.array([[True]]))


def test_a_policy_that_never_takes_anybody_in_has_no_set() -> None:
    with pytest.raises(DataError, match="never takes"):
        set_chance(np.zeros((1, 2)), np.array([[True, False]]), nonempty=True)


@pytest.mark.parametrize("include", [np.array([[1.5, 0.0]]), np.array([[0.5]])])
def test_what_is_no_probability_of_these_agents_is_refused(include: np.ndarray) -> None:
    with pytest.raises(DataError):
        set_chance(include, np.array([[True, False]]))
