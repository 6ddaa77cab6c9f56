"""`PoolLog`: records every swap of a served pool, beside the swap and never in its way."""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from agentnet.graphs.pool import Pool, PoolHandle
from agentnet.runtime.clients.scrub import told
from agentnet.runtime.recording import Sink
from agentnet.traces.records import PoolChangeRecord

_log = logging.getLogger(__name__)


class PoolLog:
    """Writes a `PoolChangeRecord` of each swap into a trace store.

    Inside the swap it only notes the new snapshot; a thread of its own, which starts with the first swap,
    compares snapshots and writes. A store that fails costs the record and is logged.

    Args:
        pool: The handle; a plain `Pool` never changes, and nothing is recorded.
        store: Where the records go; None records nothing.
    """

    def __init__(self, pool: Pool | PoolHandle, store: Sink | None) -> None:
        self._store = store
        self._end: Callable[[], None] | None = None
        self._process = f"{platform.node()}:{os.getpid()}"
        if isinstance(pool, PoolHandle) and store is not None:
            self._pool_id = pool.id
            self._before = pool.current
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="agentnet-pool-log")
            self._end = pool.on_change(self._noted)

    def _noted(self, pool: Pool, revision: int) -> None:
        before, self._before = self._before, pool
        self._thread.submit(self._write, before, pool, revision, time.time())

    def _write(self, before: Pool, pool: Pool, revision: int, when: float) -> None:
        assert self._store is not None
        try:
            self._store.write(self._record(before, pool, revision, when))
        except Exception as failure:
            _log.warning("revision %d of the pool could not be traced: %s", revision, told(failure))

    def _record(self, before: Pool, pool: Pool, revision: int, when: float) -> PoolChangeRecord:
        old = {agent.name: agent for agent in before}
        added = tuple(agent.name for agent in pool if agent.name not in old)
        changed = tuple(
            agent.name
            for agent in pool
            if (known := old.get(agent.name)) is not None and known is not agent and known != agent
        )
        return PoolChangeRecord(
            change_id=f"{self._pool_id}:{revision}",
            pool_id=self._pool_id,
            revision=revision,
            changed_at=when,
            pool_version=pool.version,
            size=len(pool),
            added=added,
            removed=tuple(name for name in old if name not in pool),
            changed=changed,
            agents=tuple(pool[name].to_dict() for name in (*added, *changed)),
            process=self._process,
        )

    def close(self) -> None:
        """Stops listening, and waits until what was noted has been handed to the store."""
        if self._end is not None:
            self._end()
            self._thread.shutdown(wait=True)

    async def aclose(self) -> None:
        """Does as `close` without blocking the event loop."""
        if self._end is not None:
            await asyncio.to_thread(self.close)
