"""`Graphs`, `Shape` and the weights of votes."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from agentnet.errors import GraphError
from agentnet.graphs.answers import stop_holds, weighted_vote
from agentnet.graphs.task_graph import Edge, Node, TaskGraph
from agentnet.routers.topology.graphs import AGREED, STOP, Graphs, Join, Shape, vote_weights
from agentnet.routers.topology.sampler import sample_ordered

NAMES = tuple(f"agent{i}" for i in range(10))


def drawn(seed: int, r: int, n: int, join: Join = "sinks") -> Graphs:
    g = torch.Generator().manual_seed(seed)
    logits = torch.randn(r, n, n, generator=g)
    draw = sample_ordered(logits[:, 0], logits[:, :, 0], logits, g)
    return Graphs.joined(draw.keep, draw.edges, join)


def same(a: Graphs, b: Graphs) -> bool:
    return all(torch.equal(getattr(a, name), getattr(b, name)) for name in ("keep", "edges", "outputs"))


cases = given(st.integers(0, 9999), st.integers(1, 10), st.sampled_from(["sinks", "all"]))


@cases
def test_a_task_graph_and_back(seed: int, n: int, join: Join) -> None:
    graphs = drawn(seed, 8, n, join)
    agents = NAMES[:n]
    for shape in (Shape(join=join), Shape(join=join, messages=False), Shape(join=join, rounds=3)):
        made = [shape.task_graph(agents, k, e) for k, e in zip(graphs.keep, graphs.edges, strict=True)]
        assert same(Graphs.of(made, agents), graphs)
        # The arrays say in which order the agents of a task graph run.
        for graph, keep, order in zip(made, graphs.keep, graphs.order(), strict=True):
            kept = [agents[i] for i in order.tolist() if keep[i]]
            assert [node.id for node in graph.nodes] == kept
            assert [name for layer in graph.layers for name in layer] == kept


@cases
def test_depth_is_the_longest_way(seed: int, n: int, join: Join) -> None:
    graphs = drawn(seed, 4, n, join)
    for edges, depth, order in zip(
        graphs.edges.tolist(), graphs.depth().tolist(), graphs.order().tolist(), strict=True
    ):

        def longest(j: int, edges: list[list[bool]] = edges) -> int:
            return max((1 + longest(i, edges) for i in range(n) if edges[i][j]), default=0)

        assert depth == [longest(j) for j in range(n)]
        assert order == sorted(range(n), key=lambda j: (depth[j], j))


def test_edges_of_agents_that_are_not_kept_are_removed() -> None:
    keep = torch.tensor([[True, False, True]])
    graphs = Graphs.joined(keep, ~torch.eye(3, dtype=torch.bool)[None], "sinks")
    assert graphs.edges.nonzero().tolist() == [[0, 0, 2], [0, 2, 0]]
    chain = torch.zeros(1, 3, 3, dtype=torch.bool)
    chain[0, 0, 1] = chain[0, 1, 2] = True
    assert Graphs.joined(keep, chain, "sinks").outputs.tolist() == [[True, False, True]]
    assert Graphs.joined(~keep, chain, "all").outputs.tolist() == [[False, True, False]]


def test_parts_of_graphs() -> None:
    graphs = drawn(0, 12, 5)
    odd = torch.arange(12) % 2 == 1
    assert len(graphs) == 12
    assert same(graphs.take(odd), graphs.take(torch.arange(1, 12, 2)))
    assert same(Graphs.cat([graphs.take(slice(0, 5)), graphs.take(slice(5, 12))]), graphs)


def test_what_arrays_cannot_hold() -> None:
    graph = TaskGraph.of(["a", "b"])
    with pytest.raises(GraphError, match="not among"):
        Graphs.of([graph], ["a"])
    twice = TaskGraph(nodes=(Node("x", "a"), Node("y", "a")))
    with pytest.raises(GraphError, match="twice"):
        Graphs.of([twice], ["a", "b"])


def test_outputs_are_read_not_guessed() -> None:
    graph = TaskGraph.of(["b", "a"], edges=[("b", "a")], outputs=("b",))
    assert Graphs.of([graph], ["a", "b"]).outputs.tolist() == [[False, True]]


def test_a_task_graph_without_messages_orders_and_stops() -> None:
    keep, edges = torch.tensor([True, True]), torch.tensor([[False, False], [True, False]])
    graph = Shape(messages=False, join="all", rounds=2).task_graph("ab", keep, edges, weights=[1.2, 1.0])
    assert graph.edges == (Edge("b", "a", carries=False, stop=STOP),)
    assert graph.nodes == (Node("b", "b"), Node("a", "a", weight=1.2))
    assert graph.outputs == ("b", "a")
    assert graph.rounds == 1
    assert graph.replayable


def test_rounds_of_messages() -> None:
    keep, edges = torch.tensor([True, True, False]), torch.zeros(3, 3, dtype=torch.bool)
    edges[0, 1] = edges[0, 2] = True
    shares = torch.full((3, 3), 0.25)
    shape = Shape(rounds=2, decision="judge", normalise="number")
    graph = shape.task_graph("abc", keep, edges, edge_weights=shares)
    assert graph.spatial == (Edge("a", "b", 0.25),)
    assert graph.temporal == tuple(Edge(*pair, kind="temporal", stop=AGREED) for pair in ("ab", "aa", "bb"))
    assert (graph.aggregation.kind, graph.aggregation.agent) == ("refine", "judge")
    assert graph.aggregation.normalise == "number"
    assert graph.outputs == ("b",)


scores = st.lists(st.floats(0, 1), min_size=1, max_size=9)


@given(scores)
def test_vote_weights_rise_with_scores(values: list[float]) -> None:
    weights = vote_weights(values)
    assert all(1 <= w <= 1.4 for w in weights)
    for (s, w), (t, v) in product(zip(values, weights, strict=True), repeat=2):
        assert s >= t or w <= v
    assert vote_weights([*values, float("nan")])[-1] == 1.0


def test_vote_weights_without_scores() -> None:
    assert vote_weights([float("nan"), float("nan")]) == [1.0, 1.0]
    assert vote_weights([0.5, 0.5]) == [1.0, 1.0]


GRID = [1 + 0.4 * i / 8 for i in range(9)]
"""Weights from 1 to 1.4, both ends among them."""


def stops(answers: tuple[str, ...], weights: tuple[float, ...]) -> bool:
    return stop_holds(STOP, answers, weights, [None] * len(answers))


def test_what_the_votes_of_two_promise() -> None:
    for weights in product(GRID, repeat=2):
        assert stops(("yes", "yes"), weights)
        assert not stops(("yes", "no"), weights)
        assert not stops(("yes", ""), weights)


def test_what_the_votes_of_three_promise() -> None:
    """Two equal ones outvote any third, and stop unless they are the weakest and it is the strongest."""
    for weights in product(GRID, repeat=3):
        assert stops(("yes", "yes", "yes"), weights)
        assert not stops(("yes", "no", "maybe"), weights)
        assert not stops(("yes", "no", ""), weights)
        for odd in range(3):
            answers = tuple("no" if i == odd else "yes" for i in range(3))
            vote = weighted_vote(answers, weights)
            assert vote is not None
            assert vote.key == "yes"
            if weights[odd] < max(weights):
                assert stops(answers, weights)
    assert not stops(("yes", "yes", "no"), (1.0, 1.0, 1.4))
    assert stops(("yes", "yes", "no"), (1.0, 1.2, 1.4))
