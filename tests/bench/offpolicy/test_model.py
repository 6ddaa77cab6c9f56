from __future__ import annotations

import numpy as np
import pytest

from agentnet.bench.offpolicy.model import (
    cross_fit_rewards,
    deal_folds,
    encode_queries,
    recalibrate,
    reduce_vectors,
)
from agentnet.errors import DataError
from agentnet.outcomes.table import Queries

M, K, N = 120, 3, 3000


def drawn(seed: int = 0):
    """Plan 0 is good where the first feature is high, plan 1 where it is low, plan 2 never."""
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((M, 2))
    chance = 0.5 + 0.4 * np.tanh(2 * features[:, :1]) * np.array([[1.0, -1.0, 0.0]])
    chance[:, 2] = 0.1
    query, plan = rng.integers(M, size=N), rng.integers(K, size=N)
    value = (rng.random(N) < chance[query, plan]).astype(float)
    return features, chance, query, plan, value


def test_the_model_learns_which_plan_is_good_where() -> None:
    features, chance, query, plan, value = drawn()
    found = cross_fit_rewards(features, query, plan, value, K)
    flat = cross_fit_rewards(np.zeros((M, 0)), query, plan, value, K)
    assert np.abs(found - chance).mean() < 0.6 * np.abs(flat - chance).mean()
    assert np.abs(flat.mean(0) - chance.mean(0)).max() < 0.1


def test_a_query_is_predicted_without_its_own_outcomes() -> None:
    features, _, query, plan, value = drawn()
    before = cross_fit_rewards(features, query, plan, value, K, seed=1)
    changed = value.copy()
    changed[query == query[0]] = 1 - changed[query == query[0]]
    after = cross_fit_rewards(features, query, plan, changed, K, seed=1)
    # Centring on the mean of all values is all that may differ.
    assert np.abs(after[query[0]] - before[query[0]]).max() < 1e-6
    assert np.abs(after - before).max() > 1e-4


def test_recalibration_keeps_a_query_from_its_own_outcomes_too() -> None:
    _, _, query, plan, value = drawn()
    given = np.full((M, K), 0.5)
    before = recalibrate(given, query, plan, value, seed=1)
    changed = value.copy()
    changed[query == query[0]] = 1 - changed[query == query[0]]
    after = recalibrate(given, query, plan, changed, seed=1)
    assert np.abs(after[query[0]] - before[query[0]]).max() < 2e-3
    assert np.abs(after - before).max() > 1e-4


def test_recalibration_finds_how_far_a_model_is_off_a_plan() -> None:
    _, chance, query, plan, value = drawn()
    off = np.array([0.2, -0.1, 0.0])
    found = recalibrate(np.clip(chance + off, 0, 1), query, plan, value)
    assert np.abs((found - chance).mean(0)).max() < 0.04


def test_a_plan_that_was_never_chosen_takes_the_offset_of_all() -> None:
    _, _, query, _, _ = drawn()
    plan = np.arange(N) % 2
    given = np.full((M, K), 0.5)
    found = recalibrate(given, query, plan, np.where(np.arange(N) % 10 < 8, 0.8, 0.7))
    assert (found[:, 2] > 0.6).all()


def test_a_right_model_is_left_nearly_alone() -> None:
    _, chance, query, plan, value = drawn()
    assert np.abs(recalibrate(chance, query, plan, value) - chance).mean() < 0.02


@pytest.mark.parametrize("shift", [-3.0, 10.0])
def test_models_move_with_a_constant(shift: float) -> None:
    features, chance, query, plan, value = drawn()
    here = cross_fit_rewards(features, query, plan, value, K)
    there = cross_fit_rewards(features, query, plan, value + shift, K)
    assert there == pytest.approx(here + shift, abs=1e-4)
    assert recalibrate(chance + shift, query, plan, value + shift) == pytest.approx(
        recalibrate(chance, query, plan, value) + shift, abs=1e-6
    )


def test_predictions_stay_within_the_values() -> None:
    features, _, query, plan, value = drawn()
    found = cross_fit_rewards(50 * features, query, plan, value, K)
    assert found.min() >= 0
    assert found.max() <= 1


def test_a_log_without_a_value_predicts_nothing() -> None:
    none = np.zeros(0, np.intp)
    assert np.isnan(cross_fit_rewards(np.zeros((4, 1)), none, none, np.zeros(0), 2)).all()
    given = np.ones((4, 2))
    assert (recalibrate(given, none, none, np.zeros(0)) == given).all()


def test_decisions_that_count_less_teach_less() -> None:
    query, plan = np.arange(200) % 50, np.zeros(200, np.intp)
    value = np.where(np.arange(200) % 2, 1.0, 0.0)
    trust = np.where(value == 1, 1.0, 0.01)
    plain = cross_fit_rewards(np.zeros((50, 0)), query, plan, value, 1)
    weighted = cross_fit_rewards(np.zeros((50, 0)), query, plan, value, 1, trust=trust)
    assert weighted.mean() > plain.mean() + 0.3


def test_a_model_without_a_number_for_a_chosen_plan_is_refused() -> None:
    _, _, query, plan, value = drawn()
    given = np.full((M, K), 0.5)
    given[:, 1] = np.nan
    with pytest.raises(DataError, match="no prediction"):
        recalibrate(given, query, plan, value)


def test_folds_are_dealt_evenly_and_repeatably() -> None:
    assert np.ptp(np.bincount(deal_folds(103, 0))) <= 1
    assert (deal_folds(50, 1) == deal_folds(50, 1)).all()
    assert (deal_folds(50, 1) != deal_folds(50, 2)).any()


def test_reduced_vectors_keep_the_widest_directions() -> None:
    rng = np.random.default_rng(0)
    wide = np.concatenate([10 * rng.standard_normal((80, 2)), 0.01 * rng.standard_normal((80, 40))], axis=1)
    found = reduce_vectors(wide, 2)
    fit = np.linalg.lstsq(np.c_[np.ones(80), found], wide[:, :2], rcond=None)[1]
    assert (fit < 1).all()
    assert reduce_vectors(np.ones((5, 3))).tolist() == np.zeros((5, 3)).tolist()


def test_texts_are_encoded_without_a_model() -> None:
    texts = tuple(f"{word} {i}" for i in range(20) for word in ("integral", "onion"))
    queries = Queries(query_id=np.arange(40).astype(str), text=texts, split=np.full(40, "train"))
    assert encode_queries(queries).shape == (40, 24)
