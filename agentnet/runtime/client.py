"""`ModelClient`: the one seam between agentnet and language models.

Everything that calls a model goes through ``complete`` or ``stream``. `LiteLLMClient` is the real one;
`RecordedClient` replays what was recorded and `ScriptedClient` answers from a function, so that no test
ever patches anything.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol, runtime_checkable

from agentnet.graphs.agent import Backend
from agentnet.graphs.task import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call of a language model."""

    backend: Backend
    messages: tuple[Message, ...]
    max_tokens: int | None = None
    temperature: float | None = None
    """None leaves it to the backend's options; 0 is greedy."""
    stop: tuple[str, ...] = ()
    seed: int | None = None
    json_schema: Mapping[str, Any] | None = None
    """Constrains the answer where the backend can; callers must still parse defensively."""
    session_id: str | None = None
    agent: str | None = None
    """Name of the agent that asks, for prompt-cache affinity and traces."""
    timeout_s: float | None = None
    """Seconds that may pass in all, retries and fallbacks included; None: the backend's own."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further LiteLLM arguments for this call."""
    backends: Mapping[str, Backend] | None = None
    """Where the backend's fallbacks are found by name; None: where the client finds them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """A language model's answer, and what it used."""

    text: str
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    """Prompt tokens the backend took from its cache."""
    cost: Decimal | None = None
    """USD; None when unknown."""
    cost_source: str | None = None
    """Where the price came from: ``"backend price"``, ``"litellm price map"``, ``"provider"``."""
    finish_reason: str | None = None
    model: str = ""
    backend: str = ""
    """Name of the backend that answered: another than asked after a fallback."""
    latency_s: float = 0.0
    attempts: int = 1
    lost_attempts: int = 0
    """Attempts before the answer that were cut off after sending: with one, usage and cost are unknown."""
    logprob: float | None = None
    """Mean log-probability of the answer's tokens, where the backend gives it."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a streamed answer; the last one carries the whole `Response`."""

    text: str = ""
    response: Response | None = None


@runtime_checkable
class ModelClient(Protocol):
    """Calls language models: async, and never retried by its callers."""

    async def complete(self, request: Request) -> Response:
        """Answers a request.

        Raises:
            BackendError: the call failed for good.
        """
        ...

    def stream(self, request: Request) -> AsyncIterator[Chunk]:
        """Answers a request piece by piece; the last chunk has the response with usage and cost."""
        ...
