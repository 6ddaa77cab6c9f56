"""``agentnet routers`` and ``agentnet doctor``."""

from __future__ import annotations

from typing import Annotated

import typer

from agentnet.cli.options import console


def routers() -> None:
    """List the routers and their settings."""
    from rich.table import Table

    from agentnet.routers.registry import describe_routers

    table = Table("router", "what it does", "settings (--set key=value)")
    for item in describe_routers():
        table.add_row(item.name, item.summary, ", ".join(f"{k}={v}" for k, v in item.settings.items()))
    console().print(table)


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what works on this machine: sandbox layers, models, encoders, databases, accelerator.

    Example: agentnet doctor
    """
    import json
    from dataclasses import asdict

    from agentnet.demo.doctor import examine

    findings = examine()
    if as_json:
        typer.echo(json.dumps([asdict(item) for item in findings], indent=1))
        return
    from rich.table import Table

    table = Table("what", "state", "detail")
    for item in findings:
        table.add_row(
            item.what, f"[{'green' if item.ok else 'yellow'}]{'ok' if item.ok else 'no'}[/]", item.detail
        )
    console().print(table)
