"""Figures of the ``onboarding`` suite: how much of an agent's worth its probes bring back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.bench import metrics
from agentnet.bench.suites.onboarding_measure import COUNTS, PROBES, Measured

Floats = NDArray[np.float64]
LISTS = {
    "inside": "agents whose absence costs at least one point on rows that are not evaluated",
    "evaluated": "agents whose absence costs at least one point on the evaluated rows themselves",
}
"""How the agents that count are chosen; the first has the say, the second is for comparison."""


def make_router(found: Measured, *, given: bool = False) -> dict[str, Any]:
    """Returns one router's figures, with the per-query scores behind them.

    Args:
        found: What was measured.
        given: Whether another router named the agents, so that only these were left out.
    """
    by_list = {"inside": found.counted} | ({} if given else {"evaluated": _evaluated(found)})
    return {
        "router": found.label,
        "seeds": found.seeds,
        "takes_probes": True,
        "score": float(found.full.mean()),
        "score_ci": list(metrics.bootstrap_ci(found.full)),
        "agents": [_agent(found, i) for i in range(len(found.agents))],
        "lists": {name: recovery(found, counted) for name, counted in by_list.items()},
        "per_query": _per_query(found),
    }


def _evaluated(found: Measured) -> NDArray[np.bool_]:
    return np.repeat((found.absence >= COUNTS)[:, None], len(found.full), axis=1)


def _agent(found: Measured, i: int) -> dict[str, Any]:
    """What one agent's absence costs, and what each number of probes gains over ignoring it."""
    loss = found.full - found.without[i]
    return {
        "agent": found.agents[i],
        "absence_inside": float(found.inside[i]),
        "absence": float(loss.mean()),
        "absence_ci": list(metrics.bootstrap_ci(loss)),
        "counted_share": float(found.counted[i].mean()),
        "without": float(found.without[i].mean()),
        "probes": [
            {
                "probes": k,
                "score": float(found.probed[i, at].mean()),
                "sd_over_draws": float(found.by_draw[i, at].std()),
                "gain": float((found.probed[i, at] - found.without[i]).mean()),
                "gain_ci": list(metrics.bootstrap_ci(found.probed[i, at] - found.without[i])),
            }
            for at, k in enumerate(PROBES)
        ],
    }


def recovery(found: Measured, counted: NDArray[np.bool_], *, draws: int = 2000) -> dict[str, Any]:
    """Returns gains and recovery over the agents that count.

    ``recovery`` is the mean over agents of (score with k probes - score without) / (score retrained - score
    without); ``pooled`` is the quotient of the two sums over agents, which one agent of small worth cannot
    upset. ``gain`` is the mean over agents of the numerator. Intervals are 95% bootstraps over queries, the
    same ones for every agent and both sides of a difference. ``uncertain`` is the share of resamples in
    which some agent's absence costs nothing, so that its quotient means nothing.

    Args:
        found: What was measured.
        counted: [A, n] on which rows each agent counts.
        draws: Bootstrap resamples.
    """
    at = np.flatnonzero(counted.any(1))
    agents = [found.agents[i] for i in at]
    if not agents:
        return {"agents": [], "probes": []}
    mask = counted[at].astype(np.float64)
    worth = mask * (found.full - found.without[at])
    gains = mask[:, None] * (found.probed[at] - found.without[at][:, None])
    sums = _Sums(worth, gains, mask)
    resampled = _Sums.resample(worth, gains, mask, draws)
    rows = []
    for position, k in enumerate(PROBES):
        row: dict[str, Any] = {"probes": k}
        for name in ("gain", "recovery", "pooled"):
            row[name] = float(getattr(sums, name)(position))
            low, high = np.quantile(getattr(resampled, name)(position), [0.025, 0.975])
            row[f"{name}_ci"] = [float(low), float(high)]
        row["by_agent"] = {
            agent: float(sums.gains[i, position] / sums.worth[i]) for i, agent in enumerate(agents)
        }
        rows.append(row)
    return {
        "agents": agents,
        "worth": float((sums.worth / sums.mask).mean()),
        "uncertain": float((resampled.worth <= 0).any(-1).mean()),
        "probes": rows,
    }


class _Sums:
    """Sums over rows, per agent; with a leading axis of resamples or without."""

    def __init__(self, worth: Floats, gains: Floats, mask: Floats) -> None:
        self.worth: Floats = worth.sum(-1)
        self.gains: Floats = gains.sum(-1)
        self.mask: Floats = mask.sum(-1)

    @classmethod
    def resample(cls, worth: Floats, gains: Floats, mask: Floats, draws: int) -> _Sums:
        """Sums over ``draws`` resamples of the rows."""
        agents, k, n = gains.shape
        columns = np.concatenate((worth, mask, gains.reshape(agents * k, n)))
        means = metrics.bootstrap_means(columns.T, draws=draws) * n
        made = cls.__new__(cls)
        made.worth, made.mask = means[:, :agents], means[:, agents : 2 * agents]
        made.gains = means[:, 2 * agents :].reshape(draws, agents, k)
        return made

    def gain(self, position: int) -> Floats:
        """Mean over agents of the score won over ignoring the agent."""
        mean: Floats = (self.gains[..., position] / np.maximum(self.mask, 1)).mean(-1)
        return mean

    def recovery(self, position: int) -> Floats:
        """Mean over agents of the share of its worth won back; an agent worth nothing has none."""
        worth = np.where(self.worth == 0, np.inf, self.worth)
        mean: Floats = (self.gains[..., position] / worth).mean(-1)
        return mean

    def pooled(self, position: int) -> Floats:
        """Share of all agents' worth won back."""
        per_row = self.worth / np.maximum(self.mask, 1), self.gains[..., position] / np.maximum(self.mask, 1)
        worth = per_row[0].sum(-1)
        share: Floats = per_row[1].sum(-1) / np.where(worth == 0, np.inf, worth)
        return share


def _per_query(found: Measured) -> list[dict[str, Any]]:
    """Scores of every row: with all agents, and per agent left out (without, then per number of probes)."""
    if not found.agents:
        return []
    cells = np.concatenate((found.without[:, None], found.probed), axis=1).round(4)
    return [
        {
            "query_id": query_id,
            "full": round(float(found.full[row]), 4),
            "left_out": {agent: cells[i, :, row].tolist() for i, agent in enumerate(found.agents)},
        }
        for row, query_id in enumerate(found.query_ids)
    ]


def no_probes(label: str, reason: str) -> dict[str, Any]:
    """Returns the line of a router that takes no probes."""
    return {"router": label, "takes_probes": False, "reason": reason}


def make_part(
    split: str, n: int, routers: Sequence[Mapping[str, Any]], *, given: bool = False
) -> dict[str, Any]:
    """Returns one set of rows; arguments as in `make_router`."""
    lists = {name: text for name, text in LISTS.items() if not given or name == "inside"}
    return {"split": split, "n": n, "probes": list(PROBES), "lists": lists, "routers": list(routers)}
