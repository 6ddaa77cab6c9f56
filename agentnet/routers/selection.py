"""Choosing one agent per task from predicted scores and costs; numpy only, whole batches at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agentnet.routers.decision import Floats

DIAL_GRID = (0.0, *(round(float(r / (1 + r)), 6) for r in np.logspace(-3, 3, 25)), 1.0)
"""Settings of the quality-cost dial that are worth telling apart, the same for every router.

In between quality only and cost only, the price w / (1 - w) of the dearest agent's mean cost, in score,
goes from 0.001 to 1,000, four settings a decade: agents' costs differ by such factors, so an even grid of
w would put all cheap agents between two of its settings.
"""
FALSE_ALARMS = 0.02
"""Most tasks in scope, as a share, that a learned threshold may abstain on."""
LOW_END = 25.0
"""Percentile of the known agents' scores that is their low end: nothing better is expected of a stranger."""
BELOW_BEST = 0.99
"""Share of the best known agent's score that an agent without outcomes may be given at most."""
_TIE = 1e-9


def exchange_rate(dial: float) -> float:
    """Returns r = w / (1 - w) of the dial's w: the price of the dearest agent's mean cost, in score.

    >>> exchange_rate(0.5), exchange_rate(1.0)
    (1.0, 1000.0)
    """
    return min(dial / (1 - dial), 1000.0) if dial < 1 else 1000.0


def good_enough(calibrated: Floats, learned: float | None, given: float | None) -> NDArray[np.bool_]:
    """Returns [n] whether a task has an agent good enough for it; where not, a router abstains.

    Args:
        calibrated: [n, A] scores in [0, 1].
        learned: The router's own threshold; None never abstains.
        given: That of the call, which comes first; None leaves it to the router.

    >>> good_enough(np.array([[0.2, 0.4], [0.1, 0.9]]), 0.5, None).tolist()
    [False, True]
    """
    below = learned if given is None else given
    if not below:
        return np.ones(len(calibrated), bool)
    fits: NDArray[np.bool_] = np.asarray(calibrated).max(1) >= below
    return fits


def fill_cost(cost: Floats) -> NDArray[np.float64]:
    """Returns costs with unknown ones as dear as the dearest known of the same task.

    An unknown price must never look cheap. Where no cost is known at all, every one is 0: the dial has
    nothing to tell agents apart by.

    >>> fill_cost(np.array([0.2, np.nan, 0.5]))
    array([0.2, 0.5, 0.5])
    """
    filled = np.asarray(cost, np.float64)
    unknown = np.isnan(filled)
    if not unknown.any():
        return filled
    dearest = np.max(filled, axis=-1, keepdims=True, initial=0.0, where=~unknown)
    return np.where(unknown, dearest, filled)


def utility(score: Floats, cost: Floats, *, cost_weight: float, unit_cost: float) -> NDArray[np.float64]:
    """Returns (1 - w) * score - w * cost / c for n tasks and A agents.

    Args:
        score: [n, A] predicted scores in [0, 1].
        cost: [n, A] or [A] predicted USD; NaN is unknown, see `fill_cost`.
        cost_weight: w in [0, 1].
        unit_cost: c, the dearest mean agent cost of the training data; 0 is unknown and counts as 1.
    """
    quality = (1 - cost_weight) * np.asarray(score, np.float64)
    if cost_weight == 0:
        return quality
    return quality - cost_weight * fill_cost(cost) / (unit_cost or 1.0)


def priority(names: Sequence[str], prior: Floats) -> NDArray[np.intp]:
    """[A] agents from the one that wins ties to the one that loses them: higher prior, then name.

    The order does not depend on the order of the pool, so that a permuted pool gives the same choice.
    """
    return np.array(sorted(range(len(names)), key=lambda i: (-round(float(prior[i]), 12), names[i])), np.intp)


def choose(
    score: Floats, cost: Floats, order: NDArray[np.intp], *, cost_weight: float, unit_cost: float
) -> NDArray[np.intp]:
    """[n] the agent of highest utility for each task.

    Ties go to the cheaper agent, or where only cost counts to the better one, then by ``order``.
    For one task a higher weight never leads to a dearer agent: with u = (1 - w) s - w c, two weights
    w < v and their choices a, b, adding u_w(a) >= u_w(b) and u_v(b) >= u_v(a), each divided by one minus
    its weight, gives cost(a) >= cost(b).

    Args:
        score: [n, A] predicted scores.
        cost: [n, A] or [A] predicted USD; NaN unknown.
        order: [A] from `priority`.
        cost_weight: w in [0, 1].
        unit_cost: c.
    """
    score = np.asarray(score)[:, order]
    cost = np.asarray(cost)[..., order]
    value = utility(score, cost, cost_weight=cost_weight, unit_cost=unit_cost)
    best = value.argmax(1)
    tied = value >= value[np.arange(len(value)), best][:, None] - _TIE
    rows = np.flatnonzero(tied.sum(1) > 1)
    if rows.size:
        second = score if cost_weight == 1 else -fill_cost(cost)
        second = np.broadcast_to(second, score.shape)[rows]
        best[rows] = np.where(tied[rows], second, -np.inf).argmax(1)
    chosen: NDArray[np.intp] = order[best]
    return chosen


def pick_threshold(
    top: Floats, out_of_scope: NDArray[np.bool_], *, false_alarms: float
) -> tuple[float, float] | None:
    """Returns the best threshold for abstaining, and the share of out-of-scope tasks it finds.

    Args:
        top: [n] the best score of each task.
        out_of_scope: [n] tasks no agent should get.
        false_alarms: Most of the other tasks that may be abstained on, as a share.

    Returns:
        The threshold with the largest recall minus false alarms within the bound; None where one of the
        two kinds of task is missing.
    """
    inside, outside = np.sort(top[~out_of_scope]), np.sort(top[out_of_scope])
    if not inside.size or not outside.size:
        return None
    tries = np.unique(np.concatenate((outside + _TIE, inside)))
    alarms = np.searchsorted(inside, tries, "left") / inside.size
    recall = np.searchsorted(outside, tries, "left") / outside.size
    gain = np.where(alarms <= false_alarms, recall - alarms, -np.inf)
    best = int(gain.argmax())
    if not np.isfinite(gain[best]) or gain[best] <= 0:
        return None
    return float(tries[best]), float(recall[best])
