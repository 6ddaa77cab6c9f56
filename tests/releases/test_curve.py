"""The learning curve finds where learning pays, and says so only where it can be seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from agentnet.errors import DataError
from agentnet.outcomes.choices import ChoiceLog
from agentnet.releases.curve import (
    LearningCurve,
    Point,
    curve_or_note,
    curve_section,
    fit_power_law,
    learning_curve,
)
from agentnet.routers.registry import make_router
from tests.releases.simulated import SKILL, TOPICS, TopicEncoder, simulate

FLAT = np.tile(SKILL.mean(0), (4, 1))


def halves(n: int, seed: int, **how: Any) -> tuple[ChoiceLog, ChoiceLog]:
    log = simulate(n, seed, epsilon=1.0, **how)
    test = log.queries.split == "test"
    return log.of_queries(~test), log.of_queries(test)


def curve_of(n: int, seed: int, **how: Any) -> LearningCurve:
    learnable, held = halves(n, seed, **how)
    return learning_curve(
        learnable,
        held,
        learnable.pool,
        router="kmeans",
        settings={"clusters": 4},
        encoder=lambda r: TopicEncoder(),
    )


def test_the_fitted_curve_goes_through_a_known_crossing() -> None:
    rng = np.random.default_rng(0)
    n = np.array([200.0, 400, 800, 1600, 3200])
    limit, scale, power = fit_power_law(n, 0.06 - 1.5 * n**-0.5 + rng.normal(0, 0.001, 5), np.ones(5))
    assert (scale / limit) ** (1 / power) == pytest.approx(625, rel=0.15)  # (1.5 / 0.06)^2
    flat = fit_power_law(n, np.array([0.02, 0.01, 0.0, -0.01, -0.02]), np.ones(5))
    assert flat[1] == 0.0  # a curve that falls is no learning curve


def test_it_pays_where_the_agents_differ_by_topic() -> None:
    curve = curve_of(6000, 1)
    # Best single is cy or ann with 0.63 at most; the best agent a topic has 0.8.
    assert curve.visible and curve.line().startswith("pays from")
    assert curve.points[-1].low < 0.8 - SKILL.mean(0).max() < curve.points[-1].high
    assert curve.pays_from is not None and curve.low is not None
    assert curve.low <= curve.pays_from <= (curve.high or np.inf)
    assert curve.pays_from < curve.points[-1].n
    assert [point.n for point in curve.points] == sorted(point.n for point in curve.points)
    assert curve == curve_of(6000, 1)


def test_the_crossing_is_where_routers_truly_begin_to_pay() -> None:
    # The truth is known: the same routers' expected score on many fresh tasks.
    learnable, _ = halves(6000, 2)
    fresh = simulate(3000, 99)
    topic = np.array([list(TOPICS).index(text.split()[0]) for text in fresh.queries.text])
    best = SKILL.mean(0).max()
    true_gain = {}
    order = np.random.default_rng(0).permutation(len(learnable))
    for n in (30, 60, 120, 250, 500, 1000):
        values = []
        for k in range(3):
            router = make_router("kmeans", clusters=4)
            router.use_encoder(TopicEncoder())
            rows = learnable.take(np.sort(order[k * 1000 : k * 1000 + n])).to_outcomes()
            router.fit(rows.take(np.flatnonzero(rows.observed.any(1))), learnable.pool)
            chosen = [d.agents[0] for d in router.route_batch(fresh.queries.tasks(), fresh.pool)]
            agent = np.array([fresh.pool.index(name) for name in chosen])
            values.append(SKILL[topic, agent].mean() - best)
        true_gain[n] = float(np.mean(values))
    curve = curve_of(6000, 2)
    truly = min(n for n, gain in true_gain.items() if gain > 0.02)
    assert curve.pays_from is not None and curve.pays_from <= 6 * truly
    assert abs(curve.gain_at(1000) - true_gain[1000]) < 0.08, (true_gain, curve)


def test_nothing_pays_where_the_agents_are_alike_everywhere() -> None:
    curve = curve_of(3000, 3, skill=FLAT)
    assert not curve.visible
    assert curve.line().startswith("not yet visible")


def test_few_decisions_and_lost_propensities_are_told() -> None:
    learnable, held = halves(200, 4)
    few = learnable.take(np.arange(50))
    with pytest.raises(DataError, match="needs 100"):
        learning_curve(few, held, held.pool, router="best_single")
    assert "Not measured" in curve_or_note(few, held, held.pool, router="best_single")
    blind = replace(held, propensity=np.full(len(held), np.nan))
    with pytest.raises(DataError, match="cannot tell any gain"):
        learning_curve(learnable, blind, held.pool, router="kmeans", encoder=lambda r: TopicEncoder())


def test_the_section_shows_points_curve_and_answer() -> None:
    points = (Point(100, -0.05, -0.1, 0.0), Point(1000, 0.03, 0.01, 0.05))
    curve = LearningCurve(
        points=points, against="best_single", limit=0.06, scale=1.1, power=0.5, pays_from=336.0, low=220.0,
        high=None,
    )  # fmt: skip
    section = curve_section(curve)
    assert "pays from about 340 traces (220 to more than this log can tell)" in section
    assert section.count("<svg") == 1 and "fitted curve" in section
    assert curve.to_dict()["visible"] is True
    early = replace(curve, points=(Point(500, 0.02, 0.01, 0.03), *points[1:]))
    assert early.line() == "pays from no more than 500 traces, the fewest looked at, against best_single"
