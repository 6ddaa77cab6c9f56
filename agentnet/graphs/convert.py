"""Conversion of task graphs to and from networkx, and to PyTorch Geometric."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from agentnet.errors import GraphError, MissingDependency
from agentnet.graphs.ops import node_index
from agentnet.graphs.task_graph import TaskGraph

if TYPE_CHECKING:
    import networkx as nx
    from torch_geometric.data import Data, HeteroData

_EDGE_TYPES = ("spatial", "temporal")


def to_networkx(graph: TaskGraph) -> nx.MultiDiGraph:
    """Returns the graph for networkx without loss; `from_networkx` is the inverse.

    Nodes carry ``agent``, ``weight``, ``prompt``; edges are keyed by their kind and carry ``weight``,
    ``kind``, ``carries``, ``stop`` and their place ``order``; all else stands in ``.graph``.

    >>> to_networkx(TaskGraph.of("ab", edges=[("a", "b")])).edges["a", "b", "spatial"]["weight"]
    1.0
    """
    import networkx as nx

    data = graph.to_dict()
    nodes, edges = data.pop("nodes"), data.pop("edges")
    result = nx.MultiDiGraph(**data)
    for node, plain in zip(graph.nodes, nodes, strict=True):
        del plain["id"]
        result.add_node(node.id, **{"weight": node.weight, "prompt": node.prompt, **plain})
    for order, (edge, plain) in enumerate(zip(graph.edges, edges, strict=True)):
        full = {"weight": edge.weight, "kind": edge.kind, "carries": edge.carries, "stop": None} | plain
        del full["source"], full["target"]
        result.add_edge(edge.source, edge.target, key=edge.kind, order=order, **full)
    return result


def from_networkx(source: nx.DiGraph) -> TaskGraph:
    """Builds a task graph from any directed networkx graph.

    A node without ``agent`` stands for the agent of its own name; an edge without ``kind`` is spatial.

    Raises:
        GraphError: the graph is undirected, has unknown attributes, or is no valid task graph.

    >>> import networkx as nx
    >>> from_networkx(nx.DiGraph([("a", "b")])).outputs
    ('b',)
    """
    if not source.is_directed():
        raise GraphError("a task graph is directed; give every edge a direction (networkx.DiGraph).")
    nodes = [{"agent": str(name), **values, "id": str(name)} for name, values in source.nodes(data=True)]
    edges = [
        {**values, "source": str(a), "target": str(b)}
        for a, b, values in sorted(source.edges(data=True), key=lambda edge: edge[2].get("order", 0))
    ]
    for edge in edges:
        edge.pop("order", None)
    known = ("rounds", "aggregation", "outputs", "limits", "grow")
    rest = {key: source.graph[key] for key in known if key in source.graph}
    return TaskGraph.from_dict({"nodes": nodes, "edges": edges, **rest})


def to_pyg(
    graph: TaskGraph,
    features: Mapping[str, ArrayLike] | None = None,
    *,
    hetero: bool = False,
) -> Data | HeteroData:
    """Returns the graph for PyTorch Geometric.

    ``Data`` holds ``x`` [N, d] if features are given, ``node_weight`` [N], ``edge_index`` [2, E],
    ``edge_weight`` [E], ``edge_type`` [E] (0 spatial, 1 temporal), ``carries`` [E] bool, ``is_output``
    [N] bool and ``node_id``, ``agent`` (lists of text). ``HeteroData`` holds the nodes as type ``agent``
    and the edges as ``("agent", "spatial", "agent")`` and ``("agent", "temporal", "agent")``.

    Args:
        graph: The graph.
        features: [d] numbers by agent name.
        hetero: Return ``HeteroData``.

    Raises:
        GraphError: an agent has no features, or they differ in length.
        MissingDependency: torch or torch_geometric is not installed.
    """
    try:
        import torch
        from torch_geometric.data import Data, HeteroData
    except ImportError as error:
        raise MissingDependency(
            f"to_pyg needs PyTorch Geometric ({error}): pip install torch torch-geometric"
        ) from None

    place = node_index(graph)

    def edge_fields(kinds: tuple[str, ...]) -> dict[str, Any]:
        chosen = [edge for edge in graph.edges if edge.kind in kinds]
        ends = [[place[e.source] for e in chosen], [place[e.target] for e in chosen]]
        return {
            "edge_index": torch.tensor(ends, dtype=torch.long).reshape(2, len(chosen)),
            "edge_weight": torch.tensor([e.weight for e in chosen], dtype=torch.float32),
            "edge_type": torch.tensor([_EDGE_TYPES.index(e.kind) for e in chosen], dtype=torch.long),
            "carries": torch.tensor([e.carries for e in chosen], dtype=torch.bool),
        }

    node_fields: dict[str, Any] = {
        "num_nodes": len(graph.nodes),
        "node_weight": torch.tensor([node.weight for node in graph.nodes], dtype=torch.float32),
        "is_output": torch.tensor([node.id in graph.outputs for node in graph.nodes], dtype=torch.bool),
        "node_id": list(place),
        "agent": [node.agent for node in graph.nodes],
    }
    if features is not None:
        node_fields["x"] = torch.from_numpy(_feature_rows(graph, features))
    if not hetero:
        return Data(**node_fields, **edge_fields(_EDGE_TYPES))
    result = HeteroData()
    for key, value in node_fields.items():
        result["agent"][key] = value
    for kind in _EDGE_TYPES:
        for key, value in edge_fields((kind,)).items():
            if key != "edge_type":
                result["agent", kind, "agent"][key] = value
    return result


def _feature_rows(graph: TaskGraph, features: Mapping[str, ArrayLike]) -> np.ndarray[Any, Any]:
    if missing := [node.agent for node in graph.nodes if node.agent not in features]:
        raise GraphError(f"no features for agents {missing}.")
    rows = [np.asarray(features[node.agent], np.float32) for node in graph.nodes]
    if len({row.shape for row in rows}) != 1 or rows[0].ndim != 1:
        raise GraphError("every agent needs a feature vector of the same length.")
    return np.stack(rows)
