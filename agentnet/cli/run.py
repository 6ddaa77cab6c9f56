"""``agentnet run`` and ``agentnet demo``."""

from __future__ import annotations

import asyncio
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentnet.cli.options import DEFAULT_DB, Context, CostWeight, Question, read_task
from agentnet.errors import InvalidInput

if TYPE_CHECKING:
    from agentnet.graphs.pool import Pool
    from agentnet.graphs.task import Task
    from agentnet.graphs.task_graph import TaskGraph
    from agentnet.runtime.runtime import RunResult, Runtime


def run(
    spec: Annotated[
        str, typer.Argument(help="A .py file with a Pool (pipeline.py or pipeline.py:attr) or a YAML file.")
    ],
    question: Question,
    router: Annotated[Path | None, typer.Option("--router", help="Folder of a trained router.")] = None,
    agent: Annotated[str | None, typer.Option("--agent", help="Run this agent instead of a router.")] = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Print tokens and node events as they come.")
    ] = False,
    context: Context = None,
    db: Annotated[
        str, typer.Option("--db", help="Where traces go; an empty text: nowhere.", envvar="AGENTNET_DB")
    ] = DEFAULT_DB,
    max_usd: Annotated[str | None, typer.Option("--max-usd", help="Most USD this run may cost.")] = None,
    max_seconds: Annotated[
        float | None, typer.Option("--max-seconds", help="Most seconds it may take.")
    ] = None,
    cost_weight: CostWeight = None,
    fallback: Annotated[
        str | None, typer.Option("--fallback", help="Agent for when the router abstains.")
    ] = None,
    unsafe: Annotated[
        bool, typer.Option("--unsafe-sandbox", help="Run generated programs without confinement.")
    ] = False,
) -> None:
    """Run a pipeline on one question, live, and log the trace.

    Example: agentnet run pipeline.py "What is 17 * 23?" --router routers/knn --stream
    """
    from contextlib import nullcontext

    from agentnet.graphs.task_graph import Limits
    from agentnet.routers.registry import load_router
    from agentnet.runtime.runtime import Runtime
    from agentnet.runtime.spec import load_spec
    from agentnet.traces.store import TraceStore

    loaded = load_spec(spec)
    task = read_task(question, context)
    limits = Limits(usd=_usd(max_usd), seconds=max_seconds)
    chosen = load_router(router) if router else None
    if chosen is not None and cost_weight is not None:
        chosen = chosen.with_options(cost_weight=cost_weight)
    graph = _graph(loaded.graph, loaded.pool, agent, chosen is not None)
    with (
        TraceStore.open(db) if db else nullcontext() as store,
        Runtime(
            loaded.pool,
            chosen,
            store=store,
            limits=limits,
            fallback=fallback,
            sandbox="unsafe" if unsafe else "strict",
        ) as runtime,
    ):
        if stream:
            result = asyncio.run(_stream(runtime, task, graph))
        else:
            result = runtime.run(task, graph=graph)
            if result.answer:
                typer.echo(result.answer)
    _footer(result)
    result.raise_for_status()


def _usd(text: str | None) -> Decimal | None:
    try:
        return None if text is None else Decimal(text)
    except InvalidOperation:
        raise InvalidInput(f"--max-usd is a number of USD; got {text!r}.") from None


def _graph(graph: TaskGraph | None, pool: Pool, agent: str | None, routed: bool) -> TaskGraph | None:
    """The graph to run: a named agent, none when a router decides, the spec's own, or the only agent."""
    from agentnet.graphs.task_graph import TaskGraph

    if agent is not None:
        return TaskGraph.of([pool[agent].name])
    if routed:
        return None
    if graph is not None:
        return graph
    if len(pool) == 1:
        return TaskGraph.of(pool.names)
    raise InvalidInput(
        f"this pool has {len(pool)} agents and no graph: give --router DIR or --agent NAME "
        f"({', '.join(pool.names)})."
    )


async def _stream(runtime: Runtime, task: Task, graph: TaskGraph | None) -> RunResult:
    from agentnet.runtime.events import NodeFinished, NodeStarted, RunFinished, Token

    result: RunResult | None = None
    said: list[str] = []
    async for event in runtime.astream(task, graph=graph):
        if isinstance(event, Token):
            said.append(event.text)
            typer.echo(event.text, nl=False)
        elif isinstance(event, NodeStarted):
            typer.secho(f"\n[{event.node}] ", fg="cyan", nl=False, err=True)
        elif isinstance(event, NodeFinished) and event.step.skipped:
            typer.secho(f"\n[{event.step.node}] skipped", fg="cyan", nl=False, err=True)
        elif isinstance(event, RunFinished):
            result = event.result
    assert result is not None, "a stream always ends with its result"
    if said:
        typer.echo()
    if result.answer and "".join(said).strip() != result.answer.strip():
        # Several agents, or an answer that is only a part of what was said: say what stands.
        typer.secho("[answer] ", fg="cyan", nl=False, err=True)
        typer.echo(result.answer)
    return result


def _footer(result: RunResult) -> None:
    agents = " + ".join(step.agent for step in result.steps if not step.skipped) or "nobody"
    cost = "cost unknown" if result.cost is None else f"${result.cost}"
    tokens = "tokens unknown" if result.tokens is None else f"{result.tokens} tokens"
    parts = (
        agents,
        f"{result.calls} calls",
        tokens,
        cost,
        f"{result.latency_s:.2f} s",
        f"run {result.run_id}",
    )
    typer.secho(" · ".join(parts), dim=True, err=True)


def demo(
    tasks: Annotated[
        int | None, typer.Option("--tasks", min=1, help="New tasks to solve live; default: a run of minutes.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for traces, router and report.")] = Path(
        "demo-out"
    ),
    seed: Annotated[int, typer.Option("--seed", help="Which new tasks are drawn.")] = 0,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Record the training traces anew, not the shipped ones.")
    ] = False,
    train_tasks: Annotated[
        int | None,
        typer.Option("--train-tasks", min=0, help="Training tasks to run now, on top of shipped traces."),
    ] = None,
    router: Annotated[str, typer.Option("--router", help="Router to train on the traces.")] = "knn",
) -> None:
    """Run the whole circle on a real language model on this CPU: run, record, learn, compare.

    Example: agentnet demo --tasks 40 --seed 7
    """
    from agentnet.demo.circle import run_demo

    run_demo(tasks=tasks, out=out, seed=seed, fresh=fresh, train_tasks=train_tasks, router=router)
