"""Figures of the ``routing`` suite, from the runs of its routers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.bench import metrics
from agentnet.bench.evaluate import query_row
from agentnet.bench.points import Point
from agentnet.bench.protocol import RouterRun
from agentnet.bench.suites.routing_against import against, saved_more
from agentnet.bench.suites.routing_aiq import areas
from agentnet.outcomes.table import Outcomes

RIVALS = ("knn", "kmeans")
"""Tuned simple routers; one that does not beat them beyond the interval is reported as not beating them."""
COLLAPSED = 0.05
"""Bits of selection entropy below which a router is called collapsed."""

BASELINES = ("knn", "kmeans", "task_best", "cascade", "vote")
"""Simple routers with whose savings all others are compared."""
OPERATING = ("matched", "near", "double")
"""Operating points of a run (see `agentnet.bench.points.Picked`)."""
AIQ_RIVAL = "cascade"
"""The router whose AIQ all others are compared with."""

Floats = NDArray[np.float64]


def make_part(split: str, runs: Mapping[str, Sequence[RouterRun]], rows: Outcomes) -> dict[str, Any]:
    """Returns the table of one set of rows: a row per router, figures averaged over seeds.

    Args:
        split: Name of the set.
        runs: By router, one per seed.
        rows: The rows' outcomes, for the single agents' points.
    """
    first = next(iter(runs.values()))[0].evaluation
    best = first.best_single
    singles = [(c, s) for c, s in zip(rows.cost.mean(0), rows.score.mean(0, dtype=np.float64), strict=True)]
    curves = [
        (point.cost, point.score)
        for name, group in runs.items()
        for run in group
        for point in run.curve
        if name != "oracle"
    ]
    known = [(float(cost), float(score)) for cost, score in [*singles, *curves] if not np.isnan(cost)]
    top = best.cost_usd if best and best.cost_usd else 0.0
    table = _Table(
        front=metrics.front(known),
        low=min((cost for cost, _ in known), default=0.0),
        high=top,
        rivals={name: _seed_mean(runs[name]) for name in RIVALS if name in runs},
        baselines={
            name: {kind: _picked(runs[name], kind) for kind in OPERATING}
            for name in BASELINES
            if name in runs
        },
        areas=areas(
            {name: group for name, group in runs.items() if name != "oracle"},
            AIQ_RIVAL,
            low=min((cost for cost, _ in known), default=0.0),
            high=top,
        ),
    )
    return {
        "split": split,
        "n": len(first.rows),
        "best_single": best.to_dict() if best else None,
        "oracle": first.oracle,
        "cost_range_usd": [table.low, table.high],
        "agents": [
            {"agent": agent, "score": float(score), "cost_usd": None if np.isnan(cost) else float(cost)}
            for agent, (cost, score) in zip(rows.agents, singles, strict=True)
        ],
        "routers": [table.row(name, group) for name, group in runs.items()],
    }


class _Table:
    """What the rows of one table share."""

    def __init__(
        self,
        *,
        front: list[tuple[float, float]],
        low: float,
        high: float,
        rivals: Mapping[str, Floats],
        baselines: Mapping[str, Mapping[str, Sequence[Point]]],
        areas: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self.front = front
        self.low = low
        self.high = high
        self.rivals = rivals
        self.baselines = baselines
        self.areas = areas

    def row(self, name: str, runs: Sequence[RouterRun]) -> dict[str, Any]:
        """One router; intervals are paired bootstraps over queries of the seeds' mean."""
        scores = _seed_mean(runs)
        reports = [run.evaluation.to_dict(per_query=False) for run in runs]
        first = runs[0].evaluation
        row: dict[str, Any] = {
            "router": name,
            "seeds": len(runs),
            "score": float(scores.mean()),
            "score_ci": list(metrics.bootstrap_ci(scores)),
            "score_sd_over_seeds": float(np.std([run.evaluation.score for run in runs])),
            "cost_usd": _mean([report["cost_usd"] for report in reports]),
            "replay": reports[0]["replay"],
            "entropy": _mean([report["entropy"] for report in reports]),
            "selection": _mean_shares([report["selection"] for report in reports]),
            "calibration_error": _mean([report["calibration_error"] for report in reports]),
            "latency_ms": first.latency_ms,
            "latency_encoded_ms": first.latency_encoded_ms,
            "curve": [_point(points) for points in zip(*(run.curve for run in runs), strict=True)],
        }
        row["collapsed"] = name != "best_single" and (row["entropy"] or 0.0) < COLLAPSED
        row["versus"] = {} if name == "oracle" else self._versus(name, scores)
        row |= self._against_best(runs, scores, row) if first.best_single else {}
        row["area"] = self.areas.get(name)
        row["drawing"] = runs[0].drawing
        row["per_query"] = [query_row(item) for item in first.rows]
        return row

    def _versus(self, name: str, scores: Floats) -> dict[str, Any]:
        """Paired differences to the tuned simple routers."""
        found = {}
        for rival, theirs in self.rivals.items():
            if rival != name:
                low, high = metrics.bootstrap_ci(scores - theirs)
                gain = float((scores - theirs).mean())
                found[rival] = {"gain": gain, "gain_ci": [low, high], "beats": low > 0}
        return found

    def _against_best(
        self, runs: Sequence[RouterRun], scores: Floats, row: Mapping[str, Any]
    ) -> dict[str, Any]:
        """What the router is worth beside the best single agent."""
        best = _best(runs)
        reference = float(best.mean())
        curve = [(p["cost_usd"], p["score"]) for p in row["curve"] if p["cost_usd"] is not None]
        found: dict[str, Any] = {
            "gain": float((scores - best).mean()),
            "gain_ci": list(metrics.bootstrap_ci(scores - best)),
            "gap_closed": metrics.gap_closed(row["score"], reference, runs[0].evaluation.oracle),
            "perf_gain": row["score"] / reference - 1 if reference else None,
            "aiq": metrics.aiq(curve, low=self.low, high=self.high),
            "pareto_distance": None,
            **dict.fromkeys(OPERATING),
        }
        if row["cost_usd"] is not None and self.high:
            found["pareto_distance"] = metrics.pareto_distance(
                (row["cost_usd"], row["score"]), self.front, max_cost=self.high
            )
        for name in OPERATING:
            picked = _picked(runs, name)
            if picked and self.high:
                found[name] = self._operating(picked, best, _best_cost(runs))
                found[name]["versus"] = self._saved_more(name, row["router"], picked, _best_cost(runs))
        return found

    def _saved_more(
        self, name: str, router: str, points: Sequence[Point], best_cost: Floats
    ) -> dict[str, Any]:
        """What the router saves more than each baseline, each at its own point of this kind."""
        if router in BASELINES:
            return {}
        costs = np.mean([point.costs for point in points], axis=0)
        theirs = {rival: by_kind[name] for rival, by_kind in self.baselines.items() if by_kind[name]}
        return {
            rival: saved_more(costs, np.mean([point.costs for point in picked], axis=0), best_cost)
            for rival, picked in theirs.items()
        }

    def _operating(self, points: Sequence[Point], best: Floats, best_cost: Floats) -> dict[str, Any]:
        """Score and cost at an operating point that cross-validation chose."""
        scores = np.mean([point.scores for point in points], axis=0)
        cost = float(np.mean([point.cost for point in points]))
        score = float(scores.mean())
        weight = points[0].cost_weight
        return {
            "cost_weight": None if np.isnan(weight) else weight,
            "score": score,
            "score_ci": list(metrics.bootstrap_ci(scores)),
            **against(scores, np.mean([point.costs for point in points], axis=0), best, best_cost),
            "pareto_distance": metrics.pareto_distance((cost, score), self.front, max_cost=self.high),
        }


def _seed_mean(runs: Sequence[RouterRun]) -> Floats:
    """[n] score per query, averaged over seeds."""
    mean: Floats = np.mean([run.evaluation.scores for run in runs], axis=0)
    return mean


def _best(runs: Sequence[RouterRun]) -> Floats:
    """[n] score of the best single agent per query."""
    best: Floats = np.mean(
        [run.evaluation.best_single.scores for run in runs if run.evaluation.best_single], axis=0
    )
    return best


def _best_cost(runs: Sequence[RouterRun]) -> Floats:
    """[n] USD of the best single agent per query."""
    cost: Floats = np.mean(
        [run.evaluation.best_single.costs for run in runs if run.evaluation.best_single], axis=0
    )
    return cost


def _picked(runs: Sequence[RouterRun], kind: str) -> list[Point]:
    """The operating point of every run; none where one has none."""
    found = [point for run in runs if (point := getattr(run, kind)) is not None]
    return found if len(found) == len(runs) else []


def _point(points: Sequence[Point]) -> dict[str, Any]:
    return {
        "cost_weight": points[0].cost_weight,
        "score": float(np.mean([point.score for point in points])),
        "cost_usd": _mean([point.cost for point in points]),
    }


def _mean(values: Sequence[float | None]) -> float | None:
    """Mean of the values; None once one is unknown."""
    known = [value for value in values if value is not None and not np.isnan(value)]
    return float(np.mean(known)) if known and len(known) == len(values) else None


def _mean_shares(parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Mean share of each name, largest first."""
    names = {name for part in parts for name in part}
    mean = {name: sum(part.get(name, 0.0) for part in parts) / len(parts) for name in names}
    return dict(sorted(mean.items(), key=lambda item: (-item[1], item[0])))
