"""Tables and the HTML page of the ``offpolicy`` suite, drawn from its ``results.json``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agentnet.bench import page, plots
from agentnet.bench.offpolicy.evaluate import RECOMMENDED
from agentnet.bench.suites.common import markdown, text_table

if TYPE_CHECKING:
    from rich.console import Console

Row = Mapping[str, Any]

NOTE = (
    "Replayed from recorded outcomes. Every pack is cut in two. Policies and the given reward model are "
    "fitted on one half; logs are drawn from the other, queries with replacement, the agent by the "
    "logging policy, everything else hidden. The truth is the mean true score of the target over the "
    "queries drawn from. Pairs of logging and target policy are drawn before any score is seen, equally "
    "many of four strata of overlap (share of the log that counts: below 2%, to 10%, to 30%, above). Good "
    "overlap: an effective sample size of at least 200. Bias, RMSE and coverage are of the cases that are "
    "answered, for all estimators alike."
)
HEAD = (
    "estimator",
    "coverage",
    "at ESS>=200",
    "RMSE",
    "at ESS>=200",
    "bias",
    "bias of a pair, absolute",
    "width",
)
PAIR_HEAD = ("logging", "target", "size", "overlap", "ESS", "answered", "truth", "bias", "RMSE", "coverage")


def _number(value: float | None, form: str) -> str:
    """A figure, or a dash where there is none: a results file has null for it."""
    return "–" if value is None or not np.isfinite(value) else f"{value:{form}}"


def _share(value: float | None) -> str:
    """A share in per cent."""
    return _number(value, ".1%")


def estimator_rows(table: list[Row]) -> list[list[str]]:
    """Returns a row of text per estimator."""
    return [
        [
            row["estimator"],
            _number(row["coverage"], ".1%"),
            _number(row["coverage_good"], ".1%"),
            _number(row["rmse"], ".4f"),
            _number(row["rmse_good"], ".4f"),
            _number(row["bias"], "+.4f"),
            _number(row["mean_abs_pair_bias"], ".4f"),
            _number(row["width"], ".4f"),
        ]
        for row in table
    ]


def target_rows(part: Row) -> list[list[str]]:
    """Returns what was asked for, what was found and whether that is met."""
    return [
        [row["target"], _number(row["found"], ".4f"), "met" if row["met"] else "missed"]
        for row in part["targets"]
    ]


def answer_text(part: Row) -> str:
    """Returns how often the logs could answer, and the worst pair, in words."""
    worst = part["worst_pair"]
    sizes = ", ".join(
        f"{row['size']:,}: {_share(row['answered'])} answered, coverage {_share(row['coverage'])}"
        for row in part["by_size"]
    )
    text = (
        f"{part['cases']:,} logs; answered {_share(part['answered'])}, of those with an effective sample "
        f"size of at least 200 ({_share(part['good'])} of all) {_share(part['answered_good'])}. By size: "
        f"{sizes}. Worst of {worst['pairs']} pairs with good overlap: coverage {_share(worst['coverage'])}; "
        f"of their {worst['cells']} single sizes {_share(worst['cell_coverage'])}, {worst['cells_below']} "
        "below 88%."
    )
    if found := part.get("difference"):
        text += (
            f" Paired difference to the logging policy: answered {_share(found['answered'])}, coverage "
            f"{_share(found['coverage'])}; interval above zero for {_share(found['worse_called_better'])} of "
            f"the truly worse and {_share(found['better_called_better'])} of the truly better."
        )
    return text


def print_table(pack: str, part: Row, console: Console) -> None:
    """Prints one set of cases."""
    console.print(f"\n{pack}, reward model {part['split']}, replayed", highlight=False)
    console.print(answer_text(part), highlight=False)
    console.print(text_table(HEAD[:7], [row[:7] for row in estimator_rows(part["table"])]))
    for what, found, met in target_rows(part):
        console.print(f"  {met:6} {what}: {found}", highlight=False, markup=False)


def markdown_table(part: Row) -> str:
    """Returns the estimators as a table for the docs."""
    return markdown(HEAD, estimator_rows(part["table"]))


def write_report(results: Row, path: Path) -> None:
    """Writes the page: pooled first, then every pack with its pairs."""
    sections = [
        _section(pack["name"], part, results["models"][part["split"]])
        for pack in reversed(results["packs"])
        for part in pack["parts"]
    ]
    page.write_page(
        path,
        title="Off-policy evaluation benchmark",
        lead=f"{results['command']} · {results['kind']} · {results['draws']} draws · {results['machine']}",
        sections=[page.paragraph(NOTE), *sections],
    )


def _section(pack: str, part: Row, model: str) -> str:
    blocks = [
        page.paragraph(f"{model[0].upper()}{model[1:]}."),
        page.paragraph(answer_text(part)),
        page.table(HEAD, estimator_rows(part["table"]), nowrap=True),
        page.table(("target", "found", ""), target_rows(part)),
        "<h3>All cases, refused ones too</h3>",
        page.table(HEAD, estimator_rows(part["table_all"]), nowrap=True),
    ]
    if pairs := part.get("pairs"):
        blocks += ["<h3>Recommended estimator: coverage by effective sample size</h3>", _plot(pairs)]
        blocks += ["<h3>Every pair and size, recommended estimator, all draws</h3>"]
        blocks += [page.table(PAIR_HEAD, [_pair(row) for row in pairs], nowrap=True)]
    return page.section(f"{pack}: reward model {part['split']}", *blocks)


def _pair(row: Row) -> list[str]:
    mine = row["estimators"][RECOMMENDED]
    return [
        row["logging"],
        row["target"],
        f"{row['size']:,}",
        _number(row["overlap"], ".3f"),
        _number(row["ess_median"], ".0f"),
        _number(row["answered"], ".0%"),
        _number(row["truth"], ".4f"),
        _number(mine["bias"], "+.4f"),
        _number(mine["rmse"], ".4f"),
        _number(mine["coverage"], ".0%"),
    ]


def _plot(pairs: list[Row]) -> str:
    """Coverage against effective sample size, a point a pair and size."""
    series = []
    for name in (RECOMMENDED, "ips", "dm"):
        points = [
            (max(row["ess_median"], 1.0), row["estimators"][name]["coverage"])
            for row in pairs
            if row["estimators"][name]["coverage"] is not None
        ]
        series.append(plots.Series(name, points, joined=False))
    top = max(row["ess_median"] for row in pairs)
    series.append(plots.Series("95%", [(1.0, 0.95), (max(top, 2.0), 0.95)], dashed=True))
    return plots.line_plot(
        series, x_label="median effective sample size", y_label="coverage", y_percent=True, log_x=True
    )
