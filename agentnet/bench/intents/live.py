"""Refined answers against plain concatenation and the best single agent, live on the embedded model.

    python -m agentnet.bench.intents.live --out DIR [--model FILE] [--split train|test] [--router]

Every query joins two requests of different kinds; the chosen agents are the true pair, or what a router
fitted on single requests chooses. One live run a query: the agents, then the editor. All arms are read from
its trace, so that they share the agents' answers; a measurement that was cut off goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.bench.intents.live_pool import AGENT_OF, Layout, live_graph, live_pool
from agentnet.bench.intents.live_tasks import (
    SPLITS,
    Joined,
    make_joined,
    make_single,
    score,
    tokens_of,
)
from agentnet.bench.metrics import bootstrap_ci
from agentnet.errors import DataError
from agentnet.graphs.pool import Pool
from agentnet.graphs.semantics import aggregate_plain
from agentnet.graphs.task import Task
from agentnet.graphs.task_graph import Aggregation, TaskGraph
from agentnet.outcomes.table import Outcomes, Queries
from agentnet.runtime.aggregate import REFINE_NODE
from agentnet.runtime.runtime import Runtime
from agentnet.runtime.sync import run_sync
from agentnet.traces.reader import RunTrace
from agentnet.traces.records import OutcomeRecord, StepRecord, step_of
from agentnet.traces.store import TraceStore

QUERIES = 112
"""Joined queries of a split: every pair of kinds eight times."""
ARMS = ("single", "concat", "merger", "refined")
"""The best single chosen agent (by the score: a favour to it); concatenation; the merging model's text as it
is; the refined answer, that is with parts kept where the model drops one."""
PAIRS = (("refined", "single"), ("refined", "concat"), ("merger", "single"), ("merger", "concat"))
JUDGE = "verifier:joined-parts"
MEASURES = ("mean", "both", "both_clean")
"""Share of right parts; both right; both right and neither contradicted (see `live_tasks.score`)."""
SINGLES = 240
"""Single requests that the router is fitted on, thirty of each kind."""
SLOTS = 11
Sets = Mapping[str, Sequence[str]]
"""The kinds chosen for each query, by query id; an empty choice is an abstention."""


def true_sets(items: Sequence[Joined]) -> dict[str, list[str]]:
    """Returns the kinds that the queries join."""
    return {item.query_id: [part.kind for part in item.parts] for item in items}


def routed_sets(items: Sequence[Joined], *, singles: int = SINGLES, seed: int = 0) -> dict[str, list[str]]:
    """Returns the kinds that `tcar` chooses after a fit on single requests; at most two.

    Abstention is off: all queries are in scope, and a text that joins two requests is unfamiliar to a router
    that has seen single ones, so that it would turn most of them away. A set that is the true pair has the
    pair's order, so that its run is shared with the arms of the true pair.

    Args:
        items: The joined queries; it has seen no joined one.
        singles: Single requests of the training words that it is fitted on.
        seed: Of the fit.
    """
    from agentnet.routers.registry import make_router

    pool = live_pool()
    agents = pool.subset(list(AGENT_OF.values()))
    made = make_single("train", singles)
    queries = Queries(
        query_id=np.array([f"single-{i}" for i in range(len(made))]),
        text=tuple(part.text for part in made),
        split=np.array(["val" if i // len(AGENT_OF) % 5 == 0 else "train" for i in range(len(made))]),
        gold=tuple(AGENT_OF[part.kind] for part in made),
        metric=("label",) * len(made),
    )
    router = make_router("tcar", max_agents=2)
    router.fit(Outcomes.from_labels(queries, agents), agents, seed=seed)
    kind_of = {agent: kind for kind, agent in AGENT_OF.items()}
    decisions = router.with_options(abstain_below=0.0).route_batch([Task(i.text) for i in items], agents)
    true = true_sets(items)
    found: dict[str, list[str]] = {}
    for item, decision in zip(items, decisions, strict=True):
        kinds, pair = [kind_of[name] for name in decision.agents], true[item.query_id]
        found[item.query_id] = pair if set(kinds) == set(pair) else kinds
    return found


def run_live(
    out: str | Path,
    *,
    model: str | Path | None = None,
    split: str = "test",
    n: int = QUERIES,
    sets: Sets | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Runs what is missing and measures.

    Args:
        out: Folder of the trace store; made if missing, gone on with if not.
        model: A GGUF file; None looks for the embedded model, and only where something must be run.
        split: ``"train"`` (to shape prompts on) or ``"test"``.
        n: Joined queries.
        sets: Kinds chosen for each query; None is the true pair.
        say: Called with lines on the progress.

    Returns:
        JSON values: ``arms`` (by arm and measure: value and 95% bootstrap interval, tokens, calls, seconds),
        ``differences`` (paired, with intervals), ``agents`` (share of right answers by kind), ``merger_kept``
        (share of queries both right after merging where both agents were right) and the setting.
    """
    folder, pool, items = Path(out), live_pool(), make_joined(split, n)
    chosen = sets or true_sets(items)
    folder.mkdir(parents=True, exist_ok=True)
    with TraceStore.open(f"sqlite:///{folder / 'traces.db'}") as store:
        graphs = {item.query_id: live_graph(chosen[item.query_id]) for item in items if chosen[item.query_id]}
        known = _known(store, pool)
        todo = [item for item in items if item.query_id in graphs]
        todo = [item for item in todo if _name(item, graphs[item.query_id]) not in known]
        if todo:
            run_sync(_run(store, pool, todo, graphs, model, say))
        return _measured(store, pool, items, chosen, graphs, split)


async def _run(
    store: TraceStore,
    pool: Pool,
    todo: Sequence[Joined],
    graphs: Mapping[str, TaskGraph],
    model: str | Path | None,
    say: Callable[[str], None],
) -> None:
    began = time.perf_counter()
    async with _serving(pool, store, model) as runtime:
        for done, item in enumerate(todo, 1):
            graph = graphs[item.query_id]
            task = Task(item.text, task_id=_name(item, graph))
            [result] = await runtime.abatch(
                [task], graph, concurrency=1, batch_id=_batch(pool), tags={"query_id": item.query_id}
            )
            worth = score(result.answer or "", item).mean
            judged = OutcomeRecord(run_id=result.run_id, score=worth, judge=JUDGE, judged_at=time.time())
            store.write(judged)
            if done % 10 == 0 or done == len(todo):
                say(f"{done}/{len(todo)} queries, {(time.perf_counter() - began) / done:.2f} s each")
    store.flush()


@asynccontextmanager
async def _serving(pool: Pool, store: TraceStore, model: str | Path | None) -> AsyncIterator[Runtime]:
    from agentnet.runtime.clients.litellm_client import LiteLLMClient
    from agentnet.runtime.embedded.engine import EmbeddedEngine
    from agentnet.runtime.embedded.provider import serving

    with EmbeddedEngine(model, slots=SLOTS) as engine, serving(engine, layout=Layout()):
        client = LiteLLMClient(backends=lambda: pool.backends)
        async with Runtime(pool, client=client, store=store) as runtime:
            yield runtime


def _measured(
    store: TraceStore,
    pool: Pool,
    items: Sequence[Joined],
    chosen: Sets,
    graphs: Mapping[str, TaskGraph],
    split: str,
) -> dict[str, Any]:
    known = _known(store, pool)
    rows: dict[str, list[dict[str, float]]] = {arm: [] for arm in ARMS}
    by_kind: dict[str, list[bool]] = {kind: [] for kind in AGENT_OF}
    for item in items:
        graph = graphs.get(item.query_id)
        arms = dict.fromkeys(ARMS, _row("", item, ())) if graph is None else {}
        if graph is not None:
            trace = _trace(store, known, _name(item, graph))
            arms = _arms(trace, item, graph)
            answers = {step.agent: step.answer or "" for step in trace.steps}
            for part in item.parts:
                if AGENT_OF[part.kind] in answers:
                    by_kind[part.kind].append(part.gold in tokens_of(answers[AGENT_OF[part.kind]]))
        for arm in ARMS:
            rows[arm].append(arms[arm])
    whole = [row for row, plain in zip(rows["merger"], rows["concat"], strict=True) if plain["both"]]
    return {
        "split": split,
        "queries": len(items),
        "pool_version": pool.version,
        "exact_sets": float(np.mean([set(chosen[i.query_id]) == {p.kind for p in i.parts} for i in items])),
        "arms": {arm: _summary(found) for arm, found in rows.items()},
        "differences": {
            f"{ours} - {other}": {
                name: _estimate(_column(rows[ours], name) - _column(rows[other], name)) for name in MEASURES
            }
            for ours, other in PAIRS
        },
        "agents": {kind: float(np.mean(found)) if found else None for kind, found in by_kind.items()},
        "merger_kept": {
            "queries": len(whole),
            "share": float(np.mean(_column(whole, "both"))) if whole else None,
        },
    }


def _arms(trace: RunTrace, item: Joined, graph: TaskGraph) -> dict[str, dict[str, float]]:
    """The arms of one run: what each would have answered and used."""
    agents = [step for step in trace.steps if step.node != REFINE_NODE]
    singles = [_row(step.answer or "", item, [step]) for step in agents]
    best = max(singles, key=lambda row: [row[name] for name in MEASURES])
    if len(graph.nodes) == 1:
        return dict.fromkeys(ARMS, best)
    done = {(0, step.node): step_of(step) for step in agents}
    joined = aggregate_plain(graph.with_(aggregation=Aggregation("concat")), done).answer
    said = [m for m in trace.messages if m.step_seq == len(trace.steps) - 1 and m.role == "assistant"]
    merged = len(trace.steps) > len(agents) and bool(said)
    text = (said[-1].content or "") if merged else trace.run.answer or ""
    return {
        "single": best,
        "concat": _row(joined, item, agents),
        "merger": _row(text, item, trace.steps),
        "refined": _row(trace.run.answer or "", item, trace.steps),
    }


def _row(text: str, item: Joined, steps: Sequence[StepRecord]) -> dict[str, float]:
    found = score(text, item)
    used = [(step.prompt_tokens, step.completion_tokens) for step in steps]
    return {
        "mean": found.mean,
        "both": float(found.both),
        "both_clean": float(found.both_clean),
        "tokens": float(sum((a or 0) + (b or 0) for a, b in used)),
        "calls": float(sum(step.calls for step in steps)),
        # One model in one process: calls wait for each other, so that their times add up.
        "seconds": float(sum(step.latency_s or 0.0 for step in steps)),
    }


def _summary(rows: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    means = {name: float(np.nanmean(_column(rows, name))) for name in ("tokens", "calls", "seconds")}
    return {**{name: _estimate(_column(rows, name)) for name in MEASURES}, **means}


def _estimate(values: NDArray[np.float64]) -> list[float]:
    """Mean and its 95% bootstrap interval over queries."""
    return [float(values.mean()), *bootstrap_ci(values)]


def _column(rows: Sequence[Mapping[str, float]], name: str) -> NDArray[np.float64]:
    return np.array([row[name] for row in rows], np.float64)


def _trace(store: TraceStore, known: Mapping[str, str], name: str) -> RunTrace:
    if name not in known:
        raise DataError(f"{store.url} lacks the run {name!r}; run the measurement again.")
    return store.run(known[name])


def _known(store: TraceStore, pool: Pool) -> dict[str, str]:
    return store.finished(_batch(pool), statuses=("ok", "error"))


def _batch(pool: Pool) -> str:
    return f"intents-live-{pool.version}"


def _name(item: Joined, graph: TaskGraph) -> str:
    return f"{item.query_id}/{graph.fingerprint}"


def live_table(result: Mapping[str, Any]) -> list[list[str]]:
    """Returns a result as rows of text, headings first: for a page or a terminal.

    >>> live_table({"arms": {}, "differences": {}})[0][:3]
    ['arm', 'right parts', 'both right']
    """
    rows = [["arm", "right parts", "both right", "both right, none contradicted", "tokens", "calls", "s"]]
    for arm, found in result["arms"].items():
        cells = [_cell(found[name]) for name in MEASURES]
        rows.append(
            [arm, *cells, f"{found['tokens']:.0f}", f"{found['calls']:.1f}", f"{found['seconds']:.2f}"]
        )
    for label, found in result["differences"].items():
        rows.append([label, *(_cell(found[name], sign="+") for name in MEASURES), "", "", ""])
    return rows


def _cell(value: Sequence[float], sign: str = "") -> str:
    mean, low, high = (f"{number:{sign}.3f}" for number in value)
    return f"{mean} [{low}, {high}]"


def _to_stderr(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures from the command line."""
    parser = argparse.ArgumentParser(prog="python -m agentnet.bench.intents.live", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the traces and the results")
    parser.add_argument("--model", type=Path, help="a GGUF file; else the embedded model's")
    parser.add_argument("--split", choices=SPLITS, default="test")
    parser.add_argument("--queries", type=int, default=QUERIES)
    parser.add_argument("--router", action="store_true", help="agents chosen by tcar, not the true pair")
    given = parser.parse_args(arguments)
    sets = routed_sets(make_joined(given.split, given.queries)) if given.router else None
    result = run_live(
        given.out, model=given.model, split=given.split, n=given.queries, sets=sets, say=_to_stderr
    )
    path = given.out / f"{given.split}_{'tcar' if given.router else 'true_pair'}.json"
    path.write_text(json.dumps(result, indent=1), encoding="utf-8")
    for row in live_table(result):
        _to_stderr(" | ".join(row))


if __name__ == "__main__":
    main()
