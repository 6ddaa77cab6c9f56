"""Tables and the HTML page of the ``kgqa`` suite, drawn from its ``results.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentnet.bench import page, plots
from agentnet.bench.suites.common import markdown, text_table

if TYPE_CHECKING:
    from rich.console import Console

Row = Mapping[str, Any]

NOTE = (
    "The agents' answers are live, by the embedded model, recorded once; the routers' decisions are replayed "
    "on them. Routers are cross-fitted in five folds: each question is decided by a router that saw neither "
    "it nor its score, and all selection is inside the fold. They learn from F1; exact match judges the "
    "answer of the same decisions. Intervals are 95% bootstraps over questions of the mean over seeds; "
    "differences are paired. Majority of all is the unweighted vote of the six agents; vote is the best "
    "weighted set that training chose."
)
HEAD = (
    "router", "F1 [95%]", "EM [95%]", "F1 over best single", "F1 over vote", "F1 over kNN",
    "EM over best single", "agents", "tokens", "seeds (sd)",
)  # fmt: skip
AGENT_HEAD = ("agent", "F1", "EM", "no answer", "tokens read", "tokens written", "seconds")


def interval(value: float, bounds: Sequence[float], form: str = ".3f") -> str:
    """Returns a figure with its interval.

    >>> interval(0.25, (0.2, 0.3))
    '0.250 [0.200, 0.300]'
    """
    return f"{value:{form}} [{bounds[0]:{form}}, {bounds[1]:{form}}]"


def cells(row: Row) -> list[str]:
    """Returns one line as text, by `HEAD`."""

    def over(rival: str, metric: str) -> str:
        found = row["versus"].get(rival)
        return interval(found[metric]["gain"], found[metric]["gain_ci"], "+.3f") if found else ""

    tokens = row["tokens"]
    return [
        row["label"],
        interval(row["f1"], row["f1_ci"]),
        interval(row["em"], row["em_ci"]),
        over("best_single", "f1"),
        over("vote", "f1"),
        over("knn", "f1"),
        over("best_single", "em"),
        f"{row['agents_per_question']:.1f}",
        "" if tokens is None else f"{tokens:,.0f}",
        f"{row['seeds']} ({row['f1_sd_over_seeds']:.3f})",
    ]


def agent_cells(agent: Row) -> list[str]:
    """Returns one agent as text, by `AGENT_HEAD`."""
    return [
        agent["agent"],
        f"{agent['f1']:.3f}",
        f"{agent['em']:.3f}",
        f"{agent['no_answer']:.1%}",
        f"{agent['prompt_tokens']:,.0f}",
        f"{agent['completion_tokens']:,.0f}",
        f"{agent['latency_s']:.2f}",
    ]


def lead(results: Row) -> str:
    """Returns what was measured, in one sentence."""
    sets = ", ".join(f"{name} {count}" for name, count in results["datasets"].items())
    oracle = results["oracle"]
    left = results["not_recorded"]
    rest = f"; {left:,} further ones are not recorded yet" if left else ""
    return (
        f"{results['n']:,} questions ({sets}){rest}; best answer of any agent: "
        f"F1 {oracle['f1']:.3f}, EM {oracle['em']:.3f}."
    )


def print_tables(results: Row, console: Console) -> None:
    """Prints the tables; columns are split so that they fit on a narrow terminal."""
    console.print(f"\n{lead(results)}", highlight=False, markup=False)
    for key, title in (("rows", "kgqa, cross-fitted"), ("ablations", "ablations")):
        if not results[key]:
            continue
        rows = [cells(row) for row in results[key]]
        for columns in ((0, 1, 2, 9), (0, 3, 4, 5), (0, 6, 7, 8)):
            head = [HEAD[i] for i in columns]
            console.print(text_table(head, [[row[i] for i in columns] for row in rows], title=title))


def markdown_tables(results: Row) -> str:
    """Returns the tables for the docs."""
    parts = [lead(results), markdown(AGENT_HEAD, [agent_cells(agent) for agent in results["agents"]])]
    parts += [
        markdown(HEAD, [cells(row) for row in results[key]]) for key in ("rows", "ablations") if results[key]
    ]
    return "\n\n".join(parts)


def write_report(results: Row, path: Path) -> None:
    """Writes the page: agents, routers, ablations, and which agents each router chose."""
    sections = [
        page.paragraph(NOTE),
        page.section(
            f"{results['pack']}: the agents (live)",
            page.paragraph(lead(results)),
            page.paragraph(
                "The first agent of a question reads its passages, the others take them from the engine's "
                "prefix cache; the seconds show it."
            ),
            page.table(AGENT_HEAD, [agent_cells(agent) for agent in results["agents"]], nowrap=True),
        ),
        _section("Routers, cross-fitted (replayed)", results["rows"]),
    ]
    if results["ablations"]:
        sections.append(_section("Ablations of agent_router, cross-fitted (replayed)", results["ablations"]))
    page.write_page(
        path,
        title="Multi-hop questions with passages",
        lead=f"{results['command']} · {results['seeds']} seeds · {results['machine']}",
        sections=sections,
    )


def _section(title: str, rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    shares = "".join(
        f"<details><summary>{escape(row['label'])}: share per agent</summary>"
        f"{plots.bars(row['selection'])}</details>"
        for row in rows
    )
    by_set = page.table(
        ("router", *(f"{metric} {name}" for name in rows[0]["f1_by_dataset"] for metric in ("F1", "EM"))),
        [
            [
                row["label"],
                *(
                    f"{row[f'{metric}_by_dataset'][name]:.3f}"
                    for name in rows[0]["f1_by_dataset"]
                    for metric in ("f1", "em")
                ),
            ]
            for row in rows
        ],
        nowrap=True,
    )
    return page.section(title, page.table(HEAD, [cells(row) for row in rows], nowrap=True), by_set, shares)
