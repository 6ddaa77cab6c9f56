"""Tasks and answers out of the many shapes in which chat messages are logged."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Turns = list[tuple[str, str]]
"""(role, text) pairs, oldest first."""
_ROLES = {"user": "user", "human": "user", "assistant": "assistant", "ai": "assistant", "model": "assistant"}
_ROLES |= {"system": "system", "developer": "system", "tool": "tool", "function": "tool"}
_DEEP = 6


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked, as a task has it."""

    text: str | None = None
    history: tuple[Mapping[str, str], ...] = ()


def loaded(value: Any) -> Any:
    """Returns the JSON value in a text; anything else as it is."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def turns_of(value: Any) -> Turns:
    """Returns the turns of messages in any of the usual forms.

    OpenAI's (``role`` and ``content``, a text or a list of parts), OpenTelemetry's (``role`` and ``parts``),
    a lone message, or a plain text, which is the user's.

    >>> turns_of([{"role": "user", "parts": [{"type": "text", "content": "Hi"}]}])
    [('user', 'Hi')]
    """
    value = loaded(value)
    if isinstance(value, str):
        return [("user", value)] if value.strip() else []
    if isinstance(value, Mapping):
        value = [value]
    found: Turns = []
    for item in value if isinstance(value, Sequence) else ():
        if isinstance(item, str):
            found += turns_of(item)
        elif isinstance(item, Mapping) and (text := text_of(item)):
            role = _ROLES.get(str(item.get("role", "user")).lower())
            if role is not None:
                found.append((role, text))
    return found


def text_of(value: Any, depth: int = 0) -> str:
    """Returns the text of a message, of its parts, or of a text; tool calls and pictures have none."""
    if isinstance(value, str):
        return value
    if depth > _DEEP or value is None:
        return ""
    if isinstance(value, Mapping):
        if str(value.get("type", "text")) not in ("text", "input_text", "output_text", "message"):
            return ""
        for key in ("content", "parts", "text"):
            if key in value and (text := text_of(value[key], depth + 1)):
                return text
        return ""
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        return "\n".join(text for item in value if (text := text_of(item, depth + 1)))
    return ""


def asked(turns: Turns) -> Asked:
    """Returns the task in a prompt: the user's last turn, and the talk before it as history.

    The system's and the tools' turns belong to the agent, not to the task.

    >>> asked([("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello"), ("user", "2 + 2?")]).text
    '2 + 2?'
    """
    last = max((i for i, (role, _) in enumerate(turns) if role == "user"), default=None)
    if last is None:
        return Asked()
    before = tuple({"role": r, "content": text} for r, text in turns[:last] if r in ("user", "assistant"))
    return Asked(turns[last][1], before)


def answer_of(value: Any) -> str | None:
    """Returns the text of a model's reply in any of the usual forms; None where there is none.

    Chat completions (``choices``), responses (``output``), Anthropic messages (``content``), OpenTelemetry
    messages, or a text.

    >>> answer_of({"choices": [{"message": {"role": "assistant", "content": "4"}}]})
    '4'
    """
    value = loaded(value)
    if isinstance(value, str):
        return value or None
    if isinstance(value, Mapping):
        choices = value.get("choices")
        if isinstance(choices, Sequence) and not isinstance(choices, str):
            first = choices[0] if choices and isinstance(choices[0], Mapping) else {}
            return text_of(first.get("message")) or text_of(first.get("text")) or None
        for key in ("output", "content", "parts", "output_text"):
            if key in value and (text := text_of(value[key])):
                return text
        return None
    said = [text for role, text in turns_of(value) if role in ("assistant", "user")]
    return said[0] if said else None
