"""Options that several commands share, and small helpers for printing."""

from __future__ import annotations

import os
import re
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from agentnet.errors import InvalidInput

if TYPE_CHECKING:
    from rich.console import Console

    from agentnet.graphs.pool import Pool
    from agentnet.graphs.task import Task
    from agentnet.outcomes.encoders import Encoder
    from agentnet.routers.base import Router

Data = Annotated[
    str,
    typer.Option("--data", help="A data pack's folder, or a trace database's URL (sqlite:///runs.db)."),
]
Device = Annotated[Literal["auto", "cpu", "cuda"], typer.Option("--device", help="Where to compute.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Makes the result reproducible.")]
CostWeight = Annotated[
    float | None,
    typer.Option(
        "--cost-weight",
        min=0.0,
        max=1.0,
        help="Quality-cost dial: 0 is quality only, 1 is cost only; default: the router's own.",
    ),
]
Question = Annotated[str, typer.Argument(help="The task's text; - reads it from standard input.")]
Context = Annotated[
    Path | None,
    typer.Option("--context", exists=True, dir_okay=False, help="Text file with the task's context."),
]
DEFAULT_DB = "sqlite:///agentnet.db"
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
CACHE = "AGENTNET_CACHE"
"""Environment variable: folder of the encodings' cache, or ``off``."""


def command_line() -> str:
    """Returns the command as the user could type it again."""
    return shlex.join(["agentnet", *sys.argv[1:]])


def console(*, err: bool = False) -> Console:
    """Returns a console for tables and progress; redirected output is not cut at 80 columns."""
    from rich.console import Console

    made = Console(stderr=err)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made = Console(stderr=err, width=160)
    return made


def read_task(question: str, context: Path | None = None) -> Task:
    """Returns the task of a command line; ``-`` takes its text from standard input.

    Raises:
        TaskError: the text is empty, too long or not UTF-8.
    """
    from agentnet.graphs.task import Task

    if question == "-":
        # Bytes that are not UTF-8 become lone surrogates, which a task refuses by name.
        question = sys.stdin.buffer.read().decode("utf-8", "surrogateescape")
    material = context.read_bytes().decode("utf-8", "surrogateescape") if context else None
    return Task(question, context=material)


def cache_folder() -> Path | None:
    """Returns where encodings are kept between commands; None where that is switched off."""
    named = os.environ.get(CACHE, "")
    if named.lower() in ("off", "0", "no"):
        return None
    if named:
        return Path(named).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "agentnet"


def with_cache(router: Router) -> Encoder | None:
    """Lets a router keep its encodings in the user's cache; returns its encoder without the cache.

    None for routers that encode nothing. A cache that cannot be used is left out, with a warning.
    """
    from agentnet.errors import DataError
    from agentnet.outcomes.encoders import CachedEncoder, make_encoder

    name = router.settings.get("encoder")
    if name is None:
        return None
    plain = make_encoder(name)
    folder = cache_folder()
    # An encoder that goes by another name than the setting (weights of one's own) is not mixed up with it.
    if folder is not None and plain.name == name:
        try:
            router.use_encoder(CachedEncoder(plain, folder))
        except DataError as error:
            typer.secho(f"warning: {error} Set {CACHE}=off to do without.", fg="yellow", err=True)
    return plain


def with_model(router: Router, pool: Pool) -> None:
    """Lets a router that asks a language model ask it through LiteLLM; does nothing for others.

    Raises:
        InvalidInput: the router names no model.
    """
    if not router.asks_model:
        return
    from agentnet.runtime.clients.litellm_client import LiteLLMClient
    from agentnet.runtime.consult import ClientModel, wanted_backend

    backend = wanted_backend(router, pool)
    if backend is None:
        raise InvalidInput(
            f"this {router.name!r} router asks a language model and names none: train it with "
            "--set model=NAME, for example --set model=openai/gpt-4o-mini, or with --set mode=fast."
        )
    client = LiteLLMClient(backends=lambda: pool.backends)
    router.use_model(ClientModel(client, backend, backends=pool.backends))


def parse_settings(items: list[str] | None) -> dict[str, str]:
    """Returns the settings given as ``--set key=value``.

    Raises:
        InvalidInput: an item has no ``=``.
    """
    pairs = {}
    for item in items or []:
        key, sign, value = item.partition("=")
        if not sign or not key.strip():
            raise InvalidInput(f"--set takes key=value; got {item!r}.")
        pairs[key.strip()] = value.strip()
    return pairs


def moment(text: str | None, option: str = "--since") -> float | None:
    """Returns seconds since the epoch of a date, a time, or a span back from now (``7d``, ``12h``).

    Raises:
        InvalidInput: it is none of these.
    """
    if text is None:
        return None
    if span := re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text.strip()):
        return time.time() - float(span[1]) * _UNITS[span[2]]
    from agentnet.learning.scoring.labels import read_time

    try:
        return read_time(text)
    except ValueError:
        raise InvalidInput(
            f"{option} takes a date (2026-01-31), a time or a span (7d, 12h); got {text!r}."
        ) from None
