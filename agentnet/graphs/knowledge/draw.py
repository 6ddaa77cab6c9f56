"""A knowledge graph with what a router made of it, as self-contained SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from agentnet.graphs.draw_heat import cut_label
from agentnet.graphs.draw_labels import wrap_label

_INK, _SOFT, _BLUE, _BROWN, _GREEN = "#1f2a37", "#5b6775", "#2f6db3", "#b0611a", "#2f7d5b"
_ROW, _BOX, _GAP, _MARGIN = 48.0, 190.0, 110.0, 24.0
_LABEL = 26


def knowledge_svg(
    query: str,
    entities: Sequence[tuple[str, float, bool]],
    relations: Sequence[tuple[str, str, str, float]],
    agents: Sequence[tuple[str, float, str]],
) -> str:
    """Returns entities, the query and agents in three columns; line width is attention or vote weight.

    Relations are arcs at the left, between the entities that they tie; those to an entity that is not drawn
    are left out.

    Args:
        query: The question.
        entities: Text, attention and whether the question names it.
        relations: Subject, phrase, object and attention.
        agents: Name, weight and a line under the name.

    >>> knowledge_svg("Who?", [("Rome", 0.7, True)], [], [("solver", 1.0, "score 0.8")]).startswith("<svg ")
    True
    """
    left = _MARGIN + (150.0 if relations else 0.0)
    rows = max(len(entities), len(agents), 1)
    height = rows * _ROW + 2 * _MARGIN
    columns = [left, left + _BOX + _GAP, left + 2 * (_BOX + _GAP)]
    width = columns[2] + _BOX + _MARGIN
    places = {text: _middle(i, len(entities), height) for i, (text, _, _) in enumerate(entities)}
    lines, boxes = [], []
    for text, weight, asked in entities:
        y = places[text]
        colour = _BLUE if asked else _SOFT
        lines.append(_line(columns[0] + _BOX, y, columns[1], height / 2, weight, colour, f"{weight:.2f}"))
        boxes.append(_box(columns[0], y, [cut_label(text, _LABEL)], colour))
    for i, (subject, phrase, target, weight) in enumerate(relations):
        if subject in places and target in places and subject != target:
            lines.append(_arc(columns[0], places[subject], places[target], phrase, weight, i))
    for i, (name, weight, note) in enumerate(agents):
        y = _middle(i, len(agents), height)
        lines.append(_line(columns[1] + _BOX, height / 2, columns[2], y, weight, _GREEN, f"{weight:.2f}"))
        boxes.append(_box(columns[2], y, [cut_label(name, _LABEL), note], _GREEN))
    boxes.append(_box(columns[1], height / 2, wrap_label(query, _LABEL), _INK))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'font-family="system-ui, sans-serif" font-size="12"><title>{escape(query)}</title>'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(lines)}{"".join(boxes)}</svg>'
    )


def _middle(i: int, count: int, height: float) -> float:
    return height / 2 + (i - (count - 1) / 2) * _ROW


def _width(weight: float) -> float:
    return 0.6 + 5 * min(max(weight, 0.0), 1.0)


def _line(x1: float, y1: float, x2: float, y2: float, weight: float, colour: str, tip: str) -> str:
    half = (x1 + x2) / 2
    return (
        f'<path d="M{x1:.1f},{y1:.1f} C{half:.1f},{y1:.1f} {half:.1f},{y2:.1f} {x2:.1f},{y2:.1f}" '
        f'fill="none" stroke="{colour}" stroke-width="{_width(weight):.2f}" opacity="0.75">'
        f"<title>{tip}</title></path>"
    )


def _arc(x: float, y1: float, y2: float, phrase: str, weight: float, number: int) -> str:
    bend = x - 30 - 22 * (number % 4)
    at = x - 0.75 * (30 + 22 * (number % 4)) - 2
    return (
        f'<path d="M{x:.1f},{y1:.1f} C{bend:.1f},{y1:.1f} {bend:.1f},{y2:.1f} {x:.1f},{y2:.1f}" '
        f'fill="none" stroke="{_BROWN}" stroke-width="{_width(weight):.2f}" opacity="0.7"/>'
        f'<text x="{at:.1f}" y="{(y1 + y2) / 2:.1f}" text-anchor="end" font-size="10" fill="{_BROWN}">'
        f"{escape(cut_label(phrase, 18))}</text>"
    )


def _box(x: float, y: float, labels: Sequence[str], colour: str) -> str:
    tall = 15 * len(labels) + 10
    words = "".join(
        f'<text x="{x + _BOX / 2:.1f}" y="{y - tall / 2 + 17 + 15 * i:.1f}" text-anchor="middle" '
        f'fill="{_INK}">{escape(label)}</text>'
        for i, label in enumerate(labels)
    )
    return (
        f'<rect x="{x:.1f}" y="{y - tall / 2:.1f}" width="{_BOX:.0f}" height="{tall:.0f}" rx="6" '
        f'fill="white" stroke="{colour}"/>{words}'
    )
