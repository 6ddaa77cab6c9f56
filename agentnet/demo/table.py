"""Step (d) of the demo: the table, and whether the claim holds."""

from __future__ import annotations

from typing import Any

import numpy as np

from agentnet.bench.metrics import bootstrap_ci, bootstrap_means
from agentnet.demo.compare import Answered, Board

FACTOR = 3.0
"""Routed accuracy is claimed to be at least this many times the best single agent's."""


def rows(board: Board) -> list[dict[str, Any]]:
    """Returns one row of figures per system, in the order they were run."""
    hopeless = {item.task.task_id for item in board.items if not item.has_specialist}
    return [_row(name, answered, hopeless) for name, answered in board.rows.items()]


def _row(name: str, answered: list[Answered], hopeless: set[str | None]) -> dict[str, Any]:
    right = np.array([row.right for row in answered])
    tried = [row for row in answered if not row.abstained]
    kept = [row.abstained for row in answered if row.task_id in hopeless]
    tokens = [row.tokens for row in answered]
    known = [count for count in tokens if count is not None]
    return {
        "system": name,
        "n": len(answered),
        "accuracy": float(right.mean()),
        "accuracy_ci": list(bootstrap_ci(right)),
        "right_of_answered": float(np.mean([row.right for row in tried])) if tried else None,
        "abstained": float(np.mean([row.abstained for row in answered])),
        "abstained_without_specialist": float(np.mean(kept)) if kept else None,
        "seconds": float(np.mean([row.seconds for row in answered])),
        "tokens": float(np.mean(known)) if len(known) == len(tokens) else None,
        "calls": float(np.mean([row.calls for row in answered])),
    }


def claim(board: Board, *, routed: str, single: str, generalist: str) -> dict[str, Any]:
    """Tests that routing pays, by paired bootstrap over tasks.

    Args:
        board: What was answered.
        routed: Name of the routed system.
        single: Name of the best single agent's row.
        generalist: Name of the generalist's row.
    """
    columns = np.array([[row.right for row in board.rows[name]] for name in (routed, single, generalist)]).T
    means = bootstrap_means(columns)
    over_single = means[:, 0] - FACTOR * means[:, 1]
    over_generalist = means[:, 0] - means[:, 2]
    accuracy = columns.mean(0)
    low_single, high_single = np.quantile(over_single, [0.025, 0.975])
    low_general, high_general = np.quantile(over_generalist, [0.025, 0.975])
    return {
        "routed": float(accuracy[0]),
        "best_single": float(accuracy[1]),
        "generalist": float(accuracy[2]),
        "factor": float(accuracy[0] / accuracy[1]) if accuracy[1] else None,
        f"routed_minus_{FACTOR:g}_best_single_ci": [float(low_single), float(high_single)],
        "routed_minus_generalist_ci": [float(low_general), float(high_general)],
        "holds": bool(low_single >= 0 and low_general > 0),
    }


HEAD = (
    "system", "accuracy [95%]", "n", "right when answered", "abstained", "s / task", "tokens / task",
    "calls / task",
)  # fmt: skip


def cells(row: dict[str, Any]) -> list[str]:
    """Returns a row as text, in the order of `HEAD`."""
    lo, hi = row["accuracy_ci"]
    answered = row["right_of_answered"]
    return [
        row["system"],
        f"{row['accuracy']:.3f} [{lo:.3f}, {hi:.3f}]",
        str(row["n"]),
        "" if answered is None else f"{answered:.3f}",
        f"{row['abstained']:.0%}",
        f"{row['seconds']:.2f}",
        "unknown" if row["tokens"] is None else f"{row['tokens']:.0f}",
        f"{row['calls']:.2f}",
    ]


def markdown(figures: list[dict[str, Any]]) -> str:
    """Returns the table for the docs."""
    lines = ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    return "\n".join([*lines, *("| " + " | ".join(cells(row)) + " |" for row in figures)])
