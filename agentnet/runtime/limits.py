"""`Ledger`: limits on money, tokens, calls and seconds that hold under concurrency.

What holds
----------
Every call reserves what it may use before it is sent, in its own ledger and in all above it, in one
step. **Calls** never exceed their limit. **Tokens** and **money** reserve the estimated prompt (a
quarter of its bytes) plus ``max_tokens`` where that is set, and the reservation becomes the real usage
when the answer is there; so spending passes a limit by at most what the calls in flight use over their
estimates, and with ``max_tokens`` set only by the error of the prompt's estimate. **Seconds** run from
the ledger's making and end calls in flight. A call whose price is unknown is refused while a money limit
is set; an answer whose cost is unknown stops all further calls under that limit. Attempts that were cut
off after sending, and calls that were cancelled, are charged with their estimate.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, replace
from decimal import Decimal

from agentnet.errors import (
    BackendError,
    InvalidInput,
    LimitExceeded,
    UnpricedCall,
)
from agentnet.graphs.agent import Backend
from agentnet.graphs.task_graph import Limits
from agentnet.runtime.client import Chunk, ModelClient, Request, Response
from agentnet.runtime.clients.attempts import answer_limit
from agentnet.runtime.clients.clock import Clock, SystemClock
from agentnet.runtime.clients.prices import Price, Prices, backend_price, dearest


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What has been used so far, or what one call may use."""

    calls: int = 0
    tokens: int = 0
    usd: Decimal | None = Decimal(0)
    """None once a part is unknown."""

    def plus(self, other: Usage, sign: int = 1) -> Usage:
        """Returns the sum; an unknown cost makes the sum unknown."""
        usd = None if self.usd is None or other.usd is None else self.usd + sign * other.usd
        return Usage(calls=self.calls + sign * other.calls, tokens=self.tokens + sign * other.tokens, usd=usd)


class Ledger:
    """Keeps usage against limits; safe for many tasks and threads.

    Args:
        limits: None sets no limit of its own.
        parent: A wider ledger, such as the runtime's above a run's: its limits hold as well.
        clock: Tells the time.
        name: Who owns it, for error messages.

    >>> runtime = Ledger(Limits(calls=2), name="runtime")
    >>> first, second = Ledger(Limits(calls=2), parent=runtime), Ledger(None, parent=runtime)
    >>> first.reserve(Usage(calls=1)).release(), second.reserve(Usage(calls=1)).settle(Usage(calls=1))
    (None, None)
    >>> runtime.used.calls
    1
    """

    def __init__(
        self,
        limits: Limits | None = None,
        parent: Ledger | None = None,
        *,
        clock: Clock | None = None,
        name: str = "run",
    ) -> None:
        self.limits = limits or Limits()
        self.parent = parent
        self.name = name
        self._clock: Clock = clock or (parent._clock if parent is not None else SystemClock())
        self._started = self._clock.now()
        # One lock per tree: a reservation is checked and made in all ledgers in one step.
        self._lock: threading.Lock = parent._lock if parent is not None else threading.Lock()
        self._line: tuple[Ledger, ...] = (self, *(parent._line if parent is not None else ()))
        self._used = Usage()
        self._reserved = Usage()

    @property
    def used(self) -> Usage:
        """What settled calls have used."""
        return self._used

    @property
    def reserved(self) -> Usage:
        """What calls in flight may use."""
        return self._reserved

    @property
    def limits_money(self) -> bool:
        """Whether this ledger or one above it has a money limit."""
        return any(ledger.limits.usd is not None for ledger in self._line)

    def seconds_left(self) -> float:
        """Returns seconds until the nearest deadline; infinite without one."""
        return min(ledger._own_seconds_left() for ledger in self._line)

    def reserve(self, usage: Usage) -> Reservation:
        """Sets aside what a call may use; ``usd=None`` means that its price is unknown.

        Raises:
            LimitExceeded: it does not fit; nothing is set aside.
            UnpricedCall: a money limit is set and the price, or an earlier cost, is unknown.
        """
        # Without a money limit an unknown price is no obstacle, and there is nothing to set aside.
        held = usage if usage.usd is not None else replace(usage, usd=Decimal(0))
        with self._lock:
            for ledger in self._line:
                ledger._check(usage)
            for ledger in self._line:
                ledger._reserved = ledger._reserved.plus(held)
        return Reservation(self, held)

    def charge(self, usage: Usage) -> None:
        """Adds usage that was not reserved, such as a router's own; never refused."""
        with self._lock:
            for ledger in self._line:
                ledger._used = ledger._used.plus(usage)

    def expired(self, within_s: float = 0.0) -> LimitExceeded | None:
        """Returns the error for a deadline that has passed or will within some seconds, or None."""
        for ledger in self._line:
            if ledger._own_seconds_left() <= within_s:
                return LimitExceeded(
                    f"the {ledger.name}'s limit of {ledger.limits.seconds:g} seconds is used up; raise "
                    "Limits(seconds=...) or route to fewer or faster agents.",
                    kind="seconds",
                )
        return None

    def _own_seconds_left(self) -> float:
        if self.limits.seconds is None:
            return math.inf
        return self.limits.seconds - (self._clock.now() - self._started)

    def _check(self, usage: Usage) -> None:
        limits = self.limits
        if limits.seconds is not None and (late := self.expired()) is not None:
            raise late
        if limits.calls is None and limits.tokens is None and limits.usd is None:
            return
        total = self._used.plus(self._reserved).plus(usage)
        if limits.calls is not None and total.calls > limits.calls:
            raise self._over("calls", limits.calls, self._used.calls, self._reserved.calls, usage.calls)
        if limits.tokens is not None and total.tokens > limits.tokens:
            raise self._over("tokens", limits.tokens, self._used.tokens, self._reserved.tokens, usage.tokens)
        if limits.usd is None:
            return
        if total.usd is None:
            cause = "the price of this call" if usage.usd is None else "the cost of an earlier answer"
            raise UnpricedCall(
                f"the {self.name} has a limit of {limits.usd} USD, but {cause} is unknown, and unknown is "
                "not zero: nothing was sent. Give the backend and its fallbacks price_in_per_mtok and "
                "price_out_per_mtok."
            )
        if total.usd > limits.usd:
            raise self._over("usd", limits.usd, self._used.usd, self._reserved.usd, usage.usd)

    def _over(self, kind: str, limit: object, used: object, reserved: object, more: object) -> LimitExceeded:
        return LimitExceeded(
            f"the {self.name}'s limit of {limit} {kind} leaves no room: {used} used, {reserved} set aside "
            f"for calls in flight, {more} more asked for. Nothing was sent; raise Limits({kind}=...), lower "
            "max_tokens or route to fewer agents.",
            kind=kind,
        )

    def _close(self, held: Usage, used: Usage | None) -> None:
        with self._lock:
            for ledger in self._line:
                ledger._reserved = ledger._reserved.plus(held, -1)
                if used is not None:
                    ledger._used = ledger._used.plus(used)


class Reservation:
    """What a call in flight has set aside; closed once, by `settle` or `release`."""

    __slots__ = ("_ledger", "_open", "held")

    def __init__(self, ledger: Ledger, held: Usage) -> None:
        self._ledger = ledger
        self._open = True
        self.held = held

    def settle(self, used: Usage) -> None:
        """Replaces the reservation by the real usage; later calls do nothing."""
        if self._open:
            self._open = False
            self._ledger._close(self.held, used)

    def release(self) -> None:
        """Gives the reservation back: nothing was sent."""
        if self._open:
            self._open = False
            self._ledger._close(self.held, None)


class LimitedClient:
    """A `ModelClient` that sends nothing its ledger has no room for.

    A call that is cancelled or runs into the deadline is charged with its estimate, for it may have been
    billed. Attempts that a client makes again inside one call are that one call.

    Args:
        client: Where calls go.
        ledger: What they are charged to.
    """

    def __init__(self, client: ModelClient, ledger: Ledger) -> None:
        self.client = client
        self.ledger = ledger
        self._prices = client if isinstance(client, Prices) else None

    async def complete(self, request: Request) -> Response:
        """Answers a request within the limits.

        Raises:
            LimitExceeded: a limit leaves no room (nothing was sent), or time ran out.
            BackendError: the call failed for good.
        """
        call = _Call(self, request)
        try:
            async with asyncio.timeout(call.seconds_left()):
                response = await self.client.complete(call.request)
        except BaseException as error:
            call.end(error)
            raise
        call.settle(response)
        return response

    async def stream(self, request: Request) -> AsyncIterator[Chunk]:
        """Answers piece by piece; errors as in `complete`."""
        call = _Call(self, request)
        items = aiter(self.client.stream(call.request))
        try:
            while True:
                async with asyncio.timeout(call.seconds_left()):
                    chunk = await anext(items)
                call.delivered += len(chunk.text.encode("utf-8", "replace"))
                if chunk.response is not None:
                    call.settle(chunk.response)
                yield chunk
        except StopAsyncIteration:
            call.end(None)
        except BaseException as error:
            call.end(error)
            raise
        finally:
            if isinstance(items, AsyncGenerator):
                await items.aclose()

    def price(self, backend: Backend) -> Price | None:
        """Returns the wrapped client's price for a backend, else the backend's own."""
        return backend_price(backend) if self._prices is None else self._prices.price(backend)

    def price_of(self, request: Request) -> Price | None:
        """Returns the dearest price that a request can meet, over the fallbacks of its own pool."""
        known, backend = request.backends, request.backend
        if known is None or not backend.fallbacks:
            return self.price(backend)
        chain = [backend, *(known[name] for name in backend.fallbacks if name in known)]
        return dearest([self.price(replace(item, fallbacks=())) for item in chain])


class _Call:
    """One call's reservation, and how it ends."""

    def __init__(self, client: LimitedClient, request: Request) -> None:
        self._ledger = ledger = client.ledger
        self._price = client.price_of(request) if ledger.limits_money else backend_price(request.backend)
        self._reservation = ledger.reserve(estimated(request, self._price))
        self._timed = math.isfinite(left := ledger.seconds_left())
        self.request = request
        if self._timed:
            self.request = replace(request, timeout_s=min(left, request.timeout_s or math.inf))
        self.delivered = 0
        """Bytes of text that a stream has handed out."""

    def seconds_left(self) -> float | None:
        """Returns the time that is left, in the form that `asyncio.timeout` takes."""
        return max(self._ledger.seconds_left(), 0.001) if self._timed else None

    def settle(self, response: Response) -> None:
        """Charges what the response says was used, and estimates for attempts that were lost before it."""
        if response.lost_attempts:
            self.delivered = len(response.text.encode("utf-8", "replace"))
            self._reservation.settle(self._lost(response.lost_attempts).plus(self._at_least()))
            return
        prompt, answer = response.prompt_tokens, response.completion_tokens
        if prompt is None:
            prompt = prompt_tokens(self.request)
        if answer is None:
            answer = math.ceil(len(response.text.encode("utf-8", "replace")) / 4)
        self._reservation.settle(Usage(calls=1, tokens=prompt + answer, usd=response.cost))

    def end(self, error: BaseException | None) -> None:
        """Charges a call that gave no response; raises the limit's error where time ran out."""
        if isinstance(error, InvalidInput) and getattr(error, "spent_tokens", 0) == 0:
            self._reservation.release()  # refused before anything was sent
        elif isinstance(error, BackendError) and error.lost_attempts:
            self._reservation.settle(replace(self._lost(error.lost_attempts), calls=1))
        elif isinstance(error, BackendError):
            spent = prompt_tokens(self.request) if error.spent_tokens is None else error.spent_tokens
            self._reservation.settle(Usage(calls=1, tokens=spent, usd=error.spent_usd))
        else:  # cancelled, cut off or no longer read: it may have been billed for all we know
            self._reservation.settle(self._at_least())
        if self._timed and isinstance(error, (BackendError, TimeoutError)):
            late = self._ledger.expired(within_s=0.005)
            if late is not None:
                late.sent = True
                raise late from None

    def _lost(self, attempts: int) -> Usage:
        one = estimated(self.request, self._price)
        usd = None if one.usd is None else attempts * one.usd
        return Usage(tokens=attempts * one.tokens, usd=usd)

    def _at_least(self) -> Usage:
        estimate = estimated(self.request, self._price)
        prompt, seen = prompt_tokens(self.request), math.ceil(self.delivered / 4)
        if prompt + seen <= estimate.tokens:
            return estimate
        usd = None if self._price is None else self._price.of(prompt, seen)
        return Usage(calls=1, tokens=prompt + seen, usd=usd)


def prompt_tokens(request: Request) -> int:
    """Returns about how many tokens a prompt has: a quarter of its bytes, and eight per message.

    >>> from agentnet.graphs.task import Message
    >>> prompt_tokens(Request(backend=Backend(name="b", model="m"), messages=(Message("user", "x" * 40),)))
    18
    """
    return sum(8 + math.ceil(len(m.content.encode("utf-8", "replace")) / 4) for m in request.messages)


def estimated(request: Request, price: Price | None) -> Usage:
    """Returns what a call may use: its prompt, and ``max_tokens`` where that is set."""
    prompt, answer = prompt_tokens(request), answer_limit(request) or 0
    return Usage(calls=1, tokens=prompt + answer, usd=None if price is None else price.of(prompt, answer))
