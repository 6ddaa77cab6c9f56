"""``agentnet routers``, ``agentnet routers show`` and ``agentnet doctor``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentnet.cli.options import console
from agentnet.errors import InvalidInput

if TYPE_CHECKING:
    from agentnet.routers.amro_s import AmroSRouter
    from agentnet.routers.base import Router

app = typer.Typer(help="List the routers there are, or look into a saved one.")
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.callback(invoke_without_command=True)
def routers(context: typer.Context, as_json: AsJson = False) -> None:
    """List the routers, what they do and their settings; or look into a saved one.

    Example: agentnet routers

    Example: agentnet routers show routers/amro --html colony.html
    """
    if context.invoked_subcommand is not None:
        return
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


@app.command("show")
def show(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a saved router.")],
    html: Annotated[
        Path | None, typer.Option("--html", dir_okay=False, help="Write a page of heat maps (amro_s).")
    ] = None,
    svg: Annotated[
        Path | None, typer.Option("--svg", dir_okay=False, help="Write the heat maps as an image (amro_s).")
    ] = None,
    table: Annotated[
        Path | None, typer.Option("--csv", dir_okay=False, help="Write every edge as a table (amro_s).")
    ] = None,
) -> None:
    """Show what a saved router was set to, trained on and has learned. Runs nothing.

    Of amro_s it prints each specialist's strongest path (heuristics left out), and it can draw the
    pheromones: one heat map per task type and layer.

    Example: agentnet routers show routers/knn

    Example: agentnet routers show routers/amro --html colony.html --csv colony.csv
    """
    from agentnet.routers.registry import load_router

    router = load_router(folder)
    if router.name == "amro_s":
        from agentnet.routers.amro_s import AmroSRouter

        assert isinstance(router, AmroSRouter)
        _show_facts(router)
        _show_colony(router)
        _draw(router, {"html": html, "svg": svg, "csv": table}, folder)
        return
    if html or svg or table:
        raise InvalidInput(
            f"{folder} holds the router {router.name!r}: only amro_s has pheromones to draw; "
            "leave out --html, --svg and --csv."
        )
    _show_facts(router)


def _show_facts(router: Router) -> None:
    """Prints settings and what the router was trained on."""
    typer.echo(f"{router.name} {router.version}")
    for key, value in router.settings.items():
        typer.echo(f"  {key} = {value}")
    known = router.training
    if known is None:
        typer.echo("trained on: nothing")
        return
    typer.echo(f"trained on: {known.n:,} queries, {len(known.pool)} agents, data {known.data}")
    for name, mean in sorted(known.mean_score.items(), key=lambda item: -item[1]):
        typer.echo(f"  {name}: mean score {mean:.4f}")


def _show_colony(router: AmroSRouter) -> None:
    """Prints the colony's shape and each specialist's strongest path."""
    from agentnet.routers.colony.pictures import strongest_paths

    colony = router.colony
    space = colony.space
    typer.echo(f"recipe: {router.recipe}, {space.layers} layers of {len(space.agents)} agents")
    typer.echo(f"task types: {', '.join(colony.types)}")
    typer.echo(f"snapshot: {router.snapshot_number}, at cost weight {router.options.cost_weight:g}")
    for kind, hops in strongest_paths(colony).items():
        typer.echo(f"{kind}: strongest path")
        for hop in hops:
            state = f" if answers {hop['state']}" if hop["state"] else ""
            typer.echo(
                f"  {hop['layer']}. {hop['source']} -> {hop['target']}{state}: "
                f"pheromone {hop['pheromone']:.4g}, {hop['share']:.0%} of its row's"
            )


def _draw(router: AmroSRouter, files: dict[str, Path | None], folder: Path) -> None:
    """Writes what was asked for."""
    from agentnet.routers.colony import pictures

    colony, title = router.colony, f"Pheromones of {folder.name or folder}"
    for kind, file in files.items():
        if file is None:
            continue
        if kind == "html":
            text = pictures.colony_page(colony, title=title, alpha=router.method.alpha)
        elif kind == "svg":
            text = pictures.colony_svg(colony, title=title)
        else:
            text = pictures.colony_csv(colony)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8", newline="")
        typer.echo(f"wrote {file}")


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
