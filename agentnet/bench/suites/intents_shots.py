"""Part `shots` of suite `intents`: every agent known by a few examples only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from agentnet.bench.intents.data import Labels, as_train, joined_packs
from agentnet.bench.intents.fits import Fits, Shelf, ask
from agentnet.bench.intents.measures import Predicted, compact
from agentnet.bench.intents.references import CENTROID, LOGISTIC, NEAREST, WORDS, Reference
from agentnet.bench.protocol import Entry, Progress
from agentnet.bench.suites.intents_figures import over_draws
from agentnet.bench.suites.topology_figures import Cell, Figure, plot, table
from agentnet.routers.registry import router_class

SHOTS = (0, 1, 5, 10)
DRAWS = 5
REFERENCES = (WORDS, LOGISTIC, CENTROID, NEAREST)
NOTE = (
    "Train rows drawn at random, as many for every agent; nothing else is learned from, val neither. Without "
    "examples a router that can serve unfitted does; another is fitted on the other packs, and this pack's "
    "agents are new to it. 'All' is part full. Intervals: 95% bootstrap over draws and queries."
)
Record = Mapping[str, Any]


def router_record(
    data: Labels, others: Sequence[Labels], entry: Entry, shots: int, draw: int, fits: Fits
) -> dict[str, Any]:
    """Fits a router on a few examples of each agent and asks it about the test rows."""
    test = data.rows("test", inside=True)
    name = f"shots-{data.name}-{entry.label}-{shots}-{draw}"
    if shots:
        rows = np.concatenate([data.examples(j, shots, draw) for j in range(len(data.names))])
        router, _ = fits.make(entry, as_train(data.learnable(rows)), data.pool, seed=draw, name=name)
    elif not router_class(entry.router).needs_fit:
        router = fits.plain(entry)
    else:
        outcomes = joined_packs(others)
        router, _ = fits.make(entry, outcomes, outcomes.pool, seed=draw, name=name)
    found = ask(router, data.tasks(test), data.pool, seed=draw)
    return compact({"hit": found.hit(data.gold[test]), "size": found.size})


def reference_record(data: Labels, reference: Reference, shots: int, draw: int) -> dict[str, Any]:
    """Fits a reference on a few examples of each agent."""
    test = data.rows("test", inside=True)
    if shots:
        rows = np.concatenate([data.examples(j, shots, draw) for j in range(len(data.names))])
    else:
        rows = np.zeros(0, np.intp)
    scorer = reference.fit(data.vectors[rows], data.gold[rows], data.described, reference.few)
    found = Predicted.top_one(scorer.scores(data.vectors[test]))
    return compact({"hit": found.hit(data.gold[test]), "size": found.size})


def collect(
    data: Labels,
    others: Sequence[Labels],
    entries: Sequence[Entry],
    draws: int,
    shelf: Shelf,
    fits: Fits,
    say: Progress,
) -> dict[str, dict[int, list[dict[str, Any]]]]:
    """Returns the records of one pack by label and number of examples, a record a draw."""
    found: dict[str, dict[int, list[dict[str, Any]]]] = {}
    for draw in range(draws):
        for shots in SHOTS:
            for reference in REFERENCES:
                if (reference is WORDS) != (shots == 0) or (draw and not shots):
                    continue
                name = f"shots-{data.name}-{reference.label}-{shots}-{draw}"
                made = shelf.get(name, lambda r=reference, s=shots, d=draw: reference_record(data, r, s, d))  # type: ignore[misc]
                found.setdefault(reference.label, {}).setdefault(shots, []).append(made)
            for entry in entries:
                # Without examples there is nothing to draw: one fit, on the other packs.
                if not shots and (draw or (not others and router_class(entry.router).needs_fit)):
                    continue
                say(f"{entry.label}, {shots} examples, draw {draw}")
                name = f"shots-{data.name}-{entry.label}-{shots}-{draw}"
                made = shelf.get(
                    name,
                    lambda e=entry, s=shots, d=draw: router_record(data, others, e, s, d, fits),  # type: ignore[misc]
                )
                found.setdefault(entry.label, {}).setdefault(shots, []).append(made)
    return found


def report(
    name: str,
    found: Mapping[str, Mapping[int, Sequence[Record]]],
    full: Mapping[str, Sequence[Record]] | None = None,
) -> dict[str, Any]:
    """Returns the table and the curve of one pack.

    Args:
        name: Of the pack.
        found: What `collect` returned.
        full: Records of part `full` by label, for the column of all examples.
    """
    rows: list[dict[str, Cell]] = []
    curves: dict[str, list[tuple[float, Figure]]] = {}
    for label, by_shots in found.items():
        row: dict[str, Cell] = {"router": label}
        for shots in SHOTS:
            row[f"{shots} examples"] = over_draws(by_shots[shots], "hit") if shots in by_shots else ""
        if full and label in full:
            row["all"] = over_draws(full[label], "hit")
        elif full:
            row["all"] = ""
        points = [(float(shots), over_draws(by_shots[shots], "hit")) for shots in SHOTS if shots in by_shots]
        if len(points) > 1:
            curves[label] = points
        rows.append(row)
    drawn = plot(f"{name}: hit by examples an agent", "examples an agent", "hit on test", curves)
    return {
        "name": name,
        "tables": [table(f"{name}: hit by examples an agent (replayed)", rows, note=NOTE)],
        "plots": [drawn],
        "bars": [],
    }
