"""Tables and the HTML page of the ``paths`` suite, drawn from its ``results.json``."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from agentnet.bench import page, plots
from agentnet.bench.suites.compared import compared_section
from agentnet.bench.suites.routing_report import NOTE, part_section

LEAD = (
    "amro_s is recipe agentnet (greedy), amro_s paper the fixed-length path of three agents; of three: at "
    "most three agents a query. All join by the weighted vote of recorded answers, so that a path is "
    "replayed exactly."
)


def write_report(results: Mapping[str, Any], path: Path) -> None:
    """Writes the page: what was replayed, then what was simulated, each as its own part."""
    sections = [page.paragraph(LEAD), page.paragraph(NOTE)]
    for pack in results["packs"]:
        for part in pack["parts"]:
            sections.append(part_section(pack["name"], part))
            sections.append(compared_section(pack["name"], part, results["rules"]))
    if results["simulated"]:
        sections.append(_simulated(results["simulated"]))
    page.write_page(
        path,
        title="Paths benchmark",
        lead=f"{results['command']} · {results['seeds']} seeds · {results['machine']}",
        sections=sections,
    )


def _simulated(found: Mapping[str, Any]) -> str:
    blocks = [page.paragraph("Simulated: no recorded or live answer is behind these figures.")]
    for table in found["tables"]:
        blocks.append(f"<h3>{escape(table['title'])}</h3>")
        if table.get("note"):
            blocks.append(page.paragraph(table["note"]))
        blocks.append(page.table(table["columns"], table["rows"], nowrap=True))
    for plot in found.get("plots", ()):
        blocks.append(f"<h3>{escape(plot['title'])}</h3>")
        series = [
            plots.Series(
                item["name"],
                [(float(x), float(y)) for x, y in item["points"]],
                [(float(low), float(high)) for low, high in item.get("intervals", ())],
            )
            for item in plot["series"]
        ]
        blocks.append(plots.line_plot(series, x_label=plot["x_label"], y_label=plot["y_label"]))
    return page.section("Simulated streams", *blocks)
