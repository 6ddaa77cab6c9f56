"""Asks every agent every question, live, and keeps the runs as agentnet's own traces; resumable."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agentnet.bench.kgqa.passages import cut, parse
from agentnet.errors import DataError
from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Task
from agentnet.graphs.task_graph import TaskGraph
from agentnet.learning.scoring.metrics import token_f1
from agentnet.outcomes.packs import load_queries
from agentnet.runtime.result import RunResult
from agentnet.runtime.runtime import Runtime
from agentnet.traces.records import OutcomeRecord
from agentnet.traces.store import TraceStore

JUDGE = "verifier:token-f1"
QUERY_ID = "query_id"
"""Tag by which the runs of one question are one query (see `agentnet.traces.export.to_outcomes`)."""
ORDER_SEED = 4
"""Of the order in which questions are asked."""
Progress = Callable[[int, int], None]
"""Called with (questions done, all questions)."""


@dataclass(frozen=True, slots=True)
class Item:
    """A question of the pack with what is known of it."""

    query_id: str
    question: str
    context: str
    gold: str
    dataset: str
    split: str

    def task(self) -> Task:
        """Returns what the agents are given: the question and the passages that bear on it."""
        found = cut(self.question, parse(self.context))
        return Task(self.question, context="\n".join(map(str, found)), task_id=self.query_id)


def load_items(folder: str | Path) -> list[Item]:
    """Returns the questions of a pack that have a gold answer, in the order in which they are asked.

    The data sets alternate in proportion and the order within each is a fixed shuffle: what was recorded
    when a recording was cut off is a fair sample of the whole.

    Raises:
        DataError: no question has both gold and context.
    """
    queries = load_queries(folder)
    rows = [
        Item(str(query_id), text, context, gold, dataset, str(split))
        for query_id, text, context, gold, dataset, split in zip(
            queries.query_id, queries.text, queries.context, queries.gold, queries.task, queries.split,
            strict=True,
        )
        if gold and context
    ]  # fmt: skip
    if not rows:
        raise DataError(f"{folder} has no question with passages and a gold answer.")
    return interleave(rows)


def interleave(items: Sequence[Item]) -> list[Item]:
    """Returns the items shuffled within each data set, and the data sets in proportion."""
    rng = np.random.default_rng(ORDER_SEED)
    placed: list[tuple[float, str, Item]] = []
    for dataset in sorted({item.dataset for item in items}):
        group = sorted((item for item in items if item.dataset == dataset), key=lambda item: item.query_id)
        order = rng.permutation(len(group)).tolist()
        placed += [((k + 0.5) / len(group), dataset, group[at]) for k, at in enumerate(order)]
    return [item for _, _, item in sorted(placed, key=lambda entry: entry[:2])]


def batch_of(pool: Pool, agent: str) -> str:
    """Returns the name of the batch in which an agent's runs are kept; it changes with the pool."""
    return f"kgqa-{pool.version}-{agent}"


def recorded(store: TraceStore, pool: Pool) -> dict[str, set[str]]:
    """Returns, by agent, the questions that need not be asked again."""
    return {name: set(store.finished(batch_of(pool, name))) for name in pool.names}


async def record(
    runtime: Runtime, store: TraceStore, items: Sequence[Item], *, progress: Progress | None = None
) -> int:
    """Runs every agent on every question that the store does not hold yet, one run each.

    All agents answer a question before the next one is asked, so that the engine reads its passages once.

    Returns:
        Runs made now.
    """
    pool = runtime.pool
    known = recorded(store, pool)
    graphs = {name: TaskGraph.of([name]) for name in pool.names}
    made = 0
    for done, item in enumerate(items):
        missing = [name for name in pool.names if item.query_id not in known[name]]
        task = item.task() if missing else None
        for name in missing:
            assert task is not None
            [result] = await runtime.abatch(
                [task],
                graphs[name],
                concurrency=1,
                batch_id=batch_of(pool, name),
                tags={QUERY_ID: item.query_id, "dataset": item.dataset},
            )
            if not result.loaded:
                judge(store, result, item)
                made += 1
        if progress is not None:
            progress(done + 1, len(items))
    store.flush()
    return made


def judge(store: TraceStore, result: RunResult, item: Item) -> float:
    """Scores a run's answer against gold, stores the judgement, and returns it; no answer scores 0."""
    score = token_f1(result.answer or "", item.gold)
    written: Any = OutcomeRecord(run_id=result.run_id, score=score, judge=JUDGE, judged_at=time.time())
    store.write(written)
    return score
