"""Speed of the graph routers, as ratios within one run; the two things compared take turns.

- training: one batched step over 32 maskings, or over 128 knowledge graphs, against as many single steps;
- ``score_batch`` of many tasks against as many single ``route`` calls, texts encoded beforehand;
- one ``route`` of an encoded task against one bare forward of the network for it.

Run ``python benches/gnn.py``; it writes results to ``--out``.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Task
from agentnet.outcomes.table import Outcomes, Queries
from agentnet.routers.agent_router import AgentGraphRouter
from agentnet.routers.base import Router
from agentnet.routers.gnn.bipartite import BipartiteNet, Graph
from agentnet.routers.gnn.edges import draw_visible
from agentnet.routers.gnn.targets import router_loss, soft_targets
from agentnet.routers.gnn.training import seeded
from agentnet.routers.registry import make_router, router_names

DIM, AGENTS, TOPICS = 384, 9, 12
QUICK = {"graph_router": {"steps": 5}, "agent_router": {"epochs": 2}, "collective": {}}
"""Settings that shorten training; serving does not depend on them."""


class Stored:
    """An encoder that hands out vectors made beforehand, in the order of the texts' numbers."""

    name = f"hash:{DIM}"
    dim = DIM

    def __init__(self, vectors: np.ndarray) -> None:
        self.vectors = vectors

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Returns the vectors of the numbers at the texts' ends; of the first for texts without one."""
        ends = [text.rsplit(" ", 1)[-1] for text in texts]
        return self.vectors[[int(end) if end.isdigit() else 0 for end in ends]]


def outcomes(rng: np.random.Generator, n: int) -> tuple[Outcomes, np.ndarray]:
    """Clustered unit vectors as queries, and agents whose scores depend on the cluster."""
    topic = rng.integers(TOPICS, size=n)
    vectors = rng.standard_normal((TOPICS, DIM))[topic] + rng.standard_normal((n, DIM))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    score = (rng.random((n, AGENTS)) < rng.random((TOPICS, AGENTS))[topic]).astype(np.float32)
    queries = Queries(
        query_id=np.arange(n).astype(str),
        text=tuple(
            f"Which of Lorna {i % 97} and Arun {i % 89} saw Paris before the war? task {i}" for i in range(n)
        ),
        split=np.where(np.arange(n) % 8 == 0, "val", "train"),
        task=tuple(f"topic {t}" for t in topic),
    )
    pool = Pool(Agent(name=f"agent{i:02}", description=f"model {i}") for i in range(AGENTS))
    return Outcomes(queries=queries, pool=pool, score=score, cost=rng.random((n, AGENTS)) * 1e-3), vectors


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def ratio(slow: Callable[[], object], fast: Callable[[], object], rounds: int) -> dict[str, float]:
    """Median times of two works that take turns, and the median of their paired ratios."""
    slow(), fast()
    pairs = [(seconds(slow), seconds(fast)) for _ in range(rounds)]
    return {
        "slow_ms": round(statistics.median(a for a, _ in pairs) * 1e3, 3),
        "fast_ms": round(statistics.median(b for _, b in pairs) * 1e3, 3),
        "ratio": round(statistics.median(a / b for a, b in pairs), 2),
    }


def paper_training(stored: int, maskings: int, rounds: int) -> dict[str, float]:
    """A step of GraphRouter's network: all maskings in one batch, or one after another."""
    g = torch.Generator().manual_seed(0)
    net = BipartiteNet(DIM, DIM, DIM)
    shapes = ((stored, DIM), (stored, DIM), (AGENTS, DIM), (stored, AGENTS, 3))
    graph = Graph(*(torch.rand(shape, generator=g) for shape in shapes))
    label, judged = torch.rand(stored, AGENTS, generator=g).round(), torch.ones(stored, AGENTS)
    visible = draw_visible(judged > 0, maskings, 0.5, g)

    def step(masks: torch.Tensor) -> torch.Tensor:
        net.zero_grad()
        loss = net.loss(graph, masks, label, judged)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    return ratio(lambda: [step(visible[i : i + 1]) for i in range(maskings)], lambda: step(visible), rounds)


def knowledge_training(router: Router, data: Outcomes, vectors: np.ndarray, rounds: int) -> dict[str, float]:
    """One pass over 128 knowledge graphs with a gradient: all in one batch, or a graph at a time."""
    assert isinstance(router, AgentGraphRouter)
    rows = np.arange(128)
    table = router.source.table(data.tasks()[: len(rows)], vectors[: len(rows)])
    inputs = router._prepared(data.pool).inputs
    score = torch.from_numpy(data.score[: len(rows)])
    with seeded(0):
        network = router.method.network(table.query.shape[1], inputs.features.shape[1], AGENTS)

    def step(part: np.ndarray) -> torch.Tensor:
        network.zero_grad()
        loss = router_loss(network(table.batch(part), inputs), soft_targets(score[torch.from_numpy(part)]))
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    return ratio(lambda: [step(rows[i : i + 1]) for i in rows], lambda: step(rows), rounds)


def bare_forward(router: Router, data: Outcomes, encoded: np.ndarray) -> Callable[[], object]:
    """What a router computes for one encoded task and nothing around it."""
    if isinstance(router, AgentGraphRouter):
        inputs = router._prepared(data.pool).inputs
        batch = router.source.table(data.tasks()[:1], encoded[:1]).batch()

        def through() -> object:
            with torch.inference_mode():
                return [network(batch, inputs) for network in router._networks]

        return through
    view, _ = router._prepared(data.pool)  # type: ignore[attr-defined]
    return lambda: router._predict_known(view, encoded[:1])  # type: ignore[attr-defined]


def serving(router: Router, data: Outcomes, rounds: int) -> dict[str, object]:
    """``score_batch`` against a loop of ``route``, and one ``route`` against one forward."""
    tasks: list[Task] = data.tasks()[:256]
    encoded = router.encode(tasks)
    assert encoded is not None

    def one(i: int) -> object:
        return router.route_batch(tasks[i : i + 1], data.pool, vectors=encoded[i : i + 1])

    found: dict[str, object] = {
        "loop_of_route_against_score_batch": ratio(
            lambda: [one(i) for i in range(len(tasks))],
            lambda: router.score_batch(tasks, data.pool, vectors=encoded),
            rounds,
        )
    }
    forward = bare_forward(router, data, encoded)
    found["route_against_forward"] = ratio(lambda: one(0), forward, max(rounds, 5) * 20)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stored", type=int, default=2700)
    parser.add_argument("--maskings", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--routers", nargs="*", default=[name for name in QUICK if name in router_names()])
    parser.add_argument("--out", type=Path, default=Path("results.json"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    data, vectors = outcomes(np.random.default_rng(0), args.stored)
    result: dict[str, object] = {
        "command": "python " + " ".join(sys.argv),
        "machine": {"processor": platform.machine(), "threads": 1, "torch": torch.__version__},
        "stored": args.stored,
        "agents": AGENTS,
        "maskings": args.maskings,
        "rounds": args.rounds,
        "paper_training_one_by_one_against_batched": paper_training(args.stored, args.maskings, args.rounds),
    }
    for name in args.routers:
        router = make_router(name, encoder=f"hash:{DIM}", **QUICK[name])
        router.use_encoder(Stored(vectors))
        router.fit(data, data.pool, device="cpu")
        result[name] = serving(router, data, args.rounds)
        if name == "agent_router":
            result["knowledge_graphs_one_by_one_against_batched"] = knowledge_training(
                router, data, vectors, args.rounds
            )
    args.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
