"""`ChatServer`: an OpenAI-compatible chat server on loopback whose behaviour the test sets.

It speaks just enough HTTP/1.1 for the OpenAI client, and so for LiteLLM's ``openai/...`` models with
``api_base=server.url``: chat completions, whole or streamed, and the list of models.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

from agentnet.testing import wire

Fault = Literal["empty", "malformed", "disconnect", "hang", "broken_stream", "unpriced", "no_choices"] | int
"""What goes wrong: an HTTP status, an empty answer, a body that is no JSON, a dropped connection, no reply
at all, a stream that breaks after its first piece, a reply without usage, or one without choices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How a server answers; assign another to ``server.behaviour`` to change it while it runs."""

    answer: str | Callable[[Mapping[str, Any]], str] = "ok"
    """The text, or a function of the request's JSON that gives it."""
    latency_s: float = 0.0
    """Seconds of work per request, spent while holding one of the places."""
    jitter: float = 0.0
    """Latency varies by up to this share in both directions."""
    capacity: int | None = None
    """Requests worked on at once. None: no bound."""
    overload: Literal["wait", "reject"] = "wait"
    """What happens to further requests: they queue, or get status 429."""
    failure_rate: float = 0.0
    """Share of requests that get ``failure``."""
    failure: Fault = 500
    faults: tuple[Fault | None, ...] = ()
    """Faults of the first requests, in order of arrival; None answers properly."""
    retry_after_s: float | None = None
    """Sent as Retry-After with every status of 429 and above."""
    error_text: str = "scripted failure"
    usage: bool = True
    """Whether token counts are reported, in streams as well when they are asked for."""
    cached_tokens: int = 0
    """Prompt tokens reported as taken from a cache."""
    cost: float | None = None
    """USD reported in ``usage.cost``, as OpenRouter does."""
    finish_reason: str = "stop"
    seed: int = 0
    """Failures and jitter depend on this, the request and how often it came, not on arrival order."""


@dataclass(frozen=True, slots=True)
class Served:
    """A request that reached the server."""

    body: Mapping[str, Any]
    headers: Mapping[str, str]
    fault: Fault | None


class ChatServer:
    """An OpenAI-compatible server on 127.0.0.1; an asynchronous context manager.

    >>> from agentnet.runtime.sync import run_sync
    >>> async def ask() -> tuple[str, int]:
    ...     async with ChatServer(answer="four") as server:
    ...         return server.url.rsplit(":", 1)[0], len(server.requests)
    >>> run_sync(ask())
    ('http://127.0.0.1', 0)
    """

    def __init__(self, behaviour: Behaviour | None = None, *, port: int = 0, **settings: Any) -> None:
        self.behaviour = behaviour or Behaviour(**settings)
        self.requests: list[Served] = []
        """Every chat request that came in, oldest first."""
        self.in_flight = 0
        self.most_in_flight = 0
        """Most requests that were worked on at the same time."""
        self.refused = 0
        """Requests that got status 429 because all places were taken."""
        self._port = port
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Condition()
        self._seen: Counter[str] = Counter()

    @property
    def url(self) -> str:
        """The address to give as ``api_base``."""
        return f"http://127.0.0.1:{self._port}/v1"

    def counts(self) -> dict[str, int]:
        """Returns the number of requests, of scripted faults, of refusals, and the most at the same time."""
        faults = sum(served.fault is not None for served in self.requests)
        return {
            "requests": len(self.requests),
            "faults": faults,
            "refused": self.refused,
            "most_in_flight": self.most_in_flight,
        }

    async def start(self) -> None:
        """Listens; a server that was stopped comes back on the same port."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Closes the port and drops every open connection, as a killed server does."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in tuple(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._connections.add(task)
        try:
            while (request := await wire.read_request(reader)) is not None:
                if not await self._serve(request, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()
            if task is not None:
                self._connections.discard(task)

    async def _serve(self, request: wire.HttpRequest, writer: asyncio.StreamWriter) -> bool:
        """Answers one request; returns whether the connection stays open."""
        if request.path.endswith("/models"):
            await wire.send_json(writer, 200, {"object": "list", "data": [{"id": "test", "object": "model"}]})
            return True
        try:
            body = json.loads(request.body)
        except ValueError:
            body = None
        if not request.path.endswith("/chat/completions") or not isinstance(body, dict):
            await wire.send_json(writer, 404, wire.error_body("only /v1/chat/completions is served"))
            return True
        how = self.behaviour
        draw = self._draw(request.body, how.seed)
        fault = self._fault(how, draw)
        self.requests.append(Served(body, request.headers, fault))
        if how.overload == "reject" and how.capacity is not None and self.in_flight >= how.capacity:
            self.refused += 1
            await self._send_status(writer, 429, how)
            return True
        async with self._place():
            latency = how.latency_s * (1 + how.jitter * (2 * draw.random() - 1))
            if latency > 0:
                await asyncio.sleep(latency)
            return await self._answer(writer, body, how, fault)

    def _draw(self, body: bytes, seed: int) -> random.Random:
        key = hashlib.sha256(body).hexdigest()
        self._seen[key] += 1
        return random.Random(f"{seed}:{key}:{self._seen[key]}")

    def _fault(self, how: Behaviour, draw: random.Random) -> Fault | None:
        failed = draw.random() < how.failure_rate
        if len(self.requests) < len(how.faults):
            return how.faults[len(self.requests)]
        return how.failure if failed else None

    @contextlib.asynccontextmanager
    async def _place(self) -> Any:
        def free() -> bool:
            capacity = self.behaviour.capacity
            return capacity is None or self.in_flight < capacity

        async with self._turn:
            await self._turn.wait_for(free)
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            yield
        finally:
            self.in_flight -= 1
            async with self._turn:
                self._turn.notify_all()

    async def _send_status(self, writer: asyncio.StreamWriter, status: int, how: Behaviour) -> None:
        headers = {}
        if how.retry_after_s is not None and status >= 429:
            headers["Retry-After"] = f"{how.retry_after_s:g}"
        await wire.send_json(writer, status, wire.error_body(how.error_text, status), headers)

    async def _answer(
        self, writer: asyncio.StreamWriter, body: dict[str, Any], how: Behaviour, fault: Fault | None
    ) -> bool:
        if isinstance(fault, int):
            await self._send_status(writer, fault, how)
            return True
        if fault == "disconnect":
            return False
        if fault == "hang":
            await asyncio.Event().wait()
        if fault == "malformed":
            await wire.send_raw(writer, 200, b'{"choices": [{"mess')
            return True
        text = "" if fault == "empty" else how.answer if isinstance(how.answer, str) else how.answer(body)
        usage = wire.usage_of(body, text, how.cached_tokens, how.cost)
        reported = usage if how.usage and fault != "unpriced" else None
        model = str(body.get("model", "test"))
        if not body.get("stream"):
            await wire.send_json(
                writer, 200, wire.completion(model, text, reported, how.finish_reason, fault == "no_choices")
            )
            return True
        asked = bool((body.get("stream_options") or {}).get("include_usage"))
        pieces = wire.pieces_of(text)
        broken = fault == "broken_stream"
        await wire.send_stream(
            writer,
            model,
            pieces[:1] if broken else pieces,
            reported if asked else None,
            how.finish_reason,
            broken,
        )
        return not broken
