"""What a log, and other evidence, say of a candidate beside what serves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentnet.bench.evaluate import evaluated_rows
from agentnet.bench.scoring import Scorer
from agentnet.graphs.pool import Pool
from agentnet.outcomes.choices import ChoiceLog
from agentnet.outcomes.table import Outcomes
from agentnet.releases.gates import Facts, Gain, Gates
from agentnet.routers.base import RouteOptions, Router
from agentnet.routers.policy import Policy, policy_of

Floats = NDArray[np.float64]
_BINS = 10
_FEWEST_CALIBRATED = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Tasks on which the choices of both routers were run and scored.

    Attributes:
        new: [n] scores of the candidate's choices.
        old: [n] scores of the serving version's.
        new_cost: [n] USD; NaN unknown.
        old_cost: [n] USD; NaN unknown.
        slices: [n] name of the slice that a task belongs to; empty: not sliced.
    """

    new: Floats
    old: Floats
    new_cost: Floats
    old_cost: Floats
    slices: tuple[str, ...] = ()

    def gain(self, gates: Gates, source: str = "paired") -> Gain:
        """Returns the mean difference with a normal interval (n is in the hundreds at least)."""
        return mean_gain(self.new - self.old, gates, source)


def mean_gain(difference: Floats, gates: Gates, source: str) -> Gain:
    """Returns the mean of paired differences with its interval."""
    n = len(difference)
    error = float(difference.std(ddof=1) / np.sqrt(n)) if n > 1 else float("inf")
    gain = float(difference.mean())
    wide = gates.z() * error
    return Gain(gain=gain, low=gain - wide, high=gain + wide, error=error, effective=float(n), source=source)


def paired_facts(pairs: Pairs, gates: Gates, *, source: str = "paired") -> Facts:
    """Returns what paired runs say: gain, cost and slices."""
    found: dict[str, Gain] = {}
    for name in sorted(set(pairs.slices)):
        rows = np.array([item == name for item in pairs.slices])
        if rows.sum() > 1:
            found[name] = mean_gain(pairs.new[rows] - pairs.old[rows], gates, source)
    return Facts(
        gain=pairs.gain(gates, source),
        cost_rise=paired_cost_rise(pairs.new_cost, pairs.old_cost, gates),
        slices=found,
    )


def paired_cost_rise(new: Floats, old: Floats, gates: Gates) -> tuple[float, float, float] | None:
    """Relative difference of mean costs with its interval (delta method); None where a cost is unknown."""
    if np.isnan(new).any() or np.isnan(old).any() or not len(new) or old.mean() <= 0:
        return None
    ratio = float(new.mean() / old.mean())
    parts = (new - ratio * old) / old.mean()
    wide = gates.z() * float(parts.std(ddof=1)) / np.sqrt(len(new)) if len(new) > 1 else float("inf")
    return ratio - 1, ratio - 1 - wide, ratio - 1 + wide


def held_out_pairs(
    candidate: Router, serving: Router, outcomes: Outcomes, *, options: RouteOptions | None = None
) -> Pairs:
    """Lets both routers decide on recorded outcomes of all agents; rows of split ``test`` only.

    Raises:
        DataError: there are no such rows, or an agent has no outcomes on them.
    """
    rows = evaluated_rows(outcomes, "test")
    scorer, tasks = Scorer(rows), rows.tasks()
    found = []
    for router in (candidate, serving):
        scored = scorer.score(router.route_batch(tasks, rows.pool, options=options))
        found.append(
            (
                np.array([row.score for row in scored]),
                np.array([np.nan if row.cost_usd is None else row.cost_usd for row in scored]),
            )
        )
    (new, new_cost), (old, old_cost) = found
    return Pairs(new=new, old=old, new_cost=new_cost, old_cost=old_cost, slices=tuple(rows.queries.task))


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A log with what both routers would do on its queries."""

    log: ChoiceLog
    new: Policy
    old: Policy | None
    """None: nothing serves; the candidate is compared with what the log's own routers did."""


def decide_on(
    log: ChoiceLog,
    pool: Pool,
    candidate: Router,
    serving: Router | None,
    *,
    vectors: NDArray[np.float32] | None = None,
) -> Judged:
    """Asks both routers what they would do on a log's queries."""
    tasks = log.queries.tasks()
    new = policy_of(candidate, tasks, pool, vectors=vectors)
    old = None if serving is None else policy_of(serving, tasks, pool)
    return Judged(log=log, new=new, old=old)


def weighted_calibration_error(predicted: Floats, score: Floats, weight: Floats) -> float | None:
    """Expected calibration error of weighted rows beyond chance, in bins of equal weight.

    A bin's gap is never 0, be the predictions ever so right: what chance alone makes of it is taken off its
    square. None for too few rows.

    Args:
        predicted: [n] predicted scores.
        score: [n] what came out.
        weight: [n] importance weights; rows of weight 0 count nothing.
    """
    rows = (weight > 0) & ~np.isnan(score) & ~np.isnan(predicted)
    p, y, w = predicted[rows], score[rows], weight[rows]
    if not w.size or w.sum() ** 2 / (w**2).sum() < _FEWEST_CALIBRATED:
        return None
    order = np.argsort(p, kind="stable")
    p, y, w = p[order], y[order], w[order]
    ahead = np.cumsum(w) / w.sum()
    which = np.minimum((ahead * _BINS - 1e-9).astype(int), _BINS - 1)
    gap = np.bincount(which, w * (p - y))
    chance = np.bincount(which, (w * (p - y)) ** 2) - gap**2 / np.bincount(which)
    return float(np.sqrt(np.maximum(gap**2 - np.maximum(chance, 0), 0)).sum() / w.sum())
