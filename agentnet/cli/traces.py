"""``agentnet traces`` and ``agentnet convert``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from agentnet.cli import score
from agentnet.cli.options import DEFAULT_DB, console
from agentnet.cli.score import Db

if TYPE_CHECKING:
    from agentnet.traces.reader import RunTrace
    from agentnet.traces.stats import Totals
    from agentnet.traces.store import TraceStore

app = typer.Typer(help="Look at, score, export and import logged runs.", no_args_is_help=True)
app.command("score")(score.score)
app.command("agreement")(score.agreement)
app.command("correct")(score.correct)
app.command("sample-gold")(score.sample_gold)
ID_SHOWN = 8
"""Characters of a run's id in lists; `show` takes the beginning of one."""

_NAMED = 8
"""Agents of one change that are named, of each sign."""
_WIDTHS = {"run": ID_SHOWN, "when (UTC)": 16, "status": 6}
"""Columns of `ls` that a narrow terminal must not cut."""


def _open(db: str) -> TraceStore:
    from agentnet.traces.store import TraceStore

    return TraceStore.open(db, create=False)


@app.command("ls")
def ls(
    db: Db = DEFAULT_DB,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many, newest first.")] = 20,
    router: Annotated[str | None, typer.Option("--router", help="Only this router's.")] = None,
    status: Annotated[str | None, typer.Option("--status", help="Only this status: ok, error, ...")] = None,
    kind: Annotated[str | None, typer.Option("--kind", help="Only live, replayed or simulated runs.")] = None,
) -> None:
    """List the newest runs."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in ("run", "when (UTC)", "status", "USD", "s"):
        table.add_column(
            name,
            no_wrap=True,
            justify="right" if name in ("USD", "s") else "left",
            min_width=_WIDTHS.get(name),
        )
    table.add_column("task", no_wrap=True, overflow="ellipsis", ratio=3)
    table.add_column("answer", no_wrap=True, overflow="ellipsis", ratio=2)
    with _open(db) as store:
        for run in store.runs(limit=limit, router=router, status=status, kind=kind):
            table.add_row(
                run.run_id[:ID_SHOWN],
                _when(run.started_at)[:-3],
                run.status,
                _usd(run.cost_usd),
                "" if run.latency_s is None else f"{run.latency_s:.2f}",
                _short(run.task_text, 200),
                _short(run.answer, 200) if run.answer is not None else "",
            )
    console().print(table, markup=False, highlight=False)


@app.command("show")
def show(
    run_id: Annotated[str, typer.Argument(metavar="ID", help="A run's id, or its first characters.")],
    db: Db = DEFAULT_DB,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Show one run: decision, evidence, steps, judgements."""
    with _open(db) as store:
        trace = store.run(_whole_id(store, run_id))
    if as_json:
        typer.echo(_json(asdict(trace)))
        return
    for line in _trace_lines(trace):
        typer.echo(line)


def _whole_id(store: TraceStore, start: str) -> str:
    """The one id that begins like this; the text itself where there is none, for the store to refuse."""
    from sqlalchemy import Engine, select

    from agentnet.errors import InvalidInput, StoreError
    from agentnet.traces.models import RunRow

    if not (start.isascii() and start.isalnum()):
        raise InvalidInput("a run's id is made of hexadecimal digits; `agentnet traces ls` shows them.")

    def find(engine: Engine) -> list[str]:
        query = select(RunRow.run_id).where(RunRow.run_id.startswith(start, autoescape=True)).limit(2)
        with engine.connect() as connection:
            return list(connection.execute(query).scalars())

    found = store.read(find)
    if len(found) > 1 and start not in found:
        raise StoreError(f"several runs begin with {start!r}, such as {found[0]} and {found[1]}; say more.")
    return found[0] if len(found) == 1 else start


def _trace_lines(trace: RunTrace) -> list[str]:
    run = trace.run
    lines = [f"{run.run_id}  {run.status}  {run.kind}  {_when(run.started_at)} UTC"]
    lines.append(f"task: {_short(run.task_text, 400)}")
    for decision in trace.decisions:
        sure = "unknown" if decision.propensity is None else f"{decision.propensity:g}"
        chosen = "abstained" if decision.abstained else _agents(decision.graph)
        lines.append(
            f"  {decision.router or 'caller'} {decision.router_version}: {chosen}, propensity {sure}".rstrip()
        )
        lines += [f"    {key}: {_short(_plain(value), 160)}" for key, value in decision.evidence.items()]
    for step in trace.steps:
        what = "skipped" if step.skipped else step.error or _short(step.answer, 200)
        cost = "" if step.skipped else f" {_usd(step.cost_usd)} USD"
        lines.append(f"  {step.seq}. {step.node} ({step.agent}){cost}: {what}")
    if run.error:
        lines.append(f"error: {_short(run.error, 400)}")
    lines.append(f"answer: {_short(run.answer, 400)}")
    for outcome in trace.outcomes:
        where = "answer" if outcome.step_seq is None else f"step {outcome.step_seq}"
        lines.append(f"  {where} scored {outcome.score:g} by {outcome.judge}")
    cost = "cost unknown" if run.cost_usd is None else f"{_usd(run.cost_usd)} USD"
    lines.append(f"{cost}, {run.calls} calls" + ("" if run.latency_s is None else f", {run.latency_s:.2f} s"))
    return lines


def _agents(graph: Mapping[str, Any] | None) -> str:
    return " + ".join(node["agent"] for node in (graph or {}).get("nodes", ())) or "no graph"


@app.command("pool")
def pool_changes(
    db: Db = DEFAULT_DB,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many, newest first.")] = 20,
    agent: Annotated[str | None, typer.Option("--agent", help="Only changes of this agent.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """List the agents that were added to served pools, removed or changed."""
    with _open(db) as store:
        found = store.pool_changes(limit, agent=agent)
    if as_json:
        typer.echo(_json([asdict(change) for change in found]))
        return
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in ("when (UTC)", "pool", "rev", "agents"):
        table.add_column(name, no_wrap=True, justify="right" if name in ("rev", "agents") else "left")
    table.add_column("change", overflow="fold", ratio=1)
    for change in found:
        signs = {"+": change.added, "-": change.removed, "~": change.changed}
        said = [f"{sign}{name}" for sign, names in signs.items() for name in names[:_NAMED]]
        more = len(change.added) + len(change.removed) + len(change.changed) - len(said)
        table.add_row(
            _when(change.changed_at),
            change.pool_id[:ID_SHOWN],
            str(change.revision),
            f"{change.size:,}",
            " ".join(said) + (f" and {more} more" if more else "") or "(the same agents)",
        )
    console().print(table, markup=False, highlight=False)


@app.command("stats")
def stats(
    db: Db = DEFAULT_DB,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Count runs, tokens and money, by agent and by router."""
    with _open(db) as store:
        found = store.stats()
    if as_json:
        typer.echo(_json(asdict(found)))
        return
    from rich import box
    from rich.table import Table

    statuses = ", ".join(f"{count:,} {name}" for name, count in found.by_status.items()) or "none"
    typer.echo(f"runs: {found.runs.count:,} ({statuses}); judgements: {found.judgements:,}")
    if found.first is not None and found.last is not None:
        typer.echo(f"from {_when(found.first)} to {_when(found.last)} UTC")
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("")
    for name in ("count", "USD", "no USD", "tokens in", "out", "errors"):
        table.add_column(name, justify="right")
    groups = {"runs": {"all runs": found.runs}, "agents": found.by_agent, "routers": found.by_router}
    for title, group in groups.items():
        if title != "runs" and group:
            table.add_row(f"by {title[:-1]}", style="bold")
        for name, total in group.items():
            table.add_row(*_total(name or "(the caller's graph)", total))
    console().print(table, markup=False, highlight=False)


def _total(name: str, total: Totals) -> tuple[str, ...]:
    counts = (total.prompt_tokens, total.completion_tokens, total.errors)
    unknown = f"{total.cost_unknown:,}" if total.cost_unknown else ""
    return (name, f"{total.count:,}", _usd(total.cost_usd), unknown, *(f"{count:,}" for count in counts))


@app.command("export")
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Folder of the pack to write.")],
    db: Db = DEFAULT_DB,
) -> None:
    """Write the runs as a data pack (parquet), ready for `agentnet train --data`."""
    from agentnet.traces.export import export_pack

    with _open(db) as store:
        outcomes = export_pack(store, file)
    judged = int(outcomes.observed.any(1).sum())
    typer.echo(f"{len(outcomes):,} queries x {len(outcomes.pool)} agents, {judged:,} judged -> {file}")
    if not judged:
        typer.echo("nothing is judged yet: store OutcomeRecord values first (docs/traces.md).", err=True)


@app.command("import")
def import_(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="A log of OpenTelemetry or LiteLLM, or the folder of a data pack."
        ),
    ],
    db: Db = DEFAULT_DB,
    format_: Annotated[
        Literal["auto", "otel", "litellm", "pack"],
        typer.Option("--format", help="What the file is; auto looks."),
    ] = "auto",
) -> None:
    """Read logs of other programs, or a data pack, into a trace database, which is made if missing.

    OpenTelemetry GenAI spans (OTLP JSON, JSON lines) and LiteLLM spend logs (JSON, JSON lines, CSV), also
    gzipped. Reading a file again changes nothing.

    Example: agentnet traces import spans.jsonl --db sqlite:///agentnet.db
    """
    from agentnet.traces.importers.base import import_log
    from agentnet.traces.store import TraceStore

    with TraceStore.open(db) as store, console(err=True).status(f"importing {file}") as status:
        found = import_log(
            file, store, format=format_, progress=lambda n: status.update(f"importing {file}: {n:,} runs")
        )
        url = store.url
    typer.echo(f"{found.runs:,} runs -> {url}")
    if found.format == "pack":
        return
    named = ", ".join(sorted(found.agents)[:_NAMED])
    more = f" and {len(found.agents) - _NAMED:,} more" if len(found.agents) > _NAMED else ""
    typer.echo(f"  {found.format}, agents: {named}{more}")
    for count, what in (
        (found.judgements, "judgements came with them"),
        (found.other, "rows or spans about something else"),
        (found.without_text, "runs without task or answer: the log was written without contents"),
        (found.bad, f"that cannot be read ({_short(found.first_bad, 200)})"),
    ):
        if count:
            typer.echo(f"  {count:,} {what}")
    if found.runs and not found.with_propensity:
        typer.echo("  no probabilities of the choices: routers can learn from it, not be judged on it")


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
    typer.echo(f"{source} -> {out}")


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%d %H:%M:%S")


def _usd(cost: Decimal | None) -> str:
    """Money with at most six digits after the point; ? is unknown."""
    if cost is None:
        return "?"
    text = f"{cost:.6f}".rstrip("0").rstrip(".")
    return text if cost == 0 or Decimal(text) else f"{cost:.1e}"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _json(value: Any) -> str:
    """JSON text; mappings of any kind become objects, money text."""

    def plain(item: Any) -> Any:
        return dict(item) if isinstance(item, Mapping) else str(item)

    return json.dumps(value, indent=1, ensure_ascii=False, default=plain)


def _short(text: str | None, width: int) -> str:
    if text is None:
        return "(not stored)"
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"
