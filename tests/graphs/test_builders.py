from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentnet.errors import GraphError
from agentnet.graphs import builders as b
from agentnet.graphs.agent import Agent
from agentnet.graphs.task_graph import Limits


def pairs(graph):
    return [(edge.source, edge.target) for edge in graph.edges]


def test_shapes():
    assert pairs(b.chain(["a", "b", "c"])) == [("a", "b"), ("b", "c")]
    assert pairs(b.complete(["a", "b", "c"])) == [("a", "b"), ("a", "c"), ("b", "c")]
    assert pairs(b.layered([["a", "b"], ["c"], ["d"]])) == [("a", "c"), ("b", "c"), ("c", "d")]
    assert pairs(b.tree(list("rabcd"))) == [("a", "r"), ("b", "r"), ("c", "a"), ("d", "a")]
    assert b.tree(list("rabcd"), 4).layers == (("a", "b", "c", "d"), ("r",))
    assert pairs(b.vote(["a", "b"])) == [] and b.vote(["a", "b"]).outputs == ("a", "b")
    assert b.star(["a", "b"], merge=Agent(name="m")).agents == ("a", "b", "m")
    assert b.single(Agent(name="s"), limits=Limits(calls=1)).limits == Limits(calls=1)


def test_debate_rounds():
    g = b.debate(["a", "b", "c"], 3, own=False, agreement=0.6)
    assert g.rounds == 3 and len(g.temporal) == 6 and not g.spatial
    assert all(e.stop.threshold == 0.6 and e.stop.min_answers == 2 for e in g.edges)
    assert len(b.debate(["a", "b", "c"]).temporal) == 9


def test_cascade_orders_without_showing():
    g = b.cascade([["a", "b"], ["a"], ["c"]], 0.75, stage_weights=[1, 2, 4], normalise="choice")
    assert g.layers == (("a", "b"), ("a#2",), ("c",)) and g.outputs == ("a", "b", "a#2", "c")
    assert all(not e.carries and e.stop.threshold == 0.75 for e in g.edges)
    assert [n.weight for n in g.nodes] == [1, 1, 2, 4] and g.aggregation.normalise == "choice"
    assert g.replayable


@given(st.integers(1, 8), st.floats(0, 1), st.floats(0, 1), st.integers(0, 99))
def test_random_graphs_have_the_density_asked_for(n, density, temporal, seed):
    names = [f"a{i}" for i in range(n)]
    g = b.random_graph(names, density, np.random.default_rng(seed), temporal_density=temporal)
    assert len(g.spatial) == round(density * (n * (n - 1) // 2))
    assert len(g.temporal) == round(temporal * n * n)
    assert g == b.random_graph(names, density, np.random.default_rng(seed), temporal_density=temporal)


def test_random_graphs_differ_in_order_too():
    graphs = [b.random_graph(["a", "b"], 1.0, np.random.default_rng(seed)) for seed in range(20)]
    assert {pairs(g)[0] for g in graphs} == {("a", "b"), ("b", "a")}


def test_the_same_agent_may_stand_again():
    assert b.unique_ids(["a", "a", "a#2", "a"]) == ["a", "a#3", "a#2", "a#4"]
    g = b.chain(["a", "b", "a"])
    assert [n.id for n in g.nodes] == ["a", "b", "a#2"] and g.agents == ("a", "b")


@pytest.mark.parametrize(
    "make",
    [
        lambda: b.chain([]),
        lambda: b.chain("abc"),
        lambda: b.vote([1]),
        lambda: b.vote(["a"], [1, 2]),
        lambda: b.vote(["a"], [-1]),
        lambda: b.layered(["a", "b"]),
        lambda: b.layered([["a"], []]),
        lambda: b.layered([]),
        lambda: b.tree(["a"], 0),
        lambda: b.cascade([["a"]], 1.5),
        lambda: b.cascade([["a"], ["b"]], stage_weights=[1]),
        lambda: b.debate(["a"], 0),
        lambda: b.random_graph(["a"], 1.1, np.random.default_rng(0)),
        lambda: b.random_graph(["a"], 0.5, np.random.default_rng(0), temporal_density=-1),
    ],
)
def test_bad_input_is_a_graph_error(make):
    with pytest.raises(GraphError):
        make()
