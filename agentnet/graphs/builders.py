"""Builders of common task graphs. Agents are given by name or as `Agent` values.

The same agent may be given twice: its second node is called ``name#2``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from agentnet.errors import GraphError
from agentnet.graphs.agent import Agent
from agentnet.graphs.task_graph import Aggregation, Edge, Node, StopCondition, TaskGraph

AgentLike = str | Agent


def single(agent: AgentLike, **settings: Any) -> TaskGraph:
    """One agent answers.

    >>> single("solver").outputs
    ('solver',)
    """
    return TaskGraph(nodes=_nodes([agent]), **settings)


def chain(agents: Sequence[AgentLike], **settings: Any) -> TaskGraph:
    """Each agent sees the answer of the one before; the last answers.

    >>> chain(["plan", "solve", "check"]).layers
    (('plan',), ('solve',), ('check',))
    """
    nodes = _nodes(agents)
    return TaskGraph(nodes=nodes, edges=_pairs_in_line(nodes), **settings)


def vote(
    agents: Sequence[AgentLike],
    weights: Sequence[float] | None = None,
    *,
    normalise: str = "default",
    **settings: Any,
) -> TaskGraph:
    """Independent agents; the heaviest group of equal answers wins.

    Args:
        agents: The voters.
        weights: Their weights in the vote; default 1 each.
        normalise: Name of the normaliser that says which answers are equal.
        **settings: Further fields of the graph.

    >>> vote(["a", "b"], [0.7, 0.3]).nodes[0].weight
    0.7
    """
    return TaskGraph(
        nodes=_nodes(agents, weights), aggregation=Aggregation("vote", normalise=normalise), **settings
    )


def star(
    agents: Sequence[AgentLike],
    weights: Sequence[float] | None = None,
    *,
    merge: AgentLike | None = None,
    **settings: Any,
) -> TaskGraph:
    """Independent agents around one join: a vote, or the agent ``merge`` that refines their answers.

    >>> star(["a", "b"], merge="editor").aggregation.kind
    'refine'
    """
    if merge is None:
        return vote(agents, weights, **settings)
    join = Aggregation("refine", agent=_name(merge))
    return TaskGraph(nodes=_nodes(agents, weights), aggregation=join, **settings)


def complete(agents: Sequence[AgentLike], **settings: Any) -> TaskGraph:
    """The complete DAG: each agent sees the answers of all before it; the last answers.

    >>> complete(["a", "b", "c"]).density
    1.0
    """
    nodes = _nodes(agents)
    edges = [Edge(a.id, b.id) for i, a in enumerate(nodes) for b in nodes[i + 1 :]]
    return TaskGraph(nodes=nodes, edges=tuple(edges), **settings)


def layered(layers: Sequence[Sequence[AgentLike]], **settings: Any) -> TaskGraph:
    """Every agent of a layer sees all answers of the layer before; the last layer's are aggregated.

    >>> layered([["a", "b"], ["c"]]).layers
    (('a', 'b'), ('c',))
    """
    groups = _split(layers)
    return TaskGraph(nodes=_flat(groups), edges=_between(groups), **settings)


def tree(agents: Sequence[AgentLike], branching: int = 2, **settings: Any) -> TaskGraph:
    """A tree whose leaves answer first and whose root, the first agent, answers last.

    Agent i reports to agent (i - 1) // branching, as in a heap.

    >>> tree(["root", "left", "right"]).outputs
    ('root',)
    """
    if branching < 1:
        raise GraphError(f"a tree's branching must be at least 1; got {branching}.")
    nodes = _nodes(agents)
    edges = [Edge(nodes[i].id, nodes[(i - 1) // branching].id) for i in range(1, len(nodes))]
    return TaskGraph(nodes=nodes, edges=tuple(edges), **settings)


def debate(
    agents: Sequence[AgentLike],
    rounds: int = 2,
    *,
    own: bool = True,
    agreement: float | None = None,
    **settings: Any,
) -> TaskGraph:
    """All answer at once, then see the answers of the round before and answer again, then vote.

    Multi-agent debate after Du et al., "Improving Factuality and Reasoning in Language Models through
    Multiagent Debate" (arXiv:2305.14325).

    Args:
        agents: The debaters.
        rounds: How often all answer.
        own: Whether a debater also sees its own earlier answer.
        agreement: End the debate once this share of the weight agrees; None always goes on.
        **settings: Further fields of the graph.

    >>> g = debate(["a", "b"], rounds=3)
    >>> g.rounds, len(g.temporal), g.layers
    (3, 4, (('a', 'b'),))
    """
    nodes = _nodes(agents)
    stop = None if agreement is None else StopCondition("agreement", agreement, min_answers=2)
    edges = [
        Edge(a.id, b.id, kind="temporal", stop=stop) for a in nodes for b in nodes if own or a.id != b.id
    ]
    return TaskGraph(nodes=nodes, edges=tuple(edges), rounds=rounds, **settings)


def cascade(
    stages: Sequence[Sequence[AgentLike]],
    agreement: float = 1.0,
    *,
    min_answers: int = 2,
    stage_weights: Sequence[float] | None = None,
    normalise: str = "default",
    **settings: Any,
) -> TaskGraph:
    """Cheap agents first; a later stage runs only where the answers before it do not agree.

    No agent sees another's answer, so that a cascade can be replayed from recorded answers exactly. All
    answers take part in the final vote.

    Args:
        stages: Agents by stage, first to run first; a stage's agents run at once.
        agreement: Share of the weight that the heaviest group needs to stop there.
        min_answers: Fewest answers that can agree: with 2, one answer never stops a cascade.
        stage_weights: A voter's weight by stage. Default 1, 1.5, 2, ...: where two single answers
            disagree, the later stage's stands.
        normalise: Name of the normaliser that says which answers are equal.
        **settings: Further fields of the graph.

    >>> g = cascade([["small", "medium"], ["large"]])
    >>> g.layers, g.outputs, g.replayable
    ((('small', 'medium'), ('large',)), ('small', 'medium', 'large'), True)
    """
    groups = _split(stages)
    weights = [1 + i / 2 for i in range(len(groups))] if stage_weights is None else list(stage_weights)
    if len(weights) != len(groups):
        raise GraphError(f"{len(groups)} stages need as many stage_weights; got {len(weights)}.")
    groups = [
        tuple(Node(n.id, n.agent, weight) for n in group)
        for group, weight in zip(groups, weights, strict=True)
    ]
    stop = StopCondition("agreement", agreement, min_answers)
    nodes = _flat(groups)
    settings.setdefault("outputs", tuple(node.id for node in nodes))
    return TaskGraph(
        nodes=nodes,
        edges=_between(groups, carries=False, stop=stop),
        aggregation=Aggregation("vote", normalise=normalise),
        **settings,
    )


def random_graph(
    agents: Sequence[AgentLike],
    density: float,
    rng: np.random.Generator,
    *,
    temporal_density: float = 0.0,
    **settings: Any,
) -> TaskGraph:
    """A DAG with a random order of the agents and the share ``density`` of its n (n - 1) / 2 edges.

    The number of edges is rounded, not random; which edges stand is uniform.

    Args:
        agents: The agents; their order in the graph is kept.
        density: Share of the possible spatial edges, in [0, 1].
        rng: Source of randomness.
        temporal_density: Share of the n * n possible temporal edges.
        **settings: Further fields of the graph.

    >>> random_graph(["a", "b", "c", "d"], 0.5, np.random.default_rng(0)).density
    0.5
    """
    for name, value in (("density", density), ("temporal_density", temporal_density)):
        if not 0 <= value <= 1:
            raise GraphError(f"{name} must be a number from 0 to 1; got {value!r}.")
    nodes = _nodes(agents)
    n = len(nodes)
    order = rng.permutation(n)
    forward = [(order[i], order[j]) for i in range(n) for j in range(i + 1, n)]
    everyone = [(i, j) for i in range(n) for j in range(n)]
    edges = [Edge(nodes[i].id, nodes[j].id) for i, j in _draw(forward, density, rng)]
    edges += [
        Edge(nodes[i].id, nodes[j].id, kind="temporal") for i, j in _draw(everyone, temporal_density, rng)
    ]
    return TaskGraph(nodes=nodes, edges=tuple(edges), **settings)


def _draw(pairs: list[tuple[int, int]], share: float, rng: np.random.Generator) -> list[tuple[int, int]]:
    count = round(share * len(pairs))
    return [pairs[k] for k in sorted(rng.choice(len(pairs), count, replace=False))] if count else []


def _name(agent: AgentLike) -> str:
    if isinstance(agent, Agent):
        return agent.name
    if not isinstance(agent, str) or not agent:
        raise GraphError(f"a builder takes agents' names or Agent values; got {agent!r}.")
    return agent


def _nodes(agents: Iterable[AgentLike], weights: Sequence[float] | None = None) -> tuple[Node, ...]:
    if isinstance(agents, str):
        raise GraphError(f"a builder takes a list of agents; got the text {agents!r}. Write [{agents!r}].")
    names = [_name(agent) for agent in agents]
    if not names:
        raise GraphError("a builder needs at least one agent.")
    if weights is not None and len(weights) != len(names):
        raise GraphError(f"{len(names)} agents need as many weights; got {len(weights)}.")
    return tuple(
        Node(node_id, name, 1.0 if weights is None else float(weights[i]))
        for i, (node_id, name) in enumerate(zip(unique_ids(names), names, strict=True))
    )


def unique_ids(names: Sequence[str]) -> list[str]:
    """Returns node ids for these agent names: the name, and ``name#2``, ... where it stands again.

    >>> unique_ids(["a", "b", "a"])
    ['a', 'b', 'a#2']
    """
    taken = set(names)
    seen: set[str] = set()
    ids = []
    for name in names:
        node_id, count = name, 1
        while node_id in seen or (count > 1 and node_id in taken):
            count += 1
            node_id = f"{name}#{count}"
        seen.add(node_id)
        ids.append(node_id)
    return ids


def _split(groups: Sequence[Sequence[AgentLike]]) -> list[tuple[Node, ...]]:
    """Nodes by group, with ids unique over all groups."""
    if isinstance(groups, str) or any(isinstance(group, str | Agent) for group in groups):
        raise GraphError('layers and stages are lists of lists of agents, such as [["a", "b"], ["c"]].')
    if not groups or not all(groups):
        raise GraphError("every layer or stage needs at least one agent.")
    nodes = iter(_nodes([agent for group in groups for agent in group]))
    return [tuple(next(nodes) for _ in group) for group in groups]


def _flat(groups: Sequence[Sequence[Node]]) -> tuple[Node, ...]:
    return tuple(node for group in groups for node in group)


def _between(groups: Sequence[Sequence[Node]], **settings: Any) -> tuple[Edge, ...]:
    return tuple(
        Edge(a.id, b.id, **settings) for first, second in pairwise(groups) for a in first for b in second
    )


def _pairs_in_line(nodes: Sequence[Node]) -> tuple[Edge, ...]:
    return tuple(Edge(a.id, b.id) for a, b in pairwise(nodes))
