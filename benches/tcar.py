"""Speed of the router `tcar`, as ratios within one run; the two things compared take turns.

- one decision over 150 agents, the text encoded already, against a bare product and softmax in numpy;
- ``score_batch`` against the bare product and the choice of the 5 best in numpy;
- with ``--model``: a decision of mode ``fast`` with its encoding by MiniLM, against one of mode ``reason``
  on the embedded model, which is shown 8 of the same agents;
- 10,000 agents: the index against the exact product, in time and in recall of the exact 10 best. With
  ``--packs`` the agents' descriptions are combined from those of label packs and the queries are their test
  queries, encoded by MiniLM (minutes, save with ``--cache``); without, both are clustered random vectors;
- adding an agent to the 10,000 and removing one: time until the first task is routed; encoding its
  description comes on top.

Times are of the processor, in all threads of the process, so that other work on the machine counts little.
Run ``python benches/tcar.py``; it writes results to ``--out``.
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
from agentnet.outcomes.encoders import CachedEncoder, make_encoder
from agentnet.outcomes.packs import load_outcomes
from agentnet.routers.sets.linear import Columns
from agentnet.routers.sets.model import SetModel
from agentnet.routers.sets.views import Views
from agentnet.routers.tcar import TcarRouter

DIM, AGENTS, MANY, BEST = 384, 150, 10_000, 5
AUDIENCES = [
    "private customers",
    "business customers",
    "students",
    "pensioners",
    "the sales team",
    "the warehouse",
    "new employees",
    "travellers",
    "customers in Germany",
    "customers in Japan",
    "hospitals",
    "schools",
    "small shops",
    "the mobile app",
    "the web shop",
    "premium members",
    "resellers",
    "drivers",
    "tenants",
    "landlords",
]
PHRASES = (
    "Handles requests about: {a}, for {who}.",
    "Handles requests about: {a} and {b}.",
    "Answers {who} about {a}, not about {b}.",
    "Handles requests about: {a} and {b}, for {who}.",
)
TOPICS = (
    "lost cards",
    "refunds",
    "flight bookings",
    "alarm clocks",
    "the weather",
    "tax forms",
    "recipes",
    "visas",
)


class Stored:
    """An encoder that hands out vectors made beforehand, in the order of the texts' numbers."""

    name = f"hash:{DIM}"
    dim = DIM

    def __init__(self, vectors: np.ndarray) -> None:
        self.vectors = vectors

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Returns the vectors of the numbers at the texts' ends."""
        return self.vectors[[int(text.rsplit(" ", 1)[-1]) for text in texts]]


def unit(rng: np.random.Generator, n: int) -> np.ndarray:
    """Clustered unit vectors, as text encodings are."""
    centres = np.random.default_rng(1).standard_normal((200, DIM))
    vectors = centres[rng.integers(200, size=n)] + rng.standard_normal((n, DIM))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def ratio(work: Callable[[], object], reference: Callable[[], object], rounds: int) -> dict[str, float]:
    """Median times of two works that take turns, and the median of their paired ratios."""
    work(), reference()
    pairs = [(seconds(work), seconds(reference)) for _ in range(rounds)]
    return {
        "work_ms": round(statistics.median(a for a, _ in pairs) * 1e3, 4),
        "reference_ms": round(statistics.median(b for _, b in pairs) * 1e3, 4),
        "ratio": round(statistics.median(a / max(b, 1e-9) for a, b in pairs), 3),
    }


def known_agents(rng: np.random.Generator) -> tuple[TcarRouter, Pool]:
    """A router that has learned 150 agents, with columns as steep as fitted ones."""
    pool = Pool(Agent(name=f"agent{i:03}", description=f"topic {i}") for i in range(AGENTS))
    columns = Columns(
        pool.names, np.ascontiguousarray(15 * unit(rng, AGENTS).T), np.zeros(AGENTS, np.float32)
    )
    router = TcarRouter(encoder=Stored.name)
    router._take(SetModel(columns=columns, threshold=-100.0))
    return router, pool


def small_pool(queries: int, rounds: int) -> dict[str, object]:
    rng = np.random.default_rng(0)
    router, pool = known_agents(rng)
    vectors = unit(rng, queries)
    tasks = [Task(f"task {i}") for i in range(queries)]
    weight, bias = router._sets.columns.weight, router._sets.columns.bias
    at = iter(range(10**9))

    def decide() -> object:
        i = next(at) % queries
        return router.route_batch(tasks[i : i + 1], pool, vectors=vectors[i : i + 1])[0].graph

    def softmax() -> object:
        i = next(at) % queries
        logits = vectors[i : i + 1] @ weight + bias
        shares = np.exp(logits - logits.max())
        return shares / shares.sum()

    def best() -> object:
        logits = vectors @ weight + bias
        return np.argpartition(-logits, BEST, axis=1)[:, :BEST]

    one = ratio(decide, softmax, 100 * rounds)
    wall = []
    for _ in range(100 * rounds):
        start = time.perf_counter()
        decide()
        wall.append(time.perf_counter() - start)
    one["wall_median_ms"] = round(statistics.median(wall) * 1e3, 4)
    return {
        "one_decision_against_product_and_softmax": one,
        "score_batch_against_product_and_best": ratio(
            lambda: router.score_batch(tasks, pool, vectors=vectors), best, rounds
        ),
        "route_batch_against_product_and_best": ratio(
            lambda: router.route_batch(tasks, pool, vectors=vectors), best, max(1, rounds // 2)
        ),
    }


def against_reasoning(model: Path | None, count: int) -> dict[str, object]:
    """Eight agents, so that the small model's window holds them."""
    from agentnet.runtime.clients.litellm_client import LiteLLMClient
    from agentnet.runtime.consult import ClientModel
    from agentnet.runtime.embedded.engine import EmbeddedEngine
    from agentnet.runtime.embedded.provider import embedded_backend, serving

    pool = Pool(Agent(name=t.replace(" ", "_"), description=f"Handles requests about {t}.") for t in TOPICS)
    backend = embedded_backend()
    fast, reason = TcarRouter(), TcarRouter(mode="reason", shown=len(pool))
    texts = iter(
        [f"Can you help me with {TOPICS[i % 8]}, it is about case {i}?" for i in range(4 * count + 8)]
    )
    calls = 0
    with EmbeddedEngine(model, slots=2, context=2048) as engine, serving(engine):
        reason.use_model(ClientModel(LiteLLMClient(backends={backend.name: backend}), backend))

        def ask() -> None:
            nonlocal calls
            calls += reason.route(next(texts), pool).router_calls

        found: dict[str, object] = dict(ratio(ask, lambda: fast.route(next(texts), pool), count))
    # The ratio of the reference's time to the fast one's: how many times less time the fast router takes.
    return {"reason_ms": found["work_ms"], "fast_ms": found["reference_ms"], "times_less": found["ratio"],
            "calls": calls, "agents": len(pool)}  # fmt: skip


def many_vectors(packs: Path | None, cache: Path | None, queries: int) -> tuple[np.ndarray, np.ndarray, str]:
    """Encodings of 10,001 descriptions (the last is added later) and of queries."""
    rng = np.random.default_rng(0)
    if packs is None:
        return unit(rng, MANY + 1), unit(rng, queries), "clustered random vectors"
    loaded = [load_outcomes(packs / name) for name in ("clinc150", "hwu64", "banking77")]
    phrases = [a.description.split(": ", 1)[1].rstrip(".") for pack in loaded for a in pack.pool]
    made: dict[str, None] = {}
    while len(made) < MANY:
        a, b = (phrases[i] for i in rng.integers(len(phrases), size=2))
        who = AUDIENCES[rng.integers(len(AUDIENCES))]
        made.setdefault(PHRASES[rng.integers(len(PHRASES))].format(a=a, b=b, who=who))
    made["Handles requests about: the rental of rowing boats."] = None
    asked = [text for pack in loaded for text in pack.split("test").queries.text[: queries // len(loaded)]]
    encoder = CachedEncoder(make_encoder("minilm"), cache)
    return (
        encoder.encode(list(made)),
        encoder.encode(asked),
        "MiniLM, descriptions and queries of label packs",
    )


def large_pool(vectors: np.ndarray, queries: np.ndarray, rounds: int) -> dict[str, object]:
    encoder = Stored(vectors)
    agents = [Agent(name=f"agent{i:05}", description=f"description {i}") for i in range(MANY + 1)]
    start = time.process_time()
    pool = Pool(agents[:MANY])
    made = time.process_time() - start
    learned = SetModel()
    routers = {"index": TcarRouter(encoder=Stored.name), "exact": TcarRouter(encoder=Stored.name)}
    for router in routers.values():
        router.use_encoder(encoder)
        router._take(learned)
    routers["exact"]._maker = Views(learned, encoder.encode, large=10**9)
    first = {name: seconds(lambda r=router: r.view(pool)) for name, router in routers.items()}
    views = {name: router.view(pool) for name, router in routers.items()}
    near, exact = (views[name].predict(queries) for name in ("index", "exact"))
    pairs = zip(np.argsort(-near.chances, 1)[:, :10], np.argsort(-exact.chances, 1)[:, :10], strict=True)
    recall = float(np.mean([len(set(a.tolist()) & set(b.tolist())) / 10 for a, b in pairs]))
    at = iter(range(10**9))

    def predict(name: str) -> object:
        i = next(at) % len(queries)
        return views[name].predict(queries[i : i + 1])

    def decide(name: str, pool: Pool = pool) -> object:
        i = next(at) % len(queries)
        return routers[name].route_batch([Task("task")], pool, vectors=queries[i : i + 1])[0].graph

    def change(name: str) -> dict[str, float]:
        added, removed, current = [], [], pool
        for turn in range(rounds):
            start = time.process_time()
            larger = current.add(agents[MANY])
            decide(name, larger)
            added.append(time.process_time() - start)
            start = time.process_time()
            smaller = larger.remove(agents[turn].name)
            decide(name, smaller)
            removed.append(time.process_time() - start)
            current = smaller.remove(agents[MANY].name)
        return {
            "added_first_ms": round(added[0] * 1e3, 2),
            "added_ms": round(statistics.median(added) * 1e3, 2),
            "removed_ms": round(statistics.median(removed) * 1e3, 2),
        }

    return {
        "pool_made_ms": round(made * 1e3, 1),
        "first_view_ms": {name: round(value * 1e3, 1) for name, value in first.items()},
        "recall_at_10": round(recall, 4),
        "familiarity_off_by": round(float(np.abs(near.familiarity - exact.familiarity).mean()), 4),
        "chance_off_by": round(float(np.abs(near.chances.max(1) - exact.chances.max(1)).mean()), 5),
        "same_agent": round(float((near.chances.argmax(1) == exact.chances.argmax(1)).mean()), 4),
        "predict_index_against_exact": ratio(lambda: predict("index"), lambda: predict("exact"), 20 * rounds),
        "decide_index_against_exact": ratio(lambda: decide("index"), lambda: decide("exact"), 20 * rounds),
        "change": {name: change(name) for name in routers},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--reason", type=int, default=0, help="queries for the comparison with mode=reason")
    parser.add_argument("--model", type=Path, help="a GGUF file; else the embedded model's")
    parser.add_argument("--packs", type=Path, help="folder of the label packs")
    parser.add_argument("--cache", type=Path, help="folder that keeps encodings")
    parser.add_argument("--out", type=Path, default=Path("results.json"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    vectors, queries, kind = many_vectors(args.packs, args.cache, 600)
    result: dict[str, object] = {
        "command": "python " + " ".join(sys.argv),
        "machine": {"processor": platform.machine(), "numpy": np.__version__},
        "queries": args.queries,
        "agents": AGENTS,
        "rounds": args.rounds,
        **small_pool(args.queries, args.rounds),
        "ten_thousand_agents": {"vectors": kind, **large_pool(vectors, queries, args.rounds)},
    }
    if args.reason or args.model:
        result["fast_against_reason"] = against_reasoning(args.model, args.reason or 5)
    args.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
