"""Suite ``topology``: pruning agents and edges per task, on simulated, recorded and live agents.

The three parts are *simulated*, *replayed* and *live*; no table holds two of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentnet.bench.files import write_json
from agentnet.bench.suites import (
    topology_live,
    topology_live_tables,
    topology_replayed,
    topology_simulated,
)
from agentnet.bench.suites.common import header, load_recorded, make_lab, pack_folders, progress_of
from agentnet.bench.suites.entries import entries_of
from agentnet.bench.suites.topology_plan import Size
from agentnet.bench.suites.topology_report import print_tables, write_report
from agentnet.bench.suites.topology_worlds import Shelf
from agentnet.errors import InvalidInput

if TYPE_CHECKING:
    from rich.console import Console

PARTS = ("simulated", "replayed", "live")
ENTRIES = (*topology_replayed.OURS, *topology_replayed.RIVALS)


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
    parts: Sequence[str] | None = None,
    size: Size | None = None,
    traces: str | None = None,
    record: bool = True,
    model: Path | None = None,
) -> dict[str, Any]:
    """Runs the suite; see `agentnet.bench.suites.run_suite`.

    Simulated fits are kept in ``out/simulated``, a file each: a run that was cut off goes on. They tell
    nothing of the version that made them: after a change of a router give another ``out``.

    Args:
        data: Packs. Those with recorded texts are replayed; one without outcomes is the live part's.
        routers: Entries of the replayed part; None takes all.
        seeds: Of `agp`, replayed and live; a society is fitted once.
        out: Folder for the results.
        command: The command to write into the results.
        console: Where tables go.
        progress: Where it is said what is being done.
        encoder: Text encoder of the replayed and the live part.
        cache: Folder in which encodings are kept.
        simulated: Whether to run the simulated part where ``parts`` does not say.
        parts: Some of `PARTS`; None takes those for which there is something to run.
        size: How many societies.
        traces: Folder of the recordings of the live part.
        record: Whether live runs that are missing are made now.
        model: The embedded model's GGUF file.

    Raises:
        InvalidInput: there is no such part, or what a part needs is missing.
    """
    folders = pack_folders(data)
    recorded = [folder for folder in folders if (folder / "outcomes.parquet").exists()]
    pack = next((folder for folder in folders if folder not in recorded), None)
    wanted = parts_wanted(parts, simulated=simulated, recorded=bool(recorded), traces=traces)
    entries = entries_of(routers, ENTRIES)
    lab = make_lab(encoder, cache)
    results = header("topology", command=command, seeds=seeds, encoder=encoder)
    results |= {"kind": "one for each part", "simulated": None, "replayed": [], "live": None}

    def keep() -> None:
        write_json(out / "results.json", results)
        write_report(results, out / "report.html")

    if "replayed" in wanted:
        for folder in recorded:
            outcomes = load_recorded(folder)
            with progress_of(progress, f"replayed {folder.name}") as say:
                made = topology_replayed.run(folder.name, outcomes, entries, seeds, lab, say)
            results["replayed"].append(made)
            keep()
    if "simulated" in wanted:
        with progress_of(progress, "simulated") as say:
            shelf = Shelf(out / "simulated")
            results["simulated"] = topology_simulated.run(shelf, size or Size(), say)
        keep()
    if "live" in wanted:
        assert traces is not None  # `parts_wanted` says so

        def keep_live(lines: Sequence[topology_live.Line]) -> None:
            results["live"] = topology_live_tables.report(lines)
            keep()

        with progress_of(progress, "live") as say:
            topology_live.run(
                Path(traces), pack=pack, lab=lab, seeds=seeds, model=model, record=record, say=say,
                keep=keep_live,
            )  # fmt: skip
    if console is not None:
        print_tables(results, console)
        console.print(f"results: {out / 'results.json'}\nreport:  {out / 'report.html'}", highlight=False)
    return results


def parts_wanted(
    parts: Sequence[str] | None, *, simulated: bool, recorded: bool, traces: str | None
) -> tuple[str, ...]:
    """Returns the parts to run.

    Args:
        parts: Those that were asked for; None takes what there is something for.
        simulated: Whether the simulated part is one of them then.
        recorded: Whether there is a pack with outcomes.
        traces: Folder of recordings, or None.

    Raises:
        InvalidInput: there is no such part, or what a part needs is missing.

    >>> parts_wanted(None, simulated=True, recorded=True, traces=None)
    ('simulated', 'replayed')
    """
    has: Mapping[str, bool] = {"simulated": simulated, "replayed": recorded, "live": traces is not None}
    if parts is None:
        found = tuple(part for part in PARTS if has[part])
        if not found:
            raise InvalidInput("there is nothing to run: give a pack with --data, or recordings.")
        return found
    if unknown := [part for part in parts if part not in PARTS]:
        raise InvalidInput(f"no part {unknown[0]!r}; there are: {', '.join(PARTS)}.")
    if "replayed" in parts and not recorded:
        raise InvalidInput("part 'replayed' needs a pack with recorded texts (--data).")
    if "live" in parts and traces is None:
        raise InvalidInput("part 'live' needs the folder of its recordings (--traces).")
    return tuple(part for part in PARTS if part in parts)
