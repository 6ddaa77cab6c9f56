"""Tables and the HTML page of the ``paths`` suite, drawn from its ``results.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentnet.bench import page, plots
from agentnet.bench.suites.routing_report import NOTE, part_section

if TYPE_CHECKING:
    from rich.console import Console

LEAD = (
    "amro_s is recipe agentnet (greedy), amro_s paper the fixed-length path of three agents; of three: at "
    "most three agents a query. All join by the weighted vote of recorded answers, so that a path is "
    "replayed exactly."
)
COMPARED = (
    "At each point of a rival's curve, ours is the mix of our two adjacent points that costs the same, query "
    "by query; points of nearly equal cost count once. Below and above count points whose paired 95% "
    "interval leaves zero out: for the point alone, with the costs' own uncertainty, and in an interval that "
    "holds for all points at once, as each of many points may be above by chance. Beyond are the rival's "
    "points dearer than all of ours, against our dearest."
)
HEAD = (
    "ours", "rival", "points", "below / above", "with costs", "at once", "smallest difference [95%]",
    "at $ / 1k", "largest difference [95%]", "at $ / 1k", "beyond",
)  # fmt: skip
POINT_HEAD = (
    "rival", "$ / 1k", "ours", "theirs", "difference [95%]", "with the costs' uncertainty",
    "all points at once",
)  # fmt: skip


def comparison_cells(item: Mapping[str, Any]) -> list[str]:
    """Returns one comparison of curves as a row of text."""
    counts = [f"{item[f'below{kind}']} / {item[f'above{kind}']}" for kind in ("", "_cost", "_all")]
    cells = [item["ours"], item["rival"], str(len(item["points"])), *counts]
    for point in (item["worst"], item["best"]):
        cells += [_interval(point, "ci"), f"{point['cost_usd'] * 1000:.3g}"] if point else ["", ""]
    beyond = min((point["difference"] for point in item["beyond"]), default=None)
    return [*cells, "" if beyond is None else f"{len(item['beyond'])} (least {beyond:+.3f})"]


def point_cells(item: Mapping[str, Any]) -> list[list[str]]:
    """Returns the points of one comparison as rows of text."""
    return [
        [
            item["rival"],
            f"{point['cost_usd'] * 1000:.4g}",
            f"{point['ours']:.4f}",
            f"{point['theirs']:.4f}",
            *(_interval(point, kind) for kind in ("ci", "ci_cost", "ci_all")),
        ]
        for point in item["points"]
    ]


def _interval(point: Mapping[str, Any], kind: str) -> str:
    low, high = point[kind]
    return f"{point['difference']:+.3f} [{low:+.3f}, {high:+.3f}]"


def print_comparisons(part: Mapping[str, Any], console: Console) -> None:
    """Prints the comparisons of one set of rows as tables that fit on a narrow terminal."""
    from rich import box
    from rich.table import Table

    for rule in dict.fromkeys(item["rule"] for item in part["comparisons"]):
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, title_justify="left")
        table.title = f"curves at equal cost, {part['split']}, by {rule}"
        for name in ("ours - rival", "points", "below / above", "at once", "smallest [95%]"):
            table.add_column(name, justify="left" if name == "ours - rival" else "right")
        for item in part["comparisons"]:
            if item["rule"] == rule:
                cells = comparison_cells(item)
                pair = f"{item['ours']} - {item['rival']}"
                table.add_row(pair, cells[2], cells[3], cells[5], cells[6])
        console.print(table)


def markdown_comparisons(part: Mapping[str, Any], rule: str) -> str:
    """Returns the comparisons by one rule as a table for the docs."""
    lines = ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    for item in part["comparisons"]:
        if item["rule"] == rule:
            lines.append("| " + " | ".join(comparison_cells(item)) + " |")
    return "\n".join(lines)


def write_report(results: Mapping[str, Any], path: Path) -> None:
    """Writes the page: what was replayed, then what was simulated, each as its own part."""
    sections = [page.paragraph(LEAD), page.paragraph(NOTE)]
    for pack in results["packs"]:
        for part in pack["parts"]:
            sections.append(part_section(pack["name"], part))
            sections.append(_compared(pack["name"], part, results["rules"]))
    if results["simulated"]:
        sections.append(_simulated(results["simulated"]))
    page.write_page(
        path,
        title="Paths benchmark",
        lead=f"{results['command']} · {results['seeds']} seeds · {results['machine']}",
        sections=sections,
    )


def _compared(pack: str, part: Mapping[str, Any], rules: Mapping[str, str]) -> str:
    blocks = [page.paragraph(COMPARED)]
    for rule, text in rules.items():
        items = [item for item in part["comparisons"] if item["rule"] == rule]
        if not items:
            continue
        blocks.append(f"<h3>By {escape(rule)}</h3>")
        blocks.append(page.paragraph(f"{text[0].upper()}{text[1:]}."))
        blocks.append(page.table(HEAD, [comparison_cells(item) for item in items], nowrap=True))
        for i, label in enumerate(dict.fromkeys(item["ours"] for item in items)):
            mine = [item for item in items if item["ours"] == label]
            rows = [cells for item in mine for cells in point_cells(item)]
            plot = _difference_plot(label, mine)
            points = page.table(POINT_HEAD, rows, nowrap=True)
            blocks.append(
                f"{plot if i == 0 else ''}<details><summary>{escape(label)}: every point</summary>"
                f"{'' if i == 0 else plot}{points}</details>"
            )
    return page.section(f"{pack}, {part['split']}: curves at equal cost (replayed)", *blocks)


def _difference_plot(label: str, items: Sequence[Mapping[str, Any]]) -> str:
    """Differences along the cost axis with the intervals of each point alone."""
    series = []
    for item in items:
        points = [(p["cost_usd"] * 1000, p["difference"]) for p in item["points"]]
        intervals = [(p["ci"][0], p["ci"][1]) for p in item["points"]]
        series.append(plots.Series(f"{label} - {item['rival']}", points, intervals))
    costs = [x for item in series for x, _ in item.points]
    if costs:
        series.append(plots.Series("no difference", [(min(costs), 0.0), (max(costs), 0.0)], dashed=True))
    return plots.line_plot(
        series, x_label="USD per 1,000 queries (logarithmic)", y_label="difference in score", log_x=True
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
