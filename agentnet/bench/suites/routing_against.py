"""What scores and costs of some queries are worth beside the best single agent's or a rival's on the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.bench import metrics

Floats = NDArray[np.float64]


def against(scores: Floats, costs: Floats, best: Floats, best_cost: Floats) -> dict[str, Any]:
    """Returns gain, PerfGain, CostSave and times the cost of the best single agent, with paired intervals.

    Args:
        scores: [n].
        costs: [n] USD; NaN unknown.
        best: [n] scores of the best single agent.
        best_cost: [n] its USD.
    """
    found: dict[str, Any] = {
        "gain": float((scores - best).mean()),
        "gain_ci": list(metrics.bootstrap_ci(scores - best)),
        "perf_gain": None,
        "perf_gain_ci": None,
        "cost_usd": None,
        "cost_save": None,
        "cost_save_ci": None,
        "times_cost": None,
    }
    if best.mean() > 0:
        found |= _ratio("perf_gain", scores, best, lambda ratio: ratio - 1)
    if not np.isnan(costs).any():
        found["cost_usd"] = float(costs.mean())
        if not np.isnan(best_cost).any() and best_cost.mean() > 0:
            found |= _ratio("cost_save", costs, best_cost, lambda ratio: 1 - ratio)
            found["times_cost"] = float(costs.mean() / best_cost.mean())
    return found


def _ratio(name: str, top: Floats, bottom: Floats, form: Callable[[Floats], Floats]) -> dict[str, Any]:
    """A function of the quotient of two means, with its paired bootstrap interval."""
    drawn = metrics.bootstrap_means(np.stack((top, bottom), axis=1))
    ratios = form(drawn[:, 0] / np.where(drawn[:, 1] > 0, drawn[:, 1], np.nan))
    low, high = np.nanquantile(ratios, [0.025, 0.975])
    value = float(form(np.asarray(top.mean() / bottom.mean())))
    return {name: value, f"{name}_ci": [float(low), float(high)]}


def saved_more(costs: Floats, rival: Floats, best_cost: Floats) -> dict[str, Any]:
    """Returns the difference of two CostSaves with its paired interval: share of the best single's cost.

    Args:
        costs: [n] USD.
        rival: [n] USD of the rival.
        best_cost: [n] USD of the best single agent.

    >>> saved_more(np.ones(4), np.full(4, 2.0), np.full(4, 4.0))["difference"]
    0.25
    """
    drawn = metrics.bootstrap_means(np.stack((rival - costs, best_cost), axis=1))
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [0.025, 0.975])
    difference = float((rival - costs).mean() / best_cost.mean())
    return {"difference": difference, "ci": [float(low), float(high)], "beats": bool(low > 0)}
