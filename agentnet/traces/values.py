"""Text and JSON in a form that both databases take: valid Unicode, no NUL, no NaN, no secret."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentnet.graphs.plain import plainer
from agentnet.traces.redact import SECRET, has_secret_name, is_secret_name, scrub


def storable(text: str) -> str:
    r"""Returns text without NUL characters and lone surrogates, which PostgreSQL cannot store.

    >>> storable("a\x00b\ud800")
    'a\ufffdb\ufffd'
    """
    if "\x00" in text:
        text = text.replace("\x00", "\ufffd")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            text = "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in text)
    return text


@dataclass(frozen=True, slots=True)
class Cleaner:
    """Makes text and JSON storable and free of secrets; called, it writes JSON text.

    JSON is strict: NaN and infinities become null; mappings, sets, Decimals and numpy values plain ones.
    A value with equality rather than a closure, for drivers keep one per serializer they have seen.

    >>> Cleaner(("s3cr3t-value",))({"a": float("nan"), "b": ("my s3cr3t-value",)})
    '{"a": null, "b": ["my [secret]"]}'
    """

    known: tuple[str, ...] = ()
    """Secrets known by value."""

    def text(self, text: str) -> str:
        """Returns text as the database can hold it, without secrets."""
        return storable(scrub(text, self.known))

    def __call__(self, value: Any) -> str:
        """Returns JSON text."""
        try:
            text = _ENCODER.encode(value)
        except ValueError:  # a NaN, or a circular reference, which raises again below
            text = json.dumps(_walk(value, self.text), ensure_ascii=False, allow_nan=False)
        # Cleaning the whole text tells whether anything at all is to be cleaned; it is not the result,
        # for a replacement could break the JSON. A NUL is an escape here.
        if "\\u0000" in text or has_secret_name(text) or self.text(text) != text:
            text = json.dumps(_walk(value, self.text), ensure_ascii=False, allow_nan=False)
        return text


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=plainer)


def _walk(value: Any, clean: Callable[[str], str], depth: int = 0) -> Any:
    if depth > 200:
        raise TypeError("a trace's JSON is nested deeper than 200 levels or refers to itself")
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {
            clean(str(key)): SECRET
            if isinstance(item, str) and item and is_secret_name(str(key))
            else _walk(item, clean, depth + 1)
            for key, item in value.items()
        }
    if isinstance(value, Sequence):
        return [_walk(item, clean, depth + 1) for item in value]
    return _walk(plainer(value), clean, depth + 1)
