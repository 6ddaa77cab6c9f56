"""`RouterModel`: the seam between a router and the language model it asks.

A router never calls a model by itself. The runtime hands it one that goes through the run's own limits and
clients (``agentnet.runtime``); a model in this process (`agentnet.routers.reasoning.local`) is another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol, runtime_checkable

from agentnet.graphs.task import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What a model answered, and what that used."""

    text: str
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost: Decimal | None = None
    """USD; None unknown, never zero."""
    latency_s: float = 0.0


@runtime_checkable
class RouterModel(Protocol):
    """A language model as a router sees it."""

    @property
    def name(self) -> str:
        """Names the model, for traces."""

    async def complete(
        self,
        messages: tuple[Message, ...],
        *,
        max_tokens: int,
        json_schema: Mapping[str, Any] | None = None,
    ) -> Completion:
        """Answers; greedy.

        Args:
            messages: The prompt.
            max_tokens: Most tokens of the answer.
            json_schema: Constrains the answer where the model can; the caller parses defensively.

        Raises:
            AgentnetError: the call failed for good, or a limit does not allow it.
        """
        ...
