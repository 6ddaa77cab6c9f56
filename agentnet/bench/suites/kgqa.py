"""Suite ``kgqa``: six agents on the embedded model answer multi-hop questions; routers choose among them.

The answers are *live*, recorded once as agentnet's own traces; the routers' decisions are *replayed* on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agentnet.bench.files import write_json
from agentnet.bench.kgqa.live import record_live
from agentnet.bench.kgqa.passages import BUDGET
from agentnet.bench.kgqa.pool import make_pool
from agentnet.bench.kgqa.record import load_items
from agentnet.bench.kgqa.tables import Tables, load_tables
from agentnet.bench.protocol import FOLDS, Entry, Lab, Progress
from agentnet.bench.suites.common import header, make_lab, pack_folders, progress_of
from agentnet.bench.suites.entries import entries_of, registered
from agentnet.bench.suites.kgqa_measure import fixed_lines, measure, per_query, table
from agentnet.bench.suites.kgqa_report import print_tables, write_report
from agentnet.errors import DataError, InvalidInput
from agentnet.graphs.knowledge import GraphCache, make_extractor
from agentnet.traces.store import TraceStore

if TYPE_CHECKING:
    from rich.console import Console

OURS = (
    Entry("agent_router", "agent_router", {"recipe": "agentnet"}, randomised=True),
    Entry("agent_router paper", "agent_router", {"recipe": "paper"}, randomised=True),
)
BASELINES = tuple(Entry.of(name) for name in ("best_single", "knn", "kmeans", "vote", "random", "oracle"))
ENTRIES = (*BASELINES, *OURS)
TAUS = (0.05, 0.1, 0.25, 0.5, 1.0)
SWITCHES: dict[str, dict[str, Any]] = {
    "(a) query and agents only": {"graph": "query_agent"},
    "(b) no relation nodes": {"graph": "no_relations"},
    "(c) hard target": {"target": "hard"},
    "(d) one agent": {"top_k": 1},
    "(e) equal weights in the vote": {"fusion": "uniform"},
    "(f) perceptron without graph": {"graph": "none"},
    **{f"(g) tau {tau:g}": {"tau": tau} for tau in TAUS},
}
"""What each ablation changes in a recipe."""
ABLATION_SEEDS = 2
"""Most seeds of an ablation: there are many of them, and a fit reads all passages."""
ABLATIONS = tuple(
    Entry(f"{entry.label} {name}", entry.router, {**(entry.settings or {}), **change}, randomised=True)
    for entry in OURS
    for name, change in SWITCHES.items()
)


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
    traces: str | None = None,
    record: bool = True,
    model: Path | None = None,
    ablations: bool = True,
) -> dict[str, Any]:
    """Runs the suite; see `agentnet.bench.suites.run_suite`.

    Args:
        data: One pack of questions with passages and gold answers.
        routers: Names or labels; None takes all, with the ablations.
        seeds: Seeds per randomised router.
        out: Folder for the results.
        command: The command to write into the results.
        console: Where tables go.
        progress: Where it is said what is being done.
        encoder: Text encoder of all routers.
        cache: Folder in which encodings are kept.
        traces: URL of the database of recorded runs; None keeps it in ``out``.
        record: Whether to ask what is not recorded yet; else only what is there is used.
        model: The embedded model's GGUF file; None looks for it.
        ablations: Whether to run the ablations too; only without ``routers``.

    Raises:
        InvalidInput: more than one pack is given.
        DataError: nothing is recorded.
    """
    entries = entries_of(routers, registered((*ENTRIES, *ABLATIONS) if routers else ENTRIES))
    further = registered(ABLATIONS) if ablations and routers is None else ()
    folders = pack_folders(data)
    if len(folders) != 1:
        raise InvalidInput(f"suite 'kgqa' takes one pack; got {len(folders)}.")
    items = load_items(folders[0])
    out.mkdir(parents=True, exist_ok=True)
    url = traces or f"sqlite:///{out / 'traces.db'}"
    with progress_of(progress, folders[0].name) as say, TraceStore.open(url, create=record) as store:
        if record:
            made = record_live(
                store,
                items,
                model=model,
                progress=lambda done, total: say(f"asked {done:,} of {total:,} questions"),
            )
            say(f"{made:,} runs recorded now")
        tables = load_tables(store, make_pool(), items)
    if len(tables) < 2 * FOLDS:
        raise DataError(f"{len(tables)} recorded questions are too few for {FOLDS} folds.")
    results = header("kgqa", command=command, seeds=seeds, encoder=encoder) | facts(tables, folders[0].name)
    with progress_of(progress, folders[0].name) as say:
        _measure(make_lab(encoder, cache), tables, entries, further, seeds, results, out, say)
    write_report(results, out / "report.html")
    if console is not None:
        print_tables(results, console)
        console.print(f"results: {out / 'results.json'}\nreport:  {out / 'report.html'}", highlight=False)
    return results


def _measure(
    lab: Lab,
    tables: Tables,
    entries: Sequence[Entry],
    further: Sequence[Entry],
    seeds: int,
    results: dict[str, Any],
    out: Path,
    say: Progress,
) -> None:
    """Fits everything and writes the results after each entry: an hour of work is not lost with the next."""
    lab = replace(lab, progress=say)
    say("encoding")
    lab.encode(tables.f1)
    lines = fixed_lines(tables)
    graphs = GraphCache(make_extractor("rules"))
    for entry in (*entries, *further):
        times = min(seeds, ABLATION_SEEDS) if entry in ABLATIONS else seeds
        lines.append(measure(lab, tables, entry, times, graphs=graphs))
        rows = table(lines, tables)
        for row, line in zip(rows, lines, strict=True):
            row["per_query"] = per_query(line, tables)
        labels = {item.label for item in ABLATIONS}
        results["rows"] = [row for row in rows if row["label"] not in labels]
        results["ablations"] = [row for row in rows if row["label"] in labels]
        write_json(out / "results.json", results)


def facts(tables: Tables, name: str) -> dict[str, Any]:
    """Returns what is said of the recorded answers, before any router."""
    f1, em = tables.f1, tables.em
    assert f1.response is not None  # `load_tables` fills it
    labels, counts = np.unique(np.array(f1.queries.task), return_counts=True)
    return {
        "pack": name,
        "n": len(tables),
        "not_recorded": tables.missing,
        "datasets": {str(label): int(count) for label, count in zip(labels, counts, strict=True)},
        "passage_tokens": BUDGET,
        "agents": [
            {
                "agent": agent,
                "f1": float(f1.score[:, j].mean()),
                "em": float(em.score[:, j].mean()),
                "prompt_tokens": float(np.nanmean(f1.prompt_tokens[:, j])),
                "completion_tokens": float(np.nanmean(f1.completion_tokens[:, j])),
                "latency_s": float(np.nanmean(f1.latency_s[:, j])),
                "no_answer": float(np.mean(f1.response[:, j] == "")),
            }
            for j, agent in enumerate(f1.agents)
        ],
        "oracle": {"f1": float(f1.score.max(1).mean()), "em": float(em.score.max(1).mean())},
        "rows": [],
        "ablations": [],
    }
