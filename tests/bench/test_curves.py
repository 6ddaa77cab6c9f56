from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from agentnet.bench import metrics
from agentnet.bench.curves import NEARBY, Curve, compare, simultaneous
from agentnet.bench.points import BUDGETS, Point, by_budget

N = 400


def curve(levels: dict[float, float], *, seed: int = 0, noise: float = 0.0) -> list[Point]:
    """Points of given mean cost and score; the same queries are hard and dear whatever the seed."""
    rng = np.random.default_rng(seed)
    hard = np.linspace(-0.2, 0.2, N)
    dear = 1 + np.linspace(-0.5, 0.5, N)[::-1]
    return [
        Point(0.5, score + hard + noise * rng.standard_normal(N), cost * dear)
        for cost, score in levels.items()
    ]


def made(levels: dict[float, float], **options: float) -> Curve:
    found = Curve.of([curve(levels, **options)])  # type: ignore[arg-type]
    assert found is not None
    return found


LEVELS = {4.0: 0.8, 1.0: 0.5, 2.0: 0.7}


def test_identical_curves_differ_nowhere() -> None:
    found = compare(made(LEVELS), made(LEVELS))
    assert len(found["points"]) == 3 and found["cheaper"] == 0 and found["beyond"] == []
    for point in found["points"]:
        assert point["difference"] == pytest.approx(0, abs=1e-12)
        for kind in ("ci", "ci_cost", "ci_all"):
            assert point[kind] == pytest.approx([0, 0], abs=1e-9)
    assert [point["cost_usd"] for point in found["points"]] == pytest.approx([1, 2, 4])


def test_curves_that_differ_by_noise_alone_are_neither_above_nor_below_at_once() -> None:
    found = compare(made(LEVELS, seed=1, noise=0.3), made(LEVELS, seed=2, noise=0.3))
    assert found["above_all"] == 0 == found["below_all"]
    assert all(point["ci"][0] < 0 < point["ci"][1] for point in found["points"])


@pytest.mark.parametrize("shift", [0.1, -0.1])
def test_a_shifted_curve_is_above_or_below_everywhere(shift: float) -> None:
    higher = {cost: score + shift for cost, score in LEVELS.items()}
    found = compare(made(higher, seed=1, noise=0.1), made(LEVELS, seed=2, noise=0.1))
    side, other = ("above", "below") if shift > 0 else ("below", "above")
    for suffix in ("", "_cost", "_all"):
        assert found[side + suffix] == 3 and found[other + suffix] == 0
    assert found["worst"]["difference"] == pytest.approx(shift, abs=0.03)
    assert found["worst"]["difference"] <= found["best"]["difference"]


def test_between_two_points_ours_is_their_mix_at_equal_cost() -> None:
    found = compare(made({1.0: 0.4, 3.0: 0.8}), made({1.5: 0.45}))
    (point,) = found["points"]
    assert point["ours"] == pytest.approx(0.5)  # a quarter of the way
    assert point["difference"] == pytest.approx(0.05)
    mine, paid, slope = made({1.0: 0.4, 3.0: 0.8}).at(1.5)
    assert (mine.mean(), paid.mean(), slope) == pytest.approx((0.5, 1.5, 0.2))


def test_points_outside_our_costs_are_told_apart() -> None:
    found = compare(made({1.0: 0.5, 2.0: 0.7}), made({0.5: 0.4, 1.5: 0.6, 8.0: 0.75}))
    assert found["cheaper"] == 1 and len(found["points"]) == 1
    (dearer,) = found["beyond"]
    assert dearer["our_cost_usd"] == pytest.approx(2) and dearer["difference"] == pytest.approx(-0.05)
    none = compare(made({1.0: 0.5}), made({0.1: 0.5}))
    assert none["points"] == [] and none["worst"] is None and none["below"] == 0


def test_points_of_nearly_equal_cost_are_one_and_seeds_are_averaged() -> None:
    near = 1 + NEARBY / 2
    joined = made({1.0: 0.4, near: 0.6, 2.0: 0.7})
    assert joined.mean_costs == pytest.approx([(1 + near) / 2, 2.0])
    assert joined.scores.mean(1) == pytest.approx([0.5, 0.7])
    both = Curve.of([curve({1.0: 0.4}), curve({2.0: 0.6})])
    assert both is not None and both.mean_costs == pytest.approx([1.5])
    assert both.scores.mean() == pytest.approx(0.5)


def test_no_curve_without_costs() -> None:
    assert Curve.of([]) is None and Curve.of([()]) is None
    assert Curve.of([curve({float("nan"): 0.5})]) is None


def test_the_interval_with_costs_is_that_of_interpolating_anew_in_every_resample() -> None:
    rng = np.random.default_rng(5)
    costs = np.exp(rng.standard_normal((3, N))) * np.array([[1.0], [4.0], [2.2]])
    scores = (rng.random((3, N)) < [[0.3], [0.8], [0.5]]).astype(float)
    ours = Curve.of([[Point(0.5, scores[i], costs[i]) for i in (0, 1)]])
    theirs = Curve.of([[Point(0.5, scores[2], costs[2])]])
    assert ours is not None and theirs is not None
    (point,) = compare(ours, theirs)["points"]
    means = metrics.bootstrap_means(np.concatenate([scores, costs]).T)
    share = (means[:, 5] - means[:, 3]) / (means[:, 4] - means[:, 3])
    again = means[:, 0] + share * (means[:, 1] - means[:, 0]) - means[:, 2]
    assert point["ci_cost"] == pytest.approx(np.quantile(again, [0.025, 0.975]), abs=0.006)
    assert point["ci_cost"] != pytest.approx(point["ci"], abs=0.006)


def test_simultaneous_intervals_cover_all_points_together() -> None:
    rng = np.random.default_rng(0)
    misses, alone = 0, 0
    for trial in range(100):
        data = rng.standard_normal((10, 60))
        drawn = metrics.bootstrap_means(data.T, draws=300, seed=trial)
        misses += any(low > 0 or high < 0 for low, high in simultaneous(data, drawn))
        pairs = [metrics.bootstrap_ci(row, draws=300, seed=trial) for row in data]
        alone += any(low > 0 or high < 0 for low, high in pairs)
    assert misses <= 15 < 25 <= alone


def test_a_budget_is_spent_by_the_cross_validated_hull_alone() -> None:
    """Setting 2 looks best on the scored rows, but training rows say that it is dominated."""
    inner = curve({1.0: 0.4, 4.0: 0.8, 2.0: 0.3})
    scored = curve({1.5: 0.5, 5.0: 0.7, 2.0: 0.9})
    points = by_budget(scored, inner)
    assert len(points) == BUDGETS
    assert (points[0].cost, points[0].score) == pytest.approx((1.5, 0.5))
    assert (points[-1].cost, points[-1].score) == pytest.approx((5.0, 0.7))
    middle = points[BUDGETS // 2]  # a budget of 2: a third of the way from 1 to 4
    assert (middle.cost, middle.score) == pytest.approx((1.5 + 3.5 / 3, 0.5 + 0.2 / 3))
    assert all(a.cost < b.cost for a, b in pairwise(points))


def test_a_budget_needs_costs_and_a_curve_of_one_point_has_one() -> None:
    assert by_budget(curve({1.0: 0.4}), ()) == ()
    assert by_budget(curve({1.0: 0.4}), curve({float("nan"): 0.4})) == ()
    (only,) = by_budget(curve({1.0: 0.4, 2.0: 0.5}), curve({1.0: 0.4, 2.0: 0.3}))
    assert (only.cost, only.score) == pytest.approx((1.0, 0.4))
    free = by_budget(curve({0.0: 0.4, 2.0: 0.5}), curve({0.0: 0.4, 2.0: 0.5}))
    assert len(free) == BUDGETS and free[0].cost == 0
