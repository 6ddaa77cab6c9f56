"""`Encoder`: the contract of all text encoders, and what of a task is encoded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import InvalidInput
from agentnet.graphs.task import Task

CONTEXT_CHARS = 400
"""Most characters taken of a task's context, from its start."""
TURN_CHARS = 400
"""Most characters taken of the last user turn before the question, from its end."""


@runtime_checkable
class Encoder(Protocol):
    """Turns texts into vectors of length 1, so that a dot product is a cosine similarity."""

    @property
    def name(self) -> str:
        """Names model and settings: two encoders of one name give the same vectors."""

    @property
    def dim(self) -> int:
        """Numbers in a vector."""

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Returns [n, dim] float32, rows of length 1 (all zero only for a text without any token)."""


def task_text(task: Task) -> str:
    r"""Returns what of a task is encoded: its text, then a bounded part of history and context.

    The question comes first because encoders cut what is too long. Of the history only the last user
    turn counts: a follow-up such as "and in metres?" says little by itself.

    >>> task_text(Task("And in metres?", history=[{"role": "user", "content": "How tall is K2 in feet?"}]))
    'And in metres?\nHow tall is K2 in feet?'
    """
    parts = [task.text]
    last = next((turn.content for turn in reversed(task.history) if turn.role == "user"), "")
    if last.strip():
        parts.append(last[-TURN_CHARS:])
    if task.context and task.context.strip():
        parts.append(task.context[:CONTEXT_CHARS])
    return "\n".join(parts)


def check_texts(texts: Sequence[str]) -> list[str]:
    """Returns the texts as a list.

    Raises:
        InvalidInput: ``texts`` is one text instead of a sequence, or holds something else than text.
    """
    if isinstance(texts, str):
        raise InvalidInput("encode takes a sequence of texts; wrap a single text in a list.")
    items = list(texts)
    for item in items:
        if not isinstance(item, str):
            raise InvalidInput(f"encode takes texts; got {type(item).__name__}.")
    return items


def unit_rows(matrix: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Returns the rows as float32 of length 1; rows of zeros stay zero."""
    norms = np.linalg.norm(matrix, axis=1, keepdims=True)
    return np.asarray(matrix / np.where(norms > 0, norms, 1), dtype=np.float32)
