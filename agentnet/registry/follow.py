"""`Follower`: keeps the routers of a registry's state loaded, beside the serving path.

A thread asks for the registry's state every few seconds. What is new is loaded and tried there, and swapped
in by one assignment; so serving waits for no disk and no database. A registry that cannot be reached, and a
version that cannot be loaded or does not work, change nothing but the log.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace

from agentnet.errors import InvalidInput, RegistryError
from agentnet.registry.base import Registry
from agentnet.registry.content import clean
from agentnet.registry.records import Serving
from agentnet.routers.base import Router

_log = logging.getLogger(__name__)

_LAST_S = 10.0
"""Seconds that closing waits for a look at the registry that is under way."""
LONGEST_PAUSE_S = 300.0
"""Longest time until a version that could not be loaded is tried again."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Release:
    """The routers that serve at one moment.

    Attributes:
        serving: Decides; None: runs bring their graphs.
        canary: Decides for a share of the tasks.
        shadow: Decides without acting.
        state: The versions these are, where they come from a registry: of a version that could not be
            loaded, the one that serves instead (or None) is told.
    """

    serving: Router | None = None
    canary: Router | None = None
    shadow: Router | None = None
    state: Serving | None = None


class Follower:
    """Follows what a registry says serves.

    The first release is loaded here and now, so that a process that has started can serve.

    Args:
        registry: What is followed.
        take: Called with each new `Release`, the first one too; on the follower's thread, except for that.
        refresh_s: Seconds between two looks at the registry's state.
        check: Tries a router that was loaded; what it raises refuses the router.
        owns: Whether the registry is closed with the follower; else it stays the caller's to close.

    Raises:
        RegistryError: nothing was promoted yet; or the registry, or what serves, cannot be read.
        InvalidInput: ``refresh_s`` is not above 0.
    """

    def __init__(
        self,
        registry: Registry,
        take: Callable[[Release], None],
        *,
        refresh_s: float = 5.0,
        check: Callable[[Router], None] = lambda router: None,
        owns: bool = False,
    ) -> None:
        if not refresh_s > 0:
            raise InvalidInput(f"refresh_s is a number of seconds above 0; got {refresh_s!r}.")
        self._registry, self._take, self._check = registry, take, check
        self._refresh_s, self._owns = refresh_s, owns
        self._failed: dict[str, tuple[float, float]] = {}
        """By version: when it is tried again, and the pause that was."""
        self._said = ""
        self._seen = state = registry.state()
        if state.serving is None:
            raise RegistryError(
                f"nothing serves yet in the registry {registry.url}: `agentnet registry ls --registry "
                f"{registry.url}` shows its versions, `agentnet registry promote ID` lets one serve."
            )
        first = self._loaded(state.serving)
        self._release = self._made(state, Release(serving=first, state=Serving(serving=state.serving)))
        take(self._release)
        self._start()

    @property
    def release(self) -> Release:
        """What serves in this process."""
        return self._release

    def awake(self) -> None:
        """Starts the thread anew in a forked child, where it is gone; costs nothing else."""
        if not self._thread.is_alive() and not self._stop.is_set():
            self._start()

    def refresh(self) -> Release:
        """Looks at the registry once, now; never raises for what it finds there."""
        with self._lock:
            try:
                state = self._registry.state()
            except Exception as failure:
                self._say(f"the registry cannot be read, what serves stays: {_told(failure)}")
                return self._release
            self._said = ""
            if state != self._seen or self._failed:
                release = self._made(state, self._release)
                self._seen = state
                if release.state != self._release.state:
                    self._release = release
                    self._take(release)
            return self._release

    def close(self) -> None:
        """Ends the thread; what serves goes on serving."""
        self._stop.set()
        if self._thread is not threading.current_thread():
            self._thread.join(timeout=_LAST_S)
        if self._owns:
            self._registry.close()

    # ------------------------------------------------------------------------------------------
    def _start(self) -> None:
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._thread = threading.Thread(
            target=_follow,
            args=(weakref.ref(self), self._stop, self._refresh_s),
            name="agentnet-registry",
            daemon=True,
        )
        self._thread.start()

    def _made(self, state: Serving, old: Release) -> Release:
        """Returns the release of a state; what cannot be loaded leaves what there was."""
        self._failed = {
            name: when
            for name, when in self._failed.items()
            if name in (state.serving, state.canary, state.shadow)
        }
        assert old.state is not None and old.serving is not None and old.state.serving is not None
        acting: dict[str, Router] = {old.state.serving: old.serving}
        if old.canary is not None and old.state.canary is not None:
            acting[old.state.canary] = old.canary
        version = state.serving if state.serving is not None else old.state.serving
        serving = self._held(version, acting, "what served before goes on")
        if serving is None:
            version, serving = old.state.serving, old.serving
        canary = shadow = None
        if state.canary is not None and state.canary != version:
            canary = self._held(state.canary, acting, "its tasks stay with the serving version")
        if state.shadow is not None:
            # An object of its own, also of a version that acts: two threads never ask the same router.
            known = {} if old.shadow is None or old.state.shadow is None else {old.state.shadow: old.shadow}
            shadow = self._held(state.shadow, known, "there is no shadow")
            if shadow is not None and shadow.asks_model:
                _log.warning("version %s asks a language model: it is not run as a shadow.", state.shadow)
                shadow = None
        made = replace(
            state,
            serving=version,
            canary=state.canary if canary is not None else None,
            canary_share=state.canary_share if canary is not None else 0.0,
            shadow=state.shadow if shadow is not None else None,
        )
        return Release(serving=serving, canary=canary, shadow=shadow, state=made)

    def _held(self, version: str, known: dict[str, Router], instead: str) -> Router | None:
        """Returns a version's router, loaded where it is not there; None where it does not work."""
        if version in known:
            return known[version]
        due, pause = self._failed.get(version, (0.0, 0.0))
        if time.monotonic() < due:
            return None
        try:
            router = self._loaded(version)
        except Exception as failure:
            pause = min(max(2 * pause, self._refresh_s), LONGEST_PAUSE_S)
            self._failed[version] = (time.monotonic() + pause, pause)
            _log.warning("version %s cannot serve here, %s: %s", version, instead, _told(failure))
            return None
        self._failed.pop(version, None)
        return router

    def _loaded(self, version: str) -> Router:
        router = self._registry.load(version)
        self._check(router)
        return router

    def _say(self, text: str) -> None:
        """Warns, once as long as nothing changes."""
        if text != self._said:
            self._said = text
            _log.warning("%s", text)


def _follow(held: weakref.ref[Follower], stop: threading.Event, refresh_s: float) -> None:
    """Refreshes until it is stopped, or nobody holds the follower any more."""
    while not stop.wait(refresh_s):
        follower = held()
        if follower is None:
            return
        try:
            follower.refresh()
        except Exception as defect:
            _log.warning("what serves could not be refreshed: %s", _told(defect))
        del follower


def _told(failure: BaseException) -> str:
    return clean(f"{type(failure).__name__}: {failure}".removesuffix(": "))
