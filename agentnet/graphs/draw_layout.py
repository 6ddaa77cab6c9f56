"""Layered layout for drawings: columns by topological layer, few crossings (Sugiyama et al., 1981)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

_SWEEPS = 6


@dataclass(frozen=True, slots=True)
class Box:
    """A placed node: its centre and size in pixels."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything stands."""

    boxes: Mapping[str, Box]
    routes: Mapping[tuple[str, str], tuple[tuple[float, float], ...]]
    """Per edge the points between its ends: into and out of each column it crosses."""
    width: float
    height: float


def layered_layout(
    layers: Sequence[Sequence[str]],
    edges: Sequence[tuple[str, str]],
    sizes: Mapping[str, tuple[float, float]],
    *,
    column_gap: float = 90.0,
    row_gap: float = 26.0,
) -> Layout:
    """Places nodes in columns; an edge that crosses columns gets a free lane through each.

    Args:
        layers: Node ids by column.
        edges: Pairs of ids; the source's column is left of the target's.
        sizes: Width and height by id, in pixels.
        column_gap: Pixels between columns.
        row_gap: Pixels between the nodes of a column.

    >>> layout = layered_layout([["a"], ["b"]], [("a", "b")], {"a": (10, 10), "b": (10, 10)})
    >>> layout.boxes["a"].y == layout.boxes["b"].y, layout.width
    (True, 110.0)
    """
    columns, links, lanes = _with_lanes(layers, edges)
    _order(columns, links)
    size = {name: sizes.get(name, (0.0, 4.0)) for column in columns for name in column}
    heights = [sum(size[name][1] for name in column) + row_gap * (len(column) - 1) for column in columns]
    height = max(heights, default=0.0)
    boxes: dict[str, Box] = {}
    spans: dict[str, tuple[float, float]] = {}
    x = 0.0
    for column, used in zip(columns, heights, strict=True):
        width = max((size[name][0] for name in column), default=0.0)
        y = (height - used) / 2
        for name in column:
            boxes[name] = Box(x + width / 2, y + size[name][1] / 2, *size[name])
            spans[name] = (x, x + width)
            y += size[name][1] + row_gap
        x += width + column_gap
    routes = {edge: tuple((x, boxes[lane].y) for lane in lanes[edge] for x in spans[lane]) for edge in lanes}
    real = {name: box for name, box in boxes.items() if name in sizes}
    return Layout(real, routes, max(x - column_gap, 0.0), height)


def _with_lanes(
    layers: Sequence[Sequence[str]], edges: Sequence[tuple[str, str]]
) -> tuple[list[list[str]], list[tuple[str, str]], dict[tuple[str, str], list[str]]]:
    """Columns and unit-length links with a placeholder per crossed column."""
    columns = [list(layer) for layer in layers]
    column = {name: i for i, layer in enumerate(columns) for name in layer}
    links: list[tuple[str, str]] = []
    lanes: dict[tuple[str, str], list[str]] = {}
    for number, (a, b) in enumerate(edges):
        stops = [f"\0{number}.{i}" for i in range(column[a] + 1, column[b])]
        for i, name in enumerate(stops, column[a] + 1):
            columns[i].append(name)
        lanes[a, b] = stops
        path = [a, *stops, b]
        links += pairwise(path)
    return columns, links, lanes


def _order(columns: list[list[str]], links: Sequence[tuple[str, str]]) -> None:
    """Orders columns in place by the mean position of neighbours, forth and back."""
    before: dict[str, list[str]] = {}
    after: dict[str, list[str]] = {}
    for a, b in links:
        before.setdefault(b, []).append(a)
        after.setdefault(a, []).append(b)
    for sweep in range(_SWEEPS):
        forth = sweep % 2 == 0
        neighbours = before if forth else after
        sequence = columns[1:] if forth else columns[-2::-1]
        where = {name: (i + 0.5) / len(column) for column in columns for i, name in enumerate(column)}
        for column in sequence:
            mean = {
                name: sum(where[n] for n in neighbours[name]) / len(neighbours[name])
                if neighbours.get(name)
                else where[name]
                for name in column
            }
            column.sort(key=mean.__getitem__)
            where.update({name: (i + 0.5) / len(column) for i, name in enumerate(column)})
