"""Part `full` of suite `intents`: all training rows, every agent known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.bench import metrics
from agentnet.bench.intents.data import Labels
from agentnet.bench.intents.fits import Fits, Shelf, ask, with_seeds
from agentnet.bench.intents.measures import (
    BINS,
    FALSE_ALARMS,
    Predicted,
    auroc,
    compact,
    reliability,
    threshold_of,
)
from agentnet.bench.intents.references import FULL, LOGISTIC, Reference, choose, energy
from agentnet.bench.latency import time_routes
from agentnet.bench.protocol import Entry, Progress
from agentnet.bench.suites.intents_figures import over_rows
from agentnet.bench.suites.topology_figures import Cell, Figure, plot, table
from agentnet.routers.base import RouteOptions

OURS = "tcar"
NOTE = (
    "Fitted on train (its out-of-scope rows included) and on val's rows in scope. Hit: the right agent is "
    "among the chosen; exact: it alone is chosen; nothing is turned away. Intervals: 95% bootstrap over "
    "queries, of the mean over seeds; the best baseline is the one with the highest hit on val."
)
OOS_NOTE = (
    f"The threshold turns away {FALSE_ALARMS:.0%} of val's rows in scope, as scored by a fit on train alone; "
    f"tcar's is its own, learned in the same way (false_alarms={FALSE_ALARMS}). Recall: share of val's "
    "out-of-scope rows turned away, none of which anybody learned from. AUROC: test's rows in scope against "
    "those."
)
Record = Mapping[str, Any]


def router_record(data: Labels, entry: Entry, seed: int, fits: Fits) -> dict[str, Any]:
    """Fits one router with one seed and asks it about the test rows."""
    router, seconds = fits.full(entry, data, seed)
    test, val = data.rows("test", inside=True), data.rows("val", inside=True)
    found = ask(router, data.tasks(test), data.pool, seed=seed)
    # A router that has learned from val's rows knows them too well to put a threshold on them.
    other = router if entry.router == OURS else fits.full(entry, data, seed, "train")[0]
    seen = {name: ask(other, data.tasks(rows), data.pool, seed=seed) for name, rows in _scopes(data).items()}
    scope = {name: one.scope for name, one in seen.items()}
    val_hit = float(seen["val"].hit(data.gold[val]).mean())
    record = _record(found, data.gold[test], scope, val_hit) | {"fit_s": seconds, "seed": seed}
    if entry.router == OURS:
        record["turned"] = {name: (~one.kept(None)).astype(int).tolist() for name, one in seen.items()}
    if seed == 0:
        options = RouteOptions(abstain_below=0.0, rng=np.random.default_rng(0))
        tasks = data.tasks(test)
        vectors = router.encode(tasks)
        full, encoded = time_routes(
            router, tasks, data.pool, options=options, vectors=vectors, encoder=fits.lab.uncached
        )
        record["latency"] = {"text": full, "encoded": encoded}
    return record


def reference_record(data: Labels, reference: Reference) -> dict[str, Any]:
    """Fits a reference: on train to choose and to turn away, on train and val in scope for the test."""
    train, val = data.rows("train", inside=True), data.rows("val", inside=True)
    test, both = data.rows("test", inside=True), np.concatenate([train, val])
    x, y = data.vectors, data.gold
    chosen = choose(reference, (x[train], y[train]), (x[val], y[val]), data.described)
    last = chosen.again(x[both], y[both], data.described)
    found = Predicted.top_one(chosen.probability(last, x[test]))
    raw = {name: chosen.scorer.scores(x[rows]) for name, rows in _scopes(data).items()}
    ways = {"highest score": {name: s.max(1).astype(np.float64) for name, s in raw.items()}}
    if reference is LOGISTIC:
        ways = {"highest probability": {n: chosen.probability(chosen.scorer, x[r]).max(1).astype(np.float64)
                                        for n, r in _scopes(data).items()},
                "energy": {name: energy(s) for name, s in raw.items()}}  # fmt: skip
    way = max(ways, key=lambda name: _recall(ways[name], "train_oos"))
    record = _record(found, y[test], ways[way], chosen.val_hit)
    return record | {"strength": chosen.strength, "scope_by": way}


def _scopes(data: Labels) -> dict[str, NDArray[np.intp]]:
    return {
        "val": data.rows("val", inside=True),
        "val_oos": data.rows("val", inside=False),
        "train_oos": data.rows("train", inside=False),
        "test": data.rows("test", inside=True),
    }


def _recall(scope: Mapping[str, Any], name: str) -> float:
    outside = np.asarray(scope[name], np.float64)
    return float((outside < threshold_of(scope["val"])).mean()) if outside.size else 0.0


def _record(
    found: Predicted, gold: NDArray[np.intp], scope: Mapping[str, Any], val_hit: float
) -> dict[str, Any]:
    arrays = {
        "hit": found.hit(gold),
        "exact": found.exact(gold),
        "size": found.size,
        "top": found.top,
        "first_right": found.first_right(gold),
    }
    return compact(arrays) | {"scope": compact(scope), "val_hit": val_hit}


def collect(
    data: Labels, entries: Sequence[Entry], seeds: Sequence[int], shelf: Shelf, fits: Fits, say: Progress
) -> dict[str, list[dict[str, Any]]]:
    """Returns the records of one pack by label, a record a seed; what is kept is not made again."""
    found: dict[str, list[dict[str, Any]]] = {}
    for entry in entries:
        for seed in seeds:
            if seed not in with_seeds(entry, max(seeds) + 1):
                continue
            say(f"{entry.label}, seed {seed}")
            name = f"full-{data.name}-{entry.label}-{seed}"
            record = shelf.get(name, lambda e=entry, s=seed: router_record(data, e, s, fits))  # type: ignore[misc]
            found.setdefault(entry.label, []).append(record)
    for reference in FULL:
        say(reference.label)
        name = f"full-{data.name}-{reference.label}"
        found[reference.label] = [shelf.get(name, lambda r=reference: reference_record(data, r))]  # type: ignore[misc]
    return found


def kept(data: Labels, entries: Sequence[Entry], seeds: int, shelf: Shelf) -> dict[str, list[dict[str, Any]]]:
    """Returns the records that are there already, by label."""
    labels = [*(entry.label for entry in entries), *(reference.label for reference in FULL)]
    found: dict[str, list[dict[str, Any]]] = {}
    for label in labels:
        first = f"full-{data.name}-{label}"
        names = [first, *(f"{first}-{seed}" for seed in range(seeds))]
        if items := [item for name in names if (item := shelf.peek(name)) is not None]:
            found[label] = items
    return found


def mean_rows(records: Sequence[Record], key: str) -> NDArray[np.float64]:
    """[n] a row's mean over seeds."""
    found: NDArray[np.float64] = np.mean([np.asarray(record[key], np.float64) for record in records], 0)
    return found


def best_baseline(found: Mapping[str, Sequence[Record]]) -> str | None:
    """Returns the label, other than ours, with the highest hit on val; None where there is none."""
    others = {label: float(records[0]["val_hit"]) for label, records in found.items() if label != OURS}
    return max(others, key=lambda label: others[label]) if others else None


def report(name: str, found: Mapping[str, Sequence[Record]]) -> dict[str, Any]:
    """Returns tables and plots of one pack."""
    best = best_baseline(found)
    n = len(next(iter(found.values()))[0]["hit"])
    tables = [
        table(f"{name}: {n:,} test queries (replayed)", _hits(found, best), note=NOTE,
              signed=[f"hit - {best}"]),
        table(f"{name}: turned away at {FALSE_ALARMS:.0%} false alarms (replayed)", _outside(found),
              note=OOS_NOTE),
    ]  # fmt: skip
    if timed := _latency(found):
        note = "Milliseconds of one decision on this machine, other work beside it."
        tables.append(table(f"{name}: time of a decision", timed, note=note))
    curves = {
        label: [(p, Figure(share, share, share, size)) for p, share, size in _bins(records)]
        for label, records in found.items()
        if label in (OURS, LOGISTIC.label, "knn")
    }
    drawn = plot(f"{name}: reliability of the first agent's probability", "predicted", "right", curves)
    bars = {
        "title": f"{name}: hit on test, with 95% intervals",
        "bars": [
            {"name": label, **over_rows(mean_rows(records, "hit")).to_dict()}
            for label, records in found.items()
            if label not in ("random", "best_single")
        ],
    }
    return {"name": name, "tables": tables, "plots": [drawn | {"diagonal": True}], "bars": [bars]}


def _bins(records: Sequence[Record]) -> list[tuple[float, float, int]]:
    return reliability(records[0]["top"], records[0]["first_right"], BINS)


def _hits(found: Mapping[str, Sequence[Record]], best: str | None) -> list[dict[str, Cell]]:
    rows: list[dict[str, Cell]] = []
    for label, records in found.items():
        hit = mean_rows(records, "hit")
        each = [float(np.mean(record["hit"])) for record in records]
        errors = [metrics.calibration_error(record["top"], record["first_right"]) for record in records]
        row: dict[str, Cell] = {
            "router": label,
            "hit": over_rows(hit),
            "seeds": len(records),
            "sd over seeds": f"{np.std(each, ddof=1):.4f}" if len(each) > 1 else "",
            "exact": over_rows(mean_rows(records, "exact")),
            "agents": f"{mean_rows(records, 'size').mean():.3f}",
            "calibration error": f"{np.mean([e for e in errors if e is not None]):.3f}",
        }
        row[f"hit - {best}"] = (
            "" if best is None or label == best else over_rows(hit - mean_rows(found[best], "hit"))
        )
        rows.append(row)
    return rows


def _outside(found: Mapping[str, Sequence[Record]]) -> list[dict[str, Cell]]:
    rows: list[dict[str, Cell]] = []
    for label, records in found.items():
        row: dict[str, Cell] = {"router": label}
        scopes = [record["scope"] for record in records]
        if scopes[0]["val_oos"]:
            turned = [_turned(record, "val_oos") for record in records]
            row["out of scope"] = int(turned[0].size)
            row["recall"] = over_rows(np.mean(turned, 0))
            areas = [auroc(scope["test"], scope["val_oos"]) for scope in scopes]
            row["AUROC"] = f"{np.mean(areas):.3f}"
        alarms = [_turned(record, "test") for record in records]
        row["false alarms on test"] = over_rows(np.mean(alarms, 0))
        hits = [np.asarray(record["hit"]) * ~gone for record, gone in zip(records, alarms, strict=True)]
        row["hit at the threshold"] = over_rows(np.mean(hits, 0))
        row["score"] = str(records[0].get("scope_by", "highest probability"))
        if "turned" in records[0]:
            row["score"] = "its own"
        rows.append(row)
    return rows


def _turned(record: Record, name: str) -> NDArray[np.bool_]:
    """[n] which rows are turned away."""
    if "turned" in record:
        return np.asarray(record["turned"][name], bool)
    scope = record["scope"]
    return np.asarray(np.asarray(scope[name], np.float64) < threshold_of(scope["val"]))


def _latency(found: Mapping[str, Sequence[Record]]) -> list[dict[str, Cell]]:
    rows: list[dict[str, Cell]] = []
    for label, records in found.items():
        if took := records[0].get("latency"):
            row: dict[str, Cell] = {"router": label}
            for side, what in (("text", "with encoding"), ("encoded", "encoded")):
                for key in ("p50", "p99"):
                    row[f"{what}, {key}"] = f"{took[side][key]:.2f}"
            row["fit (s)"] = f"{float(np.mean([record['fit_s'] for record in records])):.0f}"
            rows.append(row)
    return rows
