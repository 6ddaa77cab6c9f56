"""Operations on task graphs: structure, hard pruning, thresholds, matrices, union.

All take a graph and return a new one; ids, node order and edge order are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentnet.errors import GraphError
from agentnet.graphs.builders import unique_ids
from agentnet.graphs.task_graph import Edge, EdgeKind, Node, TaskGraph

Floats = NDArray[np.float64]


def ancestors(graph: TaskGraph, node_id: str) -> frozenset[str]:
    """Returns all nodes from which spatial edges lead to this one.

    >>> sorted(ancestors(TaskGraph.of("abc", edges=[("a", "b"), ("b", "c")]), "c"))
    ['a', 'b']
    """
    return _reached(graph, node_id, [(edge.target, edge.source) for edge in graph.spatial])


def descendants(graph: TaskGraph, node_id: str) -> frozenset[str]:
    """Returns all nodes to which spatial edges lead from this one."""
    return _reached(graph, node_id, [(edge.source, edge.target) for edge in graph.spatial])


def reachability(graph: TaskGraph) -> NDArray[np.bool_]:
    """Returns [N, N] bool: whether spatial edges lead from node i to node j (i != j), in node order.

    >>> reachability(TaskGraph.of("abc", edges=[("a", "b"), ("b", "c")])).astype(int).tolist()
    [[0, 1, 1], [0, 0, 1], [0, 0, 0]]
    """
    place = node_index(graph)
    reach = np.zeros((len(place), len(place)), bool)
    for layer in reversed(graph.layers):
        for edge in graph.spatial:
            if edge.source in layer:
                i, j = place[edge.source], place[edge.target]
                reach[i, j] = True
                reach[i] |= reach[j]
    return reach


def node_index(graph: TaskGraph) -> dict[str, int]:
    """Returns the row of each node id in matrices."""
    return {node.id: i for i, node in enumerate(graph.nodes)}


def mask_nodes(graph: TaskGraph, keep: Collection[str] | NDArray[np.bool_]) -> TaskGraph:
    """Returns the graph without the nodes that are not kept, and without their edges (hard pruning).

    The outputs are the old ones that are left. Where the outputs were the sinks, or none is left, they
    are the sinks of what is left.

    Args:
        graph: The graph.
        keep: Ids of the nodes to keep, or [N] bool in node order.

    Raises:
        GraphError: nothing would be left, or an id is unknown.

    >>> g = TaskGraph.of("abc", edges=[("a", "b"), ("b", "c")])
    >>> mask_nodes(g, ["a", "b"]).outputs, mask_nodes(g, np.array([True, False, True])).outputs
    (('b',), ('a', 'c'))
    """
    kept = _kept_ids(graph, keep)
    if not kept:
        raise GraphError("the mask removes every node; keep at least one.")
    return _rebuilt(
        graph,
        [node for node in graph.nodes if node.id in kept],
        [edge for edge in graph.edges if edge.source in kept and edge.target in kept],
    )


def mask_edges(graph: TaskGraph, keep: Callable[[Edge], bool]) -> TaskGraph:
    """Returns the graph with those edges only for which ``keep`` holds; all nodes stay.

    >>> g = TaskGraph.of("ab", edges=[("a", "b")])
    >>> mask_edges(g, lambda edge: False).outputs
    ('a', 'b')
    """
    return _rebuilt(graph, graph.nodes, [edge for edge in graph.edges if keep(edge)])


def threshold_edges(graph: TaskGraph, minimum: float, kind: EdgeKind | None = None) -> TaskGraph:
    """Returns the graph without edges whose weight is below ``minimum``.

    Args:
        graph: The graph.
        minimum: Least weight an edge needs to stay.
        kind: Only look at edges of this kind; None at all.
    """
    return mask_edges(graph, lambda edge: edge.weight >= minimum or (kind is not None and edge.kind != kind))


def drop_useless(graph: TaskGraph) -> TaskGraph:
    """Returns the graph without nodes that no output depends on, in this round or a later one.

    >>> g = TaskGraph.of("abc", edges=[("a", "b"), ("a", "c")], outputs=("b",))
    >>> [node.id for node in drop_useless(g).nodes]
    ['a', 'b']
    """
    edges = graph.edges if graph.rounds > 1 else graph.spatial
    back = [(edge.target, edge.source) for edge in edges]
    useful = set(graph.outputs)
    for name in graph.outputs:
        useful |= _reached(graph, name, back)
    return graph if len(useful) == len(graph.nodes) else mask_nodes(graph, useful)


def reduce(graph: TaskGraph) -> TaskGraph:
    """Returns the graph without spatial edges that only repeat an order that longer paths give.

    Edges that carry an answer or hold a stop condition say more than order and stay, so that the
    reduced graph runs as the old one does.

    >>> order = [Edge(a, b, carries=False) for a, b in (("a", "b"), ("b", "c"), ("a", "c"))]
    >>> len(reduce(TaskGraph.of("abc").with_(edges=order, outputs=("c",))).edges)
    2
    """
    place, reach = node_index(graph), reachability(graph)
    skippable = {edge.target for edge in graph.spatial if edge.stop is not None}

    def needed(edge: Edge) -> bool:
        if edge.kind == "temporal" or edge.carries or edge.stop is not None:
            return True
        # A node is skipped when *all* its predecessors are: where stops exist, each of them counts.
        if skippable:
            return True
        i, j = place[edge.source], place[edge.target]
        return not (reach[i] & reach[:, j]).any()

    return mask_edges(graph, needed)


def adjacency(graph: TaskGraph) -> tuple[Floats, Floats]:
    """Returns the edge weights as matrices (spatial [N, N], temporal [N, N]) in node order; 0 is no edge.

    >>> adjacency(TaskGraph.of("ab", edges=[("a", "b")]))[0].tolist()
    [[0.0, 1.0], [0.0, 0.0]]
    """
    place = node_index(graph)
    spatial, temporal = np.zeros((len(place), len(place))), np.zeros((len(place), len(place)))
    for edge in graph.edges:
        matrix = spatial if edge.kind == "spatial" else temporal
        matrix[place[edge.source], place[edge.target]] = edge.weight
    return spatial, temporal


def from_matrix(
    agents: Sequence[str],
    spatial: ArrayLike,
    temporal: ArrayLike | None = None,
    threshold: float = 0.0,
    *,
    weights: Sequence[float] | None = None,
    **settings: Any,
) -> TaskGraph:
    """Builds a graph from weight matrices; the inverse of `adjacency`.

    Args:
        agents: N agent names; repeated ones get ids ``name#2``, ...
        spatial: [N, N] weights of the edges i -> j within a round; must be acyclic above the threshold.
        temporal: [N, N] weights of the edges from one round to the next.
        threshold: An edge stands where its weight is greater.
        weights: [N] the nodes' weights in a vote; default 1.
        **settings: Further fields of the graph, such as ``rounds``.

    Raises:
        GraphError: a shape or weight is wrong, or the spatial edges form a cycle.

    >>> from_matrix(["a", "b"], [[0, .8], [.2, 0]], threshold=.5).edges[0].weight
    0.8
    """
    names = list(agents)
    votes = [1.0] * len(names) if weights is None else [float(weight) for weight in weights]
    if len(votes) != len(names):
        raise GraphError(f"{len(names)} agents need as many weights; got {len(votes)}.")
    ids = unique_ids(names)
    nodes = [Node(*parts) for parts in zip(ids, names, votes, strict=True)]
    edges: list[Edge] = []
    kinds: tuple[tuple[EdgeKind, ArrayLike | None], ...] = (("spatial", spatial), ("temporal", temporal))
    for kind, values in kinds:
        if values is None:
            continue
        matrix = np.asarray(values, float)
        if matrix.shape != (len(ids), len(ids)) or np.isnan(matrix).any():
            raise GraphError(f"the {kind} weights must be numbers of shape {(len(ids), len(ids))}.")
        edges += [Edge(ids[i], ids[j], float(matrix[i, j]), kind) for i, j in np.argwhere(matrix > threshold)]
    return TaskGraph(nodes=tuple(nodes), edges=tuple(edges), **settings)


def relabel(
    graph: TaskGraph, ids: Mapping[str, str] | None = None, agents: Mapping[str, str] | None = None
) -> TaskGraph:
    """Returns the graph with other node ids or other agents; names that are not mapped stay.

    >>> g = relabel(TaskGraph.of("ab", edges=[("a", "b")]), ids={"a": "first"}, agents={"b": "judge"})
    >>> g.nodes[0].id, g.nodes[1].agent, g.edges[0].source
    ('first', 'judge', 'first')
    """
    ids, agents = ids or {}, agents or {}
    known = node_index(graph)
    if unknown := sorted(set(ids) - set(known)):
        raise GraphError(f"cannot rename nodes {unknown}: the graph has {list(known)}.")
    nodes = tuple(
        Node(ids.get(n.id, n.id), agents.get(n.agent, n.agent), n.weight, n.prompt) for n in graph.nodes
    )
    edges = tuple(
        Edge(ids.get(e.source, e.source), ids.get(e.target, e.target), e.weight, e.kind, e.carries, e.stop)
        for e in graph.edges
    )
    changes: dict[str, Any] = {}
    merger = graph.aggregation.agent
    if merger is not None and merger in agents:
        changes["aggregation"] = replace(graph.aggregation, agent=agents[merger])
    outputs = tuple(ids.get(name, name) for name in graph.outputs)
    return graph.with_(nodes=nodes, edges=edges, outputs=outputs, **changes)


def union(first: TaskGraph, *others: TaskGraph) -> TaskGraph:
    """Returns the graphs side by side: all run, and all their outputs are aggregated.

    An id that stands in an earlier graph gets a number (``a#2``). Aggregation, limits and growth are
    those of the first graph; the number of rounds must be the same in all.

    Raises:
        GraphError: the numbers of rounds differ.

    >>> union(TaskGraph.of("ab"), TaskGraph.of("bc")).outputs
    ('a', 'b', 'b#2', 'c')
    """
    nodes, edges, outputs = list(first.nodes), list(first.edges), list(first.outputs)
    for other in others:
        if other.rounds != first.rounds:
            raise GraphError(f"graphs of {first.rounds} and {other.rounds} rounds cannot stand side by side.")
        taken = [node.id for node in nodes]
        fresh = unique_ids([*taken, *(node.id for node in other.nodes)])[len(taken) :]
        ids = {node.id: new for node, new in zip(other.nodes, fresh, strict=True)}
        moved = relabel(other, ids)
        nodes += moved.nodes
        edges += moved.edges
        outputs += moved.outputs
    return first.with_(nodes=tuple(nodes), edges=tuple(edges), outputs=tuple(outputs))


def _reached(graph: TaskGraph, start: str, pairs: Sequence[tuple[str, str]]) -> frozenset[str]:
    graph.node(start)
    after: dict[str, list[str]] = {}
    for a, b in pairs:
        after.setdefault(a, []).append(b)
    found: set[str] = set()
    todo = [start]
    while todo:
        for name in after.get(todo.pop(), ()):
            if name not in found:
                found.add(name)
                todo.append(name)
    return frozenset(found)


def _kept_ids(graph: TaskGraph, keep: Collection[str] | NDArray[np.bool_]) -> set[str]:
    ids = [node.id for node in graph.nodes]
    if isinstance(keep, np.ndarray):
        if keep.shape != (len(ids),) or keep.dtype != bool:
            raise GraphError(f"a node mask is a [N] array of booleans with N = {len(ids)}; got {keep!r}.")
        return {name for name, stays in zip(ids, keep, strict=True) if stays}
    if isinstance(keep, str):
        raise GraphError(f"a node mask is a collection of ids; got the text {keep!r}.")
    if unknown := sorted(set(keep) - set(ids)):
        raise GraphError(f"the mask names nodes {unknown} that are not in the graph: {ids}.")
    return set(keep)


def _rebuilt(graph: TaskGraph, nodes: Sequence[Node], edges: Sequence[Edge]) -> TaskGraph:
    """The graph with fewer nodes or edges; outputs that were the sinks are the new sinks."""
    sources = {edge.source for edge in graph.spatial}
    sinks = {node.id for node in graph.nodes if node.id not in sources}
    left = {node.id for node in nodes}
    explicit = () if set(graph.outputs) == sinks else tuple(name for name in graph.outputs if name in left)
    return graph.with_(nodes=tuple(nodes), edges=tuple(edges), outputs=explicit)
