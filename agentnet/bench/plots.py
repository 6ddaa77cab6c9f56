"""Plots as self-contained SVG text: no script, no font, nothing to download."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

PALETTE = (
    "#2563eb", "#dc2626", "#059669", "#d97706", "#7c3aed",
    "#0891b2", "#be185d", "#65a30d", "#475569", "#b45309",
)  # fmt: skip
"""Colours by series, readable on white and for most colour-blind readers when paired with the markers."""
_WIDTH, _HEIGHT = 760, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 230, 16, 48


@dataclass(frozen=True, slots=True)
class Series:
    """Points that belong together; joined by a line when there are several.

    Attributes:
        name: Text of the legend.
        points: (x, y) pairs.
        intervals: (low, high) of y for each point; empty draws none.
        dashed: For references such as the oracle.
        joined: Whether a line joins the points.
    """

    name: str
    points: Sequence[tuple[float, float]]
    intervals: Sequence[tuple[float, float]] = ()
    dashed: bool = False
    joined: bool = True


def log_ticks(low: float, high: float) -> list[float]:
    """Returns 1, 2 and 5 times powers of ten around a range of positive numbers, at most about ten.

    >>> log_ticks(0.3, 4)
    [0.2, 0.5, 1.0, 2.0, 5.0]
    """
    powers = range(math.floor(math.log10(low)), math.floor(math.log10(high)) + 2)
    steps: tuple[int, ...] = (1, 2, 5) if len(powers) < 5 else (1,)
    ticks = [float(f"{step}e{power}") for power in powers for step in steps]
    first = max(i for i, tick in enumerate(ticks) if tick <= low * (1 + 1e-9))
    last = min(i for i, tick in enumerate(ticks) if tick >= high * (1 - 1e-9))
    return ticks[first : max(last, first + 1) + 1]


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Returns round numbers from at or below ``low`` to at or above ``high``.

    >>> nice_ticks(0.03, 0.97)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    if not high > low:
        high = low + (abs(low) or 1.0)
    raw = (high - low) / count
    power: float = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    start = math.floor(low / step + 1e-9)
    stop = math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(start, stop + 1)]


def line_plot(
    series: Sequence[Series],
    *,
    x_label: str,
    y_label: str,
    diagonal: bool = False,
    y_percent: bool = False,
    log_x: bool = False,
) -> str:
    """Returns a plot of points and lines with a legend.

    Args:
        series: What is drawn; empty ones are left out.
        x_label: Name and unit of the horizontal axis.
        y_label: Name and unit of the vertical axis.
        diagonal: Draws y = x, for reliability plots.
        y_percent: Prints the vertical axis in per cent.
        log_x: Makes the horizontal axis logarithmic; all x must be positive.
    """
    drawn = [item for item in series if item.points]
    if not drawn:
        return '<p class="muted">Nothing to plot.</p>'
    xs = [x for item in drawn for x, _ in item.points]
    ys = [y for item in drawn for _, y in item.points] + [v for s in drawn for i in s.intervals for v in i]
    xt, yt = (log_ticks if log_x else nice_ticks)(min(xs), max(xs)), nice_ticks(min(ys), max(ys))
    along = math.log if log_x else float

    def px(x: float) -> float:
        low, high = along(xt[0]), along(xt[-1])
        return _LEFT + (along(x) - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    def py(y: float) -> float:
        return _HEIGHT - _BOTTOM - (y - yt[0]) / (yt[-1] - yt[0]) * (_HEIGHT - _TOP - _BOTTOM)

    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{escape(y_label)} over {escape(x_label)}" '
        'xmlns="http://www.w3.org/2000/svg" font-family="system-ui, sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
    ]
    for tick in xt:
        parts.append(_line(px(tick), _TOP, px(tick), _HEIGHT - _BOTTOM, "#eef2f7"))
        parts.append(_text(px(tick), _HEIGHT - _BOTTOM + 16, f"{tick:g}", anchor="middle"))
    for tick in yt:
        parts.append(_line(_LEFT, py(tick), _WIDTH - _RIGHT, py(tick), "#eef2f7"))
        label = f"{tick * 100:g}%" if y_percent else f"{tick:g}"
        parts.append(_text(_LEFT - 8, py(tick) + 4, label, anchor="end"))
    parts.append(_text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 10, x_label, anchor="middle"))
    parts.append(
        f'<text transform="translate(16 {(_TOP + _HEIGHT - _BOTTOM) / 2}) rotate(-90)" text-anchor="middle" '
        f'fill="#334155">{escape(y_label)}</text>'
    )
    if diagonal:
        lo, hi = max(xt[0], yt[0]), min(xt[-1], yt[-1])
        parts.append(_line(px(lo), py(lo), px(hi), py(hi), "#94a3b8", dash="4 4"))
    for i, item in enumerate(drawn):
        colour = "#64748b" if item.dashed else PALETTE[i % len(PALETTE)]
        parts += _draw(item, colour, i, px, py)
        y = _TOP + 10 + i * 18
        parts.append(_marker(_WIDTH - _RIGHT + 20, y - 4, colour, i, item.name))
        parts.append(_text(_WIDTH - _RIGHT + 32, y, item.name))
    parts.append("</svg>")
    return "".join(parts)


def _draw(
    item: Series, colour: str, index: int, px: Callable[[float], float], py: Callable[[float], float]
) -> list[str]:
    parts = []
    if item.joined and len(item.points) > 1:
        path = " ".join(f"{px(x):.1f},{py(y):.1f}" for x, y in item.points)
        dash = ' stroke-dasharray="5 4"' if item.dashed else ""
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.6"{dash}/>')
    for (x, _), (low, high) in zip(item.points, item.intervals, strict=False):
        parts.append(_line(px(x), py(low), px(x), py(high), colour))
    for x, y in item.points:
        parts.append(_marker(px(x), py(y), colour, index, f"{item.name}: {x:.4g}, {y:.4g}"))
    return parts


def _marker(x: float, y: float, colour: str, index: int, title: str) -> str:
    """A circle, square or diamond with a tooltip, so that colour is never the only difference."""
    tip = f"<title>{escape(title)}</title>"
    if index % 3 == 0:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}">{tip}</circle>'
    turn = f' transform="rotate(45 {x:.1f} {y:.1f})"' if index % 3 == 2 else ""
    place = f'x="{x - 3.6:.1f}" y="{y - 3.6:.1f}" width="7.2" height="7.2"'
    return f'<rect {place} fill="{colour}"{turn}>{tip}</rect>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, dash: str = "") -> str:
    extra = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"{extra}/>'


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="#334155">{escape(text)}</text>'


def bars(values: Mapping[str, float], *, percent: bool = True, most: int = 20) -> str:
    """Returns horizontal bars with their values, largest first as given.

    >>> "62%" in bars({"solver": 0.62})
    True
    """
    items = list(values.items())[:most]
    if not items:
        return '<p class="muted">Nothing to plot.</p>'
    top = max(value for _, value in items) or 1.0
    height = 24 * len(items) + 8
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" xmlns="http://www.w3.org/2000/svg" '
        'font-family="system-ui, sans-serif" font-size="12">'
    ]
    for i, (name, value) in enumerate(items):
        y = 4 + i * 24
        short = name if len(name) <= 34 else name[:33] + "…"
        label = f"{value:.0%}" if percent else f"{value:.3g}"
        parts.append(f"<g><title>{escape(name)}</title>{_text(230, y + 15, short, anchor='end')}</g>")
        width = value / top * 400
        parts.append(f'<rect x="240" y="{y}" width="{width:.1f}" height="18" rx="3" fill="{PALETTE[0]}"/>')
        parts.append(_text(248 + width, y + 14, label))
    parts.append("</svg>")
    return "".join(parts)
