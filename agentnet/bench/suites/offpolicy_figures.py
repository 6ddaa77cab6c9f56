"""What the suite ``offpolicy`` is held to, and the figures of one set of cases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from agentnet.bench.offpolicy.evaluate import RECOMMENDED
from agentnet.bench.suites.offpolicy_measure import GOOD, Cases, covered, pair_rows, summary

COVERAGE = (0.93, 0.97)
LEAST_PAIR = 0.88
LEAST_ANSWERED = 0.7
LEAST_GOOD = 0.95
_OF_DIFFERENCE = ("coverage", "rmse", "worse_called_better", "better_called_better")
ENOUGH = 50
"""Cases with good overlap that a pair must have for its own coverage to be held to `LEAST_PAIR`."""


def make_part(
    name: str,
    cases: Cases,
    *,
    n: int,
    pairs: Sequence[tuple[str, str]] = (),
    overlap: Sequence[float] = (),
) -> dict[str, Any]:
    """Returns the figures of one pack, or of all pooled, with one reward model, as JSON values."""
    good = cases.ess >= GOOD
    answered = cases.answered
    part: dict[str, Any] = {
        "split": name,
        "n": n,
        "cases": len(answered),
        "answered": float(answered.mean()),
        "answered_good": float(answered[good].mean()) if good.any() else float("nan"),
        "good": float(good.mean()),
        "by_size": [
            {
                "size": int(size),
                "answered": float(answered[cases.size == size].mean()),
                "coverage": _coverage(cases, answered & (cases.size == size)),
            }
            for size in np.unique(cases.size)
        ],
        "table": summary(cases, answered),
        "table_all": summary(cases, np.ones(len(answered), bool)),
        "worst_pair": _worst(cases),
        "targets": [],
    }
    if np.isfinite(cases.difference[:, 0]).any():
        part["difference"] = _difference(cases)
    if pairs:
        part["pairs"] = pair_rows(cases, pairs, overlap)
    part["targets"] = targets(part)
    return part


def _coverage(cases: Cases, rows: Any) -> float:
    return float(covered(cases.found[RECOMMENDED], cases.truth)[rows].mean()) if rows.any() else float("nan")


def _worst(cases: Cases) -> dict[str, Any]:
    """Lowest coverage among pairs, over their cases with good overlap; also over single sizes of them."""
    holds = covered(cases.found[RECOMMENDED], cases.truth)
    good = (cases.ess >= GOOD) & cases.answered
    by_pair, by_cell = [], []
    for pair in np.unique(cases.pair):
        rows = good & (cases.pair == pair)
        if rows.sum() >= ENOUGH:
            by_pair.append(float(holds[rows].mean()))
        for size in np.unique(cases.size):
            cell = rows & (cases.size == size)
            if cell.sum() >= ENOUGH:
                by_cell.append(float(holds[cell].mean()))
    return {
        "pairs": len(by_pair),
        "coverage": min(by_pair, default=float("nan")),
        "cells": len(by_cell),
        "cell_coverage": min(by_cell, default=float("nan")),
        "cells_below": int(sum(x < LEAST_PAIR for x in by_cell)),
    }


def _difference(cases: Cases) -> dict[str, Any]:
    """The paired difference to the logging policy: coverage, and how often each sign is told."""
    found, truth = cases.difference[cases.told], cases.difference[cases.told, 3]
    if not len(found):
        return {"answered": 0.0} | dict.fromkeys(_OF_DIFFERENCE, float("nan"))
    holds = covered(found, truth)
    better, worse = truth > 0, truth < 0
    return {
        "answered": float(cases.told.mean()),
        "coverage": float(holds.mean()),
        "rmse": float(np.sqrt(((found[:, 0] - truth) ** 2).mean())),
        "worse_called_better": float((found[worse, 1] > 0).mean()) if worse.any() else float("nan"),
        "better_called_better": float((found[better, 1] > 0).mean()) if better.any() else float("nan"),
    }


def targets(part: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns what is asked for beside what was found; set before the reported run."""
    rows = {row["estimator"]: row for row in part["table"]}
    mine = rows[RECOMMENDED]

    def target(what: str, found: float, met: bool) -> dict[str, Any]:
        return {"target": what, "found": found, "met": bool(met)}

    worst = part["worst_pair"]["coverage"]
    found = [
        target(
            f"pooled coverage {COVERAGE[0]:.0%} to {COVERAGE[1]:.0%}",
            mine["coverage"],
            COVERAGE[0] <= mine["coverage"] <= COVERAGE[1],
        ),
        target(f"worst pair with good overlap >= {LEAST_PAIR:.0%}", worst, worst >= LEAST_PAIR),
        target(f"answered >= {LEAST_ANSWERED:.0%}", part["answered"], part["answered"] >= LEAST_ANSWERED),
        target(
            f"answered at ESS >= {GOOD:.0f}: >= {LEAST_GOOD:.0%}",
            part["answered_good"],
            part["answered_good"] >= LEAST_GOOD,
        ),
    ]
    for name in ("ips", "snips"):
        found.append(
            target(
                f"RMSE below {name}'s {rows[name]['rmse']:.4f}",
                mine["rmse"],
                mine["rmse"] < rows[name]["rmse"],
            )
        )
    for name in ("dm", "dm, recalibrated"):
        if name in rows:
            limit = rows[name]["rmse"]
            found.append(target(f"RMSE not above {name}'s {limit:.4f}", mine["rmse"], mine["rmse"] <= limit))
    return found
