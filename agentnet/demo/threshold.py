"""When to abstain: a threshold on the calibrated score, chosen on training data by cross-validation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from agentnet.bench.scoring import Scorer
from agentnet.outcomes.splits import cross_fit
from agentnet.outcomes.table import Outcomes
from agentnet.routers.base import RouteOptions, Router

Floats = NDArray[np.float64]
LOSS = 0.02
"""Share of the right answers that abstaining may cost."""


def choose_threshold(make: Callable[[], Router], outcomes: Outcomes, *, seed: int, folds: int = 4) -> float:
    """Returns the highest threshold at which at most `LOSS` of the right answers are given up.

    Each task is predicted by a router that was fitted without it.

    Args:
        make: Makes an unfitted router.
        outcomes: Training outcomes; their splits are ignored.
        seed: Of the folds and fits.
        folds: Number of folds.
    """
    predicted: list[float] = []
    right: list[float] = []
    for fold in cross_fit(outcomes, folds, seed):
        router = make()
        router.fit(fold, fold.pool, seed=seed)
        held_out = fold.split("test")
        decisions = router.route_batch(
            held_out.tasks(), held_out.pool, options=RouteOptions(abstain_below=0.0)
        )
        predicted += [decision.expected_score for decision in decisions]
        right += [row.score for row in Scorer(held_out).score(decisions)]
    return highest_threshold(np.array(predicted), np.array(right))


def highest_threshold(predicted: Floats, right: Floats, *, loss: float = LOSS) -> float:
    """Returns the threshold below which lies at most ``loss`` of the sum of ``right``.

    >>> highest_threshold(np.array([0.1, 0.2, 0.6, 0.9]), np.array([0, 0, 1, 1]))
    0.6
    """
    order = np.argsort(predicted, kind="stable")
    total = right.sum()
    if total == 0:
        return 0.0
    lost = np.concatenate([[0.0], np.cumsum(right[order])]) / total
    cut = int(np.flatnonzero(lost <= loss).max())
    return float(min(predicted[order][min(cut, len(order) - 1)], 1.0))
