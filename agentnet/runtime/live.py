"""`LiveTracker`: measures load, health and warmth of the backends for routers that look at them."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Iterable

from agentnet.errors import BackendError, ContextTooLong
from agentnet.graphs.agent import Backend
from agentnet.graphs.live import BackendState, LiveState
from agentnet.runtime.client import Chunk, ModelClient, Request, Response
from agentnet.runtime.clients.clock import Clock, SystemClock
from agentnet.runtime.clients.prices import Price, Prices, backend_price

USUAL = 32.0
"""Half-life of a backend's usual latency, in half-lives of its recent one."""


class Average:
    r"""An exponentially weighted moving average, right from the first value on.

    .. math:: m_t = \frac{\sum_i d^{t-i} x_i}{\sum_i d^{t-i}}, \quad d = 2^{-1/h}

    with half-life h in values: a value counts half as much after h later ones. Dividing by the weights
    (Kingma and Ba, "Adam", arXiv:1412.6980, section 3, for the same correction) removes the pull to zero.

    >>> average = Average(half_life=1)
    >>> average.add(4.0), average.value, average.add(1.0), average.value
    (None, 4.0, None, 2.0)
    """

    __slots__ = ("_decay", "_sum", "_weight")

    def __init__(self, half_life: float) -> None:
        self._decay = 2.0 ** (-1.0 / half_life)
        self._sum = 0.0
        self._weight = 0.0

    def add(self, value: float) -> None:
        """Takes in a value."""
        self._sum = self._decay * self._sum + value
        self._weight = self._decay * self._weight + 1.0

    def fade(self, share: float) -> None:
        """Leaves the values so far only this share of their weight beside those to come."""
        self._sum *= share
        self._weight *= share

    @property
    def value(self) -> float | None:
        """The average; None before the first value."""
        return self._sum / self._weight if self._weight else None


class _Record:
    """What is known of one backend; guarded by the tracker's lock."""

    def __init__(self, half_life: float) -> None:
        self.in_flight = 0
        self.capacity: int | None = None
        self.latency = Average(half_life)
        self.usual = Average(USUAL * half_life)
        self.errors = Average(half_life)
        self.heard_at = 0.0
        self.failures_in_a_row = 0
        self.down_until: float | None = None
        self.sessions: OrderedDict[str, float] = OrderedDict()


class LiveTracker:
    """A `ModelClient` that passes calls on and keeps a `LiveState` of what it sees.

    A backend is unhealthy after ``unhealthy_after`` failed calls in a row. When ``cooldown_s`` have passed
    it counts as healthy again, so that routers try it, until a call is on its way: one trial at a time. If
    that fails it is unhealthy at once, a success makes it healthy for good. The tracker only reports: it
    never refuses a call.

    What is known of a backend grows old: while it has no calls, its error rate and its latency halve every
    ``forget_s`` seconds, so that a router that looks at them comes back to it, and what it then measures
    outweighs what was before. A backend that a router has left could otherwise never show that it is well.

    Args:
        client: Where calls go.
        backends: Backends to report from the start; others are added when they are first called.
        clock: Tells the time.
        half_life: Of the moving averages, in calls.
        unhealthy_after: Failed calls in a row.
        cooldown_s: Seconds until an unhealthy backend is tried again.
        forget_s: Half-life of old measurements in seconds; None keeps them until newer calls replace them.
        warm_s: Seconds for which a session's prompt is taken to stay in the backend's cache.
        warm_sessions: Sessions remembered per backend; the longest unused is forgotten first.

    >>> from agentnet.runtime.clients.scripted import ScriptedClient
    >>> LiveTracker(ScriptedClient(["hi"])).state().of("any").healthy
    True
    """

    def __init__(
        self,
        client: ModelClient,
        *,
        backends: Iterable[Backend] = (),
        clock: Clock | None = None,
        half_life: float = 32.0,
        unhealthy_after: int = 3,
        cooldown_s: float = 30.0,
        forget_s: float | None = 60.0,
        warm_s: float = 300.0,
        warm_sessions: int = 256,
    ) -> None:
        self.client = client
        self._prices = client if isinstance(client, Prices) else None
        self._clock = clock or SystemClock()
        self._half_life = half_life
        self._unhealthy_after = unhealthy_after
        self._cooldown_s = cooldown_s
        self._forget_s = math.inf if forget_s is None else forget_s
        self._warm_s = warm_s
        self._warm_sessions = warm_sessions
        self._lock = threading.Lock()
        self._records: dict[str, _Record] = {}
        for backend in backends:
            self._record(backend.name).capacity = backend.max_parallel

    async def complete(self, request: Request) -> Response:
        """Passes a request on."""
        started = self._begin(request)
        try:
            response = await self.client.complete(request)
        except BaseException as error:
            self._end(request, error)
            raise
        self._answered(request, response, self._clock.now() - started)
        self._end(request, None)
        return response

    async def stream(self, request: Request) -> AsyncIterator[Chunk]:
        """Passes a request on, piece by piece."""
        started = self._begin(request)
        items = self.client.stream(request)
        try:
            async for chunk in items:
                if chunk.response is not None:
                    self._answered(request, chunk.response, self._clock.now() - started)
                yield chunk
        except BaseException as error:
            self._end(request, error)
            raise
        else:
            self._end(request, None)
        finally:
            if isinstance(items, AsyncGenerator):
                await items.aclose()

    def price(self, backend: Backend) -> Price | None:
        """Returns the wrapped client's price for a backend, else the backend's own."""
        return backend_price(backend) if self._prices is None else self._prices.price(backend)

    def state(self) -> LiveState:
        """Returns a snapshot of all backends seen so far."""
        with self._lock:
            now = self._clock.now()
            return LiveState({name: self._snapshot(record, now) for name, record in self._records.items()})

    def _begin(self, request: Request) -> float:
        with self._lock:
            record = self._record(request.backend.name)
            record.capacity = request.backend.max_parallel
            kept = self._kept(record, self._clock.now())
            record.latency.fade(kept)
            record.errors.fade(kept)
            record.in_flight += 1
        return self._clock.now()

    def _end(self, request: Request, error: BaseException | None) -> None:
        with self._lock:
            record = self._record(request.backend.name)
            record.in_flight -= 1
            record.heard_at = self._clock.now()
            # A prompt that is too long is the request's fault, a cancellation nobody's.
            if isinstance(error, BackendError) and not isinstance(error, ContextTooLong):
                self._failed(record, 1)

    def _answered(self, request: Request, response: Response, seconds: float) -> None:
        with self._lock:
            asked = self._record(request.backend.name)
            answered = self._record(response.backend or request.backend.name)
            if answered is asked:
                for _ in range(response.attempts - 1):
                    asked.errors.add(1.0)
                asked.latency.add(seconds)
                asked.usual.add(seconds)
            else:  # a fallback: the time includes the other's failures and says nothing of this one
                self._failed(asked, max(response.attempts - 1, 1))
            answered.errors.add(0.0)
            answered.heard_at = self._clock.now()
            answered.failures_in_a_row = 0
            answered.down_until = None
            if request.session_id is not None:
                answered.sessions[request.session_id] = self._clock.now()
                answered.sessions.move_to_end(request.session_id)
                while len(answered.sessions) > self._warm_sessions:
                    answered.sessions.popitem(last=False)

    def _failed(self, record: _Record, attempts: int) -> None:
        for _ in range(attempts):
            record.errors.add(1.0)
        record.failures_in_a_row += 1
        if record.failures_in_a_row >= self._unhealthy_after:
            record.down_until = self._clock.now() + self._cooldown_s

    def _record(self, name: str) -> _Record:
        record = self._records.get(name)
        if record is None:
            record = self._records[name] = _Record(self._half_life)
        return record

    def _kept(self, record: _Record, now: float) -> float:
        """What is left of a backend's measurements; those of one with calls on their way do not grow old."""
        idle = 0.0 if record.in_flight else max(now - record.heard_at, 0.0)
        return float(2.0 ** (-idle / self._forget_s))

    def _snapshot(self, record: _Record, now: float) -> BackendState:
        while record.sessions and now - next(iter(record.sessions.values())) > self._warm_s:
            record.sessions.popitem(last=False)
        latency = record.latency.value
        kept = self._kept(record, now)
        return BackendState(
            in_flight=record.in_flight,
            capacity=record.capacity,
            latency_s=None if latency is None else latency * kept,
            usual_latency_s=record.usual.value,
            error_rate=(record.errors.value or 0.0) * kept,
            healthy=record.down_until is None or (now >= record.down_until and record.in_flight == 0),
            warm_sessions=frozenset(record.sessions),
        )
