"""`Transport`: one attempt at one backend. Retries, fallbacks and deadlines stand above it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, Protocol

from agentnet.graphs.agent import Backend
from agentnet.runtime.client import Request
from agentnet.runtime.clients.prices import Price

FailureKind = Literal["unreachable", "rate_limit", "server", "empty", "refused", "context"]
MAY_PASS: frozenset[FailureKind] = frozenset({"unreachable", "rate_limit", "server", "empty"})
"""Kinds of failure that another attempt may not meet again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What one successful attempt gave."""

    text: str
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    cost: Decimal | None = None
    cost_source: str | None = None
    finish_reason: str | None = None
    model: str = ""
    logprob: float | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt gave nothing; the text holds no secrets."""

    text: str
    kind: FailureKind = "server"
    retry_after_s: float | None = None
    """Seconds that the server asks to wait."""
    lost: bool = False
    """Whether it was cut off after sending: the server may have answered, and billed, for all we know."""

    @property
    def may_pass(self) -> bool:
        """Whether another attempt makes sense."""
        return self.kind in MAY_PASS


class AttemptFailed(Exception):
    """Carries a `Failure` out of a transport; callers of a client never see it."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.text)
        self.failure = failure


class Transport(Protocol):
    """Sends one attempt and knows prices and tokens; never retries."""

    async def ready(self) -> None:
        """Does slow one-time work, such as imports, before a deadline starts to run."""
        ...

    async def send(self, request: Request, timeout_s: float) -> Reply:
        """Makes one attempt at ``request.backend``.

        Raises:
            AttemptFailed: it gave no answer.
        """
        ...

    def stream(self, request: Request, timeout_s: float) -> AsyncIterator[str | Reply]:
        """Makes one attempt; yields pieces of text and last the whole reply.

        Raises:
            AttemptFailed: it gave no answer, or broke off.
        """
        ...

    def price(self, backend: Backend) -> Price | None:
        """Returns a backend's price, or None if unknown."""
        ...

    def count_tokens(self, backend: Backend, text: str) -> int:
        """Returns about how many tokens a text has."""
        ...

    def estimate(self, request: Request, text: str) -> Reply:
        """Returns a reply whose usage is counted from its text, for a stream that broke off."""
        ...
