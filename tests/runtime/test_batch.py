"""Batches: order, bounds, progress, and going on after an interruption."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentnet import Agent, Backend, Pool, RunResult, Runtime, Task, TaskGraph, TraceStore
from agentnet.errors import InvalidInput, PoolError, TaskError
from agentnet.runtime.client import Request
from agentnet.runtime.clients.scripted import ScriptedClient

BACKEND = Backend(name="b", model="m", price_in_per_mtok="1", price_out_per_mtok="1")
POOL = Pool([Agent(name="a", backend=BACKEND)])
GRAPH = TaskGraph.of("a")


def echo(request: Request) -> str:
    return f"re {request.messages[-1].content}"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[TraceStore]:
    with TraceStore.open(tmp_path / "t.db") as opened:
        yield opened


def test_results_come_in_the_tasks_order_at_bounded_concurrency() -> None:
    client = ScriptedClient(echo, latency_s=lambda r: 0.004 if r.messages[-1].content == "0" else 0.001)
    told: list[tuple[int, int]] = []

    def progress(done: int, total: int, result: RunResult) -> None:
        told.append((done, total))

    runtime = Runtime(POOL, client=client)
    results = runtime.batch([str(i) for i in range(12)], GRAPH, concurrency=3, progress=progress)
    assert [result.answer for result in results] == [f"re {i}" for i in range(12)]
    assert client.most_in_flight == 3
    assert told == [(i + 1, 12) for i in range(12)]


async def test_results_are_given_as_they_are_ready() -> None:
    late = asyncio.Event()

    async def script(request: Request) -> str:
        if request.messages[-1].content == "slow":
            await late.wait()
        return echo(request)

    seen = []
    async for i, result in Runtime(POOL, client=ScriptedClient(script)).abatch_iter(["slow", "fast"], GRAPH):
        seen.append((i, result.answer))
        late.set()
    assert seen == [(1, "re fast"), (0, "re slow")]


async def test_all_input_is_checked_first() -> None:
    client = ScriptedClient(echo)
    runtime = Runtime(POOL, client=client)
    with pytest.raises(TaskError):
        await runtime.abatch(["good", ""], GRAPH)
    with pytest.raises(PoolError):
        await runtime.abatch(["good"], TaskGraph.of(["nobody"]))
    with pytest.raises(InvalidInput, match="store"):
        await runtime.abatch(["good"], GRAPH, batch_id="b")
    with pytest.raises(InvalidInput, match="concurrency"):
        await runtime.abatch(["good"], GRAPH, concurrency=0)
    assert client.calls == []
    assert await runtime.abatch([], GRAPH) == []


async def test_one_failure_is_one_result() -> None:
    runtime = Runtime(POOL, client=ScriptedClient({"bad": "  ", "*": "fine"}))
    results = await runtime.abatch(["good", "bad"], GRAPH)
    assert [result.status for result in results] == ["ok", "error"]


async def test_finished_tasks_are_loaded_and_not_run_again(store: TraceStore) -> None:
    client = ScriptedClient(echo)
    runtime = Runtime(POOL, client=client, store=store)
    tasks: list[Task | str] = ["x", "x", Task("y", task_id="mine")]
    first = await runtime.abatch(tasks[:2], GRAPH, batch_id="b")
    second = await runtime.abatch(tasks, GRAPH, batch_id="b")
    assert len(client.calls) == 3
    assert [result.loaded for result in second] == [True, True, False]
    for old, new in zip(first, second[:2], strict=True):
        assert (new.run_id, new.answer, new.cost, new.calls) == (old.run_id, old.answer, old.cost, old.calls)
        assert new.steps[0].answer == old.steps[0].answer
        assert new.decisions[0].graph == GRAPH
    await runtime.abatch(tasks, GRAPH, batch_id="another")
    assert len(client.calls) == 6


async def test_a_task_whose_content_has_changed_is_run_again(store: TraceStore) -> None:
    client = ScriptedClient(echo)
    runtime = Runtime(POOL, client=client, store=store)
    for text in ("one", "two", "two"):
        result = (await runtime.abatch([Task(text, task_id="1")], GRAPH, batch_id="b"))[0]
        assert result.answer == f"re {text}"
    assert result.loaded and len(client.calls) == 2


async def test_failed_tasks_are_run_again(store: TraceStore) -> None:
    client = ScriptedClient(["  ", "better"])
    runtime = Runtime(POOL, client=client, store=store)
    assert [r.status for r in await runtime.abatch(["x"], GRAPH, batch_id="b")] == ["error"]
    assert [r.answer for r in await runtime.abatch(["x"], GRAPH, batch_id="b")] == ["better"]


async def test_task_ids_name_one_task_each(store: TraceStore) -> None:
    runtime = Runtime(POOL, client=ScriptedClient(echo), store=store)
    twice = [Task("x", task_id="1"), Task("y", task_id="1")]
    with pytest.raises(InvalidInput, match="given twice"):
        await runtime.abatch(twice, GRAPH, batch_id="b")


async def test_cancelling_ends_what_runs_and_records_it(store: TraceStore) -> None:
    started = asyncio.Event()

    async def script(request: Request) -> str:
        if request.messages[-1].content == "hang":
            started.set()
            await asyncio.Event().wait()
        return echo(request)

    runtime = Runtime(POOL, client=ScriptedClient(script), store=store)
    batch = asyncio.create_task(runtime.abatch(["quick", "hang"], GRAPH, batch_id="b", concurrency=1))
    await started.wait()
    batch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await batch
    assert sorted(run.status for run in store.runs()) == ["cancelled", "ok"]
    assert len(store.finished("b")) == 1


PROGRAM = """
import json, sys, threading
from agentnet import Agent, Pool, Runtime, TaskGraph, TraceStore

folder, hang = sys.argv[1], sys.argv[2] == "hang"

async def agent(text):
    import asyncio
    with open(f"{folder}/calls", "a") as log:
        log.write(text + "\\n")
    if hang and text == "task 3":
        print("ready", flush=True)
        await asyncio.Event().wait()
    return text.upper()

pool = Pool([Agent(name="a", call=agent)])
with TraceStore.open(f"{folder}/t.db") as store:
    runtime = Runtime(pool, client=object(), store=store)
    tasks = [f"task {i}" for i in range(6)]
    try:
        results = runtime.batch(tasks, TaskGraph.of(["a"]), batch_id="nightly", concurrency=1)
        print(json.dumps([result.answer for result in results]))
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        sys.exit(7)
"""


def test_ctrl_c_keeps_what_is_finished_and_the_next_call_goes_on(tmp_path: Path) -> None:
    script = tmp_path / "batch.py"
    script.write_text(textwrap.dedent(PROGRAM))
    command = [sys.executable, str(script), str(tmp_path)]
    with subprocess.Popen([*command, "hang"], stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "ready\n"
        time.sleep(0.01)
        os.kill(first.pid, signal.SIGINT)
        assert first.stdout.read() == "interrupted\n"
        assert first.wait(60) == 7
    with TraceStore.open(tmp_path / "t.db") as store:
        assert sorted(run.status for run in store.runs()) == ["cancelled", "ok", "ok", "ok"]
    again = subprocess.run([*command, "go"], capture_output=True, text=True, check=True, timeout=120)
    assert json.loads(again.stdout) == [f"TASK {i}" for i in range(6)]
    ran = (tmp_path / "calls").read_text().splitlines()
    assert ran == ["task 0", "task 1", "task 2", "task 3", "task 3", "task 4", "task 5"]
