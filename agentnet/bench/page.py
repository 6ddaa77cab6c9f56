"""A self-contained HTML page: one file, works offline, prints well."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #0f172a; background: #f8fafc; margin: 0; }
main { max-width: 980px; margin: 0 auto; padding: 28px 20px 60px; }
h1 { font-size: 26px; margin: 0 0 4px; } h2 { font-size: 19px; margin: 34px 0 8px; }
p, li { max-width: 76ch; } .muted { color: #64748b; }
section { background: #fff; border: 1px solid #e2e8f0; border-radius: 10px; }
section { padding: 4px 18px 16px; margin: 18px 0; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: 14px; }
th, td { text-align: right; padding: 5px 9px; border-bottom: 1px solid #e2e8f0; vertical-align: top; }
th:first-child, td:first-child { text-align: left; } tr.strong td { font-weight: 600; background: #eff6ff; }
.nowrap td { white-space: nowrap; }
.scroll { overflow-x: auto; } code, pre { font: 13px/1.45 ui-monospace, monospace; }
pre { background: #f1f5f9; padding: 10px 12px; border-radius: 8px; overflow-x: auto; white-space: pre-wrap; }
svg { max-width: 100%; height: auto; } details { margin: 8px 0; } summary { cursor: pointer; }
.tag { background: #e0e7ff; color: #3730a3; border-radius: 6px; padding: 1px 8px; font-size: 13px; }
"""


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    strong: Iterable[int] = (),
    nowrap: bool = False,
) -> str:
    """Returns an HTML table; ``strong`` names rows to set off, ``nowrap`` keeps cells on one line.

    >>> "<tr><td>a &amp; b</td><td>0.6</td></tr>" in table(["router", "score"], [["a & b", 0.6]])
    True
    """
    marked = set(strong)
    lines = ["<tr>" + "".join(f"<th>{escape(str(cell))}</th>" for cell in head) + "</tr>"]
    for i, row in enumerate(rows):
        css = ' class="strong"' if i in marked else ""
        lines.append(f"<tr{css}>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>")
    css = ' class="nowrap"' if nowrap else ""
    return f'<div class="scroll"><table{css}>' + "".join(lines) + "</table></div>"


def section(title: str, *parts: str) -> str:
    """Returns a titled part of the page; ``parts`` are HTML."""
    return f"<section><h2>{escape(title)}</h2>{''.join(parts)}</section>"


def paragraph(text: str, *, muted: bool = False) -> str:
    """Returns a paragraph of plain text."""
    return f"<p{' class=muted' if muted else ''}>{escape(text)}</p>"


def write_page(path: Path, *, title: str, lead: str, sections: Iterable[str]) -> None:
    """Writes the page in one step."""
    html = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>'
        f"<body><main><h1>{escape(title)}</h1><p class=muted>{escape(lead)}</p>{''.join(sections)}"
        "</main></body></html>\n"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(html, encoding="utf-8")
    part.replace(path)
