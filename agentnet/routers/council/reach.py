"""`pick_reach`: how far messages should go, judged by the decisions they lead to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_FEWEST = 20
"""Fewest rows with every arm's outcome on which decisions are judged; with fewer, squared errors are."""


def pick_reach(
    levels: Sequence[NDArray[np.floating[Any]]],
    score: Floats,
    cost: Floats,
    posterior: Floats,
    rates: Floats,
    unit: float,
) -> int:
    """Returns the position of the level whose decisions are worth most on rows left out.

    A further level is taken only if it is better by more than its standard error: among many arms a noisy
    prediction finds a winner by chance.

    Args:
        levels: Each [n, M] predictions for rows that were left out of them.
        score: [n, M] what came out; rows with NaN are left out.
        cost: [n, M] USD; NaN counts as the dearest known.
        posterior: [n, T] types of the rows, by which cost is foreseen from the second level on.
        rates: [L] scores that ``unit`` USD are worth, one decision each.
        unit: USD.
    """
    rows = np.flatnonzero(~np.isnan(score).any(1))
    if len(rows) < _FEWEST:
        return _furthest([_fit(level, score) for level in levels])
    paid = cost[rows]
    known = paid[~np.isnan(paid)]
    price = rates / (unit or 1.0) if known.size else np.zeros(1)
    paid = np.nan_to_num(paid, nan=float(known.max()) if known.size else 0.0)
    shares = posterior[rows]
    typed = shares @ ((shares.T @ paid) / (shares.sum(0)[:, None] + 1e-9))
    at = np.arange(len(rows))
    worth = []
    for number, level in enumerate(levels):
        typical = typed if number else paid.mean(0)
        total = np.zeros(len(rows))
        for rate in price:
            chosen = (level[rows] - rate * typical).argmax(1)
            # Dear prices must not outshout what is at stake in scores.
            total += (score[rows[at], chosen] - rate * paid[at, chosen]) / (1 + rate * (unit or 1.0))
        worth.append(total / len(price))
    return _furthest(worth)


def _fit(level: NDArray[np.floating[Any]], score: Floats) -> Floats:
    """[n] negated mean squared error of a row: what decisions would have got is mostly unknown."""
    seen = ~np.isnan(score)
    squared = np.where(seen, level - np.nan_to_num(score), 0.0) ** 2
    rows = seen.any(1)
    result: Floats = -squared[rows].sum(1) / seen[rows].sum(1)
    return result


def _furthest(worth: Sequence[Floats]) -> int:
    best = 0
    for further in range(1, len(worth)):
        if not len(worth[further]):
            break
        gain = worth[further] - worth[best]
        if gain.mean() > gain.std() / np.sqrt(len(gain)):
            best = further
    return best
