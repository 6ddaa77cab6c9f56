"""Step (a) of the demo: run the whole pool on tasks, judge every answer, log every trace."""

from __future__ import annotations

import time
from collections.abc import Sequence
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np

from agentnet.demo.tasks import DemoTask, Verifier
from agentnet.errors import DataError
from agentnet.graphs import builders
from agentnet.graphs.pool import Pool
from agentnet.outcomes.join import concat
from agentnet.outcomes.packs import load_outcomes
from agentnet.outcomes.table import Outcomes, Queries
from agentnet.runtime.result import RunResult
from agentnet.runtime.runtime import Runtime
from agentnet.traces.export import import_pack, to_outcomes
from agentnet.traces.records import OutcomeRecord
from agentnet.traces.store import TraceStore

JUDGE = "verifier:reasoning-gym"
TRAINING = "demo-train"
"""Prefix of the batches that routers are trained from."""


def judge(store: TraceStore, result: RunResult, item: DemoTask, verifier: Verifier) -> list[float]:
    """Scores a run's answer and each of its steps, stores the judgements, and returns the steps' scores."""
    now = time.time()
    scores = [verifier.score(item, step.answer if step.answered else None) for step in result.steps]
    store.write(
        OutcomeRecord(
            run_id=result.run_id, score=verifier.score(item, result.answer), judge=JUDGE, judged_at=now
        ),
        *(
            OutcomeRecord(run_id=result.run_id, step_seq=i, score=score, judge=JUDGE, judged_at=now)
            for i, score in enumerate(scores)
        ),
    )
    return scores


async def record_pool(
    runtime: Runtime,
    store: TraceStore,
    tasks: Sequence[DemoTask],
    verifier: Verifier,
    *,
    batch_id: str,
    agents: Sequence[str],
) -> int:
    """Runs all agents on every task, with a progress bar; takes a batch that was cut off up again.

    Returns:
        Tasks that were run now; the others had been finished before.
    """
    by_id = {item.task.task_id: item for item in tasks}
    graph = builders.vote(agents)
    results = await runtime.abatch(
        [item.task for item in tasks], graph, concurrency=1, batch_id=batch_id, progress=True
    )
    fresh = [result for result in results if not result.loaded]
    for result in fresh:
        judge(store, result, by_id[result.task.task_id], verifier)
    store.flush()
    return len(fresh)


def shipped_traces() -> Path | None:
    """Returns the folder of the traces that agentnet ships; None where there is none."""
    with as_file(files("agentnet.demo") / "data" / "traces") as folder:
        return folder if (folder / "queries.parquet").is_file() else None


def training_outcomes(
    store: TraceStore, pool: Pool, batch_ids: Sequence[str], *, with_shipped: bool = False
) -> Outcomes:
    """Builds the outcomes a router is trained from: shipped traces, those recorded now, worked examples.

    Args:
        store: The demo's trace store.
        pool: The agents.
        batch_ids: Batches recorded now.
        with_shipped: Whether to start from the shipped traces.

    Raises:
        DataError: there is nothing to learn from.
    """
    tables = []
    shipped = shipped_traces()
    if shipped is not None and with_shipped:
        import_pack(shipped, store)
        tables.append(load_outcomes(shipped))
    for batch_id in batch_ids:
        tables.append(to_outcomes(store, batch_id=batch_id, kind="live", runs=False))
    if not tables:
        raise DataError("there are no traces to learn from; run the demo with --fresh.")
    joined = concat([*tables, worked_examples(pool)], pool)
    # New tasks are the test: of the training tasks none is held back.
    return joined.with_split(np.full(len(joined), "train"))


def worked_examples(pool: Pool) -> Outcomes:
    """Returns the agents' own worked examples as outcomes: right for their agent, wrong for the others.

    What stands in an agent's prompt is known to be its business before anything was run.
    """
    shots = [(shot.question, agent.name) for agent in pool for shot in agent.shots]
    score = [[float(name == owner) for name in pool.names] for _, owner in shots]
    return Outcomes(
        queries=Queries(
            query_id=np.array([f"example-{i}" for i in range(len(shots))], np.str_),
            text=tuple(question for question, _ in shots),
            split=np.array(["train"] * len(shots), np.str_),
        ),
        pool=pool,
        score=np.array(score, np.float32).reshape(len(shots), len(pool)),
        cost=np.full((len(shots), len(pool)), np.nan),
        source="worked examples",
    )
