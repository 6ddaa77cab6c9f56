from __future__ import annotations

import numpy as np
import pytest

from agentnet.bench.intents.measures import (
    Predicted,
    above,
    auroc,
    best_k,
    reliability,
    set_figures,
    threshold_of,
)

P = np.array([[0.7, 0.2, 0.1], [0.3, 0.4, 0.35]], np.float32)


def test_a_threshold_turns_away_at_most_its_share() -> None:
    values = np.random.default_rng(0).random(200)
    assert (values < threshold_of(values, 0.05)).sum() == 10
    assert (np.ones(50) < threshold_of(np.ones(50))).sum() == 0


def test_auroc_agrees_with_counting_pairs() -> None:
    rng = np.random.default_rng(0)
    inside, outside = rng.integers(0, 9, 40) + 2, rng.integers(0, 9, 30)
    pairs = [(a > b) + 0.5 * (a == b) for a in inside for b in outside]
    assert auroc(inside, outside) == pytest.approx(np.mean(pairs))


def test_sets_are_judged_part_by_part() -> None:
    found = set_figures([(0, 1), (2,), (0, 1, 2)], [frozenset({0, 1})] * 3, "abc")
    assert found["exact"].tolist() == [1, 0, 0]
    assert found["recall"].tolist() == [1, 0, 1]
    assert found["reward"][0] == 1 > found["reward"][2] > found["reward"][1]


def test_the_likeliest_agents_and_those_above_a_threshold() -> None:
    assert best_k(P, 2) == [(0, 1), (1, 2)]
    assert above(P, 0.32, 3) == [(0,), (1, 2)]
    assert above(P, 0.9, 3) == [(0,), (1,)]  # the likeliest always
    assert above(P, 0.0, 2) == [(0, 1), (1, 2)]


def test_a_hit_needs_the_right_agent_and_an_exact_set_it_alone() -> None:
    found = Predicted(P, ((0, 1), ()), P.max(1).astype(float))
    assert found.hit([1, 1]).tolist() == [1, 0]
    assert found.exact([0, 1]).tolist() == [0, 0]
    assert found.first_right([0, 1]).tolist() == [1, 0]
    assert found.size.tolist() == [2, 0]
    assert found.top.tolist() == [pytest.approx(0.7), 0]


def test_reliability_counts_every_row_once() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(100)
    bins = reliability(p, rng.random(100) < p)
    assert sum(size for _, _, size in bins) == 100 and len(bins) == 15
    assert [p for p, _, _ in bins] == sorted(p for p, _, _ in bins)
