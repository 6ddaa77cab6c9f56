"""Options that several commands share, and small helpers for printing."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

Data = Annotated[
    str,
    typer.Option("--data", help="A data pack's folder, or a trace database's URL (sqlite:///runs.db)."),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
Seed = Annotated[int, typer.Option("--seed", help="Makes the result reproducible.")]
CostWeight = Annotated[
    float | None,
    typer.Option(
        "--cost-weight",
        min=0.0,
        max=1.0,
        help="Quality-cost dial: 0 is quality only, 1 is cost only; default: the router's own.",
    ),
]
DEFAULT_DB = "sqlite:///agentnet.db"


def command_line() -> str:
    """Returns the command as the user could type it again."""
    return shlex.join(["agentnet", *sys.argv[1:]])


def console(*, err: bool = False) -> Console:
    """Returns a console for tables and progress bars."""
    from rich.console import Console

    return Console(stderr=err)


def write_json(path: Path, data: Any) -> None:
    """Writes JSON, making the folder, and replaces the file in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    part.replace(path)


def parse_settings(items: list[str] | None) -> dict[str, str]:
    """Returns the settings given as ``--set key=value``.

    Raises:
        typer.BadParameter: an item has no ``=``.
    """
    pairs = {}
    for item in items or []:
        key, sign, value = item.partition("=")
        if not sign or not key:
            raise typer.BadParameter(f"--set takes key=value; got {item!r}.")
        pairs[key.strip()] = value.strip()
    return pairs
