"""Streams of tasks on which it is known which agent is best, and serving them to a bandit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Task
from agentnet.routers.bandits.router import BanditRouter
from agentnet.routers.decision import Decision, Feedback
from agentnet.routers.online import Served
from agentnet.routers.registry import make_router

NAMES = ("linucb", "thompson", "eps_greedy")
TOPICS = {
    "algebra": ["equation", "variable", "solve", "polynomial", "root", "factor", "quadratic", "linear"],
    "cooking": ["recipe", "oven", "flour", "butter", "simmer", "boil", "pan", "salt", "onion", "garlic"],
    "travel": ["flight", "hotel", "airport", "visa", "luggage", "ticket", "beach", "train", "passport"],
}
POOL = Pool([Agent(name=topic) for topic in TOPICS])


def bandit(name: str, **settings: Any) -> BanditRouter:
    """An unfitted bandit with the hashing encoder."""
    made = make_router(name, **{"encoder": "hash:128", "seed": 3, **settings})
    assert isinstance(made, BanditRouter)
    return made


def tasks_of(n: int, seed: int = 0) -> tuple[list[Task], list[str]]:
    """n tasks and their topics."""
    rng = np.random.default_rng(seed)
    topics = [list(TOPICS)[i] for i in rng.integers(len(TOPICS), size=n)]
    return [Task(f"{' '.join(rng.choice(TOPICS[topic], 6))} {i}") for i, topic in enumerate(topics)], topics


def served(decision: Decision, score: float, cost: float | None = None) -> Served:
    """A served and judged task."""
    from decimal import Decimal

    money = None if cost is None else Decimal(str(cost))
    return Served.of(Feedback(text="", decision=decision, score=score, cost=money))


def serve(
    router: BanditRouter,
    tasks: Sequence[Task],
    score: Callable[[int, str], float],
    *,
    pool: Pool = POOL,
    batch: int = 1,
) -> list[Decision]:
    """Serves tasks in turn, each batch learned before the next; ``score`` is told the task and the agent."""
    decisions: list[Decision] = []
    for start in range(0, len(tasks), batch):
        made = router.route_batch(tasks[start : start + batch], pool)
        told = [served(d, score(start + i, d.agents[0])) for i, d in enumerate(made)]
        assert router.learn(told) == len(told)
        decisions += made
    return decisions
