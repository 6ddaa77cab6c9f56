"""`Merge`: puts judged runs into a router, by itself or into a state that several processes share."""

from __future__ import annotations

import contextlib
import copy
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from agentnet.errors import StoreError
from agentnet.learning.samples import Lesson
from agentnet.learning.stats import Holds
from agentnet.routers.online import OnlineRouter, Served

if TYPE_CHECKING:
    from agentnet.traces.shared_state import SharedState
    from agentnet.traces.store import TraceStore

KEEP_S = 7 * 86_400.0
"""How long the ids of learned runs are kept at least."""
_FORGET_EVERY_S = 3600.0


class Merge:
    """Teaches a router; with a store, every change is one transaction of a `SharedState`.

    The merge rule is the order of commits: each process learns its batch on top of the state that the
    batch committed before it left, whoever learned that, and then serves the result.

    One thread at a time may use it.

    Args:
        router: The router; nothing else may teach it meanwhile. A copy of it learns, which the contract of
            `OnlineRouter` makes safe: learning replaces its state and changes none.
        store: The trace store that keeps the shared state; None: the router alone.
        name: Names the shared state.
        recover_s: How far back runs are taken up; the ids of learned runs are kept twice as long.
    """

    def __init__(
        self, router: OnlineRouter, store: TraceStore | None, name: str, *, recover_s: float = 86_400.0
    ) -> None:
        self.holds = Holds()
        self.version = 0
        """Version of the shared state that the router serves."""
        self.shared: SharedState | None = None
        self._router = router
        self._store = store
        self._keep_s = max(KEEP_S, 2 * recover_s)
        self._forgot_at = 0.0
        if store is not None:
            from agentnet.traces.shared_state import SharedState

            self.shared = SharedState(store, name, breathe=self.holds.end)
        self._initial = copy.copy(router)
        self._pupil: OnlineRouter | None = None
        """Learns inside the transactions; None: not known to stand where `_held` is."""
        self._held: bytes | None = None

    def refresh(self) -> bool:
        """Adopts the shared state if it is newer; returns whether it was.

        Raises:
            StoreError: it cannot be read.
            RouterError: it is of another router, or of another pool.
        """
        if self.shared is None:
            return False
        self.holds.begin()
        version, payload = self.shared.read(newer_than=self.version)
        if version <= self.version:
            return False
        if payload is not None:
            self._router.adopt(payload)
        self.version = version
        self.holds.end()
        return payload is not None

    def learn(self, lessons: Sequence[Lesson]) -> int:
        """Learns from those of the runs that were not learned from before; returns how many were used.

        Raises:
            StoreError: the store failed; nothing was applied, and the same lessons may be given again.
        """
        self.holds.begin()
        if self.shared is None:
            served = [lesson.served for lesson in lessons if lesson.served is not None]
            used = self._router.learn(served)
            self.holds.end()
            return used
        assert self._store is not None
        self._store.flush()  # what is learned has its run and its verdict in the store
        change = _Change(self)
        applied = self.shared.apply({lesson.run_id: lesson.served for lesson in lessons}, change)
        if applied.used:
            self._pupil = change.pupil
            if change.after is not None:
                self._router.adopt(change.after)
                self._held = change.after
            self.version = applied.version
        self.holds.end()
        self._forget()
        return change.used

    def _standing(self, payload: bytes | None) -> OnlineRouter:
        """Returns a copy of the router that stands where the payload says; it is spent by learning."""
        pupil, self._pupil = self._pupil, None  # whatever happens before the commit is forgotten
        if pupil is None or payload != self._held:
            pupil = copy.copy(self._initial)
            if payload is not None:
                pupil.adopt(payload)
            self._held = payload
            self.holds.end()
        return pupil

    def _forget(self) -> None:
        """Deletes the ids of runs too old to come again, now and then."""
        now = time.time()
        if self.shared is not None and now - self._forgot_at >= _FORGET_EVERY_S:
            self._forgot_at = now
            with contextlib.suppress(StoreError):  # upkeep: the lessons were applied, and it comes again
                self.shared.forget(before=now - self._keep_s)
            self.holds.end()


class _Change:
    """One change of the shared state, done by a copy of the router: only what is committed is served."""

    def __init__(self, merge: Merge) -> None:
        self._merge = merge
        self.used = 0
        self.after: bytes | None = None
        self.pupil: OnlineRouter | None = None

    def __call__(self, payload: bytes | None, items: list[Served | None]) -> bytes | None:
        merge = self._merge
        self.pupil = merge._standing(payload)
        served = [item for item in items if item is not None]
        self.used = self.pupil.learn(served) if served else 0
        merge.holds.end()
        if self.used:
            self.after = self.pupil.snapshot()
        return self.after
