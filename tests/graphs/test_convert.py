from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings

from agentnet.errors import GraphError
from agentnet.graphs.convert import from_networkx, to_networkx, to_pyg
from agentnet.graphs.ops import adjacency
from agentnet.graphs.task_graph import Edge, Node, TaskGraph

from .strategies import graphs

# PyTorch Geometric calls torch.jit.script while it is imported.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")


@given(graphs())
def test_networkx_round_trip_loses_nothing(graph):
    there = to_networkx(graph)
    assert from_networkx(there) == graph
    assert list(there.nodes) == [node.id for node in graph.nodes]
    assert all(there.edges[e.source, e.target, e.kind]["weight"] == e.weight for e in graph.edges)


def test_any_directed_graph_is_taken():
    g = nx.DiGraph()
    g.add_node(1)
    g.add_node("b", agent="bob", weight=2)
    g.add_edge(1, "b", weight=0.5, carries=False)
    assert from_networkx(g) == TaskGraph(
        nodes=(Node("1", "1"), Node("b", "bob", 2.0)), edges=(Edge("1", "b", 0.5, carries=False),)
    )


@pytest.mark.parametrize(
    "source",
    [nx.Graph([("a", "b")]), nx.DiGraph(), nx.DiGraph([("a", "b"), ("b", "a")]),
     nx.DiGraph([("a", "b", {"colour": "red"})]), nx.DiGraph([("a", "b", {"weight": -1})])],
)  # fmt: skip
def test_bad_networkx_graphs_are_graph_errors(source):
    with pytest.raises(GraphError):
        from_networkx(source)


@settings(max_examples=15)
@given(graphs())
def test_pyg_holds_the_matrices(graph):
    torch = pytest.importorskip("torch")
    data = to_pyg(graph)
    n = len(graph.nodes)
    assert data.num_nodes == n and data.validate()
    hetero = to_pyg(graph, hetero=True)
    for number, (kind, matrix) in enumerate(zip(("spatial", "temporal"), adjacency(graph), strict=True)):
        chosen = data.edge_type == number
        dense = torch.zeros(n, n)
        dense[tuple(data.edge_index[:, chosen])] = data.edge_weight[chosen]
        assert np.allclose(dense.numpy(), matrix)
        store = hetero["agent", kind, "agent"]
        assert torch.equal(store.edge_index, data.edge_index[:, chosen])
        assert torch.equal(store.edge_weight, data.edge_weight[chosen])
    assert [name for name, out in zip(data.node_id, data.is_output, strict=True) if out] == [
        node.id for node in graph.nodes if node.id in graph.outputs
    ]


def test_pyg_features_follow_the_agents():
    pytest.importorskip("torch")
    g = TaskGraph(nodes=(Node("1", "a"), Node("2", "b"), Node("3", "a")))
    data = to_pyg(g, {"a": [1.0, 0.0], "b": np.array([0.0, 2.0])})
    assert data.x.tolist() == [[1, 0], [0, 2], [1, 0]]
    assert to_pyg(g, {"a": [1.0], "b": [2.0]}, hetero=True)["agent"].x.shape == (3, 1)
    with pytest.raises(GraphError, match=r"no features for agents \['b'\]"):
        to_pyg(g, {"a": [1.0]})
    with pytest.raises(GraphError, match="same length"):
        to_pyg(g, {"a": [1.0], "b": [1.0, 2.0]})
