"""`Task`: what a user asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from agentnet.errors import TaskError

MAX_TEXT = 400_000
"""Most characters of a task's text; longer material belongs into ``context``."""
MAX_CONTEXT = 4_000_000
"""Most characters of a task's context."""

Role = Literal["system", "user", "assistant", "tool"]


def check_text(value: object, what: str, limit: int) -> str:
    """Returns ``value`` if it is encodable text within ``limit`` characters.

    Raises:
        TaskError: it is not text, holds lone surrogates (bytes that are not UTF-8), or is too long.
    """
    if not isinstance(value, str):
        raise TaskError(f"{what} must be text; got {type(value).__name__} (decode bytes first).")
    if len(value) > limit:
        raise TaskError(
            f"{what} has {len(value):,} characters, over the limit of {limit:,}; put long material into "
            "context or retrieve the part that matters."
        )
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise TaskError(
            f"{what} is not valid Unicode (character {error.start}); decode it with errors='replace'."
        ) from None
    return value


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str

    def to_dict(self) -> dict[str, str]:
        """Returns the form that chat APIs take."""
        return {"role": self.role, "content": self.content}


@dataclass(frozen=True, slots=True)
class Task:
    """One question with its context and conversation: all that a router may look at.

    >>> Task("What is 2 + 2?").text
    'What is 2 + 2?'
    """

    text: str
    context: str | None = None
    """Material the question is about, for example passages."""
    history: tuple[Message, ...] = ()
    """Earlier turns, oldest first."""
    session_id: str | None = None
    """Names the conversation, so that a backend with a warm prompt cache can be kept."""
    task_id: str | None = None
    """The caller's name for this task: kept in traces and used to resume a batch, never by routers."""

    def __post_init__(self) -> None:
        check_text(self.text, "a task's text", MAX_TEXT)
        if not self.text.strip():
            raise TaskError("a task's text is empty.")
        if self.context is not None:
            check_text(self.context, "a task's context", MAX_CONTEXT)
        for name in ("session_id", "task_id"):
            if getattr(self, name) is not None:
                check_text(getattr(self, name), f"a task's {name}", MAX_TEXT)
        try:
            turns = tuple(m if isinstance(m, Message) else Message(**m) for m in self.history)
        except TypeError:
            raise TaskError(
                'a task\'s history is a list of messages, such as {"role": "user", "content": "Hello"}.'
            ) from None
        for turn in turns:
            check_text(turn.content, "a turn of the history", MAX_CONTEXT)
        object.__setattr__(self, "history", turns)

    @classmethod
    def of(cls, value: Task | str | Mapping[str, Any]) -> Task:
        """Returns a task from a task, its text, or its JSON form."""
        if isinstance(value, Task):
            return value
        if isinstance(value, str):
            return cls(value)
        if isinstance(value, Mapping):
            try:
                return cls(**value)
            except TypeError as error:
                raise TaskError(
                    f"a task's JSON form has text, context, history, session_id: {error}"
                ) from None
        raise TaskError(f"a task is text or a Task; got {type(value).__name__}.")

    def with_history(self, history: Sequence[Message]) -> Task:
        """Returns the task with another history."""
        return replace(self, history=tuple(history))

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values; the inverse of `of`."""
        return {
            "text": self.text,
            "context": self.context,
            "history": [turn.to_dict() for turn in self.history],
            "session_id": self.session_id,
            "task_id": self.task_id,
        }
