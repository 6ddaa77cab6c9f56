"""The console tables and the HTML page of suite ``topology``: three parts, never mixed in a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentnet.bench import page, plots
from agentnet.bench.suites.common import markdown, text_table

if TYPE_CHECKING:
    from rich.console import Console

LEAD = (
    "Which agents take part and who reads whose answer, per task. Three beds, each in tables of its own: "
    "simulated societies in which the best topology is known, recorded answers replayed, and live runs."
)
_WIDE = 4
"""Columns of a console table beside the first one."""


def parts_of(results: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yields the parts that were run, each with its heading."""
    if results.get("simulated"):
        yield "Simulated: societies of agents", results["simulated"]
    for part in results.get("replayed") or ():
        yield f"Replayed: recorded answers of {part['name']}", part
    if results.get("live"):
        yield "Live: agents of the embedded model", results["live"]


def print_tables(results: Mapping[str, Any], console: Console) -> None:
    """Prints all tables; their columns are split so that they fit on a narrow terminal."""
    for heading, part in parts_of(results):
        console.print(f"\n{heading}", style="bold", highlight=False, markup=False)
        for made in part["tables"]:
            if made["note"]:
                console.print(made["note"], highlight=False, markup=False)
            keys = _keys(made)
            rest = range(keys, len(made["columns"]))
            for start in range(0, len(rest), _WIDE):
                at = [*range(keys), *rest[start : start + _WIDE]]
                head = [made["columns"][i] for i in at]
                rows = [[row[i] for i in at] for row in made["rows"]]
                console.print(text_table(head, rows, title=made["title"]))


def _keys(made: Mapping[str, Any]) -> int:
    """Columns that name a row."""
    names = {"adversaries", "ours"}
    return 2 if made["columns"][0] in names else 1


def markdown_tables(results: Mapping[str, Any]) -> str:
    """Returns the tables for the docs."""
    blocks = []
    for heading, part in parts_of(results):
        blocks += [f"### {heading}", part["note"]]
        for made in part["tables"]:
            blocks += [f"**{made['title']}**", made["note"], markdown(made["columns"], made["rows"])]
    return "\n\n".join(block for block in blocks if block)


def write_report(results: Mapping[str, Any], path: Path) -> None:
    """Writes the page."""
    sections = [page.paragraph(LEAD)]
    sections += [_section(heading, part) for heading, part in parts_of(results)]
    page.write_page(
        path,
        title="Topology benchmark",
        lead=f"{results['command']} · {results['seeds']} seeds · {results['machine']}",
        sections=sections,
    )


def _section(heading: str, part: Mapping[str, Any]) -> str:
    blocks = [page.paragraph(part["note"])]
    for made in part["tables"]:
        blocks.append(f"<h3>{escape(made['title'])}</h3>")
        if made["note"]:
            blocks.append(page.paragraph(made["note"]))
        blocks.append(f'<div class="scroll">{page.table(made["columns"], made["rows"], nowrap=True)}</div>')
    for drawn in part["plots"]:
        blocks.append(f"<h3>{escape(drawn['title'])}</h3>")
        series = [
            plots.Series(
                item["name"],
                [(float(x), float(y)) for x, y in item["points"]],
                [(float(low), float(high)) for low, high in item["intervals"]],
            )
            for item in drawn["series"]
        ]
        log_x = bool(drawn.get("log_x"))
        blocks.append(
            plots.line_plot(series, x_label=drawn["x_label"], y_label=drawn["y_label"], log_x=log_x)
        )
    return page.section(heading, *blocks)
