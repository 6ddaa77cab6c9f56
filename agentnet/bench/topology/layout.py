"""Prompts as the record of a conversation: question, what others said, and the name of who speaks next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agentnet.runtime.embedded.transcript import Transcript


@dataclass(frozen=True, slots=True)
class Conversation(Transcript):
    r"""Messages as they are, one conversation after another; the last user turn ends with a speaker's name.

    >>> layout = Conversation()
    >>> print(layout.render([{"role": "user", "content": "Question: 1 + 1\nSolver:"},
    ...                      {"role": "assistant", "content": "2"},
    ...                      {"role": "user", "content": "Question: 2 + 3\nSolver:"}]))
    Question: 1 + 1
    Solver: 2
    <BLANKLINE>
    Question: 2 + 3
    Solver:
    """

    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        """Returns the prompt."""
        return "".join(self._turn(message["role"], message["content"]) for message in messages)

    def _turn(self, role: str, content: str) -> str:
        if role == "user":
            return content
        return f" {content}\n\n" if role == "assistant" else f"{content}\n\n"
