"""Traces to outcomes and packs, and back: a user's logs and recorded packs are the same thing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, nullcontext
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import numpy as np

from agentnet.errors import StoreError
from agentnet.outcomes.packs import load_outcomes, save_pack
from agentnet.outcomes.table import LoggedRun, Outcomes
from agentnet.traces.collect import LOGGED_GRAPH, collect
from agentnet.traces.reader import RunFilter
from agentnet.traces.records import DecisionRecord, OutcomeRecord, Record, RunRecord, StepRecord
from agentnet.traces.store import TraceStore

_AT_ONCE = 5_000  # records written before waiting for the database


def to_outcomes(source: TraceStore | str | Path, *, runs: bool = True, **where: Any) -> Outcomes:
    """Builds the outcomes of all finished runs of a store.

    A query is a task: runs with equal text, context and history are the same query (or runs whose tag
    ``query_id`` is equal, as imported packs have it). Per query and agent:

    * ``score``: the weighted mean of the judgements of the agent's steps. A judgement of a whole run counts
      for the agent if it alone ran, once. Of several judgements of the same step by the same judge only the
      latest counts. ``weight`` is their mean weight. Not judged is NaN.
    * ``cost``, ``latency_s`` and tokens: means of what is known; NaN where nothing is.
    * ``propensity``: the probability with which this agent was run, by the first decision of the run: its
      propensity where the graph holds this agent alone, 1 for what a deterministic router runs in any case,
      the decision's ``scores[agent]["propensity"]`` where the router gave one. Else, such as behind a stop
      condition or for one of several sampled agents, it is NaN.
    * ``split``: as recorded, else by a hash of the text.

    Args:
        source: A store, or the address of an existing database.
        runs: Whether to add each run with its graph, for learners of topologies.
        **where: Fields of `RunFilter`. Live, replayed and simulated runs are never mixed: without ``kind``
            it is the live ones where there are any, else the replayed, else the simulated.

    Raises:
        StoreError: there is no such database.
        DataError: there are no runs to learn from.
    """
    own = not isinstance(source, TraceStore)
    store = source if isinstance(source, TraceStore) else TraceStore.open(source, create=False)
    with closing(store) if own else nullcontext():
        return store.read(lambda engine: collect(engine, RunFilter(**where), store.url, logged=runs))


def export_pack(store: TraceStore | str | Path, folder: str | Path, **where: Any) -> Outcomes:
    """Writes the outcomes of a store as a pack, which `agentnet.load_outcomes` reads.

    Args:
        store: A store, or the address of an existing database.
        folder: Where to; made if missing.
        **where: As for `to_outcomes`.

    Returns:
        What was written.
    """
    outcomes = to_outcomes(store, **where)
    save_pack(outcomes, folder)
    return outcomes


def import_pack(folder: str | Path, store: TraceStore) -> int:
    """Writes a pack into a store, so that `to_outcomes` gives its outcomes back.

    Each query becomes one run, of kind ``"replayed"``, in which every agent with an outcome is a step.
    Importing the same pack again changes nothing. The store must capture content in full, for routers learn
    from the texts.

    Args:
        folder: The pack.
        store: Where to.

    Returns:
        How many runs were written.
    """
    if store.capture == "off":
        raise StoreError("a pack cannot be imported with content capture off: its texts are the data.")
    outcomes = load_outcomes(folder)
    name = Path(folder).resolve().name
    # The pack's own time makes importing it twice write the same rows.
    when = (Path(folder) / "queries.parquet").stat().st_mtime
    waiting: list[Record] = []
    written = 0
    for records in _records(outcomes, name, when):
        written += 1
        waiting += records
        if len(waiting) >= _AT_ONCE:
            store.write(*waiting)
            store.flush()
            waiting = []
    store.write(*waiting)
    store.flush()
    return written


def _records(outcomes: Outcomes, name: str, when: float) -> Iterator[list[Record]]:
    queries = outcomes.queries
    agents = tuple(outcomes.pool.to_list())
    cells = _Cells(outcomes)
    runs: dict[str, RunRecord] = {}
    for i, query_id in enumerate(queries.query_id.tolist()):
        run = RunRecord(
            run_id=_run_id(name, query_id),
            started_at=when + i * 1e-6,  # keeps the order
            ended_at=when + i * 1e-6,
            status="ok",
            task_text=queries.text[i],
            task_context=queries.context[i],
            task_history=tuple(turn.to_dict() for turn in queries.history[i]),
            task_id=query_id,
            batch_id=f"import:{name}",
            pool_version=outcomes.pool.version,
            pool=agents,
            kind="replayed",
            tags={"query_id": query_id},
            gold=queries.gold[i],
            metric=queries.metric[i] or None,
            task_label=queries.task[i] or None,
            split=str(queries.split[i]),
        )
        runs[query_id] = run
        yield [run, *cells.records(i, run, name)]
    for i, logged in enumerate(outcomes.runs):
        yield list(_logged(logged, runs[logged.query_id], name, i))


def _run_id(*parts: str) -> str:
    return uuid5(NAMESPACE_URL, "\0".join(("agentnet-pack", *parts))).hex


class _Cells:
    """A row of the matrices as steps and judgements."""

    def __init__(self, outcomes: Outcomes) -> None:
        self._outcomes = outcomes
        known = ~np.isnan(outcomes.score) | ~np.isnan(outcomes.cost) | ~np.isnan(outcomes.latency_s)
        known |= ~np.isnan(outcomes.prompt_tokens) | ~np.isnan(outcomes.propensity)
        if outcomes.response is not None:
            known |= outcomes.response != None  # noqa: E711 - elementwise
        # Labels follow from gold and need no rows: there may be as many agents as labels.
        self._known = known & (outcomes.kind != "label")

    def records(self, i: int, run: RunRecord, name: str) -> Iterator[Record]:
        table = self._outcomes
        columns = np.flatnonzero(self._known[i]).tolist()
        sure = {table.agents[j]: p for j in columns if (p := _number(table.propensity[i, j])) is not None}
        if sure:
            yield DecisionRecord(
                run_id=run.run_id,
                router="import",
                router_version=name,
                candidates=table.agents,
                scores={agent: {"propensity": propensity} for agent, propensity in sure.items()},
            )
        for seq, j in enumerate(columns):
            score = _number(table.score[i, j])
            cost = _number(table.cost[i, j])
            yield StepRecord(
                run_id=run.run_id,
                seq=seq,
                node=table.agents[j],
                agent=table.agents[j],
                strategy="recorded",
                answer=None if table.response is None else table.response[i, j],
                prompt_tokens=_whole(table.prompt_tokens[i, j]),
                completion_tokens=_whole(table.completion_tokens[i, j]),
                calls=1,
                cost_usd=None if cost is None else Decimal(repr(cost)),
                cost_source=f"pack:{name}",
                latency_s=_number(table.latency_s[i, j]),
            )
            if score is not None:
                yield OutcomeRecord(
                    run_id=run.run_id,
                    step_seq=seq,
                    score=score,
                    judge=f"pack:{name}",
                    judged_at=run.started_at,
                    weight=float(table.weight[i, j]),
                )


def _logged(logged: LoggedRun, run: RunRecord, name: str, number: int) -> Iterator[Record]:
    """A logged run of a whole graph; it stands beside the matrices and adds nothing to them."""
    run_id = _run_id(name, "run", str(number))
    yield replace(
        run,
        run_id=run_id,
        task_id=None,
        cost_usd=None if logged.cost_usd is None else Decimal(repr(logged.cost_usd)),
        prompt_tokens=logged.tokens,
        latency_s=logged.latency_s,
        tags={**run.tags, LOGGED_GRAPH: True},
    )
    yield DecisionRecord(
        run_id=run_id,
        router=logged.router or "",
        graph=logged.graph.to_dict(),
        candidates=logged.graph.agents,
        propensity=logged.propensity,
    )
    for seq, step in enumerate(logged.steps):
        yield StepRecord(
            run_id=run_id,
            seq=seq,
            round=step.round,
            node=step.node,
            agent=step.agent,
            backend=step.backend,
            answer=step.answer,
            score=step.score,
            skipped=step.skipped,
            error=step.error,
            prompt_tokens=step.prompt_tokens,
            completion_tokens=step.completion_tokens,
            cached_tokens=step.cached_tokens,
            calls=step.calls,
            cost_usd=step.cost,
            latency_s=step.latency_s,
        )
    if logged.score is not None:
        yield OutcomeRecord(run_id=run_id, score=logged.score, judge=f"pack:{name}", judged_at=run.started_at)


def _number(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)


def _whole(value: Any) -> int | None:
    return None if np.isnan(value) else round(float(value))
