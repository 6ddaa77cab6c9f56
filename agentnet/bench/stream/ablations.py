"""`run`: the ablations that AMRO-S does not publish, as tables. Everything here is *simulated*."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agentnet.bench.stream import drift, tables
from agentnet.bench.stream.tables import Bench
from agentnet.errors import InvalidInput

Progress = Callable[[str], None]


def run(seeds: int = 5, progress: Progress | None = None, *, queries: int = 20_000) -> dict[str, Any]:
    """Serves simulated streams under every setup and returns the tables as JSON values.

    Args:
        seeds: Worlds, each with a stream of its own.
        progress: Is told what is being done.
        queries: Queries a stream.

    Returns:
        ``kind`` ("simulated"), ``seeds``, ``queries``, ``tables`` (title, note, columns, rows) and ``plots``
        (title, x_label, y_label, series of name and points).
    """
    if seeds < 1 or queries < 2000:
        raise InvalidInput(f"at least 1 seed and 2000 queries are needed; got {seeds!r} and {queries!r}.")
    bench = Bench(range(seeds), queries, progress or (lambda _: None))
    made: list[dict[str, Any]] = [
        tables.worlds(bench),
        tables.specialists(bench),
        tables.more_worlds(bench),
        tables.conflicts(bench),
        tables.gate(bench),
        tables.heuristic(bench),
        tables.judges(bench),
    ]
    plots = [tables.learning_curves(bench)]
    recovered, curves = drift.tables(bench)
    return {
        "kind": "simulated",
        "seeds": seeds,
        "queries": queries,
        "tables": [_labelled(table) for table in (*made, *recovered)],
        "plots": [_labelled(plot) for plot in (*plots, *curves)],
    }


def _labelled(part: dict[str, Any]) -> dict[str, Any]:
    return part | {"title": f"{part['title']} (simulated)"}
