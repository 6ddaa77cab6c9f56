"""`RememberingClient`: asks each request once, for equal requests of a greedy model have equal answers."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from agentnet.errors import EmptyResponse
from agentnet.runtime.client import Chunk, ModelClient, Request, Response
from agentnet.runtime.clients.recorded import MissingRecord, RecordedClient, request_key


class RememberingClient:
    """A `ModelClient` that asks another one, and repeats its answers to equal requests from a file.

    A repeated answer carries the usage of the first one: what a run would use is counted in full, only the
    model's time is saved. Requests that sample without a seed are never repeated.

    Args:
        client: Who is asked.
        path: A JSON Lines file as `RecordedClient` reads it; made if missing, gone on with if not.
    """

    def __init__(self, client: ModelClient, path: str | Path) -> None:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [row for row in _rows(path) if _lasts(row)]
        self._before = RecordedClient(rows)
        self._recorder = RecordedClient.record(client, path)
        self._now: dict[str, Response | EmptyResponse] = {}
        self._lock = threading.Lock()
        self.asked = 0
        """Requests that the other client was asked."""
        self.repeated = 0
        """Requests that were answered from memory."""

    async def complete(self, request: Request) -> Response:
        """Answers from memory, else asks and remembers."""
        if request.temperature and request.seed is None:
            return await self._recorder.complete(request)
        key = request_key(request)
        known = self._now.get(key)
        if known is None:
            try:
                known = self._now[key] = await self._before.complete(request)
            except MissingRecord:
                return await self._ask(key, request)
            except EmptyResponse as error:
                known = self._now[key] = error
        with self._lock:
            self.repeated += 1
        if isinstance(known, EmptyResponse):
            raise known
        return known

    async def _ask(self, key: str, request: Request) -> Response:
        with self._lock:
            self.asked += 1
        try:
            response = await self._recorder.complete(request)
        except EmptyResponse as error:
            self._now[key] = error
            raise
        self._now[key] = response
        return response

    async def stream(self, request: Request) -> AsyncIterator[Chunk]:
        """Answers in one piece."""
        response = await self.complete(request)
        yield Chunk(response.text)
        yield Chunk(response=response)


def _lasts(row: dict[str, Any]) -> bool:
    """Whether a row is an answer for good: one that failed for another reason is asked again."""
    return "response" in row or row.get("error", {}).get("type") == EmptyResponse.__name__


def _rows(path: Path) -> list[dict[str, Any]]:
    """The file's rows; half a line that a killed process left is cut off."""
    if not path.exists():
        return []
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        path.write_bytes(whole)
    return [json.loads(line) for line in whole.decode().splitlines() if line.strip()]
