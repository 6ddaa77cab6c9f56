"""Horizontal bars with intervals, as self-contained SVG text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from agentnet.bench.plots import PALETTE, nice_ticks

_WIDTH, _ROW, _LEFT, _RIGHT, _FOOT = 760, 24, 270, 110, 26


def interval_bars(items: Sequence[Mapping[str, Any]]) -> str:
    """Returns a bar for each item: ``name``, ``mean`` and ``ci`` (low, high), in per cent.

    The axis begins at zero only where a bar would else be longer than half of what is left: bars that
    differ in the third digit would look the same.

    >>> "tcar: 96.0%" in interval_bars([{"name": "tcar", "mean": 0.96, "ci": [0.95, 0.97]}])
    True
    """
    if not items:
        return '<p class="muted">Nothing to plot.</p>'
    low = min(float(item["ci"][0]) for item in items)
    high = max(float(item["ci"][1]) for item in items)
    ticks = nice_ticks(0.0 if low < 0.5 else low - 0.02, high)
    height = _ROW * len(items) + _FOOT + 8

    def px(value: float) -> float:
        return _LEFT + (value - ticks[0]) / (ticks[-1] - ticks[0]) * (_WIDTH - _LEFT - _RIGHT)

    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" xmlns="http://www.w3.org/2000/svg" '
        'font-family="system-ui, sans-serif" font-size="12">'
    ]
    for tick in ticks:
        x = px(tick)
        parts.append(f'<line x1="{x:.1f}" y1="4" x2="{x:.1f}" y2="{height - _FOOT}" stroke="#eef2f7"/>')
        parts.append(_text(x, height - 8, f"{tick * 100:g}%", "middle"))
    for i, item in enumerate(items):
        parts += _bar(i, str(item["name"]), float(item["mean"]), item["ci"], px)
    parts.append("</svg>")
    return "".join(parts)


def _bar(i: int, name: str, mean: float, ci: Sequence[float], px: Any) -> list[str]:
    y = 6 + i * _ROW
    middle = y + 8
    start, end, low, high = _LEFT, px(mean), px(float(ci[0])), px(float(ci[1]))
    short = name if len(name) <= 42 else name[:41] + "…"
    said = f"{name}: {mean:.1%} [{float(ci[0]):.1%}, {float(ci[1]):.1%}]"
    return [
        f"<g><title>{escape(said)}</title>",
        _text(_LEFT - 8, y + 12, short, "end"),
        f'<rect x="{start}" y="{y}" width="{max(0.0, end - start):.1f}" height="16" rx="2" '
        f'fill="{PALETTE[0]}" fill-opacity="0.75"/>',
        f'<line x1="{low:.1f}" y1="{middle}" x2="{high:.1f}" y2="{middle}" stroke="#0f172a"/>',
        *(
            f'<line x1="{x:.1f}" y1="{middle - 4}" x2="{x:.1f}" y2="{middle + 4}" stroke="#0f172a"/>'
            for x in (low, high)
        ),
        _text(high + 8, y + 12, f"{mean:.1%}", "start"),
        "</g>",
    ]


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="#334155">{escape(text)}</text>'
