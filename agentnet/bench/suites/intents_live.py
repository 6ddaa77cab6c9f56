"""Part `live` of suite `intents`: answers of agents on the embedded model, joined by the refining agent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agentnet.bench.intents.live import live_table, run_live
from agentnet.bench.protocol import Progress

NOTE = (
    "Live runs on the embedded model, recorded once: {n} queries that join two requests of different kinds. "
    "Single: the better of the chosen agents; concat: their answers one after the other; refined: what the "
    "refining agent makes of them. Intervals: 95% bootstrap over queries; differences are paired."
)


def report(folder: Path, model: Path | None, say: Progress) -> dict[str, Any]:
    """Runs what is not recorded in a folder yet; returns the table.

    Args:
        folder: Of the recorded runs.
        model: The embedded model's GGUF file; None looks for it.
        say: Told what is being done.
    """
    result = run_live(folder, model=model, say=say)
    columns, *rows = live_table(result)
    made = {
        "title": "refined, concatenated, single (live)",
        "note": NOTE.format(n=result["queries"]),
        "columns": columns,
        "rows": rows,
        "figures": [],
    }
    return {"name": "embedded model", "tables": [made], "plots": [], "bars": [], "result": result}
