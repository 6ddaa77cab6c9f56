"""Which topologies are tried on a training task: random ones, every single agent, and complete DAGs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np

from agentnet.errors import InvalidInput
from agentnet.graphs.builders import complete, single
from agentnet.graphs.task_graph import TaskGraph

DENSITIES = (0.25, 0.5, 0.75)
"""Chances of a forward edge; one is drawn per rollout."""
ALL_ANSWER = 0.2
"""Chance that all kept agents vote, not the sinks alone."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """A graph to be run on a task."""

    name: str
    """Unique for the task; with it a recording goes on where it stopped."""
    graph: TaskGraph
    propensity: float | None = None
    """The chance with which it was chosen; 1 where it is always run, None where unknown."""


def subset_size(n: int, rng: np.random.Generator) -> int:
    """Draws how many of ``n`` agents take part: Normal(n / 2, (n / 4)^2), cut to [1, n] and rounded.

    As the training topologies of Adaptive Graph Pruning are drawn (arXiv:2506.02951); values outside are
    drawn again.

    >>> sizes = [subset_size(4, np.random.default_rng(seed)) for seed in range(50)]
    >>> min(sizes), max(sizes)
    (1, 4)
    """
    if n < 1:
        raise InvalidInput(f"there must be at least one agent; got {n}.")
    while True:
        size = rng.normal(n / 2, n / 4)
        if 0.5 <= size < n + 0.5:
            return min(n, max(1, round(size)))


def random_topology(agents: Sequence[str], rng: np.random.Generator) -> TaskGraph:
    """Draws a DAG over some of the agents: size, members, order, density, edges, who answers."""
    order = rng.permutation(len(agents))[: subset_size(len(agents), rng)]
    kept = [agents[i] for i in order]
    chance = rng.choice(DENSITIES)
    pairs = [(a, b) for i, a in enumerate(kept) for b in kept[i + 1 :]]
    edges = [pair for pair, draw in zip(pairs, rng.random(len(pairs)), strict=True) if draw < chance]
    everyone = rng.random() < ALL_ANSWER
    names = sorted(kept, key=list(agents).index)
    return TaskGraph.of(names, edges, outputs=tuple(names) if everyone else ())


def plan_rollouts(agents: Sequence[str], query_id: str, *, random: int = 8, seed: int = 0) -> list[Rollout]:
    """Returns the rollouts of one task; they depend on its id and the seed alone.

    All single agents, the complete DAG in the pool's order and in a random one, and ``random`` different
    topologies with more than one agent (fewer where so many are not found).

    >>> [rollout.name for rollout in plan_rollouts(["a", "b"], "q", random=1)]
    ['a', 'b', 'complete', 'complete-random', 'random-0']
    """
    rng = np.random.default_rng([seed, crc32(query_id.encode())])
    order = [agents[i] for i in rng.permutation(len(agents))]
    fixed = [Rollout(name, single(name), 1.0) for name in agents]
    fixed.append(Rollout("complete", complete(agents), 1.0))
    fixed.append(Rollout("complete-random", complete(order)))
    seen = {key(rollout.graph) for rollout in fixed}
    drawn: list[Rollout] = []
    for _ in range(20 * random):
        if len(drawn) == random:
            break
        graph = random_topology(agents, rng)
        if key(graph) not in seen and len(graph.nodes) > 1:
            seen.add(key(graph))
            drawn.append(Rollout(f"random-{len(drawn)}", graph))
    return fixed + drawn


def key(graph: TaskGraph) -> tuple[frozenset[str], frozenset[tuple[str, str]], frozenset[str]]:
    """Returns what makes two topologies of the same agents the same: members, edges, who answers."""
    edges = frozenset((edge.source, edge.target) for edge in graph.edges)
    return frozenset(graph.agents), edges, frozenset(graph.outputs)
