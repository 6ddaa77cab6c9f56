"""Tables and the HTML page of the ``routing`` suite, drawn from its ``results.json``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentnet.bench import page, plots

if TYPE_CHECKING:
    from rich.console import Console

HEAD = (
    "router", "score [95%]", "gain over best single [95%, paired]", "gap closed", "USD / 1,000", "CostSave*",
    "score there (gain) [95%]", "PerfGain", "AIQ", "ParetoDist", "entropy", "ECE", "route ms p50 / p99",
)  # fmt: skip
NOTE = (
    "Replayed from recorded outcomes. Selection on train and val only; * operating point chosen by "
    "cross-validation inside train and val: the cheapest dial setting that scores at least as much there "
    "as the best single agent. AIQ is the mean height of the quality-cost hull between the cheapest point "
    "and the best single agent's cost. ParetoDist is the distance to the front of all routers. A router "
    "with almost no entropy always picks the same agents (collapsed)."
)


def cells(row: dict[str, Any]) -> list[str]:
    """Returns a router's row as text, in the order of `HEAD`."""
    matched = row.get("matched")
    save = matched and matched["cost_save"]
    lo, hi = row["score_ci"]
    gain = ""
    if "gain" in row:
        gain = f"{row['gain']:+.4f} [{row['gain_ci'][0]:+.4f}, {row['gain_ci'][1]:+.4f}]"
    latency = row["latency_ms"]
    return [
        row["router"] + (" (collapsed)" if row.get("collapsed") else ""),
        f"{row['score']:.4f} [{lo:.4f}, {hi:.4f}]",
        gain,
        _number(row.get("gap_closed"), ".3f"),
        _number(row["cost_usd"] and row["cost_usd"] * 1000, ".4f"),
        _number(save, ".1%"),
        _gain(matched["score"], matched["gain"], matched["gain_ci"]) if matched else "",
        _number(row.get("perf_gain"), "+.1%"),
        _number(row.get("aiq"), ".4f"),
        _number(row.get("pareto_distance"), ".4f"),
        _number(row["entropy"], ".2f"),
        _number(row["calibration_error"], ".3f"),
        f"{latency['p50']:.1f} / {latency['p99']:.1f}" if latency else "",
    ]


def _gain(score: float, gain: float, interval: list[float]) -> str:
    return f"{score:.4f} ({gain:+.4f}) [{interval[0]:+.4f}, {interval[1]:+.4f}]"


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def print_table(pack: str, part: dict[str, Any], console: Console) -> None:
    """Prints one table."""
    from rich.table import Table

    table = Table(
        title=f"{pack}, {part['split']}: {part['n']:,} queries, replayed; oracle {part['oracle']:.4f}"
    )
    for name in HEAD:
        table.add_column(name, justify="left" if name == "router" else "right")
    for row in part["routers"]:
        table.add_row(*cells(row))
    console.print(table)


def markdown_table(part: dict[str, Any]) -> str:
    """Returns one table for the docs."""
    lines = ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    lines += ["| " + " | ".join(cells(row)) + " |" for row in part["routers"]]
    return "\n".join(lines)


def write_report(results: dict[str, Any], path: Path) -> None:
    """Writes the page: per pack the table, the quality-cost curves and the shares per agent."""
    sections = []
    for pack in results["packs"]:
        for part in pack["parts"]:
            sections.append(_section(pack["name"], part))
    page.write_page(
        path,
        title="Routing benchmark",
        lead=f"{results['command']} · {results['kind']} · {results['seeds']} seeds · {results['machine']}",
        sections=[page.paragraph(NOTE), *sections],
    )


def _section(pack: str, part: dict[str, Any]) -> str:
    series = []
    for row in part["routers"]:
        curve = sorted((p["cost_usd"] * 1000, p["score"]) for p in row["curve"] if p["cost_usd"] is not None)
        series.append(plots.Series(row["router"], curve, dashed=row["router"] == "oracle"))
    best = part["best_single"]
    single = f"best single agent {best['agent']} {best['score']:.4f}" if best else "no agent seen in training"
    lead = f"{part['n']:,} queries; {single}; oracle {part['oracle']:.4f}."
    shares = "".join(
        f"<details><summary>{row['router']}: share per agent</summary>{plots.bars(row['selection'])}</details>"
        for row in part["routers"]
    )
    return page.section(
        f"{pack}, {part['split']}",
        page.paragraph(lead),
        page.table(HEAD, [cells(row) for row in part["routers"]]),
        plots.line_plot(series, x_label="USD per 1,000 queries", y_label="score"),
        shares,
    )
