"""Several drawings together: stacked in one SVG, or on a self-contained HTML page; and lines over time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from agentnet.errors import InvalidInput
from agentnet.graphs.draw_labels import clean

_SIZE = re.compile(r'<svg [^>]*?width="([\d.]+)" height="([\d.]+)"')
_COLOURS = ("#16447c", "#b0611a", "#2f7d5b", "#7c3aed", "#b3261e", "#475569")
_DASHES = ("", "6 3", "2 3", "8 3 2 3", "1 5", "12 4")
_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 Helvetica, Arial, sans-serif; color: #1f2a37; background: #f8fafc; margin: 0; }
main { max-width: 960px; margin: 0 auto; padding: 26px 20px 60px; }
h1 { font-size: 25px; margin: 0 0 4px; } h2 { font-size: 19px; margin: 12px 0 6px; }
h3 { font-size: 15px; margin: 18px 0 4px; } p { max-width: 78ch; }
section { background: #fff; border: 1px solid #dfe4ea; border-radius: 8px; padding: 4px 18px 16px; }
section { margin: 18px 0; } svg { max-width: 100%; height: auto; } .row svg { margin-right: 6px; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 3px 12px 3px 0; border-bottom: 1px solid #e6eaef; }
.scroll { overflow-x: auto; } summary { cursor: pointer; margin: 8px 0; } .soft { color: #5b6775; }
"""


def stack_svgs(images: Sequence[str], *, title: str) -> str:
    """Returns one SVG with the images below each other.

    Raises:
        InvalidInput: there are none.

    >>> one = '<svg xmlns="http://www.w3.org/2000/svg" width="10" height="5"></svg>'
    >>> 'height="10"' in stack_svgs([one, one], title="two")
    True
    """
    if not images:
        raise InvalidInput("there is no image to stack.")
    parts, wide, deep = [], 0.0, 0.0
    for image in images:
        found = _SIZE.match(image)
        if found is None:
            raise InvalidInput("only SVG images that begin with their width and height can be stacked.")
        parts.append(image.replace("<svg ", f'<svg y="{deep:g}" ', 1))
        wide, deep = max(wide, float(found[1])), deep + float(found[2])
    name = escape(clean(title))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide:g}" height="{deep:g}" '
        f'viewBox="0 0 {wide:g} {deep:g}" role="img" aria-label="{name}"><title>{name}</title>'
        f'<rect width="{wide:g}" height="{deep:g}" fill="#fff"/>{"".join(parts)}</svg>'
    )


def html_page(title: str, lead: str, parts: Iterable[str], *, style: str = _STYLE) -> str:
    """Returns a page that needs no other file; ``parts`` are HTML, ``style`` is CSS.

    >>> "<h1>a &amp; b</h1>" in html_page("a & b", "", [])
    True
    """
    head = escape(clean(title))
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{head}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{style}</style></head>'
        f'<body><main><h1>{head}</h1><p class="soft">{escape(lead)}</p>{"".join(parts)}'
        "</main></body></html>\n"
    )


def html_table(
    head: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    strong: Iterable[int] = (),
    nowrap: bool = False,
) -> str:
    """Returns an HTML table of plain text.

    Args:
        head: Names of the columns.
        rows: Cells, row by row.
        strong: Numbers of rows that get the class ``strong``.
        nowrap: Whether the table gets the class ``nowrap``.

    >>> "<td>&lt;b&gt;</td>" in html_table(["name"], [["<b>"]])
    True
    """
    marked = set(strong)
    lines = ["<tr>" + "".join(f'<th scope="col">{escape(clean(cell))}</th>' for cell in head) + "</tr>"]
    for i, row in enumerate(rows):
        css = ' class="strong"' if i in marked else ""
        lines.append(f"<tr{css}>" + "".join(f"<td>{escape(clean(str(c)))}</td>" for c in row) + "</tr>")
    css = ' class="nowrap"' if nowrap else ""
    return f'<div class="scroll"><table{css}>{"".join(lines)}</table></div>'


def to_lines(
    series: Mapping[str, Sequence[float]],
    x: Sequence[float],
    *,
    title: str,
    x_label: str,
    width: float = 560.0,
) -> str:
    """Returns lines of values between 0 and 1 over time as an SVG image; colour and dashes tell them apart.

    Args:
        series: Values by name, one for each of ``x``.
        x: Increasing times.
        title: A heading.
        x_label: What ``x`` counts.
        width: Pixels of the axes; the names stand right of them.

    Raises:
        InvalidInput: a line does not have a value for every ``x``, or there is none.

    >>> "math: 0.5 at 3" in to_lines({"math": [1, 0.5]}, [0, 3], title="entropy", x_label="snapshot")
    True
    """
    if not series or not x or any(len(values) != len(x) for values in series.values()):
        raise InvalidInput("lines over time take one value for each of their times, and at least one time.")
    left, top, deep = 44.0, 40.0, 150.0
    span = (x[-1] - x[0]) or 1.0
    names = [clean(name) for name in series]
    whole = left + width + 40 + 6.2 * max(map(len, names)) + 16
    high = max(top + deep + 46, top + 18 * len(names) + 10)
    shapes = [_word(16, 20, title, 14, "start", ' font-weight="600"')]
    for tick in (0.0, 0.5, 1.0):
        y = top + (1 - tick) * deep
        shapes.append(f'<path d="M{left},{y:g}h{width:g}" stroke="#e6eaef"/>')
        shapes.append(_word(left - 6, y + 4, f"{tick:g}", 10.5, "end"))
    shown = x if len(x) <= 8 else (x[0], x[-1])
    for value in shown:
        shapes.append(
            _word(left + (value - x[0]) / span * width, top + deep + 16, f"{value:g}", 10.5, "middle")
        )
    shapes.append(_word(left + width / 2, top + deep + 34, x_label, 10.5, "middle"))
    for i, (name, values) in enumerate(zip(names, series.values(), strict=True)):
        colour, dash = _COLOURS[i % len(_COLOURS)], _DASHES[i % len(_DASHES)]
        style = f'fill="none" stroke="{colour}" stroke-width="1.8" stroke-dasharray="{dash}"'
        style = style if dash else style.replace(' stroke-dasharray=""', "")
        points = [
            (left + (at - x[0]) / span * width, top + (1 - v) * deep) for at, v in zip(x, values, strict=True)
        ]
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
        shapes.append(f'<polyline points="{path}" {style}/>')
        for (px, py), at, value in zip(points, x, values, strict=True):
            tip = escape(f"{name}: {value:.4g} at {at:g}")
            shapes.append(
                f'<circle cx="{px:.1f}" cy="{py:.1f}" r="2.6" fill="{colour}"><title>{tip}</title></circle>'
            )
        y = top + 18 * i + 4
        shapes.append(f'<path d="M{left + width + 12:g},{y:g}h22" {style}/>')
        shapes.append(_word(left + width + 40, y + 4, name, 11, "start"))
    label = escape(clean(title))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{whole:.0f}" height="{high:.0f}" '
        f'viewBox="0 0 {whole:.0f} {high:.0f}" role="img" aria-label="{label}" '
        f'font-family="Helvetica, Arial, sans-serif"><title>{label}</title>'
        f'<rect width="{whole:.0f}" height="{high:.0f}" fill="#fff"/>{"".join(shapes)}</svg>'
    )


def _word(x: float, y: float, text: str, size: float, anchor: str, style: str = "") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" text-anchor="{anchor}" fill="#1f2a37"{style}>'
        f"{escape(clean(text))}</text>"
    )
