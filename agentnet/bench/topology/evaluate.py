"""Runs chosen topologies on test tasks, live, and measures them: score, tokens, calls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentnet.bench.topology.pools import SAMPLER, THINKER, make_pool, thinkers
from agentnet.bench.topology.record import Progress, batch_of, run_plan, task_id
from agentnet.bench.topology.rollouts import Rollout
from agentnet.bench.topology.tasks import Item, exact
from agentnet.errors import DataError, InvalidInput
from agentnet.graphs.builders import chain, complete, single, star
from agentnet.graphs.pool import Pool
from agentnet.graphs.task_graph import TaskGraph
from agentnet.runtime.runtime import Runtime
from agentnet.traces.records import RunRecord
from agentnet.traces.store import TraceStore

TEST = "test"
"""Part of a recording that holds comparisons (see `agentnet.bench.topology.record.batch_of`)."""
_AT_ONCE = 200
"""Runs read from the store at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What one method did on n tasks, row by row.

    Attributes:
        query_id: [n] the tasks.
        score: [n] 1 where the answer is right.
        prompt_tokens: [n] of all calls of a run; NaN unknown.
        completion_tokens: [n] of all calls of a run; NaN unknown.
        calls: [n] model calls.
        agents: [n] agents of the graph.
        answer: The answers.
    """

    query_id: tuple[str, ...]
    score: NDArray[np.float64]
    prompt_tokens: NDArray[np.float64]
    completion_tokens: NDArray[np.float64]
    calls: NDArray[np.intp]
    agents: NDArray[np.intp]
    answer: tuple[str, ...]

    @property
    def tokens(self) -> NDArray[np.float64]:
        """[n] prompt and completion tokens together."""
        return self.prompt_tokens + self.completion_tokens


def missing(store: TraceStore, pool: Pool, items: Sequence[Item], graphs: Sequence[TaskGraph]) -> int:
    """Returns how many of the runs (graph i on item i) the store does not hold yet."""
    known = _known(store, pool)
    return sum(_name(item, graph) not in known for item, graph in _pairs(items, graphs))


async def arun_graphs(
    runtime: Runtime,
    store: TraceStore,
    items: Sequence[Item],
    graphs: Sequence[TaskGraph],
    *,
    progress: Progress | None = None,
) -> Measured:
    """Runs graph i on item i, live, and measures; equal graphs on equal tasks are run once for all methods.

    Args:
        runtime: Serves the pool, with ``store``.
        store: Where the runs are kept; what it holds is not run again.
        items: The tasks.
        graphs: A graph for each task, or one for all.
        progress: Called after every task.

    Raises:
        InvalidInput: there are not as many graphs as items.
    """
    wanted = {item.query_id: graph for item, graph in _pairs(items, graphs)}

    def plan(item: Item) -> list[Rollout]:
        graph = wanted[item.query_id]
        return [Rollout(graph.fingerprint, graph)]

    await run_plan(runtime, store, items, plan, part=TEST, progress=progress)
    return measured(store, runtime.pool, items, graphs)


def measured(store: TraceStore, pool: Pool, items: Sequence[Item], graphs: Sequence[TaskGraph]) -> Measured:
    """Returns what the store holds of graph i on item i.

    Raises:
        DataError: a run is missing.
        InvalidInput: there are not as many graphs as items.
    """
    known = _known(store, pool)
    pairs = list(_pairs(items, graphs))
    names = [_name(item, graph) for item, graph in pairs]
    if absent := [name for name in names if name not in known]:
        raise DataError(
            f"{store.url} lacks {len(absent)} of {len(names)} runs, such as {absent[0]!r}; run them first."
        )
    ids = [known[name] for name in names]
    runs: dict[str, RunRecord] = {}
    for at in range(0, len(ids), _AT_ONCE):
        found = store.traces(list(dict.fromkeys(ids[at : at + _AT_ONCE])))
        runs |= {trace.run.run_id: trace.run for trace in found}
    rows = [runs[run_id] for run_id in ids]
    answers = tuple(row.answer or "" for row in rows)
    return Measured(
        query_id=tuple(item.query_id for item in items),
        score=np.array([exact(text, item.gold) for text, item in zip(answers, items, strict=True)]),
        prompt_tokens=_floats([row.prompt_tokens for row in rows]),
        completion_tokens=_floats([row.completion_tokens for row in rows]),
        calls=np.array([row.calls for row in rows], np.intp),
        agents=np.array([len(graph.nodes) for _, graph in pairs], np.intp),
        answer=answers,
    )


def baselines(pool: str, samples: Sequence[int]) -> Mapping[str, tuple[Pool, TaskGraph]]:
    """Returns the fixed methods by label, each with the pool it needs and its graph.

    Every single agent; chain, star (all at once, then a vote) and complete DAG over all agents in the
    pool's order; one chain of thought; self-consistency of so many samples.

    >>> list(baselines("strings", [3]))[4:]
    ['chain', 'star', 'complete', 'chain_of_thought', 'self_consistency_3']
    """
    agents, others = make_pool(pool), thinkers(pool, samples)
    table = {name: (agents, single(name)) for name in agents.names}
    table |= {
        "chain": (agents, chain(agents.names)),
        "star": (agents, star(agents.names)),
        "complete": (agents, complete(agents.names)),
    }
    names = [THINKER, *(f"{SAMPLER}_{n}" for n in dict.fromkeys(samples))]
    return table | {name: (others_of(others, name), single(name)) for name in names}


def others_of(pool: Pool, name: str) -> Pool:
    """Returns a pool of one agent, so that its runs stay valid whatever else is compared."""
    return Pool([pool[name]])


def equal_samples(complete_tokens: float, thought_tokens: float) -> int:
    """Returns how many chains of thought the complete graph's tokens pay for, at least 1.

    >>> equal_samples(1300, 380)
    3
    """
    return max(1, int(complete_tokens // thought_tokens))


def _known(store: TraceStore, pool: Pool) -> dict[str, str]:
    return store.finished(batch_of(pool, TEST), statuses=("ok", "error"))


def _name(item: Item, graph: TaskGraph) -> str:
    return task_id(item, graph.fingerprint)


def _pairs(items: Sequence[Item], graphs: Sequence[TaskGraph]) -> Iterator[tuple[Item, TaskGraph]]:
    many = list(graphs) * len(items) if len(graphs) == 1 else list(graphs)
    if len(many) != len(items):
        raise InvalidInput(f"{len(items)} items need as many graphs, or one for all; got {len(graphs)}.")
    return zip(items, many, strict=True)


def _floats(values: Sequence[int | None]) -> NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in values], np.float64)
