from __future__ import annotations

import numpy as np
import pytest

from agentnet.bench.intents.data import Labels
from agentnet.bench.intents.references import (
    CENTROID,
    DISCRIMINANT,
    LOGISTIC,
    NEAREST,
    WORDS,
    Reference,
    choose,
    energy,
    fit_scale,
    softmax,
)

EVERY = (LOGISTIC, CENTROID, NEAREST, WORDS, DISCRIMINANT)


@pytest.mark.parametrize("reference", EVERY, ids=lambda item: item.label)
def test_a_reference_tells_intents_with_words_of_their_own_apart(data: Labels, reference: Reference) -> None:
    train, val, test = (data.rows(split, inside=True) for split in ("train", "val", "test"))
    x, y = data.vectors, data.gold
    chosen = choose(reference, (x[train], y[train]), (x[val], y[val]), data.described)
    p = chosen.probability(chosen.scorer, x[test])
    assert (p.argmax(1) == y[test]).mean() > 0.9
    assert p.sum(1) == pytest.approx(np.ones(len(test)), abs=1e-5)
    assert set(chosen.tried) == set(reference.strengths)
    assert chosen.val_hit == max(chosen.tried.values())


@pytest.mark.parametrize("reference", (CENTROID, NEAREST), ids=lambda item: item.label)
def test_a_class_without_rows_is_known_by_its_description(data: Labels, reference: Reference) -> None:
    train, test = data.rows("train", inside=True), data.rows("test", inside=True)
    kept = train[data.gold[train] != 2]
    scorer = reference.fit(data.vectors[kept], data.gold[kept], data.described, 0.0)
    new = test[data.gold[test] == 2]
    assert (scorer.scores(data.vectors[new]).argmax(1) == 2).mean() > 0.8


def test_the_discriminant_is_the_closed_form_of_two_gaussians() -> None:
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 4000)
    x = (rng.normal(0, 1, (8000, 2)) + 2 * np.stack([y, 0 * y], 1)).astype(np.float32)
    scores = DISCRIMINANT.fit(x, y, np.zeros((2, 2), np.float32), 0.0).scores(
        np.array([[1, 0], [0, 3]], np.float32)
    )
    log_odds = scores[:, 1] - scores[:, 0]  # exact: 2 x - 2
    assert log_odds == pytest.approx([0, -2], abs=0.15)


def test_the_scale_makes_probabilities_honest() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 1, (3000, 5)).astype(np.float32)
    p = softmax(scores * 4)
    classes = np.array([rng.choice(5, p=row / row.sum()) for row in p.astype(float)])
    assert fit_scale(scores, classes) == pytest.approx(4, rel=0.2)


def test_energy_is_the_log_of_the_sum_of_powers() -> None:
    scores = np.array([[1.0, 2.0], [500.0, 1.0]], np.float32)
    assert energy(scores) == pytest.approx([np.log(np.e + np.e**2), 500.0], rel=1e-6)
