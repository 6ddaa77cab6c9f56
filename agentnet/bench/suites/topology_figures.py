"""Means with bootstrap intervals, and the tables of suite ``topology`` made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from agentnet.bench import metrics


@dataclass(frozen=True, slots=True)
class Figure:
    """A mean over n societies or queries with its 95% bootstrap interval.

    >>> Figure.of([0.5, 0.5, 0.5]).told
    '0.500 [0.500, 0.500]'
    """

    mean: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, values: ArrayLike) -> Figure:
        """Returns the mean of values."""
        data = np.asarray(values, np.float64)
        return cls(float(data.mean()), *metrics.bootstrap_ci(data), int(data.size))

    @property
    def told(self) -> str:
        """The figure as text."""
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"

    @property
    def signed(self) -> str:
        """A difference as text."""
        return f"{self.mean:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"

    @property
    def verdict(self) -> str:
        """Whether a difference's interval excludes zero, and on which side.

        >>> Figure(0.1, 0.05, 0.2, 9).verdict, Figure(0.1, -0.05, 0.2, 9).verdict
        ('above', 'not told apart')
        """
        return "above" if self.low > 0 else "below" if self.high < 0 else "not told apart"

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values."""
        return {"mean": self.mean, "ci": [self.low, self.high], "n": self.n}


Cell = str | int | float | Figure


def table(
    title: str, rows: Sequence[Mapping[str, Cell]], *, note: str = "", signed: Sequence[str] = ()
) -> dict[str, Any]:
    """Returns a table for the results: text to be shown, and the same as numbers.

    Args:
        title: Says what is compared, and how it was found (simulated, replayed or live).
        rows: By column; the first row's columns are the table's.
        note: Told above it.
        signed: Columns of differences.

    >>> made = table("t", [{"router": "a", "gain": Figure(0.5, 0.25, 0.75, 4)}], signed=["gain"])
    >>> made["rows"], made["figures"][0]["gain"]["ci"]
    ([['a', '+0.500 [+0.250, +0.750]']], [0.25, 0.75])
    """
    columns = list(rows[0]) if rows else []
    return {
        "title": title,
        "note": note,
        "columns": columns,
        "rows": [[_text(row.get(name, ""), name in signed) for name in columns] for row in rows],
        "figures": [
            {name: cell.to_dict() if isinstance(cell, Figure) else cell for name, cell in row.items()}
            for row in rows
        ],
    }


def _text(cell: Cell, signed: bool) -> str:
    if isinstance(cell, Figure):
        return cell.signed if signed else cell.told
    if isinstance(cell, float):
        return f"{cell:,.0f}" if abs(cell) >= 1000 else f"{cell:.3g}"
    return str(cell)


def plot(
    title: str, x_label: str, y_label: str, series: Mapping[str, Sequence[tuple[float, Figure]]]
) -> dict[str, Any]:
    """Returns a plot for the results: per series, figures along x."""
    return {
        "title": title,
        "x_label": x_label,
        "y_label": y_label,
        "series": [
            {
                "name": name,
                "points": [[x, figure.mean] for x, figure in points],
                "intervals": [[figure.low, figure.high] for _, figure in points],
            }
            for name, points in series.items()
        ],
    }
