from __future__ import annotations

import asyncio
import contextvars
import signal
import threading

import pytest

from agentnet.runtime.sync import LoopThread, run_sync


async def _value(value: int) -> int:
    await asyncio.sleep(0)
    return value


def test_returns_the_result_and_raises_the_error() -> None:
    async def broken() -> None:
        raise KeyError("gone")

    assert run_sync(_value(3)) == 3
    with pytest.raises(KeyError, match="gone"):
        run_sync(broken())


async def test_works_while_a_loop_is_running() -> None:
    assert run_sync(_value(4)) == 4


def test_calls_share_one_loop() -> None:
    async def loop_id() -> int:
        return id(asyncio.get_running_loop())

    assert run_sync(loop_id()) == run_sync(loop_id())


def test_a_call_from_inside_its_own_loop_does_not_deadlock() -> None:
    async def outer() -> int:
        return run_sync(_value(5))

    assert run_sync(outer()) == 5


def test_context_variables_reach_the_coroutine() -> None:
    var: contextvars.ContextVar[str] = contextvars.ContextVar("var", default="unset")
    var.set("mine")

    async def read() -> str:
        return var.get()

    assert run_sync(read()) == "mine"


def test_many_threads_at_once() -> None:
    results: list[int] = []
    threads = [threading.Thread(target=lambda i=i: results.append(run_sync(_value(i)))) for i in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == list(range(20))


def test_close_ends_the_thread_and_the_next_run_starts_another() -> None:
    loop = LoopThread()
    assert loop.run(_value(1)) == 1
    thread = loop._thread
    assert thread is not None
    loop.close()
    assert not thread.is_alive()
    assert loop.run(_value(2)) == 2
    loop.close()


def test_ctrl_c_cancels_the_coroutine_waits_for_its_cleanup_and_is_raised() -> None:
    loop = LoopThread()
    cleaned: list[str] = []
    main = threading.main_thread().ident
    assert main is not None

    async def work() -> None:
        asyncio.get_running_loop().call_later(0.02, signal.pthread_kill, main, signal.SIGINT)
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append("yes")

    with pytest.raises(KeyboardInterrupt):
        loop.run(work())
    assert cleaned == ["yes"]
    assert loop.run(_value(1)) == 1
    loop.close()
