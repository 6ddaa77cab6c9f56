"""Suite ``intents``: routing utterances to the agents they are for, on label packs.

All parts but ``live`` are *replayed*: the right agents are recorded labels. Fits and figures are kept under
the results folder, so that a run that was cut off goes on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentnet.bench.files import write_json
from agentnet.bench.intents import published
from agentnet.bench.intents.data import Labels, label_folders, load_labels
from agentnet.bench.intents.fits import Fits, Shelf
from agentnet.bench.intents.measures import FALSE_ALARMS
from agentnet.bench.protocol import Entry, Progress
from agentnet.bench.suites import intents_ambiguity, intents_full, intents_shots, intents_unseen
from agentnet.bench.suites.common import header, make_lab, progress_of
from agentnet.bench.suites.entries import entries_of, registered
from agentnet.bench.suites.intents_report import print_tables, write_report
from agentnet.errors import InvalidInput

if TYPE_CHECKING:
    from rich.console import Console

REPLAYED = ("full", "unseen", "ambiguity", "shots")
PARTS = (*REPLAYED, "live")
ENTRIES = (
    Entry("tcar", "tcar", {"mode": "fast", "false_alarms": FALSE_ALARMS}, randomised=True),
    Entry.of("knn"),
    Entry.of("kmeans"),
    Entry.of("best_single"),
    Entry.of("random"),
)
LEARNING = frozenset({"best_single", "random"})
"""Routers that look at no text: parts about examples leave them out."""


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
    parts: Sequence[str] | None = None,
    traces: str | None = None,
    model: Path | None = None,
) -> dict[str, Any]:
    """Runs the suite; see `agentnet.bench.suites.run_suite`.

    What was fitted and measured is kept in ``out/fits`` and ``out/figures`` and not made again: after a
    change of a router or of the encoder give another ``out``.

    Args:
        data: Label packs, or folders of them.
        routers: Names; None takes `ENTRIES`. The plain references always take part.
        seeds: Of the random routers, and draws of examples and of agents left out.
        out: Folder for the results.
        command: The command to write into the results.
        console: Where tables go.
        progress: Where it is said what is being done.
        encoder: Text encoder of all routers and references.
        cache: Folder in which encodings are kept.
        parts: Some of `PARTS`; None takes the replayed ones, and ``live`` where there is a folder for it.
        traces: Folder of the recordings of the live part.
        model: The embedded model's GGUF file.

    Raises:
        DataError: a folder holds no label pack.
        InvalidInput: there is no such part, or what it needs is missing.
        UnknownRouter: there is no such router.
    """
    wanted = parts_wanted(parts, packs=bool(data), live=traces is not None)
    entries = entries_of(routers, registered(ENTRIES))
    folders = label_folders(data)
    lab = make_lab(encoder, cache)
    packs = [load_labels(folder, lab) for folder in folders]
    suite = _Suite(packs, entries, seeds, Shelf(out / "figures"), Fits(out / "fits", lab))
    results = header("intents", command=command, seeds=seeds, encoder=encoder)
    results |= {"kind": "one for each part", "packs": [_head(pack) for pack in packs]} | _before(
        out / "results.json"
    )

    def keep(part: str, block: dict[str, Any]) -> None:
        blocks = {item["name"]: item for item in results["parts"].get(part, ())}
        results["parts"][part] = list((blocks | {block["name"]: block}).values())
        results["parts"]["others"] = [published.report()]
        results["commands"][part] = command
        write_json(out / "results.json", results)
        write_report(results, out / "report.html")

    if "live" in wanted:
        from agentnet.bench.suites import intents_live

        assert traces is not None  # `parts_wanted` says so
        with progress_of(progress, "live") as say:
            keep("live", intents_live.report(Path(traces), model, say))
    for part in wanted:
        if part == "live":
            continue
        with progress_of(progress, part) as say:
            suite.run(part, say, keep)
    if console is not None:
        print_tables(results, console)
        console.print(f"results: {out / 'results.json'}\nreport:  {out / 'report.html'}", highlight=False)
    return results


def parts_wanted(parts: Sequence[str] | None, *, packs: bool, live: bool) -> tuple[str, ...]:
    """Returns the parts to run, in their order.

    Args:
        parts: Those that were asked for; None takes what there is something for.
        packs: Whether there are packs.
        live: Whether there is a folder of recordings.

    Raises:
        InvalidInput: there is no such part, or what it needs is missing.

    >>> parts_wanted(["shots", "full"], packs=True, live=False)
    ('full', 'shots')
    """
    has = {part: live if part == "live" else packs for part in PARTS}
    if parts is None:
        found = tuple(part for part in PARTS if has[part])
        if not found:
            raise InvalidInput("there is nothing to run: give a pack with --data, or recordings.")
        return found
    if unknown := [part for part in parts if part not in PARTS]:
        raise InvalidInput(f"no part {unknown[0]!r}; there are: {', '.join(PARTS)}.")
    if lacking := [part for part in parts if not has[part]]:
        what = "the folder of its recordings (--traces)" if lacking[0] == "live" else "a pack (--data)"
        raise InvalidInput(f"part {lacking[0]!r} needs {what}.")
    return tuple(part for part in PARTS if part in parts)


def _head(pack: Labels) -> dict[str, Any]:
    """What a pack holds."""
    return {
        "name": pack.name,
        "agents": len(pack.names),
        "rows": {split: len(pack.rows(split, inside=True)) for split in ("train", "val", "test")},
        "out of scope": {split: len(pack.rows(split, inside=False)) for split in ("train", "val", "test")},
    }


def _before(path: Path) -> dict[str, Any]:
    """Parts that an earlier call left in the same folder, and their commands."""
    if not path.is_file():
        return {"parts": {}, "commands": {}}
    found = json.loads(path.read_text(encoding="utf-8"))
    return {key: found.get(key, {}) for key in ("parts", "commands")}


class _Suite:
    """Runs the parts on all packs; first seeds of all packs come first."""

    def __init__(
        self, packs: Sequence[Labels], entries: Sequence[Entry], seeds: int, shelf: Shelf, fits: Fits
    ) -> None:
        self._packs, self._entries, self._seeds = packs, entries, seeds
        self._shelf, self._fits = shelf, fits

    def run(self, part: str, say: Progress, keep: Callable[[str, dict[str, Any]], None]) -> None:
        """Runs a part with more and more seeds, and keeps its report after every pack."""
        for count in range(1, self._seeds + 1):
            for pack in self._packs:
                keep(part, self._one(part, pack, count, self._told(say, pack, count)))

    def _told(self, say: Progress, pack: Labels, count: int) -> Progress:
        return lambda text: say(f"{pack.name}, {text} ({count} of {self._seeds})")

    def _one(self, part: str, pack: Labels, count: int, say: Progress) -> dict[str, Any]:
        shelf, fits = self._shelf, self._fits
        texts = [entry for entry in self._entries if entry.router not in LEARNING]
        if part == "full":
            found = intents_full.collect(pack, self._entries, range(count), shelf, fits, say)
            return intents_full.report(pack.name, found)
        if part == "unseen":
            unseen = intents_unseen.collect(pack, texts, count, shelf, fits, say)
            return intents_unseen.report(pack.name, unseen)
        if part == "ambiguity":
            ambiguous = intents_ambiguity.collect(pack, texts, range(count), shelf, fits, say)
            return intents_ambiguity.report(pack.name, ambiguous)
        others = [other for other in self._packs if other is not pack]
        shots = intents_shots.collect(pack, others, texts, count, shelf, fits, say)
        return intents_shots.report(pack.name, shots, self._full(pack, texts))

    def _full(self, pack: Labels, entries: Sequence[Entry]) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """What part `full` has measured so far."""
        return intents_full.kept(pack, entries, self._seeds, self._shelf)
