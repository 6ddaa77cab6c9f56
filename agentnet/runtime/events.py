"""What happens in a run, as it happens: the values that ``Runtime.astream`` yields."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agentnet.graphs.live import Step
from agentnet.runtime.state import pack_step

if TYPE_CHECKING:
    from agentnet.routers.decision import Decision
    from agentnet.runtime.result import RunResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened in a run."""

    turn: int = 0
    """Which graph of a growing run, from 0."""

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values with a ``type``: what LangGraph's ``stream_mode="custom"`` carries."""
        return {"type": "event", "turn": self.turn}


@dataclass(frozen=True, slots=True, kw_only=True)
class Routed(Event):
    """The router decided, or the caller's graph was taken."""

    decision: Decision

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values."""
        return {"type": "routed", "turn": self.turn, "decision": self.decision.to_dict()}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStarted(Event):
    """A node began to work."""

    node: str
    agent: str
    round: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values.

        >>> NodeStarted(node="a", agent="solver").to_dict()
        {'type': 'node_started', 'turn': 0, 'node': 'a', 'agent': 'solver', 'round': 0}
        """
        where = {"node": self.node, "agent": self.agent, "round": self.round}
        return {"type": "node_started", "turn": self.turn, **where}


@dataclass(frozen=True, slots=True, kw_only=True)
class Token(Event):
    """A piece of a node's text, as the model writes it (reasoning included)."""

    node: str
    agent: str
    round: int = 0
    text: str = field(default="")

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values."""
        where = {"node": self.node, "agent": self.agent, "round": self.round}
        return {"type": "token", "turn": self.turn, **where, "text": self.text}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFinished(Event):
    """A node answered, failed or was skipped."""

    step: Step

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values."""
        return {"type": "node_finished", "turn": self.turn, "step": pack_step(self.step)}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished(Event):
    """The run is over; always the last event."""

    result: RunResult

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values."""
        return {"type": "run_finished", "turn": self.turn, "result": self.result.to_dict()}
