"""A self-contained HTML page: one file, works offline, prints well."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from pathlib import Path

from agentnet.graphs.draw_page import html_page
from agentnet.graphs.draw_page import html_table as table

__all__ = ["paragraph", "section", "table", "write_page"]

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #0f172a; background: #f8fafc; margin: 0; }
main { max-width: 980px; margin: 0 auto; padding: 28px 20px 60px; }
h1 { font-size: 26px; margin: 0 0 4px; } h2 { font-size: 19px; margin: 34px 0 8px; }
p, li { max-width: 76ch; } .muted, .soft { color: #64748b; }
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


def section(title: str, *parts: str) -> str:
    """Returns a titled part of the page; ``parts`` are HTML."""
    return f"<section><h2>{escape(title)}</h2>{''.join(parts)}</section>"


def paragraph(text: str, *, muted: bool = False) -> str:
    """Returns a paragraph of plain text."""
    return f"<p{' class=muted' if muted else ''}>{escape(text)}</p>"


def write_page(path: Path, *, title: str, lead: str, sections: Iterable[str]) -> None:
    """Writes the page in one step."""
    html = html_page(title, lead, sections, style=_STYLE)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(html, encoding="utf-8")
    part.replace(path)
