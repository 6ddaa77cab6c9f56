"""`agentnet learn` on a growing trace database: time and peak memory, SQLite and PostgreSQL.

Makes databases of simulated runs (rows written by SQLAlchemy Core in bulk; not timed), then runs the command
``agentnet learn`` on each in a process of its own. The named reference is the database of a tenth of the
size, on the same machine in the same run: the cost of ten times the traces is printed as a ratio. The encoder
is ``hash``; encoding is timed apart. ``python benches/learn.py --sizes 100000 1000000`` writes
``results.json`` to ``--out``; PostgreSQL is measured where ``--postgres URL`` names an empty database.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import insert, text

from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.graphs.task_graph import TaskGraph
from agentnet.outcomes.encoders import make_encoder
from agentnet.traces.models import DecisionRow, OutcomeRow, PoolRow, RunRow, StepRow
from agentnet.traces.records import task_hash
from agentnet.traces.sink import table_of
from agentnet.traces.store import TraceStore

TOPICS = {
    "sums": "add the numbers and tell the total of apples pears coins",
    "words": "spell reverse rhyme and count the letters of a word",
    "places": "which river city mountain or border lies in the country",
    "code": "write a function that sorts a list and returns its index",
    "law": "does the contract clause allow the tenant to end the lease",
}
AGENTS, EPSILON, BATCH = 6, 0.3, 10_000


def skills(rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """[topics, agents] probability of a right answer: each topic has a good agent of its own."""
    table = rng.uniform(0.35, 0.6, (len(TOPICS), AGENTS))
    table[np.arange(len(TOPICS)), np.arange(len(TOPICS)) % AGENTS] += 0.25
    return table


def batches(n: int, seed: int) -> Iterator[dict[str, list[dict[str, Any]]]]:
    """Yields rows by table: runs of an epsilon-greedy router that mostly asks agent0."""
    rng = np.random.default_rng(seed)
    pool = Pool([Agent(name=f"agent{i}", description=f"agent number {i}") for i in range(AGENTS)])
    graphs = [TaskGraph.of([name]).to_dict() for name in pool.names]
    table, words = skills(rng), [topic.split() for topic in TOPICS.values()]
    chance = np.full(AGENTS, EPSILON / AGENTS)
    chance[0] += 1 - EPSILON
    for start in range(0, n, BATCH):
        count = min(BATCH, n - start)
        topic, agent = rng.integers(len(words), size=count), rng.choice(AGENTS, size=count, p=chance)
        right = rng.random(count) < table[topic, agent]
        rows: dict[str, list[dict[str, Any]]] = {"runs": [], "decisions": [], "steps": [], "outcomes": []}
        for i in range(count):
            asked = " ".join(rng.choice(words[topic[i]], size=8)) + f" {rng.integers(1_000_000)}"
            run_id, name = uuid.UUID(int=int(rng.integers(2**62)) << 64 | start + i).hex, pool.names[agent[i]]
            at, cost = 1.7e9 + start + i, Decimal("0.0001") * int(1 + agent[i])
            rows["runs"].append(
                {"run_id": run_id, "started_at": at, "ended_at": at + 1, "status": "ok", "task_text": asked,
                 "task_history": [], "task_hash": task_hash(asked), "answer": "42",
                 "pool_version": pool.version,
                 "cost_usd": cost, "prompt_tokens": 50, "completion_tokens": 20, "calls": 1, "latency_s": 1.0,
                 "kind": "simulated", "tags": {}}
            )  # fmt: skip
            rows["decisions"].append(
                {"run_id": run_id, "turn": 0, "role": "serving", "router": "eps", "router_version": "1",
                 "abstained": False, "graph": graphs[agent[i]], "candidates": list(pool.names), "scores": {},
                 "propensity": float(chance[agent[i]]), "evidence": {}}
            )  # fmt: skip
            rows["steps"].append(
                {"run_id": run_id, "seq": 0, "turn": 0, "round": 0, "node": name, "agent": name,
                 "strategy": "prompted", "answer": "42", "skipped": False, "calls": 1, "cost_usd": cost}
            )  # fmt: skip
            rows["outcomes"].append(
                {"run_id": run_id, "step_seq": -1, "judge": "verifier:bench", "judged_at": at + 2,
                 "score": float(right[i]), "weight": 1.0}
            )  # fmt: skip
        yield rows


def fill(url: str, n: int, seed: int) -> float:
    """Writes n runs; returns the seconds it took."""
    start = time.perf_counter()
    models = {"runs": RunRow, "decisions": DecisionRow, "steps": StepRow, "outcomes": OutcomeRow}
    pool = Pool([Agent(name=f"agent{i}", description=f"agent number {i}") for i in range(AGENTS)])
    with TraceStore.open(url) as store:
        engine = store.engine
        first = {"pool_version": pool.version, "agents": list(pool.to_list()), "first_seen": 1.7e9}
        with engine.connect().execution_options(writes=True) as connection, connection.begin():
            connection.execute(insert(table_of(PoolRow)), [first])
        for rows in batches(n, seed):
            with engine.connect().execution_options(writes=True) as connection, connection.begin():
                for name, model in models.items():
                    connection.execute(insert(table_of(model)), rows[name])
        if engine.dialect.name == "postgresql":
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.execute(text("ANALYZE"))
    return time.perf_counter() - start


def measure(url: str, out: Path, most: int) -> dict[str, Any]:
    """Runs the command in a process of its own; returns its seconds, parts and peak memory."""
    command = [sys.executable, "-m", "agentnet.cli.main", "learn", "--db", url]
    command += ["--registry", str(out / "registry"), "--router", "kmeans", "--set", "encoder=hash"]
    command += ["--most", str(most), "--out", str(out)]
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=_environment())
    seconds = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    report = json.loads((out / "results.json").read_text())
    return {
        "seconds": seconds,
        "parts_s": report["seconds"],
        "peak_mb": report["peak_mb"],
        "action": report["verdict"]["action"],
        "gain": report["gain"],
        "seen": report["seen"]["decisions"],
        "kept": report["seen"]["kept"],
        "command": " ".join(command),
    }


def encoding_seconds(most: int) -> float:
    """Seconds that encoding as many texts as are kept takes; it is part of fitting and judging."""
    texts = [row["task_text"] for rows in batches(most, 0) for row in rows["runs"]]
    encoder = make_encoder("hash")
    start = time.perf_counter()
    encoder.encode(texts)
    return time.perf_counter() - start


def _environment() -> dict[str, str]:
    import os

    return os.environ | {"AGENTNET_CACHE": "off"}


def main() -> None:
    """Runs the bench."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--most", type=int, default=50_000, help="decisions kept, as agentnet learn --most")
    parser.add_argument("--postgres", help="URL of an empty database; {n} stands for the size")
    parser.add_argument("--keep", type=Path, help="folder for the databases; those there are used again")
    parser.add_argument("--out", type=Path, default=Path("bench-out/learn"))
    given = parser.parse_args()
    results: dict[str, Any] = {"kind": "simulated", "python": platform.python_version(), "rows": []}
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for kind in ("sqlite", "postgresql") if given.postgres else ("sqlite",):
            for n in given.sizes:
                url = f"sqlite:///{folder}/{n}.db" if kind == "sqlite" else given.postgres.format(n=n)
                made = None if kind == "sqlite" and (folder / f"{n}.db").exists() else fill(url, n, seed=n)
                found = measure(url, Path(scratch) / f"{kind}{n}", given.most)
                results["rows"].append({"database": kind, "traces": n, "made_s": made, **found})
                _print(results["rows"])
    results["encoding_s"] = encoding_seconds(given.most)
    print(f"encoding {given.most:,} texts takes {results['encoding_s']:.1f} s of each")
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")


def _print(rows: list[dict[str, Any]]) -> None:
    row = rows[-1]
    line = f"{row['database']:>10} {row['traces']:>9,} traces: {row['seconds']:7.1f} s"
    line += f", peak {row['peak_mb']:.0f} MB"
    before = [r for r in rows[:-1] if r["database"] == row["database"] and r["traces"] * 10 == row["traces"]]
    if before:
        ratio = row["seconds"] / before[0]["seconds"]
        line += (
            f"; {ratio:.1f} times the time and {row['peak_mb'] / before[0]['peak_mb']:.2f} times the memory"
        )
        line += " of a tenth of it"
    print(line, row["parts_s"], row["action"], flush=True)


if __name__ == "__main__":
    main()
