"""Estimators of a policy's value from a log of another, on arrays.

n logged decisions: ``value`` what came of them, ``weight`` the ratio pi(a|x) / mu(a|x) of the probabilities
with which the judged and the logging policy choose the logged plan, ``predicted`` q(x, a) of the logged plan
and ``expected`` the sum over plans of pi(a|x) q(x, a). Every function here takes arrays and returns an
`Estimate`; a plan may be an agent, a set or a whole graph: only probabilities of the very plan count.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agentnet.bench.offpolicy.intervals import LEVEL, Estimate, standard_error, studentised, t_quantile

Floats = NDArray[np.float64]
Groups = NDArray[np.intp] | None
PRIOR = 0.05
"""How far a reward model is off before the log says anything, in standard deviations of the value."""
FAR = 2.0
"""Standard errors of the correction: no further may the model draw the value off the doubly robust one."""
_GRID = (0.5, 0.75, 0.9, 0.95, 0.99)


def effective_sample_size(weight: Floats) -> float:
    """Returns (sum w)^2 / sum w^2: how many decisions of its own the log is worth to the judged policy.

    Source: Kong (1992). 0 where every weight is 0.

    >>> effective_sample_size(np.ones(10)), effective_sample_size(np.array([0.0, 2.0]))
    (10.0, 1.0)
    """
    squares = float((weight**2).sum())
    return float(weight.sum()) ** 2 / squares if squares > 0 else 0.0


def ips(value: Floats, weight: Floats, *, groups: Groups = None, level: float = LEVEL) -> Estimate:
    """Inverse propensity score, mean(w r): unbiased, and the wider the rarer the log does as the policy.

    Source: Horvitz and Thompson (1952).

    >>> ips(np.array([1.0, 0.0]), np.array([2.0, 0.0])).value
    1.0
    """
    return studentised("ips", weight * value, groups=groups, level=level)


def snips(value: Floats, weight: Floats, *, groups: Groups = None, level: float = LEVEL) -> Estimate:
    """Self-normalised IPS, sum(w r) / sum(w); interval by the delta method.

    Source: Swaminathan and Joachims (2015), The self-normalized estimator for counterfactual learning.

    >>> snips(np.array([1.0, 0.0]), np.array([3.0, 1.0])).value
    0.75
    """
    total = float(weight.sum())
    if total <= 0:
        return Estimate("snips", *(float("nan"),) * 4)
    mean = float((weight * value).sum()) / total
    spread = weight * (value - mean) * (len(weight) / total)
    se = standard_error(spread, groups)
    quantile = t_quantile(level, len(weight) - 1)
    return Estimate("snips", mean, mean - quantile * se, mean + quantile * se, se, quantile)


def direct(expected: Floats, *, groups: Groups = None, level: float = LEVEL, name: str = "dm") -> Estimate:
    """Direct method, mean of what a reward model expects of the policy: as biased as the model.

    Its interval knows of the draw of queries alone, not of the model's error: it covers too rarely.

    >>> direct(np.array([0.25, 0.75])).value
    0.5
    """
    return studentised(name, expected, groups=groups, level=level)


def robust_scores(value: Floats, weight: Floats, predicted: Floats, expected: Floats) -> Floats:
    """Returns [n] doubly robust terms q(x, pi) + w (r - q(x, a)).

    Source: Dudik, Langford and Li (2011); Dudik et al. (2014). Their mean is unbiased where either the
    weights or the reward model are right.
    """
    return expected + weight * (value - predicted)


def doubly_robust(
    value: Floats,
    weight: Floats,
    predicted: Floats,
    expected: Floats,
    *,
    groups: Groups = None,
    level: float = LEVEL,
) -> Estimate:
    """Mean of `robust_scores`, with Student's t at the effective sample size less one.

    >>> one = np.ones(4)
    >>> doubly_robust(one, one, 0.5 * one, 0.5 * one).value
    1.0
    """
    scores = robust_scores(value, weight, predicted, expected)
    freedom = effective_sample_size(np.abs(weight)) - 1  # a difference of two policies has weights below 0
    return studentised("dr", scores, freedom=freedom, groups=groups, level=level)


def switch_threshold(weight: Floats, residual: Floats) -> float:
    """Returns the weight above which trusting the reward model has the least estimated squared error.

    Squared error is the variance of the mean of what is kept plus the square of the mean of what is left
    out; tried are five upper quantiles of the positive weights, and keeping all.
    """
    positive = weight[weight > 0]
    if not len(positive):
        return float("inf")
    terms = weight * residual
    best, least = float("inf"), float("inf")
    for limit in (*np.quantile(positive, _GRID).tolist(), float("inf")):
        kept = np.where(weight <= limit, terms, 0.0)
        error = kept.var() / len(terms) + (terms.mean() - kept.mean()) ** 2
        if error < least:
            best, least = limit, float(error)
    return best


def switch(
    value: Floats,
    weight: Floats,
    predicted: Floats,
    expected: Floats,
    *,
    threshold: float | None = None,
    groups: Groups = None,
    level: float = LEVEL,
) -> Estimate:
    """Switch-DR: doubly robust where the weight is at most a threshold, the reward model alone elsewhere.

    Source: Wang, Agarwal and Dudik (2017), Optimal and adaptive off-policy evaluation in contextual
    bandits. The threshold None is `switch_threshold`'s, which differs from theirs in how it bounds the bias.
    """
    residual = value - predicted
    limit = switch_threshold(weight, residual) if threshold is None else threshold
    scores = expected + np.where(weight <= limit, weight, 0.0) * residual
    return studentised("switch-dr", scores, groups=groups, level=level)


def recommended(
    value: Floats,
    weight: Floats,
    predicted: Floats,
    expected: Floats,
    *,
    groups: Groups = None,
    level: float = LEVEL,
    name: str = "recommended",
) -> Estimate:
    """The doubly robust interval, and inside of it the value with the least expected error.

    With D = mean(w (r - q)) the correction that the log makes to the model's mean, s its standard error, and
    b = 0.05 standard deviations of r the error that is expected of the model:

        value = mean q(x, pi) + D b^2 / (b^2 + s^2), held within 2 s of the doubly robust value

    A correction within its own noise is mostly noise: it is drawn to the model's mean, which varies far
    less. However wrong the model is, it cannot pull further than 2 s. The interval is not drawn anywhere: it
    stays that of an unbiased estimate, so that it need not be symmetric around the value.

    Source: the limited translation rule of Efron and Morris (1971), Limiting the risk of Bayes and empirical
    Bayes estimators, applied to the correction. The two constants were chosen on other cuts of the packs,
    pairs and draws than those that are reported.
    """
    robust = doubly_robust(value, weight, predicted, expected, groups=groups, level=level)
    terms = weight * (value - predicted)
    correction, noise = float(terms.mean()), standard_error(terms, groups)
    bias = PRIOR * float(value.std())
    share = bias**2 / (bias**2 + noise**2) if noise > 0 else 1.0
    drawn = float(expected.mean()) + share * correction
    reach = FAR * noise
    held = float(np.clip(drawn, robust.value - reach, robust.value + reach))
    held = float(np.clip(held, robust.low, robust.high))
    return Estimate(name, held, robust.low, robust.high, robust.se, robust.quantile)
