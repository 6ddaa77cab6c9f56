from __future__ import annotations

import asyncio
import threading

import pytest

from agentnet.runtime.clients.gate import Gate


async def test_first_come_first_served() -> None:
    gate = Gate(1)
    order: list[int] = []
    await gate.acquire()

    async def visit(number: int) -> None:
        async with gate:
            order.append(number)

    tasks = [asyncio.create_task(visit(i)) for i in range(5)]
    await asyncio.sleep(0)
    assert order == []
    gate.release()
    await asyncio.gather(*tasks)
    assert order == [0, 1, 2, 3, 4] and gate.free == 1


async def test_a_place_given_to_a_cancelled_waiter_is_passed_on() -> None:
    gate = Gate(1)
    await gate.acquire()
    waiter = asyncio.create_task(gate.acquire())
    await asyncio.sleep(0)
    gate.release()  # the place now belongs to the waiter, which has not run yet
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert gate.free == 1


async def test_a_waiter_cancelled_in_line_leaves_it() -> None:
    gate = Gate(1)
    await gate.acquire()
    waiter = asyncio.create_task(gate.acquire())
    await asyncio.sleep(0)
    waiter.cancel()
    await asyncio.gather(waiter, return_exceptions=True)
    gate.release()
    assert gate.free == 1


def test_the_bound_holds_over_threads_with_loops_of_their_own() -> None:
    gate = Gate(3)
    lock = threading.Lock()
    inside = most = 0

    async def visit() -> None:
        nonlocal inside, most
        async with gate:
            with lock:
                inside += 1
                most = max(most, inside)
            await asyncio.sleep(0.001)
            with lock:
                inside -= 1

    async def many() -> None:
        await asyncio.wait_for(asyncio.gather(*(visit() for _ in range(10))), 30)

    threads = [threading.Thread(target=lambda: asyncio.run(many())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 3 and gate.free == 3
