from __future__ import annotations

from pathlib import Path

import pytest

from agentnet.bench.topology.remember import RememberingClient
from agentnet.errors import BackendUnreachable, EmptyResponse
from agentnet.graphs.agent import Backend
from agentnet.graphs.task import Message
from agentnet.runtime.client import Request
from agentnet.runtime.clients.scripted import ScriptedClient


def ask(text: str, temperature: float = 0.0, seed: int | None = None) -> Request:
    return Request(
        backend=Backend(name="b", model="m"),
        messages=(Message("user", text),),
        temperature=temperature,
        seed=seed,
    )


async def test_equal_requests_are_asked_once_and_counted_in_full(script: ScriptedClient, calls: Path) -> None:
    client = RememberingClient(script, calls)
    first = await client.complete(ask("one two"))
    again = await client.complete(ask("one two"))
    assert again == first and first.prompt_tokens and first.completion_tokens
    assert (len(script.calls), client.asked, client.repeated) == (1, 1, 1)
    other = RememberingClient(ScriptedClient(["never"]), calls)
    later = await other.complete(ask("one two"))
    assert (later.text, later.prompt_tokens, later.completion_tokens) == (
        first.text,
        first.prompt_tokens,
        first.completion_tokens,
    )
    assert other.asked == 0


async def test_samples_are_remembered_by_their_seed_only(calls: Path) -> None:
    script = ScriptedClient([str(i) for i in range(9)])
    client = RememberingClient(script, calls)
    seeded = [(await client.complete(ask("x", 0.7, seed))).text for seed in (1, 2, 1)]
    free = [(await client.complete(ask("x", 0.7))).text for _ in range(2)]
    assert seeded[0] == seeded[2] != seeded[1] and free[0] != free[1]


async def test_an_empty_answer_stays_and_an_accident_does_not(calls: Path) -> None:
    script = ScriptedClient([EmptyResponse("nothing"), BackendUnreachable("gone"), "here"])
    client = RememberingClient(script, calls)
    for _ in range(2):
        with pytest.raises(EmptyResponse):
            await client.complete(ask("a"))
    with pytest.raises(BackendUnreachable):
        await client.complete(ask("b"))
    later = RememberingClient(script, calls)
    with pytest.raises(EmptyResponse):
        await later.complete(ask("a"))
    assert (await later.complete(ask("b"))).text == "here" and len(script.calls) == 3


async def test_half_a_line_of_a_killed_process_is_dropped(script: ScriptedClient, calls: Path) -> None:
    await RememberingClient(script, calls).complete(ask("a"))
    with calls.open("a") as file:
        file.write('{"key": "torn')
    client = RememberingClient(script, calls)
    await client.complete(ask("a"))
    await client.complete(ask("b"))
    assert client.asked == 1
    assert RememberingClient(script, calls).asked == 0 and calls.read_text().count("\n") == 2


async def test_streams_come_in_one_piece(script: ScriptedClient, calls: Path) -> None:
    client = RememberingClient(script, calls)
    chunks = [chunk async for chunk in client.stream(ask("a"))]
    assert chunks[-1].response is not None and chunks[0].text == chunks[-1].response.text
