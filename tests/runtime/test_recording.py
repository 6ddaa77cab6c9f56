"""What a run leaves in the store, and that a store which fails costs the trace only."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from agentnet import (
    Agent,
    Backend,
    Edge,
    Message,
    Node,
    Pool,
    Runtime,
    StopCondition,
    Task,
    TaskGraph,
    TraceStore,
)
from agentnet.errors import BackendError, PoolError, StoreError
from agentnet.runtime.clients.scripted import ScriptedClient
from agentnet.traces.records import Record, RunRecord, StepRecord

BACKEND = Backend(name="b", model="m", price_in_per_mtok="1000", price_out_per_mtok="1000")
POOL = Pool(Agent(name=name, backend=BACKEND, system=f"You are {name}.") for name in "abc")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[TraceStore]:
    with TraceStore.open(tmp_path / "t.db") as opened:
        yield opened


async def test_a_run_is_recorded_whole(store: TraceStore) -> None:
    client = ScriptedClient({"a": "one", "b": BackendError("down"), "c": "two"})
    graph = TaskGraph(
        nodes=tuple(Node(n, n) for n in "abc"),
        edges=(Edge("a", "c", stop=StopCondition("answered")), Edge("b", "c")),
        outputs=("a", "b", "c"),
    )
    task = Task("Q", context="C", history=(Message("user", "Hi"),), task_id="t1", session_id="s1")
    result = await Runtime(POOL, client=client, store=store).arun(task, graph, tags={"who": "test"})
    trace = store.run(result.run_id)
    run = trace.run
    assert (run.status, run.answer, run.task_text, run.task_context) == ("ok", "one", "Q", "C")
    assert (run.task_id, run.session_id, run.tags) == ("t1", "s1", {"who": "test"})
    assert (run.cost_usd, run.calls, run.ended_at is not None) == (result.cost, 2, True)
    assert [agent["name"] for agent in run.pool] == ["a", "b", "c"]
    decision = trace.decisions[0]
    assert decision.graph is not None and TaskGraph.from_dict(decision.graph) == graph
    assert (decision.router, decision.propensity) == ("given", 1.0)
    steps = {step.node: step for step in trace.steps}
    assert (steps["a"].answer, steps["a"].strategy, steps["a"].backend) == ("one", "direct", "b")
    assert steps["b"].error == "BackendError: down" and steps["c"].skipped
    assert [step.seq for step in trace.steps] == [0, 1, 2]
    of_a = [m for m in trace.messages if m.step_seq == steps["a"].seq]
    assert [(m.role, m.content) for m in of_a] == [
        ("system", "You are a."),
        ("user", "Hi"),
        ("user", "Context:\nC\n\nQ"),
        ("assistant", "one"),
    ]


async def test_without_capture_no_text_is_kept(tmp_path: Path) -> None:
    with TraceStore.open(tmp_path / "t.db", capture="off") as store:
        runtime = Runtime(POOL, client=ScriptedClient({"*": "secret answer"}), store=store)
        result = await runtime.arun("secret question", TaskGraph.of("a"))
        trace = store.run(result.run_id)
        assert trace.messages == ()
        assert trace.run.task_text is None and trace.steps[0].answer is None
        assert trace.run.cost_usd == result.cost == Decimal("0.008")


async def test_steps_are_recorded_as_they_finish_and_errors_end_the_run(store: TraceStore) -> None:
    class Watch:
        capture = "full"

        def __init__(self) -> None:
            self.records: list[Record] = []

        def write(self, *records: Record) -> None:
            self.records.extend(records)

    watch = Watch()
    seen: list[list[str]] = []

    def look(text: str) -> str:
        seen.append([record.node for record in watch.records if isinstance(record, StepRecord)])
        return text

    pool = POOL.add(Agent(name="look", call=look))
    runtime = Runtime(pool, client=ScriptedClient({"*": "x"}), store=watch)
    await runtime.arun("Q", TaskGraph.of(["a", "look"], edges=[("a", "look")]))
    assert seen == [["a"]]
    with pytest.raises(PoolError):
        await runtime.arun("Q", TaskGraph.of("z"))
    last = watch.records[-1]
    assert isinstance(last, RunRecord)
    assert (last.status, str(last.error).split(":", maxsplit=1)[0]) == ("error", "PoolError")


async def test_a_failing_store_never_fails_the_run(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def write(self, *records: Record) -> None:
            raise StoreError("the disk is full")

    runtime = Runtime(POOL, client=ScriptedClient({"*": "x"}), store=Broken())
    with caplog.at_level(logging.WARNING):
        result = await runtime.arun("Q", TaskGraph.of("ab"))
    assert (result.status, result.trace_error) == ("ok", "StoreError: the disk is full")
    assert len(caplog.records) == 1
