"""Paths as choices: n runs of at most L steps, judged step by step.

``ratio`` [n, L] holds pi / mu of the choice of every step given what came before, ``reward`` [n, L] what the
step earned (for a score of the final answer: 0 but in the last step), ``value`` [n, L] the model's v(state)
under the judged policy before the choice, and ``predicted`` [n, L] its q(state, choice). A run that ended
early has ratio 1, and 0 in the others, from then on. Every function returns [n] terms; their mean is the
estimate, and `agentnet.bench.offpolicy.intervals.studentised` gives its interval.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import DataError

Floats = NDArray[np.float64]


def trajectory_scores(ratio: Floats, reward: Floats) -> Floats:
    """Returns [n] terms of trajectory-wise importance sampling: the product of all ratios times the return.

    Source: Precup, Sutton and Singh (2000), Eligibility traces for off-policy policy evaluation.

    >>> trajectory_scores(np.array([[2.0, 0.5]]), np.array([[1.0, 1.0]])).tolist()
    [2.0]
    """
    _check(ratio, reward)
    scores: Floats = ratio.prod(1) * reward.sum(1)
    return scores


def per_decision_scores(ratio: Floats, reward: Floats) -> Floats:
    """Returns [n] terms of per-decision importance sampling: a step's reward knows no later choice.

    Source: Precup, Sutton and Singh (2000). With all reward in the last step it is `trajectory_scores`.

    >>> per_decision_scores(np.array([[2.0, 0.5]]), np.array([[1.0, 1.0]])).tolist()
    [3.0]
    """
    _check(ratio, reward)
    scores: Floats = (np.cumprod(ratio, axis=1) * reward).sum(1)
    return scores


def stepwise_robust_scores(ratio: Floats, reward: Floats, predicted: Floats, value: Floats) -> Floats:
    """Returns [n] terms of the stepwise doubly robust estimator.

    V_t = v(s_t) + ratio_t (reward_t + V_{t+1} - q(s_t, a_t)), from the last step to the first.

    Source: Jiang and Li (2016), Doubly robust off-policy value evaluation for reinforcement learning,
    equation 10, without discount.

    >>> one = np.ones((1, 2))
    >>> stepwise_robust_scores(one, one, np.array([[2.0, 1.0]]), np.array([[2.0, 1.0]])).tolist()
    [2.0]
    """
    _check(ratio, reward, predicted, value)
    scores = np.zeros(len(ratio))
    for step in range(ratio.shape[1] - 1, -1, -1):
        scores = value[:, step] + ratio[:, step] * (reward[:, step] + scores - predicted[:, step])
    return scores


def path_weights(ratio: Floats) -> Floats:
    """Returns [n] weights of whole paths, for the effective sample size.

    >>> path_weights(np.array([[2.0, 0.5], [1.0, 3.0]])).tolist()
    [1.0, 3.0]
    """
    weights: Floats = ratio.prod(1)
    return weights


def _check(*arrays: Floats) -> None:
    if len({array.shape for array in arrays}) != 1 or arrays[0].ndim != 2:
        raise DataError(f"arrays of runs and steps, [n, L], are needed; got {[a.shape for a in arrays]}.")
    if (arrays[0] < 0).any() or not all(np.isfinite(array).all() for array in arrays):
        raise DataError("ratios must be at least 0 and every number finite: fill steps after the end.")
