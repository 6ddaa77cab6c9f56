"""What was said in a span: messages in attributes, in events, or in numbered attributes; and scores."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentnet.traces.importers.chat import Turns, answer_of, loaded, text_of, turns_of
from agentnet.traces.importers.otel_spans import Event, Span

_NUMBERED = re.compile(r"gen_ai\.(prompt|completion)\.(\d{1,6})\.(role|content)")
_SPOKEN = {"gen_ai.user.message": "user", "gen_ai.assistant.message": "assistant"}
_SPOKEN |= {"gen_ai.system.message": "system", "gen_ai.tool.message": "tool"}
_CHOICE = "gen_ai.choice"
_WHOLE = "gen_ai.client.inference.operation.details"
_SCORE = "gen_ai.evaluation.result"
_PASSED = frozenset({"pass", "passed", "yes", "true", "correct", "good", "relevant"})
_FAILED = frozenset({"fail", "failed", "no", "false", "incorrect", "bad", "irrelevant"})


@dataclass(frozen=True, slots=True)
class Content:
    """What went in, and what came out."""

    asked: tuple[tuple[str, str], ...] = ()
    answer: str | None = None


def content_of(span: Span, logged: Sequence[Event] = ()) -> Content:
    """Returns what was said in a span.

    Args:
        span: The span with its own events.
        logged: Events of log records that name the span.
    """
    events = [*span.events, *logged]
    values = dict(span.values)
    for event in events:
        if event.name == _WHOLE:
            body = event.values.get("body")
            values |= {k: v for k, v in event.values.items() if v is not None}
            values |= body if isinstance(body, Mapping) else {}
    turns = turns_of(values.get("gen_ai.input.messages"))
    answer = answer_of(values.get("gen_ai.output.messages"))
    numbered, replies = _numbered(values)
    spoken, chosen = _spoken(events)
    return Content(
        tuple(turns or spoken or numbered), answer or chosen or (replies[0][1] if replies else None)
    )


def _numbered(values: Mapping[str, Any]) -> tuple[Turns, Turns]:
    """Turns of attributes such as ``gen_ai.prompt.0.content``."""
    found: dict[str, dict[int, dict[str, str]]] = {"prompt": {}, "completion": {}}
    for key, value in values.items():
        if match := _NUMBERED.fullmatch(key):
            found[match[1]].setdefault(int(match[2]), {})[match[3]] = value

    def turns(which: str, role: str) -> Turns:
        items = [found[which][i] for i in sorted(found[which])]
        return turns_of(
            [{"role": item.get("role", role), "content": loaded(item.get("content"))} for item in items]
        )

    return turns("prompt", "user"), turns("completion", "assistant")


def _spoken(events: Sequence[Event]) -> tuple[Turns, str | None]:
    """Turns of events as conventions before 1.37 had them."""
    turns: Turns = []
    answer: str | None = None
    for event in events:
        if event.name in _SPOKEN:
            text = _said(event)
            turns += [(_SPOKEN[event.name], text)] if text else []
        elif event.name == _CHOICE and answer is None:
            answer = _said(event) or None
        elif event.name == "gen_ai.content.prompt":
            turns += turns_of(event.values.get("gen_ai.prompt"))
        elif event.name == "gen_ai.content.completion" and answer is None:
            answer = answer_of(event.values.get("gen_ai.completion"))
    return turns, answer


def _said(event: Event) -> str:
    body = loaded(event.values.get("body"))
    for place in (body, event.values):
        if isinstance(place, Mapping):
            if text := text_of(loaded(place.get("message"))):
                return text
            if text := text_of(loaded(place.get("content"))):
                return text
    return body if isinstance(body, str) else ""


def scores_of(
    events: Sequence[Event], bad: Callable[[str], None]
) -> Iterator[tuple[str, float, str | None, float | None]]:
    """Yields (name, score, why, when) of evaluations; a value outside [0, 1] without a label is refused."""
    for event in events:
        if event.name != _SCORE:
            continue
        values = event.values
        name = str(values.get("gen_ai.evaluation.name") or "evaluation")
        label = str(values.get("gen_ai.evaluation.score.label") or "").strip().casefold()
        score = _score(values.get("gen_ai.evaluation.score.value"))
        if score is None and label in _PASSED | _FAILED:
            score = float(label in _PASSED)
        if score is None:
            bad(f"evaluation {name!r}: neither a value in [0, 1] nor pass or fail")
            continue
        why = values.get("gen_ai.evaluation.explanation")
        yield name, score, None if why is None else str(why)[:2_000], event.at


def _score(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if 0 <= number <= 1 else None
