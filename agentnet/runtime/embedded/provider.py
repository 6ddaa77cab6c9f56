"""The embedded model as a LiteLLM provider, so that it goes the way of every other model.

LiteLLM finds custom providers in a list of its own module, ``litellm.custom_provider_map``: the one
piece of global state here. `serving` puts the provider in and takes it out again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from agentnet.errors import InvalidInput
from agentnet.graphs.agent import Backend
from agentnet.runtime.embedded.engine import Completion, EmbeddedEngine, EngineError
from agentnet.runtime.embedded.transcript import Transcript

if TYPE_CHECKING:
    from litellm.llms.custom_llm import CustomLLM
    from litellm.types.utils import ModelResponse

PROVIDER = "agentnet-embedded"
MODEL = f"{PROVIDER}/smollm2-135m"
KEEP = "keep_prefix"
"""Option: False where a prompt's beginning will not come again, so that it displaces no other's cache."""
MAX_TOKENS = 64


def embedded_backend(
    *,
    name: str = "smollm2-135m",
    price_in_per_mtok: Decimal | None = None,
    price_out_per_mtok: Decimal | None = None,
    price_source: str | None = None,
) -> Backend:
    """Returns the backend of the embedded model.

    It has no price: what a token costs on a machine of one's own is not known here, and unknown is not
    zero. Give a notional price if money is to be compared; time and tokens are counted in any case.

    >>> embedded_backend().model
    'agentnet-embedded/smollm2-135m'
    """
    return Backend(
        name=name,
        model=MODEL,
        description="SmolLM2-135M-Instruct on this machine's processor",
        params_b=0.135,
        context_window=1024,
        max_parallel=1,
        timeout_s=120.0,
        retries=0,
        options={"temperature": 0.0, "max_tokens": MAX_TOKENS},
        price_in_per_mtok=price_in_per_mtok,
        price_out_per_mtok=price_out_per_mtok,
        price_source=price_source,
    )


@contextmanager
def serving(engine: EmbeddedEngine, *, layout: Transcript | None = None) -> Iterator[None]:
    """Lets LiteLLM answer ``agentnet-embedded/...`` models with ``engine`` inside the block.

    The engine stays open afterwards: who made it closes it.

    Raises:
        InvalidInput: another engine is being served already.

    Example:
        with EmbeddedEngine() as engine, serving(engine), Runtime(pool) as runtime: ...
    """
    from agentnet.runtime.clients import litellm_module

    litellm = litellm_module.load()
    if any(item["provider"] == PROVIDER for item in litellm.custom_provider_map):
        raise InvalidInput("an embedded engine is being served already; leave its `serving` block first.")
    entry = {"provider": PROVIDER, "custom_handler": make_provider(engine, layout or Transcript())}
    litellm.custom_provider_map.append(entry)
    try:
        yield
    finally:
        litellm.custom_provider_map[:] = [
            item for item in litellm.custom_provider_map if item["provider"] != PROVIDER
        ]


def make_provider(engine: EmbeddedEngine, layout: Transcript) -> CustomLLM:
    """Returns a LiteLLM provider over an engine (its class derives from LiteLLM's, imported here)."""
    from litellm.llms.custom_llm import CustomLLM

    class EmbeddedProvider(CustomLLM):
        """Answers LiteLLM's calls with the embedded engine."""

        def completion(self, model: str, messages: Any, *_: Any, **call: Any) -> ModelResponse:
            """Answers, blocking."""
            try:
                return _whole(model, engine.complete(**arguments(layout, messages, call)))
            except (EngineError, InvalidInput) as error:
                raise _failed(error) from None

        async def acompletion(self, model: str, messages: Any, *_: Any, **call: Any) -> ModelResponse:
            """Answers."""
            try:
                return _whole(model, await engine.acomplete(**arguments(layout, messages, call)))
            except (EngineError, InvalidInput) as error:
                raise _failed(error) from None

        def streaming(self, model: str, messages: Any, *_: Any, **call: Any) -> Iterator[Any]:
            """Answers in one piece: who wants the pieces as they come uses the async form."""
            try:
                done = engine.complete(**arguments(layout, messages, call))
            except (EngineError, InvalidInput) as error:
                raise _failed(error) from None
            yield _piece(done.text)
            yield _piece("", done)

        async def astreaming(  # type: ignore[override]  # LiteLLM iterates over what it declares a coroutine
            self, model: str, messages: Any, *_: Any, **call: Any
        ) -> AsyncIterator[Any]:
            """Answers piece by piece; the last one has the usage."""
            try:
                async for part in engine.astream(**arguments(layout, messages, call)):
                    yield _piece(part) if isinstance(part, str) else _piece("", part)
            except (EngineError, InvalidInput) as error:
                raise _failed(error) from None

    return EmbeddedProvider()


def arguments(
    layout: Transcript, messages: Sequence[Mapping[str, Any]], call: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns the engine's arguments for what LiteLLM hands over.

    Raises:
        InvalidInput: there is no message, or one is not plain text.
    """
    if not messages or not all(isinstance(message.get("content"), str) for message in messages):
        raise InvalidInput("the embedded model takes messages of plain text, at least one.")
    given: Mapping[str, Any] = call.get("optional_params") or {}
    stop = given.get("stop") or ()
    found: dict[str, Any] = {
        "prompt": layout.render(messages),
        "prefix": layout.prefix(messages) if given.get(KEEP, True) else None,
        "stop": (*layout.stops, *((stop,) if isinstance(stop, str) else stop)),
        "max_tokens": int(given.get("max_tokens") or given.get("max_completion_tokens") or MAX_TOKENS),
        "temperature": float(given.get("temperature") or 0.0),
    }
    return found if given.get("seed") is None else found | {"seed": int(given["seed"])}


def _whole(model: str, done: Completion) -> ModelResponse:
    from litellm.types.utils import Choices, Message, ModelResponse, Usage

    message = Message(role="assistant", content=done.text.strip())
    return ModelResponse(
        model=model,
        choices=[Choices(index=0, finish_reason=done.finish_reason, message=message)],
        usage=Usage(**_usage(done)),
    )


def _piece(text: str, done: Completion | None = None) -> dict[str, Any]:
    """One chunk of a stream, in the form LiteLLM takes from custom providers."""
    return {
        "text": text,
        "is_finished": done is not None,
        "finish_reason": "" if done is None else done.finish_reason,
        "usage": None if done is None else _usage(done),
        "index": 0,
        "tool_use": None,
    }


def _failed(error: Exception) -> Exception:
    from litellm.llms.custom_llm import CustomLLMError

    status = 400 if isinstance(error, InvalidInput) else 500
    return CustomLLMError(status_code=status, message=str(error))  # type: ignore[no-untyped-call]


def _usage(done: Completion) -> dict[str, Any]:
    return {
        "prompt_tokens": done.prompt_tokens,
        "completion_tokens": done.completion_tokens,
        "total_tokens": done.prompt_tokens + done.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": done.cached_tokens},
    }
