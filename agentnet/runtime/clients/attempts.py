"""The book-keeping of one request over its attempts, and the error that ends it."""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal

from agentnet.errors import BackendError, BackendUnreachable, ContextTooLong, EmptyResponse
from agentnet.graphs.agent import Backend
from agentnet.runtime.client import Request, Response
from agentnet.runtime.clients.clock import Clock
from agentnet.runtime.clients.transport import Failure, FailureKind, Reply, Transport

_ERRORS: dict[FailureKind, type[BackendError]] = {
    "unreachable": BackendUnreachable,
    "empty": EmptyResponse,
    "context": ContextTooLong,
}
_HINTS: dict[FailureKind, str] = {
    "unreachable": "Check that its server runs and that options['api_base'] is right, raise timeout_s, or "
    "name fallbacks.",
    "rate_limit": "Lower the backend's max_parallel, raise its retries, or name fallbacks.",
    "server": "Try again later, or name fallbacks.",
    "empty": "Check the prompt and max_tokens, or name fallbacks.",
    "refused": "Check the model's name, its options, and that its key is set in the environment.",
    "context": "Shorten the prompt, lower max_tokens, or take a backend with a larger context_window.",
}
_MESSAGE_TOKENS = 8
"""Tokens that a chat template puts around a message, generously."""


class Progress:
    """What a request has used and met so far."""

    def __init__(self, clock: Clock, timeout_s: float | None) -> None:
        self._clock = clock
        self._started = clock.now()
        self._timeout_s = timeout_s
        self.attempts = 0
        self.failures: list[tuple[Backend, Failure]] = []
        """Backends that failed, each with its last failure."""
        self.broken = False
        """Whether a stream broke off after some of it had been delivered."""
        self.billed: list[Reply] = []
        self.lost = 0
        """Attempts that were cut off after sending; what they used is unknown."""

    def remaining(self) -> float:
        """Returns seconds left until the total deadline; infinite without one."""
        if self._timeout_s is None:
            return math.inf
        return self._timeout_s - (self._clock.now() - self._started)

    def remaining_or_none(self) -> float | None:
        """Returns the same in the form that `asyncio.timeout` takes."""
        left = self.remaining()
        return None if math.isinf(left) else max(left, 0.0)

    def failed(self, backend: Backend, failure: Failure) -> None:
        """Notes a failure; only a backend's last one is kept."""
        if self.failures and self.failures[-1][0] is backend:
            self.failures.pop()
        self.failures.append((backend, failure))

    def empty(self, reply: Reply) -> Failure:
        """Notes a reply that was billed but holds nothing."""
        self.billed.append(reply)
        return Failure("the answer was empty", "empty")

    def break_off(self, delivered: Reply) -> None:
        """Notes a stream that broke after some of it had been delivered: it is not tried again."""
        self.broken = True
        self.billed.append(delivered)

    def lose(self, *, free: bool) -> None:
        """Notes an attempt that was cut off after sending; it costs nothing only where all is free."""
        self.lost += 1
        self.billed.append(Reply(text="", cost=Decimal(0) if free else None))

    def response(self, backend: Backend, reply: Reply) -> Response:
        """Returns the response: the reply, plus the usage of billed attempts before it."""
        total = reply
        for other in self.billed:
            total = _plus(total, other)
        return Response(
            text=reply.text,
            prompt_tokens=total.prompt_tokens,
            completion_tokens=total.completion_tokens,
            cached_tokens=total.cached_tokens,
            cost=total.cost,
            cost_source=reply.cost_source,
            finish_reason=reply.finish_reason,
            model=reply.model or backend.model,
            backend=backend.name,
            latency_s=self._clock.now() - self._started,
            attempts=self.attempts,
            lost_attempts=self.lost,
            logprob=reply.logprob,
        )


def _plus(a: Reply, b: Reply) -> Reply:
    """Usage of both; an unknown part makes the sum unknown, never smaller."""
    return replace(
        a,
        prompt_tokens=None
        if None in (a.prompt_tokens, b.prompt_tokens)
        else _sum(a.prompt_tokens, b.prompt_tokens),
        completion_tokens=None
        if None in (a.completion_tokens, b.completion_tokens)
        else _sum(a.completion_tokens, b.completion_tokens),
        cached_tokens=_sum(a.cached_tokens, b.cached_tokens),
        cost=None if a.cost is None or b.cost is None else a.cost + b.cost,
    )


def _sum(a: int | None, b: int | None) -> int | None:
    known = [value for value in (a, b) if value is not None]
    return sum(known) if known else None


def final_error(request: Request, progress: Progress) -> BackendError:
    """Returns the typed error for a request that failed for good, saying what to do."""
    kinds = [failure.kind for _, failure in progress.failures]
    parts = [f"{item.name!r} ({item.model}): {failure.text}" for item, failure in progress.failures]
    if progress.broken:
        head = "a stream broke off after part of the answer had been delivered, so it was not tried again"
        error: BackendError = BackendError(f"{head}; {'; '.join(parts)}. Run the request again.")
    else:
        classes = {_ERRORS.get(kind, BackendError) for kind in kinds}
        cls = classes.pop() if len(classes) == 1 else BackendError
        tried = f"{progress.attempts} attempt{'s' if progress.attempts != 1 else ''}"
        late = ""
        if progress.remaining() <= 0:
            late = f" The request's total of {request.timeout_s:g} s is used up."
        hint = _HINTS[kinds[0]] if kinds else ""
        error = cls(f"no answer from backend {'; then '.join(parts)} (after {tried}).{late} {hint}".strip())
    if progress.billed:
        total = progress.billed[0]
        for other in progress.billed[1:]:
            total = _plus(total, other)
        tokens = (total.prompt_tokens, total.completion_tokens)
        error.spent_tokens = None if None in tokens else sum(t for t in tokens if t is not None)
        error.spent_usd = total.cost
        error.lost_attempts = progress.lost
    return error


def prompt_text(request: Request) -> str:
    """Returns all the prompt's text, for counting."""
    return "\n".join(message.content for message in request.messages)


def prompt_estimate(request: Request, transport: Transport) -> int:
    """Returns about how many tokens the prompt has."""
    around = _MESSAGE_TOKENS * len(request.messages)
    return transport.count_tokens(request.backend, prompt_text(request)) + around


def answer_limit(request: Request) -> int | None:
    """Returns the most tokens that the answer may have, where one is set."""
    limit = request.max_tokens
    for name in ("max_tokens", "max_completion_tokens"):
        if limit is None:
            limit = request.extra.get(name, request.backend.options.get(name))
    return limit


def too_long(request: Request, transport: Transport) -> Failure | None:
    """Returns a failure if the prompt and the room for the answer exceed the context window.

    A token is at least one byte, so a prompt with fewer bytes than the window fits without counting; one
    of more than 16 characters per token is too long without counting.
    """
    window = request.backend.context_window
    if window is None:
        return None
    answer = answer_limit(request) or 0
    text = prompt_text(request)
    around = _MESSAGE_TOKENS * len(request.messages)
    if len(text.encode("utf-8", "replace")) + around + answer <= window:
        return None
    if len(text) > 16 * window:
        size = f"{len(text):,} characters"
    else:
        tokens = transport.count_tokens(request.backend, text) + around
        if tokens + answer <= window:
            return None
        size = f"about {tokens:,} tokens"
    room = f" and {answer:,} for the answer" if answer else ""
    return Failure(f"the prompt has {size}{room}, the context window {window:,}; nothing was sent", "context")
