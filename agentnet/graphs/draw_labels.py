"""Words on drawings, shared by Mermaid and SVG."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

from agentnet.errors import GraphError
from agentnet.graphs.task_graph import Edge, StopCondition, TaskGraph

_FORBIDDEN = re.compile(r"[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def clean(text: str) -> str:
    """Returns text with characters that XML forbids replaced, and white space made single spaces.

    >>> clean(" a " + chr(10) + "b")
    'a b'
    """
    allowed = _FORBIDDEN.sub("\ufffd", text)
    return " ".join(allowed.split())


def wrap_label(text: str, width: int = 22, lines: int = 4) -> list[str]:
    """Returns a label in lines of at most ``width`` characters; long words break, the end is cut with "...".

    >>> wrap_label("Llama-3.1-405B-Instruct-Turbo", 12)
    ['Llama-3.1-', '405B-', 'Instruct-', 'Turbo']
    """
    return textwrap.wrap(clean(text), width, max_lines=lines, placeholder="...") or [""]


def stop_label(stop: StopCondition) -> str:
    """Returns a stop condition in words.

    >>> stop_label(StopCondition("agreement", 0.75, 2))
    'skip if 75% of 2+ agree'
    """
    if stop.kind in ("agreement", "disagreement"):
        share = "all" if stop.threshold == 1 else f"{stop.threshold:.0%}"
        negated = "" if stop.kind == "agreement" else "not "
        return f"skip if {negated}{share} of {stop.min_answers}+ agree"
    if stop.kind == "score":
        count = "" if stop.min_answers == 1 else f" of {stop.min_answers}"
        return f"skip if score{count} >= {stop.threshold:g}"
    return f"skip if {stop.min_answers}+ answered"


def join_label(graph: TaskGraph) -> str:
    """Returns the aggregation in words.

    >>> join_label(TaskGraph.of(["a"])), join_label(TaskGraph.of(["a", "b"]))
    ('answer', 'vote')
    """
    join = graph.aggregation
    if join.kind == "refine":
        return f"refine: {join.agent}"
    if join.kind == "custom":
        return f"custom: {join.options['name']}"
    return "answer" if len(graph.outputs) == 1 else join.kind


def settings_label(graph: TaskGraph) -> str:
    """Returns rounds, limits and growth in words; empty when all are plain.

    >>> settings_label(TaskGraph.of(["a"], rounds=3))
    '3 rounds'
    """
    parts = [f"{graph.rounds} rounds"] if graph.rounds > 1 else []
    if graph.limits is not None:
        units = {"usd": "USD", "tokens": "tokens", "calls": "calls", "seconds": "s"}
        parts += [f"at most {value} {units[name]}" for name, value in graph.limits.to_dict().items()]
    if graph.grow:
        parts.append("grows")
    return " · ".join(parts)


def all_to_all(graph: TaskGraph, edges: Sequence[Edge]) -> bool:
    """Whether these temporal edges are alike and join all nodes, so that one line can stand for all."""
    pairs = {(edge.source, edge.target) for edge in edges}
    ids = [node.id for node in graph.nodes]
    others = {(a, b) for a in ids for b in ids if a != b}
    alike = len({(edge.weight, edge.stop, edge.carries) for edge in edges}) == 1
    own = {(name, name) for name in ids}
    return len(ids) > 1 and alike and pairs in (others, others | own)


def with_pruned(graph: TaskGraph, full: TaskGraph | None) -> tuple[TaskGraph, set[str], set[Edge]]:
    """Returns the graph to draw, and which of its nodes and edges were pruned (drawn grey).

    Raises:
        GraphError: the graph has nodes that the full graph lacks, or both together have a cycle.
    """
    if full is None:
        return graph, set(), set()
    kept = {node.id: node for node in graph.nodes}
    if strange := sorted(set(kept) - {node.id for node in full.nodes}):
        raise GraphError(
            f"nodes {strange} are not in the full graph; draw a graph with what it was cut from."
        )
    stays = {(edge.source, edge.target, edge.kind) for edge in graph.edges}
    gone = [edge for edge in full.edges if (edge.source, edge.target, edge.kind) not in stays]
    nodes = tuple(kept.get(node.id, node) for node in full.nodes)
    drawn = graph.with_(nodes=nodes, edges=(*graph.edges, *gone))
    return drawn, {node.id for node in nodes} - set(kept), set(gone)
