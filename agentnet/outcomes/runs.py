"""``runs.parquet``: logged runs of whole graphs beside a pack's outcomes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa

from agentnet.errors import DataError, GraphError
from agentnet.graphs.live import Step
from agentnet.graphs.task_graph import TaskGraph
from agentnet.outcomes.schema import Column, read_columns
from agentnet.outcomes.table import LoggedRun

RUN_COLUMNS = (
    Column("query_id", "text"),
    Column("graph", "text"),
    Column("score", "number", nullable=True, high=1.0),
    Column("steps", "text", required=False, nullable=True),
    Column("propensity", "number", required=False, nullable=True, high=1.0, open_low=True),
    Column("cost_usd", "number", required=False, nullable=True),
    Column("tokens", "number", required=False, nullable=True),
    Column("latency_s", "number", required=False, nullable=True),
    Column("router", "text", required=False, nullable=True),
)


def read_runs(file: Path, known: set[str]) -> tuple[LoggedRun, ...]:
    """Reads the runs of a pack; none where the file is missing.

    Args:
        file: ``runs.parquet``; ``graph`` and ``steps`` are JSON.
        known: The pack's query ids.

    Raises:
        DataError: a column or a graph is wrong, or a run names an unknown query.
    """
    if not file.is_file():
        return ()
    columns = {name: values.to_pylist() for name, values in read_columns(file, RUN_COLUMNS).items()}
    runs = []
    for row in range(len(columns["query_id"])):
        values: dict[str, Any] = {name: column[row] for name, column in columns.items()}
        if values["query_id"] not in known:
            raise DataError(f"{file}: query_id {values['query_id']!r} is not in queries.parquet.")
        try:
            values["graph"] = TaskGraph.from_dict(json.loads(values["graph"]))
            values["steps"] = tuple(_step(step) for step in json.loads(values.get("steps") or "[]"))
        except (GraphError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise DataError(f"{file}: row {row} has a graph or steps that cannot be read: {error}") from None
        if values.get("tokens") is not None:
            values["tokens"] = int(values["tokens"])
        runs.append(LoggedRun(**values))
    return tuple(runs)


def write_runs(runs: Sequence[LoggedRun]) -> Any:
    """Returns the runs as an Arrow table, the inverse of `read_runs`."""
    text, number = pa.string(), pa.float64()
    return pa.table(
        {
            "query_id": pa.array([run.query_id for run in runs], text),
            "graph": pa.array([json.dumps(run.graph.to_dict(), ensure_ascii=False) for run in runs], text),
            "score": pa.array([run.score for run in runs], number),
            "steps": pa.array([_steps_json(run.steps) for run in runs], text),
            "propensity": pa.array([run.propensity for run in runs], number),
            "cost_usd": pa.array([run.cost_usd for run in runs], number),
            "tokens": pa.array([run.tokens for run in runs], pa.int64()),
            "latency_s": pa.array([run.latency_s for run in runs], number),
            "router": pa.array([run.router for run in runs], text),
        }
    )


def _steps_json(steps: Sequence[Step]) -> str | None:
    if not steps:
        return None
    return json.dumps([asdict(step) for step in steps], default=str, ensure_ascii=False)  # Decimal as text


def _step(data: dict[str, Any]) -> Step:
    cost = data.get("cost")
    return Step(**{**data, "cost": None if cost is None else Decimal(cost)})
