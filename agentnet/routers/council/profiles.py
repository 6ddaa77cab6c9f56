"""`Profiles`: how good each arm is in each type, by empirical Bayes over the arms.

An arm's profile, its T expected scores by type, is taken as drawn from N(centre, spread): what profiles the
arms with many outcomes have, and which types go together in them. Each outcome y of a query with types p is
y = p . profile + noise. Both normal, so that the best profile is one linear system an arm: the data where
there are many, the centre where there are none, and with twenty outcomes what they say not only of their own
types but of all that go with them. Sources: Lindley and Smith, "Bayes estimates for the linear model", 1972;
Morris, "Parametric empirical Bayes inference", 1983.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_LEAST = 1e-3
"""Least variance between profiles: no two agents are known to be the same beforehand."""
_UNKNOWN = 0.02
"""Variance between profiles where one arm alone cannot tell it; agents of the public packs differ so."""
_NOISE = 0.01
_FEW = 1.0
"""Arms' worth of `_UNKNOWN` in the variance between profiles."""
_DOUBT = 20.0
"""Arms by which chance correlations between types are doubted."""
_BLOCK = 512


@dataclass(frozen=True, slots=True, eq=False)
class Profiles:
    """Profiles of M arms over T types, and what they leave of N outcomes.

    Attributes:
        score: [T, M] expected scores by type.
        doubt: [M, T, T] covariance of each arm's profile, given its outcomes.
        left_out: [N, M] prediction for each logged outcome without itself.
    """

    score: Floats
    doubt: Floats
    left_out: Floats

    @classmethod
    def of(cls, y: Floats, seen: Floats, posterior: Floats) -> Self:
        """Fits the profiles.

        Args:
            y: [N, M] outcomes; 0 where not observed.
            seen: [N, M] trust; 0 not observed.
            posterior: [N, T] types of the queries.
        """
        rich = rich_arms(seen)
        centre, spread, noise = _prior(y[:, rich], seen[:, rich], posterior)
        trust = seen / np.maximum(posterior @ noise, _NOISE)[:, None]
        precision = np.linalg.inv(spread)
        types, arms = posterior.shape[1], y.shape[1]
        doubt = np.empty((arms, types, types))
        for arm in range(arms):
            data = posterior.T @ (trust[:, arm, None] * posterior)
            doubt[arm] = np.linalg.inv(precision + data)
        told = (precision @ centre)[:, None] + posterior.T @ (trust * y)
        score: Floats = np.einsum("mts,sm->tm", doubt, told)
        return cls(score, doubt, _left_out(y, trust, posterior, score, doubt))

    def error(self, posterior: Floats) -> Floats:
        """[n, M] variance of the expected scores of queries with types ``posterior`` [n, T]."""
        variance: Floats = np.einsum("nt,mts,ns->nm", posterior, self.doubt, posterior, optimize=True)
        return np.maximum(variance, 0.0)

    def take(self, at: NDArray[np.intp]) -> Profiles:
        """Returns some of the arms."""
        return Profiles(self.score[:, at], self.doubt[at], self.left_out[:, at])


def rich_arms(seen: Floats) -> NDArray[np.bool_]:
    """[M] arms with at least half as many outcomes as the arm with most."""
    count = (seen > 0).sum(0)
    rich: NDArray[np.bool_] = (count >= count.max(initial=0) / 2) & (count > 0)
    return rich if rich.any() else np.ones(seen.shape[1], bool)


def _prior(y: Floats, seen: Floats, posterior: Floats) -> tuple[Floats, Floats, Floats]:
    """Returns [T] centre and [T, T] spread of the profiles, and [T] variance of one outcome."""
    weight = posterior.T @ seen + 1e-9
    total = posterior.T @ (seen * y)
    # The mean over all types stands in where an arm was hardly seen in one.
    overall = total.sum(0) / weight.sum(0)
    profile = (total + overall) / (weight + 1.0)
    left = seen * (y - posterior @ profile) ** 2
    noise = np.maximum((posterior.T @ left).sum(1) / weight.sum(1), _NOISE)
    centre = profile.mean(1)
    arms = profile.shape[1]
    if arms < 2:
        return centre, _UNKNOWN * (np.eye(len(centre)) + 1.0), noise
    apart = profile - centre[:, None]
    spread = apart @ apart.T / (arms - 1)
    # What sampling adds to the variances is taken off, and chance correlations of few arms are drawn to 0.
    sampling = (noise[:, None] * weight / (weight + 1.0) ** 2).mean(1)
    own = np.maximum(np.diag(spread) - sampling, _LEAST)
    # Few arms hardly tell how far a further one may be from them.
    own = ((arms - 1) * own + _FEW * _UNKNOWN) / (arms - 1 + _FEW)
    together = spread / np.sqrt(np.outer(np.diag(spread), np.diag(spread)) + 1e-12)
    trusted = (arms - 1) / (arms - 1 + _DOUBT)
    together = trusted * together
    np.fill_diagonal(together, 1.0)
    return centre, np.sqrt(np.outer(own, own)) * together, noise


def _left_out(y: Floats, trust: Floats, posterior: Floats, score: Floats, doubt: Floats) -> Floats:
    """[N, M] each outcome's prediction without itself: y - (y - fit) / (1 - leverage); the fit elsewhere."""
    result = posterior @ score
    for start in range(0, len(y), _BLOCK):
        part = slice(start, start + _BLOCK)
        p = posterior[part]
        leverage = trust[part] * np.einsum("nt,mts,ns->nm", p, doubt, p, optimize=True)
        off = (y[part] - result[part]) / np.maximum(1 - leverage, 1e-6)
        result[part] = np.where(trust[part] > 0, y[part] - off, result[part])
    return result
