"""`LiteLLMClient`: every language model that LiteLLM knows.

LiteLLM is imported with the first call, never asked to retry, and kept from fetching its price list.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from agentnet.errors import InvalidInput
from agentnet.graphs.agent import Backend
from agentnet.runtime.client import Request
from agentnet.runtime.clients import litellm_module as module
from agentnet.runtime.clients.attempts import prompt_text
from agentnet.runtime.clients.clock import Clock
from agentnet.runtime.clients.prices import PRICE_MAP, PROVIDER, Price, backend_price, with_estimate
from agentnet.runtime.clients.reliable import Backends, ReliableClient, RetryPolicy
from agentnet.runtime.clients.transport import AttemptFailed, Failure, Reply

KEY_OPTION = "api_key_env"
"""Backend option: name of the environment variable that holds this backend's key."""
_OURS = ("num_retries", "max_retries", "fallbacks", "timeout", "stream", "stream_options", KEY_OPTION)


class LiteLLMClient(ReliableClient):
    """A `ModelClient` for all models that LiteLLM can call.

    A call's cost is the backend's price times its tokens; else what the provider reports; else LiteLLM's
    price list; else None. Where a backend reports no usage (many streams), tokens are counted from the
    text and `Response.cost_source` says ``estimated from text``. Retries, fallbacks and deadlines are
    those of `ReliableClient`.

    A backend's ``options`` go to LiteLLM; ``api_key_env`` names the environment variable with its key.

    Args:
        backends: Where fallbacks are looked up by name, such as ``pool.backends``.
        policy: Waiting times between attempts.
        clock: Tells the time and sleeps.
        seed: Of the backoff's randomness.

    >>> client = LiteLLMClient()
    >>> client.price(Backend(name="b", model="x/y", price_in_per_mtok=1, price_out_per_mtok=2)).source
    'backend price'
    """

    def __init__(
        self,
        *,
        backends: Backends | None = None,
        policy: RetryPolicy | None = None,
        clock: Clock | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(LiteLLMTransport(), backends=backends, policy=policy, clock=clock, seed=seed)


class LiteLLMTransport:
    """Single attempts through LiteLLM."""

    async def ready(self) -> None:
        """Imports LiteLLM, which takes seconds, off the event loop."""
        if not module.loaded():
            await asyncio.to_thread(module.load)

    async def send(self, request: Request, timeout_s: float) -> Reply:
        """Makes one attempt and waits for the whole answer."""
        arguments = call_arguments(request, timeout_s)
        try:
            reply = await module.load().acompletion(**arguments)
            return self._whole(request, reply)
        except Exception as error:
            failure = module.failure_of(error)
        # Raised outside the handler: the original error, which may hold a key, is not chained to it.
        raise AttemptFailed(failure)

    async def stream(self, request: Request, timeout_s: float) -> AsyncIterator[str | Reply]:
        """Makes one attempt; yields pieces, then the reply with its usage."""
        arguments = call_arguments(request, timeout_s)
        arguments |= {"stream": True, "stream_options": {"include_usage": True}}
        failure: Failure | None = None
        stream: Any = None
        texts: list[str] = []
        usage: Any = None
        finish: str | None = None
        model = ""
        try:
            try:
                stream = await module.load().acompletion(**arguments)
                async for chunk in stream:
                    usage = getattr(chunk, "usage", None) or usage
                    model = getattr(chunk, "model", None) or model
                    for choice in chunk.choices[:1]:
                        finish = choice.finish_reason or finish
                        if choice.delta.content:
                            texts.append(choice.delta.content)
                            yield choice.delta.content
            except Exception as error:
                failure = module.failure_of(error)
            if failure is not None:
                raise AttemptFailed(failure)
            if not module.usage_was_reported(stream):
                usage = None  # LiteLLM made it up from the text
            yield self._priced(request, "".join(texts), usage, finish, model)
        finally:
            if hasattr(stream, "aclose"):
                await stream.aclose()

    def price(self, backend: Backend) -> Price | None:
        """Returns the backend's own price, else that of LiteLLM's list, else None."""
        own = backend_price(backend)
        if own is not None:
            return own
        per_token = module.listed_price(backend.model, 1_000_000, 1_000_000, 0)
        return None if per_token is None else Price(*per_token, PRICE_MAP)

    def count_tokens(self, backend: Backend, text: str) -> int:
        """Counts with the model's tokenizer where LiteLLM has it, else with a common one."""
        return module.count_tokens(backend.model, text)

    def estimate(self, request: Request, text: str) -> Reply:
        """Returns a reply with usage and cost counted from its text."""
        return self._priced(request, text, None, None, "")

    def _whole(self, request: Request, reply: Any) -> Reply:
        if not reply.choices:
            raise AttemptFailed(Failure("the reply holds no choices", "server"))
        choice = reply.choices[0]
        text = choice.message.content or ""
        usage = getattr(reply, "usage", None)
        whole = self._priced(request, text, usage, choice.finish_reason, getattr(reply, "model", "") or "")
        return replace(whole, logprob=mean_logprob(getattr(choice, "logprobs", None)))

    def _priced(self, request: Request, text: str, usage: Any, finish: str | None, model: str) -> Reply:
        backend = request.backend
        prompt = _count(usage, "prompt_tokens")
        completion = _count(usage, "completion_tokens")
        # LiteLLM fills in zeros where a provider reports nothing; no prompt has zero tokens.
        estimated = not prompt
        if estimated or (text and completion is None):
            prompt = prompt or module.count_tokens(backend.model, prompt_text(request))
            completion = module.count_tokens(backend.model, text)
            estimated = True
        cached = _count(getattr(usage, "prompt_tokens_details", None), "cached_tokens")
        cost, source = self._cost(backend, prompt or 0, completion or 0, cached or 0, usage)
        return Reply(
            text=text,
            prompt_tokens=prompt,
            completion_tokens=completion or 0,
            cached_tokens=cached,
            cost=cost,
            cost_source=with_estimate(source, estimated),
            finish_reason=finish,
            model=model,
        )

    def _cost(
        self, backend: Backend, prompt: int, completion: int, cached: int, usage: Any
    ) -> tuple[Decimal | None, str | None]:
        own = backend_price(backend)
        if own is not None:
            return own.of(prompt, completion), own.source
        reported = getattr(usage, "cost", None)
        if isinstance(reported, (int, float)) and not isinstance(reported, bool) and math.isfinite(reported):
            return Decimal(str(reported)), PROVIDER
        listed = module.listed_price(backend.model, prompt, completion, cached)
        return (None, None) if listed is None else (sum(listed, Decimal(0)), PRICE_MAP)


def call_arguments(request: Request, timeout_s: float) -> dict[str, Any]:
    """Returns LiteLLM's arguments: options, then the request's own, then what is ours to say."""
    backend = request.backend
    arguments: dict[str, Any] = {**backend.options, **request.extra}
    key = _key(backend, arguments)
    for name in _OURS:
        arguments.pop(name, None)
    if key is not None:
        arguments["api_key"] = key
    own = {
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "seed": request.seed,
        "stop": list(request.stop) or None,
        "response_format": _format(request.json_schema),
    }
    arguments |= {name: value for name, value in own.items() if value is not None}
    arguments.setdefault("drop_params", True)
    return arguments | {
        "model": backend.model,
        "messages": [message.to_dict() for message in request.messages],
        "timeout": timeout_s,
        "num_retries": 0,
        "max_retries": 0,
    }


def _key(backend: Backend, arguments: Mapping[str, Any]) -> str | None:
    variable = arguments.get(KEY_OPTION)
    if variable:
        value = os.environ.get(str(variable))
        if not value:
            raise InvalidInput(
                f"backend {backend.name!r} takes its key from {variable}, which is not set; export it."
            )
        return value
    local = backend.model.startswith("openai/") and "api_base" in arguments
    if local and not os.environ.get("OPENAI_API_KEY") and "api_key" not in arguments:
        return "none"  # servers without keys are common, and the OpenAI client insists on one
    return None


def _format(schema: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if schema is None:
        return None
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": dict(schema), "strict": True}}


def _count(values: Any, name: str) -> int | None:
    value = getattr(values, name, None)
    return int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def mean_logprob(logprobs: Any) -> float | None:
    """Returns the mean log-probability of an answer's tokens, or None where there is none."""
    content = logprobs.get("content") if isinstance(logprobs, dict) else getattr(logprobs, "content", None)
    values = [
        value
        for token in content or ()
        if isinstance(
            value := token.get("logprob") if isinstance(token, dict) else token.logprob, (int, float)
        )
    ]
    return sum(values) / len(values) if values else None
