"""``agentnet demo``: the whole circle on a real language model: run, record, learn, compare, report."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agentnet.demo import table
from agentnet.demo.compare import Board, compare, systems
from agentnet.demo.record import TRAINING, record_pool, shipped_traces, training_outcomes
from agentnet.demo.report import write as write_report
from agentnet.demo.shared_answers import SharedAnswers
from agentnet.demo.specialists import GENERALIST, NEAREST_SHOTS, generalist, nearest_shots, specialists
from agentnet.demo.tasks import Verifier, make_tasks
from agentnet.demo.threshold import choose_threshold
from agentnet.graphs.pool import Pool
from agentnet.outcomes.encoders import CachedEncoder, Encoder, make_encoder
from agentnet.outcomes.table import Outcomes
from agentnet.routers.base import Router
from agentnet.routers.registry import make_router
from agentnet.runtime.embedded.engine import EmbeddedEngine
from agentnet.runtime.embedded.provider import serving
from agentnet.runtime.runtime import Runtime
from agentnet.traces.export import export_pack
from agentnet.traces.store import TraceStore

if TYPE_CHECKING:
    from rich.console import Console

BUDGET_S = 210.0
"""Seconds of live comparison in a run without ``--tasks``."""
MOST_TASKS = 40
"""New tasks of a run without ``--tasks``, if they fit into `BUDGET_S`."""
FRESH_TASKS = 150
"""Training tasks that ``--fresh`` records."""
WARM_UP_TASKS = 4
"""Training tasks that are recorded live on top of the shipped traces."""
SHIPPED_SEED = 1
BASELINE = "kmeans"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run of the demo does."""

    tasks: int
    budget_s: float | None
    train_tasks: int
    use_shipped: bool
    seed: int
    router: str
    out: Path


def run_demo(
    *,
    tasks: int | None,
    out: Path,
    seed: int = 0,
    fresh: bool = False,
    train_tasks: int | None = None,
    router: str = "knn",
    model: Path | None = None,
) -> dict[str, Any]:
    """Runs the circle and writes ``traces.db``, ``router/``, ``results.json`` and ``report.html``.

    Args:
        tasks: New tasks to solve with every system; None solves as many as fit into a few minutes.
        out: Folder for what is written; traces already there are gone on with.
        seed: Of the new tasks.
        fresh: Record all training traces now instead of starting from the shipped ones.
        train_tasks: Training tasks to record now.
        router: The router that is trained.
        model: A GGUF file; None looks for the embedded model.

    Returns:
        The content of ``results.json``.

    Raises:
        MissingDependency: a package of the ``demo`` extra is missing; nothing was run.
    """
    from rich.console import Console

    console = Console()
    verifier = Verifier()
    use_shipped = not fresh and shipped_traces() is not None
    default = WARM_UP_TASKS if use_shipped else FRESH_TASKS
    plan = Plan(
        tasks=tasks or MOST_TASKS,
        budget_s=None if tasks else BUDGET_S,
        train_tasks=default if train_tasks is None else train_tasks,
        use_shipped=use_shipped,
        seed=seed,
        router=router,
        out=out,
    )
    out.mkdir(parents=True, exist_ok=True)
    with (
        EmbeddedEngine(model) as engine,
        serving(engine),
        TraceStore.open(f"sqlite:///{out / 'traces.db'}") as store,
    ):
        return asyncio.run(_circle(plan, store, verifier, console))


async def _circle(plan: Plan, store: TraceStore, verifier: Verifier, console: Console) -> dict[str, Any]:
    from agentnet.runtime.clients.litellm_client import LiteLLMClient

    start = time.perf_counter()
    pool = specialists()
    encoder = CachedEncoder(make_encoder("minilm"))
    client = SharedAnswers(LiteLLMClient())
    everyone = Pool([*pool, generalist()])
    runtime = Runtime(
        everyone, client=client, store=store, strategies={NEAREST_SHOTS: nearest_shots(encoder)}
    )
    async with runtime:
        outcomes, source = await _training(plan, runtime, store, verifier, pool, console)
        routed, facts = _learn(plan, outcomes, pool, encoder, console)
        board = await _compare(plan, runtime, client, store, verifier, pool, routed, facts["best"], console)
    figures = table.rows(board)
    claim = table.claim(
        board,
        routed=_title(plan.router),
        single="best single agent",
        generalist="generalist, nearest examples",
    )
    seconds = time.perf_counter() - start
    results = _results(plan, board, figures, claim, facts, source, seconds)
    _write(plan, board, figures, results)
    _print(figures, claim, plan, console, seconds, client.made)
    return results


async def _training(
    plan: Plan, runtime: Runtime, store: TraceStore, verifier: Verifier, pool: Pool, console: Console
) -> tuple[Outcomes, str]:
    """(a) Runs the pool on training tasks and returns the outcomes of all traces."""
    batches: list[str] = []
    source = ""
    if plan.use_shipped:
        source = "traces that agentnet recorded and ships (`agentnet demo --fresh` makes them)"
        console.print(f"[bold]1[/] start from {source}", highlight=False)
    if plan.train_tasks:
        # The shipped traces have seed 1; what is recorded on top must be other tasks.
        seed = plan.seed + 1000 if plan.use_shipped else SHIPPED_SEED
        batch_id = f"{TRAINING}-{seed}-{plan.train_tasks}"
        items = make_tasks(plan.train_tasks, seed=seed, split="train")
        console.print(
            f"[bold]1[/] run {len(pool)} specialists on {len(items)} training tasks, live; every trace goes "
            f"to {plan.out / 'traces.db'}",
            highlight=False,
        )
        await record_pool(runtime, store, items, verifier, batch_id=batch_id, agents=pool.names)
        batches.append(batch_id)
        if not plan.use_shipped:
            # The pack that is shipped: one row per task and agent, readable by `agentnet train --data`.
            export_pack(store, plan.out / "traces", batch_id=batch_id, kind="live", runs=False)
        source = f"{source} and {len(items)} tasks run now" if source else f"{len(items)} tasks run now"
    outcomes = await asyncio.to_thread(training_outcomes, store, pool, batches, with_shipped=plan.use_shipped)
    return outcomes, source


def _learn(
    plan: Plan, outcomes: Outcomes, pool: Pool, encoder: Encoder, console: Console
) -> tuple[dict[str, Router], dict[str, Any]]:
    """(b) Trains the router, and tuned kNN beside it, each with its threshold for abstaining."""
    names = list(dict.fromkeys([plan.router, BASELINE]))
    routed: dict[str, Router] = {}
    facts: dict[str, Any] = {"routers": {}}
    for name in names:
        with console.status(f"training {name} on {len(outcomes)} tasks x {len(pool)} agents"):
            make = _maker(name, encoder)
            threshold = choose_threshold(make, outcomes, seed=plan.seed)
            router = make()
            report = router.fit(outcomes, pool, seed=plan.seed)
        routed[_title(name)] = router.with_options(abstain_below=0.0)
        if name == plan.router:
            routed[f"{_title(name)}, may abstain"] = router.with_options(abstain_below=threshold)
        facts["routers"][name] = {
            "version": router.version,
            "chosen": dict(report.chosen),
            "abstain_below": threshold,
            "seconds": report.seconds,
        }
        console.print(
            f"[bold]2[/] trained {name} on {len(outcomes)} tasks and worked examples, "
            f"{report.seconds:.1f} s; "
            f"free to abstain, it would below {threshold:.2f}",
            highlight=False,
        )
    routed[f"{_title(plan.router)}, may abstain"].save(plan.out / "router")
    run = outcomes.take(~np.char.startswith(outcomes.queries.query_id, "example-"))
    means = dict(zip(pool.names, run.mean_score.tolist(), strict=True))
    facts["best"] = max(means, key=lambda agent: means[agent])
    facts["train_tasks"] = len(run)
    return routed, facts


def _maker(name: str, encoder: Encoder) -> Callable[[], Router]:
    def make() -> Router:
        router = make_router(name)
        router.use_encoder(encoder)
        return router

    return make


def _title(router: str) -> str:
    return f"routed ({'tuned kNN' if router == 'knn' else router})"


async def _compare(
    plan: Plan,
    runtime: Runtime,
    client: SharedAnswers,
    store: TraceStore,
    verifier: Verifier,
    pool: Pool,
    routed: dict[str, Router],
    best: str,
    console: Console,
) -> Board:
    """(c) Solves new tasks live with every system."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    items = make_tasks(plan.tasks, seed=plan.seed, split="test")
    of = systems(pool, routed, best=best, generalist=GENERALIST, rng=np.random.default_rng(plan.seed))
    columns = (
        TextColumn("[bold]3[/] new tasks, every system"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as bar:
        line = bar.add_task("", total=len(items))
        return await compare(
            runtime,
            client,
            store,
            items,
            of,
            verifier,
            budget_s=plan.budget_s,
            progress=lambda done, total: bar.update(line, completed=done, total=total),
        )


def _results(
    plan: Plan,
    board: Board,
    figures: list[dict[str, Any]],
    claim: dict[str, Any],
    facts: dict[str, Any],
    source: str,
    seconds: float,
) -> dict[str, Any]:
    paraphrased = sum(item.paraphrased for item in board.items)
    without = sum(not item.has_specialist for item in board.items)
    either = sum(item.paraphrased or not item.has_specialist for item in board.items)
    return {
        "schema_version": 1,
        "kind": "live",
        "command": " ".join(["agentnet", *sys.argv[1:]]),
        "model": "SmolLM2-135M-Instruct, Q4_1 GGUF, greedy, one CPU thread",
        "seed": plan.seed,
        "trained_on": source,
        "train_tasks": facts["train_tasks"],
        "routers": facts["routers"],
        "best_single_agent": facts["best"],
        "n": len(board.items),
        "families": sorted({item.family for item in board.items}),
        "share_paraphrased": paraphrased / len(board.items),
        "share_without_specialist": without / len(board.items),
        "share_either": either / len(board.items),
        "seconds": round(seconds, 1),
        "systems": figures,
        "claim": claim,
        "per_task": [
            {
                "system": row.system,
                "task_id": row.task_id,
                "right": row.right,
                "abstained": row.abstained,
                "agents": list(row.agents),
                "seconds": round(row.seconds, 3),
                "tokens": row.tokens,
                "calls": row.calls,
            }
            for rows in board.rows.values()
            for row in rows
        ],
    }


def _write(plan: Plan, board: Board, figures: list[dict[str, Any]], results: dict[str, Any]) -> None:
    text = json.dumps(results, indent=1, ensure_ascii=False)
    (plan.out / "results.json").write_text(text + "\n", encoding="utf-8")
    lines = [
        f"{results['n']} new tasks of {len(results['families'])} families; {results['share_either']:.0%} are "
        "paraphrased or of a family without a specialist.",
        f"Routers were trained on {results['train_tasks']} tasks: {results['trained_on']}.",
        f"Model: {results['model']}.",
    ]
    write_report(
        plan.out / "report.html",
        board=board,
        figures=figures,
        facts={"lines": lines, "claim": results["claim"], "lead": f"{results['command']} · live"},
        routed=_title(plan.router),
    )


def _print(
    figures: list[dict[str, Any]],
    claim: dict[str, Any],
    plan: Plan,
    console: Console,
    seconds: float,
    made: int,
) -> None:
    """(d) Prints the table."""
    from rich.table import Table

    shown = Table(title="new tasks, live")
    for name in table.HEAD:
        shown.add_column(name, justify="left" if name == "system" else "right")
    for row in figures:
        style = "bold" if row["system"] == _title(plan.router) else ""
        shown.add_row(*table.cells(row), style=style)
    wide = shutil.get_terminal_size().columns < 100 and not console.is_terminal
    (type(console)(width=140) if wide else console).print(shown)
    if claim["factor"] is not None:
        console.print(
            f"routed is {claim['factor']:.1f} times the best single agent and "
            f"{claim['routed'] - claim['generalist']:+.3f} over the generalist on these tasks",
            highlight=False,
        )
    console.print(
        f"{made} model calls, {seconds / 60:.1f} minutes. Look at {plan.out / 'report.html'}, or try\n"
        f"  agentnet traces stats --db sqlite:///{plan.out / 'traces.db'}\n"
        f'  agentnet route {plan.out / "router"} "How many primes are below 50?" --explain',
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
