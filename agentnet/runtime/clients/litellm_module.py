"""LiteLLM itself: its lazy import, its errors put into our terms, its price list and tokenizers."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import re
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any

from agentnet.runtime.clients.scrub import scrub
from agentnet.runtime.clients.transport import AttemptFailed, Failure

_LONGEST_ERROR = 600
_UNSENT = {"ConnectTimeout", "ConnectError", "ConnectionRefusedError", "ClientConnectorError", "PoolTimeout"}
_BROKEN = {
    "ReadError",
    "RemoteProtocolError",
    "ReadTimeout",
    "ConnectionResetError",
    "ServerDisconnectedError",
}
_MODULE = re.compile(r"litellm(\.|$)")
_LOADING = threading.Lock()


def loaded() -> bool:
    """Returns whether LiteLLM has been imported, to its end: another thread may be half-way."""
    found = sys.modules.get("litellm")
    return found is not None and not getattr(found.__spec__, "_initializing", False)


def load() -> Any:
    """Imports LiteLLM once: no network, no telemetry, no printing, no log lines unless asked for."""
    # Where warnings are errors (test suites), those of LiteLLM's own code would fail calls and break streams.
    # A caller may have restored the filters since the last call, so it is looked for each time.
    if not any(item[3] == _MODULE for item in warnings.filters):
        warnings.filterwarnings("ignore", module=_MODULE.pattern)
    if not loaded():
        with _LOADING:
            if not loaded():
                _import()
    litellm: Any = sys.modules["litellm"]
    if not getattr(litellm, "suppress_debug_info", True):
        litellm.suppress_debug_info = True
        if hasattr(litellm, "telemetry"):
            litellm.telemetry = False
        if "LITELLM_LOG" not in os.environ:
            for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
                logging.getLogger(name).setLevel(logging.CRITICAL)
    return litellm


def _import() -> None:
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        litellm = importlib.import_module("litellm")
        # Pydantic builds these when they are first made, and warns of LiteLLM's types then.
        for name in ("ModelResponse", "ModelResponseStream", "Usage"):
            getattr(litellm, name, object)()


def failure_of(error: BaseException) -> Failure:
    """Puts an error of LiteLLM's into our terms; its text loses all secrets.

    >>> failure_of(TimeoutError("slow")).kind
    'unreachable'
    """
    if isinstance(error, AttemptFailed):
        return error.failure
    text = scrub(" ".join(str(error).split()) or type(error).__name__)[:_LONGEST_ERROR]
    names = {cls.__name__ for link in _chain(error) for cls in type(link).__mro__}
    status = getattr(error, "status_code", None)
    low = text.lower()
    if "ContextWindowExceededError" in names or "maximum context length" in low:
        return Failure(text, "context")
    if "missing credentials" in low or "api_key client option must be set" in low:
        return Failure(text, "refused")
    # Where not even a connection stood, nothing was sent and nothing can have been billed.
    lost = not names & _UNSENT
    if isinstance(error, TimeoutError) or names & {"Timeout", "APITimeoutError"} or status == 408:
        return Failure(text, "unreachable", lost=lost)
    if status == 429:
        if "insufficient_quota" in low:
            return Failure(text, "refused")
        return Failure(text, "rate_limit", retry_after(error))
    if isinstance(status, int) and 400 <= status < 500:
        return Failure(text, "refused")
    if "connection error" in low or names & {"ConnectionError", "ConnectError", "ClientConnectorError"}:
        return Failure(text, "unreachable", lost=bool(names & _BROKEN) and lost)
    if status == 501:
        return Failure(text, "refused")
    return Failure(text, "server", retry_after(error), lost=bool(names & _BROKEN))


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def retry_after(error: BaseException) -> float | None:
    """Returns the seconds that a Retry-After header asks for, given as seconds or as a date."""
    for holder in (getattr(error, "litellm_response_headers", None), _headers(error)):
        value = holder.get("retry-after") if holder is not None else None
        if value is None:
            continue
        with contextlib.suppress(ValueError, TypeError):
            return max(float(value), 0.0)
        with contextlib.suppress(ValueError, TypeError):
            return max(parsedate_to_datetime(value).timestamp() - time.time(), 0.0)
    return None


def _headers(error: BaseException) -> Any:
    return getattr(getattr(error, "response", None), "headers", None)


def usage_was_reported(stream: Any) -> bool:
    """Returns whether the provider itself sent token counts.

    LiteLLM counts tokens from the text where a stream has no usage and hands them out as if reported;
    the chunks it keeps show the difference.
    """
    return any(getattr(chunk, "usage", None) is not None for chunk in getattr(stream, "chunks", ()))


def listed_price(model: str, prompt: int, completion: int, cached: int) -> tuple[Decimal, Decimal] | None:
    """Returns USD for prompt and completion by LiteLLM's price list; None for a model not in it.

    Entries priced by the second or by commitment have no price per token: LiteLLM would say zero for them.
    """
    litellm = load()
    entry = litellm.model_cost.get(model) or litellm.model_cost.get(model.partition("/")[2])
    if entry is not None and not ({"input_cost_per_token", "output_cost_per_token"} <= set(entry)):
        return None
    try:
        parts = litellm.cost_per_token(
            model=model, prompt_tokens=prompt, completion_tokens=completion, cache_read_input_tokens=cached
        )
    except Exception:  # LiteLLM raises several kinds, plain Exception among them
        return None
    return Decimal(str(parts[0])), Decimal(str(parts[1]))


def count_tokens(model: str, text: str) -> int:
    """Returns about how many tokens a text has; a quarter of its characters if no tokenizer works."""
    try:
        return int(load().token_counter(model=model, text=text)) if text else 0
    except Exception:
        return len(text) // 4 + 1
