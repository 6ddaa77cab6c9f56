"""The graph of a chosen set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agentnet.graphs.task_graph import Aggregation, Node, TaskGraph

ONLY = "Answer only this part of the request"
"""Begins what an agent is told of its part of a joined query."""


def star(
    names: Sequence[str],
    weights: Mapping[str, float],
    *,
    refiner: str | None = None,
    parts: Mapping[str, str] | None = None,
) -> TaskGraph:
    """Returns the chosen agents in parallel; one alone answers directly.

    Args:
        names: The set.
        weights: Each agent's probability to be needed.
        refiner: Agent that merges the answers; None joins them under their agents' names.
        parts: Each agent's part of a joined query; what is left out is told nothing.

    >>> star(["cards", "loans"], {"cards": 0.9, "loans": 0.8}, parts={"cards": "block it"}).nodes[0].prompt
    'Answer only this part of the request: block it'
    """
    if len(names) == 1:
        return TaskGraph.of(names)
    told = {name: f"{ONLY}: {text}" for name, text in (parts or {}).items()}
    # A weight of 0 would take no part in a vote over what had finished when a limit struck.
    nodes = [Node(n, n, weight=max(weights.get(n, 1.0), 1e-6), prompt=told.get(n)) for n in names]
    aggregation = Aggregation("refine", agent=refiner) if refiner else Aggregation("concat")
    return TaskGraph(nodes=tuple(nodes), aggregation=aggregation)
