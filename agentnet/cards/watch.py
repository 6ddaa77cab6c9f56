"""Keeps a served pool in step with its file: agents added to or taken from the file come and go at run time.

Looked at is the file's time and size, every second or as told. A file that is broken, or that holds an agent
which cannot be run, leaves the served pool as it is and is logged as an error, once.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from agentnet.errors import LimitError, PoolError
from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool, PoolHandle
from agentnet.runtime.spec import load_spec

if TYPE_CHECKING:
    from agentnet.runtime.strategies import StrategyLike

_log = logging.getLogger(__name__)

Signature = tuple[int, int, int]


class PoolWatch:
    """Watches a pool file for a handle; `watch_pool` starts one in a thread.

    Only what changed *in the file* is applied: an agent that the program itself added stays, and one whose
    entry is as it was keeps its object, with its callable and its tools.
    """

    def __init__(
        self,
        file: str | Path,
        handle: PoolHandle,
        *,
        bind: Callable[[Agent], Agent] | None = None,
        strategies: Mapping[str, StrategyLike] | None = None,
        runnable: bool = True,
    ) -> None:
        """Takes the file as it is now for what the handle serves, and adds agents that the pool lacks.

        Args:
            file: A ``.yaml``, ``.yml`` or ``.json`` pool file.
            handle: The pool being served.
            bind: Makes of an agent as the file has it the one to serve, for example with its ``call``.
            strategies: The program's own ways of answering, as its runtime has them.
            runnable: Whether an agent that cannot be run makes a file unusable; False where the pool is only
                routed over.

        Raises:
            PoolError: the file is of another kind, or cannot be used now.
        """
        self.file = Path(file)
        if self.file.suffix not in (".yaml", ".yml", ".json"):
            raise PoolError(f"{file} cannot be watched: only .yaml and .json pool files are read again.")
        self._handle = handle
        self._bind = bind
        self._strategies = strategies
        self._runnable = runnable
        self._seen = self._signature()
        self._known = self._load()
        self._lock = threading.Lock()
        if missing := [agent for agent in self._known if agent.name not in handle.current]:
            handle.swap(lambda pool: Pool((*pool, *missing)))

    def check(self) -> bool:
        """Looks once, and returns whether the served pool was changed; a bad file changes nothing."""
        with self._lock:
            signature = self._signature()
            if signature == self._seen:
                return False
            try:
                new = self._load()
            except Exception as error:  # a bind function is anybody's code
                if self._signature() == signature:  # else it is being written now: look again
                    self._seen = signature
                    _log.error("%s cannot be used, the pool stays as it is: %s", self.file, error)
                return False
            if self._signature() != signature:
                return False
            self._seen = signature
            return self._apply(new)

    async def run(self, *, every_s: float = 1.0) -> None:
        """Looks again and again until cancelled, off the event loop."""
        _check_pause(every_s)
        while True:
            await asyncio.sleep(every_s)
            await asyncio.to_thread(self.check)

    def _signature(self) -> Signature | None:
        try:
            found = self.file.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _load(self) -> Pool:
        """The file's agents, bound and checked."""
        pool = load_spec(self.file).pool
        if self._bind is not None:
            pool = Pool(map(self._bind, pool))
        _ = pool.backends
        if self._runnable:
            from agentnet.runtime.strategies import check_agent, with_own

            table = with_own(self._strategies)
            for agent in pool:
                check_agent(agent, table)
        return pool

    def _apply(self, new: Pool) -> bool:
        old = {agent.name: agent for agent in self._known}

        def merged(pool: Pool) -> Pool:
            kept = []
            for agent in pool:
                if agent.name not in new:
                    if agent.name not in old:
                        kept.append(agent)
                elif agent.name in old and new[agent.name] == old[agent.name]:
                    kept.append(agent)
                else:
                    kept.append(new[agent.name])
            names = {agent.name for agent in kept}
            return Pool((*kept, *(agent for agent in new if agent.name not in names)))

        changed = list(new) != list(self._known)
        if changed:
            self._handle.swap(merged)
            _log.info("%s was read again: %d agents", self.file, len(new))
        self._known = new
        return changed


class WatchThread:
    """A `PoolWatch` in a daemon thread; a context manager, or `close` it."""

    def __init__(self, watch: PoolWatch, every_s: float) -> None:
        self.watch = watch
        self._every_s = every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="agentnet-watch-pool", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops watching and waits for the thread."""
        self._stop.set()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _work(self) -> None:
        while not self._stop.wait(self._every_s):
            self.watch.check()


def watch_pool(
    file: str | Path,
    handle: PoolHandle,
    *,
    every_s: float = 1.0,
    bind: Callable[[Agent], Agent] | None = None,
    strategies: Mapping[str, StrategyLike] | None = None,
    runnable: bool = True,
) -> WatchThread:
    """Keeps a served pool in step with its file, from a thread of its own.

    Args:
        file: As in `PoolWatch`.
        handle: As in `PoolWatch`.
        every_s: Seconds between two looks.
        bind: As in `PoolWatch`.
        strategies: As in `PoolWatch`.
        runnable: As in `PoolWatch`.

    Raises:
        PoolError: the file cannot be used now.
        LimitError: ``every_s`` is not above 0.
    """
    _check_pause(every_s)
    watch = PoolWatch(file, handle, bind=bind, strategies=strategies, runnable=runnable)
    return WatchThread(watch, every_s)


async def awatch_pool(
    file: str | Path,
    handle: PoolHandle,
    *,
    every_s: float = 1.0,
    bind: Callable[[Agent], Agent] | None = None,
    strategies: Mapping[str, StrategyLike] | None = None,
    runnable: bool = True,
) -> None:
    """Does as `watch_pool` in the running event loop, until cancelled."""
    _check_pause(every_s)
    watch = await asyncio.to_thread(
        PoolWatch, file, handle, bind=bind, strategies=strategies, runnable=runnable
    )
    await watch.run(every_s=every_s)


def _check_pause(every_s: float) -> None:
    if not every_s > 0:
        raise LimitError(f"every_s is a number of seconds above 0; got {every_s!r}.")
