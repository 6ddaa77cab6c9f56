"""Suite ``routing``: every router against strong simple baselines on recorded outcomes (*replayed*)."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentnet.bench.evaluate import SCHEMA_VERSION
from agentnet.bench.files import write_json
from agentnet.bench.protocol import Entry, Lab, Progress, RouterRun, compact, seeds_for
from agentnet.bench.suites.routing_report import print_table, write_report
from agentnet.bench.suites.routing_table import make_part
from agentnet.errors import DataError
from agentnet.outcomes.encoders import CachedEncoder, make_encoder
from agentnet.outcomes.packs import load_outcomes
from agentnet.outcomes.table import Outcomes
from agentnet.routers.registry import router_class

if TYPE_CHECKING:
    from rich.console import Console

ROUTERS = ("random", "cheapest", "best_single", "knn", "kmeans", "task_best", "cascade", "vote", "oracle")
SMALL = 500
"""Packs with fewer test queries are also reported cross-fitted over all queries."""


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
) -> dict[str, Any]:
    """Runs the suite; see `agentnet.bench.suites.run_suite`."""
    names = tuple(dict.fromkeys(routers or ROUTERS))
    for name in names:
        router_class(name)  # a wrong name is said before hours of work
    folders = pack_folders(data)
    plain = make_encoder(encoder)
    lab = Lab(CachedEncoder(plain, cache), plain)
    results: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "suite": "routing",
        "kind": "replayed",
        "command": command,
        "seeds": seeds,
        "encoder": encoder,
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "packs": [],
    }
    for folder in folders:
        outcomes = load_outcomes(folder)
        if outcomes.kind == "label":
            raise DataError(f"{folder} holds labels, not outcomes; evaluate it with `agentnet evaluate`.")
        results["packs"].append(run_pack(folder.name, outcomes, names, seeds, lab, progress))
        # After each pack: hours of work are not lost with the last one.
        write_json(out / "results.json", results)
    write_report(results, out / "report.html")
    if console:
        for pack in results["packs"]:
            for part in pack["parts"]:
                print_table(pack["name"], part, console)
        console.print(f"results: {out / 'results.json'}\nreport:  {out / 'report.html'}", highlight=False)
    return results


def pack_folders(data: Sequence[str]) -> list[Path]:
    """Returns the folders of the packs: each given folder, or those in it that hold outcomes.

    Raises:
        DataError: a folder holds no pack with outcomes.
    """
    found: list[Path] = []
    for item in data:
        root = Path(item)
        inner = sorted(path.parent for path in root.glob("*/outcomes.parquet"))
        if (root / "queries.parquet").exists():
            found.append(root)
        elif inner:
            found += inner
        else:
            raise DataError(
                f"{root} holds no data pack (a folder with queries.parquet and outcomes.parquet)."
            )
    return found


def run_pack(
    name: str, outcomes: Outcomes, routers: Sequence[str], seeds: int, lab: Lab, progress: Console | None
) -> dict[str, Any]:
    """All routers on one pack: on its own test split and, where that is small, cross-fitted."""
    measured = measure(name, outcomes, [Entry.of(router) for router in routers], seeds, lab, progress)
    return {
        "name": name,
        "n": len(outcomes),
        "agents": list(outcomes.agents),
        "parts": [make_part(part, runs, rows) for part, runs, rows in measured],
    }


def measure(
    name: str, outcomes: Outcomes, entries: Sequence[Entry], seeds: int, lab: Lab, progress: Console | None
) -> Iterator[tuple[str, dict[str, list[RouterRun]], Outcomes]]:
    """Yields, per set of rows, its name, the runs by entry and the rows, as soon as they are there."""
    outcomes = compact(outcomes)
    n_test = int((outcomes.queries.split == "test").sum())
    if not n_test:
        raise DataError(f"{name} has no rows in split 'test'.")
    parts = {"test": False} | ({"cross-fitted": True} if n_test < SMALL else {})
    with _progress(progress, name) as say:
        lab = replace(lab, progress=say)
        say("encoding")
        # All texts at once: batches of like length are far faster than each router's own.
        lab.encode(outcomes)
        for part, crossed in parts.items():
            fit = lab.cross_fitted if crossed else lab.run
            runs = {entry.label: fit(entry, outcomes, seeds=seeds_for(entry, seeds)) for entry in entries}
            yield part, runs, outcomes if crossed else outcomes.split("test")


@contextmanager
def _progress(console: Console | None, name: str) -> Iterator[Progress]:
    """Shows what is being done: live on a terminal, a line per step elsewhere."""
    if console is None:
        yield lambda text: None
    elif console.is_terminal:
        with console.status(name) as status:
            yield lambda text: status.update(f"{name}: {text}")
    else:
        yield lambda text: console.print(f"{name}: {text}", highlight=False)
