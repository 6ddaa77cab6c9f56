"""``agentnet train`` and ``agentnet route``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentnet.cli.options import (
    Context,
    CostWeight,
    Data,
    Device,
    Question,
    Seed,
    console,
    parse_settings,
    read_task,
    with_cache,
    with_model,
)

if TYPE_CHECKING:
    from agentnet.routers.base import Router


def train(
    router: Annotated[str, typer.Argument(help="Name of a router; `agentnet routers` lists them.")],
    data: Data,
    out: Annotated[Path, typer.Option("--out", help="Folder to write the router to.")],
    seed: Seed = 0,
    device: Device = "auto",
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of the router, key=value; repeatable.")
    ] = None,
    log_dir: Annotated[
        Path | None,
        typer.Option(
            "--log-dir",
            file_okay=False,
            help="Folder for the training's curves: metrics.jsonl, and TensorBoard files where installed.",
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            "--resume",
            metavar="DIR",
            file_okay=False,
            help="Folder of checkpoints: an interrupted training goes on from it, and writes to it.",
        ),
    ] = None,
) -> None:
    """Train a router from a data pack or from your own traces.

    Rows of split test are never looked at.

    Example: agentnet train knn --data sqlite:///agentnet.db --out routers/knn --set k=40
    """
    from agentnet.outcomes.packs import load_outcomes
    from agentnet.routers.registry import make_router

    made = make_router(router, **parse_settings(settings))
    outcomes = load_outcomes(data)
    with_cache(made)
    what = f"fitting {router} on {len(outcomes):,} queries x {len(outcomes.pool)} agents"
    with _bars(what) as progress:
        _watch(made, progress, log_dir, resume)
        report = made.fit(outcomes, outcomes.pool, seed=seed, device=device)
    made.save(out)
    typer.echo(
        f"{router} {made.version}: {report.n_train:,} train and {report.n_val:,} val queries, "
        f"{report.seconds:.1f} s -> {out}"
    )
    for key, value in report.chosen.items():
        typer.echo(f"  {key} = {value}")
    for note in report.notes:
        typer.echo(f"  {note}")


def _watch(
    router: Router, progress: Callable[[str, int, int], None], log_dir: Path | None, resume: Path | None
) -> None:
    """Hands progress, log and checkpoints to the router, and says so where it has no use for them."""
    from agentnet.routers.base import Router as Base
    from agentnet.routers.gnn.plan import TrainingOptions

    router.use_training(TrainingOptions(progress=progress, log_dir=log_dir, checkpoint=resume))
    unused = [name for name, value in (("--log-dir", log_dir), ("--resume", resume)) if value is not None]
    if unused and type(router).use_training is Base.use_training:
        typer.secho(
            f"warning: {router.name} trains no network; nothing comes of {' and '.join(unused)}.",
            fg="yellow",
            err=True,
        )


@contextmanager
def _bars(what: str) -> Iterator[Callable[[str, int, int], None]]:
    """Shows what goes on, with a bar for every training that reports how far it is."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
    from rich.progress import TimeElapsedColumn as Elapsed

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Elapsed(),
    )
    with Progress(*columns, console=console(err=True), transient=True) as bars:
        bars.add_task(what, total=None)
        tasks = {}

        def report(label: str, done: int, total: int) -> None:
            if label not in tasks:
                tasks[label] = bars.add_task(f"  {label}", total=total)
            bars.update(tasks[label], completed=done, total=total)
            if done >= total:  # many trainings in a row would fill the screen
                bars.remove_task(tasks.pop(label))

        yield report


def route(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a trained router.")],
    question: Question,
    explain: Annotated[bool, typer.Option("--explain", help="Say why.")] = False,
    agents: Annotated[
        Path | None,
        typer.Option("--agents", help="JSON list of agents to choose from; default: those of training."),
    ] = None,
    context: Context = None,
    cost_weight: CostWeight = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole decision as JSON.")] = False,
    svg: Annotated[
        Path | None, typer.Option("--svg", dir_okay=False, help="Draw the evidence into this file.")
    ] = None,
) -> None:
    """Show which agents a trained router would choose for a question. Runs nothing.

    Example: agentnet route routers/knn "How many primes are below 100?" --explain
    """
    import json

    from agentnet.bench.files import strict
    from agentnet.errors import InvalidInput
    from agentnet.outcomes.packs import load_agents
    from agentnet.routers.registry import load_router

    router = load_router(folder)
    pool = load_agents(agents) if agents else router.training_pool
    if cost_weight is not None:
        router = router.with_options(cost_weight=cost_weight)
    with_model(router, pool)
    decision = router.route(read_task(question, context), pool)
    if svg is not None:
        drawing = decision.evidence.to_svg()
        if drawing is None:
            raise InvalidInput(f"router {router.name!r} draws no evidence; leave out --svg.")
        svg.write_text(drawing, encoding="utf-8")
    if as_json:
        typer.echo(json.dumps(strict(decision.to_dict()), ensure_ascii=False, indent=1))
    elif explain:
        typer.echo(decision.explain())
    else:
        typer.echo("(abstains)" if decision.abstained else " + ".join(decision.agents))
