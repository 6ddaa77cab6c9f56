"""`import_log`: reads another program's log into a trace store; twice the same file changes nothing."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal
from uuid import NAMESPACE_URL, uuid5

from sqlalchemy import update

from agentnet.errors import DataError, PoolError, StoreError
from agentnet.graphs.agent import Agent, Backend
from agentnet.graphs.pool import Pool
from agentnet.graphs.task_graph import TaskGraph
from agentnet.traces.importers.stream import csv_rows, json_values, opened
from agentnet.traces.models import PoolRow, RunRow
from agentnet.traces.records import DecisionRecord, Record, RunRecord
from agentnet.traces.sink import insert_into, table_of
from agentnet.traces.store import TraceStore

Format = Literal["auto", "otel", "litellm", "pack"]
PROPENSITY = "agentnet.propensity"
"""Attribute, tag or metadata key under which a log may hold the probability of its choice."""
ROUTER = "agentnet.router"
"""Likewise, the name of what chose."""
_AT_ONCE = 5_000
_NAMED = 200
_LOOKED_AT = 50


@dataclass(slots=True)
class ImportReport:
    """What came of a file."""

    format: str = ""
    runs: int = 0
    judgements: int = 0
    """Scores that the log itself held."""
    without_text: int = 0
    """Runs whose task or answer the log does not hold: nothing can be learned from them about new tasks."""
    with_propensity: int = 0
    other: int = 0
    """Rows or spans about something else: embeddings, tools, health checks."""
    bad: int = 0
    """Lines, rows or spans that cannot be read."""
    first_bad: str = ""
    agents: dict[str, str | None] = field(default_factory=dict)
    """Models of the agents that were found, by the agents' names."""

    def refuse(self, why: str) -> None:
        """Counts what cannot be read."""
        self.bad += 1
        self.first_bad = self.first_bad or why

    def saw(self, agent: str, model: str | None) -> None:
        """Notes an agent."""
        self.agents[agent] = model or self.agents.get(agent)


def import_log(
    path: str | Path,
    store: TraceStore,
    *,
    format: Format = "auto",
    progress: Callable[[int], None] | None = None,
) -> ImportReport:
    """Reads a log into a store, as a stream.

    Runs get ids made of the log's own, so that the same file read twice, or two that overlap, write the
    same rows. Prompts and answers are kept as far as the store captures them; keys, addresses and users'
    names of the log are not read at all, and the store replaces what looks like a secret.

    Args:
        path: A file of OpenTelemetry spans (OTLP JSON: one document or one a line; or spans as SDKs print
            them), of LiteLLM spend logs (JSON, JSON lines or CSV), gzipped or not; or a pack's folder.
        store: Where to.
        format: What it is; ``"auto"`` looks.
        progress: Called with the number of runs so far.

    Raises:
        DataError: the file is missing or is none of these.
        StoreError: the store captures no texts.
    """
    path = Path(path)
    if store.capture == "off":
        raise StoreError("a log cannot be imported with content capture off: its texts are the data.")
    kind = detect(path) if format == "auto" else format
    report = ImportReport(format=kind)
    if kind == "pack":
        from agentnet.traces.export import import_pack

        report.runs = import_pack(path, store)
        return report
    batch = f"import:{path.name}"
    waiting: list[Record] = []
    for records in _reader(kind)(path, report):
        report.runs += 1
        waiting += [
            replace(item, batch_id=batch) if isinstance(item, RunRecord) else item for item in records
        ]
        if len(waiting) >= _AT_ONCE:
            store.write(*waiting)
            store.flush()
            waiting = []
            if progress is not None:
                progress(report.runs)
    store.write(*waiting)
    store.flush()
    _name_pool(store, batch, report)
    return report


def _reader(kind: str) -> Callable[[Path, ImportReport], Iterator[list[Record]]]:
    if kind == "litellm":
        from agentnet.traces.importers.litellm import litellm_records

        return litellm_records
    from agentnet.traces.importers.otel import otel_records

    return otel_records


_OTLP = frozenset({
    "resourceSpans", "resource_spans", "resourceLogs", "resource_logs", "scopeSpans", "trace", "batches",
})  # fmt: skip


def detect(path: Path) -> Literal["otel", "litellm", "pack"]:
    """Returns what a file is, by its first values.

    Raises:
        DataError: it is missing, or none that is known.
    """
    if path.is_dir():
        return "pack"
    for row in islice(rows_of(path, lambda why: None), _LOOKED_AT):
        keys = row.keys()
        if {"request_id", "startTime"} <= keys or {"request_id", "spend"} <= keys:
            return "litellm"
        if keys & _OTLP or {"traceId", "spanId"} <= keys or {"trace_id", "span_id"} <= keys:
            return "otel"
        if isinstance(row.get("context"), dict) and "trace_id" in row["context"]:
            return "otel"
    raise DataError(
        f"{path} is neither OpenTelemetry spans (OTLP JSON) nor LiteLLM spend logs, as far as its first "
        "values show; name the format with --format otel or --format litellm."
    )


def rows_of(path: Path, bad: Callable[[str], None]) -> Iterator[dict[str, Any]]:
    """Yields a file's JSON objects, or its CSV rows."""
    name = path.name.lower().removesuffix(".gz")
    if name.endswith((".csv", ".tsv")) or (
        not name.endswith((".json", ".jsonl", ".ndjson")) and _is_csv(path)
    ):
        yield from csv_rows(path, bad)
    else:
        yield from json_values(path, bad)


def _is_csv(path: Path) -> bool:
    with opened(path) as file:
        start = file.read(4096).lstrip()
    return bool(start) and start[0] not in "{["


def run_id_of(*parts: str) -> str:
    """Returns the id of a run by what names it in its log: the same for the same log, always."""
    return uuid5(NAMESPACE_URL, "\0".join(("agentnet-import", *parts))).hex


def clean_name(text: Any) -> str:
    """Returns a name as agents may have it: one line, at most 200 characters; empty for none."""
    return re.sub(r"[\x00-\x1f\x7f]+", " ", str(text or "")).strip()[:_NAMED].strip()


def to_propensity(value: Any) -> float | None:
    """Returns a probability above 0 and at most 1, or None for anything else.

    >>> to_propensity("0.25"), to_propensity(0), to_propensity("often")
    (0.25, None, None)
    """
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if 0 < number <= 1 else None


def decision(
    run_id: str, agents: Sequence[str], propensity: float | None, router: str
) -> DecisionRecord | None:
    """Returns the decision behind a run of one agent; None for several, whose graph is not told."""
    if len(agents) != 1:
        return None
    return DecisionRecord(
        run_id=run_id,
        router=router,
        graph=TaskGraph.of(agents).to_dict(),
        candidates=tuple(agents),
        propensity=propensity,
    )


def _name_pool(store: TraceStore, batch: str, report: ImportReport) -> None:
    """Gives the imported runs the pool of all agents that the log knows."""
    if not report.agents:
        return
    pool = Pool([_agent(name, model) for name, model in sorted(report.agents.items())])
    runs, pools = table_of(RunRow), table_of(PoolRow)
    stored = {"pool_version": pool.version, "agents": pool.to_list(), "first_seen": time.time()}
    with store.engine.connect().execution_options(writes=True) as connection, connection.begin():
        connection.execute(insert_into(store.engine, pools).on_conflict_do_nothing(), [stored])
        connection.execute(update(runs).where(runs.c.batch_id == batch).values(pool_version=pool.version))


def _agent(name: str, model: str | None) -> Agent:
    try:
        return Agent(name=name, backend=Backend(name=model, model=model) if model else None)
    except PoolError:
        return Agent(name=name)
