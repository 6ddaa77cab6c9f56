"""Suite ``paths``: both recipes of `amro_s` against the simple baselines, curve against curve.

On a pack with recorded texts a path of agents that vote is replayed exactly: each layer adds one recorded
answer, and the weighted vote over the answers of those that ran is what a live run would return.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentnet.bench.files import write_json
from agentnet.bench.protocol import Entry, Lab
from agentnet.bench.suites.common import finish, header, load_recorded, make_lab, pack_folders, pack_head
from agentnet.bench.suites.compared import RULES, comparisons, print_comparisons
from agentnet.bench.suites.entries import entries_of as chosen_entries
from agentnet.bench.suites.paths_report import write_report
from agentnet.bench.suites.routing import ROUTERS, measure
from agentnet.bench.suites.routing_report import print_table
from agentnet.bench.suites.routing_table import make_part
from agentnet.errors import DataError
from agentnet.outcomes.table import Outcomes

if TYPE_CHECKING:
    from rich.console import Console

OURS = (
    Entry("amro_s", "amro_s", {"recipe": "agentnet", "mode": "greedy"}),
    Entry("amro_s of three", "amro_s", {"recipe": "agentnet", "mode": "greedy", "layers": 3}),
    Entry("amro_s sampled", "amro_s", {"recipe": "agentnet", "mode": "sample"}, randomised=True),
    Entry("amro_s paper", "amro_s", {"recipe": "paper", "join": "vote", "mode": "sample"}, randomised=True),
    # Greedy, but its warm start draws paths.
    Entry(
        "amro_s paper greedy",
        "amro_s",
        {"recipe": "paper", "join": "vote", "mode": "greedy"},
        randomised=True,
    ),
)
"""Recipe ``paper`` joins by vote here: a chain, in which agents read each other, cannot be replayed.

``of three`` entries ask at most three agents, as the fixed-length path does.
"""
SHORT_CASCADE = Entry("cascade of three", "cascade", {"stages": 2})
"""The default cascade may ask a fourth agent where three disagree; this one has no such stage."""
ENTRIES = (*(Entry.of(name) for name in ROUTERS), SHORT_CASCADE, *OURS)
RIVALS = ("cascade", "knn", "kmeans", SHORT_CASCADE.label)
"""Curves with which ours are compared."""


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
    simulated: bool = True,
) -> dict[str, Any]:
    """Runs the suite; see `agentnet.bench.suites.run_suite`.

    The simulated part is run with the whole suite only, not where ``routers`` picks entries.
    """
    entries = entries_of(routers)
    folders = pack_folders(data)
    lab = make_lab(encoder, cache)
    results = header("paths", command=command, seeds=seeds, encoder=encoder) | {
        "entries": [
            {"label": e.label, "router": e.router, "settings": dict(e.settings or {})} for e in entries
        ],
        "rules": RULES,
        "simulated": None,
    }
    for folder in folders:
        outcomes = load_recorded(folder)
        if outcomes.response is None:
            raise DataError(f"{folder} holds no recorded texts, so paths cannot be replayed on it.")
        pack = pack_head(folder, outcomes)
        results["packs"].append(pack)
        for part in run_pack(folder.name, outcomes, entries, seeds, lab, progress):
            pack["parts"].append(part)
            # After each part: an hour of work is not lost with the next one.
            write_json(out / "results.json", results)
    if simulated and routers is None:
        results["simulated"] = run_simulated(seeds, progress)
        write_json(out / "results.json", results)
    write_report(results, out / "report.html")
    finish(results, out, console, _show)
    return results


def _show(pack: str, part: Mapping[str, Any], console: Console) -> None:
    print_table(pack, part, console)
    print_comparisons(part, console)


def entries_of(names: Sequence[str] | None) -> list[Entry]:
    """Returns the entries wanted: a label, a router with all its entries, or any other router.

    >>> [entry.label for entry in entries_of(["knn", "amro_s paper"])]
    ['knn', 'amro_s paper']
    """
    return chosen_entries(names or None, ENTRIES)


def run_pack(
    name: str, outcomes: Outcomes, entries: Sequence[Entry], seeds: int, lab: Lab, progress: Console | None
) -> Iterator[dict[str, Any]]:
    """All entries on one pack: on its own test split and, where that is small, cross-fitted."""
    ours = [entry.label for entry in entries if entry in OURS]
    for part, runs, rows in measure(name, outcomes, entries, seeds, lab, progress):
        yield make_part(part, runs, rows) | {"comparisons": comparisons(runs, ours, RIVALS)}


def run_simulated(seeds: int, progress: Console | None, *, queries: int = 20_000) -> dict[str, Any]:
    """Returns the simulated part, which is never mixed with what was replayed.

    Args:
        seeds: Worlds, each with a stream of its own.
        progress: Where it is said what is being done; None says nothing.
        queries: Queries a stream.
    """
    from agentnet.bench.stream import ablations

    def say(text: str) -> None:
        if progress is not None:
            progress.print(f"simulated: {text}", highlight=False)

    return ablations.run(seeds, say, queries=queries)
