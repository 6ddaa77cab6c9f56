"""AIQ of whole curves with paired bootstrap intervals: the area under one curve less that under another.

Twice: by the settings of the dial, as RouterBench defines it (the hull is read off the evaluated rows, of
every router alike), and by budget, where cross-validation on train and val said which mix of settings
spends which budget and nothing is read off the evaluated rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.bench import metrics
from agentnet.bench.points import Point
from agentnet.bench.protocol import RouterRun

Floats = NDArray[np.float64]
DRAWS = 1000


def mean_height(points: Sequence[tuple[float, float]], *, low: float, high: float) -> float:
    """Returns the mean height between two costs of a curve taken as it is: no hull, and 0 below its start.

    >>> mean_height([(1, 0.5), (2, 1.0)], low=0, high=2)
    0.375
    """
    costs, scores = (np.array(values, np.float64) for values in zip(*sorted(points), strict=True))
    start = max(low, float(costs[0]))
    if start >= high:
        return 0.0
    corners = np.unique(np.concatenate(([start, high], costs[(costs > start) & (costs < high)])))
    area = np.trapezoid(np.interp(corners, costs, scores), corners)
    return round(float(area / (high - low)), 6)


def areas(
    runs: Mapping[str, Sequence[RouterRun]], rival: str, *, low: float, high: float
) -> dict[str, dict[str, Any]]:
    """Returns per router AIQ with its interval, and the paired difference to a rival.

    Args:
        runs: By router, one per seed; a router's curve is the mean over seeds.
        rival: The router compared with; where it did not run there are no differences.
        low: Least cost of all curves, USD.
        high: Cost up to which is measured, USD.
    """
    if not high > low:
        return {}
    found: dict[str, dict[str, Any]] = {}
    for rule in ("settings", "budgets"):
        drawn: dict[str, tuple[float, Floats]] = {}
        for name, group in runs.items():
            area = _area(group, rule, low=low, high=high)
            if area is not None:
                drawn[name] = area
        for name, (value, draws) in drawn.items():
            row = found.setdefault(name, {})[rule] = {"aiq": value, "ci": _interval(draws)}
            if rival in drawn and name != rival:
                theirs, their_draws = drawn[rival]
                low_end, high_end = _interval(draws - their_draws)
                row["versus"] = {
                    "rival": rival,
                    "difference": value - theirs,
                    "ci": [low_end, high_end],
                    "beats": low_end > 0,
                }
    return found


def _area(runs: Sequence[RouterRun], rule: str, *, low: float, high: float) -> tuple[float, Floats] | None:
    """The area and its resamples; the same queries are drawn for every router."""
    curves = [run.curve if rule == "settings" else run.budgets for run in runs]
    if not all(curves):
        return None
    scores, costs = _mean(curves, "scores"), _mean(curves, "costs")
    if np.isnan(costs).any():
        return None

    def area(points: Floats) -> float:
        pairs = list(zip(points[len(scores) :].tolist(), points[: len(scores)].tolist(), strict=True))
        if rule == "budgets":
            return mean_height(pairs, low=low, high=high)
        return metrics.aiq(pairs, low=low, high=high) or 0.0

    columns = np.concatenate((scores, costs)).T
    drawn = metrics.bootstrap_means(columns, draws=DRAWS)
    return area(columns.mean(0)), np.array([area(row) for row in drawn])


def _mean(curves: Sequence[Sequence[Point]], what: str) -> Floats:
    """[points, n] mean over seeds; curves by budget of fewer points end with their last one."""
    most = max(len(curve) for curve in curves)
    padded = [[getattr(curve[min(i, len(curve) - 1)], what) for i in range(most)] for curve in curves]
    mean: Floats = np.mean(padded, axis=0)
    return mean


def _interval(draws: Floats) -> list[float]:
    low, high = np.quantile(draws, [0.025, 0.975])
    return [float(low), float(high)]
