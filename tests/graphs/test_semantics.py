from __future__ import annotations

import pytest

from agentnet.errors import GraphError
from agentnet.graphs.live import Step
from agentnet.graphs.semantics import (
    Standing,
    aggregate_plain,
    may_start,
    messages_for,
    round_is_over,
    run_order,
    should_skip,
    standing_answers,
)
from agentnet.graphs.task_graph import Aggregation, Edge, Node, StopCondition, TaskGraph

AGREE = StopCondition("agreement", 1.0, 2)


def done(*steps: Step) -> dict[tuple[int, str], Step]:
    return {(step.round, step.node): step for step in steps}


def step(node: str, answer: str = "x", **fields) -> Step:
    return Step(node=node, agent=node, answer=answer, **fields)


def graph(ids: str, edges, **settings) -> TaskGraph:
    return TaskGraph(nodes=tuple(Node(i, i) for i in ids), edges=tuple(edges), **settings)


def test_a_node_waits_for_its_predecessors_and_for_the_round_before():
    g = graph("ab", [Edge("a", "b")], rounds=2)
    assert may_start(g, "a", 0, {}) and not may_start(g, "b", 0, {})
    assert may_start(g, "b", 0, done(step("a")))
    assert not may_start(g, "a", 1, done(step("a")))
    assert may_start(g, "a", 1, done(step("a"), step("b", skipped=True)))


def test_a_stop_looks_at_all_ancestors_that_ran():
    edges = [Edge("a", "b", carries=False), Edge("b", "c", carries=False, stop=AGREE)]
    g = graph("abc", edges)
    assert should_skip(g, "c", 0, done(step("a", "1"), step("b", "1.0")))
    assert not should_skip(g, "c", 0, done(step("a", "1"), step("b", "2")))
    # A failed ancestor ran, says nothing and weighs against agreement.
    failed = step("b", "1", error="timeout")
    assert not should_skip(g, "c", 0, done(step("a", "1"), failed))


def test_a_stop_ignores_nodes_beside_the_path():
    g = graph("abc", [Edge("a", "c", carries=False, stop=AGREE)])
    assert not should_skip(g, "c", 0, done(step("a", "1"), step("b", "1")))


def test_a_node_is_skipped_when_all_predecessors_were():
    g = graph("abc", [Edge("a", "c"), Edge("b", "c")])
    gone = step("a", skipped=True)
    assert not should_skip(g, "c", 0, done(gone, step("b")))
    assert should_skip(g, "c", 0, done(gone, step("b", skipped=True)))


def test_a_temporal_stop_looks_at_the_round_before_only():
    edges = [Edge(a, b, kind="temporal", stop=AGREE) for a in "ab" for b in "ab"]
    g = graph("ab", edges, rounds=3)
    first = done(step("a", "1"), step("b", "2"))
    assert not should_skip(g, "a", 0, {})
    assert not should_skip(g, "a", 1, first)
    second = first | done(step("a", "2", round=1), step("b", "2", round=1))
    assert should_skip(g, "a", 2, second) and should_skip(g, "b", 2, second)
    assert not round_is_over(g, 0, first) and not round_is_over(g, 1, second)
    third = second | done(step("a", round=2, skipped=True), step("b", round=2, skipped=True))
    assert round_is_over(g, 2, third)


def test_a_round_of_skips_ends_the_run():
    g = graph("a", [], rounds=5)
    assert round_is_over(g, 1, done(step("a", round=1, skipped=True)))
    assert not round_is_over(g, 1, done(step("a", round=1)))


def test_messages_come_along_edges_that_carry():
    edges = [
        Edge("a", "d", 0.5),
        Edge("b", "d", carries=False),
        Edge("c", "d", 0.0),
        Edge("d", "d", kind="temporal"),
        Edge("c", "d", 2.0, kind="temporal"),
    ]
    g = graph("abcd", edges, rounds=2)
    first = done(step("a", "a0"), step("b", "b0"), step("c", "c0"), step("d", "d0"))
    assert [(m.step.answer, m.weight) for m in messages_for(g, "d", 0, first)] == [("a0", 0.5)]
    second = first | done(step("a", "a1", round=1), step("b", "b1", round=1), step("c", "c1", round=1))
    assert [m.step.answer for m in messages_for(g, "d", 1, second)] == ["c0", "d0", "a1"]


@pytest.mark.parametrize("silent", [{"skipped": True}, {"error": "boom"}, {"answer": "  "}])
def test_who_says_nothing_sends_nothing(silent):
    g = graph("ab", [Edge("a", "b")])
    fields = {"answer": "x"} | silent
    assert messages_for(g, "b", 0, done(step("a", **fields))) == []


def test_the_last_answer_of_each_output_stands():
    g = graph("ab", [], rounds=3)
    finished = done(
        step("a", "a0"),
        step("b", "b0"),
        step("a", "a1", round=1),
        step("b", "", round=1, error="boom"),
        step("a", round=2, skipped=True),
        step("b", round=2, skipped=True),
    )
    assert [s.answer for _, s in standing_answers(g, finished)] == ["a1", "b0"]


@pytest.mark.parametrize(
    ("kind", "winner", "answer"),
    [
        ("vote", "b", "y"),
        ("best", "a", "x"),
        ("last", "c", "Y."),
        ("concat", None, "a:\nx\n\nb:\ny\n\nc:\nY."),
    ],
)
def test_plain_aggregations(kind, winner, answer):
    g = graph("abc", [], aggregation=Aggregation(kind))
    finished = done(step("a", "x", score=0.9), step("b", "y", score=0.1), step("c", "Y."))
    assert aggregate_plain(g, finished) == Standing(winner, answer)


def test_best_without_scores_goes_by_weight_then_first():
    nodes = (Node("a", "a", 1), Node("b", "b", 2), Node("c", "c", 2))
    g = TaskGraph(nodes=nodes, aggregation=Aggregation("best"))
    assert aggregate_plain(g, done(step("a"), step("b"), step("c"))).winner == "b"


def test_empty_and_failed_answers_win_nothing():
    g = graph("abc", [])
    finished = done(step("a", ""), step("b", "y", error="boom"), step("c", "z"))
    assert aggregate_plain(g, finished) == Standing("c", "z")
    assert aggregate_plain(g, done(step("a", ""), step("b", ""), step("c", ""))) == Standing(None, "")
    assert aggregate_plain(g, done(step("a", "x", error="boom"))) == Standing(None, "")


def test_votes_of_weight_zero_still_give_an_answer():
    g = TaskGraph(nodes=(Node("a", "a", 0), Node("b", "b", 0)))
    assert aggregate_plain(g, done(step("a", "x"), step("b", "y"))).winner == "a"


def test_refine_is_left_out_when_one_answer_stands():
    g = graph("ab", [], aggregation=Aggregation("refine", agent="editor"))
    assert aggregate_plain(g, done(step("a", ""), step("b", "y"))) == Standing("b", "y")
    with pytest.raises(GraphError, match="refine"):
        aggregate_plain(g, done(step("a", "x"), step("b", "y")))


def test_custom_is_never_computed_here():
    g = graph("a", [], aggregation=Aggregation("custom", options={"name": "f"}))
    with pytest.raises(GraphError, match="custom"):
        aggregate_plain(g, done(step("a")))


def test_run_order_is_by_layer():
    assert run_order(graph("cab", [Edge("b", "c"), Edge("a", "c")])) == ("a", "b", "c")
