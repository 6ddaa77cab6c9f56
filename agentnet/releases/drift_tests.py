"""Two-sample tests for drift: distributions, stratified means, rare events, change points, Holm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Ints = NDArray[np.intp]
MOST_SHUFFLES = 9_999
_EXCEED = 20
_CHUNK = 250
_DRAWN = 4.0
"""Rows that the spread of all strata counts for in that of one."""
_BAI = {0.90: 7.7, 0.95: 11.0, 0.99: 19.8}
"""Quantiles of |argmax| of two-sided Brownian motion with drift -|v| / 2: Bai (1997), section 4."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A mean's change from the reference to the recent window, at the same mix of strata.

    Attributes:
        before: Mean in the reference window.
        after: Mean in the recent window.
        se: Standard error of the difference.
        freedom: Degrees of freedom.
        p: Two-sided p-value; 1 where nothing can be told.
        n: Rows before and after, in strata that have both.
        errors: Standard errors of the two means.
    """

    before: float
    after: float
    se: float
    freedom: float
    p: float
    n: tuple[int, int]
    errors: tuple[float, float]

    @property
    def change(self) -> float:
        """After less before."""
        return self.after - self.before


def holm(p: Sequence[float]) -> list[float]:
    """Returns adjusted p-values: the chance of any false alarm stays below the level they are held to.

    Source: Holm, "A simple sequentially rejective multiple test procedure", 1979.

    >>> [round(value, 3) for value in holm([0.01, 0.04, 0.5])]
    [0.03, 0.08, 0.5]
    """
    order = sorted(range(len(p)), key=lambda i: p[i])
    adjusted = [1.0] * len(p)
    reached = 0.0
    for rank, i in enumerate(order):
        reached = max(reached, min(1.0, (len(p) - rank) * p[i]))
        adjusted[i] = reached
    return adjusted


def energy_test(
    x: NDArray[np.float32], y: NDArray[np.float32], rng: np.random.Generator
) -> tuple[float, float]:
    """Tests whether two samples of vectors come from one distribution.

    The statistic is the energy distance 2 E|X - Y| - E|X - X'| - E|Y - Y'| (Szekely and Rizzo 2004), which is
    0 for equal distributions only; the p-value is by shuffling the labels, and stops early where it is
    plain that nothing changed (Besag and Clifford 1991: it stays valid).

    Args:
        x: [n, d] vectors.
        y: [m, d] vectors.
        rng: Shuffles.

    Returns:
        The statistic and the p-value.
    """
    both = np.concatenate((x, y)).astype(np.float32)
    square = (both * both).sum(1)
    distance = np.sqrt(np.maximum(square[:, None] + square - 2 * both @ both.T, 0))
    np.fill_diagonal(distance, 0)  # rounding leaves a little
    n, m = len(x), len(y)
    mark = np.concatenate((np.full(n, 1 / n), np.full(m, -1 / m))).astype(np.float32)

    def statistic(marks: NDArray[np.float32]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = -((marks @ distance) * marks).sum(1)
        return found

    seen = float(statistic(mark[None])[0])
    exceed = done = 0
    # Equal up to rounding counts as reached: else two equal samples would differ by 32-bit noise.
    slack = 1e-6 * float(distance.mean()) / min(n, m)
    while done < MOST_SHUFFLES:
        shuffled = rng.permuted(np.broadcast_to(mark, (_CHUNK, n + m)), axis=1)
        above = np.cumsum(statistic(shuffled) >= seen - slack) + exceed
        if above[-1] >= _EXCEED:
            reached = int(np.argmax(above >= _EXCEED)) + 1
            return seen, _EXCEED / (done + reached)
        exceed, done = int(above[-1]), done + _CHUNK
    return seen, (exceed + 1) / (done + 1)


def rank_test(x: Floats, y: Floats) -> float:
    """Returns the two-sided p-value of the Wilcoxon-Mann-Whitney test, with ties.

    >>> rank_test(np.arange(40.0), np.arange(40.0) + 30) < 1e-6, rank_test(np.ones(9), np.ones(9))
    (True, 1.0)
    """
    n, m = len(x), len(y)
    both = np.concatenate((x, y))
    rank, ties = ranks(both), np.unique(both, return_counts=True)[1].astype(np.float64)
    total = n + m
    spread = n * m / 12 * (total + 1 - (ties**3 - ties).sum() / (total * (total - 1))) if total > 1 else 0.0
    if spread <= 0:
        return 1.0
    u = float(rank[:n].sum()) - n * (n + 1) / 2 - n * m / 2
    return math.erfc(max(abs(u) - 0.5, 0) / math.sqrt(2 * spread))


def ranks(values: Floats) -> Floats:
    """Returns mean ranks from 1; equal values share theirs.

    >>> ranks(np.array([5.0, 7.0, 5.0])).tolist()
    [1.5, 3.0, 1.5]
    """
    _, which, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count).astype(np.float64)
    found: Floats = (last - (count - 1) / 2)[which]
    return found


def share_test(hits: int, n: int, base_hits: int, base_n: int) -> float:
    """Returns the one-sided p-value that a share has risen (Fisher's exact test).

    >>> round(share_test(3, 3, 0, 3), 3)
    0.05
    """
    total, marked = n + base_n, hits + base_hits
    log_all = _choose(total, n)
    terms = [
        _choose(marked, k) + _choose(total - marked, n - k) - log_all
        for k in range(hits, min(n, marked) + 1)
        if n - k <= total - marked
    ]
    return min(1.0, sum(math.exp(term) for term in terms))


def _choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def stratified_difference(
    value: Floats, recent: Flags, stratum: Ints, weight: Floats | None = None
) -> Difference:
    """Compares two windows' means at the same mix of strata.

    Within each stratum the (weighted) means are subtracted; strata are averaged by
    n1 n2 / (n1 + n2) of their effective sizes (Cochran 1954), for both windows alike: a change of the mix
    alone changes nothing. Strata that one window has not are left out.

    Args:
        value: [n] what is compared.
        recent: [n] whether a row is of the recent window.
        stratum: [n] number of its stratum.
        weight: [n] above 0, such as inverse propensities; None is 1.
    """
    weight = np.ones(len(value)) if weight is None else weight
    cells = int(stratum.max()) + 1 if len(stratum) else 0
    (mean0, left0, eff0, n0), (mean1, left1, eff1, n1) = (
        _cells(value[side], stratum[side], weight[side], cells) for side in (~recent, recent)
    )
    both = (n0 > 1) & (n1 > 1)
    if not both.any():
        return Difference(math.nan, math.nan, math.inf, 0, 1.0, (0, 0), (math.inf, math.inf))
    share = np.where(both, eff0 * eff1 / np.maximum(eff0 + eff1, 1e-12), 0)
    used = share > 0
    share = share[used] / share[used].sum()
    before, after = float(share @ mean0[used]), float(share @ mean1[used])
    # A stratum's spread is that of both windows, drawn a little to that of all strata: a stratum of three
    # right answers is not certain of its mean.
    own = np.maximum(eff0 + eff1 - 2, 0)[used]
    left = (left0 + left1)[used]
    freedom = float(own.sum())
    spread = (left + _DRAWN * left.sum() / max(freedom, 1.0)) / (own + _DRAWN)
    errors = [float((share**2 * spread / eff[used]).sum()) for eff in (eff0, eff1)]
    variance, counts = sum(errors), (int(n0[both].sum()), int(n1[both].sum()))
    if variance <= 1e-18 * max(before**2, after**2, 1e-300):
        gap = abs(after - before) > 1e-9 * max(abs(before), abs(after))
        # Constant in both windows: as surely told as the most extreme of all orders of the rows.
        sure = math.exp(-_choose(sum(counts), counts[0])) if gap else 1.0
        return Difference(before, after, 0.0, math.inf, sure, counts, (0.0, 0.0))
    p = t_tail(abs(after - before) / math.sqrt(variance), max(freedom, 1.0))
    parts = (math.sqrt(errors[0]), math.sqrt(errors[1]))
    return Difference(before, after, math.sqrt(variance), freedom, p, counts, parts)


def _cells(value: Floats, stratum: Ints, weight: Floats, cells: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Weighted mean, sum of squares in effective rows, effective and plain number of rows by stratum."""
    count = np.bincount(stratum, minlength=cells).astype(np.float64)
    total = np.maximum(np.bincount(stratum, weight, cells), 1e-300)
    effective = total**2 / np.maximum(np.bincount(stratum, weight**2, cells), 1e-300)
    mean = np.bincount(stratum, weight * value, cells) / total
    left = np.bincount(stratum, weight * (value - mean[stratum]) ** 2, cells) * effective / total
    return mean, left, np.where(count > 0, effective, 0), count


def t_tail(t: float, freedom: float) -> float:
    """Returns the two-sided p-value of Student's t, by the incomplete beta function's continued fraction.

    Source: Abramowitz and Stegun (1964), 26.5.8 and 26.7.1.

    >>> round(t_tail(2.228139, 10), 4), round(t_tail(1.959964, 1e9), 4)
    (0.05, 0.05)
    """
    if freedom > 1e6:
        return math.erfc(t / math.sqrt(2))
    return _beta(freedom / 2, 0.5, freedom / (freedom + t * t))


def _beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function (Lentz's method)."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta(b, a, 1 - x)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    c, d = 1.0, 1 / _nonzero(1 - (a + b) * x / (a + 1))
    result = d
    for m in range(1, 500):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        before = result
        for term in (even, odd):
            d = 1 / _nonzero(1 + term * d)
            c = _nonzero(1 + term / c)
            result *= c * d
        if abs(result - before) <= 1e-14 * abs(result):
            break
    return front * result / a


def _nonzero(value: float) -> float:
    return value if abs(value) > 1e-300 else 1e-300


@dataclass(frozen=True, slots=True)
class ChangePoint:
    """When a mean changed, most likely.

    Attributes:
        at: Time of the first row after the change.
        low: Earliest time of the 95% interval.
        high: Latest.
    """

    at: float
    low: float
    high: float


def change_point(
    value: Floats, at: Floats, *, weight: Floats | None = None, edge: float = 0.02
) -> ChangePoint | None:
    """Returns when the mean of a sequence changed, by least squares (the maximum of the CUSUM statistic).

    Source: Bai, "Estimation of a change point in multiple regression models", 1997: the interval reaches
    11 (sigma / change)^2 rows to both sides at 95%.

    Args:
        value: [n] in any order.
        at: [n] when.
        weight: [n] above 0; None is 1.
        edge: Share of rows at both ends where no change is looked for.

    >>> found = change_point(np.array([1.0, 0.9] * 50 + [0.1, 0.0] * 50), np.arange(200.0))
    >>> found.at
    100.0
    """
    n = len(value)
    first = max(2, int(edge * n))
    if n < 2 * first + 2:
        return None
    order = np.argsort(at, kind="stable")
    y, t = value[order], at[order]
    w = np.ones(n) if weight is None else weight[order]
    mass, total = np.cumsum(w), np.cumsum(w * (y - np.average(y, weights=w)))
    gain = total**2 / (mass * np.maximum(mass[-1] - mass, 1e-12))
    k = int(np.argmax(gain[first - 1 : n - first])) + first
    before, after = np.average(y[:k], weights=w[:k]), np.average(y[k:], weights=w[k:])
    left = np.concatenate((y[:k] - before, y[k:] - after))
    spread = float(np.average(left**2, weights=w)) * float((w**2).mean() / w.mean() ** 2)
    jump = float(after - before) ** 2
    reach = math.floor(min(n, _BAI[0.95] * spread / max(jump, 1e-12))) + 1
    return ChangePoint(float(t[k]), float(t[max(k - reach, 0)]), float(t[min(k + reach, n - 1)]))
