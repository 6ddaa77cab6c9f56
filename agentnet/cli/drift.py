"""``agentnet drift``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from agentnet.cli.options import DEFAULT_DB, Seed, cache_folder, command_line, moment


def drift(
    db: Annotated[str, typer.Option("--db", help="Trace database's URL.", envvar="AGENTNET_DB")] = DEFAULT_DB,
    recent: Annotated[
        str | None,
        typer.Option(
            "--recent", help="Start of the recent window: 12h, 7d, 2026-01-31; default: the latest quarter."
        ),
    ] = None,
    reference: Annotated[
        str | None, typer.Option("--reference", help="The window before it: 30d; default: all before.")
    ] = None,
    kind: Annotated[str | None, typer.Option("--kind", help="live, replayed or simulated runs.")] = None,
    level: Annotated[
        float, typer.Option("--level", help="Most chance of any false alarm in the report.")
    ] = 0.01,
    encoder: Annotated[
        str, typer.Option("--encoder", help="Of the tasks: hash needs no model, minilm knows meanings.")
    ] = "hash",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", file_okay=False, help="Folder for drift.json and drift.html.")
    ] = None,
    seed: Seed = 0,
) -> None:
    """Tell whether tasks, agents' scores or prices have drifted, how much, and since when.

    Example: agentnet drift --db sqlite:///agentnet.db --recent 7d --reference 30d
    """
    from agentnet.bench.files import write_json
    from agentnet.outcomes.encoders import CachedEncoder, make_encoder
    from agentnet.releases.drift import drift_of
    from agentnet.traces.store import TraceStore

    where: dict[str, Any] = {"kind": kind} if kind else {}
    recent_from, now = moment(recent, "--recent"), time.time()
    if (start := moment(reference, "--reference")) is not None:
        where["since"] = (now if recent_from is None else recent_from) - (now - start)
    made = make_encoder(encoder)
    if not encoder.startswith("hash"):  # that one is quicker than a cache
        made = CachedEncoder(made, cache_folder())
    with TraceStore.open(db, create=False) as store:
        report = drift_of(store, recent_from=recent_from, level=level, encoder=made, seed=seed, **where)
    if as_json:
        import json

        typer.echo(json.dumps(report.to_dict(), indent=1))
    else:
        for line in report.lines():
            typer.echo(line)
    if out is not None:
        from agentnet.bench.page import write_page
        from agentnet.releases.drift import drift_sections

        write_json(out / "drift.json", report.to_dict() | {"command": command_line()})
        lead = f"{report.reference['runs']:,} runs before, {report.recent['runs']:,} recent ones"
        write_page(out / "drift.html", title="Drift", lead=lead, sections=drift_sections(report))
