"""Strengths: the relation that carries the signal is found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from agentnet.routers.council.strengths import Attention, Lesson, Strengths, learn

WIDTHS = (8, 6, 2, 0)
START = Strengths.default(WIDTHS)


def lesson(carrier: int | None, *, n: int = 240, arms: int = 4, seed: int = 0) -> Lesson:
    """What is left of outcomes goes by the sign of the carrier's first number; None by nothing."""
    rng = np.random.default_rng(seed)
    parts = []
    for width in WIDTHS[:3]:
        part = 0.3 * rng.normal(size=(n, width))
        part[:, 0] += rng.choice([-1.0, 1.0], n)
        parts.append(part / np.linalg.norm(part, axis=1, keepdims=True))
    sign = rng.choice([-1.0, 1.0], n) if carrier is None else np.sign(parts[carrier][:, 0])
    skill = rng.choice([-1.0, 1.0], arms)
    specific = 0.4 * sign[:, None] * skill + 0.2 * rng.normal(size=(n, arms))
    common = 0.3 * sign + 0.1 * rng.normal(size=n)
    relations = np.concatenate(parts, axis=1).astype(np.float32)
    return Lesson(relations, common, specific, np.ones((n, arms)))


def taught(data: Lesson, *, seed: int = 0) -> Strengths:
    return learn(data, START, seed=seed, device="cpu", options=None, label="edges")


def error(data: Lesson, strengths: Strengths) -> float:
    """Mean square of what messages from all other rows leave of an arm's own."""
    weights = strengths.specific.weights(data.relations, data.relations)
    np.fill_diagonal(weights, 0.0)
    told = (weights @ data.specific) / (weights.sum(1, keepdims=True) + strengths.specific.pull)
    return float(((data.specific - told) ** 2).mean())


@pytest.mark.parametrize("carrier", [0, 1, 2])
def test_the_relation_that_carries_the_signal_is_found(carrier: int) -> None:
    data = lesson(carrier)
    found = taught(data)
    others = [i for i in range(3) if i != carrier]
    for attention, start in ((found.common, START.common), (found.specific, START.specific)):
        weights = attention.weights_by_relation
        kept = [weights[i] / start.weights_by_relation[i] for i in range(3)]
        assert kept[carrier] > 1.1 * max(kept[i] for i in others), weights
        assert weights[3] == 0 and 0 < attention.pull < start.pull
    fresh = lesson(carrier, seed=1)
    assert error(fresh, found) < 0.5 * error(fresh, START)


def test_in_noise_messages_say_little() -> None:
    data = lesson(None)
    nothing = float((data.specific**2).mean())
    assert error(data, taught(data)) < nothing * 1.02
    assert error(data, taught(data)) < error(data, START) + 1e-6


def test_learning_is_deterministic_and_leaves_torchs_generator_alone() -> None:
    data = lesson(1, n=80)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    assert taught(data) == taught(data) != START
    assert torch.equal(torch.get_rng_state(), before)


def test_two_queries_are_enough(tmp_path: Path) -> None:
    found = taught(lesson(0, n=2))
    assert all(
        np.isfinite(a.weights_by_relation).all() and a.pull > 0 for a in (found.common, found.specific)
    )


def test_an_edge_weighs_by_the_cosines() -> None:
    attention = Attention((2.0, 0.0, 3.0, 0.0), 1.0, WIDTHS)
    data = lesson(0, n=5).relations
    cos = [data[:2, a:b] @ data[:, a:b].T for a, b in ((0, 8), (8, 14), (14, 16))]
    wanted = np.exp(2 * (cos[0] - 1) + 3 * (cos[2] - 1))
    found = attention.weights(data[:2], data)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    assert found.max() <= 1 and found[0, 0] == pytest.approx(1)


def test_strengths_survive_json() -> None:
    found = taught(lesson(1, n=40))
    assert Strengths.from_dict(found.to_dict()) == found
    assert START.common.weights_by_relation[3] == 0, "no entities, no edge by them"
