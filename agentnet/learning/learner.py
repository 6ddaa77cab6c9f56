"""`GatedLearner`: an online router learns from what it serves, off the serving path, behind a judge.

After AMRO-S (arXiv:2603.12933): requests are logged at a sampling rate, a judge gives each a binary
verdict, and only accepted ones reinforce the router. Sampling rate, queue, batch and the snapshot rule are
not known from the paper; the defaults here are this project's choice.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Self

from agentnet.errors import InvalidInput, NotFitted
from agentnet.learning.inbox import Inbox
from agentnet.learning.judges import ACCEPT, Judge
from agentnet.learning.merge import Merge
from agentnet.learning.samples import Sample, from_result, sampled, teaches
from agentnet.learning.stats import COUNTED, LearnerStats, Tally
from agentnet.learning.worker import Pace, Worker
from agentnet.routers.online import OnlineRouter
from agentnet.runtime.result import RunResult

if TYPE_CHECKING:
    from agentnet.traces.store import TraceStore


class GatedLearner:
    """Learns from served runs in the background; give it to ``Runtime(observers=[learner])``.

    Readers never wait: `offer` puts a run into a bounded queue, a thread judges and learns in batches, and
    the router swaps each new snapshot in by one reference. With a store the learned state is a named,
    shared one: see `agentnet.learning.merge` for how several processes learn one state, and
    `agentnet.learning.recovery` for what is taken up after a crash.

    Make it after forking, use it as a context manager or `close` it, and let nothing else teach the router.

    >>> from agentnet import Agent, Pool, Runtime
    >>> from agentnet.learning.judges import ExactJudge
    >>> from agentnet.routers.amro_s import AmroSRouter
    >>> pool = Pool([Agent(name="right", call=lambda _: "4"), Agent(name="wrong", call=lambda _: "5")])
    >>> router = AmroSRouter(recipe="paper", layers=1)
    >>> judge = ExactJudge(lambda task, answer: answer == "4", name="sum")
    >>> with GatedLearner(router, judge, rate=1.0) as learner:
    ...     with Runtime(pool, router, observers=[learner]) as runtime:
    ...         answers = runtime.batch([f"What is 2 + 2? ({i})" for i in range(20)])
    ...     learner.drain()
    ...     done = learner.stats()
    >>> done.judged, done.learned, 0 < done.accepted < 20
    (20, 20, True)
    """

    def __init__(
        self,
        router: OnlineRouter,
        judge: Judge | None,
        *,
        store: TraceStore | None = None,
        name: str = "colony",
        rate: float = 0.2,
        queue: int = 10_000,
        batch: int = 32,
        every_s: float = 2.0,
        accept: float | None = ACCEPT,
        tell_rejected: bool = True,
        seed: int = 0,
        checkpoint: str | Path | None = None,
        concurrency: int = 4,
        judge_timeout_s: float = 120.0,
        recover_s: float = 86_400.0,
    ) -> None:
        """Adopts the stored state, where there is one, and starts the thread.

        Args:
            router: What learns; the same object that serves.
            judge: Says how good an answer is. None, with ``rate=0``, only follows a shared state.
            store: The trace store that the runtime records in: verdicts and the learned state are kept
                there too. None keeps the state in this process.
            name: Names the learned state in the store; processes with the same name share it.
            rate: Share of the runs that is judged.
            queue: Most sampled runs that wait; when full, the oldest is dropped.
            batch: Judged runs that are learned from at once.
            every_s: Seconds after which fewer are learned from, and a newer shared state is looked for.
            accept: The binary gate g: a verdict from here on is accepted and told to the router as score 1,
                any other is rejected, score 0. None: no gate, the router is told the judge's own scores.
            tell_rejected: Whether the router is told of rejected runs. By the contract of AMRO-S they
                deposit nothing; but it learns that a path was tried. False drops them here.
            seed: Of the sampling.
            checkpoint: Folder the router is saved to by `close`.
            concurrency: Runs that are judged at once.
            judge_timeout_s: Seconds a judgement may take.
            recover_s: How many seconds back runs of earlier processes are taken up at the start.

        Raises:
            InvalidInput: a setting cannot be used.
            StoreError: the stored state cannot be read.
            RouterError: the stored state is another router's.
        """
        if not isinstance(router, OnlineRouter):
            raise InvalidInput(f"only an OnlineRouter learns while serving; got {type(router).__name__}.")
        _check(rate=rate, accept=accept, every_s=every_s, judge_timeout_s=judge_timeout_s)
        for key, value in (("queue", queue), ("batch", batch), ("concurrency", concurrency)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InvalidInput(f"{key} is a whole number from 1; got {value!r}.")
        if not recover_s >= 0:
            raise InvalidInput(f"recover_s is a number of seconds from 0; got {recover_s!r}.")
        if judge is None and rate > 0:
            raise InvalidInput("a learner needs a judge; rate=0 without one only follows a shared state.")
        self.router = router
        self.name = name
        self._rate, self._seed = rate, seed
        self._checkpoint = Path(checkpoint) if checkpoint is not None else None
        self._tally = Tally()
        self._inbox = Inbox[Sample](queue)
        self._merge = Merge(router, store, name, recover_s=recover_s)
        self._merge.refresh()
        recovered: Iterator[Sample] = iter(())
        if store is not None and judge is not None and rate > 0 and recover_s > 0:
            recovered = self._unlearned(store, judge, None if tell_rejected else accept, recover_s)
        pace = Pace(
            batch=batch,
            every_s=every_s,
            accept=accept,
            tell_rejected=tell_rejected,
            concurrency=concurrency,
            timeout_s=judge_timeout_s,
        )
        self._worker = Worker(self._inbox, judge, self._merge, store, recovered, pace, self._tally)
        self._closed = False

    def _unlearned(
        self, store: TraceStore, judge: Judge, drop_below: float | None, recover_s: float
    ) -> Iterator[Sample]:
        from agentnet.learning.recovery import Search, unlearned

        now = time.time()
        search = Search(
            router=self.router.name,
            state=self.name,
            judge=judge.name,
            rate=self._rate,
            seed=self._seed,
            drop_below=drop_below,
            since=now - recover_s,
            until=now,
        )
        return unlearned(store, search)

    # -- serving -------------------------------------------------------------------------------
    def offer(self, result: RunResult) -> None:
        """Takes a finished run, if it can teach the router and is sampled; never waits, never raises.

        Runs that failed, abstained, took several turns, or were not decided by this router teach nothing.
        """
        if not teaches(result, self.router.name):
            return
        if not sampled(result.run_id, rate=self._rate, seed=self._seed):
            self._tally.add(offered=1)
            return
        dropped = self._inbox.put(from_result(result))
        self._tally.add(offered=1, sampled=1, dropped=dropped)
        if not self._closed:
            self._worker.wake()

    def __call__(self, result: RunResult) -> None:
        """Does as `offer`: a learner is an observer of a `Runtime`."""
        self.offer(result)

    def stats(self) -> LearnerStats:
        """Returns what was done so far."""
        counts, cost = self._tally.read()
        return LearnerStats(
            **{name: counts[name] for name in COUNTED},
            judge_cost=cost,
            waiting=self._worker.waiting,
            version=self.router.snapshot_number,
            shared_version=self._merge.version if self._merge.shared is not None else None,
            longest_hold_s=self._merge.holds.longest_s,
        )

    # -- control -------------------------------------------------------------------------------
    def pause(self) -> None:
        """Judges and learns nothing new until `resume`; runs are still taken, and wait."""
        self._check_open()
        self._worker.call(self._worker.pause(True))

    def resume(self) -> None:
        """Goes on after `pause`."""
        self._check_open()
        self._worker.call(self._worker.pause(False))

    def refresh(self) -> bool:
        """Adopts a newer shared state now, rather than within ``every_s``; returns whether there was one."""
        self._check_open()
        return bool(self._worker.call(self._worker.refresh()))

    async def arefresh(self) -> bool:
        """`refresh` without blocking the event loop."""
        return await asyncio.to_thread(self.refresh)

    def drain(self) -> None:
        """Waits until all runs taken so far are judged and learned; a paused learner goes on.

        Runs of earlier processes that are to be taken up are among them.

        Raises:
            StoreError: the store failed; what is not learned is kept, and tried again.
        """
        self._check_open()
        self._worker.call(self._worker.drain())

    async def adrain(self) -> None:
        """`drain` without blocking the event loop."""
        await asyncio.to_thread(self.drain)

    def close(self) -> None:
        """Takes nothing more, drains, ends the threads and saves the checkpoint; the store stays open.

        Runs of earlier processes that were not taken up yet are left to the next learner.

        Raises:
            StoreError: the store failed; the next learner takes up from the traces what is missing.
            RouterError: the checkpoint cannot be written.
        """
        if self._closed:
            return
        self._closed = True
        self._inbox.close()
        try:
            self._worker.call(self._worker.drain(recovered=False))
        finally:
            self._worker.stop()
        if self._checkpoint is not None:
            with contextlib.suppress(NotFitted):  # a router that knows nothing has nothing to save
                self.router.save(self._checkpoint)

    def _check_open(self) -> None:
        if self._closed:
            raise InvalidInput("the learner is closed; make another.")

    async def aclose(self) -> None:
        """`close` without blocking the event loop."""
        await asyncio.to_thread(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"GatedLearner({self.router.name!r}, name={self.name!r}, rate={self._rate})"


def _check(*, rate: float, accept: float | None, every_s: float, judge_timeout_s: float) -> None:
    if not 0 <= rate <= 1:
        raise InvalidInput(f"rate is a share from 0 to 1; got {rate!r}.")
    if accept is not None and not 0 <= accept <= 1:
        raise InvalidInput(f"accept is a score from 0 to 1, or None for no gate; got {accept!r}.")
    for name, value in (("every_s", every_s), ("judge_timeout_s", judge_timeout_s)):
        if not value > 0:
            raise InvalidInput(f"{name} is a number of seconds above 0; got {value!r}.")
