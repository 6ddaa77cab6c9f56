"""The thread that writes batches, so that serving never waits for a database."""

from __future__ import annotations

import atexit
import itertools
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from agentnet.errors import StoreError
from agentnet.traces.records import Record

log = logging.getLogger("agentnet.traces")

_MOST = 4096  # records a transaction: larger ones gain little and hold the write lock longer


class Writer:
    """Collects records and writes them in batches from its own thread.

    A record is written at most ``flush_s`` seconds after `submit`, or as soon as ``batch`` records wait
    (plus the time the transaction takes). A write that fails is tried again, with growing pauses, and no
    record is dropped for it.

    Args:
        write: Writes a batch; returns reasons for records it refused; raises when it cannot write now.
        explain: Turns what ``write`` raises into a StoreError.
        flush_s: Longest wait of a record before it is written.
        batch: Records that are written without waiting longer.
        queue: Most records that wait.
        block_s: Longest time `submit` waits for room when ``queue`` records wait.
    """

    def __init__(
        self,
        write: Callable[[Sequence[Record]], list[str]],
        explain: Callable[[Exception], StoreError],
        *,
        flush_s: float = 0.2,
        batch: int = 512,
        queue: int = 100_000,
        block_s: float = 1.0,
    ) -> None:
        if flush_s < 0 or batch < 1 or queue < batch:
            raise StoreError("a store needs flush_s >= 0 and 1 <= batch <= queue.")
        self._write = write
        self._explain = explain
        self._flush_s, self._batch, self._queue, self._block_s = flush_s, batch, queue, block_s
        self._closed = False
        self._reset()
        atexit.register(self._at_exit)

    def _reset(self) -> None:
        """Starts afresh; in a forked child the parent's records stay the parent's to write."""
        self._pid = os.getpid()
        self._state = threading.Condition()
        self._pending: deque[Record] = deque()
        self._thread: threading.Thread | None = None
        self._oldest = 0.0
        self._submitted = self._written = self._failures = 0
        self._wanted = 0
        self._stopping = False
        self._error: StoreError | None = None
        self._reported = False
        self._refused: list[str] = []

    def forked(self) -> bool:
        """Notices a fork and starts afresh; returns whether there was one."""
        if self._pid == os.getpid():
            return False
        self._reset()
        return True

    @property
    def waiting(self) -> int:
        """Records that are not yet written."""
        return len(self._pending)

    @property
    def room(self) -> int:
        """Records that can be submitted without waiting."""
        return max(0, self._queue - len(self._pending))

    def submit(self, records: Sequence[Record]) -> None:
        """Queues records.

        Raises:
            StoreError: there was no room for ``block_s`` seconds (these records were not taken), or an
                earlier write failed (these records were taken; said once a failure).
        """
        with self._state:
            if self._closed:
                raise StoreError("the trace store is closed.")
            before = len(self._pending)
            if before and before + len(records) > self._queue:
                self._make_room(len(records))
                before = len(self._pending)
            if not before:
                self._oldest = time.monotonic()
            self._pending.extend(records)
            self._submitted += len(records)
            if self._thread is None:
                self._thread = threading.Thread(target=self._loop, name="agentnet-traces", daemon=True)
                self._thread.start()
            if not before or before < self._batch <= len(self._pending):
                self._state.notify_all()
            if self._error is not None and not self._reported:
                self._reported = True
                raise self._error

    def _make_room(self, wanted: int) -> None:
        self._wanted = self._submitted
        self._state.notify_all()
        fits = self._state.wait_for(
            lambda: not self._pending or len(self._pending) + wanted <= self._queue, self._block_s
        )
        if not fits:
            cause = f" The last error: {self._error}" if self._error else ""
            raise StoreError(
                f"{len(self._pending):,} records wait for the trace database and these {wanted} were not "
                f"taken: it is too slow or cannot be written.{cause}"
            )

    def flush(self) -> None:
        """Waits until everything submitted before is committed.

        Raises:
            StoreError: it could not be written (it is kept and tried again), or records were refused.
        """
        with self._state:
            target, failures = self._submitted, self._failures
            self._wanted = max(self._wanted, target)
            self._state.notify_all()
            self._state.wait_for(lambda: self._written >= target or self._failures > failures)
            if self._written < target and self._error is not None:
                self._reported = True
                raise self._error
            if self._refused:
                refused, self._refused = self._refused, []
                raise StoreError(
                    f"{len(refused)} records cannot be stored as they are: " + "; ".join(refused[:3])
                )

    def close(self) -> None:
        """Writes what waits and stops the thread; on StoreError it stays open, with what waits."""
        if self._closed:
            return
        refused: StoreError | None = None
        if self._thread is not None:
            try:
                self.flush()
            except StoreError as error:
                if self.waiting:
                    raise
                refused = error
            with self._state:
                self._stopping = self._closed = True
                self._state.notify_all()
            self._thread.join()
        self._closed = True
        atexit.unregister(self._at_exit)
        if self._pending and self._error is not None:  # submitted by another thread while closing
            raise self._error
        if refused is not None:
            raise refused

    def _at_exit(self) -> None:
        if self._pid != os.getpid():
            return
        try:
            self.close()
        except StoreError as error:
            log.error("%d trace records are lost: %s", self.waiting, error)

    def _loop(self) -> None:
        pause = 0.0
        while True:
            with self._state:
                if not self._await_batch(pause):
                    return
                taken = list(itertools.islice(self._pending, _MOST))
            try:
                refused = self._write(taken)
            except Exception as error:  # the thread must live, and say what happened
                pause = min(5.0, max(0.1, 2 * pause))
                self._failed(self._explain(error))
                if self._stopping:
                    return
                continue
            pause = 0.0
            with self._state:
                for _ in taken:
                    self._pending.popleft()
                self._written += len(taken)
                self._oldest = time.monotonic()
                self._error = None
                self._refused += refused
                self._state.notify_all()
            for reason in refused:
                log.error("a trace record was refused: %s", reason)

    def _await_batch(self, pause: float) -> bool:
        """Waits until it is time to write; False when the thread is to end."""
        state = self._state
        state.wait_for(lambda: self._pending or self._stopping)
        if not self._pending:
            return False
        due = time.monotonic() + pause if pause else self._oldest + self._flush_s
        while True:
            hurry = self._wanted > self._written or self._stopping
            if hurry or (not pause and len(self._pending) >= self._batch):
                return True
            left = due - time.monotonic()
            if left <= 0:
                return True
            state.wait(left)

    def _failed(self, error: StoreError) -> None:
        with self._state:
            kept = StoreError(
                f"{error} {len(self._pending):,} records are kept and written when it works again."
            )
            self._error = kept
            self._reported = False
            self._failures += 1
            self._wanted = 0
            self._state.notify_all()
        log.warning("%s", kept)
