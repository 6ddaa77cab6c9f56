"""Tables of the live part of suite ``topology``: each pool, and both together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.bench import metrics
from agentnet.bench.suites.topology_figures import Cell, Figure, plot, table
from agentnet.bench.suites.topology_live import COLUMNS, DIALS, EQUAL, ROLLOUTS, SINGLE, Line

Floats = NDArray[np.float64]
BOTH = "both pools"
AGAINST = ("complete", SINGLE, EQUAL, "star", "chain")
"""With which ours is compared, task by task."""
NOTE = (
    "Live: every figure is of runs by the embedded model, in which agents read each other's answers. Routers "
    "learned from recorded rollouts of other tasks; test tasks were seen by none. Tokens are prompt and "
    "completion tokens of all calls, repeated requests in full. Intervals are 95% bootstraps over tasks of "
    "the mean over seeds; differences are paired. All settings of the dial that were run are shown. "
    f"The learned rivals get {ROLLOUTS} graphs a task and step in an environment made of the same log, and "
    "count the score alone, as in their papers. Chain, star and complete stand in the pool's own order; the "
    "single best agent is the one that was right most often on the training tasks."
)


def report(lines: Sequence[Line]) -> dict[str, Any]:
    """Returns the part of the results: tables, a plot, and what every method did on every task."""
    pools = list(dict.fromkeys(line.pool for line in lines))
    groups = {pool: [line for line in lines if line.pool == pool] for pool in pools}
    if len(pools) > 1:
        groups[BOTH] = together(groups)
    tables: list[dict[str, Any]] = []
    for pool, some in groups.items():
        tables += [methods(pool, some), compared(pool, some)]
    return {
        "kind": "live",
        "note": NOTE,
        "tables": [made for made in tables if made["rows"]],
        "plots": [tokens_plot(pool, some) for pool, some in groups.items() if some],
        "per_query": [
            {
                "label": line.label,
                "pool": line.pool,
                "seeds": line.seeds,
                "query_id": list(line.query_id),
                "answers": list(line.answers),
                **{key: np.round(line.columns[key], 4).tolist() for key in COLUMNS},
            }
            for line in lines
        ],
    }


def together(groups: Mapping[str, Sequence[Line]]) -> list[Line]:
    """The methods that were run in every pool, their tasks one pool after the other."""
    found = []
    by = [{line.label: line for line in some} for some in groups.values()]
    for label in by[0]:
        mine = [lines[label] for lines in by if label in lines]
        if len(mine) == len(by):
            found.append(
                Line(
                    label,
                    BOTH,
                    min(line.seeds for line in mine),
                    tuple(name for line in mine for name in line.query_id),
                    {key: np.concatenate([line.columns[key] for line in mine]) for key in COLUMNS},
                    tuple(text for line in mine for text in line.answers),
                )
            )
    return found


def methods(pool: str, lines: Sequence[Line]) -> dict[str, Any]:
    """All methods of a pool."""
    rows: list[dict[str, Cell]] = [
        {
            "method": line.label,
            "tasks": len(line.score),
            "seeds": line.seeds,
            "accuracy": Figure.of(line.score),
            "tokens": float(np.nanmean(line.tokens)),
            "prompt": float(np.nanmean(line.columns["prompt_tokens"])),
            "completion": float(np.nanmean(line.columns["completion_tokens"])),
            "calls": round(float(line.columns["calls"].mean()), 2),
            "agents": round(float(line.columns["agents"].mean()), 2),
        }
        for line in lines
    ]
    return table(f"{pool}: all methods (live)", rows)


def compared(pool: str, lines: Sequence[Line]) -> dict[str, Any]:
    """Ours against the rivals, task by task; each says whether its interval excludes zero."""
    by = {line.label: line for line in lines}
    ours = [f"agp, dial {dial:g}" for dial in DIALS] + ["agp paper"]
    rows: list[dict[str, Cell]] = []
    for label in ours:
        for rival in AGAINST:
            if label not in by or rival not in by:
                continue
            gap = Figure.of(by[label].score - by[rival].score)
            share = token_ratio(by[label].tokens, by[rival].tokens)
            rows.append(
                {
                    "ours": label,
                    "rival": rival,
                    "accuracy, ours - rival": gap,
                    "excludes zero": "no" if gap.verdict == "not told apart" else f"yes, {gap.verdict}",
                    "tokens, ours / rival": share,
                    "tokens saved": f"{1 - share.mean:.1%}",
                }
            )
    title = f"{pool}: agp against others (live)"
    return table(title, rows, signed=("accuracy, ours - rival",))


def token_ratio(ours: Floats, theirs: Floats) -> Figure:
    """Ratio of mean tokens with its paired bootstrap interval.

    >>> token_ratio(np.array([1.0, 2.0]), np.array([2.0, 4.0])).told
    '0.500 [0.500, 0.500]'
    """
    known = ~np.isnan(ours) & ~np.isnan(theirs)
    columns = np.stack([ours[known], theirs[known]], 1)
    draws = metrics.bootstrap_means(columns)
    ratios = draws[:, 0] / draws[:, 1]
    low, high = np.quantile(ratios, [0.025, 0.975])
    mean = columns.mean(0)
    return Figure(float(mean[0] / mean[1]), float(low), float(high), len(columns))


def tokens_plot(pool: str, lines: Sequence[Line]) -> dict[str, Any]:
    """Accuracy over tokens, a point each method; agp's settings are joined."""
    series: dict[str, list[tuple[float, Figure]]] = {}
    for line in lines:
        name = "agp" if line.label.startswith("agp, dial") else line.label
        point = (float(np.nanmean(line.tokens)), Figure.of(line.score))
        series.setdefault(name, []).append(point)
    ordered = {name: sorted(points, key=lambda point: point[0]) for name, points in series.items()}
    return plot(f"{pool}: accuracy over tokens (live)", "tokens a task", "accuracy", ordered)
