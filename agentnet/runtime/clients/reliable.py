"""`ReliableClient`: the one owner of retries, timeouts, fallbacks and the total deadline."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace

from agentnet.errors import PoolError
from agentnet.graphs.agent import Backend
from agentnet.runtime.client import Chunk, Request, Response
from agentnet.runtime.clients.attempts import Progress, final_error, too_long
from agentnet.runtime.clients.clock import Clock, SystemClock
from agentnet.runtime.clients.gate import Gate
from agentnet.runtime.clients.prices import Price, dearest
from agentnet.runtime.clients.transport import AttemptFailed, Failure, Reply, Transport

Backends = Mapping[str, Backend] | Callable[[], Mapping[str, Backend]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How long to wait before another attempt.

    The wait before attempt k + 1 is ``base_s * 2**(k - 1)``, at most ``cap_s``, of which a random half is
    left out so that clients do not come back in step; a server's Retry-After is waited for in full.
    """

    base_s: float = 0.5
    cap_s: float = 8.0
    longest_s: float = 20.0
    """A Retry-After longer than this is not waited for: the next fallback is tried instead."""

    def wait(self, failures: int, asked_s: float | None, rng: random.Random) -> float:
        """Returns seconds to wait after this many failures."""
        longest = min(self.cap_s, self.base_s * 2.0 ** (failures - 1))
        return max(longest * (0.5 + 0.5 * rng.random()), asked_s or 0.0)


class ReliableClient:
    """A `ModelClient` over a transport: backoff, fallbacks, one deadline, bounded parallelism.

    Only failures that may pass are tried again (timeouts, connections, 429, 5xx, empty answers), at most
    ``backend.retries`` times per backend; then the asked backend's ``fallbacks`` follow, each with its own
    settings. ``request.timeout_s`` bounds all of it, waiting included. A stream is tried again only until
    its first piece has been delivered. An attempt that the server refuses is taken to cost nothing, one that
    is cut off after sending an unknown sum (so that the response's cost is unknown); an empty answer is
    billed and is part of the response's tokens and cost.

    Args:
        transport: Makes single attempts.
        backends: Where fallbacks are looked up by name, such as ``pool.backends``, or a function that
            gives them (``lambda: handle.current.backends`` follows a pool that is swapped).
        policy: Waiting times between attempts.
        clock: Tells the time and sleeps.
        seed: Of the backoff's randomness; None draws one.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        backends: Backends | None = None,
        policy: RetryPolicy | None = None,
        clock: Clock | None = None,
        seed: int | None = None,
    ) -> None:
        self._transport = transport
        self._backends: Backends = backends if backends is not None else {}
        self._policy = policy or RetryPolicy()
        self._clock = clock or SystemClock()
        self._rng = random.Random(seed)  # jitter, not a secret
        self._gates: dict[tuple[str, int], Gate] = {}
        self._lock = threading.Lock()

    async def complete(self, request: Request) -> Response:
        """Answers a request.

        Raises:
            BackendError: every attempt failed (`BackendUnreachable`, `EmptyResponse`, `ContextTooLong`
                where that is the one reason).
            PoolError: a fallback is not known.
        """
        async with aclosing(self._run(request, streamed=False)) as chunks:
            async for chunk in chunks:
                if chunk.response is not None:
                    return chunk.response
        raise AssertionError("a run ends with a response or an error")

    async def stream(self, request: Request) -> AsyncIterator[Chunk]:
        """Answers piece by piece; the last chunk holds the response. Errors as in `complete`."""
        async with aclosing(self._run(request, streamed=True)) as chunks:
            async for chunk in chunks:
                yield chunk

    def price(self, backend: Backend) -> Price | None:
        """Returns the dearest price among a backend and its fallbacks; None if one is unknown."""
        return dearest([self._transport.price(item) for item in self._chain(backend)])

    def _chain(self, backend: Backend, known: Mapping[str, Backend] | None = None) -> list[Backend]:
        if not backend.fallbacks:
            return [backend]
        if known is None:
            known = self._backends() if callable(self._backends) else self._backends
        missing = [name for name in backend.fallbacks if name not in known]
        if missing:
            raise PoolError(
                f"backend {backend.name!r} falls back to {missing}, which the client does not know; give it "
                "backends=pool.backends (fallbacks must be backends of the pool's agents), or a mapping."
            )
        return list({item.name: item for item in (backend, *(known[n] for n in backend.fallbacks))}.values())

    def _gate(self, backend: Backend) -> Gate | None:
        if backend.max_parallel is None:
            return None
        with self._lock:
            key = (backend.name, backend.max_parallel)
            if key not in self._gates:
                self._gates[key] = Gate(backend.max_parallel)
            return self._gates[key]

    async def _run(self, request: Request, *, streamed: bool) -> AsyncGenerator[Chunk, None]:
        chain = self._chain(request.backend, request.backends)
        await self._transport.ready()
        progress = Progress(self._clock, request.timeout_s)
        for backend in chain:
            asked = replace(request, backend=backend)
            if (failure := too_long(asked, self._transport)) is not None:
                progress.failed(backend, failure)
                continue
            async with aclosing(self._backend(asked, progress, streamed)) as items:
                async for item in items:
                    if isinstance(item, str):
                        yield Chunk(item)
                    else:
                        yield Chunk(response=progress.response(backend, item))
                        return
            if progress.broken or progress.remaining() <= 0:
                break
        raise final_error(request, progress)

    async def _backend(
        self, request: Request, progress: Progress, streamed: bool
    ) -> AsyncGenerator[str | Reply, None]:
        """All attempts at one backend; ends without a reply when it has failed for good."""
        backend = request.backend
        for attempt in range(1, backend.retries + 2):
            failure: Failure | None = None
            async with aclosing(self._attempt(request, progress, streamed)) as items:
                async for item in items:
                    if isinstance(item, Failure):
                        failure = item
                        break
                    yield item
            if failure is None:
                return
            progress.failed(backend, failure)
            if progress.broken or not failure.may_pass or attempt > backend.retries:
                return
            if (failure.retry_after_s or 0.0) > self._policy.longest_s:
                return
            wait = self._policy.wait(attempt, failure.retry_after_s, self._rng)
            if wait >= progress.remaining():
                return
            await self._clock.sleep(wait)

    async def _attempt(
        self, request: Request, progress: Progress, streamed: bool
    ) -> AsyncGenerator[str | Reply | Failure, None]:
        """One attempt in its turn; ends with the reply or a failure."""
        gate = self._gate(request.backend)
        if gate is not None:
            try:
                async with asyncio.timeout(progress.remaining_or_none()):
                    await gate.acquire()
            except TimeoutError:
                yield Failure("no free place within the deadline (max_parallel)", "unreachable")
                return
        try:
            async with aclosing(self._exchange(request, progress, streamed)) as items:
                async for item in items:
                    yield item
        finally:
            if gate is not None:
                gate.release()

    async def _exchange(
        self, request: Request, progress: Progress, streamed: bool
    ) -> AsyncGenerator[str | Reply | Failure, None]:
        """Sends, and passes on what comes back, within the attempt's time and the deadline."""
        left = min(request.backend.timeout_s, progress.remaining())
        if left <= 0:
            yield Failure("the deadline passed before anything was sent", "unreachable")
            return
        progress.attempts += 1
        text: list[str] = []
        try:
            async with aclosing(self._items(request, left, streamed)) as items:
                while True:
                    asked_at = self._clock.now()
                    async with asyncio.timeout(max(min(left, progress.remaining()), 0.001)):
                        item = await anext(items)
                    left -= self._clock.now() - asked_at  # a slow reader does not use up the backend's time
                    if isinstance(item, Reply):
                        yield item if item.text.strip() else progress.empty(item)
                        return
                    if item:
                        text.append(item)
                        yield item
        except TimeoutError:
            late = f"no answer within {request.backend.timeout_s:g} s or the deadline"
            failure = Failure(late, "unreachable", lost=True)
        except AttemptFailed as error:
            failure = error.failure
        except StopAsyncIteration:
            failure = Failure("the stream ended without an answer", "server")
        if text:
            progress.break_off(self._transport.estimate(request, "".join(text)))
        elif failure.lost:
            price = self._transport.price(request.backend)
            progress.lose(free=price is not None and price.of(1, 1) == 0)
        yield failure

    async def _items(
        self, request: Request, timeout_s: float, streamed: bool
    ) -> AsyncGenerator[str | Reply, None]:
        if not streamed:
            yield await self._transport.send(request, timeout_s)
            return
        stream = self._transport.stream(request, timeout_s)
        try:
            async for item in stream:
                yield item
        finally:
            if isinstance(stream, AsyncGenerator):
                await stream.aclose()
