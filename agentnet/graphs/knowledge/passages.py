"""The context of a task as passages."""

from __future__ import annotations

import json
from typing import NamedTuple

MOST_CHARS = 20_000
"""Characters of a context that are read; what comes later could hardly enter under the caps."""


class Passage(NamedTuple):
    """A piece of context."""

    title: str
    """Empty where it has none."""
    text: str


def passages(context: str | None) -> list[Passage]:
    r"""Returns the passages of a context: of a JSON list of ``{"title", "text"}``, else one without title.

    >>> passages('[{"title": "K2", "text": "A mountain."}]')
    [Passage(title='K2', text='A mountain.')]
    >>> passages("plain text"), passages(None)
    ([Passage(title='', text='plain text')], [])
    """
    if context is None or not context.strip():
        return []
    items = _json_list(context)
    if items is None:
        return [Passage("", context[:MOST_CHARS])]
    found, left = [], MOST_CHARS
    for item in items:
        passage = _passage(item, left)
        if passage is not None:
            found.append(passage)
            left -= len(passage.text)
        if left <= 0:
            break
    return found


def _json_list(context: str) -> list[object] | None:
    if not context.lstrip().startswith("["):
        return None
    try:
        items = json.loads(context)
    except ValueError:
        return None
    return items if isinstance(items, list) and items else None


def _passage(item: object, most: int) -> Passage | None:
    if isinstance(item, str):
        return Passage("", item[:most])
    if not isinstance(item, dict):
        return None
    title, text = item.get("title"), item.get("text")
    if not isinstance(text, str):
        return None
    return Passage(title if isinstance(title, str) else "", text[:most])
