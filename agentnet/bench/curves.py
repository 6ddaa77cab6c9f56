"""Compares two quality-cost curves at equal cost, query by query.

At a point of the rival's curve, ours is the mix of our two adjacent points that costs as much: a router
that draws between two settings. So every query has a score of ours and one of theirs at the same mean cost,
and the difference is paired. Nothing is selected here: all points of both curves count, good or bad.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.bench import metrics
from agentnet.bench.points import Point

Floats = NDArray[np.float64]

NEARBY = 0.05
"""Points of a curve whose costs differ by less than this share are one: their mean.

Between two points of almost the same cost a line says nothing but their noise.
"""
EDGE = 0.01
"""A rival's point this share outside our range is compared with our end."""


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """A quality-cost curve of n queries, cheapest point first.

    Attributes:
        scores: [k, n].
        costs: [k, n] USD.
    """

    scores: Floats
    costs: Floats

    @classmethod
    def of(cls, runs: Sequence[Sequence[Point]]) -> Curve | None:
        """Returns the mean over runs (seeds), ordered by mean cost, points of nearly equal cost joined.

        None where there is no point or a cost is unknown.

        >>> low, high = Point(0.5, np.zeros(2), np.ones(2)), Point(0, np.ones(2), np.full(2, 3.0))
        >>> Curve.of([[high, low]]).mean_costs.tolist()
        [1.0, 3.0]
        """
        if not runs or not all(runs):
            return None
        scores = np.mean([[point.scores for point in run] for run in runs], axis=0)
        costs = np.mean([[point.costs for point in run] for run in runs], axis=0)
        if np.isnan(costs).any():
            return None
        order = np.argsort(costs.mean(1), kind="stable")
        groups: list[list[int]] = []
        for i in order.tolist():
            if groups and costs[i].mean() <= costs[groups[-1][0]].mean() * (1 + NEARBY):
                groups[-1].append(i)
            else:
                groups.append([i])
        return cls(
            np.stack([scores[group].mean(0) for group in groups]),
            np.stack([costs[group].mean(0) for group in groups]),
        )

    @property
    def mean_costs(self) -> Floats:
        """[k] mean USD per query, increasing."""
        mean: Floats = self.costs.mean(1)
        return mean

    def at(self, cost: float) -> tuple[Floats, Floats, float]:
        """Returns [n] scores and [n] costs of the mix that costs ``cost`` in the mean, and its slope.

        The slope is that of the line between the two points of the mix, in score per USD. Outside the
        curve's range it is its end, and the slope is 0.
        """
        means = self.mean_costs
        if cost <= means[0] or cost >= means[-1]:
            end = 0 if cost <= means[0] else -1
            return self.scores[end], self.costs[end], 0.0
        high = int(np.searchsorted(means, cost, side="right"))
        low = high - 1
        gap = float(means[high] - means[low])
        share = float(cost - means[low]) / gap
        slope = float(self.scores[high].mean() - self.scores[low].mean()) / gap
        return (
            (1 - share) * self.scores[low] + share * self.scores[high],
            (1 - share) * self.costs[low] + share * self.costs[high],
            slope,
        )


def compare(ours: Curve, theirs: Curve, *, draws: int = 2000, seed: int = 0) -> dict[str, Any]:
    """Returns ours minus theirs at every point of theirs, as JSON values.

    ``points`` are those within both curves' costs, cheapest first, each with ``cost_usd``, ``ours``,
    ``theirs``, ``difference`` and three 95% intervals: ``ci`` of this point alone (paired bootstrap, the
    mix held fixed), ``ci_cost`` that also counts that the costs themselves are estimated (delta method: each
    query's difference less the slope of our curve times its difference in cost), and ``ci_all`` that
    covers all points at once (max-t bootstrap). ``beyond`` are theirs that cost more than our dearest,
    compared with that one, which costs less; ``cheaper`` counts theirs that cost less than our cheapest,
    which cannot be compared.

    Args:
        ours: A curve.
        theirs: The rival's, of the same queries.
        draws: Bootstrap resamples.
        seed: Makes it deterministic.
    """
    low, high = float(ours.mean_costs[0]), float(ours.mean_costs[-1])
    rows: list[dict[str, Any]] = []
    beyond: list[dict[str, Any]] = []
    paired: list[Floats] = []
    at_equal_cost: list[Floats] = []
    dearer: list[Floats] = []
    costs = theirs.mean_costs.tolist()
    for i, cost in enumerate(costs):
        if cost < low * (1 - EDGE):
            continue
        mine, paid, slope = ours.at(cost)
        difference = mine - theirs.scores[i]
        row = {
            "cost_usd": cost,
            "ours": float(mine.mean()),
            "theirs": float(theirs.scores[i].mean()),
            "difference": float(difference.mean()),
        }
        if cost > high * (1 + EDGE):
            beyond.append(row | {"our_cost_usd": high})
            dearer.append(difference)
        else:
            rows.append(row)
            paired.append(difference)
            at_equal_cost.append(difference - slope * (paid - theirs.costs[i]))
    if dearer:
        _add_intervals(beyond, "ci", _resampled(dearer, draws, seed))
    if paired:
        drawn = _resampled(paired, draws, seed)
        _add_intervals(rows, "ci", drawn)
        _add_intervals(rows, "ci_cost", _resampled(at_equal_cost, draws, seed))
        for row, interval in zip(rows, simultaneous(np.array(paired), drawn), strict=True):
            row["ci_all"] = list(interval)
    cheaper = sum(cost < low * (1 - EDGE) for cost in costs)
    return {"points": rows, "beyond": beyond, "cheaper": cheaper, **verdict(rows)}


def _resampled(differences: Sequence[Floats], draws: int, seed: int) -> Floats:
    """[draws, k] means of the k differences over resampled queries, the same ones for all."""
    return metrics.bootstrap_means(np.array(differences).T, draws=draws, seed=seed)


def _add_intervals(rows: Sequence[dict[str, Any]], key: str, drawn: Floats) -> None:
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    for row, interval in zip(rows, zip(low.tolist(), high.tolist(), strict=True), strict=True):
        row[key] = list(interval)


def simultaneous(differences: Floats, drawn: Floats, *, level: float = 0.95) -> list[tuple[float, float]]:
    """Returns intervals of k means that all hold at once with the given probability (max-t bootstrap).

    Args:
        differences: [k, n].
        drawn: [draws, k] their means over resampled queries, the same ones for all k.
        level: Joint coverage.

    >>> data = np.array([[0.0, 1.0] * 50, [0.5] * 100])
    >>> one, two = simultaneous(data, metrics.bootstrap_means(data.T))
    >>> one[0] < 0.5 < one[1], two
    (True, (0.5, 0.5))
    """
    mean = differences.mean(1)
    error = differences.std(1) / np.sqrt(differences.shape[1])
    # A difference that is the same on every query has no error, and none of its own in the maximum.
    certain = error < 1e-12
    t = np.abs(drawn - mean) / np.where(certain, np.inf, error)
    width = float(np.quantile(t.max(1), level)) * np.where(certain, 0.0, error)
    return [(float(m - w), float(m + w)) for m, w in zip(mean, width, strict=True)]


def verdict(points: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Returns in how many points ours is below or above, and where it is worst and best.

    ``below`` and ``above`` count points whose own interval leaves zero out (of 20 equal ones about one
    does by chance); ``below_all`` and ``above_all`` those whose simultaneous interval does.
    """
    by_difference = sorted(range(len(points)), key=lambda i: points[i]["difference"])
    counts = {}
    for suffix in ("", "_cost", "_all"):
        intervals = [point[f"ci{suffix}"] for point in points]
        counts[f"below{suffix}"] = sum(high < 0 for _, high in intervals)
        counts[f"above{suffix}"] = sum(low > 0 for low, _ in intervals)
    return {
        **counts,
        "worst": points[by_difference[0]] if points else None,
        "best": points[by_difference[-1]] if points else None,
    }
