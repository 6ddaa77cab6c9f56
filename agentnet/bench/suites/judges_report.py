"""Tables and the HTML page of the ``judges`` suite, drawn from its ``results.json``."""

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
    "Answers and their truth are recorded; the judge is simulated. Per draw: 12 policies (mixtures of "
    "agents, and routers by kNN fitted on train and val), 2,000 decisions each on test queries drawn with "
    "replacement, a judge whose false accepts and false rejects are drawn per agent between 10% and 30% and "
    "who favours one agent (30% false accepts, 10% false rejects), and 200 gold labels over all policies "
    "together, picked by agent and verdict where the policies differ most, truth unseen. A policy's true "
    "value is its mean over the test queries. Tau is Kendall's, against the true order; intervals are 95% "
    "bootstraps over draws. Policies are chosen by their true values, as the comparison asks for; nothing "
    "else is told the truth. In 'spread' and 'tight' the judge errs as the correction assumes (by agent and "
    "truth alone); in 'difficulty' it errs more on hard queries, which the correction does not know."
)
HEAD = ("estimator", "tau [95%]", "over raw [95%]", "error", "bias", "coverage")


def table_rows(part: Row) -> list[list[str]]:
    """Returns a row of text per estimator."""
    return [
        [
            row["estimator"],
            f"{row['tau']:.3f} [{row['tau_ci'][0]:.3f}, {row['tau_ci'][1]:.3f}]",
            ""
            if row["estimator"] == "raw"
            else f"{row['over_raw']:+.3f} [{row['over_raw_ci'][0]:+.3f}, {row['over_raw_ci'][1]:+.3f}]",
            f"{100 * row['rmse']:.1f}",
            f"{100 * row['bias']:+.1f}",
            "" if row["coverage"] is None else f"{row['coverage']:.0%}",
        ]
        for row in part["estimators"]
    ]


def print_table(pack: str, part: Row, console: Console) -> None:
    """Prints one spacing as a table."""
    console.print(f"\n{pack}, {part['spacing']}: {part['meaning']}; simulated judge", highlight=False)
    console.print(text_table(HEAD, table_rows(part)))


def markdown_table(part: Row) -> str:
    """Returns one spacing's table for the docs."""
    return markdown(HEAD, table_rows(part))


def write_report(results: Row, path: Path) -> None:
    """Writes the page: per pack and spacing the table, the first draw's values, and the error rates."""
    page.write_page(
        path,
        title="Judges benchmark",
        lead=f"{results['command']} · {results['kind']} · {results['draws']} draws · {results['machine']}",
        sections=[page.paragraph(NOTE)]
        + [_section(pack["name"], part, results) for pack in results["packs"] for part in pack["parts"]],
    )


def _section(pack: str, part: Row, results: Row) -> str:
    best = next(row for row in part["estimators"] if row["estimator"] == "corrected")
    met = best["tau"] >= results["target"] and best["over_raw"] > 0
    first = part["draws"][0]
    return page.section(
        f"{pack}, {part['spacing']}: {part['meaning']}",
        page.paragraph(
            f"Corrected tau {best['tau']:.3f} (wanted: {results['target']:g} and above raw): "
            f"{'met' if met else 'missed'}."
        ),
        page.table(HEAD, table_rows(part), nowrap=True),
        page.paragraph(
            "error is the root mean square error and bias the mean error of a policy's value, in points; "
            "coverage is of the 95% intervals. " + "; ".join(
                f"{row['estimator']}: {row['meaning']}" for row in part["estimators"]
            ) + ".",
            muted=True,
        ),
        "<h3>Values of the first draw</h3>",
        _values(first),
        page.paragraph(f"The judge favours {first['favoured']}; {first['labels']} labels."),
        "<h3>Error rates of the first draw</h3>",
        page.table(
            ("agent", "labels", "false accepts", "estimated [95%]", "false rejects", "estimated [95%]"),
            [_agent(row) for row in first["agents"]],
            nowrap=True,
        ),
        "<h3>Tau of every draw</h3>",
        _taus(part),
    )  # fmt: skip


def _values(drawn: Row) -> str:
    series = [
        plots.Series("corrected", list(zip(drawn["true"], drawn["values"]["corrected"], strict=True)),
                     [tuple(item) for item in drawn["intervals"]["corrected"]], joined=False),
        plots.Series("raw", list(zip(drawn["true"], drawn["values"]["raw"], strict=True)), joined=False),
    ]  # fmt: skip
    return plots.line_plot(
        series, x_label="true value of a policy", y_label="estimate", diagonal=True, y_percent=True
    )


def _taus(part: Row) -> str:
    names = ("corrected", "raw")
    series = [
        plots.Series(name, [(i + 1.0, item["tau"][name]) for i, item in enumerate(part["draws"])])
        for name in names
    ]
    return plots.line_plot(series, x_label="draw", y_label="Kendall's tau")


def _agent(row: Row) -> list[str]:
    def estimate(name: str) -> str:
        low, high = row[f"{name}_ci"]
        return f"{row[f'{name}_estimate']:.0%} [{low:.0%}, {high:.0%}]"

    return [
        row["agent"],
        str(row["labelled"]),
        f"{row['false_accept']:.0%}",
        estimate("false_accept"),
        f"{row['false_reject']:.0%}",
        estimate("false_reject"),
    ]
