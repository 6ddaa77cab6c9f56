"""`Registry`: the contract of what keeps routers by version; `open_registry` finds the right one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agentnet.registry.records import Change, RouterVersion, Serving
from agentnet.routers.base import Router


class Registry(ABC):
    """Keeps routers by version and says which serves. Safe to use from several threads and processes.

    Every change of what serves is one compare-and-swap on the revision: of two processes that promote at
    once one succeeds, and the other gets a `RegistryConflict` and must look again. A process that dies in
    the middle of a change leaves what served before it.
    """

    url: str
    """Where it is, without secrets."""

    @abstractmethod
    def add(
        self,
        router: Router,
        *,
        parent: str | None = None,
        data: str = "",
        metrics: Mapping[str, Any] | None = None,
        note: str = "",
    ) -> RouterVersion:
        """Keeps a fitted router; one of the same content is not kept twice, but takes the new metrics."""

    @abstractmethod
    def versions(self) -> list[RouterVersion]:
        """Returns all versions, the newest first."""

    @abstractmethod
    def version(self, version_id: str) -> RouterVersion:
        """Returns one version, by its id or the beginning of it; raises RegistryError where there is none."""

    @abstractmethod
    def load(self, version_id: str) -> Router:
        """Returns the router of a version, ready to route."""

    @abstractmethod
    def state(self) -> Serving:
        """Returns what serves now; cheap enough to be asked every few seconds."""

    @abstractmethod
    def promote(self, version_id: str, *, expect: int | None = None, reason: str = "") -> Serving:
        """Lets a version serve; a canary or shadow of the same version ends.

        Args:
            version_id: What is to serve.
            expect: The revision that the decision was made on; None takes the present one.
            reason: Why, for the history.

        Raises:
            RegistryConflict: somebody changed what serves since ``expect``.
            RegistryError: there is no such version.
        """

    @abstractmethod
    def shadow(self, version_id: str | None, *, expect: int | None = None, reason: str = "") -> Serving:
        """Lets a version decide beside the serving one without acting; None ends it. Raises as `promote`."""

    @abstractmethod
    def canary(
        self, version_id: str | None, share: float = 0.0, *, expect: int | None = None, reason: str = ""
    ) -> Serving:
        """Lets a version act on a share of the tasks; None ends it. Raises as `promote`."""

    @abstractmethod
    def rollback(self, *, expect: int | None = None, reason: str = "") -> Serving:
        """Lets the version serve that served before the present one; ends shadow and canary.

        Raises:
            RegistryError: nothing served before.
        """

    @abstractmethod
    def reject(self, version_id: str, *, reason: str) -> None:
        """Writes into the history that a version was not let through; changes nothing else."""

    @abstractmethod
    def history(self, limit: int = 100) -> list[Change]:
        """Returns the changes, the newest first."""

    def close(self) -> None:  # noqa: B027 - optional, not abstract
        """Lets go of files and connections."""


def open_registry(where: str | Path, *, create: bool = True) -> Registry:
    """Opens a registry: a folder, or a trace database's URL (``sqlite:///...``, ``postgresql://...``).

    Args:
        where: A folder's path or a URL.
        create: Whether to make what is not there.

    Raises:
        RegistryError: it is not there, or cannot be read.
    """
    from agentnet.registry.database import DatabaseRegistry
    from agentnet.registry.folder import FolderRegistry

    if isinstance(where, str) and "://" in where:
        return DatabaseRegistry.open(where, create=create)
    return FolderRegistry(where, create=create)
