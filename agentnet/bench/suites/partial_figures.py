"""Figures of the ``partial`` suite from its rows, one row per draw and learner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.bench.metrics import bootstrap_ci
from agentnet.bench.suites.partial_measure import EPSILONS, LOGGING, RECOMMENDED

Row = Mapping[str, Any]
Floats = NDArray[np.float64]
_RESAMPLES = 2000
LEAST_GAIN = 1e-4
"""Mean gain of the full matrix below which there is nothing to keep, as for the best single agent itself."""


def kept(gain: Floats, full: Floats, *, seed: int = 0) -> tuple[float, float, float]:
    """Returns the share of the full matrix's gain that is kept, sum over sum of draws, and its 95% interval.

    Args:
        gain: [draws] score less best single's.
        full: [draws] the same with all outcomes.
        seed: Of the bootstrap over draws.

    >>> kept(np.array([0.01, 0.03]), np.array([0.04, 0.04]))[0]
    0.5
    """
    if full.mean() < LEAST_GAIN:
        return (float("nan"),) * 3
    taken = np.random.default_rng(seed).integers(len(gain), size=(_RESAMPLES, len(gain)))
    total = full[taken].sum(1)
    drawn = np.divide(gain[taken].sum(1), total, out=np.full(_RESAMPLES, np.nan), where=total > 0)
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return float(gain.sum() / full.sum()), float(low), float(high)


def make_part(part: str, n: int, rows: Sequence[Row]) -> dict[str, Any]:
    """Returns the results on one set of rows: cells of the table, what was asked for, and all rows."""
    cells = []
    for logging in LOGGING:
        for epsilon in EPSILONS:
            here = [row for row in rows if row["logging"] == logging and row["epsilon"] == epsilon]
            cells += [_cell(here, *key) for key in dict.fromkeys((r["learner"], r["feedback"]) for r in here)]
    return {
        "split": part,
        "n": n,
        "cells": cells,
        "targets": targets(rows),
        "rows": [dict(row) for row in rows],
    }


def _cell(rows: Sequence[Row], learner: str, feedback: str) -> dict[str, Any]:
    score = _column(rows, learner, feedback, "score")
    best = _column(rows, learner, feedback, "best_single")
    full = _column(rows, learner, feedback, "full") - best
    logged = _column(rows, learner, feedback, "logging_score") - best
    gain, plain = score - best, score - _column(rows, learner, "observed", "score")
    share, low, high = kept(gain, full)
    return {
        "logging": rows[0]["logging"],
        "epsilon": rows[0]["epsilon"],
        "learner": learner,
        "feedback": feedback,
        "score": float(score.mean()),
        "gain": float(gain.mean()),
        "gain_ci": bootstrap_ci(gain),
        "worst": float(gain.min()),
        "full_gain": float(full.mean()),
        "logging_gain": float(logged.mean()),
        "kept": share,
        "kept_ci": (low, high),
        "over_observed": float(plain.mean()),
        "over_observed_ci": bootstrap_ci(plain),
    }


def _column(rows: Sequence[Row], learner: str, feedback: str, name: str) -> Floats:
    found = [row[name] for row in rows if row["learner"] == learner and row["feedback"] == feedback]
    return np.array(found, np.float64)


def targets(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Returns what was asked of the recommended learner before the figures were seen, and what was found."""
    found = []

    def add(name: str, value: float, low: float, high: float, met: bool) -> None:
        found.append({"target": name, "found": value, "ci": (low, high), "met": bool(met)})

    for logging in (*LOGGING, None):
        mine = [row for row in rows if logging in (None, row["logging"])]
        who = f"log of {logging}" if logging else "both logs"
        for epsilon in EPSILONS:
            here = [row for row in mine if row["epsilon"] == epsilon]
            score = _column(here, *RECOMMENDED, "score")
            if not len(score):
                continue
            best = _column(here, *RECOMMENDED, "best_single")
            share = kept(score - best, _column(here, *RECOMMENDED, "full") - best)
            if epsilon == max(EPSILONS):
                add(f"{who}, epsilon {epsilon:g}: at least 50% of the gain kept", *share, share[0] >= 0.5)
                add(f"{who}, epsilon {epsilon:g}: goal of 70%", *share, share[0] >= 0.7)
                continue
            gain = float((score - best).mean())
            add(
                f"{who}, epsilon {epsilon:g}: not below best single",
                gain,
                *bootstrap_ci(score - best),
                gain >= 0,
            )
            plain = score - _column(here, RECOMMENDED[0], "observed", "score")
            low, high = bootstrap_ci(plain)
            name = f"{who}, epsilon {epsilon:g}: above itself ignoring propensities"
            add(name, float(plain.mean()), low, high, low > 0)
    return found
