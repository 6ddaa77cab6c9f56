"""`Worker`: the learner's thread, with an event loop that judges and a second thread that learns.

All fields behind an underscore belong to the loop's thread, except ``_signalled``, which may be read and
written by any: at worst it costs a needless wake-up.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from agentnet.errors import StoreError
from agentnet.learning.inbox import Inbox
from agentnet.learning.judges import Judge, Verdict
from agentnet.learning.merge import Merge
from agentnet.learning.samples import Lesson, Sample
from agentnet.learning.stats import Tally
from agentnet.runtime.clients.scrub import told
from agentnet.traces.records import OutcomeRecord

if TYPE_CHECKING:
    from agentnet.traces.store import TraceStore

T = TypeVar("T")

_log = logging.getLogger(__name__)

_BACKLOG = 8
"""Batches that may wait to be learned from; then judging waits too."""
_BREATH_S = 2e-4
"""Pause between two runs that are judged. A thread that waits for the interpreter gets it only if it stays
free for as long as that thread takes to wake up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How much a worker does at once."""

    batch: int
    """Runs a batch."""
    every_s: float
    """Seconds after which a smaller batch is learned from, and a newer shared state is looked for."""
    accept: float | None
    """The gate; None tells the router every judged run with its own score."""
    tell_rejected: bool
    """Whether the router is told of rejected runs."""
    concurrency: int
    """Runs that are judged at once."""
    timeout_s: float
    """Seconds one judgement may take."""


class Worker:
    """Judges what is in the inbox and learns from what passes the gate.

    Args:
        inbox: Sampled runs.
        judge: Says how good they are; None judges nothing.
        merge: Teaches the router.
        store: Where verdicts are recorded.
        recovered: Runs of earlier processes, judged and learned like those of the inbox.
        pace: How much at once.
        tally: Counts.
    """

    def __init__(
        self,
        inbox: Inbox[Sample],
        judge: Judge | None,
        merge: Merge,
        store: TraceStore | None,
        recovered: Iterator[Sample],
        pace: Pace,
        tally: Tally,
    ) -> None:
        self._inbox, self._judge, self._merge, self._store = inbox, judge, merge, store
        self._recovered, self._pace, self._tally = recovered, pace, tally
        self._lessons: deque[Lesson] = deque()
        self._judgements: set[asyncio.Task[None]] = set()  # a loop keeps no strong reference to its tasks
        self._open = 0  # samples between the inbox and their verdict
        self._learning = self._paused = self._recovering = False
        self._signalled = False
        self._hurry = 0  # drains that wait
        self._failures = 0
        self._failure: StoreError | None = None
        self._learner = ThreadPoolExecutor(1, thread_name_prefix="agentnet-learn")
        started: Future[None] = Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._main(started)), name="agentnet-learner", daemon=True
        )
        self._thread.start()
        started.result()

    # -- from any thread -----------------------------------------------------------------------
    def wake(self) -> None:
        """Says that the inbox has something; never waits."""
        if not self._signalled:
            self._signalled = True
            with contextlib.suppress(RuntimeError):  # the loop has just ended
                self._loop.call_soon_threadsafe(self._signal.set)

    @property
    def waiting(self) -> int:
        """Runs that wait to be judged or learned from."""
        return len(self._inbox) + self._open + len(self._lessons)

    def call(self, coro: Any) -> Any:
        """Runs a coroutine of this worker on its loop and returns the result; blocks."""
        return asyncio.run_coroutine_threadsafe(coro, self._loop).result()

    def stop(self) -> None:
        """Ends both threads; what waits is left."""
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._learner.shutdown()

    # -- on the loop ---------------------------------------------------------------------------
    async def drain(self, *, recovered: bool = True) -> None:
        """Waits until all that was offered is judged and learned.

        Args:
            recovered: Whether to wait for all runs of earlier processes, too, or to stop taking them up.

        Raises:
            StoreError: the store failed meanwhile; what is not learned is kept and tried again.
        """
        if not recovered:
            self._recovery.cancel()
            await asyncio.wait([self._recovery])
            self._recovering = False
        await self.pause(False)
        failures = self._failures
        self._hurry += 1
        self._changed()
        try:
            while not self._idle and self._failures == failures:
                self._step.clear()
                await self._step.wait()
        finally:
            self._hurry -= 1
        if not self._idle and self._failure is not None:
            raise self._failure

    async def pause(self, paused: bool) -> None:
        """Starts nothing new while paused; what is under way goes on."""
        self._paused = paused
        self._changed()

    async def refresh(self) -> bool:
        """Adopts the shared state if it is newer."""
        return await self._in_learner(self._merge.refresh)

    @property
    def _idle(self) -> bool:
        return not (self._recovering or self._learning or self.waiting)

    async def _main(self, started: Future[None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._signal, self._due, self._step = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._stopping = asyncio.Event()
        self._slots = asyncio.Semaphore(self._pace.concurrency)
        self._recovering = True
        self._recovery = asyncio.create_task(self._recover())
        tasks = [self._recovery, asyncio.create_task(self._feed()), asyncio.create_task(self._learn())]
        started.set_result(None)
        await self._stopping.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _changed(self) -> None:
        """Lets everything that waits for a change look again."""
        self._signal.set()
        self._step.set()
        if self._wants_batch:
            self._due.set()

    @property
    def _wants_batch(self) -> bool:
        """Whether to learn now rather than at the next tick."""
        last = self._hurry and not (self._open or len(self._inbox) or self._recovering)
        return len(self._lessons) >= self._pace.batch or bool(self._lessons and last)

    async def _may_judge(self) -> None:
        """Waits while judging is paused or too far ahead of learning."""
        while self._paused or len(self._lessons) >= _BACKLOG * self._pace.batch:
            self._signal.clear()
            await self._signal.wait()

    async def _feed(self) -> None:
        """Takes runs from the inbox, as many at once as may be judged at once."""
        while True:
            sample = await self._next()
            await self._slots.acquire()
            self._start(sample)
            await asyncio.sleep(_BREATH_S)

    async def _next(self) -> Sample:
        while True:
            await self._may_judge()
            self._signalled = False
            self._signal.clear()
            if (sample := self._inbox.take()) is not None:
                self._open += 1
                return sample
            self._step.set()
            await self._signal.wait()

    async def _recover(self) -> None:
        """Takes up runs of earlier processes, one page after the other."""
        try:
            while True:
                await self._may_judge()
                sample = await self._in_learner(lambda: next(self._recovered, None))
                if sample is None:
                    break
                self._tally.add(recovered=1)
                await self._slots.acquire()
                self._open += 1
                self._start(sample)
        except Exception as failure:
            self._tally.add(errors=1)
            _log.warning("runs of earlier processes could not all be taken up: %s", told(failure))
        finally:
            self._recovering = False
            self._changed()

    def _start(self, sample: Sample) -> None:
        """Judges a run beside others; it holds a slot, and counts as open, until it is judged."""
        task = asyncio.create_task(self._handle(sample))
        self._judgements.add(task)
        task.add_done_callback(self._judgements.discard)

    async def _handle(self, sample: Sample) -> None:
        try:
            if sample.score is not None:
                self._admit(sample, sample.score)
                return
            if self._judge is None:
                return
            async with asyncio.timeout(self._pace.timeout_s):
                verdict = await self._judge.judge(sample.task, sample.answer)
            self._tally.spend(verdict.cost)
            await self._judged(sample, verdict)
        except Exception as failure:
            self._tally.add(errors=1)
            _log.warning("run %s could not be judged: %s", sample.run_id, told(failure))
        finally:
            self._open -= 1
            self._slots.release()
            self._changed()

    async def _judged(self, sample: Sample, verdict: Verdict) -> None:
        if verdict.score is None:
            self._tally.add(unreadable=1)
            if self._store is not None:  # its id is kept, so that it is not judged again
                self._lessons.append(Lesson(sample.run_id, None))
            return
        self._tally.add(judged=1)
        if self._store is not None:
            await self._record(self._store, sample.run_id, verdict, verdict.score)
        self._admit(sample, verdict.score)

    async def _record(self, store: TraceStore, run_id: str, verdict: Verdict, score: float) -> None:
        note = verdict.note or None
        record = OutcomeRecord(
            run_id=run_id, score=score, judge=verdict.judge, judged_at=time.time(), note=note
        )
        try:
            await store.awrite(record)
        except StoreError as failure:
            self._tally.add(errors=1)
            _log.warning("the verdict on run %s may not be stored: %s", run_id, told(failure))

    def _admit(self, sample: Sample, score: float) -> None:
        """Passes a run through the gate: it is accepted, or rejected, or dropped."""
        gate = self._pace.accept
        accepted = gate is None or score >= gate
        self._tally.add(accepted=int(accepted))
        if accepted or self._pace.tell_rejected:
            told_score = score if gate is None else float(accepted)
            self._lessons.append(Lesson(sample.run_id, sample.served(told_score)))

    # -- learning ------------------------------------------------------------------------------
    async def _learn(self) -> None:
        """Learns in batches: when one is full, every so often, and when somebody waits for it."""
        pause = 0.0
        while True:
            try:
                async with asyncio.timeout(pause or self._pace.every_s):
                    await self._due.wait()
                if pause:  # not at once again, though somebody waits
                    await asyncio.sleep(pause)
            except TimeoutError:
                pass
            self._due.clear()
            if self._paused:
                continue
            pause = await self._learn_what_waits(pause)

    async def _learn_what_waits(self, pause: float) -> float:
        """Learns one batch, or looks for a newer state; returns how long to wait after a failure."""
        n = min(len(self._lessons), self._pace.batch)
        batch = [self._lessons.popleft() for _ in range(n)]
        self._learning = True
        try:
            if batch:
                used = await self._in_learner(lambda: self._merge.learn(batch))
                self._tally.add(learned=used, batches=1)
            elif not self._hurry:
                await self._in_learner(self._merge.refresh)
            return 0.0
        except StoreError as failure:
            self._lessons.extendleft(reversed(batch))
            self._failure, self._failures = failure, self._failures + 1
            self._tally.add(errors=1)
            _log.warning("the shared state could not be read or changed: %s", told(failure))
            return min(5.0, max(0.1, 2 * pause))
        except Exception as failure:
            self._tally.add(errors=1)
            _log.warning("a batch of %d runs was not learned from: %s", len(batch), told(failure))
            return 0.0
        finally:
            self._learning = False
            self._changed()

    async def _in_learner(self, work: Callable[[], T]) -> T:
        return await asyncio.wrap_future(self._learner.submit(work))
