"""Evaporation against drift: two nodes exchange their qualities halfway. All *simulated*."""

from __future__ import annotations

from dataclasses import replace
from statistics import median
from typing import Any

import numpy as np

from agentnet.bench.stream.intervals import interval
from agentnet.bench.stream.run import Log, Setup, recovery, serve
from agentnet.bench.stream.setups import EVAPORATIONS, RHOS, evaporating, of_recipe
from agentnet.bench.stream.tables import Bench, Table, curve, said

COLUMNS = [
    "evaporation", "rho", "success before", "success at the end", "drop",
    "queries back to 95 % of own level", "queries to 95 % of the new optimum",
]  # fmt: skip
OWN = "edges (recipe agentnet's rules)"
NOTE = (
    "The node that stands most often on the types' best paths and the worst one exchange their qualities "
    "halfway. Before: last quarter of the first half; at the end: last quarter of the stream; both right "
    "answers, mean and 95 % interval (bootstrap of seeds and of the queries inside each seed). Drop: own "
    "level before less the 500 queries after the drift. Recovery: moving mean of 500 queries' success "
    "probabilities; median over seeds, a seed that does not recover counting as longest, and how many did. "
    "Own level: the queries of 'before'."
)


def tables(bench: Bench) -> tuple[list[Table], list[Table]]:
    """Returns the table and the plots."""
    rows: list[list[Any]] = []
    logs: dict[tuple[str, float], list[Log]] = {}
    for kind in EVAPORATIONS:
        for rho in RHOS:
            bench.progress(f"drift: {kind}, rho {rho:g}")
            logs[kind, rho] = _served(bench, evaporating(kind, rho))
            rows.append(_row(bench, kind, rho, logs[kind, rho]))
    own = of_recipe("agentnet")
    for rho in RHOS:
        bench.progress(f"drift: {OWN}, rho {rho:g}")
        logs[OWN, rho] = _served(bench, replace(own, rules=replace(own.rules, rho=rho)))
        rows.append(_row(bench, OWN, rho, logs[OWN, rho]))
    table = {
        "title": "Evaporation and recovery after drift",
        "note": NOTE,
        "columns": COLUMNS,
        "rows": rows,
    }
    over_time = {
        "title": "Success around a drift",
        "x_label": "queries",
        "y_label": "success probability of the path",
        "series": [
            {"name": f"{kind}, rho {rho:g}", "points": curve(found)}
            for (kind, rho), found in logs.items()
            if rho == 0.05 or (kind == "attributed" and rho in {0.01, 0.2})
        ],
    }
    by_rho = {
        "title": "Success at the end by evaporation",
        "x_label": "rho",
        "y_label": "right answers, last quarter",
        "series": [
            {"name": kind, "points": [[rho, _end(logs[kind, rho])] for rho in RHOS]}
            for kind in (*EVAPORATIONS, OWN)
        ],
    }
    return [table], [over_time, by_rho]


def _served(bench: Bench, setup: Setup) -> list[Log]:
    found = []
    for seed in bench.seeds:
        world = bench.world(seed)
        found.append(serve(world, bench.stream(seed), setup, after=world.swapped()))
    return found


def _end(logs: list[Log]) -> float:
    return round(float(np.mean([log.right[log.last()].mean() for log in logs])), 4)


def _row(bench: Bench, kind: str, rho: float, logs: list[Log]) -> list[Any]:
    half = bench.queries // 2
    before = slice(half - bench.queries // 8, half)
    own = [float(log.chance[before].mean()) for log in logs]
    first = [float(log.chance[half : half + 500].mean()) for log in logs]
    best = [float(log.best[half:].mean()) for log in logs]
    back = [recovery(log, 0.95 * level, since=half) for log, level in zip(logs, own, strict=True)]
    to_best = [recovery(log, 0.95 * level, since=half) for log, level in zip(logs, best, strict=True)]
    return [
        kind,
        rho,
        said(interval([log.right[before].astype(np.float64) for log in logs])),
        said(interval([log.right[log.last()].astype(np.float64) for log in logs])),
        round(float(np.mean(own) - np.mean(first)), 3),
        _recovered(back),
        _recovered(to_best),
    ]


def _recovered(queries: list[int | None]) -> str:
    """Median over seeds, and how many recovered.

    >>> _recovered([600, None, 900]), _recovered([None, None, 700])
    ('900 (2 of 3 seeds)', 'not within the stream (1 of 3 seeds)')
    """
    found = sum(value is not None for value in queries)
    middle = median(float("inf") if value is None else value for value in queries)
    text = "not within the stream" if middle == float("inf") else f"{middle:,.0f}"
    return f"{text} ({found} of {len(queries)} seeds)"
