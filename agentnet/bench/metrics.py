"""Metrics of routing: quality, money, collapse and calibration, with bootstrap intervals.

Names follow the field: PerfGain, CostSave and distance to the Pareto front as in LLMRouterBench, AIQ
(area under the non-decreasing hull of quality over cost) as in RouterBench.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentnet.routers import calibration

Floats = NDArray[np.float64]


def bootstrap_ci(
    values: ArrayLike, *, draws: int = 2000, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Returns the percentile bootstrap interval of the mean over rows.

    Args:
        values: [n] one value per query (for a paired comparison: the differences).
        draws: Resamples.
        level: Coverage.
        seed: Makes it deterministic.

    >>> lo, hi = bootstrap_ci([0, 1] * 50)
    >>> lo < 0.5 < hi
    True
    """
    data = np.asarray(values, np.float64)
    if data.size == 0:
        return (math.nan, math.nan)
    means = bootstrap_means(data[:, None], draws=draws, seed=seed)[:, 0]
    tail = (1 - level) / 2
    lo, hi = np.quantile(means, [tail, 1 - tail])
    return float(lo), float(hi)


def bootstrap_means(columns: ArrayLike, *, draws: int = 2000, seed: int = 0) -> Floats:
    """Returns [draws, m] means of resampled rows of [n, m] columns; the same rows for every column."""
    data = np.asarray(columns, np.float64)
    n = len(data)
    counts = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=draws)
    means: Floats = counts @ data / n
    return means


def gap_closed(score: float, best_single: float, oracle: float) -> float | None:
    """Share of the way from the best single agent to the oracle; None when there is no way to go.

    >>> gap_closed(0.6, 0.5, 0.9)
    0.25
    """
    room = oracle - best_single
    return None if room <= 0 else round((score - best_single) / room, 12)


def entropy(shares: Iterable[float]) -> float:
    """Selection entropy in bits; 0 means that one agent gets everything (collapse).

    >>> entropy([0.5, 0.5])
    1.0
    """
    return float(-sum(p * math.log2(p) for p in shares if p > 0)) + 0.0


def shares(choices: Iterable[str]) -> dict[str, float]:
    """Share of each name among all, most chosen first."""
    counts = Counter(choices)
    total = sum(counts.values())
    return {name: count / total for name, count in counts.most_common()}


def calibration_error(predicted: ArrayLike, actual: ArrayLike) -> float | None:
    """Expected calibration error as `agentnet.routers.calibration.calibration_error`; None for no rows.

    Args:
        predicted: [n] predicted probability of a right answer; NaN rows (abstentions) are left out.
        actual: [n] score in [0, 1].

    >>> calibration_error([0.5] * 4, [1, 0, 1, 0]), calibration_error([], [])
    (0.0, None)
    """
    p, y = np.asarray(predicted, np.float64), np.asarray(actual, np.float64)
    known = ~np.isnan(p)
    error = calibration.calibration_error(p[known], y[known])
    return None if math.isnan(error) else error


def front(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Returns the (cost, score) points that no other beats in both, cheapest first.

    >>> front([(1, .5), (2, .4), (3, .9), (2, .6)])
    [(1, 0.5), (2, 0.6), (3, 0.9)]
    """
    best: list[tuple[float, float]] = []
    for cost, score in sorted(points, key=lambda p: (p[0], -p[1])):
        if not best or score > best[-1][1]:
            best.append((cost, score))
    return best


def hull(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Returns the upper, non-decreasing convex hull of (cost, score) points, cheapest first.

    Any point on it is reached by choosing at random between two routers.

    >>> hull([(1, .5), (2, .4), (3, .9), (2, .8)])
    [(1, 0.5), (2, 0.8), (3, 0.9)]
    """
    best: list[tuple[float, float]] = []
    for cost, score in sorted(points, key=lambda p: (p[0], -p[1])):
        if best and score <= best[-1][1]:
            continue
        while len(best) > 1 and _slope(best[-2], (cost, score)) >= _slope(best[-2], best[-1]):
            best.pop()
        best.append((cost, score))
    return best


def _slope(a: tuple[float, float], b: tuple[float, float]) -> float:
    return (b[1] - a[1]) / (b[0] - a[0]) if b[0] > a[0] else math.inf


def aiq(points: Sequence[tuple[float, float]], *, low: float, high: float) -> float | None:
    """Average improvement in quality: mean height of the hull between two costs (RouterBench).

    Below its cheapest point a curve counts as 0, for there it can buy nothing; so give curves that are
    compared the same ``low`` and ``high``. None where there is no curve or no range.

    >>> aiq([(0, 0.5), (1, 1.0)], low=0, high=1)
    0.75
    """
    curve = hull(points)
    if not curve or high <= low:
        return None
    grid = np.linspace(low, high, 1001)
    x, y = np.array([c for c, _ in curve]), np.array([s for _, s in curve])
    height = np.interp(grid, x, y, left=0.0)
    return round(float(np.trapezoid(height, grid) / (high - low)), 6)


def pareto_distance(
    point: tuple[float, float], front: Sequence[tuple[float, float]], *, max_cost: float
) -> float:
    """Distance of a (cost, score) point to a Pareto front, costs over ``max_cost``; 0 on or above it.

    The front is the non-dominated points themselves, as in LLMRouterBench: the distance is the smallest
    by which the point would have to improve, in score or in relative cost together, to reach one of them.
    """
    cost, score = point
    gaps = [math.hypot(max(0.0, (cost - c) / max_cost), max(0.0, s - score)) for c, s in front]
    return min(gaps, default=0.0)


def cost_save(cost: float, reference: float) -> float | None:
    """Share of the reference's money that is saved; None when the reference costs nothing.

    >>> cost_save(1.0, 4.0)
    0.75
    """
    return None if not reference > 0 else 1 - cost / reference


def summary(values: ArrayLike, *, seed: int = 0) -> dict[str, Any]:
    """Returns mean, 95% bootstrap interval and n of one value per query."""
    data = np.asarray(values, float)
    return {"mean": float(data.mean()), "ci": list(bootstrap_ci(data, seed=seed)), "n": int(data.size)}
