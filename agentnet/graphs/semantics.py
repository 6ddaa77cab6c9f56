"""The rules by which a task graph runs, as pure functions: the runtime and `replay` both call these.

``finished`` maps ``(round, node id)`` to the `Step` of every node that was run or skipped so far.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from agentnet.errors import GraphError
from agentnet.graphs.answers import stop_holds, weighted_vote
from agentnet.graphs.live import Step
from agentnet.graphs.task_graph import Node, StopCondition, TaskGraph

Finished = Mapping[tuple[int, str], Step]


class Standing(NamedTuple):
    """The answer that stands after aggregation."""

    winner: str | None
    """Id of the node whose answer stands; None when several were joined or nobody answered."""
    answer: str


class Incoming(NamedTuple):
    """One message a node receives."""

    node: Node
    step: Step
    weight: float
    """Weight of the edge it came along."""


def run_order(graph: TaskGraph) -> tuple[str, ...]:
    """Returns node ids layer by layer, in node order inside a layer: the order results are told in.

    >>> run_order(TaskGraph.of(["c", "a", "b"], edges=[("a", "c")]))
    ('a', 'b', 'c')
    """
    return tuple(name for layer in graph.layers for name in layer)


def may_start(graph: TaskGraph, node_id: str, round: int, finished: Finished) -> bool:
    """Returns whether all that a node waits for in this round has been run or skipped."""
    if round and any((round - 1, node.id) not in finished for node in graph.nodes):
        return False
    return all((round, edge.source) in finished for edge in graph.spatial if edge.target == node_id)


def should_skip(graph: TaskGraph, node_id: str, round: int, finished: Finished) -> bool:
    """Returns whether a node that may start is skipped instead.

    It is skipped when it has spatial predecessors and all were skipped, when a stop condition on a
    spatial edge into it holds over its ancestors of this round that ran, or when one on a temporal
    edge into it holds over the sources of its temporal edges that ran in the round before.
    """
    incoming = [edge for edge in graph.edges if edge.target == node_id]
    spatial = [edge for edge in incoming if edge.kind == "spatial"]
    if spatial and all(finished[round, edge.source].skipped for edge in spatial):
        return True
    kind = graph.aggregation.normalise
    stops = [edge.stop for edge in spatial if edge.stop is not None]
    if stops:
        above = _ancestors(graph, node_id)
        if _any_stop(
            graph, stops, [(round, name) for name in run_order(graph) if name in above], finished, kind
        ):
            return True
    temporal = [edge for edge in incoming if edge.kind == "temporal"] if round else []
    stops = [edge.stop for edge in temporal if edge.stop is not None]
    sources = {edge.source for edge in temporal}
    at = [(round - 1, name) for name in run_order(graph) if name in sources]
    return bool(stops) and _any_stop(graph, stops, at, finished, kind)


def round_is_over(graph: TaskGraph, round: int, finished: Finished) -> bool:
    """Returns whether the run ends with this round: it is the last, or every node of it was skipped."""
    return round + 1 >= graph.rounds or all(finished[round, node.id].skipped for node in graph.nodes)


def messages_for(graph: TaskGraph, node_id: str, round: int, finished: Finished) -> list[Incoming]:
    """Returns what a node sees: answers along edges that carry, of the round before first.

    A source that was skipped, failed or said nothing sends nothing, and neither does an edge of
    weight 0. Inside each part the order is the run order of the sources.
    """
    place = {name: i for i, name in enumerate(run_order(graph))}
    found: list[tuple[int, int, Incoming]] = []
    for edge in graph.edges:
        if edge.target != node_id or not edge.carries or edge.weight == 0:
            continue
        at = round if edge.kind == "spatial" else round - 1
        step = finished.get((at, edge.source))
        if step is not None and step.answered:
            found.append((at, place[edge.source], Incoming(graph.node(edge.source), step, edge.weight)))
    found.sort(key=lambda item: item[:2])
    return [item[2] for item in found]


def standing_answers(graph: TaskGraph, finished: Finished) -> list[tuple[Node, Step]]:
    """Returns each output node that ran with its last answer (or last step, if it never answered).

    The order is that of ``graph.outputs``; ties of every aggregation go to the first.
    """
    found = []
    last_round = max((at for at, _ in finished), default=-1)
    for name in graph.outputs:
        steps = [finished[at, name] for at in range(last_round, -1, -1) if (at, name) in finished]
        ran = [step for step in steps if not step.skipped]
        if ran:
            found.append((graph.node(name), next((step for step in ran if step.answered), ran[0])))
    return found


def aggregate_plain(graph: TaskGraph, finished: Finished) -> Standing:
    """Joins the outputs' answers without calling a model: vote, best, last and concat.

    One output that ran without error stands whatever the aggregation; answers of other outputs count
    only if they are not empty. A refine aggregation is resolved here only when one answer stands.

    Raises:
        GraphError: the aggregation needs an agent or a function (refine of several answers, custom).
    """
    kind = graph.aggregation.kind
    standing = [(node, step) for node, step in standing_answers(graph, finished) if step.error is None]
    if kind != "custom" and len(standing) == 1:
        return Standing(standing[0][0].id, standing[0][1].answer)
    answered = [(node, step) for node, step in standing if step.answered]
    if kind == "custom" or (kind == "refine" and len(answered) > 1):
        raise GraphError(f"a {kind} aggregation of several answers has to be run, not computed.")
    if not answered:
        return Standing(None, "")
    if kind == "concat" and len(answered) > 1:
        return Standing(None, "\n\n".join(f"{node.agent}:\n{step.answer}" for node, step in answered))
    node, step = _pick(graph, answered)
    return Standing(node.id, step.answer)


def _pick(graph: TaskGraph, answered: list[tuple[Node, Step]]) -> tuple[Node, Step]:
    kind = graph.aggregation.kind
    if kind == "best":
        return max(
            answered, key=lambda pair: (-1.0 if pair[1].score is None else pair[1].score, pair[0].weight)
        )
    if kind == "last":
        place = {name: i for i, name in enumerate(run_order(graph))}
        return max(answered, key=lambda pair: (pair[1].round, place[pair[0].id]))
    vote = weighted_vote(
        [step.answer for _, step in answered],
        [node.weight for node, _ in answered],
        graph.aggregation.normalise,
    )
    return answered[vote.winner if vote else 0]


def _ancestors(graph: TaskGraph, node_id: str) -> set[str]:
    before: dict[str, list[str]] = {}
    for edge in graph.spatial:
        before.setdefault(edge.target, []).append(edge.source)
    found: set[str] = set()
    todo = [node_id]
    while todo:
        for name in before.get(todo.pop(), ()):
            if name not in found:
                found.add(name)
                todo.append(name)
    return found


def _any_stop(
    graph: TaskGraph,
    stops: list[StopCondition],
    at: list[tuple[int, str]],
    finished: Finished,
    kind: str,
) -> bool:
    ran = [finished[key] for key in at if key in finished and not finished[key].skipped]
    if not ran:
        return False
    weights = {node.id: node.weight for node in graph.nodes}
    answers = [step.answer if step.error is None else "" for step in ran]
    shares = [weights[step.node] for step in ran]
    scores = [step.score for step in ran]
    return any(stop_holds(stop, answers, shares, scores, kind) for stop in dict.fromkeys(stops))
