"""Time as a value that is passed in, so that tests never sleep."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from typing import Protocol


class Clock(Protocol):
    """What tells the time and waits."""

    def now(self) -> float:
        """Returns seconds from a fixed but arbitrary moment; never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Waits."""
        ...


class SystemClock:
    """The machine's monotonic clock."""

    def now(self) -> float:
        """Returns monotonic seconds."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Waits in real time."""
        await asyncio.sleep(seconds)


class VirtualClock:
    """A clock that jumps: when nothing else can run, time moves on to the next sleeper.

    Concurrent sleepers wake in the order of their times, so a load that would take minutes is played in
    moments and the same way each time. For one event loop.

    >>> clock = VirtualClock()
    >>> asyncio.run(clock.sleep(3600)), clock.now()
    (None, 3600.0)
    """

    def __init__(self, start: float = 0.0) -> None:
        self._now = start
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._driver: asyncio.Task[None] | None = None
        self.slept: list[float] = []
        """The length of every sleep that was asked for."""

    def now(self) -> float:
        """Returns virtual seconds."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Moves the time without waking sleepers before their turn."""
        self._now += seconds

    async def sleep(self, seconds: float) -> None:
        """Waits in virtual time."""
        self.slept.append(seconds)
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        heapq.heappush(self._sleepers, (self._now + max(seconds, 0.0), next(self._order), turn))
        if self._driver is None or self._driver.done():
            self._driver = loop.create_task(self._drive())
        await turn

    async def _drive(self) -> None:
        while self._sleepers:
            # Let everything that can run do so before time moves; a few turns of the loop settle chains.
            for _ in range(20):
                await asyncio.sleep(0)
            wake_at, _, turn = heapq.heappop(self._sleepers)
            if not turn.done():
                self._now = max(self._now, wake_at)
                turn.set_result(None)
