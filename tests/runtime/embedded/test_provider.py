from __future__ import annotations

from decimal import Decimal

import pytest

from agentnet.errors import BackendError, ContextTooLong, InvalidInput
from agentnet.graphs.task import Message
from agentnet.runtime.client import Request
from agentnet.runtime.clients.litellm_client import LiteLLMClient
from agentnet.runtime.clients.litellm_module import load
from agentnet.runtime.embedded.provider import KEEP, MODEL, arguments, embedded_backend, serving
from agentnet.runtime.embedded.transcript import Transcript

MESSAGES = (Message("system", "You add."), Message("user", "1 + 1"))


def request(**changes) -> Request:
    return Request(**({"backend": embedded_backend(), "messages": MESSAGES} | changes))


async def test_it_goes_the_way_of_every_model(engine, server) -> None:
    with serving(engine):
        response = await LiteLLMClient().complete(request(max_tokens=7, stop=("END",)))
    assert response.text == "print(1)"
    assert (response.prompt_tokens, response.completion_tokens, response.cached_tokens) == (9, 2, 4)
    sent = server.requests[0]
    assert sent["prompt"] == "You add.\n\nQuestion: 1 + 1\nProgram:\n"
    assert sent["max_tokens"] == 7 and "END" in sent["stop"] and "\n\n" in sent["stop"]


async def test_streaming_gives_the_pieces_and_reported_usage(engine, server) -> None:
    server.answer = "a b c"
    with serving(engine):
        chunks = [chunk async for chunk in LiteLLMClient().stream(request())]
    assert "".join(chunk.text for chunk in chunks) == "a b c"
    last = chunks[-1].response
    assert (last.prompt_tokens, last.completion_tokens) == (9, 3)
    assert "estimated" not in (last.cost_source or "")


async def test_without_a_price_the_cost_is_unknown_and_with_one_it_is_counted(engine) -> None:
    priced = embedded_backend(price_in_per_mtok=Decimal(1), price_out_per_mtok=Decimal(2))
    with serving(engine):
        free = await LiteLLMClient().complete(request())
        paid = await LiteLLMClient().complete(request(backend=priced))
    assert free.cost is None
    assert paid.cost == Decimal("0.000013")


async def test_the_engines_errors_come_out_typed(engine, server) -> None:
    client = LiteLLMClient()
    with serving(engine):
        server.error = {"message": "exceeds the available context size"}
        with pytest.raises(ContextTooLong):
            await client.complete(request())
        server.error = {"message": "broken"}
        with pytest.raises(BackendError, match="broken"):
            await client.complete(request())


def test_the_sync_forms_answer_too(engine) -> None:
    messages = [message.to_dict() for message in MESSAGES]
    with serving(engine):
        whole = load().completion(model=MODEL, messages=messages)
        stream = load().completion(model=MODEL, messages=messages, stream=True)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    assert whole.choices[0].message.content == "print(1)"
    assert text.strip() == "print(1)"


def test_serving_leaves_nothing_behind_and_is_not_nested(engine) -> None:
    before = list(load().custom_provider_map)
    with serving(engine):
        with pytest.raises(InvalidInput, match="already"), serving(engine):
            pass
        assert len(load().custom_provider_map) == len(before) + 1
    assert load().custom_provider_map == before


def test_a_prompt_that_will_not_come_again_displaces_nothing() -> None:
    messages = [message.to_dict() for message in MESSAGES]
    kept = arguments(Transcript(), messages, {})
    scratch = arguments(Transcript(), messages, {"optional_params": {KEEP: False}})
    assert kept["prefix"] == "You add.\n\n"
    assert scratch["prefix"] is None


@pytest.mark.parametrize("messages", [[], [{"role": "user", "content": None}]])
def test_messages_that_are_not_text_are_refused(messages) -> None:
    with pytest.raises(InvalidInput, match="plain text"):
        arguments(Transcript(), messages, {})
