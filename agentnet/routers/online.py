"""`OnlineRouter`: a router that learns while it serves, and `Served`: what it learns from.

Serving and learning meet in one reference: `learn` and `adopt` build a new immutable snapshot beside the
one that is served and swap it in by a single assignment, so that readers never take a lock.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from agentnet.errors import InvalidInput
from agentnet.graphs.plain import plain
from agentnet.routers.base import Router
from agentnet.routers.decision import Feedback


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One served and judged task as an `OnlineRouter` learns from it, live or read back from its trace.

    >>> one = Served(evidence={"path": ["a"]}, ran=("n0",), score=1.0, cost=0.002, latency_s=None)
    >>> Served.from_dict(one.to_dict()) == one
    True
    """

    evidence: Mapping[str, Any]
    """``Decision.evidence.to_dict()`` as plain JSON values: all that a router may ask of its decision."""
    ran: tuple[str, ...]
    """Ids of the nodes that ran: those a stop condition skipped are left out."""
    score: float
    """Quality of the answer in [0, 1]; behind a binary gate 1 is accepted, 0 rejected."""
    cost: float | None = None
    """USD of the whole run; None unknown."""
    latency_s: float | None = None
    """Seconds of the whole run; None unknown."""

    def __post_init__(self) -> None:
        if not 0 <= self.score <= 1:  # also refuses NaN
            raise InvalidInput(f"a served task's score lies in [0, 1]; got {self.score!r}.")
        for name in ("cost", "latency_s"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise InvalidInput(
                    f"a served task's {name} is finite and not negative, or None; got {value!r}."
                )

    @classmethod
    def of(cls, feedback: Feedback) -> Self:
        """Returns what a feedback says; without ``ran`` all nodes of the graph count as run.

        Raises:
            InvalidInput: it was not judged, or its router abstained: there is nothing to learn from.
        """
        graph = feedback.decision.graph
        if feedback.score is None or graph is None:
            raise InvalidInput("only a task that was served and judged can be learned from: give a score.")
        return cls(
            evidence=plain(feedback.decision.evidence.to_dict()),
            ran=feedback.ran or tuple(node.id for node in graph.nodes),
            score=feedback.score,
            cost=None if feedback.cost is None else float(feedback.cost),
            latency_s=feedback.latency_s,
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values; the inverse of `from_dict`."""
        return {
            "evidence": dict(self.evidence),
            "ran": list(self.ran),
            "score": self.score,
            "cost": self.cost,
            "latency_s": self.latency_s,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Builds one from JSON values.

        Raises:
            InvalidInput: a field is missing or cannot be used.
        """
        try:
            return cls(
                evidence=dict(data["evidence"]),
                ran=tuple(str(node) for node in data["ran"]),
                score=float(data["score"]),
                cost=None if data["cost"] is None else float(data["cost"]),
                latency_s=None if data["latency_s"] is None else float(data["latency_s"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, InvalidInput):
                raise
            raise InvalidInput(f"this is not a served task: {type(error).__name__}: {error}.") from None


class OnlineRouter(Router):
    """Base of routers that learn while they serve.

    `learn` and `adopt` are called from one thread at a time (the learner's); ``route`` may be called from
    any other thread meanwhile and sees either the snapshot before or the one after, whole.
    """

    @property
    @abstractmethod
    def snapshot_number(self) -> int:
        """Number of the snapshot that is served; every `learn` that used something makes a higher one."""

    @abstractmethod
    def learn(self, batch: Sequence[Served]) -> int:
        """Learns from served tasks and swaps the new snapshot in by one attribute assignment.

        Args:
            batch: Served tasks, rejected ones too (score 0): they must not reinforce anything. Those whose
                evidence is of another router or another pool are left out.

        Returns:
            How many were used; with 0 the snapshot stays.
        """

    @abstractmethod
    def snapshot(self) -> bytes:
        """Returns the learned state, its number included, as safetensors."""

    @abstractmethod
    def adopt(self, data: bytes) -> None:
        """Swaps in a state that `snapshot` returned, here or in another process, number included.

        Raises:
            RouterError: it is not such a state, or not one of this router's shape; nothing was changed.
        """

    def observe(self, feedback: Feedback) -> None:
        """Learns from one served task; one that was not judged, or abstained, is ignored."""
        if feedback.score is not None and not feedback.decision.abstained:
            self.learn([Served.of(feedback)])
