from __future__ import annotations

import asyncio

from agentnet.runtime.clients.clock import Clock, SystemClock, VirtualClock


async def test_sleepers_wake_in_order_of_time() -> None:
    clock = VirtualClock()
    woke: list[tuple[str, float]] = []

    async def sleeper(name: str, *times: float) -> None:
        for seconds in times:
            await clock.sleep(seconds)
            woke.append((name, clock.now()))

    await asyncio.gather(sleeper("slow", 100), sleeper("fast", 10, 10, 90), sleeper("mid", 15))
    assert woke == [("fast", 10), ("mid", 15), ("fast", 20), ("slow", 100), ("fast", 110)]


async def test_a_cancelled_sleeper_holds_up_nobody() -> None:
    clock = VirtualClock()
    gone = asyncio.create_task(clock.sleep(5))
    await asyncio.sleep(0)
    gone.cancel()
    await clock.sleep(10)
    assert clock.now() == 10 and gone.cancelled()


def test_system_clock_does_not_go_back() -> None:
    clock: Clock = SystemClock()
    assert clock.now() <= clock.now()
