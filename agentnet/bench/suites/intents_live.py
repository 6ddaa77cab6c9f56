"""Part `live` of suite `intents`: answers of agents on the embedded model, joined by the refining agent."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agentnet.bench.intents.live import QUERIES, live_table, routed_sets, run_live
from agentnet.bench.intents.live_tasks import make_joined
from agentnet.bench.protocol import Progress

NOTE = (
    "Live runs on the embedded model, recorded once: {n} queries that join two requests of different kinds. "
    "Single: the better of the chosen agents' answers, picked by the score; concat: all of them one after "
    "the other; merger: what the merging model writes; refined: the same, with parts kept where it drops "
    "one. Intervals: 95% bootstrap over queries; differences are paired."
)
CHOICES = {"true pair": "agents: the true pair (live)", "tcar": "agents: chosen by tcar (live)"}


def report(
    folder: Path, model: Path | None, say: Progress, *, split: str = "test", count: int = QUERIES
) -> dict[str, Any]:
    """Runs what is not recorded in a folder yet; returns a table for each way of choosing the agents.

    Args:
        folder: Of the recorded runs.
        model: The embedded model's GGUF file; None looks for it.
        say: Told what is being done.
        split: ``train`` or ``test``.
        count: Joined queries.
    """
    items = make_joined(split, count)
    results: dict[str, dict[str, Any]] = {}
    for choice in CHOICES:
        sets = routed_sets(items) if choice == "tcar" else None
        results[choice] = run_live(folder, model=model, split=split, n=count, sets=sets, say=say)
    tables = [_table(CHOICES[choice], result) for choice, result in results.items()]
    return {"name": "embedded model", "tables": tables, "plots": [], "bars": [], "results": results}


def _table(title: str, result: Mapping[str, Any]) -> dict[str, Any]:
    columns, *rows = live_table(result)
    share = result["exact_sets"]
    note = f"{NOTE.format(n=result['queries'])} The chosen agents are exactly the right ones in {share:.0%}."
    return {"title": title, "note": note, "columns": columns, "rows": rows, "figures": []}
