"""The encoder head learns what is there to learn, and is no surer than it should be."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from agentnet.errors import InvalidInput
from agentnet.routers.heads import fit_head
from agentnet.routers.intents.base import restore_types
from agentnet.routers.intents.head import EncodedTypes, clustered_types, fit_temperature, log_loss, softmax

LABELS = ("code", "general", "math")


def planted(n: int, *, seed: int, noise: float = 1.0, dim: int = 24) -> tuple[NDArray[np.float32], list[str]]:
    """Unit vectors around one centre a label."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((3, dim))
    y = np.arange(n) % 3
    x = centres[y] + noise * rng.standard_normal((n, dim))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32), [LABELS[i] for i in y]


def accuracy(types: EncodedTypes, x: NDArray[np.float32], labels: list[str]) -> float:
    guesses = types.weights([""] * len(x), x).argmax(1)
    return float(np.mean([types.types[guess] == label for guess, label in zip(guesses, labels, strict=True)]))


def test_planted_labels_are_learned_and_shuffled_ones_are_not() -> None:
    x, labels = planted(300, seed=0)
    fresh, wanted = planted(300, seed=1)
    assert accuracy(EncodedTypes.fit(x, labels), fresh, wanted) > 0.95
    shuffled = np.random.default_rng(0).permutation(labels).tolist()
    types = EncodedTypes.fit(x, shuffled)
    assert accuracy(types, fresh, wanted) < 0.6
    # Nothing to learn: the head says so by even weights.
    assert types.weights([""] * 300, fresh).max(1).mean() < 0.5


def test_weights_sum_to_one_and_keep_the_floor() -> None:
    x, labels = planted(90, seed=0, noise=0.1)
    for floor in (0.0, 0.01, 0.2):
        weights = EncodedTypes.fit(x, labels, floor=floor).weights([""] * 90, x)
        assert weights.dtype == np.float64
        assert np.allclose(weights.sum(1), 1)
        assert weights.min() >= floor


def test_calibration_lowers_the_held_out_loss_of_an_overconfident_head() -> None:
    x, labels = planted(150, seed=0, noise=3.0)
    fresh, wanted = planted(600, seed=1, noise=3.0)
    y = np.array([LABELS.index(label) for label in labels])
    head = fit_head(x, y, 3, strength=1e6)
    right = np.array([LABELS.index(label) for label in wanted])
    half = np.arange(600) < 300
    logits = fresh @ head.weight + head.bias
    temperature = fit_temperature(logits[half], right[half])
    assert temperature > 1.5
    assert log_loss(logits[~half] / temperature, right[~half]) < log_loss(logits[~half], right[~half]) - 0.1
    # The fitted types, which choose both on rows left out, do better still than the hasty head.
    weights = EncodedTypes.fit(x, labels, floor=0).weights([""] * 600, fresh)
    assert log_loss(np.log(weights), right) < log_loss(logits, right) - 0.1


def test_the_temperature_undoes_a_known_scale() -> None:
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((4000, 3))
    y = np.array([rng.choice(3, p=row) for row in softmax(logits)])
    assert fit_temperature(logits * 5, y) == pytest.approx(5, rel=0.1)
    assert fit_temperature(logits / 4, y) == pytest.approx(1 / 4, rel=0.1)


def test_rows_of_a_group_are_left_out_together() -> None:
    # Ten rows of each group are alike, and its label is a coin: memory looks like knowledge without groups.
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(40), 10)
    x = rng.standard_normal((40, 60))[group] + 0.05 * rng.standard_normal((400, 60))
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    labels = np.array(["a", "b"])[rng.permutation(40) % 2][group].tolist()
    alone = EncodedTypes.fit(x, labels)
    together = EncodedTypes.fit(x, labels, groups=[f"g{i}" for i in group])
    assert alone.chosen["log_loss"] < 0.1
    assert together.chosen["log_loss"] > 0.6
    assert together.weights([""] * 400, x).max(1).mean() < alone.weights([""] * 400, x).max(1).mean()


def test_fitting_twice_gives_the_same_bits_and_so_does_a_saved_state() -> None:
    x, labels = planted(90, seed=0)
    first, second = EncodedTypes.fit(x, labels, seed=3), EncodedTypes.fit(x, labels, seed=3)
    weights = first.weights([""] * 90, x)
    assert np.array_equal(weights, second.weights([""] * 90, x))
    config, arrays = first.state()
    again = restore_types(json.loads(json.dumps(config)), arrays | {"other": np.zeros(1)})
    assert isinstance(again, EncodedTypes)
    assert again.chosen == first.chosen
    assert np.array_equal(weights, again.weights([""] * 90, x))


@pytest.mark.parametrize("labels", [["x"] * 9, ["x"] * 8 + ["y"], ["x", "y", "z"] * 3])
def test_few_rows_and_single_labels_are_fine(labels: list[str]) -> None:
    x, _ = planted(9, seed=0)
    types = EncodedTypes.fit(x, labels)
    assert types.types == tuple(sorted(set(labels)))
    assert np.allclose(types.weights([""] * 9, x).sum(1), 1)


def test_wrong_input_is_refused_with_a_hint() -> None:
    x, labels = planted(30, seed=0)
    types = EncodedTypes.fit(x, labels)
    with pytest.raises(InvalidInput, match="one label each"):
        EncodedTypes.fit(x, labels[:-1])
    with pytest.raises(InvalidInput, match="one label each"):
        EncodedTypes.fit(x[:0], [])
    with pytest.raises(InvalidInput, match="one group each"):
        EncodedTypes.fit(x, labels, groups=["g"])
    with pytest.raises(InvalidInput, match="vectors"):
        types.weights(["a"])
    with pytest.raises(InvalidInput, match="encoder"):
        types.weights(["a"], np.ones((1, 7), np.float32))


def test_clusters_stand_in_for_labels() -> None:
    x, labels = planted(120, seed=0, noise=0.3)
    types = clustered_types(x, 3, seed=0)
    assert types.types == ("cluster 1", "cluster 2", "cluster 3")
    found = types.weights([""] * 120, x).argmax(1)
    # Every planted group is one cluster, under whatever number.
    pairs = set(zip(labels, found.tolist(), strict=True))
    assert len(pairs) == 3
    assert np.array_equal(found, clustered_types(x, 3, seed=0).weights([""] * 120, x).argmax(1))
    with pytest.raises(InvalidInput, match="clusters"):
        clustered_types(x[:2], 3)


def test_numbered_clusters_keep_their_order() -> None:
    x = np.eye(12, dtype=np.float32)
    assert clustered_types(np.repeat(x, 3, 0), 12, floor=0).types[:2] == ("cluster 01", "cluster 02")
