"""Runs topologies on tasks, live, and keeps the runs as agentnet's own traces; resumable."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from agentnet.bench.topology.rollouts import Rollout, key, plan_rollouts
from agentnet.bench.topology.tasks import Item, exact
from agentnet.errors import DataError
from agentnet.graphs.builders import complete
from agentnet.graphs.pool import Pool
from agentnet.graphs.task_graph import TaskGraph
from agentnet.outcomes.splits import hash_split
from agentnet.outcomes.table import Outcomes, Queries
from agentnet.runtime.result import RunResult
from agentnet.runtime.runtime import Runtime
from agentnet.traces.export import to_outcomes
from agentnet.traces.records import OutcomeRecord
from agentnet.traces.store import TraceStore

JUDGE = "verifier:exact-match"
QUERY_ID = "query_id"
"""Tag by which the runs of one task are one query (see `agentnet.traces.export.to_outcomes`)."""
VAL_SHARE = 0.2
"""Share of the training tasks that is held out as ``val``, by a hash of the text."""
Progress = Callable[[int, int], None]
"""Called with (tasks done, all tasks)."""
_COLUMNS = ("score", "prompt_tokens", "completion_tokens", "latency_s", "propensity")
Plan = Callable[[Item], Iterable[Rollout]]
"""The rollouts of a task."""


def batch_of(pool: Pool, part: str) -> str:
    """Returns the name of the batch of a pool's runs; it changes with the pool's definition.

    Args:
        pool: The agents.
        part: ``"train"`` or ``"test"``: rollouts and comparisons never share a batch.
    """
    return f"topology-{pool.version}-{part}"


def task_id(item: Item, name: str) -> str:
    """Returns the name of one rollout of one task, by which a recording goes on where it stopped."""
    return f"{item.query_id}/{name}"


async def record(
    runtime: Runtime,
    store: TraceStore,
    items: Sequence[Item],
    *,
    random: int = 8,
    seed: int = 0,
    progress: Progress | None = None,
) -> int:
    """Runs the training rollouts (`plan_rollouts`) that the store does not hold yet.

    All rollouts of a task are run before the next task, so that what was recorded when a recording was
    cut off is complete task by task.

    Args:
        runtime: Serves the pool, with ``store``.
        store: Where the runs are.
        items: Training tasks, in the order in which they are run.
        random: Random topologies per task.
        seed: Of the random topologies.
        progress: Called after every task.

    Returns:
        Runs made now.
    """
    agents = runtime.pool.names

    def plan(item: Item) -> list[Rollout]:
        return plan_rollouts(agents, item.query_id, random=random, seed=seed)

    return await run_plan(runtime, store, items, plan, part="train", progress=progress)


async def run_plan(
    runtime: Runtime,
    store: TraceStore,
    items: Sequence[Item],
    plan: Plan,
    *,
    part: str,
    progress: Progress | None = None,
) -> int:
    """Runs a plan of rollouts on tasks and judges the answers; what the store holds is not run again.

    Returns:
        Runs made now.
    """
    made, batch = 0, batch_of(runtime.pool, part)
    known = set(store.finished(batch, statuses=("ok", "error")))
    for done, item in enumerate(items, 1):
        for rollout in plan(item):
            name = task_id(item, rollout.name)
            if name in known:
                continue
            tags: dict[str, Any] = {
                QUERY_ID: item.query_id,
                "pool": item.pool,
                "family": item.family,
                "part": part,
                "rollout": rollout.name,
            }
            if rollout.propensity is not None:
                tags["propensity"] = rollout.propensity
            task = replace(item.task(), task_id=name)
            [result] = await runtime.abatch([task], rollout.graph, concurrency=1, batch_id=batch, tags=tags)
            known.add(name)
            judge(store, result, item)
            made += 1
        if progress is not None:
            progress(done, len(items))
    store.flush()
    return made


def judge(store: TraceStore, result: RunResult, item: Item) -> float:
    """Scores a run's answer against gold, stores the judgement, and returns it; no answer scores 0."""
    score = exact(result.answer or "", item.gold)
    written: Any = OutcomeRecord(run_id=result.run_id, score=score, judge=JUDGE, judged_at=time.time())
    store.write(written)
    return score


def load_rollouts(store: TraceStore, pool: Pool, items: Sequence[Item]) -> Outcomes:
    """Returns the training rollouts of a pool, as topology learners take them.

    ``runs`` are the logged graphs with scores, tokens and steps; the matrices hold what single agents
    scored and used alone. Tasks are split into ``train`` and ``val`` by a hash of their text.

    Args:
        store: Holds the recorded runs.
        pool: The agents: only runs of this very pool count.
        items: The training tasks; other ones in the store are left out.

    Raises:
        DataError: none of the tasks was recorded.
    """
    found = to_outcomes(store, kind="live", batch_id=batch_of(pool, "train"))
    known = set(found.queries.query_id.tolist())
    rows = [item for item in items if item.query_id in known]
    if not rows:
        raise DataError(f"{store.url} holds no rollouts of these tasks and this pool; record some first.")
    where = {item.query_id: row for row, item in enumerate(rows)}
    runs = tuple(
        replace(run, propensity=_propensity(run.graph, pool), router="logged")
        for run in found.runs
        if run.query_id in where
    )
    matrices = {name: np.full((len(rows), len(pool)), np.nan) for name in _COLUMNS}
    response = np.full((len(rows), len(pool)), None, object)
    for run in runs:
        if len(run.graph.nodes) > 1 or not run.steps:
            continue
        step, at = run.steps[0], (where[run.query_id], pool.index(run.graph.agents[0]))
        values = (run.score, step.prompt_tokens, step.completion_tokens, run.latency_s, 1.0)
        for name, value in zip(_COLUMNS, values, strict=True):
            matrices[name][at] = np.nan if value is None else value
        response[at] = step.answer
    texts = tuple(item.text for item in rows)
    queries = Queries(
        query_id=np.array([item.query_id for item in rows], np.str_),
        text=texts,
        split=hash_split(texts, val=VAL_SHARE, test=0.0),
        task=tuple(item.family for item in rows),
        gold=tuple(item.gold for item in rows),
        metric=("exact_match",) * len(rows),
    )
    return Outcomes(
        queries=queries,
        pool=pool,
        cost=np.full((len(rows), len(pool)), np.nan),
        response=response,
        runs=runs,
        source=f"{store.url} (live)",
        prompt_tokens=matrices["prompt_tokens"],
        completion_tokens=matrices["completion_tokens"],
        score=matrices["score"].astype(np.float32),
        latency_s=matrices["latency_s"].astype(np.float32),
        propensity=matrices["propensity"].astype(np.float32),
    )


def _propensity(graph: TaskGraph, pool: Pool) -> float | None:
    """1 for what is run on every task; the chance of a drawn topology is not known."""
    always = len(graph.nodes) == 1 or key(graph) == key(complete(pool.names))
    return 1.0 if always else None
