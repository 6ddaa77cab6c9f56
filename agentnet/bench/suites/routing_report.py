"""Tables and the HTML page of the ``routing`` suite, drawn from its ``results.json``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentnet.bench import page, plots
from agentnet.bench.suites.common import markdown, text_table
from agentnet.bench.suites.compared import compared_section

if TYPE_CHECKING:
    from rich.console import Console

Row = Mapping[str, Any]
Column = tuple[str, Callable[[Row], str]]

NOTE = (
    "Replayed from recorded outcomes; intervals are 95% bootstraps over queries, gains are paired. All "
    "selection is on train and val. The first table is quality only (dial 0). * is the operating point that "
    "5-fold cross-validation inside train and val chose: the cheapest setting of the dial that scores at "
    "least as much there as the best single agent; † allows one point less; ‡ is the setting that scored "
    "most there at no more than twice the best single agent's cost. The plain vote is of the nine agents "
    "best in training, weighted by the log-odds of their scores. AIQ is the mean height of the quality-cost "
    "hull between the cheapest point and the best single agent's cost; by budget, of the curve whose mixes "
    "cross-validation chose, read off no evaluated row. ParetoDist is the "
    "distance to the front of all routers' curves and all single agents. Entropy is that of the agents' "
    "shares of all runs, in bits; a router that always runs the same agent is called collapsed. ECE is the "
    "calibration error. A router beats kNN or k-means only if the whole interval is above zero."
)


def _name(row: Row) -> str:
    return str(row["router"])


def _entropy(row: Row) -> str:
    return _number(row["entropy"], ".2f") + (" (collapsed)" if row.get("collapsed") else "")


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _with_interval(value: float | None, interval: Sequence[float] | None, form: str) -> str:
    if value is None or interval is None:
        return ""
    return f"{value:{form}} [{interval[0]:{form}}, {interval[1]:{form}}]"


def _get(key: str, form: str, *, scale: float = 1.0) -> Callable[[Row], str]:
    def text(row: Row) -> str:
        value = row.get(key)
        return "" if value is None else format(value * scale, form)

    return text


def _matched(key: str, form: str, *, scale: float = 1.0) -> Callable[[Row], str]:
    return lambda row: _get(key, form, scale=scale)(row.get("matched") or {})


def _versus(rival: str) -> Callable[[Row], str]:
    def text(row: Row) -> str:
        found = row.get("versus", {}).get(rival)
        return _with_interval(found["gain"], found["gain_ci"], "+.3f") if found else ""

    return text


def _latency(row: Row) -> str:
    latency = row.get("latency_ms")
    return f"{latency['p50']:.1f} / {latency['p99']:.1f}" if latency else ""


def _gain_at(point: str) -> Callable[[Row], str]:
    def text(row: Row) -> str:
        found = row.get(point) or {}
        return _with_interval(found.get("gain"), found.get("gain_ci"), "+.3f")

    return text


def _near_save(row: Row) -> str:
    found = row.get("near") or {}
    return _number(found.get("cost_save"), ".1%")


def _at(point: str, key: str) -> Callable[[Row], str]:
    def text(row: Row) -> str:
        found = row.get(point) or {}
        return _with_interval(found.get(key), found.get(f"{key}_ci"), "+.1%")

    return text


def _area(rule: str) -> Callable[[Row], str]:
    def text(row: Row) -> str:
        found = ((row.get("area") or {}).get(rule) or {}).get("versus")
        return _with_interval(found["difference"], found["ci"], "+.3f") if found else ""

    return text


def _saves_more(row: Row) -> str:
    """Against the baseline that saves most."""
    versus = (row.get("matched") or {}).get("versus") or {}
    if not versus:
        return ""
    name, found = min(versus.items(), key=lambda item: float(item[1]["difference"]))
    return f"{_with_interval(found['difference'], found['ci'], '+.1%')} ({name})"


QUALITY: tuple[Column, ...] = (
    ("router", _name),
    ("score [95%]", lambda row: _with_interval(row["score"], row["score_ci"], ".3f")),
    ("gain over best single", lambda row: _with_interval(row.get("gain"), row.get("gain_ci"), "+.3f")),
    ("gap closed", _get("gap_closed", ".3f")),
)
RIVALS: tuple[Column, ...] = (
    ("over kNN", _versus("knn")),
    ("over k-means", _versus("kmeans")),
    ("PerfGain", _get("perf_gain", "+.1%")),
    ("seeds (sd)", lambda row: f"{row['seeds']} ({row['score_sd_over_seeds']:.3f})"),
)
MONEY: tuple[Column, ...] = (
    ("router", _name),
    ("$ / 1k", _get("cost_usd", ".4f", scale=1000)),
    ("$ / 1k *", _matched("cost_usd", ".4f", scale=1000)),
    ("CostSave*", _matched("cost_save", ".1%")),
    ("gain*", _gain_at("matched")),
)
CURVE: tuple[Column, ...] = (
    ("router", _name),
    ("CostSave†", _near_save),
    ("gain†", _gain_at("near")),
    ("AIQ", _get("aiq", ".3f")),
    ("ParetoDist", _get("pareto_distance", ".3f")),
    ("ParetoDist*", _matched("pareto_distance", ".3f")),
)
FIXED: tuple[Column, ...] = (
    ("router", _name),
    ("CostSave† [95%]", _at("near", "cost_save")),
    ("PerfGain‡ [95%]", _at("double", "perf_gain")),
    ("cost‡", lambda row: _number((row.get("double") or {}).get("times_cost"), ".2f")),
)
AREA: tuple[Column, ...] = (
    ("router", _name),
    ("AIQ over cascade", _area("settings")),
    ("by budget", _area("budgets")),
)
SAVING: tuple[Column, ...] = (("router", _name), ("CostSave* over best baseline", _saves_more))
BEHAVIOUR: tuple[Column, ...] = (
    ("router", _name),
    ("entropy", _entropy),
    ("ECE", _get("calibration_error", ".3f")),
    ("ms p50 / p99", _latency),
    ("replay", lambda row: str(row["replay"])),
)


def cells(row: Row, columns: Sequence[Column]) -> list[str]:
    """Returns a router's row as text."""
    return [text(row) for _, text in columns]


def print_table(pack: str, part: Mapping[str, Any], console: Console) -> None:
    """Prints one set of rows as tables that fit on a narrow terminal."""
    best = part["best_single"]
    single = f"best single {best['agent']} {best['score']:.4f}" if best else "no best single agent"
    console.print(
        f"\n{pack}, {part['split']}: {part['n']:,} queries, replayed; {single}; oracle {part['oracle']:.4f}",
        highlight=False,
        markup=False,
    )
    for columns in (QUALITY, MONEY, CURVE, FIXED, AREA, SAVING, BEHAVIOUR):
        rows = [cells(row, columns) for row in part["routers"]]
        if any(any(row[1:]) for row in rows):
            console.print(text_table([name for name, _ in columns], rows))
    if part.get("plain_vote"):
        console.print(plain_vote_text(part["plain_vote"]), highlight=False, markup=False)


def plain_vote_text(found: Row) -> str:
    """Returns the plain vote's figures in words."""
    times = found["times_cost"]
    return (
        f"plain weighted vote of the top {found['members']}: score {found['score']:.4f}, PerfGain "
        f"{_with_interval(found['perf_gain'], found['perf_gain_ci'], '+.1%')}"
        + ("" if times is None else f", {times:.2f} times the best single agent's cost")
    )


def markdown_table(part: Mapping[str, Any]) -> str:
    """Returns one set of rows as a table for the docs."""
    columns = (
        *QUALITY, *RIVALS, *MONEY[1:], *CURVE[1:], *FIXED[1:], *AREA[1:], *SAVING[1:], *BEHAVIOUR[1:],
    )  # fmt: skip
    return markdown([name for name, _ in columns], [cells(row, columns) for row in part["routers"]])


def write_report(results: Mapping[str, Any], path: Path) -> None:
    """Writes the page: per pack the tables, the quality-cost curves and the shares per agent."""
    sections = []
    for pack in results["packs"]:
        for part in pack["parts"]:
            sections.append(part_section(pack["name"], part))
            if part.get("comparisons"):
                sections.append(compared_section(pack["name"], part, results["rules"]))
    page.write_page(
        path,
        title="Routing benchmark",
        lead=f"{results['command']} · {results['kind']} · {results['seeds']} seeds · {results['machine']}",
        sections=[page.paragraph(NOTE), *sections],
    )


def part_section(pack: str, part: Mapping[str, Any]) -> str:
    """Returns one set of rows as a section: tables, curves and shares per agent."""
    best = part["best_single"]
    single = f"best single agent {best['agent']} {best['score']:.4f}" if best else "no best single agent"
    tables = [
        page.table(
            [name for name, _ in columns], [cells(row, columns) for row in part["routers"]], nowrap=True
        )
        for columns in (
            (*QUALITY, *RIVALS),
            (*MONEY, *CURVE[1:]),
            (*FIXED, *AREA[1:], *SAVING[1:]),
            BEHAVIOUR,
        )
    ]
    shares = "".join(
        f"<details><summary>{escape(row['router'])}: share per agent</summary>"
        f"{plots.bars(row['selection'])}</details>"
        for row in part["routers"]
    )
    drawings = "".join(
        f"<details><summary>{escape(row['router'])}: one decision, drawn</summary>{row['drawing']}</details>"
        for row in part["routers"]
        if row.get("drawing")
    )
    return page.section(
        f"{pack}, {part['split']}",
        page.paragraph(f"{part['n']:,} queries; {single}; oracle {part['oracle']:.4f}."),
        *tables,
        *(
            [page.paragraph(f"Beside it, {plain_vote_text(vote)}.")]
            if (vote := part.get("plain_vote"))
            else []
        ),
        plots.line_plot(
            _series(part), x_label="USD per 1,000 queries (logarithmic)", y_label="score", log_x=True
        ),
        shares,
        drawings,
    )


def _series(part: Mapping[str, Any]) -> list[plots.Series]:
    """The routers' curves and the single agents' points; the oracle's is a reference."""
    series = []
    for row in part["routers"]:
        points = {(p["cost_usd"] * 1000, p["score"]) for p in row["curve"] if p["cost_usd"]}
        series.append(plots.Series(row["router"], sorted(points), dashed=row["router"] == "oracle"))
    agents = [(a["cost_usd"] * 1000, a["score"]) for a in part["agents"] if a["cost_usd"]]
    series.append(plots.Series("single agents", sorted(agents), joined=False))
    return series
