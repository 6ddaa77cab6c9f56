"""`Book`: what serves and what served before, and how each change makes the next one."""

from __future__ import annotations

import os
import platform
import time
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from agentnet.errors import InvalidInput, RegistryConflict, RegistryError
from agentnet.registry.base import Registry
from agentnet.registry.content import clean
from agentnet.registry.records import Action, Change, Serving

KEPT = 100
"""Versions that served before that are remembered for rolling back."""

Fault = Callable[[str], None]
"""Called with the name of each point of a change, so that a test can end the process there."""


def no_fault(point: str) -> None:
    """Does nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """What a registry stores of what serves.

    Attributes:
        now: What serves.
        before: Versions that served before, the latest last: each `rolled_back` takes one off.

    >>> book = Book().promoted("a").promoted("b")
    >>> book.now.serving, book.before, book.rolled_back().now.serving
    ('b', ('a',), 'a')
    """

    now: Serving = field(default_factory=Serving)
    before: tuple[str, ...] = ()

    def promoted(self, version: str) -> Book:
        """Returns the book in which a version serves."""
        now, before = self.now, self.before
        if now.serving is not None and now.serving != version:
            before = (*before, now.serving)[-KEPT:]
        ends_canary = now.canary == version
        return Book(
            now=replace(
                now,
                serving=version,
                shadow=None if now.shadow == version else now.shadow,
                canary=None if ends_canary else now.canary,
                canary_share=0.0 if ends_canary else now.canary_share,
            ),
            before=before,
        )

    def rolled_back(self) -> Book:
        """Returns the book in which the version serves that served before the present one."""
        if not self.before:
            raise RegistryError("nothing served before: there is no version to roll back to.")
        now = replace(self.now, serving=self.before[-1], shadow=None, canary=None, canary_share=0.0)
        return Book(now=now, before=self.before[:-1])

    def shadowed(self, version: str | None) -> Book:
        """Returns the book in which a version decides without acting; None ends it."""
        self._check_beside(version, "shadow")
        return replace(self, now=replace(self.now, shadow=version))

    def tried(self, version: str | None, share: float) -> Book:
        """Returns the book in which a version acts on a share of the tasks; None ends it."""
        self._check_beside(version, "canary")
        return replace(self, now=replace(self.now, canary=version, canary_share=share if version else 0.0))

    def _check_beside(self, version: str | None, role: str) -> None:
        if version is None:
            return
        if self.now.serving is None:
            raise RegistryError(f"a {role} goes beside a version that serves: promote one first.")
        if self.now.serving == version:
            raise RegistryError(f"{version} serves already; it cannot be the {role} too.")

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values; the inverse of `from_dict`."""
        return {**asdict(self.now), "before": list(self.before)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Builds a book from JSON values."""
        now = Serving(
            revision=int(data["revision"]),
            serving=data["serving"],
            shadow=data["shadow"],
            canary=data["canary"],
            canary_share=float(data["canary_share"]),
            changed_at=float(data["changed_at"]),
        )
        return cls(now=now, before=tuple(data["before"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A change that is asked for."""

    action: Action
    version: str | None
    """None: what it is about is found in the book (a rollback, an end)."""
    make: Callable[[Book], Book]
    expect: int | None = None
    reason: str = ""
    share: float = 0.0

    def of(self, book: Book) -> tuple[Book, Change] | None:
        """Returns the next book and the line of history; None where nothing changes.

        Raises:
            RegistryConflict: the book's revision is not the expected one.
            RegistryError: the change cannot be made.
        """
        now = book.now
        if self.expect is not None and self.expect != now.revision:
            raise RegistryConflict(
                f"what serves was changed meanwhile (revision {now.revision}, not {self.expect}): read the "
                "registry again and decide anew."
            )
        made = self.make(book)
        version = self.version
        if self.action == "rollback":
            version = made.now.serving
        elif version is None:
            version = now.shadow if self.action == "shadow" else now.canary
            if version is None:
                return None  # what does not run cannot end
        assert version is not None
        at = time.time()
        after = replace(made, now=replace(made.now, revision=now.revision + 1, changed_at=at))
        change = Change(
            revision=after.now.revision,
            action=self.action,
            version=version,
            before=now.serving,
            at=at,
            reason=clean(self.reason),
            by=this_process(),
            share=self.share,
            ended=self.action in ("shadow", "canary") and self.version is None,
        )
        return after, change


class BookRegistry(Registry):
    """Base of the registries that store a `Book`: every change is one `Step` under their lock."""

    @abstractmethod
    def _change(self, step: Step) -> Serving:
        """Makes one change as a whole, or none; returns what serves after it."""

    def promote(self, version_id: str, *, expect: int | None = None, reason: str = "") -> Serving:
        """Lets a version serve; see `Registry.promote`."""
        found = self.version(version_id).id
        return self._change(
            Step(
                action="promote",
                version=found,
                make=lambda book: book.promoted(found),
                expect=expect,
                reason=reason,
            )
        )

    def shadow(self, version_id: str | None, *, expect: int | None = None, reason: str = "") -> Serving:
        """Lets a version decide beside the serving one; see `Registry.shadow`."""
        found = None if version_id is None else self.version(version_id).id
        return self._change(
            Step(
                action="shadow",
                version=found,
                make=lambda book: book.shadowed(found),
                expect=expect,
                reason=reason,
            )
        )

    def canary(
        self, version_id: str | None, share: float = 0.0, *, expect: int | None = None, reason: str = ""
    ) -> Serving:
        """Lets a version act on a share of the tasks; see `Registry.canary`."""
        found = None if version_id is None else self.version(version_id).id
        if found is not None and not 0 < share <= 1:
            raise InvalidInput(f"a canary's share of the tasks is above 0 and at most 1; got {share!r}.")
        share = share if found else 0.0
        return self._change(
            Step(
                action="canary",
                version=found,
                make=lambda book: book.tried(found, share),
                expect=expect,
                reason=reason,
                share=share,
            )
        )

    def rollback(self, *, expect: int | None = None, reason: str = "") -> Serving:
        """Lets the version serve that served before; see `Registry.rollback`."""
        return self._change(
            Step(action="rollback", version=None, make=Book.rolled_back, expect=expect, reason=reason)
        )


def this_process() -> str:
    """Returns ``HOST:PID``."""
    return f"{platform.node()}:{os.getpid()}"
