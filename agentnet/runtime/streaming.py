"""Events of one run as an async iterator, and async iterators for synchronous code."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import TypeVar

from agentnet.runtime.events import Event, RunFinished
from agentnet.runtime.execution import Execution
from agentnet.runtime.sync import run_sync

T = TypeVar("T")


async def events_of(run: Execution) -> AsyncGenerator[Event, None]:
    """Runs and yields the run's events; closing the generator cancels the run and waits for it."""
    events: asyncio.Queue[Event | Exception] = asyncio.Queue()
    run.emit = events.put_nowait

    async def work() -> None:
        try:
            result = await run.run()
        except Exception as failure:
            events.put_nowait(failure)
        else:
            events.put_nowait(RunFinished(turn=run.turn, result=result))

    worker = asyncio.create_task(work())
    try:
        while True:
            event = await events.get()
            if isinstance(event, Exception):
                raise event
            yield event
            if isinstance(event, RunFinished):
                return
    finally:
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)


def blocking(items: AsyncIterator[T]) -> Iterator[T]:
    """Reads an async iterator from synchronous code, closing it in the end."""

    async def following() -> list[T]:
        try:
            return [await anext(items)]
        except StopAsyncIteration:
            return []

    try:
        while found := run_sync(following()):
            yield found[0]
    finally:
        if isinstance(items, AsyncGenerator):
            run_sync(_close(items))


async def _close(items: AsyncGenerator[T, None]) -> None:
    await items.aclose()
