from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentnet.errors import DataError, GraphError
from agentnet.graphs.answers import normalise
from agentnet.graphs.builders import cascade, chain, debate, single, star, vote
from agentnet.graphs.replay import replay
from agentnet.graphs.task_graph import Node, StopCondition, TaskGraph

from .strategies import graphs


def test_a_vote_is_answered_by_the_first_of_the_winning_group():
    out = replay(vote(["a", "b", "c"], [0.5, 0.3, 0.3]), {"a": "x", "b": "The y", "c": "y."})
    assert (out.ran, out.winner, out.key, out.stopped_after) == (("a", "b", "c"), "b", "y", None)


def test_a_cascade_stops_on_agreement_only():
    g = cascade([["a", "b"], ["c"], ["d"]])
    agreed = replay(g, {"a": "1", "b": "1.0", "c": "2", "d": "3"})
    assert (agreed.ran, agreed.skipped, agreed.stopped_after, agreed.winner) == (
        ("a", "b"),
        ("c", "d"),
        2,
        "a",
    )
    full = replay(g, {"a": "1", "b": "2", "c": "3", "d": "4"})
    assert (full.ran, full.winner, full.stopped_after) == (("a", "b", "c", "d"), "d", None)
    half = replay(cascade([["a", "b"], ["c"], ["d"]], 0.7), {"a": "1", "b": "2", "c": "2", "d": "9"})
    assert (half.stopped_after, half.winner, half.key) == (3, "b", "2")


def test_a_single_stage_of_one_never_agrees_with_itself():
    assert replay(cascade([["a"], ["b"]]), {"a": "1", "b": "2"}).winner == "b"


def test_the_same_agent_may_stand_twice():
    out = replay(vote(["a", "b", "a"]), {"a": "1", "b": "2"})
    assert (out.ran, out.winner) == (("a", "b", "a#2"), "a")


def test_scores_decide_best_of():
    g = TaskGraph.of(["a", "b"]).with_(aggregation=cascade([["a"]]).aggregation.__class__("best"))
    assert replay(g, {"a": "1", "b": "2"}, {"a": 0.1, "b": 0.9}).winner == "b"


def test_a_score_stop_without_scores_never_holds():
    g = cascade([["a"], ["b"]])
    edges = [edge.__class__("a", "b", carries=False, stop=StopCondition("score", 0.5)) for edge in g.edges]
    g = g.with_(edges=edges)
    assert replay(g, {"a": "1", "b": "2"}).stopped_after is None
    assert replay(g, {"a": "1", "b": "2"}, {"a": 0.5}).stopped_after == 1


def test_missing_text_is_told():
    alone = replay(single("a"), {"a": None})
    assert alone.exact and alone.winner == "a" and alone.missing == ("a",)
    both = replay(vote(["a", "b"]), {"a": None, "b": "2"})
    assert not both.exact and both.missing == ("a",) and both.winner == "b"
    assert replay(vote(["a", "b"]), {"a": "", "b": ""}).winner is None


@pytest.mark.parametrize(
    "graph",
    [
        chain(["a", "b"]),
        debate(["a", "b"]),
        star(["a", "b"], merge="c"),
        TaskGraph(nodes=(Node("a", "a", prompt="think"),)),
        single("a", grow=True),
    ],
)
def test_what_cannot_be_replayed_is_refused(graph):
    with pytest.raises(GraphError, match="Run it instead"):
        replay(graph, {"a": "1", "b": "2", "c": "3"})


def test_an_unknown_agent_is_an_error_only_if_it_would_run():
    g = cascade([["a", "b"], ["c"]])
    assert replay(g, {"a": "1", "b": "1"}).stopped_after == 2
    with pytest.raises(DataError, match="agent 'c'; there are \\['a', 'b'\\]"):
        replay(g, {"a": "1", "b": "2"})


def naive(graph: TaskGraph, answers, scores):  # noqa: C901 - the rules in one place, on purpose
    """The rules of TaskGraph's docstring once more, straight from the words, without shared code."""
    parents = defaultdict(list)
    for edge in graph.edges:
        parents[edge.target].append(edge)
    weight = {node.id: node.weight for node in graph.nodes}
    agent = {node.id: node.agent for node in graph.nodes}
    state: dict[str, bool] = {}

    def above(name):
        found = set()
        for edge in parents[name]:
            found |= {edge.source} | above(edge.source)
        return found

    def heaviest(names):
        groups = defaultdict(float)
        for name in names:
            if weight[name] and normalise(answers[agent[name]]):
                groups[normalise(answers[agent[name]])] += weight[name]
        return max(groups.values(), default=0.0), groups

    def holds(stop, names):
        texts = [name for name in names if answers[agent[name]].strip()]
        if stop.kind == "answered":
            return len(texts) >= stop.min_answers
        if stop.kind == "score":
            high = [
                n for n in texts if scores.get(agent[n]) is not None and scores[agent[n]] >= stop.threshold
            ]
            return len(high) >= stop.min_answers
        voters = [name for name in texts if weight[name] > 0]
        total = sum(weight[name] for name in names)
        top = heaviest(names)[0]
        return len(voters) >= stop.min_answers and top > 0 and top >= stop.threshold * total - 1e-9

    def ran(name):
        if name not in state:
            sources = [ran(edge.source) for edge in parents[name]]
            skip = bool(sources) and not any(sources)
            alive = sorted(a for a in above(name) if ran(a))
            skip = skip or (bool(alive) and any(holds(e.stop, alive) for e in parents[name] if e.stop))
            state[name] = not skip
        return state[name]

    order = [name for layer in graph.layers for name in layer]
    alive = [name for name in order if ran(name)]
    candidates = [name for name in graph.outputs if name in alive]
    if len(candidates) > 1:
        candidates = [name for name in candidates if answers[agent[name]].strip()]
    if not candidates:
        return alive, None
    if len(candidates) == 1:
        return alive, candidates[0]
    kind = graph.aggregation.kind
    if kind == "last":
        return alive, max(candidates, key=order.index)
    if kind == "best":
        ranked = [(scores.get(agent[n], -1.0), weight[n]) for n in candidates]
        return alive, candidates[ranked.index(max(ranked))]
    top, groups = heaviest(candidates)
    for name in candidates:
        if weight[name] and top and groups.get(normalise(answers[agent[name]])) == top:
            return alive, name
    return alive, candidates[0]


@given(graphs(replayable=True), st.data())
def test_replay_equals_a_naive_reading_of_the_rules(graph, data):
    answers = {a: data.draw(st.sampled_from(["1", "1.0", "2", "", " "])) for a in graph.agents}
    scores = {
        a: data.draw(st.sampled_from([0.0, 0.5, 1.0])) for a in graph.agents if data.draw(st.booleans())
    }
    out = replay(graph, answers, scores)
    ran, winner = naive(graph, answers, scores)
    assert list(out.ran) == ran
    assert out.winner == winner
    assert set(out.ran) | set(out.skipped) == {node.id for node in graph.nodes}
    assert out.stopped_after == (len(ran) if out.skipped else None)
