"""Options hold no secrets: they are written to traces, packs and saved routers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from agentnet.errors import PoolError

# Matched against the letters alone, in lower case: `api_key`, `X-Api-Key` and `apiKey` are one name.
# The names of special tokens and bounds (`eos_token`, `max_token`) hold no secret; `max_tokens` and
# `api_key_env` do not end like one.
_SECRET = re.compile(
    r".*(?:(?:api|access|secret|private|subscription|auth|signing|encryption|account|master)keys?"
    r"|secrets?|passw(?:or)?ds?|passphrase|pwd|credentials?|authorization|cookies?"
    r"|(?<!eos)(?<!bos)(?<!pad)(?<!unk)(?<!sep)(?<!cls)(?<!mask)(?<!stop)(?<!max)(?<!min)token)"
    r"(?:value|header|json)?|(?:basic|http|proxy|x)?auth"
)
_USERINFO = re.compile(r"://[^\s/?#@:]*:[^\s/?#@]*@|^\s*[A-Za-z][\w+.-]*://[^\s/?#@]+@")
_HEADER = re.compile(r"\s*(?:bearer|basic)\s+[\w.~+/=-]{8,}\s*", re.IGNORECASE)
_QUERY = re.compile(r"[?&]([^=&\s]+)=[^&\s]")


def is_secret_option(name: str) -> bool:
    """Whether an option of this name holds a secret, whatever its case and separators.

    A name of several words (a task's text, as in recorded answers) is none.

    >>> [is_secret_option(n) for n in ("X-Api-Key", "azure_ad_token", "api_key_env", "max_tokens")]
    [True, True, False, False]
    """
    if any(char.isspace() for char in name):
        return False
    return _SECRET.fullmatch(re.sub(r"[^a-z]", "", name.lower())) is not None


def check_options(options: Any, owner: str) -> Mapping[str, Any]:
    """Returns options if they are a mapping that holds no secret at any depth.

    Args:
        options: Options of a backend or an agent; None is none.
        owner: Whose they are, for the error, such as ``backend 'mini'``.

    Raises:
        PoolError: they are no mapping, a name in them is a secret's, or a text holds credentials of an
            address or a header. The error names the place and never the value.
    """
    if options is None:
        return {}
    if not isinstance(options, Mapping):
        raise PoolError(
            f"{owner}: options must be a mapping of names to values; got {type(options).__name__}."
        )
    place = next(_secrets(options), None)
    if place is not None:
        raise PoolError(
            f"{owner}: options{place} holds a secret, and options are written to traces and saved routers. "
            "Put it into the environment; a backend's options['api_key_env'] names the variable of its key."
        )
    return options


def _secrets(options: Mapping[Any, Any]) -> Iterator[str]:
    """Places that hold a secret, such as ``['headers']['Authorization']``."""
    waiting: list[tuple[str, Any]] = [("", options)]
    looked_at: set[int] = set()  # a value that holds itself ends too
    while waiting:
        place, value = waiting.pop()
        if isinstance(value, str):
            if _text_holds_secret(value):
                yield place
            continue
        if not isinstance(value, (Mapping, list, tuple, set, frozenset)) or id(value) in looked_at:
            continue
        looked_at.add(id(value))
        if not isinstance(value, Mapping):
            waiting.extend((f"{place}[{i}]", item) for i, item in enumerate(value))
            continue
        for key, item in value.items():
            # None, a switch and an empty text give nothing away.
            if is_secret_option(str(key)) and not (item is None or isinstance(item, bool) or item == ""):
                yield f"{place}[{str(key)!r}]"
            waiting.append((f"{place}[{str(key)!r}]", item))


def _text_holds_secret(text: str) -> bool:
    if _USERINFO.search(text) or _HEADER.fullmatch(text):
        return True
    return "://" in text and any(is_secret_option(name) for name in _QUERY.findall(text))
