"""``agentnet train`` and ``agentnet route``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agentnet.cli.options import CostWeight, Data, Device, Seed, console, parse_settings


def train(
    router: Annotated[str, typer.Argument(help="Name of a router; `agentnet routers` lists them.")],
    data: Data,
    out: Annotated[Path, typer.Option("--out", help="Folder to write the router to.")],
    seed: Seed = 0,
    device: Device = "auto",
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of the router, key=value; repeatable.")
    ] = None,
) -> None:
    """Train a router from a data pack or from your own traces.

    Example: agentnet train knn --data sqlite:///agentnet.db --out routers/knn --set k=40
    """
    from agentnet.outcomes.packs import load_outcomes
    from agentnet.routers.registry import make_router

    made = make_router(router, **parse_settings(settings))
    outcomes = load_outcomes(data)
    with console(err=True).status(
        f"fitting {router} on {len(outcomes):,} queries x {len(outcomes.pool)} agents"
    ):
        report = made.fit(outcomes, outcomes.pool, seed=seed, device=device)
    made.save(out)
    show = console()
    show.print(
        f"[bold]{router}[/] {made.version}: {report.n_train:,} train and {report.n_val:,} val queries, "
        f"{report.seconds:.1f} s -> {out}"
    )
    for key, value in report.chosen.items():
        show.print(f"  {key} = {value}", highlight=False)
    for note in report.notes:
        show.print(f"  [dim]{note}[/]")


def route(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a trained router.")],
    question: Annotated[str, typer.Argument(help="The task's text.")],
    explain: Annotated[bool, typer.Option("--explain", help="Say why.")] = False,
    agents: Annotated[
        Path | None,
        typer.Option("--agents", help="JSON list of agents to choose from; default: those of training."),
    ] = None,
    context: Annotated[
        Path | None, typer.Option("--context", help="Text file with the task's context.")
    ] = None,
    cost_weight: CostWeight = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole decision as JSON.")] = False,
) -> None:
    """Show which agents a trained router would choose for a question. Runs nothing.

    Example: agentnet route routers/knn "How many primes are below 100?" --explain
    """
    import json

    from agentnet.graphs.task import Task
    from agentnet.outcomes.packs import load_agents
    from agentnet.routers.registry import load_router

    router = load_router(folder)
    pool = load_agents(agents) if agents else router.training_pool
    if cost_weight is not None:
        router = router.with_options(cost_weight=cost_weight)
    task = Task(question, context=context.read_text(encoding="utf-8", errors="replace") if context else None)
    decision = router.route(task, pool)
    if as_json:
        typer.echo(json.dumps(decision.to_dict(), ensure_ascii=False, indent=1))
    elif explain:
        typer.echo(decision.explain())
    else:
        typer.echo("(abstains)" if decision.abstained else " + ".join(decision.agents))
