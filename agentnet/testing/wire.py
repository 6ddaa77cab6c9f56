"""The bytes of the test server: HTTP/1.1 in, JSON or server-sent events out."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request; header names are lower case."""

    path: str
    headers: Mapping[str, str]
    body: bytes


async def read_request(reader: asyncio.StreamReader) -> HttpRequest | None:
    """Reads one request, or None when the client has closed the connection."""
    head = await reader.readline()
    if not head.strip():
        return None
    path = head.decode("latin-1").split()[1].split("?")[0]
    headers: dict[str, str] = {}
    while (line := (await reader.readline()).decode("latin-1").strip()) != "":
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    length = int(headers.get("content-length", "0"))
    return HttpRequest(path, headers, await reader.readexactly(length))


def error_body(text: str, status: int = 404) -> dict[str, Any]:
    """An error in OpenAI's form."""
    return {"error": {"message": text, "type": "test_server", "param": None, "code": str(status)}}


def tokens_of(text: str) -> int:
    """A stand-in for a tokenizer: words and punctuation marks."""
    return len(re.findall(r"\w+|[^\w\s]", text))


def pieces_of(text: str) -> list[str]:
    """Splits a text into words with the white space before them."""
    return re.findall(r"\s*\S+|\s+$", text)


def usage_of(body: Mapping[str, Any], text: str, cached: int, cost: float | None) -> dict[str, Any]:
    """Token counts of a request and its answer, in OpenAI's form."""
    prompt = sum(tokens_of(str(message.get("content") or "")) for message in body.get("messages", ()))
    answer = tokens_of(text)
    usage: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": answer,
        "total_tokens": prompt + answer,
    }
    if cached:
        usage["prompt_tokens_details"] = {"cached_tokens": cached}
    if cost is not None:
        usage["cost"] = cost
    return usage


def completion(
    model: str, text: str, usage: Mapping[str, Any] | None, finish_reason: str, without_choices: bool
) -> dict[str, Any]:
    """A whole answer in OpenAI's form."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": finish_reason}
    reply: dict[str, Any] = {
        "id": "chatcmpl-test",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [] if without_choices else [choice],
    }
    if usage is not None:
        reply["usage"] = dict(usage)
    return reply


async def send_raw(
    writer: asyncio.StreamWriter, status: int, payload: bytes, headers: Mapping[str, str] | None = None
) -> None:
    """Sends a reply with a JSON content type."""
    lines = [
        f"HTTP/1.1 {status} {_phrase(status)}",
        "Content-Type: application/json",
        f"Content-Length: {len(payload)}",
        *(f"{name}: {value}" for name, value in (headers or {}).items()),
    ]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + payload)
    await writer.drain()


async def send_json(
    writer: asyncio.StreamWriter, status: int, data: object, headers: Mapping[str, str] | None = None
) -> None:
    """Sends JSON."""
    await send_raw(writer, status, json.dumps(data).encode(), headers)


async def send_stream(
    writer: asyncio.StreamWriter,
    model: str,
    pieces: Sequence[str],
    usage: Mapping[str, Any] | None,
    finish_reason: str,
    broken: bool,
) -> None:
    """Sends server-sent events; a broken stream just ends in the middle of a chunk."""
    head = ["HTTP/1.1 200 OK", "Content-Type: text/event-stream", "Transfer-Encoding: chunked"]
    writer.write("\r\n".join(head).encode() + b"\r\n\r\n")
    for i, piece in enumerate(pieces):
        delta = {"content": piece} | ({"role": "assistant"} if i == 0 else {})
        await _event(writer, _chunk(model, [{"index": 0, "delta": delta, "finish_reason": None}]))
    if broken:
        writer.write(b"40\r\ndata: {")
        await writer.drain()
        return
    await _event(writer, _chunk(model, [{"index": 0, "delta": {}, "finish_reason": finish_reason}]))
    if usage is not None:
        await _event(writer, _chunk(model, []) | {"usage": dict(usage)})
    await _event(writer, "[DONE]")
    writer.write(b"0\r\n\r\n")
    await writer.drain()


def _chunk(model: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": "chatcmpl-test",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": model,
        "choices": choices,
    }


async def _event(writer: asyncio.StreamWriter, data: object) -> None:
    text = data if isinstance(data, str) else json.dumps(data)
    payload = f"data: {text}\n\n".encode()
    writer.write(f"{len(payload):x}\r\n".encode() + payload + b"\r\n")
    await writer.drain()


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
