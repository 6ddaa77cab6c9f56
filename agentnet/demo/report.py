"""Step (e) of the demo: one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from agentnet.bench import page, plots
from agentnet.bench.metrics import shares
from agentnet.demo.compare import Board
from agentnet.demo.table import HEAD, cells
from agentnet.graphs.draw import to_svg

SHOWN = 8
"""Decisions that are explained."""


def write(
    path: Path, *, board: Board, figures: Sequence[dict[str, Any]], facts: dict[str, Any], routed: str
) -> None:
    """Writes the page: table, accuracy against cost, share per agent, a routed graph, decisions explained."""
    marked = [i for i, row in enumerate(figures) if row["system"] == routed]
    chosen = ["+".join(row.agents) or "(abstained)" for row in board.rows[routed]]
    sections = [
        page.section("What was run", *(page.paragraph(line) for line in facts["lines"])),
        page.section(
            "Accuracy and what it takes",
            page.table(HEAD, [cells(row) for row in figures], strong=marked),
            page.paragraph(
                "Live: every answer was written by the embedded model in this run. A call that two systems "
                "share was made once and is charged to both. An abstention counts as wrong.",
                muted=True,
            ),
            _verdict(facts["claim"]),
        ),
        page.section(
            "Accuracy against cost",
            plots.line_plot(
                [
                    plots.Series(
                        row["system"],
                        [(row["seconds"], row["accuracy"])],
                        intervals=[tuple(row["accuracy_ci"])],
                        dashed=row["system"] == "oracle",
                    )
                    for row in figures
                ],
                x_label="seconds per task on this machine",
                y_label="accuracy",
                y_percent=True,
            ),
        ),
        page.section(f"Share per agent: {routed}", plots.bars(shares(chosen))),
        _graph(board, routed),
        _decisions(board, routed),
    ]
    page.write_page(path, title="agentnet demo", lead=facts["lead"], sections=sections)


def _verdict(claim: dict[str, Any]) -> str:
    factor = "" if claim["factor"] is None else f" ({claim['factor']:.1f} times)"
    text = (
        f"Routed {claim['routed']:.3f} against best single {claim['best_single']:.3f}{factor} and generalist "
        f"{claim['generalist']:.3f}."
    )
    return page.paragraph(text)


def _graph(board: Board, routed: str) -> str:
    """A routed graph beside the one that asks everybody."""
    found = [d for d in board.decided if d["system"] == routed and d["graph"] is not None]
    if not found:
        return page.section("A routed graph", page.paragraph("The router abstained on every task."))
    best = max(found, key=lambda d: (d["right"], len(d["graph"].nodes)))
    return page.section(
        "A routed graph",
        page.paragraph(f"For: {best['question']}"),
        to_svg(best["graph"]),
        page.paragraph(f"Answer: {best['answer']} (expected {best['gold']})", muted=True),
    )


def _decisions(board: Board, routed: str) -> str:
    blocks = []
    for item in [d for d in board.decided if d["system"] == routed][:SHOWN]:
        outcome = "abstained" if item["abstained"] else ("right" if item["right"] else "wrong")
        blocks.append(
            f"<details><summary>{escape(item['question'][:140])} · {outcome}</summary>"
            f"<pre>{escape(item['explanation'])}</pre></details>"
        )
    return page.section("Decisions explained", *blocks)
