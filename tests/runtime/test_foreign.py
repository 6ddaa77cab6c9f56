"""Agents, tools and joins are anybody's code: nothing they raise gets past their own step."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from agentnet import Agent, Aggregation, Pool, Runtime, TaskGraph
from agentnet.errors import RunError
from agentnet.runtime.clients.scripted import ScriptedClient
from agentnet.runtime.foreign import call_foreign, contained
from agentnet.runtime.tools import Tool

ESCAPES = [StopIteration, SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError]


def raiser(kind: type[BaseException], is_async: bool) -> Callable[[str], Any]:
    def bad(text: str) -> str:
        raise kind("enough")

    async def bad_later(text: str) -> str:
        await asyncio.sleep(0)
        raise kind("enough")

    return bad_later if is_async else bad


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("kind", ESCAPES)
async def test_an_agent_cannot_end_or_hang_the_run(kind: type[BaseException], is_async: bool) -> None:
    pool = Pool([Agent(name="bad", call=raiser(kind, is_async)), Agent(name="good", call=str.upper)])
    runtime = Runtime(pool, client=ScriptedClient([]))
    async with asyncio.timeout(20):
        results = await runtime.abatch(["q", "r"], TaskGraph.of(["bad", "good"]))
    assert [(result.status, result.answer) for result in results] == [("ok", "Q"), ("ok", "R")]
    errors = [step.error for step in results[0].steps if step.node == "bad"]
    assert kind.__name__ in str(errors[0]) or "StopIteration" in str(errors[0])


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("kind", ESCAPES)
async def test_a_tool_cannot_either(kind: type[BaseException], is_async: bool) -> None:
    async with asyncio.timeout(20):
        seen = await Tool.of(raiser(kind, is_async)).call({"text": "x"})
    assert "failed: " in seen and kind.__name__ in seen


async def test_nor_can_a_custom_aggregation() -> None:
    pool = Pool([Agent(name="a", call=str.upper)])
    how = Aggregation("custom", options={"name": "bad"})
    bad: Any = raiser(SystemExit, False)
    runtime = Runtime(pool, client=ScriptedClient([]), aggregations={"bad": bad})
    result = await runtime.arun("q", TaskGraph.of(["a"], aggregation=how))
    assert result.status == "error" and "SystemExit" in str(result.error)


async def test_a_real_cancellation_is_one() -> None:
    started = asyncio.Event()

    async def hang() -> None:
        started.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(contained(hang()))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_coroutine_that_is_closed_ends_quietly() -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    task = asyncio.create_task(contained(hang()))
    await asyncio.sleep(0)
    waiting: Any = task.get_coro()
    waiting.close()  # as the interpreter does with what is left of a loop
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_errors_of_foreign_code_are_scrubbed() -> None:
    def bad() -> None:
        raise SystemExit("sk-abcdef1234567890")

    with pytest.raises(RunError, match=r"SystemExit: \[secret\]"):
        await call_foreign(bad)
