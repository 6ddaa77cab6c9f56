"""Runs coroutines from synchronous code, also while another event loop is running."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import threading
from collections.abc import Coroutine
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar

from agentnet.runtime.client import ModelClient, Request, Response

T = TypeVar("T")


class LoopThread:
    """An event loop in a daemon thread of its own, started with the first coroutine.

    One loop that lives on, rather than one per call, keeps connection pools and semaphores usable.

    >>> async def double(x: int) -> int:
    ...     return 2 * x
    >>> loop = LoopThread()
    >>> loop.run(double(21)), loop.close()
    (42, None)
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def run(self, coro: Coroutine[Any, Any, T]) -> T:
        """Returns the coroutine's result; Ctrl-C cancels the coroutine, waits for it and is raised.

        Called from this very loop (a synchronous tool inside an agent), it runs the coroutine on a
        loop of its own rather than waiting for itself for ever.
        """
        loop = self._start()
        if threading.current_thread() is self._thread:
            return _in_new_thread(coro)
        future = asyncio.run_coroutine_threadsafe(coro, loop)
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            _settle(loop, future)
            raise

    def close(self) -> None:
        """Stops the loop and joins its thread; the next `run` starts another."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is None or thread is None:
            return
        if thread.is_alive() and thread is not threading.current_thread():
            loop.call_soon_threadsafe(loop.stop)
            thread.join()

    def _start(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            # A forked child inherits the object without its thread.
            if self._loop is None or self._thread is None or not self._thread.is_alive():
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=_serve, args=(self._loop,), name="agentnet-loop", daemon=True
                )
                self._thread.start()
            return self._loop


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


def _settle(loop: asyncio.AbstractEventLoop, future: Future[Any]) -> None:
    """Waits until the cancelled coroutine has cleaned up."""

    async def drained() -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        stopping = [task for task in others if task.cancelling()]
        await asyncio.wait(stopping, timeout=5) if stopping else None

    with contextlib.suppress(CancelledError, KeyboardInterrupt):
        asyncio.run_coroutine_threadsafe(drained(), loop).result()


def _in_new_thread(coro: Coroutine[Any, Any, T]) -> T:
    box: Future[T] = Future()

    def work() -> None:
        try:
            box.set_result(asyncio.run(coro))
        except BaseException as error:
            box.set_exception(error)

    thread = threading.Thread(target=work, name="agentnet-nested", daemon=True)
    thread.start()
    thread.join()
    return box.result()


_SHARED = LoopThread()
atexit.register(_SHARED.close)


def run_sync(coro: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine to its end from synchronous code and returns its result.

    Works in scripts, notebooks and callbacks of a running loop. From ``async`` code, await instead:
    this call blocks the loop it is made on.

    >>> async def greet() -> str:
    ...     return "hello"
    >>> run_sync(greet())
    'hello'
    """
    return _SHARED.run(coro)


def complete_sync(client: ModelClient, request: Request) -> Response:
    """The synchronous twin of ``await client.complete(request)``."""
    return run_sync(client.complete(request))
