"""The simulated part of suite ``topology``: societies in which the best topology is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from agentnet.bench.suites.topology_figures import Cell, Figure, plot, table
from agentnet.bench.suites.topology_plan import (
    ADVERSARIES,
    CHANGES,
    COMPLETE,
    EPOCHS,
    MAIN,
    OURS,
    PAPER,
    REFITS,
    ROLLOUTS,
    STEPS,
    Size,
    ablation,
    epochs_entry,
    plan,
    steps_entry,
)
from agentnet.bench.suites.topology_worlds import BEST, ONE_GRAPH, TASKS, Sheet, Shelf, World

NOTE = (
    "Simulated: no model answers here, agents and their messages are a documented random model in which the "
    f"best topology is known. {TASKS:,} tasks a society: 600 train, 200 val, 200 test. Figures are of the "
    "test tasks, with expected scores; value is accuracy minus the society's price of the tokens. Means and "
    "95% bootstrap intervals are over societies, differences are paired; of five societies or fewer an "
    "interval is narrower than it should be. One fit a society (seed 0). "
    f"The learned rivals get {ROLLOUTS} graphs a task and step and the society's price (their papers: 1, and "
    "no price)."
)
ENOUGH = 0.9
"""Share of the complete graph's tokens that is to be saved where the best topology saves it."""
Sheets = Mapping[tuple[World, str, str], Sheet]


def run(shelf: Shelf, size: Size, say: Callable[[str], None], *, tasks: int = TASKS) -> dict[str, Any]:
    """Runs all jobs that were not run yet, and returns tables and plots; nothing else goes into them."""
    sheets: list[Sheet] = []
    jobs = plan(size)
    for number, job in enumerate(jobs, 1):
        say(f"{number} of {len(jobs)}: {job.entry.label} in {job.world.key}")
        sheets += shelf.run(job, tasks)
    return report(sheets, size)


def report(sheets: Iterable[Sheet], size: Size) -> dict[str, Any]:
    """Returns the part of the results: tables, plots, and figures per task."""
    kept = list(sheets)
    by: Sheets = {(sheet.world, sheet.label, sheet.state): sheet for sheet in kept}
    mixed = [World(seed=seed) for seed in size.seeds(size.societies)]
    no_pruning = [World(seed=seed, kind="no_pruning") for seed in size.seeds(size.no_pruning)]
    tables = [
        compared(
            by, mixed, [BEST, *(e.label for e in reversed(MAIN)), f"{OURS.label}, {ONE_GRAPH}"], "Societies"
        ),
        savings(by, mixed),
        compared(by, no_pruning, [BEST, OURS.label, PAPER.label, COMPLETE.label], "Nothing to prune"),
        adversaries(by, size),
        adaptivity(by, size),
        recovery(by, size),
        against_ours(by, mixed),
    ]
    plots = [curve(by, mixed)]
    return {
        "kind": "simulated",
        "note": NOTE,
        "size": {name: getattr(size, name) for name in size.__dataclass_fields__},
        "tables": [made for made in tables if made["rows"]],
        "plots": [made for made in plots if made["series"]],
        "per_query": [
            {
                "world": sheet.world.key,
                "label": sheet.label,
                "state": sheet.state,
                "score": list(sheet.score),
                "tokens": list(sheet.tokens),
            }
            for sheet in kept
        ],
    }


def found(by: Sheets, worlds: Sequence[World], label: str, state: str = "") -> list[Sheet]:
    """The sheets of one way to choose in the worlds in which it was run."""
    return [by[world, label, state] for world in worlds if (world, label, state) in by]


def gaps(ours: Sequence[Sheet], by: Sheets, rival: str, what: str) -> Figure | str:
    """Paired difference to a rival over the societies that both were run in; empty where there are none."""
    pairs = [(one, by.get((one.world, rival, one.state))) for one in ours]
    values = [one.mean(what) - other.mean(what) for one, other in pairs if other is not None]
    return Figure.of(values) if values else ""


def compared(by: Sheets, worlds: Sequence[World], labels: Sequence[str], title: str) -> dict[str, Any]:
    """All entries in some societies, against the best topology and the complete graph."""
    rows: list[dict[str, Cell]] = []
    for label in labels:
        mine = found(by, worlds, label)
        if not mine:
            continue
        against = label != COMPLETE.label
        rows.append(
            {
                "router": label,
                "societies": len(mine),
                "value / best": Figure.of([sheet.ratio for sheet in mine]),
                "accuracy": Figure.of([sheet.mean("score") for sheet in mine]),
                "tokens": float(np.mean([sheet.mean("tokens") for sheet in mine])),
                "saved of complete": saved(mine, by),
                "agents": round(float(np.mean([sheet.mean("agents") for sheet in mine])), 2),
                "edges": round(float(np.mean([sheet.mean("edges") for sheet in mine])), 2),
                "value - complete": gaps(mine, by, COMPLETE.label, "value") if against else "",
                "accuracy - complete": gaps(mine, by, COMPLETE.label, "score") if against else "",
                "value - best": gaps(mine, by, BEST, "value") if label != BEST else "",
                "seconds a fit": round(float(np.mean([sheet.seconds for sheet in mine])), 1),
            }
        )
    signed = ("value - complete", "accuracy - complete", "value - best")
    return table(f"{title} (simulated)", rows, signed=signed)


def saved(mine: Sequence[Sheet], by: Sheets) -> str:
    """Mean share of the complete graph's tokens that is saved."""
    pairs = [(one, by.get((one.world, COMPLETE.label, one.state))) for one in mine]
    shares = [1 - one.mean("tokens") / other.mean("tokens") for one, other in pairs if other is not None]
    return f"{np.mean(shares):.1%}" if shares else ""


def savings(by: Sheets, worlds: Sequence[World]) -> dict[str, Any]:
    """In how many societies nearly all tokens are saved at no lower accuracy, where the best saves them."""
    complete = {sheet.world: sheet for sheet in found(by, worlds, COMPLETE.label)}

    def saves(sheet: Sheet) -> bool:
        whole = complete[sheet.world]
        return sheet.mean("tokens") <= (1 - ENOUGH) * whole.mean("tokens") and sheet.mean("score") >= (
            whole.mean("score")
        )

    can = {s.world for s in found(by, worlds, BEST) if s.world in complete and saves(s)}
    rows: list[dict[str, Cell]] = []
    for label in (OURS.label, PAPER.label):
        mine = [sheet for sheet in found(by, worlds, label) if sheet.world in can]
        if mine:
            rows.append({"router": label, "societies": len(mine), "done in": sum(map(saves, mine))})
    note = (
        f"Societies in which the best topology takes at most {1 - ENOUGH:.0%} of the complete graph's tokens "
        "at no lower accuracy, and in how many of these a router does the same."
    )
    return table("Nearly all tokens saved (simulated)", rows, note=note)


def adversaries(by: Sheets, size: Size) -> dict[str, Any]:
    """Accuracy with so many adversaries of nine, against the same society without."""
    rows: list[dict[str, Cell]] = []
    for count in ADVERSARIES:
        for label in (OURS.label, PAPER.label, COMPLETE.label, BEST):
            pairs = []
            for seed in size.seeds(size.adversaries):
                world = World(seed=seed, kind="adversarial", adversaries=count)
                clean = World(seed=seed, kind="adversarial", adversaries=0)
                both = by.get((world, label, "")), by.get((clean, label, ""))
                if both[0] is not None and both[1] is not None:
                    pairs.append((both[0], both[1]))
            if pairs:
                drop = [100 * (b.mean("score") - a.mean("score")) for a, b in pairs]
                rows.append(
                    {
                        "adversaries": count,
                        "router": label,
                        "societies": len(pairs),
                        "accuracy": Figure.of([a.mean("score") for a, _ in pairs]),
                        "points lost": Figure.of(drop) if count else "",
                        "value / best": Figure.of([a.ratio for a, _ in pairs]),
                    }
                )
    note = "Points lost: accuracy (in %) without adversaries minus with them, in the same societies."
    return table("Adversaries among nine agents (simulated)", rows, note=note, signed=("points lost",))


def adaptivity(by: Sheets, size: Size) -> dict[str, Any]:
    """What choosing a graph per task gains over the best one of the same graphs for all tasks."""
    rows: list[dict[str, Cell]] = []
    for shuffled in (False, True):
        worlds = [World(seed=seed, shuffled=shuffled) for seed in size.seeds(size.shuffled)]
        mine = found(by, worlds, OURS.label)
        if mine:
            gain = gaps(mine, by, f"{OURS.label}, {ONE_GRAPH}", "value")
            rows.append(
                {
                    "texts": "shuffled" if shuffled else "as they are",
                    "societies": len(mine),
                    "value": Figure.of([sheet.mean("value") for sheet in mine]),
                    "gain over one graph": gain,
                    "interval": gain.verdict if isinstance(gain, Figure) else "",
                }
            )
    note = (
        "Value of a graph per task minus that of one graph for all tasks: the best on the training tasks, as "
        "the society judges it, of those that the router decides. Where texts tell nothing the gain must go."
    )
    signed = ("gain over one graph",)
    return table("Does it read the task? (simulated)", rows, note=note, signed=signed)


def recovery(by: Sheets, size: Size) -> dict[str, Any]:
    """Before and after the agent that was kept most turns bad."""
    rows: list[dict[str, Cell]] = []
    worlds = [World(seed=seed) for seed in size.seeds(size.turned)]
    for state in ("", "right after", *(f"refitted on {count}" for count in REFITS)):
        mine = found(by, worlds, OURS.label, state)
        if not mine or not found(by, worlds, OURS.label, "right after"):
            continue
        rows.append(
            {
                "state": state or "before",
                "societies": len(mine),
                "accuracy": Figure.of([sheet.mean("score") for sheet in mine]),
                "value / best of the state": Figure.of([sheet.ratio for sheet in mine]),
                "best's accuracy": Figure.of(
                    [s.mean("score") for s in found(by, worlds, BEST, state and "right after")]
                ),
            }
        )
    note = (
        "The agent that agp keeps most often turns bad: its evidence speaks against the truth from then on. "
        "Refitted: a new fit on so many tasks of the new state, train and val together."
    )
    return table("An agent turns bad (simulated)", rows, note=note)


def against_ours(by: Sheets, worlds: Sequence[World]) -> dict[str, Any]:
    """Each ablation against the whole recipe in the same societies."""
    rows: list[dict[str, Cell]] = []
    for name in CHANGES:
        mine = found(by, worlds, ablation(name).label)
        if mine:
            rows.append(
                {
                    "changed": name,
                    "societies": len(mine),
                    "value / best": Figure.of([sheet.ratio for sheet in mine]),
                    "value - agp": gaps(mine, by, OURS.label, "value"),
                    "accuracy - agp": gaps(mine, by, OURS.label, "score"),
                    "tokens": float(np.mean([sheet.mean("tokens") for sheet in mine])),
                }
            )
    return table("Ablations of agp (simulated)", rows, signed=("value - agp", "accuracy - agp"))


def curve(by: Sheets, worlds: Sequence[World]) -> dict[str, Any]:
    """Value over the best topology's by steps of recipe ``paper`` and passes of recipe ``agentnet``."""
    series: dict[str, list[tuple[float, Figure]]] = {}
    none = ablation("no Stage II network").label
    every = [("agp paper, steps", steps, steps_entry(steps).label) for steps in STEPS]
    every += [("agp, passes", 0, none)]
    every += [("agp, passes", epochs, epochs_entry(epochs).label) for epochs in EPOCHS]
    every += [("agp, passes", 60, OURS.label)]
    # Only societies in which every number was run: the others would shift the mean.
    for name in ("agp paper, steps", "agp, passes"):
        points = [(x, label) for series_name, x, label in every if series_name == name]
        shared = [w for w in worlds if all((w, label, "") in by for _, label in points)]
        if shared:
            series[f"{name} ({len(shared)} societies)"] = [
                (float(x), Figure.of([s.ratio for s in found(by, shared, label)])) for x, label in points
            ]
    return plot("Learning curves (simulated)", "steps or passes", "value / best", series)
