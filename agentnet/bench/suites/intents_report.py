"""The console tables and the HTML page of suite ``intents``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentnet.bench import page, plots
from agentnet.bench.intents.bars import interval_bars
from agentnet.bench.suites.common import markdown, text_table

if TYPE_CHECKING:
    from rich.console import Console

LEAD = (
    "Which agents an utterance is for: all agents known, few examples, agents that join later, queries "
    "for two agents, and queries for none. Replayed figures come from recorded labels, live ones from "
    "agents that answer."
)
HEADINGS: Mapping[str, str] = {
    "full": "All training rows",
    "unseen": "Agents that join after training",
    "shots": "Few examples",
    "ambiguity": "Queries for two agents",
    "hybrid": "Handing over to a reasoning model",
    "live": "Live",
    "others": "What others measured",
}
_WIDE = 3
"""Columns of a console table beside those that name a row."""
_NAMES = frozenset({"router", "sets", "examples", "against", "model", "utterances", "aggregation", "draws"})
"""Columns that name a row."""


def blocks_of(results: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yields what was measured, by part and pack, each with its heading."""
    for part, heading in HEADINGS.items():
        for block in results["parts"].get(part) or ():
            yield f"{heading}: {block['name']}", block


def print_tables(results: Mapping[str, Any], console: Console) -> None:
    """Prints all tables; their columns are split so that they fit on a narrow terminal."""
    for heading, block in blocks_of(results):
        console.print(f"\n{heading}", style="bold", highlight=False, markup=False)
        for made in block["tables"]:
            keys = _keys(made["columns"])
            rest = range(keys, len(made["columns"]))
            for start in range(0, len(rest), _WIDE):
                at = [*range(keys), *rest[start : start + _WIDE]]
                head = [made["columns"][i] for i in at]
                rows = [[row[i] for i in at] for row in made["rows"]]
                console.print(text_table(head, rows, title=made["title"]))


def _keys(columns: list[str]) -> int:
    """How many columns name a row: those before the first figure."""
    count = 0
    while count < len(columns) and columns[count] in _NAMES:
        count += 1
    return max(1, count)


def markdown_tables(results: Mapping[str, Any], *parts: str) -> str:
    """Returns the tables of some parts for the docs, or of all."""
    blocks: list[str] = []
    for part in parts or tuple(HEADINGS):
        seen: set[str] = set()
        for block in results["parts"].get(part) or ():
            for made in block["tables"]:
                note = "" if made["note"] in seen else made["note"]
                seen.add(made["note"])
                blocks += [f"**{made['title']}**", note, markdown(made["columns"], made["rows"])]
    return "\n\n".join(block for block in blocks if block)


def write_report(results: Mapping[str, Any], path: Path) -> None:
    """Writes the page."""
    sections = [page.paragraph(LEAD)]
    sections += [_section(heading, block) for heading, block in blocks_of(results)]
    page.write_page(
        path,
        title="Intent benchmark",
        lead=f"{results['command']} · {results['seeds']} seeds · {results['machine']}",
        sections=sections,
    )


def _section(heading: str, block: Mapping[str, Any]) -> str:
    parts: list[str] = []
    for drawn in block["bars"]:
        parts += [f"<h3>{escape(drawn['title'])}</h3>", interval_bars(drawn["bars"])]
    for made in block["tables"]:
        parts.append(f"<h3>{escape(made['title'])}</h3>")
        if made["note"]:
            parts.append(page.paragraph(made["note"], muted=True))
        parts.append(f'<div class="scroll">{page.table(made["columns"], made["rows"], nowrap=True)}</div>')
    for drawn in block["plots"]:
        parts.append(f"<h3>{escape(drawn['title'])}</h3>")
        parts.append(_plot(drawn))
    return page.section(heading, *parts)


def _plot(drawn: Mapping[str, Any]) -> str:
    diagonal = bool(drawn.get("diagonal"))
    series = [
        plots.Series(
            item["name"],
            [(float(x), float(y)) for x, y in item["points"]],
            () if diagonal else [(float(low), float(high)) for low, high in item["intervals"]],
        )
        for item in drawn["series"]
    ]
    return plots.line_plot(series, x_label=drawn["x_label"], y_label=drawn["y_label"], diagonal=diagonal)
