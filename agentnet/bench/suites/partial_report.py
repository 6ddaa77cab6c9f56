"""Tables and the HTML page of the ``partial`` suite, drawn from its ``results.json``."""

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
    "Replayed from recorded outcomes. A log is drawn from queries that may be learned from, with "
    "replacement. One agent a query is chosen, epsilon-greedily around an older router that was fitted on "
    "300 other rows; all other scores are hidden. Gain is over the best single agent of the rows learned "
    "from, as if it were known. Kept is the gain over that of the same learner on the full matrix, sum over "
    "sum of draws. Observed and imputed ignore propensities; imputed fills the holes by the model behind the "
    "doubly robust targets, fitted without them. Intervals are 95% bootstraps over draws, paired where two "
    "learners are compared. The cross-fitted rows are the headline, as decided before they were measured."
)
HEAD = ("learner", "feedback", "gain [95%]", "kept [95%]", "worst draw", "over observed [95%]", "full gain")
TARGET_HEAD = ("asked", "found [95%]", "")


def _interval(row: Row, key: str, form: str) -> str:
    value, (low, high) = row[key], row[f"{key}_ci"]
    if value is None or value != value:  # noqa: PLR0124 - NaN is not itself
        return ""
    return f"{value:{form}} [{low:{form}}, {high:{form}}]"


def groups(part: Row) -> dict[tuple[str, float], list[Row]]:
    """Returns the cells by logging router and epsilon."""
    found: dict[tuple[str, float], list[Row]] = {}
    for cell in part["cells"]:
        found.setdefault((cell["logging"], cell["epsilon"]), []).append(cell)
    return found


def cell_rows(cells: list[Row]) -> list[list[str]]:
    """Returns a row of text per learner and way to use the log."""
    return [
        [
            cell["learner"],
            cell["feedback"].replace("_", " "),
            _interval(cell, "gain", "+.4f"),
            _interval(cell, "kept", ".0%"),
            f"{cell['worst']:+.4f}",
            "" if cell["feedback"] == "observed" else _interval(cell, "over_observed", "+.4f"),
            f"{cell['full_gain']:+.4f}",
        ]
        for cell in cells
    ]


def target_rows(part: Row) -> list[list[str]]:
    """Returns what was asked for, what was found and whether that is met."""
    rows = []
    for row in part["targets"]:
        form = ".0%" if "%" in row["target"] else "+.4f"
        low, high = row["ci"]
        found = f"{row['found']:{form}} [{low:{form}}, {high:{form}}]"
        rows.append([row["target"], found, "met" if row["met"] else "missed"])
    return rows


def title(key: tuple[str, float], cells: list[Row]) -> str:
    """Returns one table's title."""
    logging = cells[0]["logging_gain"]
    return f"epsilon {key[1]:g} around {key[0]}; the log itself gains {logging:+.4f}"


def print_table(pack: str, part: Row, console: Console) -> None:
    """Prints one set of rows as tables that fit on a narrow terminal."""
    console.print(f"\n{pack}, {part['split']}: {part['n']:,} queries, replayed", highlight=False)
    for key, cells in groups(part).items():
        rows = [row[:4] for row in cell_rows(cells)]
        console.print(text_table(HEAD[:4], rows, title=title(key, cells)))
    console.print(text_table(TARGET_HEAD, target_rows(part)))


def markdown_tables(part: Row) -> str:
    """Returns the tables for the docs."""
    blocks = [
        f"{title(key, cells)}:\n\n{markdown(HEAD, cell_rows(cells))}" for key, cells in groups(part).items()
    ]
    return "\n\n".join([*blocks, markdown(TARGET_HEAD, target_rows(part))])


def write_report(results: Row, path: Path) -> None:
    """Writes the page: per pack and set of rows the tables, what was asked for, and a plot."""
    lead = f"{results['command']} · {results['kind']} · {results['draws']} draws · {results['machine']}"
    sections = [_section(pack["name"], part) for pack in results["packs"] for part in pack["parts"]]
    page.write_page(
        path,
        title="Learning from partial feedback",
        lead=lead,
        sections=[page.paragraph(NOTE), *sections],
    )


def _section(pack: str, part: Row) -> str:
    blocks = [page.table(TARGET_HEAD, target_rows(part), nowrap=True), _plot(part)]
    for key, cells in groups(part).items():
        blocks.append(f"<h3>{title(key, cells)}</h3>")
        blocks.append(page.table(HEAD, cell_rows(cells), nowrap=True))
    return page.section(f"{pack}, {part['split']}: {part['n']:,} queries", *blocks)


def _plot(part: Row) -> str:
    """Gain over best single against epsilon, around the older router that looks at the task."""
    lines: dict[tuple[str, str], list[Row]] = {}
    first = part["cells"][0]["logging"]
    for cell in part["cells"]:
        if cell["logging"] == first and cell["feedback"] != "imputed":
            lines.setdefault((cell["learner"], cell["feedback"].replace("_", " ")), []).append(cell)
    series = [
        plots.Series(
            " ".join(key),
            [(cell["epsilon"], cell["gain"]) for cell in cells],
            [tuple(cell["gain_ci"]) for cell in cells],
            dashed=key[1] == "observed",
        )
        for key, cells in lines.items()
    ]
    return plots.line_plot(series, x_label=f"epsilon around {first}", y_label="gain over best single")
