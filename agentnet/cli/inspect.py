"""``agentnet routers`` and ``agentnet doctor``."""

from __future__ import annotations

from typing import Annotated

import typer

from agentnet.cli.options import console

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def routers(as_json: AsJson = False) -> None:
    """List the routers, what they do and their settings.

    Example: agentnet routers
    """
    import json
    from dataclasses import asdict

    from agentnet.routers.registry import describe_routers

    found = describe_routers()
    if as_json:
        typer.echo(json.dumps([asdict(item) for item in found], indent=1))
        return
    from rich import box
    from rich.table import Table

    table = Table("router", "what it does", "settings (--set key=value)", box=box.SIMPLE_HEAD)
    for item in found:
        table.add_row(item.name, item.summary, "\n".join(item.settings))
    console().print(table, markup=False, highlight=False)


def doctor(as_json: AsJson = False) -> None:
    """Say what works on this machine: sandbox layers, models, encoders, databases, accelerator.

    Example: agentnet doctor
    """
    import json
    from dataclasses import asdict

    from agentnet.bench.doctor import examine

    findings = examine()
    if as_json:
        typer.echo(json.dumps([asdict(item) for item in findings], indent=1))
        return
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table("what", "works", "detail", box=box.SIMPLE_HEAD)
    for item in findings:
        mark = Text("yes", "green") if item.ok else Text("no", "yellow")
        table.add_row(Text(item.what), mark, Text(item.detail))
    console().print(table)
