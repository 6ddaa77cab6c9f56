from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

import agentnet.testing
from agentnet.testing import Behaviour, ChatServer
from agentnet.testing.wire import pieces_of, tokens_of


async def exchange(
    server: ChatServer, body: dict[str, Any] | bytes | None, path: str = "/v1/chat/completions"
) -> bytes:
    """One request on a connection of its own; returns all that came back."""
    host, port = server.url.removeprefix("http://").removesuffix("/v1").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
    method = b"GET" if body is None else b"POST"
    writer.write(b"%s %s HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (method, path.encode(), len(data)) + data)
    await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
    try:
        return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


def question(text: str = "one two", **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": text}], **more}


def status(raw: bytes) -> int:
    return int(raw.split()[1])


def payload(raw: bytes) -> Any:
    return json.loads(raw.partition(b"\r\n\r\n")[2])


async def test_answers_with_usage_and_keeps_the_request() -> None:
    async with ChatServer(answer=lambda body: body["messages"][0]["content"].upper()) as server:
        reply = payload(await exchange(server, question()))
        assert reply["choices"][0]["message"]["content"] == "ONE TWO"
        assert reply["usage"] == {"prompt_tokens": 2, "completion_tokens": 2, "total_tokens": 4}
        assert server.requests[0].body == question() and server.requests[0].fault is None


async def test_streams_pieces_and_usage_only_when_asked() -> None:
    async with ChatServer(answer="a b c") as server:
        plain = await exchange(server, question(stream=True))
        asked = await exchange(server, question(stream=True, stream_options={"include_usage": True}))
        assert plain.count(b'"content"') == 3 and b"usage" not in plain and b"[DONE]" in plain
        assert asked.count(b'"usage"') == 1


async def test_faults_come_in_order_of_arrival() -> None:
    faults = (503, None, "malformed", "empty", "no_choices", "unpriced", "disconnect")
    async with ChatServer(faults=faults, retry_after_s=2) as server:
        raw = [await exchange(server, question()) for _ in range(8)]
    assert status(raw[0]) == 503 and b"Retry-After: 2" in raw[0]
    assert payload(raw[1])["choices"][0]["message"]["content"] == "ok"
    with pytest.raises(ValueError):
        payload(raw[2])
    assert payload(raw[3])["choices"][0]["message"]["content"] == ""
    assert payload(raw[4])["choices"] == [] and "usage" not in payload(raw[5]) and raw[6] == b""
    assert [served.fault for served in server.requests] == [*faults, None]


async def test_failures_depend_on_seed_and_request_and_not_on_the_order() -> None:
    texts = [f"question {i}" for i in range(60)]

    async def play(order: list[str], seed: int) -> dict[str, int]:
        async with ChatServer(failure_rate=0.5, seed=seed) as server:
            return {text: status(await exchange(server, question(text))) for text in order}

    first, again, other = await play(texts, 1), await play(texts[::-1], 1), await play(texts, 2)
    assert first == again != other
    assert 15 < sum(code == 500 for code in first.values()) < 45


async def test_a_repeated_request_draws_anew() -> None:
    async with ChatServer(failure_rate=0.5) as server:
        assert {status(await exchange(server, question())) for _ in range(20)} == {200, 500}


async def test_capacity_queues_or_rejects() -> None:
    async with ChatServer(capacity=2, latency_s=0.02) as server:
        raw = await asyncio.gather(*(exchange(server, question()) for _ in range(6)))
        assert {status(item) for item in raw} == {200} and server.most_in_flight == 2
        server.behaviour = replace(server.behaviour, overload="reject")
        raw = await asyncio.gather(*(exchange(server, question()) for _ in range(6)))
        assert sorted(status(item) for item in raw).count(429) == 4 and server.in_flight == 0


async def test_a_killed_server_refuses_and_comes_back_at_its_address() -> None:
    server = ChatServer(faults=("hang",))
    await server.start()
    url = server.url
    hanging = asyncio.create_task(exchange(server, question()))
    while not server.requests:
        await asyncio.sleep(0.001)
    await server.stop()
    outcome = (await asyncio.gather(hanging, return_exceptions=True))[0]
    assert outcome == b"" or isinstance(outcome, ConnectionError)
    with pytest.raises(ConnectionError):
        await exchange(server, question())
    await server.start()
    assert server.url == url and status(await exchange(server, question())) == 200 and server.in_flight == 0
    await server.stop()


async def test_other_paths_and_bodies() -> None:
    async with ChatServer() as server:
        assert payload(await exchange(server, None, "/v1/models"))["data"][0]["id"] == "test"
        assert status(await exchange(server, question(), "/v1/embeddings")) == 404
        assert status(await exchange(server, b"{", "/v1/chat/completions")) == 404
        assert server.requests == []


@pytest.mark.parametrize("text", ["", "a", "  two  words \n", "x\ny z"])
def test_pieces_add_up(text: str) -> None:
    assert "".join(pieces_of(text)) == text and tokens_of("a, b") == 3


def test_public_names_are_there_and_sorted() -> None:
    names = agentnet.testing.__all__
    assert list(names) == sorted(names) and all(hasattr(agentnet.testing, name) for name in names)
    assert Behaviour().capacity is None
