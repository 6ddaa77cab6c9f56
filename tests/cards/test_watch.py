"""A served pool follows its file."""

from __future__ import annotations

import asyncio
import logging
import threading
from pathlib import Path

import pytest

from agentnet.cards.edit import PoolFile
from agentnet.cards.watch import PoolWatch, awatch_pool, watch_pool
from agentnet.errors import LimitError, PoolError
from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool, PoolHandle
from agentnet.graphs.task_graph import TaskGraph
from agentnet.runtime.runtime import Runtime
from agentnet.runtime.spec import load_spec

START = "agents:\n- {name: a, description: one}\n- {name: b, description: two}\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "pool.yaml").write_text(START)
    return tmp_path / "pool.yaml"


@pytest.fixture
def handle(path: Path) -> PoolHandle:
    return PoolHandle(load_spec(path).pool)


def test_changes_of_the_file_reach_the_handle(path: Path, handle: PoolHandle) -> None:
    watch = PoolWatch(path, handle, runnable=False)
    assert not watch.check() and handle.revision == 0
    PoolFile.read(path).add(Agent(name="c")).write()
    assert watch.check() and handle.current.names == ("a", "b", "c")
    PoolFile.read(path).remove("a").update("b", description="new").write()
    assert watch.check() and handle.current.names == ("b", "c")
    assert handle.current["b"].description == "new"
    assert not watch.check() and handle.revision == 2


def test_what_the_program_did_itself_stays(path: Path, handle: PoolHandle) -> None:
    handle.swap(lambda pool: Pool(agent.with_(call=str.upper) for agent in pool))
    own = handle.current["a"]
    watch = PoolWatch(path, handle, runnable=False)
    handle.add(Agent(name="mine", call=str.lower))
    handle.remove("b")
    PoolFile.read(path).add(Agent(name="c")).write()
    assert watch.check()
    assert handle.current["a"] is own, "an entry that did not change keeps its callable"
    assert handle.current.names == ("a", "mine", "b", "c"), "the file still has b, so it comes back"


def test_a_broken_file_leaves_the_pool_and_is_logged_once(
    path: Path, handle: PoolHandle, caplog: pytest.LogCaptureFixture
) -> None:
    watch = PoolWatch(path, handle, runnable=False)
    for broken in (
        "agents: [",
        "",
        "agents: []",
        "agents:\n- {name: a}\n- {name: a}\n",
        "agents: [{nam: a}]",
    ):
        caplog.clear()
        path.write_text(broken)
        assert not watch.check() and not watch.check()
        (record,) = caplog.records
        assert record.levelno == logging.ERROR and "the pool stays as it is" in record.message
        assert handle.current.names == ("a", "b") and handle.revision == 0
    path.unlink()
    assert not watch.check()
    path.write_text(START + "- {name: c}\n")
    assert watch.check() and handle.current.names == ("a", "b", "c")


def test_an_agent_that_cannot_be_run_is_not_served(path: Path, handle: PoolHandle) -> None:
    def bind(agent: Agent) -> Agent:
        return agent if agent.strategy == "a2a" else agent.with_(call=str.upper)

    async def ask(call: object) -> str:
        return "far"

    watch = PoolWatch(path, handle, bind=bind)
    known = PoolWatch(path, PoolHandle(handle.current), bind=bind, strategies={"a2a": ask})
    PoolFile.read(path).add(Agent(name="far", strategy="a2a")).write()
    assert not watch.check() and "far" not in handle.current
    assert known.check()
    with pytest.raises(PoolError, match="neither a backend nor a call"):
        PoolWatch(path, handle)


def test_a_file_that_cannot_be_watched(tmp_path: Path, handle: PoolHandle) -> None:
    with pytest.raises(PoolError, match="cannot be watched"):
        PoolWatch(tmp_path / "pool.py", handle)
    with pytest.raises(PoolError, match="no file"):
        PoolWatch(tmp_path / "none.yaml", handle)
    with pytest.raises(LimitError, match="above 0"):
        watch_pool(tmp_path / "pool.yaml", handle, every_s=0)


def test_agents_that_the_pool_lacks_are_added_at_once(path: Path) -> None:
    handle = PoolHandle(Pool([Agent(name="x")]))
    PoolWatch(path, handle, runnable=False)
    assert handle.current.names == ("x", "a", "b")


def test_a_thread_watches_while_a_runtime_serves(path: Path) -> None:
    def bind(agent: Agent) -> Agent:
        return agent.with_(call=lambda text: f"{agent.name}: {text}")

    handle = PoolHandle(Pool(map(bind, load_spec(path).pool)))
    arrived = threading.Event()
    handle.on_change(lambda pool, revision: arrived.set())
    with Runtime(handle) as runtime, watch_pool(path, handle, every_s=0.005, bind=bind):
        assert runtime.run("hi", graph=TaskGraph.of(["a"])).answer == "a: hi"
        PoolFile.read(path).add(Agent(name="new")).write()
        assert arrived.wait(20)
        assert runtime.run("hi", graph=TaskGraph.of(["new"])).answer == "new: hi"
    assert not any(thread.name == "agentnet-watch-pool" for thread in threading.enumerate())


def test_a_bind_function_that_fails_changes_nothing(
    path: Path, handle: PoolHandle, caplog: pytest.LogCaptureFixture
) -> None:
    def bind(agent: Agent) -> Agent:
        if agent.name == "c":
            raise ValueError("mine")
        return agent

    watch = PoolWatch(path, handle, bind=bind, runnable=False)
    PoolFile.read(path).add(Agent(name="c")).write()
    assert not watch.check() and "mine" in caplog.text
    PoolFile.read(path).remove("c").add(Agent(name="d")).write()
    assert watch.check() and handle.current.names == ("a", "b", "d")


async def test_the_async_form_runs_until_cancelled(path: Path, handle: PoolHandle) -> None:
    arrived = asyncio.Event()
    loop = asyncio.get_running_loop()
    handle.on_change(lambda pool, revision: loop.call_soon_threadsafe(arrived.set) and None)
    path.write_text(START + "- {name: c}\n")
    task = asyncio.create_task(awatch_pool(path, handle, every_s=0.005, runnable=False))
    await asyncio.wait_for(arrived.wait(), 20)
    assert handle.current.names == ("a", "b", "c")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
