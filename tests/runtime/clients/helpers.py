from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

from agentnet.graphs.agent import Backend
from agentnet.graphs.task import Message
from agentnet.runtime.client import Request
from agentnet.runtime.clients.prices import BACKEND_PRICE, Price, backend_price
from agentnet.runtime.clients.transport import AttemptFailed, Failure, Reply


def backend(name: str = "a", **settings: Any) -> Backend:
    return Backend(**({"name": name, "model": f"test/{name}", "retries": 2} | settings))


def request(item: Backend | None = None, text: str = "What is 2 + 2?", **settings: Any) -> Request:
    return Request(backend=item or backend(), messages=(Message("user", text),), **settings)


HANG = "hang"
Step = str | Failure | Reply | list[str | Failure]


class ScriptedTransport:
    """Plays one step per attempt, per backend: a text, a failure, a hang, or a list of stream items."""

    def __init__(self, **steps: Sequence[Step]) -> None:
        self.steps = {name: list(items) for name, items in steps.items()}
        self.sent: list[str] = []
        self.timeouts: list[float] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self.release: asyncio.Event | None = None

    async def ready(self) -> None:
        pass

    async def _next(self, request: Request, timeout_s: float) -> Step:
        self.sent.append(request.backend.name)
        self.timeouts.append(timeout_s)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            if self.release is not None:
                await self.release.wait()
            step = self.steps[request.backend.name].pop(0)
            if step == HANG:
                await asyncio.Event().wait()
            return step
        finally:
            self.in_flight -= 1

    def _reply(self, request: Request, text: str) -> Reply:
        cost = request.backend.cost(prompt_tokens=100, completion_tokens=10)
        source = BACKEND_PRICE if cost is not None else None
        return Reply(text=text, prompt_tokens=100, completion_tokens=10, cost=cost, cost_source=source)

    async def send(self, request: Request, timeout_s: float) -> Reply:
        step = await self._next(request, timeout_s)
        if isinstance(step, Failure):
            raise AttemptFailed(step)
        if isinstance(step, Reply):
            return step
        assert isinstance(step, str)
        return self._reply(request, step)

    async def stream(self, request: Request, timeout_s: float) -> AsyncIterator[str | Reply]:
        step = await self._next(request, timeout_s)
        items = step if isinstance(step, list) else [step]
        text = ""
        for item in items:
            if isinstance(item, Failure):
                raise AttemptFailed(item)
            assert isinstance(item, str)
            if item == HANG:
                await asyncio.Event().wait()
            text += item
            yield item
        yield self._reply(request, text)

    def price(self, item: Backend) -> Price | None:
        return backend_price(item)

    def count_tokens(self, item: Backend, text: str) -> int:
        return len(text.split())

    def estimate(self, request: Request, text: str) -> Reply:
        return replace(self._reply(request, text), completion_tokens=len(text.split()))
