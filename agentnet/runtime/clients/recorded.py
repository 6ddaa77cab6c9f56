"""`RecordedClient`: replays answers that `Recorder` wrote down, found by the request's content."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import fields
from decimal import Decimal
from pathlib import Path
from typing import Any

from agentnet import errors
from agentnet.errors import BackendError, DataError
from agentnet.graphs.agent import content_hash
from agentnet.runtime.client import Chunk, ModelClient, Request, Response
from agentnet.runtime.clients.scrub import scrub

_PLACE = {"api_base", "base_url", "api_key_env", "api_version", "organization", "extra_headers"}
"""Options that say where a model is, not what is asked of it: neither hashed nor written."""


class MissingRecord(DataError):
    """No recorded answer fits a request; the message says how to record one."""


def request_key(request: Request) -> str:
    """Returns 12 hexadecimal digits of all that decides the answer: equal requests, equal keys.

    Not part of it: where the server is, timeouts, fallbacks, the session and the asking agent's name.
    """
    return content_hash(_content(request))


def _content(request: Request) -> dict[str, Any]:
    backend = request.backend
    settings = {**backend.options, **request.extra}
    return {
        "backend": backend.name,
        "model": backend.model,
        "messages": [message.to_dict() for message in request.messages],
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "stop": list(request.stop),
        "seed": request.seed,
        "json_schema": dict(request.json_schema) if request.json_schema is not None else None,
        "settings": {name: value for name, value in settings.items() if name not in _PLACE},
    }


class RecordedClient:
    """A `ModelClient` that replays records; it needs no model, no key and no network.

    A request that was recorded several times (samples) gets its answers in the recorded order, then from
    the first again. A recorded failure is raised again.

    Args:
        records: A JSON Lines file written by `Recorder`, or its rows.

    Raises:
        DataError: the file is missing or no record file.
    """

    def __init__(self, records: str | Path | Iterable[Mapping[str, Any]]) -> None:
        rows = _read(Path(records)) if isinstance(records, (str, Path)) else list(records)
        self._records: dict[str, list[Mapping[str, Any]]] = {}
        for row in rows:
            self._records.setdefault(row["key"], []).append(row)
        self._asked: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._where = str(records) if isinstance(records, (str, Path)) else "the records given"

    @staticmethod
    def record(client: ModelClient, path: str | Path) -> Recorder:
        """Returns a client that asks ``client`` and appends every answer to a file."""
        return Recorder(client, path)

    async def complete(self, request: Request) -> Response:
        """Returns the recorded answer.

        Raises:
            MissingRecord: this request was not recorded.
            BackendError: it was recorded as failing.
        """
        key = request_key(request)
        with self._lock:
            rows = self._records.get(key, [])
            turn = self._asked[key]
            self._asked[key] += 1
        if not rows:
            raise MissingRecord(
                f"no record {key} for backend {request.backend.name!r} in {self._where}; record it with "
                "RecordedClient.record(client, path), or check that the prompt has not changed."
            )
        row = rows[turn % len(rows)]
        if "error" in row:
            raise _error(row["error"])
        return _response(row["response"])

    async def stream(self, request: Request) -> AsyncIterator[Chunk]:
        """Returns the recorded answer as one piece and the response."""
        response = await self.complete(request)
        yield Chunk(response.text)
        yield Chunk(response=response)


class Recorder:
    """A `ModelClient` that passes requests on and appends the answers to a JSON Lines file.

    Written are the request's content and the response, without keys, addresses and headers; secrets in
    texts are masked.
    """

    def __init__(self, client: ModelClient, path: str | Path) -> None:
        self._client = client
        self._path = Path(path)
        self._lock = threading.Lock()

    async def complete(self, request: Request) -> Response:
        """Asks, records, answers."""
        try:
            response = await self._client.complete(request)
        except BackendError as error:
            self._write(request, error=error)
            raise
        self._write(request, response=response)
        return response

    async def stream(self, request: Request) -> AsyncIterator[Chunk]:
        """Asks piece by piece and records the whole."""
        try:
            async for chunk in self._client.stream(request):
                if chunk.response is not None:
                    self._write(request, response=chunk.response)
                yield chunk
        except BackendError as error:
            self._write(request, error=error)
            raise

    def _write(
        self, request: Request, *, response: Response | None = None, error: BackendError | None = None
    ) -> None:
        row: dict[str, Any] = {"key": request_key(request), "request": _content(request)}
        if response is not None:
            row["response"] = {item.name: getattr(response, item.name) for item in fields(response)}
        if error is not None:
            row["error"] = {"type": type(error).__name__, "message": str(error)}
        line = json.dumps(_clean(row), ensure_ascii=False, sort_keys=True, default=str)
        with self._lock, self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def _clean(value: Any) -> Any:
    """Masks secrets in every text of a JSON value."""
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, Mapping):
        return {key: _clean(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(item) for item in value]
    return value


def _read(path: Path) -> list[Mapping[str, Any]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DataError(f"cannot read the records {path}: {error.strerror}.") from None
    rows: list[Mapping[str, Any]] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict) or "key" not in row or not ({"response", "error"} & set(row)):
            raise DataError(
                f"line {number} of {path} is no record (key, and response or error); record it again."
            )
        rows.append(row)
    return rows


def _response(data: Mapping[str, Any]) -> Response:
    known = {item.name for item in fields(Response)}
    values = {name: value for name, value in data.items() if name in known}
    if values.get("cost") is not None:
        values["cost"] = Decimal(values["cost"])
    return Response(**values)


def _error(data: Mapping[str, Any]) -> BackendError:
    cls = getattr(errors, str(data.get("type")), BackendError)
    if not (isinstance(cls, type) and issubclass(cls, BackendError)):
        cls = BackendError
    return cls(str(data.get("message", "a recorded failure")))
