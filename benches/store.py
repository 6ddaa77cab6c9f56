"""Trace rows per second through `TraceStore` against raw SQLAlchemy Core bulk inserts of the same rows.

Reference: ``connection.execute(insert(table), rows)`` in transactions of 4,096 rows, with rows made
beforehand, into a file of its own with the same schema, WAL and ``synchronous=NORMAL``. The store is given
records, as the runtime gives them: it also cleans texts of secrets, replaces rows of equal keys, and runs
its own thread; its time ends when everything is committed. Both take turns in blocks, so that a busy machine
slows both. Run ``python benches/store.py``; it writes results to ``--out``.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import statistics
import sys
import tempfile
import time
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import create_engine, event, insert

from agentnet.graphs.task_graph import TaskGraph
from agentnet.traces.records import (
    DecisionRecord,
    MessageRecord,
    OutcomeRecord,
    Record,
    RunRecord,
    StepRecord,
)
from agentnet.traces.rows import TABLES, Capture
from agentnet.traces.sink import table_of
from agentnet.traces.store import TraceStore

STEPS, MESSAGES = 3, 2
TRANSACTION = 4096
TARGET = 0.5
WORDS = (  # noqa: SIM905
    "the model answers a question about the price of apples and then checks whether its result is right "
    "because each step of the sum has been written down with a reason so that we can follow it through"
).split()


def words(rng: random.Random, n: int) -> str:
    return " ".join(rng.choices(WORDS, k=n))


def a_trace(rng: random.Random) -> list[Record]:
    """One run as the runtime records it: three agents in parallel, judged."""
    run = uuid.UUID(int=rng.getrandbits(128)).hex
    graph = TaskGraph.of([f"agent{i}" for i in range(STEPS)]).to_dict()
    scores = {f"agent{i}": {"raw": rng.random(), "calibrated": rng.random(), "cost": 0.001} for i in range(9)}
    now = 1.7e9 + rng.random()
    records: list[Record] = [
        RunRecord(
            run_id=run, started_at=now, ended_at=now + 1, status="ok", task_text=words(rng, 40),
            task_hash=run, task_id=run[:8], batch_id="bench", answer=words(rng, 5), pool_version="v",
            cost_usd=Decimal("0.00123"), prompt_tokens=300, completion_tokens=90, calls=3, latency_s=1.0,
            tags={"suite": "store"},
        ),
        DecisionRecord(
            run_id=run, router="knn", router_version="0123456789ab", graph=graph, candidates=tuple(scores),
            scores=scores, propensity=1.0, evidence={"neighbours": [rng.random() for _ in range(10)]},
            latency_s=0.001, router_cost_usd=Decimal(0),
        ),
    ]  # fmt: skip
    for seq in range(STEPS):
        records.append(
            StepRecord(
                run_id=run, seq=seq, node=f"agent{seq}", agent=f"agent{seq}", backend="m", strategy="direct",
                answer=words(rng, 20), prompt_tokens=100, completion_tokens=30, calls=1,
                cost_usd=Decimal("0.00041"), cost_source="backend price", started_at=now, latency_s=0.9,
            )
        )  # fmt: skip
        for k, role in enumerate(("user", "assistant")[:MESSAGES]):
            records.append(MessageRecord(run_id=run, step_seq=seq, seq=k, role=role, content=words(rng, 60)))
        records.append(
            OutcomeRecord(run_id=run, step_seq=seq, score=1.0, judge="verifier:sum", judged_at=now + 2)
        )
    return records


def raw_engine(file: Path) -> sqlalchemy.Engine:
    engine = create_engine(f"sqlite:///{file}")

    @event.listens_for(engine, "connect")
    def _set_up(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    return engine


def rows_by_table(traces: list[list[Record]]) -> dict[type[Any], list[dict[str, Any]]]:
    plain = Capture()
    tables: dict[type[Any], list[dict[str, Any]]] = {kind: [] for kind in TABLES}
    for trace in traces:
        for record in trace:
            tables[type(record)].append(plain.row(record))
    return tables


def raw_block(engine: sqlalchemy.Engine, tables: dict[type[Any], list[dict[str, Any]]]) -> float:
    start = time.perf_counter()
    for kind, rows in tables.items():
        statement = insert(table_of(TABLES[kind]))
        for at in range(0, len(rows), TRANSACTION):
            with engine.begin() as connection:
                connection.execute(statement, rows[at : at + TRANSACTION])
    return time.perf_counter() - start


def store_block(store: TraceStore, traces: list[list[Record]]) -> tuple[float, float]:
    start = time.perf_counter()
    for trace in traces:
        store.write(*trace)
    given = time.perf_counter() - start
    store.flush()
    return time.perf_counter() - start, given


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", type=int, default=11)
    parser.add_argument("--runs", type=int, default=500, help="runs per block, 14 rows each")
    parser.add_argument("--out", type=Path, default=Path("results.json"))
    parser.add_argument("--check", action="store_true", help=f"fail below a ratio of {TARGET}")
    args = parser.parse_args()
    rng = random.Random(0)
    raw_s, store_s, write_s, ratios = [], [], [], []
    n_rows = args.runs * (2 + STEPS * (2 + MESSAGES))
    with tempfile.TemporaryDirectory() as folder:
        TraceStore.open(Path(folder) / "raw.db").close()  # makes the same schema
        engine = raw_engine(Path(folder) / "raw.db")
        with TraceStore.open(Path(folder) / "store.db", queue=max(100_000, n_rows)) as store:
            for block in range(args.blocks + 1):
                traces = [a_trace(rng) for _ in range(args.runs)]
                tables = rows_by_table(traces)
                first = block % 2  # who goes first alternates too
                if first:
                    raw = raw_block(engine, tables)
                through, given = store_block(store, traces)
                if not first:
                    raw = raw_block(engine, tables)
                if block:  # the first block warms up
                    raw_s.append(raw)
                    store_s.append(through)
                    write_s.append(given)
                    ratios.append(raw / through)
        engine.dispose()
    ratio = statistics.median(ratios)
    results = {
        "bench": "store",
        "command": " ".join(["python", *sys.argv]),
        "python": platform.python_version(),
        "sqlalchemy": sqlalchemy.__version__,
        "machine": platform.machine(),
        "rows_per_block": n_rows,
        "blocks": args.blocks,
        "store_rows_per_s": round(n_rows / statistics.median(store_s)),
        "raw_rows_per_s": round(n_rows / statistics.median(raw_s)),
        "write_us_per_record": round(1e6 * statistics.median(write_s) / n_rows, 2),
        "ratio": round(ratio, 3),
        "ratio_min": round(min(ratios), 3),
        "ratio_max": round(max(ratios), 3),
        "target": TARGET,
        "passed": ratio >= TARGET,
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results, indent=1))
    return 0 if ratio >= TARGET or not args.check else 1


if __name__ == "__main__":
    sys.exit(main())
