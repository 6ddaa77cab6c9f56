"""``agentnet registry``: routers by version, and which of them serves."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentnet.cli.options import console
from agentnet.errors import InvalidInput

if TYPE_CHECKING:
    from agentnet.registry.base import Registry
    from agentnet.registry.records import Change, RouterVersion, Serving

app = typer.Typer(
    help="Routers by version: what serves, what watches, what is tried; promote and roll back.",
    no_args_is_help=True,
)
Where = Annotated[
    str,
    typer.Option(
        "--registry",
        metavar="DIR_OR_URL",
        envvar="AGENTNET_REGISTRY",
        help="The registry: a folder, or a trace database's URL.",
    ),
]
Version = Annotated[str, typer.Argument(metavar="ID", help="A version's id, or its first characters.")]
MaybeVersion = Annotated[
    str | None, typer.Argument(metavar="ID", help="A version's id, or its first characters.")
]
Reason = Annotated[str, typer.Option("--reason", help="Why, for the history.")]
Expect = Annotated[
    int | None,
    typer.Option("--expect", min=0, help="Only if this is still the revision (`ls` shows it)."),
]
Off = Annotated[bool, typer.Option("--off", help="End it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@contextmanager
def _opened(where: str, *, create: bool = False) -> Iterator[Registry]:
    from agentnet.registry.base import open_registry

    registry = open_registry(where, create=create)
    try:
        yield registry
    finally:
        registry.close()


@app.command("ls")
def ls(registry: Where, as_json: AsJson = False) -> None:
    """List the versions, the newest first, and what each of them does.

    Example: agentnet registry ls --registry registry

    Example: agentnet registry ls --registry postgresql://me@host/traces --json
    """
    with _opened(registry) as opened:
        state, versions = opened.state(), opened.versions()
    if as_json:
        _json({"state": asdict(state), "versions": [asdict(version) for version in versions]})
        return
    from rich import box
    from rich.table import Table

    typer.echo(_state(state))
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in ("version", "role", "router", "when (UTC)", "parent"):
        table.add_column(name, no_wrap=True)
    table.add_column("note", overflow="fold", ratio=1)
    for one in versions:
        table.add_row(
            one.id, _role(state, one.id), one.router, _when(one.created_at)[:-3], one.parent or "", one.note
        )
    console().print(table, markup=False, highlight=False)


@app.command("show")
def show(version: Version, registry: Where, as_json: AsJson = False) -> None:
    """Show a version: what it was fitted on, its metrics, and the versions it comes from.

    Example: agentnet registry show 3f9a --registry registry
    """
    with _opened(registry) as opened:
        found, state = opened.version(version), opened.state()
        parents = _parents(opened, found)
        changes = [change for change in opened.history(1000) if change.version == found.id]
    if as_json:
        role = _role(state, found.id)
        _json(
            {
                **asdict(found),
                "role": role,
                "parents": [parent.id for parent in parents],
                "history": [asdict(change) for change in changes],
            }
        )
        return
    typer.echo(
        f"{found.id}  {found.router}  {_when(found.created_at)} UTC  {_role(state, found.id)}".rstrip()
    )
    if found.note:
        typer.echo(f"note: {found.note}")
    typer.echo(f"fitted on: {found.data or 'nothing'}")
    chain = [parent.id for parent in parents]
    if found.parent is not None and not chain:
        chain = [f"{found.parent} (not kept here)"]
    typer.echo("comes from: " + (" <- ".join(chain) if chain else "no other version"))
    typer.echo("metrics:" if found.metrics else "metrics: none")
    for key, value in _flat(found.metrics):
        typer.echo(f"  {key}: {value}")
    for change in changes:
        typer.echo(_line(change))


@app.command("add")
def add(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a saved router.")],
    registry: Where,
    parent: Annotated[str | None, typer.Option("--parent", help="The version that it comes from.")] = None,
    note: Annotated[str, typer.Option("--note", help="Why it was made.")] = "",
) -> None:
    """Keep a router that `agentnet train` has saved; the registry is made if missing. It serves nothing yet.

    Example: agentnet registry add routers/knn --registry registry --note "the first"
    """
    from agentnet.routers.registry import load_router

    router = load_router(folder)
    with _opened(registry, create=True) as opened:
        before = None if parent is None else opened.version(parent).id
        version = opened.add(router, parent=before, note=note)
        serving = opened.state().serving
    typer.echo(f"{version.id}  {version.router}")
    if serving is None:
        typer.secho(f"it serves after: agentnet registry promote {version.id}", dim=True, err=True)


@app.command("promote")
def promote(version: Version, registry: Where, reason: Reason = "", expect: Expect = None) -> None:
    """Let a version serve; processes that follow the registry take it up by themselves.

    Example: agentnet registry promote 3f9a --registry registry --reason "better on its share"
    """
    with _opened(registry) as opened:
        before = opened.state().serving
        after = opened.promote(version, expect=expect, reason=reason)
    typer.echo(_state(after))
    if before is not None and before != after.serving:
        typer.secho(f"back to {before} by: agentnet registry rollback", dim=True, err=True)


@app.command("rollback")
def rollback(registry: Where, reason: Reason = "", expect: Expect = None) -> None:
    """Let the version serve that served before; ends shadow and canary. Again: the one before that.

    Example: agentnet registry rollback --registry registry --reason "complaints about answers in French"
    """
    with _opened(registry) as opened:
        typer.echo(_state(opened.rollback(expect=expect, reason=reason)))


@app.command("shadow")
def shadow(
    registry: Where,
    version: MaybeVersion = None,
    off: Off = False,
    reason: Reason = "",
    expect: Expect = None,
) -> None:
    """Let a version decide beside the serving one without acting; its decisions are in the traces.

    Example: agentnet registry shadow 3f9a --registry registry

    Example: agentnet registry shadow --off --registry registry
    """
    _check_one(version, off)
    with _opened(registry) as opened:
        typer.echo(_state(opened.shadow(version, expect=expect, reason=reason)))


@app.command("canary")
def canary(
    registry: Where,
    version: MaybeVersion = None,
    share: Annotated[
        float | None, typer.Option("--share", min=0.0, max=1.0, help="Share of the tasks, such as 0.1.")
    ] = None,
    off: Off = False,
    reason: Reason = "",
    expect: Expect = None,
) -> None:
    """Let a version act on a share of the tasks; which ones is told in the traces.

    Example: agentnet registry canary 3f9a --share 0.1 --registry registry

    Example: agentnet registry canary --off --registry registry
    """
    _check_one(version, off)
    if version is not None and share is None:
        raise InvalidInput("a canary needs its share of the tasks: --share 0.1.")
    with _opened(registry) as opened:
        typer.echo(_state(opened.canary(version, share or 0.0, expect=expect, reason=reason)))


@app.command("history")
def history(
    registry: Where,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many, newest first.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List what was promoted, rolled back, tried and rejected, by whom and why.

    Example: agentnet registry history --registry registry -n 5
    """
    with _opened(registry) as opened:
        found = opened.history(limit)
    if as_json:
        _json([asdict(change) for change in found])
        return
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in ("rev", "when (UTC)", "what", "version", "served before"):
        table.add_column(name, no_wrap=True, justify="right" if name == "rev" else "left")
    table.add_column("why", overflow="fold", ratio=1)
    for change in found:
        row = (_when(change.at)[:-3], _what(change), change.version, change.before or "", change.reason)
        table.add_row(str(change.revision), *row)
    console().print(table, markup=False, highlight=False)


# ----------------------------------------------------------------------------------------------
def _check_one(version: str | None, off: bool) -> None:
    if (version is None) != off:
        raise InvalidInput("give a version's ID to begin, or --off to end.")


def _parents(registry: Registry, version: RouterVersion) -> list[RouterVersion]:
    """The versions it comes from, the nearest first, as far as they are kept."""
    known = {one.id: one for one in registry.versions()}
    found: list[RouterVersion] = []
    while (parent := version.parent) in known and parent is not None:
        version = known.pop(parent)  # taken out: a circle ends
        found.append(version)
    return found


def _role(state: Serving, version: str) -> str:
    roles = {
        "serving": state.serving == version,
        f"canary {state.canary_share:.1%}": state.canary == version,
        "shadow": state.shadow == version,
    }
    return ", ".join(role for role, has in roles.items() if has)


def _state(state: Serving) -> str:
    if state.serving is None:
        return "nothing serves yet (revision 0)"
    parts = [f"serving {state.serving}"]
    if state.canary is not None:
        parts.append(f"canary {state.canary} on {state.canary_share:.1%}")
    if state.shadow is not None:
        parts.append(f"shadow {state.shadow}")
    return f"{', '.join(parts)} (revision {state.revision})"


def _what(change: Change) -> str:
    if change.ended:
        return f"end of {change.action}"
    return f"{change.action} {change.share:.1%}" if change.action == "canary" else change.action


def _line(change: Change) -> str:
    why = f": {change.reason}" if change.reason else ""
    return f"  {_when(change.at)}  {_what(change)} at revision {change.revision}{why}"


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Nested metrics as lines: names joined by points."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flat(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, float):
        yield name, f"{value:.6g}"
    else:
        yield name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%d %H:%M:%S")


def _json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=1, ensure_ascii=False))
