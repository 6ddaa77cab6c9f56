"""Suite ``routing``: every router against strong simple baselines on recorded outcomes (*replayed*)."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agentnet.bench import metrics
from agentnet.bench.evaluate import SCHEMA_VERSION
from agentnet.bench.protocol import Lab, Point, RouterRun, merge, seeds_for
from agentnet.bench.suites.routing_report import print_table, write_report
from agentnet.errors import DataError
from agentnet.outcomes.encoders import CachedEncoder, make_encoder
from agentnet.outcomes.packs import load_outcomes
from agentnet.outcomes.table import Outcomes

if TYPE_CHECKING:
    from rich.console import Console

ROUTERS = ("random", "cheapest", "best_single", "knn", "kmeans", "task_best", "cascade", "vote", "oracle")
SMALL = 500
"""Packs with fewer test queries are also reported cross-fitted over all queries."""


def run(
    *,
    data: Sequence[str],
    routers: Sequence[str] | None,
    seeds: int,
    out: Path,
    command: str,
    console: Console | None,
) -> dict[str, Any]:
    """Runs the suite; see `agentnet.bench.suites.run_suite`."""
    names = tuple(routers or ROUTERS)
    lab = Lab(CachedEncoder(make_encoder("minilm")))
    results: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "suite": "routing",
        "kind": "replayed",
        "command": command,
        "seeds": seeds,
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "packs": [],
    }
    for folder in pack_folders(data):
        outcomes = load_outcomes(folder)
        if outcomes.kind == "label":
            raise DataError(f"{folder} holds labels, not outcomes; evaluate it with `agentnet evaluate`.")
        results["packs"].append(_pack(folder.name, outcomes, names, seeds, lab, console))
    out.mkdir(parents=True, exist_ok=True)
    (out / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    write_report(results, out / "report.html")
    if console:
        for pack in results["packs"]:
            for part in pack["parts"]:
                print_table(pack["name"], part, console)
        console.print(f"results: {out / 'results.json'}\nreport:  {out / 'report.html'}")
    return results


def pack_folders(data: Sequence[str]) -> list[Path]:
    """Returns the folders of the packs: each given folder, or those in it that hold outcomes.

    Raises:
        DataError: a folder holds no pack with outcomes.
    """
    found: list[Path] = []
    for item in data:
        root = Path(item)
        inner = sorted(path.parent for path in root.glob("*/outcomes.parquet"))
        if (root / "queries.parquet").exists():
            found.append(root)
        elif inner:
            found += inner
        else:
            raise DataError(
                f"{root} holds no data pack (a folder with queries.parquet and outcomes.parquet)."
            )
    return found


def _pack(
    name: str, outcomes: Outcomes, routers: Sequence[str], seeds: int, lab: Lab, console: Console | None
) -> dict[str, Any]:
    """All routers on one pack: on its own test split and, where that is small, cross-fitted."""
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    jobs: list[tuple[str, int, bool]] = [(r, s, False) for r in routers for s in seeds_for(r, seeds)]
    n_test = int((outcomes.queries.split == "test").sum())
    if n_test < SMALL:
        jobs += [(r, s, True) for r in routers for s in seeds_for(r, seeds)]
    runs: dict[bool, dict[str, list[RouterRun]]] = {False: {}, True: {}}
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=console is None, transient=True) as bar:
        task = bar.add_task(name, total=len(jobs))
        for router, seed, crossed in jobs:
            bar.update(
                task, description=f"{name}: {router}, seed {seed}{', cross-fitted' if crossed else ''}"
            )
            run = (
                merge(lab.cross_fitted(router, outcomes, seed=seed))
                if crossed
                else lab.run(router, outcomes, seed=seed)
            )
            runs[crossed].setdefault(router, []).append(run)
            bar.advance(task)
    parts = [_part("test", runs[False])]
    if runs[True]:
        parts.append(_part("cross-fitted", runs[True]))
    return {"name": name, "n": len(outcomes), "agents": list(outcomes.agents), "parts": parts}


def _part(split: str, runs: dict[str, list[RouterRun]]) -> dict[str, Any]:
    """The table of one set of rows: a row per router, figures averaged over seeds."""
    reference = next(iter(runs.values()))[0].evaluation
    best = reference.best_single
    best_scores = reference.best_single_scores
    points = [
        (p.cost, p.score) for rs in runs.values() if rs[0].name != "oracle" for r in rs for p in r.curve
    ]
    known = [cost for cost, _ in points if not np.isnan(cost)]
    low, high = (min(known), best.cost_usd) if known and best and best.cost_usd else (0.0, 0.0)
    front = metrics.hull([p for p in points if not np.isnan(p[0])])
    rows = [
        _row(name, rs, best_scores, best.cost_usd if best else None, (low, high), front)
        for name, rs in runs.items()
    ]
    return {
        "split": split,
        "n": len(reference.rows),
        "best_single": best and {"agent": best.agent, "score": best.score, "cost_usd": best.cost_usd},
        "oracle": reference.oracle,
        "cost_range_usd": [low, high],
        "routers": rows,
    }


def _row(
    name: str,
    runs: list[RouterRun],
    best: np.ndarray[Any, np.dtype[np.float64]] | None,
    best_cost: float | None,
    cost_range: tuple[float, float],
    front: list[tuple[float, float]],
) -> dict[str, Any]:
    """One router: means over seeds; intervals are paired bootstraps over queries of the seeds' mean."""
    scores = np.mean([run.evaluation.scores for run in runs], axis=0)
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
        "selection": reports[0]["selection"],
        "calibration_error": _mean([report["calibration_error"] for report in reports]),
        "latency_ms": first.latency_ms,
        "latency_encoded_ms": first.latency_encoded_ms,
        "curve": [_point(run_points) for run_points in zip(*(run.curve for run in runs), strict=True)],
        "matched": None,
        "per_query": [
            {"query_id": r.query_id, "agents": list(r.agents), "score": r.score, "cost_usd": r.cost_usd}
            for r in first.rows
        ],
    }
    if best is None:
        return row
    reference = float(best.mean())
    row["gain"] = float(scores.mean() - reference)
    row["gain_ci"] = list(metrics.bootstrap_ci(scores - best))
    row["gap_closed"] = metrics.gap_closed(row["score"], reference, first.oracle)
    row["perf_gain"] = row["score"] / reference - 1 if reference else None
    curve = [(p["cost_usd"], p["score"]) for p in row["curve"] if p["cost_usd"] is not None]
    if curve and best_cost:
        row["aiq"] = metrics.aiq(curve, low=cost_range[0], high=cost_range[1])
        row["pareto_distance"] = min(
            metrics.pareto_distance(point, front, max_cost=best_cost) for point in curve
        )
    row["matched"] = _matched(
        [run.curve[run.matched] for run in runs if run.matched is not None], best, best_cost
    )
    row["collapsed"] = name != "best_single" and row["entropy"] < 0.05
    return row


def _matched(points: list[Point], best: Any, best_cost: float | None) -> dict[str, Any] | None:
    """CostSave at the operating point that cross-validation chose."""
    if not points or not best_cost:
        return None
    scores = np.mean([point.scores for point in points], axis=0)
    costs = np.mean([point.costs for point in points], axis=0)
    return {
        "cost_weights": [None if np.isnan(p.cost_weight) else p.cost_weight for p in points],
        "score": float(scores.mean()),
        "gain": float((scores - best).mean()),
        "gain_ci": list(metrics.bootstrap_ci(scores - best)),
        "cost_usd": float(costs.mean()),
        "cost_save": metrics.cost_save(float(costs.mean()), best_cost),
    }


def _point(points: tuple[Point, ...]) -> dict[str, Any]:
    weight = points[0].cost_weight
    return {
        "cost_weight": None if np.isnan(weight) else weight,
        "score": float(np.mean([point.score for point in points])),
        "cost_usd": _mean([point.cost for point in points]),
    }


def _mean(values: Sequence[float | None]) -> float | None:
    """Mean of the values; None once one is unknown."""
    known = [value for value in values if value is not None and not np.isnan(value)]
    return float(np.mean(known)) if known and len(known) == len(values) else None
