"""``agentnet traces`` and ``agentnet convert``."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentnet.cli.options import DEFAULT_DB, console

if TYPE_CHECKING:
    from agentnet.traces.store import TraceStore

app = typer.Typer(help="Look at, export and import logged runs.", no_args_is_help=True)
Db = Annotated[str, typer.Option("--db", help="Trace database's URL.", envvar="AGENTNET_DB")]


def _open(db: str) -> TraceStore:
    from agentnet.traces.store import TraceStore

    return TraceStore.open(db, create=False)


@app.command("ls")
def ls(
    db: Db = DEFAULT_DB,
    limit: Annotated[int, typer.Option("--limit", "-n", help="How many, newest first.")] = 20,
    router: Annotated[str | None, typer.Option("--router", help="Only this router's.")] = None,
    status: Annotated[str | None, typer.Option("--status", help="Only this status: ok, error, ...")] = None,
) -> None:
    """List the newest runs."""
    from rich.table import Table

    table = Table("run", "when", "status", "router", "task", "answer", "USD", "s")
    with _open(db) as store:
        for run in store.runs(limit=limit, router=router, status=status):
            when = datetime.fromtimestamp(run.started_at, tz=UTC).strftime("%Y-%m-%d %H:%M:%S")
            table.add_row(
                run.run_id[:12],
                when,
                run.status,
                run.router or "",
                _short(run.task_text, 40),
                _short(run.answer, 24),
                "?" if run.cost_usd is None else str(run.cost_usd),
                "" if run.latency_s is None else f"{run.latency_s:.2f}",
            )
    console().print(table)


@app.command("show")
def show(
    run_id: Annotated[str, typer.Argument(metavar="ID", help="A run's id, or its first characters.")],
    db: Db = DEFAULT_DB,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Show one run: decision, evidence, steps, judgements."""
    with _open(db) as store:
        trace = store.run(run_id)
    if as_json:
        typer.echo(json.dumps(trace.to_dict(), indent=1, ensure_ascii=False, default=str))
        return
    screen = console()
    run = trace.run
    screen.print(f"[bold]{run.run_id}[/]  {run.status}  {_short(run.task_text, 400)}", highlight=False)
    for decision in trace.decisions:
        screen.print(
            f"  decided by {decision.router} {decision.router_version} (propensity {decision.propensity})",
            highlight=False,
        )
        for key, value in decision.evidence.items():
            screen.print(f"    {key}: {_short(str(value), 160)}", highlight=False, markup=False)
    for step in trace.steps:
        what = "skipped" if step.skipped else step.error or _short(step.answer, 120)
        cost = "?" if step.cost_usd is None else str(step.cost_usd)
        screen.print(
            f"  {step.seq}. {step.node} ({step.agent}) ${cost}: {what}", highlight=False, markup=False
        )
    screen.print(f"  answer: {_short(run.answer, 400)}", highlight=False, markup=False)
    for outcome in trace.outcomes:
        where = "answer" if outcome.step_seq is None else f"step {outcome.step_seq}"
        screen.print(f"  {where} scored {outcome.score:g} by {outcome.judge}", highlight=False)


@app.command("stats")
def stats(
    db: Db = DEFAULT_DB,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Count runs, tokens and money, by agent and by router."""
    from rich.table import Table

    with _open(db) as store:
        data: dict[str, Any] = store.stats()
    if as_json:
        typer.echo(json.dumps(data, indent=1, default=str))
        return
    table = Table("what", "value")
    for key, value in data.items():
        table.add_row(key, json.dumps(value, default=str) if isinstance(value, (dict, list)) else str(value))
    console().print(table)


@app.command("export")
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Folder of the pack to write.")],
    db: Db = DEFAULT_DB,
) -> None:
    """Write the judged runs as a data pack (parquet), ready for `agentnet train --data`."""
    from agentnet.traces.export import export_pack

    with _open(db) as store:
        outcomes = export_pack(store, file)
    console().print(f"{len(outcomes):,} queries x {len(outcomes.pool)} agents -> {file}")


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Folder of a data pack.")],
    db: Db = DEFAULT_DB,
) -> None:
    """Read a data pack into a trace database."""
    from agentnet.traces.export import import_pack
    from agentnet.traces.store import TraceStore

    with TraceStore.open(db) as store:
        count = import_pack(file, store)
    console().print(f"{count:,} runs -> {db}")


def convert(
    kind: Annotated[str, typer.Argument(help="routerbench, llmrouterbench, routellm, clinc or hotpotqa.")],
    source: Annotated[Path, typer.Argument(help="File or folder in that format.")],
    out: Annotated[Path, typer.Argument(help="Folder of the pack to write.")],
) -> None:
    """Convert a public format into a data pack.

    Example: agentnet convert routerbench routerbench_0shot.parquet packs/routerbench
    """
    from agentnet.outcomes.converters import convert as run

    run(kind, source, out)
    console().print(f"{source} -> {out}")


def _short(text: str | None, width: int) -> str:
    if text is None:
        return "(not stored)"
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"
