"""What a colony looks like: heat maps of its pheromones, its strongest paths, its table.

AMRO-S shows such heat maps per specialist (Fig. 3, known from digests only); the layout here is ours.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import InvalidInput
from agentnet.graphs.draw_heat import to_heatmap
from agentnet.graphs.draw_page import html_page, html_table, stack_svgs, to_lines
from agentnet.graphs.draw_scale import Scale
from agentnet.routers.colony.pheromones import Colony
from agentnet.routers.colony.space import PathSpace

_SNAPSHOTS = 6
_COLUMNS = ("type", "layer", "source", "state", "target", "pheromone", "share")
Ends = tuple[float, float]


def shares(colony: Colony, *, alpha: float = 1.0) -> NDArray[np.float64]:
    """Returns [T, R, C] the transition rule's probabilities where every eta is 1.

    Args:
        colony: The colony.
        alpha: Exponent of the pheromone.

    >>> colony = Colony.start(PathSpace(("a", "b"), layers=1), ("math",))
    >>> shares(colony).tolist()
    [[[0.5, 0.5]]]
    """
    largest = colony.tau.max(-1, keepdims=True)
    relative = np.divide(colony.tau, largest, out=np.zeros_like(colony.tau), where=largest > 0)
    desire = np.where(colony.space.allowed, relative**alpha, 0.0)
    total = desire.sum(-1, keepdims=True)
    found: NDArray[np.float64] = np.divide(desire, total, out=np.zeros_like(desire), where=total > 0)
    return found


def spread(colony: Colony, *, alpha: float = 1.0) -> dict[tuple[str, str], float]:
    """Returns the mean normalised entropy of the choices, by task type and group of rows.

    1: every edge is as likely, 0: always the same one. Rows with a single edge count as 0.

    >>> spread(Colony.start(PathSpace(("a", "b"), layers=1), ("math",)))
    {('math', 'layer 1'): 1.0}
    """
    p = shares(colony, alpha=alpha)
    plain = -(p * np.log(np.where(p > 0, p, 1.0))).sum(-1)
    choices = colony.space.allowed.sum(-1)
    most = np.log(np.maximum(choices, 2))
    each = np.where(choices > 1, plain / most, 0.0)
    found = {}
    for t, name in enumerate(colony.types):
        for layer in range(colony.space.layers):
            for start, count, state in _groups(colony.space, layer):
                label = f"layer {layer + 1}" + (f", {state}" if state else "")
                found[name, label] = round(float(each[t, start : start + count].mean()), 12)
    return found


def strongest_paths(colony: Colony) -> dict[str, list[dict[str, Any]]]:
    """Returns, by task type, the hops that greedy walking takes where every eta is 1.

    Each hop is a row of `Colony.table` with its ``share`` of the row's pheromone. Where there are stops,
    both cases of a comparison are followed, parents first, each hop with its ``slot`` and ``parent``.

    >>> colony = Colony.start(PathSpace(("a", "b"), layers=2), ("math",))
    >>> [hop["target"] for hop in strongest_paths(colony)["math"]]
    ['a', 'a']
    """
    space, p = colony.space, shares(colony)
    found: dict[str, list[dict[str, Any]]] = {}
    for t, name in enumerate(colony.types):
        taken: dict[int, int] = {}
        hops = found.setdefault(name, [])
        for s, slot in enumerate(space.slots):
            before = taken.get(slot.parent, -1)
            if slot.parent >= 0 and before in (-1, space.stop_column):
                continue
            row = space.row(slot.layer, before, slot.agreed)
            desire = np.where(space.allowed[row], colony.tau[t, row], 0.0)
            if not space.repeats:
                desire[_visited(space, taken, slot.parent)] = 0.0
            if not desire.any():
                continue
            taken[s] = column = int(desire.argmax())
            hops.append(
                {
                    "slot": s,
                    "parent": slot.parent,
                    "layer": slot.layer + 1,
                    "source": "start" if slot.layer == 0 else space.agents[before],
                    "state": _state(slot.agreed),
                    "target": space.column_label(column),
                    "pheromone": float(colony.tau[t, row, column]),
                    "share": float(p[t, row, column]),
                }
            )
    return found


def colony_maps(
    colony: Colony,
    kind: str,
    *,
    probability: bool = False,
    alpha: float = 1.0,
    ends: Ends | None = None,
    labels: bool = True,
    title: str | None = None,
) -> list[str]:
    """Returns one heat map (SVG) per layer of one specialist; the first is a strip, from the source.

    Args:
        colony: The colony.
        kind: The specialist's task type.
        probability: Draws `shares` on a scale from 0 to 1 instead of pheromones on a logarithmic one.
        alpha: Exponent of the pheromone, for ``probability``.
        ends: Pheromones of the lightest and darkest colour; default: of all the colony's specialists.
        labels: Without them the maps are thumbnails.
        title: Heading of all maps; default: task type and layers.

    Raises:
        InvalidInput: the colony has no such specialist.
    """
    if kind not in colony.types:
        raise InvalidInput(f"the colony has no specialist {kind!r}; it has: {', '.join(colony.types)}.")
    space = colony.space
    values = (shares(colony, alpha=alpha) if probability else colony.tau)[colony.types.index(kind)]
    low, high = (0.0, 1.0) if probability else ends or pheromone_ends([colony])
    columns = [space.column_label(c) for c in range(space.columns)]
    maps = []
    for layer in range(space.layers):
        groups = _groups(space, layer)
        start, stop = groups[0][0], groups[-1][0] + groups[-1][1]
        rows = ["start"] if layer == 0 else list(space.agents) * len(groups)
        step = "start → layer 1" if layer == 0 else f"layer {layer} → layer {layer + 1}"
        what = "probability with equal heuristics" if probability else "pheromone"
        maps.append(
            to_heatmap(
                values[start:stop],
                rows,
                columns,
                title=f"{kind}: {step}, {what}" if title is None else title,
                low=low,
                high=high,
                log=not probability,
                mask=~space.allowed[start:stop],
                masked="no such edge",
                row_groups={g[0] - start: f"answers {g[2]}" for g in groups if g[2]},
                column_gaps=[space.stop_column] if space.stops else [],
                width=860.0 if labels else 126.0,
                labels=labels,
            )
        )
    return maps


def pheromone_ends(colonies: Sequence[Colony]) -> Ends:
    """Returns the least and the largest pheromone of all edges, for maps that are to be compared."""
    values = np.concatenate([c.tau[:, c.space.allowed].ravel() for c in colonies])
    scale = Scale.around(values, log=True)
    return scale.low, scale.high


def colony_svg(colony: Colony, *, title: str = "pheromones") -> str:
    """Returns the pheromones of all specialists as one SVG image.

    >>> colony_svg(Colony.start(PathSpace(("a", "b"), layers=2), ("math",))).startswith("<svg ")
    True
    """
    return stack_svgs([image for kind in colony.types for image in colony_maps(colony, kind)], title=title)


def colony_page(colony: Colony, *, history: Sequence[Colony] = (), title: str, alpha: float = 1.0) -> str:
    """Returns a self-contained HTML page: a section per specialist, then the table of all edges.

    Args:
        colony: What is drawn large.
        history: Snapshots before it, oldest first: the page then shows how it came to be.
        title: The page's heading.
        alpha: Exponent of the pheromone in the router's transition rule, for the probabilities.

    Raises:
        InvalidInput: a snapshot is of another path space or other task types.
    """
    if any(c.space != colony.space or c.types != colony.types for c in history):
        raise InvalidInput("snapshots of a history must have the colony's path space and task types.")
    times = [*history, *([] if history and history[-1].number == colony.number else [colony])]
    ends = pheromone_ends([colony, *history])
    paths = strongest_paths(colony)
    parts = []
    for kind in colony.types:
        body = ["<h3>Strongest path</h3>", _path_table(paths[kind]), "<h3>Pheromones</h3>"]
        body += colony_maps(colony, kind, ends=ends)
        chances = "".join(colony_maps(colony, kind, probability=True, alpha=alpha))
        summary = f"<summary>Transition probabilities, eta = 1, alpha = {alpha:g}</summary>"
        body.append(f"<details>{summary}{chances}</details>")
        if len(times) > 1:
            body.append(_over_time(times, kind, ends, alpha))
        parts.append(f"<section><h2>Specialist: {escape(kind)}</h2>{''.join(body)}</section>")
    rows = [["" if row[c] is None else _number(row[c]) for c in _COLUMNS] for row in _rows(colony)]
    parts.append(
        f"<section><h2>Table</h2><details><summary>All {len(rows):,} edges</summary>"
        f"{html_table(_COLUMNS, rows)}</details></section>"
    )
    space = colony.space
    lead = (
        f"Snapshot {colony.number}: {len(colony.types)} task types, {len(space.agents)} agents, "
        f"{space.layers} layers, {space.edges:,} edges each. Darker is stronger; all maps of pheromones "
        "share one logarithmic scale. Point at a cell for its exact value."
    )
    return html_page(title, lead, parts)


def colony_csv(colony: Colony) -> str:
    """Returns every edge as CSV: type, layer, source, state, target, pheromone, share within its row.

    >>> print(colony_csv(Colony.start(PathSpace(("a", "b"), layers=1), ("math",))))
    type,layer,source,state,target,pheromone,share
    math,1,start,,a,1.0,0.5
    math,1,start,,b,1.0,0.5
    <BLANKLINE>
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_rows(colony))
    return text.getvalue()


def _rows(colony: Colony) -> list[dict[str, Any]]:
    part = shares(colony)[:, colony.space.allowed].ravel()
    return [row | {"share": float(share)} for row, share in zip(colony.table(), part, strict=True)]


def _path_table(hops: Sequence[dict[str, Any]]) -> str:
    head = ("layer", "source", "state", "target", "pheromone", "share")
    return html_table(head, [["" if hop[c] is None else _number(hop[c]) for c in head] for hop in hops])


def _over_time(times: Sequence[Colony], kind: str, ends: Ends, alpha: float) -> str:
    """Thumbnails of the first, some in between and the last; and how spread the choices were."""
    at = np.unique(np.linspace(0, len(times) - 1, min(_SNAPSHOTS, len(times))).round().astype(int))
    maps = [
        colony_maps(times[i], kind, ends=ends, labels=False, title=f"snapshot {times[i].number}") for i in at
    ]
    parts = ["<h3>Over time</h3>"]
    for layer in range(times[0].space.layers):
        step = "start → layer 1" if layer == 0 else f"layer {layer} → layer {layer + 1}"
        row = "".join(images[layer] for images in maps)
        parts.append(f'<p class="soft">{step}</p><div class="row">{row}</div>')
    found = [spread(colony, alpha=alpha) for colony in times]
    lines = {label: [one[kind, label] for one in found] for name, label in found[0] if name == kind}
    title = "How spread the choices are (mean entropy; 1: even, 0: one way only)"
    parts.append(to_lines(lines, [c.number for c in times], title=title, x_label="snapshot"))
    return "".join(parts)


def _groups(space: PathSpace, layer: int) -> list[tuple[int, int, str | None]]:
    """(first row, number of rows, state) of the rows that choose a layer."""
    if layer == 0:
        return [(0, 1, None)]
    cases = (True, False) if space.stops and layer > 1 else (None,)
    return [(space.base(layer, agreed), len(space.agents), _state(agreed)) for agreed in cases]


def _state(agreed: bool | None) -> str | None:
    return None if agreed is None else "agree" if agreed else "disagree"


def _visited(space: PathSpace, taken: dict[int, int], slot: int) -> list[int]:
    visited = []
    while slot >= 0:
        visited.append(taken[slot])
        slot = space.slots[slot].parent
    return visited


def _number(value: object) -> object:
    return f"{value:.4g}" if isinstance(value, float) else value
