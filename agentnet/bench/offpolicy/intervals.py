"""Intervals of a mean: studentised with few effective rows in mind, and the bootstrap over groups.

Off-policy scores are means of n terms of which few carry most: normal quantiles are then too narrow. The
studentised interval takes Student's t with the effective sample size less one as degrees of freedom.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import DataError, InvalidInput

Floats = NDArray[np.float64]
LEVEL = 0.95
POWER = 0.8
"""Chance with which a gain of `Estimate.detectable` is found."""
FEWEST = 4.0
"""Degrees of freedom that are taken at least: below, the expansion of the quantile is of no use."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its interval.

    Attributes:
        name: Of the estimator.
        value: The estimate.
        low: Lower end of the interval.
        high: Upper end of the interval.
        se: Standard error of what the interval was made from.
        quantile: Of the interval, in standard errors.
    """

    name: str
    value: float
    low: float
    high: float
    se: float
    quantile: float = 1.96

    @property
    def detectable(self) -> float:
        """Smallest true figure above zero whose interval lies above zero in 80% of logs like this one.

        >>> round(Estimate("gain", 0.0, -0.02, 0.02, 0.01, 1.96).detectable, 4)
        0.028
        """
        return (self.quantile + NormalDist().inv_cdf(POWER)) * self.se

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values."""
        return asdict(self)

    def line(self, unit: str = "") -> str:
        """Returns the estimate for people.

        >>> Estimate("dr", 0.5, 0.4, 0.6, 0.05).line()
        'dr 0.5000 [0.4000, 0.6000]'
        """
        form = ".3g" if unit else ".4f"  # sums of money may be tiny
        return f"{self.name} {self.value:{form}} [{self.low:{form}}, {self.high:{form}}]{unit}"


def t_quantile(level: float, freedom: float) -> float:
    """Returns the two-sided quantile of Student's t by its Cornish-Fisher expansion.

    Source: Abramowitz and Stegun, Handbook of Mathematical Functions (1964), 26.7.5. For 10 degrees of
    freedom at 95% it is off by less than 0.001.

    Args:
        level: Of the interval, such as 0.95.
        freedom: Degrees of freedom; `FEWEST` are taken at least.

    >>> round(t_quantile(0.95, 10), 3), round(t_quantile(0.95, 1e9), 3)
    (2.228, 1.96)
    """
    if not 0 < level < 1:
        raise InvalidInput(f"level is a number between 0 and 1, such as 0.95; got {level!r}.")
    z = NormalDist().inv_cdf((1 + level) / 2)
    v = max(freedom, FEWEST)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / v + second / v**2 + third / v**3


def standard_error(scores: Floats, groups: NDArray[np.intp] | None = None) -> float:
    """Returns the standard error of a mean; rows of one group may depend on each other.

    Source: the sandwich of clustered means, Liang and Zeger (1986), with the factor G / (G - 1).

    Args:
        scores: [n] terms of the mean.
        groups: [n] numbers from 0 of the groups; None takes every row alone.

    >>> standard_error(np.array([0.0, 1.0])), standard_error(np.array([0.0, 0, 1, 1]), np.array([0, 0, 1, 1]))
    (0.5, 0.5)
    """
    n = len(scores)
    centred = scores - scores.mean() if n else scores
    if groups is not None:
        centred = np.bincount(groups, centred)
    count = len(centred) if groups is None else len(np.unique(groups))
    if count < 2:
        return float("nan")
    return float(np.sqrt((centred**2).sum() * count / (count - 1)) / n)


def studentised(
    name: str,
    scores: Floats,
    *,
    freedom: float | None = None,
    groups: NDArray[np.intp] | None = None,
    level: float = LEVEL,
) -> Estimate:
    """Returns the mean of scores with mean +- t * standard error.

    Args:
        name: Of the estimator.
        scores: [n] terms.
        freedom: Degrees of freedom; None takes the number of rows or groups less one.
        groups: As in `standard_error`.
        level: Of the interval.
    """
    mean = float(scores.mean()) if len(scores) else float("nan")
    if freedom is None:
        freedom = (len(scores) if groups is None else len(np.unique(groups))) - 1
    se = standard_error(scores, groups)
    quantile = t_quantile(level, freedom)
    return Estimate(name, mean, mean - quantile * se, mean + quantile * se, se, quantile)


def bootstrap(
    name: str,
    top: Floats,
    bottom: Floats | None = None,
    *,
    groups: NDArray[np.intp] | None = None,
    level: float = LEVEL,
    replicates: int = 500,
    seed: int = 0,
) -> Estimate:
    """Returns mean(top) / mean(bottom) with a percentile interval over resampled rows or groups.

    Source: Efron (1979); groups are resampled whole (Davison and Hinkley 1997, section 3.8).

    Args:
        name: Of the estimator.
        top: [n] terms, such as weighted scores.
        bottom: [n] terms of the denominator, such as weights; None is 1.
        groups: [n] numbers from 0 of the groups; None takes every row alone.
        level: Of the interval.
        replicates: Resamples.
        seed: Makes it deterministic.

    >>> found = bootstrap("mean", np.array([0.0, 1.0, 1.0, 0.0] * 25))
    >>> found.value, found.low < 0.45, found.high > 0.55
    (0.5, True, True)
    """
    rng = np.random.default_rng(seed)
    above = top.astype(np.float64)
    below = np.ones(len(top)) if bottom is None else bottom.astype(np.float64)
    if groups is not None:
        above = np.bincount(groups, above).astype(np.float64)
        below = np.bincount(groups, below).astype(np.float64)
    count = len(above)
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=replicates)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = (drawn @ above) / (drawn @ below)
    low, high = np.nanquantile(ratios, [(1 - level) / 2, (1 + level) / 2])
    value = float(above.sum() / below.sum())
    return Estimate(name, value, float(low), float(high), float(np.nanstd(ratios)))


def group_numbers(groups: NDArray[np.generic] | None, n: int) -> NDArray[np.intp] | None:
    """Returns labels of groups as numbers from 0.

    Raises:
        DataError: there is not one label a row.

    >>> group_numbers(np.array(["b", "a", "b"]), 3).tolist()
    [1, 0, 1]
    """
    if groups is None:
        return None
    if groups.shape != (n,):
        raise DataError(f"groups has shape {groups.shape}; one label a decision is needed: ({n},).")
    numbers: NDArray[np.intp] = np.unique(groups, return_inverse=True)[1]
    return numbers


def compare_runs(
    new: Floats, old: Floats, *, groups: NDArray[np.generic] | None = None, level: float = LEVEL
) -> Estimate:
    """Returns the paired difference where both routers' choices were run and scored on the same tasks.

    Args:
        new: [n] scores of the new one's choices; NaN not judged.
        old: [n] scores of the old one's.
        groups: [n] labels of tasks that depend on each other; None takes every task alone.
        level: Of the interval.

    Raises:
        DataError: the arrays do not fit each other, or fewer than two pairs are judged.

    >>> found = compare_runs(np.array([1.0, 1.0, 0.0]), np.array([0.0, 1.0, 0.0]))
    >>> round(found.value, 3), found.low < 0 < found.high
    (0.333, True)
    """
    new, old = np.asarray(new, np.float64), np.asarray(old, np.float64)
    if new.shape != old.shape or new.ndim != 1:
        raise DataError(f"pairs are needed: one score of each a task; got {new.shape} and {old.shape}.")
    both = ~np.isnan(new) & ~np.isnan(old)
    if both.sum() < 2:
        raise DataError("fewer than two tasks have both scores: score more of them.")
    numbers = group_numbers(groups, len(new))
    kept = None if numbers is None else np.unique(numbers[both], return_inverse=True)[1]
    return studentised("paired difference", (new - old)[both], groups=kept, level=level)
