"""Suite ``routing``: every router against strong simple baselines on recorded outcomes (*replayed*).

Where costs are known and our graph routers run, their curves are also compared with the baselines' at equal
cost.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentnet.bench.files import write_json
from agentnet.bench.protocol import Entry, Lab, RouterRun, compact, seeds_for
from agentnet.bench.suites.common import (
    Rows,
    check_rows,
    check_test_rows,
    crossed_of,
    finish,
    header,
    load_recorded,
    make_lab,
    pack_folders,
    pack_head,
    progress_of,
)
from agentnet.bench.suites.compared import RULES, comparisons, print_comparisons
from agentnet.bench.suites.entries import NEURAL, entries_of, registered
from agentnet.bench.suites.plain_vote import plain_vote
from agentnet.bench.suites.routing_report import print_table, write_report
from agentnet.bench.suites.routing_table import make_part
from agentnet.outcomes.table import Outcomes

if TYPE_CHECKING:
    from rich.console import Console

ROUTERS = ("random", "cheapest", "best_single", "knn", "kmeans", "task_best", "cascade", "vote", "oracle")
KNOWN = (*(Entry.of(name) for name in ROUTERS), *registered(NEURAL))
"""Entries of a run that names none: the baselines, and the graph routers this version has."""
RIVALS = ("cascade", "knn", "kmeans")
"""Curves with which those of the graph routers are compared."""


def run(
    *,
    data: Sequence[str],
    routers: Sequence[str] | None,
    seeds: int,
    out: Path,
    command: str,
    console: Console | None,
    progress: Console | None = None,
    encoder: str = "minilm",
    cache: Path | None = None,
    rows: Rows = "auto",
) -> dict[str, Any]:
    """Runs the suite; see `agentnet.bench.suites.run_suite`."""
    check_rows(rows)
    entries = entries_of(routers or None, KNOWN)
    folders = pack_folders(data)
    lab = make_lab(encoder, cache)
    results = header("routing", command=command, seeds=seeds, encoder=encoder) | {"rules": RULES}
    for folder in folders:
        outcomes = load_recorded(folder)
        pack = pack_head(folder, outcomes)
        results["packs"].append(pack)
        for part in run_pack(folder.name, outcomes, entries, seeds, lab, progress, rows):
            pack["parts"].append(part)
            # After each part: hours of work are not lost with the next one.
            write_json(out / "results.json", results)
    write_report(results, out / "report.html")
    finish(results, out, console, _show)
    return results


def _show(pack: str, part: Mapping[str, Any], console: Console) -> None:
    print_table(pack, part, console)
    if part["comparisons"]:
        print_comparisons(part, console)


def run_pack(
    name: str,
    outcomes: Outcomes,
    entries: Sequence[Entry],
    seeds: int,
    lab: Lab,
    progress: Console | None,
    rows: Rows = "auto",
) -> Iterator[dict[str, Any]]:
    """All entries on one pack: on its own test split and, where that is small, cross-fitted."""
    ours = [entry.label for entry in entries if entry in NEURAL]
    for part, runs, scored in measure(name, outcomes, entries, seeds, lab, progress, rows):
        yield make_part(part, runs, scored) | {
            "plain_vote": plain_vote(compact(outcomes), crossed=part != "test"),
            "comparisons": comparisons(runs, ours, RIVALS),
        }


def measure(
    name: str,
    outcomes: Outcomes,
    entries: Sequence[Entry],
    seeds: int,
    lab: Lab,
    progress: Console | None,
    rows: Rows = "auto",
) -> Iterator[tuple[str, dict[str, list[RouterRun]], Outcomes]]:
    """Yields, per set of rows, its name, the runs by entry and the rows, as soon as they are there."""
    outcomes = compact(outcomes)
    crossings = crossed_of(rows, check_test_rows(name, outcomes))
    with progress_of(progress, name) as say:
        lab = replace(lab, progress=say)
        say("encoding")
        # All texts at once: batches of like length are far faster than each router's own.
        lab.encode(outcomes)
        for crossed in crossings:
            part = "cross-fitted" if crossed else "test"
            fit = lab.cross_fitted if crossed else lab.run
            runs = {entry.label: fit(entry, outcomes, seeds=seeds_for(entry, seeds)) for entry in entries}
            yield part, runs, outcomes if crossed else outcomes.split("test")
