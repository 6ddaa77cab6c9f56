"""Task graphs as self-contained SVG, without scripts, fonts or outside references."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise

from agentnet.graphs.draw_labels import (
    all_to_all,
    clean,
    join_label,
    settings_label,
    stop_label,
    with_pruned,
    wrap_label,
)
from agentnet.graphs.draw_layout import Box, Layout, layered_layout
from agentnet.graphs.task_graph import Edge, Node, TaskGraph

_INK, _SOFT, _GREY = "#1f2a37", "#5b6775", "#c3c9d1"
_BLUE, _BROWN, _RED, _GREEN = "#2f6db3", "#b0611a", "#b3261e", "#2f7d5b"
_MARGIN, _LINE, _CHAR = 22.0, 15.0, 6.9
_JOIN = "\0join"
Point = tuple[float, float]


def to_svg(
    graph: TaskGraph,
    *,
    full: TaskGraph | None = None,
    title: str = "",
    names: Mapping[str, str] | None = None,
) -> str:
    """Returns the graph as an SVG image.

    Columns are the topological layers, line width is the edge's weight. Blue lines pass answers, grey
    ones only order the work, brown ones lead into the next round; a dashed line holds a stop condition,
    told in red under the node that is skipped.

    Args:
        graph: The graph.
        full: The graph it was pruned from: what is missing is drawn grey.
        title: A heading.
        names: What to call an agent on the drawing, by agent name.

    Raises:
        GraphError: the graph is no part of ``full``.

    >>> to_svg(TaskGraph.of(["a", "b"], edges=[("a", "b")])).startswith("<svg ")
    True
    """
    drawn, pruned, gone = with_pruned(graph, full)
    labels = {node.id: _node_lines(node, names or {}) for node in drawn.nodes}
    stops = {node.id: _stop_lines(drawn, node.id) for node in drawn.nodes if node.id not in pruned}
    join = wrap_label(join_label(graph), 20)
    sizes = {key: _size([text for text, _ in lines], stops.get(key, [])) for key, lines in labels.items()}
    sizes[_JOIN] = _size(join, [])
    pairs = [(edge.source, edge.target) for edge in drawn.spatial]
    layout = layered_layout(
        [*drawn.layers, (_JOIN,)], [*pairs, *((name, _JOIN) for name in graph.outputs)], sizes
    )
    compact = all_to_all(drawn, drawn.temporal)
    widths = {key: _size([text for text, _ in lines], [])[0] for key, lines in labels.items()}
    canvas = _Canvas(layout, widths | {_JOIN: sizes[_JOIN][0]}, stops)
    canvas.spatial(drawn, graph.outputs, gone)
    if compact:
        canvas.loop(drawn.temporal[0])
    else:
        canvas.temporal(drawn.temporal, gone)
    for node in drawn.nodes:
        canvas.node(node.id, labels[node.id], faded=node.id in pruned, output=node.id in graph.outputs)
    canvas.join(join)
    return canvas.finish(title, [settings_label(graph), *_legend(drawn, pruned, compact)])


class _Canvas:
    """Collects shapes in layout coordinates; `finish` adds the frame."""

    def __init__(
        self, layout: Layout, widths: Mapping[str, float], stops: Mapping[str, Sequence[str]]
    ) -> None:
        self.boxes = {
            name: _without_stop(box, widths[name], stops.get(name, ())) for name, box in layout.boxes.items()
        }
        self.stops = stops
        self.layout = layout
        self.lines: list[str] = []
        self.shapes: list[str] = []
        self.top, self.bottom = 0.0, layout.height
        self.left = 0.0

    def spatial(self, graph: TaskGraph, outputs: Sequence[str], gone: set[Edge]) -> None:
        """Draws edges inside a round, and those from the outputs to the join."""
        edges: dict[tuple[str, str], Edge | None] = {(e.source, e.target): e for e in graph.spatial}
        edges |= {(name, _JOIN): None for name in outputs}
        leave, enter = self._ports(list(edges))
        heaviest = max((edge.weight for edge in graph.spatial), default=1.0) or 1.0
        varied = len({edge.weight for edge in graph.spatial}) > 1
        for key, edge in edges.items():
            points = [leave[key], *self.layout.routes[key], enter[key]]
            if edge is None:
                self._path(_smooth(points), _GREEN, 1.5, tip="to the answer")
                continue
            colour = _GREY if edge in gone else _BLUE if edge.carries else _SOFT
            width = 1.0 + 2.5 * edge.weight / heaviest if varied else 1.6
            self._path(_smooth(points), colour, width, dashed=edge.stop is not None, tip=_tip(edge))
            if varied and len(graph.spatial) <= 16 and edge not in gone:
                (x1, y1), (x2, y2) = points[-2:]
                self._text(x1 + (x2 - x1) * 0.5, y1 + (y2 - y1) * 0.5 - 4, f"{edge.weight:.2g}", 10, _SOFT)

    def temporal(self, edges: Sequence[Edge], gone: set[Edge]) -> None:
        """Draws edges into the next round as curves around the boxes."""
        for number, edge in enumerate(edges):
            a, b = self.boxes[edge.source], self.boxes[edge.target]
            colour = _GREY if edge in gone else _BROWN
            if edge.source == edge.target:
                x, y = a.x - a.width / 4, a.y - a.height / 2
                path = (
                    f"M{x:.1f},{y:.1f} C{x - 16:.1f},{y - 26:.1f} {x + 30:.1f},{y - 26:.1f} "
                    f"{x + 14:.1f},{y:.1f}"
                )
                self.top = min(self.top, y - 22)
            elif a.x == b.x:
                out = 24.0 + 7.0 * (number % 4)
                x1, x2 = a.x - a.width / 2, b.x - b.width / 2
                shift = 5.0 if a.y < b.y else -5.0
                bend = min(x1, x2) - out
                path = (
                    f"M{x1:.1f},{a.y + shift:.1f} C{bend:.1f},{a.y + shift:.1f} {bend:.1f},{b.y + shift:.1f} "
                    f"{x2:.1f},{b.y + shift:.1f}"
                )
                self.left = min(self.left, bend)
            else:
                low = max(self.layout.height, a.y + a.height / 2, b.y + b.height / 2) + 18 + 9 * (number % 4)
                y1, y2 = a.y + a.height / 2, b.y + b.height / 2
                path = f"M{a.x:.1f},{y1:.1f} C{a.x:.1f},{low:.1f} {b.x:.1f},{low:.1f} {b.x:.1f},{y2:.1f}"
                self.bottom = max(self.bottom, low)
            self._path(path, colour, 1.5, dashed=edge.stop is not None, tip=_tip(edge))

    def loop(self, edge: Edge) -> None:
        """One line over all nodes that stands for "everyone sees everyone" in the next round."""
        boxes = [box for name, box in self.boxes.items() if name != _JOIN]
        left, right = min(b.x - b.width / 2 for b in boxes), max(b.x + b.width / 2 for b in boxes)
        top = min(b.y - b.height / 2 for b in boxes)
        roof = top - 26
        path = (
            f"M{right:.1f},{top - 4:.1f} C{right + 6:.1f},{roof:.1f} {right - 10:.1f},{roof:.1f} "
            f"{right - 24:.1f},{roof:.1f} L{left + 24:.1f},{roof:.1f} "
            f"C{left + 10:.1f},{roof:.1f} {left - 6:.1f},{roof:.1f} {left:.1f},{top - 4:.1f}"
        )
        self._path(path, _BROWN, 1.8, dashed=edge.stop is not None, tip="all to all, next round")
        self._text((left + right) / 2, roof - 6, "next round: all see all", 11, _BROWN)
        self.top = min(self.top, roof - 20)

    def node(self, name: str, lines: Sequence[tuple[str, bool]], *, faded: bool, output: bool) -> None:
        """Draws a box with its lines; what skips it stands below in red."""
        box = self.boxes[name]
        stroke, fill = (_GREY, "#fafafa") if faded else (_GREEN if output else _BLUE, "#f3f7fc")
        dash = ' stroke-dasharray="4 3"' if faded else ""
        tip = escape(clean(name))
        self.shapes.append(
            f'<g><title>{tip}</title><rect x="{box.x - box.width / 2:.1f}" y="{box.y - box.height / 2:.1f}" '
            f'width="{box.width:.1f}" height="{box.height:.1f}" rx="7" fill="{fill}" stroke="{stroke}" '
            f'stroke-width="1.5"{dash}/>'
        )
        y = box.y - (len(lines) - 1) * _LINE / 2 + 4
        for text, strong in lines:
            colour = "#9aa3ad" if faded else _INK if strong else _SOFT
            self._text(box.x, y, text, 12 if strong else 11, colour, strong=strong, inside=True)
            y += _LINE
        self.shapes.append("</g>")
        for i, text in enumerate(self.stops.get(name, ())):
            self._text(box.x, box.y + box.height / 2 + 13 + i * 13, text, 10, _RED)

    def join(self, lines: Sequence[str]) -> None:
        """Draws the aggregation."""
        box = self.boxes[_JOIN]
        self.shapes.append(
            f'<rect x="{box.x - box.width / 2:.1f}" y="{box.y - box.height / 2:.1f}" '
            f'width="{box.width:.1f}" height="{box.height:.1f}" rx="{box.height / 2:.1f}" '
            f'fill="{_GREEN}"/>'
        )
        for i, text in enumerate(lines):
            y = box.y - (len(lines) - 1) * _LINE / 2 + 4 + i * _LINE
            self._text(box.x, y, text, 12, "#fff", strong=True, inside=True)

    def finish(self, title: str, notes: Sequence[str]) -> str:
        """Returns the image with heading, legend and a frame around all that was drawn."""
        words = [note for note in notes if note]
        legend: list[str] = []
        line = ""
        room = max(self.layout.width - self.left, 320.0)
        for word in words:
            if line and _CHAR * 0.85 * (len(line) + len(word) + 3) > room:
                legend.append(line)
                line = ""
            line = f"{line} · {word}" if line else word
        legend += [line] if line else []
        heading = wrap_label(title, max(int(room / 8), 20)) if title else []
        top = self.top - _MARGIN - 20 * len(heading)
        left = self.left - _MARGIN
        for i, text in enumerate(heading):
            self._text(left + _MARGIN, top + 22 + 20 * i, text, 14, _INK, strong=True, anchor="start")
        for i, text in enumerate(legend):
            self._text(left + _MARGIN, self.bottom + 22 + 15 * i, text, 10.5, _SOFT, anchor="start")
        width = room + 2 * _MARGIN
        height = self.bottom - top + 15 * len(legend) + _MARGIN
        name = clean(title) or "task graph"
        markers = "".join(_marker(colour) for colour in (_BLUE, _SOFT, _GREY, _BROWN, _GREEN))
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
            f'viewBox="{left:.1f} {top:.1f} {width:.1f} {height:.1f}" role="img" '
            f'font-family="Helvetica, Arial, sans-serif"><title>{escape(name)}</title>'
            f'<defs>{markers}</defs><rect x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" '
            f'height="{height:.1f}" fill="#fff"/>{"".join(self.lines)}{"".join(self.shapes)}</svg>'
        )

    def _ports(
        self, pairs: Sequence[tuple[str, str]]
    ) -> tuple[dict[tuple[str, str], Point], dict[tuple[str, str], Point]]:
        """Where each edge leaves and enters its boxes: spread along the sides, in the order of the ends."""
        leave: dict[tuple[str, str], Point] = {}
        enter: dict[tuple[str, str], Point] = {}
        for name, box in self.boxes.items():
            for side, found in ((0, leave), (1, enter)):
                here = [pair for pair in pairs if pair[side] == name]
                here.sort(key=lambda pair, side=side: self._next_y(pair, side))  # type: ignore[misc]
                step = min(11.0, 0.7 * box.height / max(len(here), 1))
                x = box.x + (box.width / 2 if side == 0 else -box.width / 2)
                for i, pair in enumerate(here):
                    found[pair] = (x, box.y + (i - (len(here) - 1) / 2) * step)
        return leave, enter

    def _next_y(self, pair: tuple[str, str], side: int) -> float:
        route = self.layout.routes[pair]
        return (route[0] if side == 0 else route[-1])[1] if route else self.boxes[pair[1 - side]].y

    def _path(self, path: str, colour: str, width: float, *, dashed: bool = False, tip: str = "") -> None:
        dash = ' stroke-dasharray="6 4"' if dashed else ""
        self.lines.append(
            f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="{width:.2f}"{dash} '
            f'marker-end="url(#{_marker_id(colour)})"><title>{escape(tip)}</title></path>'
        )

    def _text(
        self,
        x: float,
        y: float,
        text: str,
        size: float,
        colour: str,
        *,
        strong: bool = False,
        anchor: str = "middle",
        inside: bool = False,
    ) -> None:
        style = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size:g}"'
        style += ' font-weight="600"' if strong else ""
        if not inside:
            # A white outline under the words keeps them readable where they cross a line.
            self.shapes.append(
                f'<text {style} fill="#fff" stroke="#fff" stroke-width="3" aria-hidden="true">'
                f"{escape(text)}</text>"
            )
        self.shapes.append(f'<text {style} fill="{colour}">{escape(text)}</text>')


def _marker_id(colour: str) -> str:
    return f"agentnet-arrow-{colour[1:]}"


def _marker(colour: str) -> str:
    return (
        f'<marker id="{_marker_id(colour)}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="9" '
        f'markerHeight="9" markerUnits="userSpaceOnUse" orient="auto"><path d="M0,1 L10,5 L0,9 z" '
        f'fill="{colour}"/></marker>'
    )


def _node_lines(node: Node, names: Mapping[str, str]) -> list[tuple[str, bool]]:
    shown = names.get(node.agent, node.agent)
    lines = [(text, True) for text in wrap_label(shown if node.id == node.agent else node.id)]
    if node.id != node.agent:
        lines += [(text, False) for text in wrap_label(shown)]
    if node.weight != 1:
        lines.append((f"weight {node.weight:.3g}", False))
    return lines


def _stop_lines(graph: TaskGraph, name: str) -> list[str]:
    lines = []
    for edges, prefix in ((graph.spatial, ""), (graph.temporal, "next round: ")):
        into = [edge.stop for edge in edges if edge.target == name and edge.stop is not None]
        lines += [prefix + stop_label(stop) for stop in dict.fromkeys(into)]
    return lines


def _size(lines: Sequence[str], stops: Sequence[str]) -> tuple[float, float]:
    """Width and height of a box with the words under it."""
    width = max(len(text) for text in lines) * _CHAR + 26
    below = max((len(text) for text in stops), default=0) * 5.2
    return max(width, below, 70.0), len(lines) * _LINE + 16 + 13 * len(stops)


def _without_stop(box: Box, width: float, stops: Sequence[str]) -> Box:
    extra = 13 * len(stops)
    return Box(box.x, box.y - extra / 2, width, box.height - extra)


def _smooth(points: Sequence[Point]) -> str:
    """A curve through the points that leaves and enters level."""
    path = f"M{points[0][0]:.1f},{points[0][1]:.1f}"
    for (x1, y1), (x2, y2) in pairwise(points):
        half = (x2 - x1) / 2
        path += f" C{x1 + half:.1f},{y1:.1f} {x2 - half:.1f},{y2:.1f} {x2:.1f},{y2:.1f}"
    return path


def _tip(edge: Edge) -> str:
    words = f"{clean(edge.source)} -> {clean(edge.target)}, weight {edge.weight:g}"
    words += "" if edge.carries else ", order only"
    return words + (f", {stop_label(edge.stop)}" if edge.stop else "")


def _legend(graph: TaskGraph, pruned: set[str], compact: bool) -> list[str]:
    words = []
    if any(edge.carries for edge in graph.spatial) and any(not edge.carries for edge in graph.spatial):
        words.append("blue: answer is passed on")
    if any(not edge.carries for edge in graph.spatial):
        words.append("grey line: order only")
    if any(edge.stop for edge in graph.edges):
        words.append("dashed: stop condition")
    if graph.temporal and not compact:
        words.append("brown: into the next round")
    if len({edge.weight for edge in graph.spatial}) > 1:
        words.append("width: weight")
    if pruned:
        words.append("grey box: pruned")
    return words
