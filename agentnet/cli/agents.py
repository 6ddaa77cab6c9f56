"""``agentnet agents``: the agents of a pool file: list, add, remove, import, describe, lint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from agentnet.cli.options import cache_folder, console
from agentnet.errors import InvalidInput

if TYPE_CHECKING:
    from agentnet.cards.edit import PoolFile
    from agentnet.cards.findings import LintReport
    from agentnet.graphs.agent import Agent, Backend
    from agentnet.graphs.pool import Pool
    from agentnet.outcomes.encoders import Encoder
    from agentnet.outcomes.table import Outcomes
    from agentnet.runtime.client import ModelClient

app = typer.Typer(
    help="List, add, remove, import, describe and lint the agents of a pool file.", no_args_is_help=True
)
PoolPath = Annotated[
    str,
    typer.Option("--pool", metavar="FILE", help="The pool: a .yaml or .json file; ls and lint read .py too."),
]
BackendName = Annotated[
    str | None, typer.Option("--backend", help="Name of one of the file's backends that answers.")
]
Model = Annotated[
    str | None,
    typer.Option("--model", help="A model as LiteLLM names it; default: none, from the queries' own words."),
]
Data = Annotated[
    str | None,
    typer.Option("--data", help="A label pack's folder, or a trace database's URL, with real queries."),
]


@app.command("ls")
def ls(
    pool: PoolPath,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the agents of a pool.

    Example: agentnet agents ls --pool pipeline.yaml
    """
    import json

    from rich import box
    from rich.table import Table

    from agentnet.cards.texts import clean_text
    from agentnet.runtime.spec import load_spec

    loaded = load_spec(pool).pool
    if as_json:
        typer.echo(json.dumps(loaded.to_list(), indent=1, ensure_ascii=False))
        return
    table = Table("agent", "description", "examples", "answered by", box=box.SIMPLE_HEAD)
    for agent in loaded:
        how = agent.backend.name if agent.backend else "a call" if agent.call else agent.strategy
        row = (agent.name, clean_text(agent.description, 160), str(len(agent.examples)), how)
        table.add_row(*(_plain(cell) for cell in row))
    console().print(table, markup=False, highlight=False)


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="The new agent's name.")],
    pool: PoolPath,
    description: Annotated[str, typer.Option("--description", help="What it is good for.")],
    example: Annotated[
        list[str] | None, typer.Option("--example", help="A query it should get; may be repeated.")
    ] = None,
    backend: BackendName = None,
    strategy: Annotated[str, typer.Option("--strategy", help="How it uses its backend.")] = "direct",
    system: Annotated[str, typer.Option("--system", help="Its role prompt.")] = "",
) -> None:
    """Add an agent to a pool file, made if it is missing; comments and order of the file stay.

    Example: agentnet agents add refunds --pool pipeline.yaml --description "Money back for returned goods"

    Example: agentnet agents add refunds --pool pipeline.yaml --description "Money back" --example "I want a
    refund" --example "Return my shoes" --backend small
    """
    from agentnet.cards.edit import PoolFile
    from agentnet.graphs.agent import Agent

    agent = Agent(
        name=name, description=description, examples=tuple(example or ()), strategy=strategy, system=system
    )
    file = PoolFile.read(pool, create=True)
    _write(file.add(agent, backend=backend), f"added {name}", file)
    if backend is None:
        typer.secho(
            "routers know it now; to run it, give --backend, or a call in Python.", dim=True, err=True
        )


@app.command("rm")
def rm(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Agents to remove.")],
    pool: PoolPath,
) -> None:
    """Remove agents from a pool file, with the comment lines right above them.

    Example: agentnet agents rm refunds --pool pipeline.yaml
    """
    from agentnet.cards.edit import PoolFile

    file = PoolFile.read(pool)
    _write(file.remove(*dict.fromkeys(names)), f"removed {', '.join(dict.fromkeys(names))}", file)


@app.command("import")
def import_(
    kind: Annotated[Literal["a2a", "mcp"], typer.Argument(help="A2A agent cards, or an MCP tool list.")],
    source: Annotated[str, typer.Argument(help="A .json file, a folder of them, or an http(s) address.")],
    pool: PoolPath,
    per: Annotated[
        Literal["card", "skill", "tool", "server"] | None,
        typer.Option("--per", help="One agent per card or skill (a2a), per tool or server (mcp)."),
    ] = None,
    server: Annotated[str, typer.Option("--server", help="The MCP server's name.")] = "",
    backend: BackendName = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Put imported agents in the place of those of the same name.")
    ] = False,
) -> None:
    """Import A2A agent cards or an MCP tool list as agents of a pool file. Calls none of them.

    Imported agents are known to routers. To run them, give --backend, or a function for the strategy a2a or
    mcp to Runtime(strategies=...) in Python.

    Example: agentnet agents import a2a https://bank.example --pool pipeline.yaml --per skill

    Example: agentnet agents import mcp tools.json --pool pipeline.yaml --server weather
    """
    from agentnet.cards.edit import PoolFile

    file = PoolFile.read(pool, create=True)
    agents = _imported(kind, source, per, server)
    clash = [agent.name for agent in agents if agent.name in file.names]
    if clash and not replace:
        raise InvalidInput(f"{pool} has {', '.join(clash)} already; --replace puts the imported ones there.")
    known = [agent for agent in agents if agent.name in clash]
    changed = file.replace(*known, backend=backend) if known else file
    changed = changed.add(*(agent for agent in agents if agent.name not in clash), backend=backend)
    _write(changed, f"imported {', '.join(agent.name for agent in agents)}", file)
    if backend is None:
        typer.secho(
            f"routers know them now; to run them, give --backend, or Runtime(strategies={{{kind!r}: ...}}).",
            dim=True,
            err=True,
        )


@app.command("describe")
def describe(
    name: Annotated[str, typer.Argument(help="The agent.")],
    pool: PoolPath,
    model: Model = None,
    data: Data = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Most sample queries.")] = 30,
    write: Annotated[bool, typer.Option("--write", help="Put it into the pool file.")] = False,
) -> None:
    """Write an agent's description from its examples (and a label pack's queries).

    Example: agentnet agents describe refunds --pool pipeline.yaml --model openai/gpt-4o-mini --write
    """
    from agentnet.cards.describe import describe as ask
    from agentnet.cards.describe import describe_locally, samples_of
    from agentnet.cards.edit import PoolFile
    from agentnet.errors import BackendError, RunError
    from agentnet.outcomes.packs import load_outcomes
    from agentnet.runtime.spec import load_spec

    agents = load_spec(pool).pool
    agent = agents[name]
    texts = list(agent.examples)
    if data:
        texts += samples_of(load_outcomes(data, pool=agents), name, limit=limit)
    if not texts:
        raise InvalidInput(f"agent {name!r} has no examples; add some to the file, or give --data.")
    made = None
    if model:
        backend, client = _model(model)
        try:
            made = ask(name, texts, client=client, backend=backend, limit=limit)
        except BackendError:
            raise
        except RunError as error:
            typer.secho(f"warning: {error}", fg="yellow", err=True)
    if made is None:
        made = describe_locally(name, texts, {other.name: other.examples for other in agents})
    typer.echo(made.text)
    if write:
        file = PoolFile.read(pool)
        _write(file.update(name, description=made.text), f"described {name}", file)


@app.command("lint")
def lint(
    pool: PoolPath,
    data: Data = None,
    split: Annotated[
        Literal["train", "val", "all"], typer.Option("--split", help="Rows of the data; all: train and val.")
    ] = "all",
    router: Annotated[
        Path | None, typer.Option("--router", help="Folder of a trained router that judges.")
    ] = None,
    encoder: Annotated[
        str, typer.Option("--encoder", help="Encoder that judges without a router.")
    ] = "minilm",
    model: Model = None,
    margin: Annotated[
        float | None, typer.Option("--margin", min=0.0, help="Scores nearer than this are close.")
    ] = None,
    min_share: Annotated[
        float, typer.Option("--min-share", min=0.0, max=1.0, help="Least share of strayed queries.")
    ] = 0.05,
    most: Annotated[int, typer.Option("--most", min=1, help="Most pairs shown.")] = 20,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 on conflicts and errors.")] = False,
    apply: Annotated[
        Literal["positive", "full"] | None,
        typer.Option("--apply", help="Write the wordings into the file, without or with 'not for'."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Report agents whose descriptions collide: which pairs, on which queries, and a better wording.

    Example: agentnet agents lint --pool pipeline.yaml --strict

    Example: agentnet agents lint --pool agents.json --data pack --router routers/knn --json
    """
    import json

    from agentnet.bench.files import strict as plain
    from agentnet.cards.lint import LintOptions, owned_texts
    from agentnet.cards.lint import lint as run
    from agentnet.cards.wording import reword
    from agentnet.routers.registry import load_router
    from agentnet.runtime.spec import load_spec

    agents = load_spec(pool).pool
    outcomes = _outcomes(data, split, agents)
    judge = load_router(router) if router else None
    report = run(
        agents,
        encoder=None if judge is not None else _encoder(encoder),
        router=judge,
        outcomes=outcomes,
        options=LintOptions(margin=margin, min_share=min_share),
    )
    if model:
        backend, client = _model(model)
        texts = owned_texts(agents, outcomes)
        report = reword(report, agents, texts, client=client, backend=backend)
    typer.echo(
        json.dumps(plain(report.to_dict()), ensure_ascii=False) if as_json else report.table(most=most)
    )
    if apply:
        _apply(pool, report, apply)
    if strict and report.failed:
        raise typer.Exit(1)


def _imported(kind: str, source: str, per: str | None, server: str) -> tuple[Agent, ...]:
    from agentnet.cards.a2a import import_a2a
    from agentnet.cards.mcp import import_mcp

    allowed = {"a2a": ("card", "skill"), "mcp": ("tool", "server")}[kind]
    per = per or allowed[0]
    if per not in allowed:
        raise InvalidInput(f"{kind} imports one agent per {' or per '.join(allowed)}; got --per {per}.")
    if kind == "a2a":
        if server:
            raise InvalidInput("--server names an MCP server; leave it out for a2a.")
        return import_a2a(source, per="skill" if per == "skill" else "card")
    return import_mcp(source, per="server" if per == "server" else "tool", server=server)


def _model(model: str) -> tuple[Backend, ModelClient]:
    from agentnet.graphs.agent import Backend
    from agentnet.runtime.clients.litellm_client import LiteLLMClient

    return Backend(name="writer", model=model), LiteLLMClient()


def _outcomes(data: str | None, split: str, pool: Pool) -> Outcomes | None:
    from agentnet.outcomes.packs import load_outcomes

    if data is None:
        return None
    # Rows of split test are never learned from, wordings included.
    return load_outcomes(data, split=("train", "val") if split == "all" else split, pool=pool)


def _encoder(name: str) -> Encoder:
    from agentnet.errors import DataError
    from agentnet.outcomes.encoders import CachedEncoder, make_encoder

    plain = make_encoder(name)
    folder = cache_folder()
    try:
        return CachedEncoder(plain, folder)
    except DataError as error:
        typer.secho(f"warning: {error}", fg="yellow", err=True)
        return plain


def _apply(pool: str, report: LintReport, how: str) -> None:
    """Writes the wording of each agent's worst pair."""
    from agentnet.cards.edit import PoolFile

    texts: dict[str, str] = {}
    for conflict in report.conflicts:
        for item in conflict.suggestions:
            texts.setdefault(item.agent, item.positive if how == "positive" else item.text)
    if not texts:
        typer.secho("nothing to apply.", err=True)
        return
    file = PoolFile.read(pool)
    changed = file.update_all({name: {"description": text} for name, text in texts.items()})
    _write(changed, f"reworded {len(texts)} agents", file)


def _write(changed: PoolFile, what: str, before: PoolFile) -> None:
    changed.write()
    made = " (a new file)" if before.original is None else ""
    typer.secho(f"{_plain(what)} in {changed.path}{made}: {len(changed.names)} agents", err=True)


def _plain(text: str) -> str:
    from agentnet.cards.texts import clean_text

    return clean_text(text, 4000)
