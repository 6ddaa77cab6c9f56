"""Whole quality-cost curves against each other, at equal cost: figures, tables and plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from agentnet.bench import page, plots
from agentnet.bench.curves import Curve, compare
from agentnet.bench.protocol import RouterRun
from agentnet.bench.suites.common import markdown, text_table

if TYPE_CHECKING:
    from rich.console import Console

RULES = {
    "settings": "every setting of the dial is a point of the curve, good or bad",
    "budgets": "the curve by budget: which settings to use, and in which mix, cross-validation on train and "
    "val decided for each budget",
}
"""The two curves of a router that are compared; the same rule for ours and the rival's."""
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


def comparisons(
    runs: Mapping[str, Sequence[RouterRun]], ours: Sequence[str], rivals: Sequence[str]
) -> list[dict[str, Any]]:
    """Returns every one of our curves against every rival's at equal cost, by each of `RULES`.

    Args:
        runs: By entry, one per seed.
        ours: Labels of our entries.
        rivals: Labels of theirs; those that did not run are left out.
    """
    found = []
    for rule in RULES:
        curves = {
            label: Curve.of([run.curve if rule == "settings" else run.budgets for run in group])
            for label, group in runs.items()
        }
        for label in ours:
            mine = curves[label]
            for rival in rivals:
                theirs = curves.get(rival)
                if mine is not None and theirs is not None:
                    found.append({"rule": rule, "ours": label, "rival": rival, **compare(mine, theirs)})
    return found


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
    for rule in dict.fromkeys(item["rule"] for item in part["comparisons"]):
        rows = []
        for item in part["comparisons"]:
            if item["rule"] == rule:
                cells = comparison_cells(item)
                rows.append([f"{item['ours']} - {item['rival']}", cells[2], cells[3], cells[5], cells[6]])
        title = f"curves at equal cost, {part['split']}, by {rule}"
        head = ("ours - rival", "points", "below / above", "at once", "smallest [95%]")
        console.print(text_table(head, rows, title=title))


def markdown_comparisons(part: Mapping[str, Any], rule: str) -> str:
    """Returns the comparisons by one rule as a table for the docs."""
    items = [item for item in part["comparisons"] if item["rule"] == rule]
    return markdown(HEAD, [comparison_cells(item) for item in items])


def compared_section(pack: str, part: Mapping[str, Any], rules: Mapping[str, str]) -> str:
    """Returns the comparisons of one set of rows as a section."""
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
