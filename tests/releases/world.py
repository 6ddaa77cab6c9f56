"""A small world with a known answer: two kinds of task, an agent for each, and one in between."""

from __future__ import annotations

import uuid
from decimal import Decimal

import numpy as np

from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.graphs.task_graph import TaskGraph
from agentnet.traces.records import DecisionRecord, OutcomeRecord, RunRecord, StepRecord, task_hash
from agentnet.traces.store import TraceStore

WORDS = {
    "maths": "equation solve root factor integral sum prime matrix".split(),  # noqa: SIM905
    "cooking": "oven flour butter simmer onion garlic dough salt".split(),  # noqa: SIM905
}
POOL = Pool([Agent(name=name) for name in ("solver", "cook", "either")])
SKILL = {"maths": (0.9, 0.2, 0.55), "cooking": (0.2, 0.9, 0.55)}
COST = Decimal("0.001")


def write_log(
    store: TraceStore,
    n: int,
    *,
    seed: int = 0,
    chance: tuple[float, ...] = (0.2, 0.2, 0.6),
    known: bool = True,
    shuffled: bool = False,
    start: float = 1e9,
) -> None:
    """Writes n judged runs of a router that draws an agent whatever the task is.

    Args:
        store: Where to.
        n: Runs.
        seed: Another seed gives other tasks, choices and scores.
        chance: Probability of each agent.
        known: Whether the probability is recorded.
        shuffled: Whether the scores belong to other runs: nothing can be learned from them.
        start: When the first run started.
    """
    rng = np.random.default_rng(seed)
    graphs = [TaskGraph.of([name]).to_dict() for name in POOL.names]
    topics = rng.choice(list(WORDS), size=n)
    agents = rng.choice(len(POOL), size=n, p=chance)
    scores = np.array([float(rng.random() < SKILL[t][a]) for t, a in zip(topics, agents, strict=True)])
    if shuffled:
        scores = rng.permutation(scores)
    for i in range(n):
        text = " ".join(rng.choice(WORDS[topics[i]], size=6)) + f" {rng.integers(10**9)}"
        run_id, agent = uuid.UUID(int=int(rng.integers(2**62)) + (i << 64)).hex, int(agents[i])
        store.write(
            RunRecord(
                run_id=run_id, started_at=start + i, ended_at=start + i + 1, status="ok", task_text=text,
                task_hash=task_hash(text), answer="x", pool_version=POOL.version, pool=tuple(POOL.to_list()),
                cost_usd=COST, kind="live",
            ),
            DecisionRecord(
                run_id=run_id, router="drawn", router_version="1", graph=graphs[agent],
                candidates=POOL.names, propensity=chance[agent] if known else None,
            ),
            StepRecord(run_id=run_id, seq=0, node=POOL.names[agent], agent=POOL.names[agent], answer="x"),
            OutcomeRecord(run_id=run_id, score=float(scores[i]), judge="verifier:x", judged_at=start + i + 2),
        )  # fmt: skip
    store.flush()
