"""Tables of ``agentnet traces score`` and ``agreement``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from agentnet.cli.options import console
from agentnet.errors import NotEnoughEvidence

if TYPE_CHECKING:
    from agentnet.learning.scoring.agreement import AgentAgreement, Agreement
    from agentnet.learning.scoring.correct import Estimate
    from agentnet.learning.scoring.run import ScoreReport
    from agentnet.traces.store import TraceStore


def print_report(report: ScoreReport, failed: str) -> None:
    """Prints what came of scoring."""
    mean = "" if report.mean is None else f", mean {report.mean:.3f}"
    cost = f", {report.cost:.6f} USD" if report.cost else ""
    lost = f" ({report.cost_unknown:,} of unknown cost)" if report.cost_unknown else ""
    typer.echo(f"{report.judge}: {report.scored:,} scored{mean}{cost}{lost}")
    for count, what in (
        (report.already, "were scored before"),
        (report.unknown, "got no score: no gold, or no readable verdict"),
        (report.without_text, "runs whose task or answer is not stored"),
        (report.failed_runs, "runs failed" + ("; --failed zero scores them 0" if failed == "skip" else "")),
        (report.errors, f"scorings failed and can be tried again ({report.last_error})"),
    ):
        if count:
            typer.echo(f"  {count:,} {what}")
    if report.stopped:
        typer.echo(f"  stopped early: {report.stopped}", err=True)


def print_agreement(
    store: TraceStore,
    judge: str,
    gold: list[str],
    where: dict[str, Any],
    *,
    quiet: bool = False,
    as_json: bool = False,
) -> None:
    """Prints a judge against gold; with ``quiet``, nothing where there are too few labels."""
    import json

    from agentnet.learning.scoring.agreement import agreement as compare
    from agentnet.learning.scoring.read import read_judgements

    try:
        found = compare(read_judgements(store, judge, gold, **where), judge=judge, gold=", ".join(gold))
    except NotEnoughEvidence:
        if quiet:
            return
        raise
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=1, ensure_ascii=False))
    else:
        _show(found)


def _show(found: Agreement) -> None:
    from rich import box
    from rich.table import Table

    kappa = "?" if found.kappa is None else f"{found.kappa:.2f}"
    typer.echo(
        f"{found.judge} against {found.gold}: {found.labelled:,} of {found.judged:,} judged answers "
        f"labelled, accuracy {_estimate(found.accuracy)}, kappa {kappa}"
    )
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in ("agent", "labels", "accepts", "kappa", "false accepts", "false rejects", "corrected"):
        table.add_column(name, justify="left" if name == "agent" else "right")
    for row in found.agents:
        table.add_row(*_row(row))
    console().print(table, markup=False, highlight=False)
    values = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in ("router", "judged", "accepts", "corrected"):
        values.add_column(name, justify="left" if name == "router" else "right")
    for group in found.groups:
        values.add_row(group.group, f"{group.judged:,}", f"{group.raw:.0%}", _estimate(group.corrected))
    console().print(values, markup=False, highlight=False)


def _row(row: AgentAgreement) -> tuple[str, ...]:
    return (
        row.agent,
        f"{row.labelled:,}/{row.judged:,}",
        f"{row.accept:.0%}",
        "?" if row.kappa is None else f"{row.kappa:.2f}",
        _estimate(row.shrunk_false_accept),
        _estimate(row.shrunk_false_reject),
        _estimate(row.quality),
    )


def _estimate(found: Estimate | None) -> str:
    return "?" if found is None else f"{found.value:.0%} [{found.low:.0%}, {found.high:.0%}]"
