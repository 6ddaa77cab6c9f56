"""Texts that somebody else wrote: made harmless, bounded and free of secrets before they enter a pool."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Any

from agentnet.errors import DataError
from agentnet.outcomes.table import OUT_OF_SCOPE
from agentnet.traces.redact import environment_secrets, scrub

NAME_CHARS = 100
"""Most characters of an imported agent's name."""
DESCRIPTION_CHARS = 2000
"""Most characters of an imported description."""
EXAMPLE_CHARS = 500
"""Most characters of an imported example."""
MOST_EXAMPLES = 50
"""Most examples taken over for one agent."""

_JOINERS = "\u200c\u200d"
"""Invisible characters that some scripts and emoji cannot be written without."""


def clean_text(text: str, most: int) -> str:
    r"""Returns text on one line, without control and invisible characters, at most ``most`` long.

    Removed are the Unicode categories of controls, formats (direction marks, tag characters, zero-width
    spaces), lone surrogates and private use. Markup stays: whoever puts the text into a prompt escapes it.

    >>> clean_text("Cards\x1b[31m\n\tand \u202eloans", 100)
    'Cards[31m and loans'
    """
    head = text[: 4 * most]  # bounds the work; what is removed cannot make up three quarters of a text
    kept = (
        char
        for char in " ".join(head.split())
        if char in _JOINERS or unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co")
    )
    return " ".join("".join(kept).split())[:most].strip()


def check_no_secret(text: str, where: str) -> str:
    """Returns the text if nothing in it looks like a key, a token or a password.

    Args:
        text: Any text.
        where: Its place, for the error.

    Raises:
        DataError: it holds a secret. The error names the place, never the value.

    >>> check_no_secret("Lost cards.", "card.json: description")
    'Lost cards.'
    """
    if scrub(text, environment_secrets()) != text:
        raise DataError(
            f"{where} holds what looks like a key, a token or a password; descriptions go into prompts and "
            "traces. Remove it there and import again."
        )
    return text


def text_field(value: Any, where: str, most: int, *, needed: bool = False) -> str:
    """Returns a field of foreign JSON as clean text; empty where it is missing.

    Args:
        value: What stands there.
        where: File and field, for errors.
        most: Most characters.
        needed: Whether it must hold something.

    Raises:
        DataError: it is no text, holds a secret, or is empty though needed.
    """
    if value is None:
        value = ""
    if not isinstance(value, str):
        raise DataError(f"{where} must be text; got {_kind(value)}.")
    # Looked at both as written and as kept: neither line breaks nor invisible characters hide a key.
    check_no_secret(value[: 4 * most], where)
    text = check_no_secret(clean_text(value, most), where)
    if needed and not text:
        raise DataError(f"{where} is missing or empty.")
    return text


def text_list(value: Any, where: str, most: int, *, count: int = MOST_EXAMPLES) -> tuple[str, ...]:
    """Returns a field of foreign JSON as clean texts, without empty and repeated ones; the first ``count``.

    Raises:
        DataError: it is no list of texts, or one holds a secret.
    """
    if value is None:
        return ()
    if not isinstance(value, list):
        raise DataError(f"{where} must be a list of texts; got {_kind(value)}.")
    texts = (text_field(item, f"{where}[{i}]", most) for i, item in enumerate(value[: 4 * count]))
    return tuple(dict.fromkeys(text for text in texts if text))[:count]


def object_field(value: Any, where: str) -> dict[str, Any]:
    """Returns a field of foreign JSON as an object.

    Raises:
        DataError: it is none.
    """
    if not isinstance(value, dict):
        raise DataError(f"{where} must be an object; got {_kind(value)}.")
    return value


def list_field(value: Any, where: str, *, most: int = 1000) -> list[Any]:
    """Returns a field of foreign JSON as a list; an empty one where it is missing.

    Raises:
        DataError: it is none, or has more than ``most`` items.
    """
    if value is None:
        return []
    if not isinstance(value, list):
        raise DataError(f"{where} must be a list; got {_kind(value)}.")
    if len(value) > most:
        raise DataError(f"{where} has {len(value):,} items; at most {most:,} are imported at once.")
    return value


def unique_name(name: str, taken: Iterable[str]) -> str:
    """Returns the name, with a number where it is taken; never the name that stands for out of scope.

    >>> unique_name("cards", ["cards", "cards 2"]), unique_name("oos", [])
    ('cards 3', 'oos 2')
    """
    used = {*taken, OUT_OF_SCOPE}
    if name not in used:
        return name
    number = 2
    while f"{name} {number}" in used:
        number += 1
    return f"{name} {number}"


def sentence(text: str) -> str:
    """Returns the text with a full stop at its end, unless it ends a sentence already.

    >>> sentence("Lost cards"), sentence("Lost cards?"), sentence("")
    ('Lost cards.', 'Lost cards?', '')
    """
    return text if not text or text[-1] in ".!?…。" else text + "."


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", bool: "true or false", str: "text", type(None): "null"}
    return names.get(type(value), "a number")
