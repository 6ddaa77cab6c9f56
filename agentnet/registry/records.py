"""What a registry keeps: versions of routers, and which of them serves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from agentnet.errors import InvalidInput

Action = Literal["promote", "rollback", "shadow", "canary", "reject"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterVersion:
    """One fitted router, known by its content.

    Attributes:
        id: The router's content hash (`Router.version`): equal state has equal ids.
        router: Name of its kind, such as ``"knn"``.
        created_at: Seconds since the epoch.
        parent: The version that served when it was made; None for the first.
        data: Fingerprint of the data it was fitted on.
        metrics: What it was judged by, as JSON values: the gates' report.
        note: Why it was made.
    """

    id: str
    router: str
    created_at: float
    parent: str | None = None
    data: str = ""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """Which versions act, at one moment; every change makes a new one with the next revision.

    Attributes:
        revision: 0 before anything was promoted; each change adds one.
        serving: The version that decides; None: nothing was promoted yet.
        shadow: A version that decides beside it without acting; None: none.
        canary: A version that acts on a share of the tasks; None: none.
        canary_share: That share, in [0, 1].
        changed_at: Seconds since the epoch.
    """

    revision: int = 0
    serving: str | None = None
    shadow: str | None = None
    canary: str | None = None
    canary_share: float = 0.0
    changed_at: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.canary_share <= 1:
            raise InvalidInput(f"a canary's share is a number from 0 to 1; got {self.canary_share!r}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One line of a registry's history.

    Attributes:
        revision: The revision it made; for ``"reject"``, which changes nothing, the one it was made at.
        action: What was done.
        version: The version it was done with.
        before: The version that served before.
        at: Seconds since the epoch.
        reason: Why, for people.
        by: ``HOST:PID`` of the process.
        share: Of a canary that begins: its share of the tasks.
        ended: Whether a shadow or a canary ended with it, rather than began.
    """

    revision: int
    action: Action
    version: str
    before: str | None
    at: float
    reason: str = ""
    by: str = ""
    share: float = 0.0
    ended: bool = False
