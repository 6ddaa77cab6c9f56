"""Suite ``onboarding``: agents not there in training join the pool with a few probes (*replayed*)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentnet.bench.files import write_json
from agentnet.bench.protocol import Entry, Lab, compact
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
from agentnet.bench.suites.entries import NEURAL, entries_of, registered
from agentnet.bench.suites.onboarding_measure import measure
from agentnet.bench.suites.onboarding_report import print_table, write_report
from agentnet.bench.suites.onboarding_table import make_part, make_router, no_probes
from agentnet.errors import DataError, InvalidInput
from agentnet.outcomes.table import Outcomes

if TYPE_CHECKING:
    from rich.console import Console

KNOWN = (Entry.of("knn"), Entry.of("kmeans"), *NEURAL)
DEFAULT = ("knn", "kmeans", "collective", "graph_router")
"""Routers of a run that names none, as far as this version has them."""


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
    counted_by: str | None = None,
) -> dict[str, Any]:
    """Runs the suite; see `agentnet.bench.suites.run_suite`."""
    check_rows(rows)
    entries = entries_of(routers or None, registered(KNOWN))
    if not routers:
        entries = [entry for entry in entries if entry.label in DEFAULT]
    if any(entry.router == "oracle" for entry in entries):
        raise InvalidInput(
            "the oracle reads the evaluated outcomes: nothing can be left out of its training."
        )
    counting = entries_of([counted_by], registered(KNOWN))[0] if counted_by else None
    folders = pack_folders(data)
    lab = make_lab(encoder, cache)
    results = header("onboarding", command=command, seeds=seeds, encoder=encoder) | {"counted_by": counted_by}
    for folder in folders:
        outcomes = load_recorded(folder)
        if len(outcomes.pool) < 3:
            raise DataError(f"{folder} has {len(outcomes.pool)} agents; leaving one out needs three.")
        pack = pack_head(folder, outcomes)
        results["packs"].append(pack)
        crossed = crossed_of(rows, check_test_rows(folder.name, outcomes))
        with progress_of(progress, folder.name) as say:
            for each in crossed:
                pack["parts"].append(
                    run_part(
                        replace(lab, progress=say),
                        outcomes,
                        entries,
                        seeds,
                        crossed=each,
                        counted_by=counting,
                    )
                )
                write_json(out / "results.json", results)
    write_report(results, out / "report.html")
    finish(results, out, console, print_table)
    return results


def run_part(
    lab: Lab,
    outcomes: Outcomes,
    entries: Sequence[Entry],
    seeds: int,
    *,
    crossed: bool,
    counted_by: Entry | None = None,
) -> dict[str, Any]:
    """All routers on one set of rows: the test split, or all rows cross-fitted; see `measure`."""
    outcomes = compact(outcomes)
    lab.encode(outcomes)
    given = counted_by is not None and not crossed
    routers = [
        no_probes(*found) if isinstance(found, tuple) else make_router(found, given=given)
        for found in measure(lab, entries, outcomes, seeds, crossed=crossed, counted_by=counted_by)
    ]
    n = len(outcomes) if crossed else int((outcomes.queries.split == "test").sum())
    return make_part("cross-fitted" if crossed else "test", n, routers, given=given)
