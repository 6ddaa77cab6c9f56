"""Simulated logs in which it is known what changed, and when."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.graphs.task_graph import TaskGraph
from agentnet.outcomes.choices import ChoiceLog
from agentnet.outcomes.table import Queries

TOPICS = {
    "sums": "add numbers total apples pears coins plus minus",
    "words": "spell reverse rhyme count letters word vowel",
    "places": "river city mountain border country lake sea",
    "code": "function list index sort loop string array",
}
SKILL = np.array([[0.8, 0.5, 0.4], [0.5, 0.8, 0.4], [0.4, 0.5, 0.8], [0.8, 0.6, 0.5]])
POOL = Pool([Agent(name=name) for name in ("ann", "bob", "cy")])


class TopicEncoder:
    """Encodes a text by its topic and a little noise: quick, and with the right neighbours."""

    name, dim = "topics", 8

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        topic = {word: t for t, name in enumerate(TOPICS) for word in (name, *TOPICS[name].split())}
        found = np.zeros((len(texts), 8))
        for i, text in enumerate(texts):
            words = text.split()
            number = float(words[-1]) if words[-1].isdigit() else float(len(text))
            found[i] = 0.1 * np.sin(number * np.arange(1, 9))
            found[i, topic.get(words[0], 7)] += 1
        unit = found / np.linalg.norm(found, axis=1, keepdims=True)
        vectors: NDArray[np.float32] = unit.astype(np.float32)
        return vectors


def simulate(
    n: int,
    seed: int,
    *,
    mix: Sequence[float] | None = None,
    broken: int | None = None,
    dear: int | None = None,
    loss: float = 0.3,
    at: float = 0.75,
    epsilon: float = 0.3,
    switch: bool = False,
    skill: NDArray[np.float64] = SKILL,
    unknown: float = 0.0,
) -> ChoiceLog:
    """Draws the log of an epsilon-greedy router; what changes does so at row ``at * n``.

    Args:
        n: Decisions.
        seed: Makes it deterministic.
        mix: Shares of the topics after the change; None: as before, all alike.
        broken: Agent whose scores fall by ``loss``.
        dear: Agent whose price rises by half.
        loss: See ``broken``.
        at: See above.
        epsilon: Of the router.
        switch: Whether the router prefers other agents afterwards.
        skill: [4, 3] chance of a right answer by topic and agent.
        unknown: Share of the costs that are unknown.
    """
    rng = np.random.default_rng(seed)
    late = np.arange(n) >= at * n
    even = np.full(4, 0.25)
    topic = np.where(late, rng.choice(4, n, p=even if mix is None else mix), rng.choice(4, n, p=even))
    best = skill.argmax(1)[topic]
    if switch:
        best = np.where(late, (best + 1) % 3, best)
    agent = np.where(rng.random(n) < epsilon, rng.integers(3, size=n), best)
    propensity = np.where(agent == best, 1 - epsilon + epsilon / 3, epsilon / 3)
    chance = skill[topic, agent]
    if broken is not None:
        chance = np.where((agent == broken) & late, chance - loss, chance)
    cost = np.array([1.0, 2.0, 4.0])[agent] * 1e-4 * rng.lognormal(0, 0.4, n)
    if dear is not None:
        cost = np.where((agent == dear) & late, 1.5 * cost, cost)
    cost[rng.random(n) < unknown] = np.nan
    words = [value.split() for value in TOPICS.values()]
    names = list(TOPICS)
    text = [f"{names[t]} {' '.join(rng.choice(words[t], 6))} {rng.integers(10**6)}" for t in topic]
    return ChoiceLog.of(
        Queries(
            query_id=np.array([str(i) for i in range(n)]),
            text=tuple(text),
            split=np.where(np.arange(n) % 4 == 3, "test", "train"),
        ),
        POOL,
        plans=[TaskGraph.of([name]) for name in POOL.names],
        query=np.arange(n),
        plan=agent,
        propensity=propensity,
        score=(rng.random(n) < chance).astype(np.float64),
        cost=cost,
        at=np.arange(n, dtype=np.float64),
        router="simulated",
        source=f"simulated {seed}",
    )
