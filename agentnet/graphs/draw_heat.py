"""Heat maps as self-contained SVG, without scripts, fonts or outside references."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from os.path import commonprefix

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentnet.errors import InvalidInput
from agentnet.graphs.draw_labels import clean, wrap_label
from agentnet.graphs.draw_scale import Scale, heat_colour

_INK, _SOFT, _GREY, _EMPTY = "#1f2a37", "#5b6775", "#c3c9d1", "#ffffff"
_MARGIN, _CHAR, _GAP, _ROW = 16.0, 6.1, 10.0, 20.0
_LONGEST = 26
"""Characters of a label; longer ones are cut in the middle, for names often differ at the end."""
_NUMBERS = 32.0
"""Width of a cell from which on its number is printed into it."""


def cut_label(text: str, most: int = _LONGEST) -> str:
    """Returns a label of at most ``most`` characters, cut in the middle with an ellipsis.

    >>> cut_label("Llama-3.1-405B-Instruct-Turbo", 16)
    'Llama-3.1-…Turbo'
    """
    text = clean(text)
    if len(text) <= most:
        return text
    end = max((most - 1) // 3, 0)
    return f"{text[: most - 1 - end]}…{text[len(text) - end :]}"


def cut_labels(names: Sequence[str], most: int = _LONGEST) -> list[str]:
    """Returns labels of at most ``most`` characters that stay different where the names are.

    What all long names begin with is left out if cutting alone would make some of them look alike, and
    their number is added if that is not enough.

    >>> cut_labels(["meta-llama/Llama-8B-Instruct", "meta-llama/Llama-70B-Instruct", "stop"], 14)
    ['…8B-Instruct', '…70B-Instruct', 'stop']
    """
    cleaned = [clean(name) for name in names]
    found = [cut_label(name, most) for name in cleaned]
    if len(set(found)) == len(set(cleaned)):
        return found
    shared = commonprefix([name for name in cleaned if len(name) > most])  # noqa: RUF071 - no folders
    same = max(shared.rfind(mark) for mark in "-/_: ") + 1
    rest = [cut_label("…" + name[same:], most) if len(name) > most and same else name for name in cleaned]
    rest = [cut_label(name, most) for name in rest]
    if len(set(rest)) == len(set(cleaned)):
        return rest
    return [
        f"{cut_label(label, most - 4)} #{i}" if rest.count(label) > 1 else label
        for i, label in enumerate(rest, 1)
    ]


def to_heatmap(
    matrix: ArrayLike,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    title: str,
    low: float | None = None,
    high: float | None = None,
    log: bool = False,
    mask: ArrayLike | None = None,
    masked: str = "not possible",
    row_groups: Mapping[int, str] | None = None,
    column_gaps: Sequence[int] = (),
    width: float = 860.0,
    labels: bool = True,
    numbers: bool = True,
    note: str = "",
) -> str:
    """Returns a matrix as an SVG image with a legend; each cell's tooltip has both names and the exact value.

    Args:
        matrix: [r, c] values; NaN is left blank, "no value".
        rows: r names.
        columns: c names.
        title: A heading.
        low: Value of the lightest colour; default: the least value. Give the same ends to maps that are
            to be compared.
        high: Value of the darkest colour; default: the largest value.
        log: Logarithmic scale; values of zero and below get the lightest colour.
        mask: [r, c] bool, True where no value can be: hatched.
        masked: What a masked cell means.
        row_groups: Headings of groups of rows, by the number of the first row.
        column_gaps: Columns that are set off from the ones left of them.
        width: Pixels at most, as far as the labels allow.
        labels: Without them, and without the legend, the map is a thumbnail.
        numbers: Prints the values into cells that are wide enough.
        note: A remark under the map.

    Raises:
        InvalidInput: names or mask do not fit the matrix, it is empty, or the scale is impossible.

    >>> svg = to_heatmap([[1.0, 20.0]], ["source"], ["a", "b"], title="layer 1", log=True)
    >>> "source → b: 20" in svg
    True
    """
    values = np.asarray(matrix, np.float64)
    if values.ndim != 2 or 0 in values.shape or values.shape != (len(rows), len(columns)):
        raise InvalidInput(
            f"a heat map takes [rows, columns] values with a name each; got {list(values.shape)} values, "
            f"{len(rows)} row names and {len(columns)} column names."
        )
    hidden = np.zeros(values.shape, bool) if mask is None else np.asarray(mask, bool)
    if hidden.shape != values.shape:
        raise InvalidInput(f"the mask is {list(hidden.shape)}, the matrix {list(values.shape)}.")
    scale = Scale.around(np.where(hidden, np.nan, values), low=low, high=high, log=log)
    frame = _Frame.of(rows, columns, row_groups or {}, set(column_gaps), width, labels)
    shapes = [*_cells(values, hidden, scale, frame, masked, numbers and labels)]
    if labels:
        shapes += _labels(frame)
    heading = wrap_label(title, max(int((frame.right - _MARGIN) / 7.5), 16)) if title else []
    size = 14 if labels else 11
    above = [_text(_MARGIN, 18 + 18 * i, line, size, _INK, strong=labels) for i, line in enumerate(heading)]
    bottom = frame.bottom
    below: list[str] = []
    if labels:
        drawn, bottom = _legend(
            scale, bottom + 14, bool(hidden.any()), bool(np.isnan(values[~hidden]).any()), masked
        )
        below += drawn
    for line in wrap_label(note, max(int((frame.right - _MARGIN) / 5.6), 24), 6) if note else ():
        bottom += 15
        below.append(_text(_MARGIN, bottom, line, 10.5, _SOFT))
    top = 18 * len(heading) + (6 if heading else 0)
    wide = max(frame.right, 330.0 if labels else 0.0) + _MARGIN
    deep = top + bottom + (_MARGIN if labels else 6)
    name = clean(title) or "heat map"
    told = (
        f"Heat map, {len(rows)} rows by {len(columns)} columns, "
        f"light {scale.low:.4g} to dark {scale.high:.4g}"
        f"{', logarithmic' if log else ''}."
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide:.0f}" height="{deep:.0f}" '
        f'viewBox="0 0 {wide:.0f} {deep:.0f}" role="img" aria-label="{escape(name)}" '
        f'font-family="Helvetica, Arial, sans-serif"><title>{escape(name)}</title><desc>{told}</desc>'
        f'<rect width="{wide:.0f}" height="{deep:.0f}" fill="#fff"/>{"".join(above)}'
        f'<g transform="translate(0 {top})">{"".join(shapes)}{"".join(below)}</g></svg>'
    )


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where each row and column lies, in pixels, under the heading."""

    rows: Sequence[str]
    columns: Sequence[str]
    shown: tuple[Sequence[str], Sequence[str]]
    groups: Mapping[int, str]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    cell: float
    tall: float
    right: float
    bottom: float
    turned: bool

    @classmethod
    def of(
        cls,
        rows: Sequence[str],
        columns: Sequence[str],
        groups: Mapping[int, str],
        column_gaps: set[int],
        width: float,
        labels: bool,
    ) -> _Frame:
        # Groups often repeat the same names: they need not differ across groups.
        shown = dict(zip(dict.fromkeys(rows), cut_labels(list(dict.fromkeys(rows))), strict=True))
        words = ([shown[name] for name in rows], cut_labels(columns))
        longest, head = (max(map(len, side)) for side in words)
        left = _MARGIN + (_CHAR * longest + 8 if labels else 0.0)
        gap = _GAP if labels else 3.0
        room = width - left - _MARGIN - gap * len(column_gaps)
        cell = min(max(room / len(columns), 14.0 if labels else 4.0), 64.0)
        turned = _CHAR * head + 6 > cell
        if turned and labels:
            # The last turned label leans out to the right.
            lean = _CHAR * head * 0.75
            cell = min(max((room - lean) / len(columns), 14.0), 64.0)
        tall = _ROW if labels else min(cell, 8.0)
        start = (_CHAR * head * 0.72 + 16 if turned else 20.0) if labels else 2.0
        x = _places(len(columns), left, cell, column_gaps, gap)
        above = 18.0 if labels else gap
        y = _places(len(rows), start + (above if labels and 0 in groups else 0.0), tall, set(groups), above)
        right = x[-1] + cell + (_CHAR * head * 0.75 if turned and labels else 0.0)
        return cls(rows, columns, words, groups, x, y, cell, tall, right, y[-1] + tall, turned)


def _places(count: int, start: float, step: float, gaps: set[int], gap: float) -> NDArray[np.float64]:
    extra = np.cumsum([gap if i and i in gaps else 0.0 for i in range(count)], dtype=np.float64)
    return np.asarray(start + step * np.arange(count) + extra, np.float64)


def _cells(
    values: NDArray[np.float64],
    hidden: NDArray[np.bool_],
    scale: Scale,
    frame: _Frame,
    masked: str,
    numbers: bool,
) -> list[str]:
    shapes = []
    wide, tall = frame.cell - 1, frame.tall - 1
    group = ""
    for r, row in enumerate(frame.rows):
        group = frame.groups.get(r, group)
        start = f"{group}: {clean(row)}" if group else clean(row)
        for c, column in enumerate(frame.columns):
            x, y, value = frame.x[c], frame.y[r], float(values[r, c])
            told = masked if hidden[r, c] else "no value" if math.isnan(value) else f"{value:.6g}"
            tip = escape(f"{start} → {clean(column)}: {told}")
            if hidden[r, c] or math.isnan(value):
                shape = _blank(x, y, wide, tall, hatched=bool(hidden[r, c]))
            else:
                place = scale.position(value)
                shape = (
                    f'<rect x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{tall:.1f}" '
                    f'fill="{heat_colour(place)}"/>'
                )
                if numbers and wide >= _NUMBERS:
                    ink = _INK if place < 0.42 else "#fff"
                    shape += _text(x + wide / 2, y + tall / 2 + 3.5, _brief(value), 10, ink, anchor="middle")
            shapes.append(f"<g><title>{tip}</title>{shape}</g>")
    return shapes


def _blank(x: float, y: float, wide: float, tall: float, *, hatched: bool) -> str:
    """A cell without a value: an outline, with diagonal lines where there cannot be one."""
    shape = (
        f'<rect x="{x + 0.5:.1f}" y="{y + 0.5:.1f}" width="{max(wide - 1, 1):.1f}" '
        f'height="{max(tall - 1, 1):.1f}" fill="{_EMPTY}" stroke="{_GREY}" stroke-width="0.6"/>'
    )
    if not hatched:
        return shape
    side, lines = min(wide, tall), ""
    start = x
    while start + side <= x + wide + 0.1:
        lines += f"M{start:.1f},{y + side:.1f}l{side:.1f},{-side:.1f}"
        start += max(side / 2, 3.0)
    return f'{shape}<path d="{lines}" stroke="{_GREY}" stroke-width="0.8" fill="none"/>'


def _labels(frame: _Frame) -> list[str]:
    shapes = []
    for r, (name, shown) in enumerate(zip(frame.rows, frame.shown[0], strict=True)):
        words = _text(frame.x[0] - 7, frame.y[r] + frame.tall / 2 + 3.5, shown, 11, _INK, anchor="end")
        shapes.append(f"<g><title>{escape(clean(name))}</title>{words}</g>")
    for r, name in frame.groups.items():
        shapes.append(_text(_MARGIN, frame.y[r] - 5, clean(name), 11, _SOFT, strong=True))
    foot = frame.y[0] - (24 if 0 in frame.groups else 6)
    for c, (name, shown) in enumerate(zip(frame.columns, frame.shown[1], strict=True)):
        middle = frame.x[c] + (frame.cell - 1) / 2
        if frame.turned:
            place = f'transform="translate({middle + 3:.1f} {foot:.1f}) rotate(-45)" text-anchor="start"'
        else:
            place = f'x="{middle:.1f}" y="{foot:.1f}" text-anchor="middle"'
        words = f'<text {place} font-size="11" fill="{_INK}">{escape(shown)}</text>'
        shapes.append(f"<g><title>{escape(clean(name))}</title>{words}</g>")
    return shapes


def _legend(scale: Scale, top: float, hatched: bool, blank: bool, masked: str) -> tuple[list[str], float]:
    """The scale from light to dark with its values, and what cells without a value mean."""
    shapes = []
    steps, wide, tall, x = 32, 8.0, 11.0, _MARGIN
    if scale.low == scale.high:
        shapes.append(_swatch(x, top, 18, tall, heat_colour(0.5)))
        shapes.append(_text(x + 25, top + 9.5, f"all {_brief(scale.low)}", 10.5, _SOFT))
    else:
        for i in range(steps):
            shapes.append(_swatch(x + i * wide, top, wide + 0.3, tall, heat_colour(i / (steps - 1))))
        for i in range(5):
            shapes.append(
                _text(
                    x + steps * wide * i / 4,
                    top + tall + 13,
                    _brief(scale.value(i / 4)),
                    10.5,
                    _SOFT,
                    anchor=("start", "middle", "middle", "middle", "end")[i],
                )
            )
        if scale.log:
            shapes.append(_text(x + steps * wide + 8, top + 9.5, "log scale", 10.5, _SOFT))
    bottom = top + tall + 15
    for shown, words, lines in ((hatched, masked, True), (blank, "no value", False)):
        if shown:
            shapes.append(_blank(x, bottom + 6, 18, tall, hatched=lines))
            shapes.append(_text(x + 25, bottom + 15.5, words, 10.5, _SOFT))
            bottom += 18
    return shapes, bottom


def _swatch(x: float, y: float, wide: float, tall: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{tall:.1f}" fill="{colour}"/>'


def _brief(value: float) -> str:
    """At most three digits, four places: what fits a cell."""
    if value == 0 or 0.01 <= abs(value) < 1000:
        return f"{value:.3g}" if abs(value) >= 1 else f"{value:.2g}"
    return f"{value:.0e}".replace("e+0", "e").replace("e-0", "e-")


def _text(
    x: float, y: float, text: str, size: float, colour: str, *, anchor: str = "start", strong: bool = False
) -> str:
    style = ' font-weight="600"' if strong else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size:g}" fill="{colour}"{style}>'
        f"{escape(text)}</text>"
    )
