"""``agentnet train`` and ``agentnet route``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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
)


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

    Rows of split test are never looked at.

    Example: agentnet train knn --data sqlite:///agentnet.db --out routers/knn --set k=40
    """
    from agentnet.outcomes.packs import load_outcomes
    from agentnet.routers.registry import make_router

    made = make_router(router, **parse_settings(settings))
    outcomes = load_outcomes(data)
    with_cache(made)
    with console(err=True).status(
        f"fitting {router} on {len(outcomes):,} queries x {len(outcomes.pool)} agents"
    ):
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
) -> None:
    """Show which agents a trained router would choose for a question. Runs nothing.

    Example: agentnet route routers/knn "How many primes are below 100?" --explain
    """
    import json

    from agentnet.bench.files import strict
    from agentnet.outcomes.packs import load_agents
    from agentnet.routers.registry import load_router

    router = load_router(folder)
    pool = load_agents(agents) if agents else router.training_pool
    if cost_weight is not None:
        router = router.with_options(cost_weight=cost_weight)
    decision = router.route(read_task(question, context), pool)
    if as_json:
        typer.echo(json.dumps(strict(decision.to_dict()), ensure_ascii=False, indent=1))
    elif explain:
        typer.echo(decision.explain())
    else:
        typer.echo("(abstains)" if decision.abstained else " + ".join(decision.agents))
