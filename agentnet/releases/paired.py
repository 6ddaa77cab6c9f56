"""Paired runs: tasks on which both routers' choices are run and scored, the strongest evidence there is."""

from __future__ import annotations

import asyncio
import math
import uuid
from collections.abc import Iterable, Mapping
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
from sqlalchemy import Engine, Text, cast, select

from agentnet.errors import InvalidInput
from agentnet.graphs.task import Task
from agentnet.graphs.task_graph import TaskGraph
from agentnet.releases.evidence import Pairs
from agentnet.routers.base import Router
from agentnet.runtime.result import RunResult
from agentnet.runtime.runtime import Runtime
from agentnet.runtime.sync import run_sync
from agentnet.traces.models import OutcomeRow, RunRow
from agentnet.traces.scores import merge_judgements
from agentnet.traces.store import TraceStore

PAIR = "pair"
"""Tag of a paired run: ``{"id", "old", "new", "arm"}``; arm ``"both"`` is a plan that both chose."""


async def arun_pairs(
    runtime: Runtime, tasks: Iterable[Task | str], *, old: Router, new: Router, concurrency: int | None = None
) -> list[RunResult]:
    """Runs for each task what both routers choose; where they choose the same, once.

    The runs are recorded as any others, with a tag; once they are scored, `read_pairs` compares them. It
    costs up to twice a run a task: choose a share of the traffic, and a limit. Tasks on which one of them
    abstains are left out.

    Args:
        runtime: Runs the plans; its store keeps them.
        tasks: What both are asked.
        old: What serves.
        new: The candidate.
        concurrency: Runs at once.

    Raises:
        InvalidInput: the runtime has no store.
    """
    if runtime.store is None:
        raise InvalidInput("paired runs are compared from their traces: pass Runtime(store=...).")
    asked = [Task.of(task) for task in tasks]
    plans = [[d.graph for d in router.route_batch(asked, runtime.pool)] for router in (old, new)]
    slots = asyncio.Semaphore(concurrency or runtime.concurrency)

    async def run(task: Task, graph: TaskGraph, tag: Mapping[str, Any]) -> RunResult:
        async with slots:
            return await runtime.arun(task, graph, tags={PAIR: tag})

    waiting = []
    for task, first, second in zip(asked, *plans, strict=True):
        if first is None or second is None:
            continue  # an abstention has no answer that could be scored
        pair = {"id": uuid.uuid4().hex, "old": old.version, "new": new.version}
        arms = {"both": first} if first == second else {"old": first, "new": second}
        waiting += [run(task, graph, {**pair, "arm": arm}) for arm, graph in arms.items()]
    return list(await asyncio.gather(*waiting))


def run_pairs(
    runtime: Runtime, tasks: Iterable[Task | str], *, old: Router, new: Router, concurrency: int | None = None
) -> list[RunResult]:
    """Does as `arun_pairs`, blocking."""
    return run_sync(arun_pairs(runtime, tasks, old=old, new=new, concurrency=concurrency))


def read_pairs(store: TraceStore, *, old: str, new: str) -> Pairs | None:
    """Returns the paired runs of two versions that are scored; None where there are none.

    A pair counts only when both of its runs are scored: one that failed has no score, unless somebody judged
    the failure, as they should (score 0), or the pairs left would flatter the router that fails.

    Args:
        store: The traces.
        old: Id of the serving version.
        new: Id of the candidate.
    """
    found: dict[str, dict[str, tuple[float, float]]] = {}
    labels: dict[str, str] = {}
    for run_id, tags, label, cost, score in store.read(_scored_pairs):
        pair = tags[PAIR]
        if (pair.get("old"), pair.get("new")) != (old, new) or math.isnan(score):
            continue
        arms = ("old", "new") if pair.get("arm") == "both" else (str(pair.get("arm")),)
        for arm in arms:
            found.setdefault(str(pair.get("id", run_id)), {})[arm] = (score, cost)
        labels[str(pair.get("id", run_id))] = label or ""
    whole = {key: arms for key, arms in found.items() if {"old", "new"} <= set(arms)}
    if not whole:
        return None
    columns = {
        arm: np.array([arms[arm] for arms in whole.values()], np.float64).reshape(-1, 2)
        for arm in ("old", "new")
    }
    slices = tuple(labels[key] for key in whole)
    return Pairs(
        new=columns["new"][:, 0],
        old=columns["old"][:, 0],
        new_cost=columns["new"][:, 1],
        old_cost=columns["old"][:, 1],
        slices=slices if any(slices) else (),
    )


def _scored_pairs(engine: Engine) -> list[tuple[str, Mapping[str, Any], str | None, float, float]]:
    """Paired runs with their cost and merged score; NaN unknown."""
    run, judged = RunRow, OutcomeRow
    query = (
        select(
            run.run_id, run.tags, run.task_label, run.cost_usd,
            judged.step_seq, judged.judge, judged.judged_at, judged.score, judged.weight,
        )
        .outerjoin(judged, judged.run_id == run.run_id)
        .where(cast(run.tags, Text).like(f'%"{PAIR}"%'))
        .order_by(run.run_id)
    )  # fmt: skip
    found = []
    with engine.connect() as connection:
        for run_id, group in groupby(connection.execute(query), key=itemgetter(0)):
            rows = list(group)
            _, tags, label, cost = rows[0][:4]
            if not isinstance(tags.get(PAIR), Mapping):
                continue
            score, _ = merge_judgements((tuple(row[4:]) for row in rows), alone=False)
            found.append((run_id, tags, label, math.nan if cost is None else float(cost), score))
    return found
