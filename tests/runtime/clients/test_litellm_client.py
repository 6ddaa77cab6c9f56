"""The whole path: our client, LiteLLM, HTTP, a server on loopback."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import traceback
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import httpx
import pytest

from agentnet.errors import BackendError, BackendUnreachable, ContextTooLong, EmptyResponse, InvalidInput
from agentnet.graphs.agent import Backend
from agentnet.graphs.task import Message
from agentnet.runtime.client import Chunk, Request, Response
from agentnet.runtime.clients import litellm_module
from agentnet.runtime.clients.clock import VirtualClock
from agentnet.runtime.clients.litellm_client import LiteLLMClient, call_arguments, mean_logprob
from agentnet.runtime.clients.litellm_module import failure_of
from agentnet.testing import ChatServer

PROMPT = "What is two plus two?"
KEY = "sk-test-0123456789abcdef"


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture
async def server() -> AsyncIterator[ChatServer]:
    async with ChatServer(answer="It is four.") as item:
        yield item


@pytest.fixture
def client() -> LiteLLMClient:
    return LiteLLMClient(clock=VirtualClock(), seed=0)


def backend(server: ChatServer, **settings: Any) -> Backend:
    options = {"api_base": server.url, **settings.pop("options", {})}
    return Backend(**({"name": "b", "model": "openai/test-model", "options": options} | settings))


def ask(server: ChatServer, **settings: Any) -> Request:
    fields = set(Request.__dataclass_fields__)
    own = {key: settings.pop(key) for key in tuple(settings) if key in fields}
    return Request(backend=backend(server, **settings), messages=(Message("user", PROMPT),), **own)


async def drain(client: LiteLLMClient, request: Request) -> tuple[list[str], Response]:
    chunks: list[Chunk] = [chunk async for chunk in client.stream(request)]
    assert chunks[-1].response is not None
    return [chunk.text for chunk in chunks[:-1]], chunks[-1].response


PRICES = {"price_in_per_mtok": "1", "price_out_per_mtok": "10"}


async def test_an_answer_with_usage_and_cost(server: ChatServer, client: LiteLLMClient) -> None:
    response = await client.complete(ask(server, **PRICES))
    assert (response.text, response.finish_reason) == ("It is four.", "stop")
    assert (response.prompt_tokens, response.completion_tokens) == (6, 4)
    assert (response.cost, response.cost_source) == (Decimal("0.000046"), "backend price")
    assert (response.backend, response.attempts) == ("b", 1) and response.model == "test-model"


@pytest.mark.parametrize("usage", [True, False])
async def test_a_stream_costs_what_the_same_answer_costs(
    server: ChatServer, client: LiteLLMClient, usage: bool
) -> None:
    server.behaviour = replace(server.behaviour, usage=usage)
    pieces, response = await drain(client, ask(server, **PRICES))
    assert pieces == ["It", " is", " four."] and response.text == "It is four."
    assert server.requests[0].body["stream_options"] == {"include_usage": True}
    if usage:
        assert (response.prompt_tokens, response.completion_tokens) == (6, 4)
        assert (response.cost, response.cost_source) == (Decimal("0.000046"), "backend price")
    else:
        assert response.cost_source == "backend price (estimated from text)"
        assert response.prompt_tokens and response.completion_tokens
        assert response.cost is not None and response.cost > 0, "a stream without usage is never free"


async def test_missing_usage_is_estimated_without_streaming_too(
    server: ChatServer, client: LiteLLMClient
) -> None:
    server.behaviour = replace(server.behaviour, faults=("unpriced",))
    response = await client.complete(ask(server, **PRICES))
    assert response.cost_source == "backend price (estimated from text)"
    assert response.cost is not None and response.cost > 0


async def test_an_unknown_price_is_none_and_never_zero(server: ChatServer, client: LiteLLMClient) -> None:
    response = await client.complete(ask(server))
    assert response.prompt_tokens == 6 and response.cost is None and response.cost_source is None
    _, streamed = await drain(client, ask(server))
    assert streamed.cost is None


async def test_the_providers_own_cost_and_cached_tokens_are_taken_over(
    server: ChatServer, client: LiteLLMClient
) -> None:
    server.behaviour = replace(server.behaviour, cost=0.25, cached_tokens=5)
    for response in (await client.complete(ask(server)), (await drain(client, ask(server)))[1]):
        assert (response.cost, response.cost_source, response.cached_tokens) == (
            Decimal("0.25"),
            "provider",
            5,
        )
    assert (await client.complete(ask(server, **PRICES))).cost_source == "backend price"


async def test_litellms_price_list_is_used_for_models_it_knows(
    server: ChatServer, client: LiteLLMClient
) -> None:
    response = await client.complete(ask(server, model="openai/gpt-4o-mini"))
    assert response.cost_source == "litellm price map"
    assert response.cost == 6 * Decimal("0.15e-6") + 4 * Decimal("0.6e-6")
    price = client.price(Backend(name="x", model="openai/gpt-4o-mini"))
    assert price is not None and (price.in_per_mtok, price.out_per_mtok) == (Decimal("0.15"), Decimal("0.6"))
    assert client.price(Backend(name="x", model="openai/nobody-knows")) is None


async def test_entries_without_a_price_per_token_are_unknown(client: LiteLLMClient) -> None:
    model = "bedrock/us-east-1/1-month-commitment/anthropic.claude-v1"
    assert client.price(Backend(name="x", model=model)) is None


@pytest.mark.parametrize(
    ("fault", "streamed"),
    [(fault, streamed) for fault in (500, 503, 429, "disconnect", "empty") for streamed in (False, True)]
    + [("malformed", False), ("no_choices", False)],
)
async def test_faults_that_may_pass_are_tried_again(
    server: ChatServer, client: LiteLLMClient, fault: Any, streamed: bool
) -> None:
    server.behaviour = replace(server.behaviour, faults=(fault,))
    response = (await drain(client, ask(server)))[1] if streamed else await client.complete(ask(server))
    assert (response.text, response.attempts, len(server.requests)) == ("It is four.", 2, 2)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
async def test_faults_that_stay_are_not_tried_again(
    server: ChatServer, client: LiteLLMClient, status: int
) -> None:
    server.behaviour = replace(server.behaviour, faults=(status,))
    with pytest.raises(BackendError, match=r"scripted failure.*key is set") as caught:
        await client.complete(ask(server))
    assert len(server.requests) == 1 and not isinstance(caught.value, BackendUnreachable)


async def test_neither_litellm_nor_the_sdk_retries_on_its_own(
    server: ChatServer, client: LiteLLMClient
) -> None:
    server.behaviour = replace(server.behaviour, failure_rate=1.0)
    with pytest.raises(BackendError, match="after 3 attempts"):
        await client.complete(ask(server, options={"num_retries": 5, "max_retries": 5}))
    assert len(server.requests) == 3


async def test_retry_after_comes_through(server: ChatServer) -> None:
    clock = VirtualClock()
    client = LiteLLMClient(clock=clock)
    server.behaviour = replace(server.behaviour, faults=(429,), retry_after_s=7)
    await client.complete(ask(server))
    assert clock.slept == [7.0]


async def test_no_server_no_answer_and_a_silent_server(server: ChatServer, client: LiteLLMClient) -> None:
    silent = ask(server, timeout_s=0.2)
    server.behaviour = replace(server.behaviour, faults=("hang",))
    with pytest.raises(BackendUnreachable):
        await client.complete(silent)
    await server.stop()
    with pytest.raises(BackendUnreachable, match="api_base"):
        await client.complete(ask(server))


async def test_empty_answers_end_in_a_typed_error(server: ChatServer, client: LiteLLMClient) -> None:
    server.behaviour = replace(server.behaviour, answer="")
    with pytest.raises(EmptyResponse) as caught:
        await client.complete(ask(server, **PRICES))
    assert len(server.requests) == 3 and caught.value.spent_tokens == 18


async def test_a_broken_stream_is_an_error_without_repeats(server: ChatServer, client: LiteLLMClient) -> None:
    server.behaviour = replace(server.behaviour, faults=("broken_stream",))
    seen: list[str] = []
    with pytest.raises(BackendError, match="broke off"):
        async for chunk in client.stream(ask(server, **PRICES)):
            seen.append(chunk.text)
    assert seen == ["It"] and len(server.requests) == 1


async def test_a_fallback_answers_for_a_dead_backend(server: ChatServer) -> None:
    async with ChatServer(answer="from the other") as other:
        second = backend(other, name="second", **PRICES)
        client = LiteLLMClient(backends={"second": second}, clock=VirtualClock())
        await server.stop()
        response = await client.complete(ask(server, fallbacks=("second",), retries=0))
        assert (response.text, response.backend) == ("from the other", "second")
        assert response.cost is not None, "priced as the backend that answered"


async def test_no_secret_is_in_any_error_log_or_traceback(
    server: ChatServer,
    client: LiteLLMClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("OTHER_PROVIDER_KEY", "plain-words-secret")
    text = (
        f"Incorrect API key provided: {KEY}; plain-words-secret; http://u:hunter2222@h/; Bearer abcdefgh1234"
    )
    for status in (401, 400, 500, 429):
        server.behaviour = replace(server.behaviour, failure_rate=1.0, failure=status, error_text=text)
        for call in (client.complete(ask(server)), drain(client, ask(server))):
            with pytest.raises(BackendError) as caught:
                await call
            shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + str(caught.value)
            out, err = capfd.readouterr()
            for secret in (KEY, "plain-words-secret", "hunter2222", "abcdefgh1234"):
                assert secret not in shown, secret
                assert secret not in out + err
                assert not [
                    r for r in caplog.records if r.name.startswith("agentnet") and secret in r.getMessage()
                ]
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"


async def test_options_and_request_reach_the_server_and_request_wins(
    server: ChatServer, client: LiteLLMClient
) -> None:
    schema = {"type": "object", "properties": {}}
    request = ask(
        server,
        options={"temperature": 0.9, "top_p": 0.5},
        temperature=0.0,
        max_tokens=7,
        seed=3,
        stop=("END",),
        json_schema=schema,
    )
    await client.complete(request)
    body = server.requests[0].body
    assert body["model"] == "test-model" and body["messages"] == [{"role": "user", "content": PROMPT}]
    assert (body["temperature"], body["top_p"], body["max_tokens"], body["seed"]) == (0.0, 0.5, 7, 3)
    assert body["stop"] == ["END"] and body["response_format"]["json_schema"]["schema"] == schema
    assert "num_retries" not in body and "drop_params" not in body


async def test_keys_come_from_the_environment_alone(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = ask(server, options={"api_key_env": "SECOND_KEY"})
    with pytest.raises(InvalidInput, match="SECOND_KEY, which is not set"):
        call_arguments(named, 1.0)
    monkeypatch.setenv("SECOND_KEY", "second")
    assert call_arguments(named, 1.0)["api_key"] == "second"
    assert "api_key" not in call_arguments(ask(server), 1.0), "LiteLLM reads OPENAI_API_KEY itself"
    monkeypatch.delenv("OPENAI_API_KEY")
    assert call_arguments(ask(server), 1.0)["api_key"] == "none", "a local server needs no key"


async def test_a_local_server_without_any_key(
    server: ChatServer, client: LiteLLMClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    assert (await client.complete(ask(server))).text == "It is four."


async def test_the_context_window_is_kept_before_sending(server: ChatServer, client: LiteLLMClient) -> None:
    with pytest.raises(ContextTooLong, match="nothing was sent"):
        await client.complete(ask(server, context_window=12, max_tokens=10))
    assert server.requests == []


async def test_many_calls_at_once_keep_max_parallel(server: ChatServer, client: LiteLLMClient) -> None:
    server.behaviour = replace(server.behaviour, latency_s=0.005)
    request = ask(server, max_parallel=4)
    responses = await asyncio.gather(*(client.complete(request) for _ in range(24)))
    assert len(responses) == 24 and server.most_in_flight <= 4


async def test_a_custom_provider_of_litellm_goes_the_same_way(
    client: LiteLLMClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    litellm = litellm_module.load()
    got: list[dict[str, Any]] = []

    class Local(litellm.CustomLLM):  # type: ignore[misc,name-defined]
        async def acompletion(self, *_: Any, **arguments: Any) -> Any:
            got.append(arguments["optional_params"])
            reply = arguments["model_response"]
            reply.choices[0].message.content = "hi there"
            return reply

        async def astreaming(self, *_: Any, **__: Any) -> AsyncIterator[dict[str, Any]]:
            usage = {"prompt_tokens": 11, "completion_tokens": 2, "total_tokens": 13}
            common = {"index": 0, "tool_use": None}
            yield common | {"text": "hi", "is_finished": False, "finish_reason": "", "usage": None}
            yield common | {"text": "", "is_finished": True, "finish_reason": "stop", "usage": usage}

    monkeypatch.setattr(litellm, "custom_provider_map", [{"provider": "mine", "custom_handler": Local()}])
    item = Backend(name="mine", model="mine/m1", price_in_per_mtok=1, price_out_per_mtok=1)  # type: ignore[arg-type]
    request = Request(
        backend=item, messages=(Message("user", PROMPT),), max_tokens=5, temperature=0.0, seed=1
    )
    response = await client.complete(request)
    assert response.text == "hi there" and response.cost_source == "backend price (estimated from text)"
    assert got[0]["max_tokens"] == 5 and got[0]["temperature"] == 0.0 and got[0]["seed"] == 1
    pieces, streamed = await drain(client, request)
    assert pieces == ["hi"] and (streamed.prompt_tokens, streamed.completion_tokens) == (11, 2)
    assert (streamed.cost, streamed.cost_source) == (Decimal("0.000013"), "backend price")


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (429, "slow down", "rate_limit"),
        (429, "insufficient_quota", "refused"),
        (400, "This model's maximum context length is 8 tokens", "context"),
        (400, "bad", "refused"),
        (500, "Missing credentials. Please pass an api_key", "refused"),
        (501, "not implemented", "refused"),
        (502, "bad gateway", "server"),
        (500, "Connection error.", "unreachable"),
        (408, "slow", "unreachable"),
        (None, "odd", "server"),
    ],
)
def test_errors_are_put_into_our_terms(status: int | None, text: str, kind: str) -> None:
    error = RuntimeError(text)
    error.status_code = status  # type: ignore[attr-defined]
    assert failure_of(error).kind == kind


def test_only_what_was_sent_may_have_been_billed() -> None:
    def caused(name: str, by: Any) -> Exception:
        error: Exception = type(name, (Exception,), {})("Connection error.")
        error.__cause__ = by("why")
        return error

    cases: list[tuple[Exception, bool]] = [
        (TimeoutError("slow"), True),
        (caused("APITimeoutError", httpx.ReadTimeout), True),
        (caused("APITimeoutError", httpx.ConnectTimeout), False),
        (caused("APIConnectionError", httpx.RemoteProtocolError), True),
        (caused("APIConnectionError", httpx.ConnectError), False),
        (caused("APIConnectionError", ConnectionRefusedError), False),
    ]
    for error, lost in cases:
        found = failure_of(error)
        assert (found.kind, found.lost) == ("unreachable", lost), error.__cause__


def test_the_mean_logprob_of_an_answer() -> None:
    assert mean_logprob({"content": [{"logprob": -1.0}, {"logprob": -3.0}]}) == -2.0
    assert mean_logprob(None) is None and mean_logprob({"content": None}) is None


def test_the_module_imports_no_litellm_and_the_import_touches_no_network() -> None:
    code = """
import socket, sys
def refuse(*a, **k): raise SystemExit('network: %r' % (a,))
socket.socket.connect = refuse; socket.getaddrinfo = refuse; socket.create_connection = refuse
import agentnet.runtime.clients.litellm_client as m
assert 'litellm' not in sys.modules
from agentnet.runtime.clients import litellm_module
litellm_module.load()
assert 'litellm' in sys.modules
import time; time.sleep(0.2)
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "" and done.stderr == ""
