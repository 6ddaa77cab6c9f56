"""`SharedAnswers`: each distinct call is made once; who asks the same again is charged the same."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from agentnet.runtime.client import Chunk, ModelClient, Request, Response
from agentnet.runtime.clients.recorded import request_key


class SharedAnswers:
    """A model client that makes each distinct call once.

    The systems that are compared ask the same agents the same questions, and a greedy model answers the
    same: making the call again would only take time. Every system is still charged the tokens, and through
    `saved_s` the seconds, of the call as it was made.
    """

    def __init__(self, client: ModelClient) -> None:
        self._client = client
        self._known: dict[str, tuple[Response, float]] = {}
        self._lock = asyncio.Lock()
        self.made = 0
        """Calls that were really made."""
        self.saved_s = 0.0
        """Seconds that calls which were not made again would have taken."""

    async def complete(self, request: Request) -> Response:
        """Answers a request; one at a time, so that the seconds are those of the model alone."""
        key = request_key(request)
        async with self._lock:
            if key not in self._known:
                start = time.perf_counter()
                response = await self._client.complete(request)
                self._known[key] = (response, time.perf_counter() - start)
                self.made += 1
                return response
            response, seconds = self._known[key]
            self.saved_s += seconds
            return response

    async def stream(self, request: Request) -> AsyncIterator[Chunk]:
        """Answers in one piece."""
        response = await self.complete(request)
        yield Chunk(response.text)
        yield Chunk("", response)
