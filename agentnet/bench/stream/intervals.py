"""Intervals over worlds and queries: a bootstrap of seeds, and of the queries inside every seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

DRAWS = 2000
Floats = NDArray[np.float64]


def interval(
    values: Sequence[Floats], *, seed: int = 0, draws: int = DRAWS, worlds: bool = True
) -> tuple[float, float, float]:
    """Returns mean and 95 % interval of the mean over queries, averaged over seeds.

    Each draw takes as many seeds as there are, with replacement, and of each of them as many queries as it
    has, with replacement. Seeds are different worlds, so the interval covers other worlds as well as
    other queries. For a paired comparison the values are differences: each query's with one setup less
    its with the other.

    Args:
        values: Per seed [n] one value per query.
        seed: Makes it deterministic.
        draws: Resamples.
        worlds: False takes every seed once in each draw: the interval is then of these worlds only.

    >>> interval([np.ones(10), np.ones(10)])
    (1.0, 1.0, 1.0)
    """
    rng = np.random.default_rng(seed)
    means = np.stack([_means(np.asarray(one, np.float64), rng, draws) for one in values])
    taken = np.tile(np.arange(len(values)), (draws, 1))
    if worlds:
        taken = rng.integers(len(values), size=taken.shape)
    # Each pick of a seed takes another resample of its queries, also where a seed is picked twice.
    inner = (np.arange(draws)[:, None] + np.arange(len(values))) % draws
    drawn = means[taken, inner].mean(1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(np.mean([np.mean(one) for one in values])), float(low), float(high)


def _means(values: Floats, rng: np.random.Generator, draws: int) -> Floats:
    """[draws] means of resampled queries; exact, by how often each different value is drawn."""
    found, counts = np.unique(values, return_counts=True)
    n = len(values)
    means: Floats = rng.multinomial(n, counts / n, size=draws) @ found / n
    return means
