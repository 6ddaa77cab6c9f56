"""Tables and the HTML page of the ``online`` suite, drawn from its ``results.json``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentnet.bench import page, plots
from agentnet.bench.suites.common import markdown, text_table

if TYPE_CHECKING:
    from rich.console import Console

Row = Mapping[str, Any]

NOTE = (
    "Replayed from recorded outcomes: in every round a bandit sees one task, chooses one agent and is told "
    "that agent's score, nothing else. Regret is against the best agent of each single task (an oracle that "
    "counts lucky answers too). Every bandit has a floor of 0.002 an agent. Its exploration is one of six "
    "settings, chosen on a third of the queries in orders that are used for nothing else; so is the "
    "contextual bandit that is called the best. No bandit is told a task's label, save the one whose row "
    "says so: that is how GreenServ's published runs were made. Contexts are learned in the stream, from its "
    "first 128 tasks, without scores. Offline kNN is fitted, for every order, on every agent's score of all "
    "rounds before the last ones: as many times more outcomes as there are agents. Intervals are 95% "
    "bootstraps over orders, paired where two are compared; they hold for these queries in another order, "
    "not for other queries."
)
HEAD = (
    "bandit", "setting", "mean score", "regret [95%]", "minus context-free [95%]", "last score",
    "last minus best single [95%]", "last minus offline kNN [95%]",
)  # fmt: skip
SHORT = ("bandit", "regret", "minus context-free [95%]", "last score")


def _interval(found: Row, form: str) -> str:
    low, high = found["ci"]
    return f"{found['mean']:{form}} [{low:{form}}, {high:{form}}]"


def setting_text(row: Row) -> str:
    """Returns a row's exploration in words."""
    setting = (row["bandit"] or {}).get("setting") or {}
    return ", ".join(f"{key} {value:g}" for key, value in setting.items() if value is not None)


def rows_of(part: Row) -> list[list[str]]:
    """Returns a row of text per bandit."""
    return [
        [
            row["name"],
            setting_text(row),
            f"{row['score']['mean']:.4f}",
            _interval(row["regret"], ".0f"),
            _interval(row["regret_vs_free"], "+.0f") if "regret_vs_free" in row else "",
            f"{row['last_score']['mean']:.4f}",
            _interval(row["last_vs_single"], "+.4f"),
            _interval(row["last_vs_offline"], "+.4f"),
        ]
        for row in part["rows"]
    ]


def verdict_lines(part: Row) -> list[str]:
    """Returns what was to be shown, and whether it was."""
    found, last = part["verdict"], part["last"]
    said = {
        "regret_vs_free": ("regret minus that of context-free epsilon-greedy", "+.0f", "interval below zero"),
        "last_vs_single": (f"last {last:,} rounds minus best single", "+.4f", "not below"),
        "last_vs_offline": (f"last {last:,} rounds minus offline kNN", "+.4f", "at most 0.015 below"),
    }
    lines = [f"best contextual bandit by tuning: {found['bandit']}"]
    for key, (what, form, target) in said.items():
        kept = "holds" if found[key]["holds"] else "MISSED"
        lines.append(f"{what}: {_interval(found[key], form)}; target: {target}: {kept}")
    return lines


def print_table(pack: str, part: Row, console: Console) -> None:
    """Prints one set of streams as tables that fit on a narrow terminal."""
    console.print(
        f"\n{pack}, {part['split']}: {part['n']:,} rounds, {part['orders']} orders, replayed", highlight=False
    )
    console.print(text_table(SHORT, [[row[0], row[3].split(" ")[0], *row[4:6]] for row in rows_of(part)]))
    for line in verdict_lines(part):
        console.print(f"  {line}", highlight=False, markup=False)


def markdown_table(part: Row) -> str:
    """Returns the table for the docs."""
    return markdown(HEAD, rows_of(part))


def write_report(results: Row, path: Path) -> None:
    """Writes the page: per pack the streams' tables and curves of regret, and what tuning tried."""
    sections = []
    for pack in results["packs"]:
        sections += [part_section(pack["name"], part) for part in pack["parts"]]
        sections.append(tuning_section(pack))
    page.write_page(
        path,
        title="Online learning benchmark",
        lead=f"{results['command']} · {results['kind']} · {results['orders']} orders · {results['machine']}",
        sections=[page.paragraph(NOTE), *sections],
    )


def part_section(pack: str, part: Row) -> str:
    """Returns one set of streams as a section."""
    knn = _interval(part["offline_knn_last"], ".4f")
    return page.section(
        f"{pack}, {part['split']}: {part['n']:,} rounds",
        *(page.paragraph(line) for line in verdict_lines(part)),
        page.paragraph(
            f"Offline kNN on the last {part['last']:,} rounds: {knn}. Oracle on all: {part['oracle']:.4f}.",
            muted=True,
        ),
        page.table(HEAD, rows_of(part)),
        "<h3>Cumulative regret against the best agent of every task</h3>",
        plots.line_plot(_curves(part), x_label="round", y_label="cumulative regret"),
        "<h3>The same, minus that of the best single agent in hindsight</h3>",
        plots.line_plot(
            _curves(part, against="best single, in hindsight"),
            x_label="round",
            y_label="regret minus best single's",
        ),
        page.paragraph(
            "Below zero a bandit has gained more than it has paid for learning. For scale, the curve of "
            "random choice is left out of the second picture; variants of the best one stand in the table.",
            muted=True,
        ),
    )


def _curves(part: Row, against: str | None = None) -> list[plots.Series]:
    base = {row["name"]: dict(map(tuple, row["curve"])) for row in part["rows"]}
    series = []
    for row in part["rows"]:
        variant = row["bandit"] and (row["bandit"]["every"] > 1 or row["bandit"]["budget"] is not None)
        if variant or (against and row["name"] == "random"):
            continue
        minus = base[against] if against else {}
        points = [(float(t), value - minus.get(t, 0.0)) for t, value in row["curve"]]
        series.append(plots.Series(_short(row["name"]), points, dashed=not row["bandit"]))
    return series


def _short(name: str) -> str:
    """A name that the legend has room for."""
    for long, short in (
        ("GreenServ's features", "GreenServ"), ("agentnet features", "agentnet"), (", in hindsight", ""),
        ("best agent per task label", "best per label"), ("scores in batches of", "batches of"),
        ("budget of regret", "budget"), (" a round", ""), ("task label told", "label told"),
    ):  # fmt: skip
        name = name.replace(long, short)
    return name


def tuning_section(pack: Row) -> str:
    """Returns what was tried, and chosen, as a section."""
    tuning = pack["tuning"]
    rows = []
    for found in tuning["bandits"]:
        for tried in found["tried"]:
            text = ", ".join(f"{k} {v:g}" for k, v in tried["setting"].items() if v is not None)
            mark = "chosen" if tried["setting"] == found["setting"] else ""
            rows.append([found["bandit"], text, f"{tried['score']:.4f}", mark])
    return page.section(
        f"{pack['name']}: tuning on {tuning['n']:,} queries, {tuning['orders']} orders",
        page.paragraph(f"The best contextual bandit by tuning: {tuning['best']}."),
        page.table(("bandit", "setting", "mean score", ""), rows),
    )
