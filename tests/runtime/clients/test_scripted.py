from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from agentnet.errors import BackendError, BackendUnreachable, EmptyResponse, InvalidInput
from agentnet.runtime.client import ModelClient, Request, Response
from agentnet.runtime.clients.scripted import ScriptedClient, VirtualClock

from .helpers import backend, request


async def test_a_function_sync_or_async_answers() -> None:
    async def later(asked: Request) -> str:
        await asyncio.sleep(0)
        return asked.messages[-1].content.upper()

    assert (await ScriptedClient(lambda asked: asked.backend.name).complete(request())).text == "a"
    assert (await ScriptedClient(later).complete(request(text="hi"))).text == "HI"


async def test_a_mapping_goes_by_agent_then_by_text_then_by_star() -> None:
    client = ScriptedClient({"poet": "rose", "2 + 2": "4", "*": "?"})
    assert (await client.complete(request(agent="poet"))).text == "rose"
    assert (await client.complete(request(agent="other"))).text == "4"
    assert (await client.complete(request(text="else"))).text == "?"
    with pytest.raises(BackendError, match="no answer for 'else'"):
        await ScriptedClient({"x": "y"}).complete(request(text="else"))


async def test_a_list_answers_in_order_and_says_when_it_is_used_up() -> None:
    client = ScriptedClient(["one", BackendUnreachable("gone"), Response(text="two", prompt_tokens=7)])
    assert (await client.complete(request())).text == "one"
    with pytest.raises(BackendUnreachable, match="gone"):
        await client.complete(request())
    assert (await client.complete(request())).prompt_tokens == 7
    with pytest.raises(InvalidInput, match="3 answers, and call 4 came"):
        await client.complete(request())


async def test_usage_and_cost_are_those_of_the_backend_or_unknown() -> None:
    priced = backend(price_in_per_mtok=1_000_000, price_out_per_mtok=10_000_000)
    response = await ScriptedClient(["two words"]).complete(request(priced))
    assert (response.prompt_tokens, response.completion_tokens) == (6, 2)
    assert (response.cost, response.cost_source) == (Decimal(26), "backend price")
    assert (await ScriptedClient(["x"]).complete(request())).cost is None
    blind = await ScriptedClient(["x"], usage=False).complete(request(priced))
    assert blind.prompt_tokens is None and blind.cost is None


async def test_first_calls_fail_as_scripted() -> None:
    client = ScriptedClient(
        lambda _: "ok", failures=[BackendUnreachable("once"), None, BackendError("twice")]
    )
    outcomes = await asyncio.gather(*(client.complete(request()) for _ in range(4)), return_exceptions=True)
    assert [type(item) for item in outcomes] == [BackendUnreachable, Response, BackendError, Response]


async def test_latency_passes_on_the_virtual_clock_alone() -> None:
    clock = VirtualClock()
    client = ScriptedClient(lambda _: "ok", latency_s=60.0, clock=clock)
    responses = await asyncio.gather(*(client.complete(request()) for _ in range(5)))
    assert clock.now() == 60.0 and client.most_in_flight == 5
    assert responses[0].latency_s == 60.0


async def test_streams_the_same_answer_in_pieces() -> None:
    client = ScriptedClient(["one two  three"])
    chunks = [chunk async for chunk in client.stream(request())]
    assert "".join(chunk.text for chunk in chunks) == "one two  three" and len(chunks) == 4
    assert chunks[-1].response is not None and chunks[-1].response.text == "one two  three"


async def test_an_empty_answer_is_an_empty_response() -> None:
    with pytest.raises(EmptyResponse):
        await ScriptedClient([" "]).complete(request())


def test_one_text_is_no_script() -> None:
    with pytest.raises(InvalidInput, match="one text"):
        ScriptedClient("hello")
    assert isinstance(ScriptedClient(["hello"]), ModelClient)
