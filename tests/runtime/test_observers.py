"""Observers hear of every run that ended, and can break none."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from agentnet import Agent, Pool, RunResult, Runtime, TaskGraph, TraceStore
from agentnet.errors import GraphError, InvalidInput


def _fail(text: str) -> str:
    raise ValueError("no")


POOL = Pool([Agent(name="up", call=str.upper), Agent(name="bad", call=_fail)])
UP = TaskGraph.of(["up"])


def test_every_run_is_told_once_with_what_the_caller_gets() -> None:
    told: list[RunResult] = []
    with Runtime(POOL, observers=[told.append]) as runtime:
        results = [runtime.run("a", UP), runtime.run("b", TaskGraph.of(["bad"]))]
        results += runtime.batch(["c", "d"], UP, concurrency=1)
    assert told == results
    assert [result.status for result in told] == ["ok", "error", "ok", "ok"]


async def test_a_run_that_raises_is_told_too() -> None:
    told: list[RunResult] = []
    async with Runtime(POOL, observers=[told.append]) as runtime:
        with pytest.raises(InvalidInput, match="router"):
            await runtime.arun("no graph and no router")
        with pytest.raises((GraphError, InvalidInput)):
            await runtime.arun("x", TaskGraph.of(["nobody"]))
    assert [result.status for result in told] == ["error", "error"]
    assert "router" in (told[0].error or "")


async def test_a_streamed_run_is_told() -> None:
    told: list[RunResult] = []
    async with Runtime(POOL, observers=[told.append]) as runtime:
        events = [event async for event in runtime.astream("a", UP)]
    assert told == [events[-1].result]  # type: ignore[attr-defined]


def test_an_observer_that_raises_is_logged_without_secrets_and_changes_nothing(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    told: list[RunResult] = []

    def broken(result: RunResult) -> None:
        raise RuntimeError("no luck with sk-abcdef1234567890")

    with (
        TraceStore.open(tmp_path / "t.db") as store,
        Runtime(POOL, store=store, observers=[broken, told.append]) as runtime,
        caplog.at_level(logging.WARNING, logger="agentnet.runtime"),
    ):
        result = runtime.run("a", UP)
        assert (result.status, result.answer, result.error, result.trace_error) == ("ok", "A", None, None)
        assert store.run(result.run_id).run.status == "ok"
    assert told == [result], "those after it are told"
    assert result.run_id in caplog.text and "RuntimeError: no luck with [secret]" in caplog.text
    assert "sk-abcdef" not in caplog.text


def test_an_interrupted_run_is_told_when_it_has_ended() -> None:
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.types import interrupt

    told: list[RunResult] = []
    pool = Pool([Agent(name="ask", call=lambda text: f"{text} {interrupt('which?')}")])
    with Runtime(pool, checkpointer=InMemorySaver(), observers=[told.append]) as runtime:
        waiting = runtime.run("take", TaskGraph.of(["ask"]))
        assert (waiting.status, told) == ("interrupted", [])
        ended = runtime.resume(waiting, "that")
    assert told == [ended] and ended.answer == "take that"
