from __future__ import annotations

import json
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given

from agentnet.errors import AgentnetError, GraphError, LimitError
from agentnet.graphs.task_graph import MAX_ROUNDS, Aggregation, Edge, Limits, Node, StopCondition, TaskGraph

from .strategies import graphs


@given(graphs())
def test_json_round_trip_loses_nothing(graph):
    text = graph.to_json()
    again = TaskGraph.from_json(text)
    assert again == graph
    assert again.to_json() == text and again.fingerprint == graph.fingerprint
    assert TaskGraph.from_dict(json.loads(json.dumps(graph.to_dict()))) == graph


@given(graphs())
def test_layers_respect_edges_and_hold_every_node_once(graph):
    place = {name: i for i, layer in enumerate(graph.layers) for name in layer}
    assert sorted(place) == sorted(node.id for node in graph.nodes)
    assert sum(map(len, graph.layers)) == len(graph.nodes)
    for edge in graph.spatial:
        assert place[edge.source] < place[edge.target]
    for name, layer in place.items():  # as early as can be
        assert layer == max((place[e.source] + 1 for e in graph.spatial if e.target == name), default=0)
    assert 0 <= graph.density <= 1


@given(graphs())
def test_equal_graphs_have_equal_hashes(graph):
    assert len({graph, TaskGraph.from_json(graph.to_json())}) == 1


def test_a_change_changes_the_fingerprint():
    g = TaskGraph.of(["a", "b"])
    assert len({g.fingerprint, g.with_(rounds=2).fingerprint, g.with_(outputs=("a",)).fingerprint}) == 3


def test_outputs_default_to_the_sinks_and_agents_end_with_the_merger():
    nodes = (Node("1", "x"), Node("2", "x"), Node("3", "y"))
    g = TaskGraph(nodes=nodes, edges=(Edge("1", "2"),), aggregation=Aggregation("refine", agent="editor"))
    assert g.outputs == ("2", "3")
    assert g.agents == ("x", "y", "editor")


def test_numpy_numbers_are_numbers():
    node = Node("a", "a", np.float32(0.5))
    assert node.weight == 0.5 and type(node.weight) is float
    assert TaskGraph(nodes=(node,), rounds=np.int64(2)).rounds == 2


def test_replayable_needs_independent_agents():
    ordered = TaskGraph.of("ab").with_(edges=[Edge("a", "b", carries=False)])
    assert ordered.replayable
    assert not TaskGraph.of("ab", edges=[("a", "b")]).replayable
    assert not ordered.with_(rounds=2).replayable and not ordered.with_(grow=True).replayable
    assert not ordered.with_(aggregation=Aggregation("concat")).replayable
    assert not TaskGraph(nodes=(Node("a", "a", prompt="p"),)).replayable


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: TaskGraph(nodes=()), "at least one node"),
        (lambda: TaskGraph(nodes=("a",)), "list of Node values"),
        (lambda: TaskGraph(nodes="a"), "list of Node values"),
        (lambda: TaskGraph(nodes=None), "list of Node values"),
        (lambda: TaskGraph(nodes=(Node("a", "a"),), edges=(("a", "b"),)), "list of Edge values"),
        (lambda: TaskGraph.of("aa"), "unique"),
        (lambda: TaskGraph.of("a", edges=[("a", "z")]), "node 'z'"),
        (lambda: TaskGraph.of("ab", edges=[("a", "b"), ("a", "b")]), "stands twice"),
        (lambda: TaskGraph.of("ab", edges=[("a", "b"), ("b", "a")]), r"\['a', 'b'\] form a cycle"),
        (lambda: TaskGraph.of("a", outputs=("z",)), "outputs name"),
        (lambda: TaskGraph.of("a", outputs="a"), "list of str"),
        (lambda: TaskGraph.of("a", rounds=0), "whole number"),
        (lambda: TaskGraph.of("a", rounds=1.5), "whole number"),
        (lambda: TaskGraph.of("a", rounds=True), "whole number"),
        (lambda: TaskGraph.of("a", rounds=MAX_ROUNDS + 1), "rounds must be at most 100"),
        (lambda: Node("", "a"), "needs an id"),
        (lambda: Node(1, "a"), "needs an id"),
        (lambda: Node("a", "a", float("nan")), "weight of node"),
        (lambda: Node("a", "a", -1), "weight of node"),
        (lambda: Node("a", "a", float("inf")), "finite"),
        (lambda: Node("a", "a", "heavy"), "weight of node"),
        (lambda: Node("a", "a", True), "weight of node"),
        (lambda: Edge("a", "a"), "cannot send to itself"),
        (lambda: Edge("a", "b", -0.1), "weight of edge"),
        (lambda: Edge("a", "b", kind="diagonal"), "edge kind"),
        (lambda: Edge("a", "b", stop="agreement"), "StopCondition"),
        (lambda: StopCondition("never"), "stop condition 'never'"),
        (lambda: StopCondition("score", 1.1), "stop threshold"),
        (lambda: StopCondition("score", 0.5, 0), "min_answers"),
        (lambda: StopCondition("score", 0.5, "2"), "min_answers"),
        (lambda: Aggregation("mean"), "aggregation 'mean'"),
        (lambda: Aggregation("refine"), "name of the agent"),
        (lambda: Aggregation("custom"), "name"),
        (lambda: Aggregation(normalise="fuzzy"), "no answer normaliser"),
        (lambda: TaskGraph.of("a").node("b"), "no node 'b'"),
        (lambda: TaskGraph.from_json("{"), "not JSON"),
        (lambda: TaskGraph.from_json("[]"), "not a task graph"),
        (lambda: TaskGraph.from_json("{}"), "not a task graph"),
        (lambda: TaskGraph.from_dict({"nodes": [{"id": "a"}]}), "not a task graph"),
        (lambda: TaskGraph.from_dict({"nodes": [{"id": "a", "agent": "a", "colour": 1}]}), "colour"),
        (lambda: TaskGraph.from_dict({"nodes": None}), "not a task graph"),
    ],
)  # fmt: skip
def test_bad_graphs_say_what_is_wrong(make, words):
    with pytest.raises(GraphError, match=words):
        make()


def test_limits():
    assert Limits(usd=0.1).usd == Decimal("0.1")
    assert Limits(usd="1", calls=5).tightest(Limits(usd="0.5", tokens=9)) == Limits(
        usd="0.5", calls=5, tokens=9
    )
    assert Limits(calls=3).tightest(None) == Limits(calls=3)
    for bad in ({"usd": 0}, {"calls": 0}, {"seconds": -1}, {"tokens": float("nan")}, {"usd": "x"},
                {"calls": "5"}, {"calls": True}, {"usd": "NaN"}, {"seconds": float("inf")},
                {"calls": 2.5}, {"tokens": 1.5}, {"tokens": Decimal("1.5")}):  # fmt: skip
        with pytest.raises(LimitError) as caught:
            Limits(**bad)
        assert isinstance(caught.value, AgentnetError) and next(iter(bad)) in str(caught.value)
