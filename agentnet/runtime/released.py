"""Serving from a registry: who decides for a run, a canary that fails, and shadows that only watch."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agentnet.errors import AgentnetError, InvalidInput, LimitExceeded
from agentnet.graphs.live import LiveState, PartialRun
from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Task
from agentnet.registry.arms import RELEASE_TAG, Arm
from agentnet.registry.base import Registry, open_registry
from agentnet.registry.follow import Follower, Release
from agentnet.routers.base import Router
from agentnet.routers.decision import Decision
from agentnet.runtime.call import Tally
from agentnet.runtime.clients.scrub import told
from agentnet.runtime.consult import settled, wanted_backend
from agentnet.runtime.limits import Ledger
from agentnet.runtime.recording import Recorder

if TYPE_CHECKING:
    from agentnet.runtime.engine import Engine

_log = logging.getLogger(__name__)

TRIAL = Task("What is 2 + 2?")
"""What a version is asked before it serves, which also loads its encoder."""
WAITING = 1000
"""Tasks that may wait for a shadow; those beyond are not shadowed."""
_LAST_S = 5.0
"""Seconds that closing waits for the shadow's last decisions."""


class Acting:
    """Who decides for one run, from its start to its end.

    Args:
        engine: What runs share.
        release: The routers of the moment the run started.
        run_id: The run.
        arm: Which of them was drawn; None without a registry.
        tags: The run's tags, the arm among them.
        canary: Whether the canary decides.
    """

    def __init__(
        self,
        engine: Engine,
        release: Release,
        run_id: str,
        arm: Arm | None,
        tags: Mapping[str, Any],
        *,
        canary: bool,
    ) -> None:
        self._engine, self._release, self._canary = engine, release, canary
        self.arm = arm
        self.tags = tags
        self._run_id = run_id
        self._shadowed: LiveState | None = None
        """The live state of the decision that a shadow is to make too."""

    @classmethod
    def of(
        cls,
        engine: Engine,
        release: Release,
        task: Task,
        run_id: str,
        tags: Mapping[str, Any],
        *,
        resumed: bool,
    ) -> Acting:
        """Returns who decides; a run that is taken up again stays with its version while that is there."""
        state = release.state
        if state is None:
            return cls(engine, release, run_id, None, tags, canary=False)
        if resumed and RELEASE_TAG in tags:
            arm = Arm.from_dict(tags[RELEASE_TAG])
            return cls(engine, release, run_id, arm, tags, canary=arm.version == state.canary)
        arm = Arm.draw(state, session_id=task.session_id, run_id=run_id)
        tags = {**tags, RELEASE_TAG: arm.to_dict()}
        return cls(engine, release, run_id, arm, tags, canary=arm.arm == "canary")

    @property
    def router(self) -> Router | None:
        """The router that decides."""
        return self._release.canary if self._canary else self._release.serving

    async def decide(
        self, task: Task, pool: Pool, seen: PartialRun | None, *, ledger: Ledger | None, used: Tally
    ) -> tuple[Decision, str]:
        """Returns the decision and the role of who made it.

        A canary that fails, or whose graph cannot be run, is stood in for by the serving version for the
        rest of the run; what its model calls used stays charged, and is told in that decision.

        Raises:
            RouterError: the serving version cannot decide.
            LimitExceeded: a limit left no room for a call of the router's model.
        """
        if seen is None and self._release.shadow is not None:
            self._shadowed = self._engine.live()
        if self._canary:
            canary = self._release.canary
            assert canary is not None
            try:
                decision = await self._engine.route(
                    canary, task, pool, seen, ledger=ledger, used=used, role="canary"
                )
                if decision.graph is not None:
                    self._engine.compiled(decision.graph, pool)
                return decision, "canary"
            except LimitExceeded:
                raise
            except AgentnetError as failure:
                _log.warning(
                    "the canary %s failed, the serving version decides: %s", canary.version, told(failure)
                )
                self._canary = False
        serving = self._release.serving
        assert serving is not None
        decision = await self._engine.route(serving, task, pool, seen, ledger=ledger, used=used)
        if used.calls and not serving.asks_model:
            settled(decision, used, None)  # the failed canary's calls: charged as they were made
        return decision, "serving"

    def watched(self, recorder: Recorder, task: Task, pool: Pool) -> None:
        """Lets the shadow decide too, now that the run is over: in a thread of its own."""
        shadow, live, self._shadowed = self._release.shadow, self._shadowed, None
        if shadow is None or live is None or not recorder.records:
            return
        options = self._engine.route_options
        if options is not None and options.rng is not None:
            # Random numbers of its own, by run: those of the routers that act stay as they would be.
            options = replace(options, rng=np.random.default_rng(list(self._run_id.encode())))

        def decide() -> None:
            recorder.shadow(shadow.route(task, pool, live=live, options=options))

        self._engine.shadows.offer(decide)


class Shadows:
    """Does what is offered in a daemon thread, one after the other; failures are logged.

    >>> shadows, seen = Shadows(), []
    >>> shadows.offer(lambda: seen.append(1)), shadows.close(), seen
    (True, None, [1])
    """

    def __init__(self, most: int = WAITING) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._failure = ""
        self.dropped = 0
        """What was offered in vain."""

    def offer(self, work: Callable[[], None]) -> bool:
        """Takes work, unless too much waits; never waits itself."""
        thread = self._thread
        if thread is None or not thread.is_alive():  # also in a forked child
            self._start()
        try:
            self._waiting.put_nowait(work)
        except queue.Full:
            if not self.dropped:
                _log.warning("the shadow is too slow for the tasks that come: some are left out.")
            self.dropped += 1
            return False
        return True

    def close(self, timeout_s: float = _LAST_S) -> None:
        """Waits for what was offered, but not for a shadow that hangs."""
        thread = self._thread
        if thread is None or not thread.is_alive():
            return
        deadline = time.monotonic() + timeout_s
        try:
            self._waiting.put(None, timeout=timeout_s)
        except queue.Full:
            self._stopped.set()
        thread.join(max(0.0, deadline - time.monotonic()))
        if thread.is_alive():
            self._stopped.set()
            _log.warning("the shadow had not decided for %d tasks when it was closed.", self._waiting.qsize())
        self._thread = None

    def _start(self) -> None:
        self._waiting: queue.Queue[Callable[[], None] | None] = queue.Queue(self._most)
        self._stopped = threading.Event()
        self._thread = threading.Thread(
            target=self._work, args=(self._waiting, self._stopped), name="agentnet-shadow", daemon=True
        )
        self._thread.start()

    def _work(self, waiting: queue.Queue[Callable[[], None] | None], stopped: threading.Event) -> None:
        while (work := waiting.get()) is not None and not stopped.is_set():
            try:
                work()
            except Exception as failure:
                text = told(failure)
                if text != self._failure:  # once as long as nothing changes
                    self._failure = text
                    _log.warning("the shadow failed; the run is not concerned: %s", text)


def follow(
    where: Registry | str | Path | None, engine: Engine, pool: Callable[[], Pool], refresh_s: float
) -> None:
    """Lets an engine serve what a registry says, from now on; None follows nothing.

    Raises:
        InvalidInput: the engine has a router already.
        RegistryError: there is no registry, nothing was promoted yet, or what serves cannot be loaded.
    """
    if where is None:
        return
    if engine.router is not None:
        raise InvalidInput("a runtime has a router or follows a registry, not both: leave one out.")
    owns = not isinstance(where, Registry)
    registry = where if isinstance(where, Registry) else open_registry(where, create=False)

    def check(router: Router) -> None:
        _try(engine, router, pool())

    try:
        engine.follower = Follower(registry, engine.take, refresh_s=refresh_s, check=check, owns=owns)
    except BaseException:
        if owns:
            registry.close()
        raise


def _try(engine: Engine, router: Router, pool: Pool) -> None:
    """Lets a router decide once; one that asks a model only names it, for a trial costs nothing."""
    if router.asks_model:
        wanted_backend(router, pool)
        return
    # Its own random numbers are not drawn: what it will decide does not hang on how often it was tried.
    options = replace(engine.route_options or router.options, rng=np.random.default_rng(0))
    decision = router.route(TRIAL, pool, live=engine.live(), options=options)
    if decision.graph is not None:
        engine.compiled(decision.graph, pool)
