"""The ``agentnet`` command: every sub-command is imported only when it is called."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from agentnet import __version__
from agentnet.cli import agents, bench, drift, evaluate, inspect, learn, registry, release, run, traces
from agentnet.errors import AgentnetError, InvalidInput, RouterLoadError, UnknownRouter

app = typer.Typer(
    name="agentnet",
    help="Multi-agent LLM systems whose routing is learned: route, run, record, learn.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("run")(run.run)
app.command("train")(learn.train)
app.command("evaluate")(evaluate.evaluate)
app.command("learn")(release.learn)
app.command("drift")(drift.drift)
app.command("route")(learn.route)
app.command("doctor")(inspect.doctor)
app.command("demo")(run.demo)
app.command("convert")(traces.convert)
app.add_typer(inspect.app, name="routers")
app.add_typer(agents.app, name="agents")
app.add_typer(bench.app, name="bench")
app.add_typer(registry.app, name="registry")
app.add_typer(traces.app, name="traces")

BAD_INPUT = (InvalidInput, UnknownRouter, RouterLoadError)
"""Errors that end with status 2, as wrong options do; all others end with 1."""


def _version(value: bool) -> None:
    if value:
        typer.echo(f"agentnet {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Multi-agent LLM systems whose routing is learned: route, run, record, learn."""


def main() -> None:
    """Runs the command line; known errors become one line and exit status 1, or 2 for bad input."""
    try:
        app()
    except AgentnetError as error:
        _fail(str(error), 2 if isinstance(error, BAD_INPUT) else 1)
    except UnicodeEncodeError:
        _fail("an argument is not valid UTF-8.", 2)
    except OSError as error:
        if error.filename is None:
            raise
        _fail(f"{error.filename}: {error.strerror}.", 1)


def _fail(message: str, status: int) -> None:
    line = " ".join(message.split()).encode("utf-8", "replace").decode()
    typer.secho(f"error: {line}", fg="red", err=True)
    sys.exit(status)


if __name__ == "__main__":
    main()
