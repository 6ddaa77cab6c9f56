"""Drawings of task graphs: Mermaid text and self-contained SVG."""

from __future__ import annotations

from agentnet.graphs.draw_labels import (
    all_to_all,
    clean,
    join_label,
    settings_label,
    stop_label,
    with_pruned,
    wrap_label,
)
from agentnet.graphs.draw_svg import to_svg
from agentnet.graphs.task_graph import Edge, TaskGraph

__all__ = ["to_mermaid", "to_svg"]

_ENTITIES = str.maketrans({c: f"#{ord(c)};" for c in '#"<>&`|[]{}()\\;'})


def to_mermaid(graph: TaskGraph, *, full: TaskGraph | None = None) -> str:
    """Returns the graph as a Mermaid flowchart.

    Solid lines pass answers, dotted ones only order the work, thick dotted labels tell when a node is
    skipped; temporal edges are labelled "next round".

    Args:
        graph: The graph.
        full: The graph it was pruned from: what is missing is drawn grey.

    Raises:
        GraphError: the graph is no part of ``full``.

    >>> print(to_mermaid(TaskGraph.of(["a", "b"], edges=[("a", "b")])))
    flowchart LR
        n0["a"]
        n1["b"]
        n0 --> n1
        join(["answer"])
        n1 ==> join
    """
    drawn, pruned, gone = with_pruned(graph, full)
    place = {node.id: f"n{i}" for i, node in enumerate(drawn.nodes)}
    lines = ["flowchart LR"]
    for node in drawn.nodes:
        words = wrap_label(node.id)
        if node.agent != node.id:
            words += wrap_label(f"({node.agent})")
        if node.weight != 1:
            words.append(f"weight {node.weight:g}")
        lines.append(f'    {place[node.id]}["{"<br/>".join(_escape(word) for word in words)}"]')
    compact = all_to_all(drawn, drawn.temporal)
    grey: list[int] = []
    count = 0
    for edge in drawn.edges:
        if edge.kind == "temporal" and compact:
            continue
        if edge in gone:
            grey.append(count)
        count += 1
        lines.append(f"    {place[edge.source]} {_arrow(edge)} {place[edge.target]}")
    lines.append(f'    join(["{_escape(join_label(graph))}"])')
    lines += [f"    {place[name]} ==> join" for name in graph.outputs]
    notes = [settings_label(graph)] if settings_label(graph) else []
    if compact:
        stop = drawn.temporal[0].stop
        notes.append("each sees all answers of the round before" + (f"; {stop_label(stop)}" if stop else ""))
    if notes:
        lines.append(f'    note["{"<br/>".join(_escape(note) for note in notes)}"]:::note')
        lines.append("    classDef note fill:none,stroke:none,color:#666")
    if pruned:
        lines.append("    classDef pruned fill:#f4f4f4,stroke:#bbb,color:#999,stroke-dasharray:3")
        lines.append(f"    class {','.join(place[n.id] for n in drawn.nodes if n.id in pruned)} pruned")
    if grey:
        lines.append(f"    linkStyle {','.join(map(str, grey))} stroke:#ccc")
    return "\n".join(lines)


def _arrow(edge: Edge) -> str:
    words = ["next round"] if edge.kind == "temporal" else []
    if edge.weight != 1:
        words.append(f"{edge.weight:g}")
    if edge.stop is not None:
        words.append(stop_label(edge.stop))
    dotted = edge.kind == "temporal" or not edge.carries
    line = "-.->" if dotted else "-->"
    return f'{line}|"{_escape(", ".join(words))}"|' if words else line


def _escape(text: str) -> str:
    return clean(text).translate(_ENTITIES)
