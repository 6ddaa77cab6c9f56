"""Checkpointers: interrupt, resume, and a process that dies; finished nodes are never run again."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt

from agentnet import Agent, Backend, Pool, Runtime, TaskGraph
from agentnet.errors import InvalidInput
from agentnet.runtime.clients.scripted import ScriptedClient

BACKEND = Backend(name="b", model="m")
GRAPH = TaskGraph.of(["draft", "other", "human", "final"], edges=[
    ("draft", "human"), ("other", "human"), ("human", "final"),
])  # fmt: skip


def approve(text: str) -> str:
    """Asks a person, wherever the graph runs."""
    return f"approved: {interrupt({'question': 'Is this right?'})}"


def team(client: ScriptedClient, **settings: Any) -> Runtime:
    agents = [Agent(name=name, backend=BACKEND) for name in ("draft", "other", "final")]
    return Runtime(Pool([*agents, Agent(name="human", call=approve)]), client=client, **settings)


def calls(client: ScriptedClient) -> Counter[str | None]:
    return Counter(request.agent for request in client.calls)


async def check_interrupt(saver: Any) -> None:
    client = ScriptedClient({"*": "text"})
    graph = team(client).compile(GRAPH, checkpointer=saver)
    config: Any = {"configurable": {"thread_id": "1"}}
    state = await graph.ainvoke({"task": "Q"}, config)
    assert state["__interrupt__"][0].value == {"question": "Is this right?"}
    assert calls(client) == {"draft": 1, "other": 1}
    state = await graph.ainvoke(Command(resume="yes"), config)
    assert calls(client) == {"draft": 1, "other": 1, "final": 1}
    assert "[human] approved: yes" in client.calls[-1].messages[-1].content
    assert state["answer"] == "text"
    # The thread's next task starts from nothing.
    await graph.ainvoke({"task": "R"}, config)
    assert calls(client) == {"draft": 2, "other": 2, "final": 1}
    steps = (await graph.aget_state(config)).values["steps"]
    assert {step["node"] for step in steps} == {"draft", "other"}


async def test_interrupt_and_resume_in_memory() -> None:
    await check_interrupt(InMemorySaver())


async def test_interrupt_and_resume_with_async_sqlite(tmp_path: Path) -> None:
    sqlite = pytest.importorskip("langgraph.checkpoint.sqlite.aio")
    async with sqlite.AsyncSqliteSaver.from_conn_string(str(tmp_path / "c.db")) as saver:
        await check_interrupt(saver)


@pytest.mark.postgres
async def test_interrupt_and_resume_with_postgres(postgres_url: str) -> None:
    postgres = pytest.importorskip("langgraph.checkpoint.postgres.aio")
    async with postgres.AsyncPostgresSaver.from_conn_string(postgres_url) as saver:
        await saver.setup()
        await check_interrupt(saver)


def test_interrupt_and_resume_with_sync_sqlite(tmp_path: Path) -> None:
    sqlite = pytest.importorskip("langgraph.checkpoint.sqlite")
    client = ScriptedClient({"*": "text"})
    config: Any = {"configurable": {"thread_id": "1"}}
    with sqlite.SqliteSaver.from_conn_string(str(tmp_path / "c.db")) as saver:
        graph = team(client).compile(GRAPH, checkpointer=saver)
        assert graph.invoke({"task": "Q"}, config)["__interrupt__"]
        assert graph.invoke(Command(resume="yes"), config)["answer"] == "text"
    assert calls(client) == {"draft": 1, "other": 1, "final": 1}


async def test_a_graph_stops_before_a_node_when_asked() -> None:
    client = ScriptedClient({"*": "text"})
    graph = team(client).compile(
        TaskGraph.of(["draft", "final"], edges=[("draft", "final")]),
        checkpointer=InMemorySaver(),
        interrupt_before=["final"],
    )
    config: Any = {"configurable": {"thread_id": "1"}}
    await graph.ainvoke({"task": "Q"}, config)
    assert calls(client) == {"draft": 1}
    assert (await graph.aget_state(config)).next == ("final",)
    assert (await graph.ainvoke(None, config))["answer"] == "text"
    assert calls(client) == {"draft": 1, "final": 1}


async def test_the_runtime_resumes_what_an_agent_interrupted() -> None:
    client = ScriptedClient({"*": "text"})
    runtime = team(client, checkpointer=InMemorySaver())
    paused = await runtime.arun("Q", GRAPH)
    assert (paused.status, paused.interrupts) == ("interrupted", ({"question": "Is this right?"},))
    done = await runtime.aresume(paused, "indeed")
    assert (done.status, done.answer, done.run_id) == ("ok", "text", paused.run_id)
    assert calls(client) == {"draft": 1, "other": 1, "final": 1}
    assert sorted(step.node for step in done.steps) == ["draft", "final", "human", "other"]
    with pytest.raises(InvalidInput, match="only an interrupted run"):
        await runtime.aresume(done)


CRASH = """
import asyncio, os, sys
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from agentnet import Agent, Pool, Runtime, TaskGraph

folder, die = sys.argv[1], sys.argv[2] == "die"

def first(text):
    with open(f"{folder}/calls", "a") as log:
        log.write("first\\n")
    return "one"

def second(text):
    if die:
        os._exit(9)
    return text

async def main():
    pool = Pool([Agent(name="first", call=first), Agent(name="second", call=second)])
    async with AsyncSqliteSaver.from_conn_string(f"{folder}/c.db") as saver:
        graph = Runtime(pool, client=object()).compile(
            TaskGraph.of(["first", "second"], edges=[("first", "second")]), checkpointer=saver)
        config = {"configurable": {"thread_id": "1"}}
        start = {"task": "Q"} if die else None
        print((await graph.ainvoke(start, config, durability="sync"))["answer"])

asyncio.run(main())
"""


def test_a_process_that_dies_goes_on_where_it_was(tmp_path: Path) -> None:
    pytest.importorskip("langgraph.checkpoint.sqlite.aio")
    script = tmp_path / "crash.py"
    script.write_text(textwrap.dedent(CRASH))

    def run(how: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-W", "error::UserWarning", str(script), str(tmp_path), how]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)

    assert run("die").returncode == 9
    again = run("live")
    assert again.stdout.strip() == "Q\n\nAnswers of other agents:\n[first] one", again.stderr
    assert (tmp_path / "calls").read_text() == "first\n"
