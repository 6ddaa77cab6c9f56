"""Speed of kNN routing against the bare matrix product and top-k it cannot do without.

Reference: ``torch.topk(queries @ stored.T, k)`` in float32, same threads, whole and in blocks; the faster
of the two is what the ratios are against. Reference and router take turns, so that a busy machine slows
both. Run ``python benches/knn.py``; it writes results to ``--out``.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Task
from agentnet.outcomes.table import Outcomes, Queries
from agentnet.routers.neighbours import BLOCK
from agentnet.routers.registry import make_router

DIM, AGENTS, K = 384, 14, 40


class Stored:
    """An encoder that hands out vectors made beforehand, in the order of the texts' numbers."""

    name = "hash:384"
    dim = DIM

    def __init__(self, vectors: np.ndarray) -> None:
        self.vectors = vectors

    def encode(self, texts: list[str]) -> np.ndarray:
        """Returns the vectors of these numbers."""
        return self.vectors[[int(text) if text.isdigit() else 0 for text in texts]]


def unit(rng: np.random.Generator, n: int) -> np.ndarray:
    """Clustered unit vectors, as text encodings are."""
    centres = rng.standard_normal((50, DIM))
    vectors = centres[rng.integers(50, size=n)] + rng.standard_normal((n, DIM))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def outcomes(rng: np.random.Generator, n: int) -> Outcomes:
    pool = Pool(Agent(name=f"agent{i:02}") for i in range(AGENTS))
    queries = Queries(
        query_id=np.arange(n).astype(str), text=tuple(map(str, range(n))), split=np.full(n, "train")
    )
    score = (rng.random((n, AGENTS)) < np.linspace(0.3, 0.7, AGENTS)).astype(np.float32)
    cost = rng.random((n, AGENTS)) * 1e-3
    return Outcomes(queries=queries, pool=pool, score=score, cost=cost)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stored", type=int, default=9000)
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("results.json"))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    rng = np.random.default_rng(0)
    data, stored = outcomes(rng, args.stored), unit(rng, args.stored)
    router = make_router("knn", encoder="hash:384", k=K, temperature=0.3, shrink=0.1)
    router.use_encoder(Stored(stored))
    router.fit(data, data.pool)
    vectors = unit(rng, args.queries)
    tasks = [Task(f"task {i}") for i in range(args.queries)]
    queries, across = torch.from_numpy(vectors), torch.from_numpy(stored).T

    def blocks() -> None:
        for start in range(0, len(queries), BLOCK):
            torch.topk(queries[start : start + BLOCK] @ across, K, dim=1)

    work: dict[str, Callable[[], object]] = {
        "reference_whole": lambda: torch.topk(queries @ across, K, dim=1),
        "reference_blocks": blocks,
        "score_batch": lambda: router.score_batch(tasks, data.pool, vectors=vectors),
        "route_batch": lambda: router.route_batch(tasks, data.pool, vectors=vectors),
    }
    for run in work.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(args.rounds):
        for name, run in work.items():
            times[name].append(seconds(run))
    medians = {name: statistics.median(values) for name, values in times.items()}
    reference = min(("reference_whole", "reference_blocks"), key=lambda name: medians[name])
    ratios = {
        name: statistics.median(a / b for a, b in zip(times[name], times[reference], strict=True))
        for name in ("score_batch", "route_batch")
    }
    one = sorted(
        seconds(lambda: router.route_batch(tasks[:1], data.pool, vectors=vectors[:1])) for _ in range(200)
    )
    result = {
        "command": "python " + " ".join(sys.argv),
        "machine": {"processor": platform.machine(), "threads": args.threads, "torch": torch.__version__},
        "stored": args.stored,
        "queries": args.queries,
        "dim": DIM,
        "agents": AGENTS,
        "k": K,
        "rounds": args.rounds,
        "reference": reference,
        "median_seconds": {name: round(value, 4) for name, value in medians.items()},
        "ratio_to_reference": {name: round(value, 3) for name, value in ratios.items()},
        "route_one_encoded_ms": {"p50": round(one[100] * 1e3, 3), "p99": round(one[197] * 1e3, 3)},
    }
    args.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
