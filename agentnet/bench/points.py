"""Points of a quality-cost curve, and how operating points are chosen: never on the rows scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentnet.bench import metrics

NEAR = 0.01
"""One point: the second operating point may score this much less than the best single agent."""
DOUBLE = 2.0
"""The third operating point may cost this many times what the best single agent costs."""
BUDGETS = 15
"""Points of a curve by budget."""


@dataclass(frozen=True, slots=True, eq=False)
class Point:
    """One setting of the dial on one set of rows.

    Attributes:
        cost_weight: The setting; NaN where every fold has its own.
        scores: [n] per query.
        costs: [n] USD per query; NaN unknown.
    """

    cost_weight: float
    scores: NDArray[np.float64]
    costs: NDArray[np.float64]

    @property
    def score(self) -> float:
        """Mean score."""
        return float(self.scores.mean())

    @property
    def cost(self) -> float:
        """Mean USD; NaN once any is unknown."""
        return float(self.costs.mean())


class Picked(NamedTuple):
    """Indices of the operating points on a cross-validated curve.

    Attributes:
        matched: The cheapest that scores at least as much as the best single agent; where none does, the one
            that scores most.
        near: The same with a score of at most `NEAR` less.
        double: The one that scores most of those that cost at most `DOUBLE` times the best single agent, the
            cheaper of equals; where none costs so little, the cheapest. None where its cost is unknown.
    """

    matched: int
    near: int
    double: int | None


def pick(inner: Sequence[Point], target: float, cost: float = float("nan")) -> Picked | None:
    """Returns the operating points on a cross-validated curve; None without costs.

    Args:
        inner: A point per dial setting.
        target: Mean score of the best single agent on the same rows.
        cost: Its mean USD; NaN unknown.

    >>> low, high = Point(1.0, np.array([0.5]), np.array([1.0])), Point(0.0, np.array([0.9]), np.array([5.0]))
    >>> pick([high, low], target=0.6, cost=2.0)
    Picked(matched=0, near=0, double=1)
    """
    scores = [float(point.scores.mean()) for point in inner]
    costs = [float(point.costs.mean()) for point in inner]
    if np.isnan(costs).any():
        return None

    def cheapest(least: float) -> int:
        good = [i for i in range(len(inner)) if scores[i] >= least - 1e-9]
        return min(good, key=costs.__getitem__) if good else int(np.argmax(scores))

    double = None
    if not np.isnan(cost):
        paid = [i for i in range(len(inner)) if costs[i] <= DOUBLE * cost * (1 + 1e-9)]
        double = max(paid, key=lambda i: (scores[i], -costs[i])) if paid else int(np.argmin(costs))
    return Picked(cheapest(target), cheapest(target - NEAR), double)


def by_budget(curve: Sequence[Point], inner: Sequence[Point]) -> tuple[Point, ...]:
    """Returns what a user gets who names a budget: `BUDGETS` of them, from the cheapest to the best.

    The upper hull of the cross-validated curve says which settings of the dial are worth using and in
    which mix they spend the budget; the mix is then scored on the rows of ``curve``. Nothing is read off
    these rows.

    Args:
        curve: A point per dial setting, on the rows to score.
        inner: The same settings, cross-validated on other rows; empty gives no curve.
    """
    at = {(point.cost, point.score): i for i, point in reversed(list(enumerate(inner)))}
    if not at or any(np.isnan(cost) for cost, _ in at):
        return ()
    hull = metrics.hull(list(at))
    used = [at[pair] for pair in hull]
    costs = [cost for cost, _ in hull]
    even = np.linspace if costs[0] <= 0 else np.geomspace
    points = []
    for budget in even(costs[0], costs[-1], BUDGETS) if len(hull) > 1 else costs:
        place = float(np.interp(budget, costs, np.arange(len(costs))))
        low = min(int(place), len(costs) - 1)
        high, share = min(low + 1, len(costs) - 1), place - low
        a, b = curve[used[low]], curve[used[high]]
        points.append(
            Point(
                float("nan"),
                (1 - share) * a.scores + share * b.scores,
                (1 - share) * a.costs + share * b.costs,
            )
        )
    return tuple(points)
