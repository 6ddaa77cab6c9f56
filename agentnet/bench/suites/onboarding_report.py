"""Tables and the HTML page of the ``onboarding`` suite, drawn from its ``results.json``."""

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
    "Replayed from recorded outcomes. Each agent in turn is left out of training; then it joins the pool and "
    "the router is given outcomes of it on 0, 5, 20 or 100 train queries (five random draws), without "
    "retraining. Gain is over the same router without the agent. Recovery is the gain over what retraining "
    "with all of its outcomes gains, averaged over the agents whose absence costs at least one point; pooled "
    "is the quotient of the sums. Intervals are 95% bootstraps over queries, paired. Which agents count is "
    "found on rows that are not evaluated: on the test split by cross-fitting inside train and val; where "
    "all rows are cross-fitted, for each fold on the rows of the other folds. Beside it, for comparison, "
    "the agents that the evaluated rows themselves would choose."
)
TITLES = {"inside": "chosen on other rows", "evaluated": "chosen on the evaluated rows"}
HEAD = ("router", "probes", "gain [95%]", "recovery [95%]", "pooled [95%]")
AGENT_HEAD = ("agent", "absence, other rows", "absence [95%]")


def _interval(row: Row, key: str, form: str) -> str:
    low, high = row[f"{key}_ci"]
    return f"{row[key]:{form}} [{low:{form}}, {high:{form}}]"


def recovery_rows(part: Row, chosen: str) -> list[list[str]]:
    """Returns a row of text per router and number of probes, for one way to choose the agents."""
    rows = []
    for router in part["routers"]:
        if not router["takes_probes"]:
            rows.append([router["router"], "", "takes no probes", "", ""])
            continue
        found = router["lists"][chosen]
        if not found["agents"]:
            rows.append([router["router"], "", "no agent counts", "", ""])
        for i, row in enumerate(found["probes"]):
            name = router["router"] if i == 0 else ""
            cells = [_interval(row, "gain", "+.4f")]
            cells += [_interval(row, key, ".0%") for key in ("recovery", "pooled")]
            rows.append([name, str(row["probes"]), *cells])
    return rows


def agent_rows(router: Row) -> list[list[str]]:
    """Returns a row of text per agent: what its absence costs and what probes gain."""
    return [
        [
            agent["agent"] + (" *" if agent["counted_share"] else ""),
            f"{agent['absence_inside']:+.4f}",
            _interval(agent, "absence", "+.4f"),
            *(_interval(row, "gain", "+.4f") for row in agent["probes"]),
        ]
        for agent in sorted(router["agents"], key=lambda agent: -agent["absence"])
    ]


def agents_text(router: Row, chosen: str) -> str:
    """Returns the agents that count for a router, in words."""
    found = router["lists"][chosen]
    if not found["agents"]:
        return f"{router['router']}: no agent counts"
    share = {agent["agent"]: agent["counted_share"] for agent in router["agents"]}
    names = [
        name if chosen != "inside" or share[name] == 1 else f"{name} (on {share[name]:.0%} of the rows)"
        for name in found["agents"]
    ]
    doubt = found["uncertain"]
    note = f"; in {doubt:.0%} of the resamples the absence of one costs nothing" if doubt >= 0.005 else ""
    return f"{router['router']}: {', '.join(names)} (mean worth {found['worth']:.4f}{note})"


def print_table(pack: str, part: Row, console: Console) -> None:
    """Prints one set of rows as tables that fit on a narrow terminal."""
    console.print(f"\n{pack}, {part['split']}: {part['n']:,} queries, replayed", highlight=False)
    for chosen in part["lists"]:
        console.print(f"agents {TITLES[chosen]}:", highlight=False)
        for router in part["routers"]:
            if router["takes_probes"]:
                console.print(f"  {agents_text(router, chosen)}", highlight=False, markup=False)
        cells = [
            [*row[:2], *(cell.replace("+", "") for cell in row[2:4])] for row in recovery_rows(part, chosen)
        ]
        console.print(text_table(HEAD[:4], cells))


def markdown_table(part: Row, chosen: str = "inside") -> str:
    """Returns gains and recovery as a table for the docs."""
    return markdown(HEAD, recovery_rows(part, chosen))


def markdown_agents(router: Row, probes: list[int]) -> str:
    """Returns one router's agents as a table for the docs; * marks those that count."""
    return markdown([*AGENT_HEAD, *(f"gain, {k} probes" for k in probes)], agent_rows(router))


def write_report(results: Row, path: Path) -> None:
    """Writes the page: per pack the table, the curve of recovery against probes, and every agent."""
    sections = [part_section(pack["name"], part) for pack in results["packs"] for part in pack["parts"]]
    page.write_page(
        path,
        title="Onboarding benchmark",
        lead=f"{results['command']} · {results['kind']} · {results['seeds']} seeds · {results['machine']}",
        sections=[page.paragraph(NOTE), *sections],
    )


def part_section(pack: str, part: Row) -> str:
    """Returns one set of rows as a section."""
    blocks = []
    able = [router for router in part["routers"] if router["takes_probes"]]
    for chosen, meaning in part["lists"].items():
        blocks.append(f"<h3>Agents {TITLES[chosen]}</h3>")
        blocks.append(page.paragraph(f"{meaning[0].upper()}{meaning[1:]}."))
        blocks += [page.paragraph(agents_text(router, chosen), muted=True) for router in able]
        blocks.append(page.table(HEAD, recovery_rows(part, chosen), nowrap=True))
        blocks.append(_plot(part, chosen))
    for router in able:
        head = [*AGENT_HEAD, *(f"gain, {k} probes" for k in part["probes"])]
        blocks.append(f"<h3>{router['router']}: every agent</h3>")
        blocks.append(page.paragraph(f"Score with all agents {_interval(router, 'score', '.4f')}."))
        blocks.append(page.table(head, agent_rows(router), nowrap=True))
    return page.section(f"{pack}, {part['split']}: {part['n']:,} queries", *blocks)


def _plot(part: Row, chosen: str) -> str:
    """Recovery (pooled) against probes, with intervals; retraining is 100%."""
    series = []
    for router in part["routers"]:
        rows = router["lists"][chosen]["probes"] if router["takes_probes"] else []
        points = [(float(row["probes"]), row["pooled"]) for row in rows]
        series.append(plots.Series(router["router"], points, [tuple(row["pooled_ci"]) for row in rows]))
    if any(item.points for item in series):
        last = float(part["probes"][-1])
        series.append(plots.Series("retrained with all outcomes", [(0.0, 1.0), (last, 1.0)], dashed=True))
    return plots.line_plot(
        series, x_label="probes of the new agent", y_label="recovery, pooled", y_percent=True
    )
