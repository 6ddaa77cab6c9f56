from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentnet.errors import GraphError
from agentnet.graphs import ops
from agentnet.graphs.convert import to_networkx
from agentnet.graphs.replay import replay
from agentnet.graphs.task_graph import Aggregation, Edge, StopCondition, TaskGraph

from .strategies import graphs


def spatial_nx(graph):
    g = nx.DiGraph()
    g.add_nodes_from(node.id for node in graph.nodes)
    g.add_edges_from((e.source, e.target) for e in graph.spatial)
    return g


@given(graphs())
def test_reachability_agrees_with_networkx(graph):
    reference = spatial_nx(graph)
    ids = [node.id for node in graph.nodes]
    reach = ops.reachability(graph)
    for i, a in enumerate(ids):
        assert ops.ancestors(graph, a) == nx.ancestors(reference, a)
        assert ops.descendants(graph, a) == nx.descendants(reference, a)
        assert {b for j, b in enumerate(ids) if reach[i, j]} == nx.descendants(reference, a)


@given(graphs(), st.data())
def test_masks_leave_no_dangling_edge_and_only_what_was_kept(graph, data):
    ids = [node.id for node in graph.nodes]
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(ids), max_size=len(ids))))
    kept = [name for name, stays in zip(ids, mask, strict=True) if stays]
    if not kept:
        with pytest.raises(GraphError, match="every node"):
            ops.mask_nodes(graph, mask)
        return
    small = ops.mask_nodes(graph, mask)
    assert small == ops.mask_nodes(graph, kept)
    assert [node.id for node in small.nodes] == kept
    assert set(small.edges) == {e for e in graph.edges if e.source in kept and e.target in kept}
    assert set(small.outputs) <= set(kept) and small.outputs
    sinks = {name for name in ids if not any(e.source == name for e in graph.spatial)}
    if set(graph.outputs) != sinks and set(graph.outputs) & set(kept):
        assert small.outputs == tuple(name for name in graph.outputs if name in kept)


@given(graphs())
def test_a_full_mask_changes_nothing_but_the_order_of_sinks(graph):
    same = ops.mask_nodes(graph, [node.id for node in graph.nodes])
    assert same.nodes == graph.nodes and same.edges == graph.edges
    assert set(same.outputs) == set(graph.outputs)


@given(graphs(), st.sampled_from([0.0, 0.75, 1.0, 9.0]), st.sampled_from(["spatial", "temporal", None]))
def test_thresholds_drop_the_light_edges_of_a_kind(graph, minimum, kind):
    cut = ops.threshold_edges(graph, minimum, kind)
    assert cut.nodes == graph.nodes
    for edge in graph.edges:
        light = edge.weight < minimum and kind in (None, edge.kind)
        assert (edge in cut.edges) is not light


@given(graphs(max_nodes=5, replayable=True), st.data())
def test_reduce_changes_no_run(graph, data):
    small = ops.reduce(graph).with_(outputs=graph.outputs)
    assert set(small.edges) <= set(graph.edges)
    answers = {a: data.draw(st.sampled_from(["1", "2", ""])) for a in graph.agents}
    assert set(replay(small, answers).ran) == set(replay(graph, answers).ran)
    assert (ops.reachability(small) == ops.reachability(graph)).all()


def test_reduce_drops_mere_order_only():
    order = [Edge(a, b, carries=False) for a, b in ("ab", "bc", "ac", "cd", "ad")]
    g = TaskGraph.of("abcd").with_(edges=order, outputs=())
    assert {(e.source, e.target) for e in ops.reduce(g).edges} == {("a", "b"), ("b", "c"), ("c", "d")}
    shown = TaskGraph.of("abc", edges=["ab", "bc", "ac"])
    assert ops.reduce(shown).edges == shown.edges


def test_drop_useless_looks_over_rounds():
    edges = [Edge("a", "b"), Edge("c", "b", kind="temporal"), Edge("d", "c")]
    g = TaskGraph.of("abcd").with_(edges=edges, outputs=("b",))
    assert [n.id for n in ops.drop_useless(g).nodes] == ["a", "b"]
    assert ops.drop_useless(g.with_(rounds=2)) == g.with_(rounds=2)


@given(graphs())
def test_matrices_round_trip(graph):
    graph = graph.with_(edges=[e for e in graph.edges if e.weight > 0], outputs=())
    spatial, temporal = ops.adjacency(graph)
    again = ops.from_matrix([n.agent for n in graph.nodes], spatial, temporal, rounds=graph.rounds)
    ids = dict(zip((n.id for n in again.nodes), (n.id for n in graph.nodes), strict=True))
    plain = {(ids[e.source], ids[e.target], e.weight, e.kind) for e in again.edges}
    assert plain == {(e.source, e.target, e.weight, e.kind) for e in graph.edges}
    assert all((m == w).all() for m, w in zip(ops.adjacency(again), (spatial, temporal), strict=True))


def test_from_matrix_thresholds_and_weighs():
    g = ops.from_matrix(["a", "a"], [[0, 0.6], [0.4, 0]], np.eye(2), 0.5, weights=[1, 2], rounds=2)
    assert [n.id for n in g.nodes] == ["a", "a#2"] and [n.weight for n in g.nodes] == [1, 2]
    assert len(g.spatial) == 1 and len(g.temporal) == 2


@given(graphs())
def test_relabel_and_back(graph):
    there = {node.id: f"x-{node.id}" for node in graph.nodes}
    moved = ops.relabel(graph, there, {"a": "z"})
    assert "a" not in moved.agents
    back = ops.relabel(moved, {new: old for old, new in there.items()}, {"z": "a"})
    assert back == graph


def test_relabel_renames_the_merger():
    g = TaskGraph.of("ab", aggregation=Aggregation("refine", agent="m"))
    assert ops.relabel(g, agents={"m": "n"}).aggregation.agent == "n"


@given(graphs(), graphs())
def test_union_is_disjoint(first, second):
    second = second.with_(rounds=first.rounds)
    both = ops.union(first, second, first)
    assert len(both.nodes) == 2 * len(first.nodes) + len(second.nodes)
    assert len(both.edges) == 2 * len(first.edges) + len(second.edges)
    assert nx.number_weakly_connected_components(to_networkx(both)) == sum(
        nx.number_weakly_connected_components(to_networkx(g)) for g in (first, second, first)
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda: ops.mask_nodes(TaskGraph.of("ab"), ["z"]),
        lambda: ops.mask_nodes(TaskGraph.of("ab"), "a"),
        lambda: ops.mask_nodes(TaskGraph.of("ab"), np.array([True])),
        lambda: ops.mask_nodes(TaskGraph.of("ab"), np.array([1, 0])),
        lambda: ops.from_matrix(["a", "b"], [[0, 1], [1, 0]]),
        lambda: ops.from_matrix(["a"], [[1]]),
        lambda: ops.from_matrix(["a", "b"], [[0, 1]]),
        lambda: ops.from_matrix(["a", "b"], [[0, float("nan")], [0, 0]]),
        lambda: ops.from_matrix(["a"], [[0]], weights=[1, 2]),
        lambda: ops.relabel(TaskGraph.of("ab"), {"z": "y"}),
        lambda: ops.relabel(TaskGraph.of("ab"), {"a": "b"}),
        lambda: ops.union(TaskGraph.of("a"), TaskGraph.of("b", rounds=2)),
        lambda: ops.ancestors(TaskGraph.of("a"), "z"),
    ],
)
def test_bad_input_is_a_graph_error(make):
    with pytest.raises(GraphError):
        make()


def test_reduce_keeps_all_where_something_can_be_skipped():
    edges = [Edge("a", "b", carries=False, stop=StopCondition("answered")), Edge("b", "c", carries=False),
             Edge("a", "c", carries=False)]  # fmt: skip
    g = TaskGraph.of("abc").with_(edges=edges, outputs=("c",))
    assert replay(ops.reduce(g), dict.fromkeys("abc", "1")).ran == ("a", "c")
