"""`Gate`: how many calls may be in flight at once, over all threads and event loops."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from types import TracebackType


class Gate:
    """A fair semaphore that several event loops can share, unlike `asyncio.Semaphore`.

    >>> gate = Gate(2)
    >>> gate.free
    2
    """

    def __init__(self, places: int) -> None:
        self.free = places
        self._lock = threading.Lock()
        self._waiting: deque[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = deque()

    async def acquire(self) -> None:
        """Takes a place, waiting in line for one; cancellation is safe."""
        loop = asyncio.get_running_loop()
        with self._lock:
            if self.free > 0 and not self._waiting:
                self.free -= 1
                return
            turn: asyncio.Future[None] = loop.create_future()
            self._waiting.append((loop, turn))
        try:
            await turn
        except asyncio.CancelledError:
            with self._lock:
                queued = (loop, turn) in self._waiting
                if queued:
                    self._waiting.remove((loop, turn))
            if not queued:  # the place was already given to us: pass it on
                self.release()
            raise

    def release(self) -> None:
        """Gives a place back, or to whoever waits longest."""
        with self._lock:
            while self._waiting:
                loop, turn = self._waiting.popleft()
                try:
                    loop.call_soon_threadsafe(_wake, turn)
                except RuntimeError:  # that loop has been closed: its waiter is gone
                    continue
                return
            self.free += 1

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _wake(turn: asyncio.Future[None]) -> None:
    # A turn that was cancelled in between is passed on by its own waiter, which finds itself unqueued.
    if not turn.done():
        turn.set_result(None)
