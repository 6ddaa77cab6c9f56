"""`LiveState` and `PartialRun`: what a router may know of the world while it decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendState:
    """One backend's load, health and warmth at a moment."""

    in_flight: int = 0
    """Calls being answered or waiting."""
    capacity: int | None = None
    """Calls it answers at once; None is unknown."""
    latency_s: float | None = None
    """Moving average of seconds per call; None before the first."""
    usual_latency_s: float | None = None
    """The same over far more calls: what the backend usually takes."""
    error_rate: float = 0.0
    """Moving average of the share of failed attempts, 0 to 1."""
    healthy: bool = True
    """False while calls fail; such a backend is tried again now and then."""
    warm_sessions: frozenset[str] = frozenset()
    """Session ids whose prompt the backend likely still has in its cache."""

    @property
    def load(self) -> float:
        """Calls in flight over capacity; over 1 where capacity is unknown."""
        return self.in_flight / (self.capacity or 1)


@dataclass(frozen=True, slots=True)
class LiveState:
    """The backends' states by backend name; a name that is missing is idle and healthy.

    >>> LiveState({"local": BackendState(in_flight=2, capacity=4)}).of("local").load
    0.5
    """

    backends: Mapping[str, BackendState] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "backends", MappingProxyType(dict(self.backends)))

    def of(self, backend: str) -> BackendState:
        """Returns the state of a backend by name."""
        return self.backends.get(backend, BackendState())


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one node did in one round."""

    node: str
    agent: str
    round: int = 0
    answer: str = ""
    score: float | None = None
    """The answer's own score in [0, 1] (confidence, verifier, judge), where there is one."""
    error: str | None = None
    skipped: bool = False
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    calls: int = 0
    cost: Decimal | None = None
    """USD; None when unknown."""
    latency_s: float = 0.0
    backend: str | None = None
    """The backend that answered, which may be a fallback."""

    @property
    def answered(self) -> bool:
        """Whether the node gave a non-empty answer."""
        return not self.skipped and self.error is None and bool(self.answer.strip())


@dataclass(frozen=True, slots=True)
class PartialRun:
    """What a run has produced so far; given to ``Router.route(..., seen=...)`` when a graph grows."""

    steps: tuple[Step, ...] = ()
    turn: int = 0
    """How many graphs have been run."""
    cost: Decimal | None = Decimal(0)
    """USD so far; None once any part is unknown."""
    answer: str = ""
    """The aggregate of the last graph."""

    @property
    def agents(self) -> tuple[str, ...]:
        """Agents that ran, in order."""
        return tuple(step.agent for step in self.steps if not step.skipped)
