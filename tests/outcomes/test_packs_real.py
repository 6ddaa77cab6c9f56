"""The public packs: shapes and figures as their descriptions say."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from agentnet.errors import DataError
from agentnet.outcomes.packs import load_outcomes, load_queries, save_pack
from agentnet.outcomes.splits import cross_fit, leaking, stratified_folds

DATA = os.environ.get("AGENTNET_DATA")
pytestmark = [
    pytest.mark.pack,
    pytest.mark.skipif(not DATA, reason="AGENTNET_DATA does not name a folder of packs"),
]


def pack(name: str) -> Path:
    assert DATA is not None
    folder = Path(DATA) / name
    if not folder.is_dir():
        pytest.skip(f"AGENTNET_DATA has no pack {name}")
    return folder


@pytest.mark.parametrize(
    ("name", "shape", "best", "test_best"),
    [
        ("ulab9", (4122, 9), 0.599, 0.584),
        ("mmlu_pro", (9354, 14), 0.700, 0.707),
        ("zeroeval", (1435, 14), 0.815, 0.820),
        ("routellm", (13351, 2), 0.819, 0.819),
    ],
)
def test_outcome_packs(name, shape, best, test_best):
    outcomes = load_outcomes(pack(name))
    assert outcomes.score.shape == shape and outcomes.full
    assert outcomes.mean_score.max() == pytest.approx(best, abs=5e-4)
    test = outcomes.split("test")
    assert test.mean_score[outcomes.mean_score.argmax()] == pytest.approx(test_best, abs=5e-4)
    assert not np.isnan(outcomes.cost).any()


def test_responses_are_where_they_belong():
    outcomes = load_outcomes(pack("zeroeval"))
    assert outcomes.response is not None
    assert all(isinstance(item, str) for item in outcomes.response.flat)


@pytest.mark.parametrize(
    ("name", "shape", "oos"),
    [("clinc150", (19633, 130), True), ("banking77", (10499, 62), False), ("hwu64", (8372, 49), False)],
)
def test_label_packs(name, shape, oos):
    outcomes = load_outcomes(pack("intents") / name)
    assert outcomes.score.shape == shape and outcomes.kind == "label"
    assert outcomes.out_of_scope.any() == oos
    np.testing.assert_array_equal(outcomes.score.sum(1), ~outcomes.out_of_scope)


@pytest.mark.parametrize(("name", "n"), [("kgqa", 915), ("topology", 2296)])
def test_packs_without_agents(name, n):
    assert len(load_queries(pack(name))) == n
    with pytest.raises(DataError, match="no agents to route to"):
        load_outcomes(pack(name))


def test_a_real_pack_is_copied_without_loss(tmp_path):
    outcomes = load_outcomes(pack("zeroeval"))
    save_pack(outcomes, tmp_path)
    again = load_outcomes(tmp_path)
    assert again.fingerprint == outcomes.fingerprint and again.pool == outcomes.pool
    assert again.response.tolist() == outcomes.response.tolist()


def test_cross_fitting_a_small_pack():
    outcomes = load_outcomes(pack("zeroeval"))
    share = np.mean(np.array(outcomes.queries.task) == "gsm")
    for fold in cross_fit(outcomes, 5):
        test = fold.split("test")
        assert abs(np.mean(np.array(test.queries.task) == "gsm") - share) < 0.01
        assert not leaking(fold.queries).any()
    assert np.bincount(stratified_folds(outcomes.queries.task, 5)).tolist() == [287] * 5
