from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agentnet.bench.topology.evaluate import arun_graphs, baselines, measured, missing
from agentnet.bench.topology.pools import math_pool
from agentnet.bench.topology.record import load_rollouts, record
from agentnet.bench.topology.remember import RememberingClient
from agentnet.bench.topology.strategies import STRATEGIES
from agentnet.bench.topology.tasks import make_items
from agentnet.errors import DataError, InvalidInput
from agentnet.graphs.builders import chain, complete, single
from agentnet.runtime.clients.scripted import ScriptedClient
from agentnet.runtime.runtime import Runtime

ITEMS = [item for item in make_items("math", "train", 12) if item.family == "put_together"]
AGENTS = math_pool().names


async def test_a_recording_goes_on_where_it_stopped(runtime: Runtime, script: ScriptedClient) -> None:
    assert await record(runtime, runtime.store, ITEMS[:1], random=0) == 4 + 2
    asked = len(script.calls)
    assert await record(runtime, runtime.store, ITEMS[:1], random=0) == 0
    assert len(script.calls) == asked
    done: list[tuple[int, int]] = []
    made = await record(
        runtime, runtime.store, ITEMS, random=1, progress=lambda n, total: done.append((n, total))
    )
    assert made == 1 + 7 and done == [(1, 2), (2, 2)]
    keys = [(request.agent, request.messages) for request in script.calls]
    assert len(keys) == len(set(keys))  # nothing is asked twice


async def test_rollouts_become_outcomes(runtime: Runtime) -> None:
    await record(runtime, runtime.store, ITEMS, random=3)
    table = load_rollouts(runtime.store, math_pool(), ITEMS)
    assert table.agents == AGENTS and len(table) == 2 and len(table.runs) == 2 * 9
    assert set(table.queries.split.tolist()) <= {"train", "val"} and table.full
    assert table.queries.gold == tuple(item.gold for item in ITEMS)
    assert (table.score == 0).all()  # alone nobody is right
    for run in table.runs:
        assert run.score is not None and run.tokens and len(run.steps) == len(run.graph.nodes)
        alone = len(run.graph.nodes) == 1
        whole = [(e.source, e.target) for e in run.graph.edges] == [
            (e.source, e.target) for e in complete(AGENTS).edges
        ]
        assert run.propensity == (1.0 if alone or whole else None)
        edges = {(edge.source, edge.target) for edge in run.graph.edges}
        if run.graph.outputs == ("programmer",) and edges == {("analyst", "programmer")}:
            assert run.score == 1.0
    single_runs = {run.graph.agents[0]: run for run in table.runs if len(run.graph.nodes) == 1
                   and run.query_id == ITEMS[0].query_id}  # fmt: skip
    row = table.prompt_tokens[0] + table.completion_tokens[0]
    assert row.tolist() == [single_runs[name].tokens for name in AGENTS]
    with pytest.raises(DataError, match="record"):
        load_rollouts(runtime.store, math_pool(), make_items("math", "test", 6))


async def test_remembered_calls_count_in_full(
    tmp_path: Path, runtime: Runtime, calls: Path, script: ScriptedClient
) -> None:
    task, graph = ITEMS[0].task(), chain(["analyst", "programmer", "inspector"])
    first = await runtime.arun(task, graph)
    asked = len(script.calls)
    again = await runtime.arun(task, graph)
    silent = RememberingClient(ScriptedClient([]), calls)
    async with Runtime(math_pool(), client=silent, strategies=STRATEGIES) as other:
        replayed = await other.arun(task, graph)
    assert len(script.calls) == asked == 3
    usage = [(r.answer, r.prompt_tokens, r.completion_tokens, r.calls) for r in (first, again, replayed)]
    assert usage[0] == usage[1] == usage[2] and usage[0][3] == 3 and (usage[0][1] or 0) > 0


async def test_methods_are_measured_on_the_same_tasks(runtime: Runtime, script: ScriptedClient) -> None:
    store, items = runtime.store, ITEMS
    good, alone = chain(["analyst", "programmer"]), single("analyst")
    assert missing(store, math_pool(), items, [good]) == 2
    both = await arun_graphs(runtime, store, items, [good])
    assert both.score.tolist() == [1.0, 1.0] and both.calls.tolist() == both.agents.tolist() == [2, 2]
    assert (both.tokens > 0).all() and both.query_id == tuple(item.query_id for item in items)
    asked = len(script.calls)
    mixed = await arun_graphs(runtime, store, items, [good, alone])  # both known, one as a step only
    assert len(script.calls) == asked and mixed.score.tolist() == [1.0, 0.0]
    assert mixed.tokens[0] == both.tokens[0] > mixed.tokens[1]
    np.testing.assert_array_equal(measured(store, math_pool(), items, [good, alone]).tokens, mixed.tokens)
    with pytest.raises(DataError, match="lacks 2"):
        measured(store, math_pool(), items, [single("solver")])
    with pytest.raises(InvalidInput, match="as many graphs"):
        measured(store, math_pool(), items, [good] * 3)


async def test_comparisons_are_no_rollouts(runtime: Runtime) -> None:
    await arun_graphs(runtime, runtime.store, ITEMS, [single("analyst")])
    with pytest.raises(DataError):
        load_rollouts(runtime.store, math_pool(), ITEMS)


async def test_all_baselines_run(tmp_path: Path, runtime: Runtime, script: ScriptedClient) -> None:
    for label, (pool, graph) in baselines("math", [2, 3]).items():
        async with Runtime(pool, client=script, store=runtime.store, strategies=STRATEGIES) as other:
            found = await arun_graphs(other, runtime.store, ITEMS[:1], [graph])
        calls = {"chain": 4, "star": 4, "complete": 4, "self_consistency_2": 2, "self_consistency_3": 3}
        assert found.calls.tolist() == [calls.get(label, 1)], label
