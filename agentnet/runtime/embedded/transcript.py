"""Chat messages as a plain transcript of worked examples.

A model of 135 million parameters follows worked examples in a plain transcript where it ignores them in
its own chat template, above all when the question is worded in a way that no example is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Transcript:
    """How messages become one text.

    >>> layout = Transcript()
    >>> print(layout.render([{"role": "system", "content": "You add."},
    ...                      {"role": "user", "content": "1 + 1"},
    ...                      {"role": "assistant", "content": "print(1 + 1)"},
    ...                      {"role": "user", "content": "2 + 3"}]))
    You add.
    <BLANKLINE>
    Question: 1 + 1
    Program:
    print(1 + 1)
    <BLANKLINE>
    Question: 2 + 3
    Program:
    <BLANKLINE>
    """

    question: str = "Question"
    answer: str = "Program"

    @property
    def stops(self) -> tuple[str, ...]:
        """Texts at which an answer has ended: an empty line, or the next question."""
        return ("\n\n", f"\n{self.question}:")

    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        """Returns the prompt; white space inside a question becomes one blank, for lines are marks here."""
        parts = [self._turn(message["role"], message["content"]) for message in messages]
        return "".join(parts)

    def prefix(self, messages: Sequence[Mapping[str, str]]) -> str:
        """Returns the part of the prompt that an agent's other tasks share: all but the last turn."""
        return self.render(messages[:-1])

    def _turn(self, role: str, content: str) -> str:
        if role == "user":
            return f"{self.question}: {' '.join(content.split())}\n{self.answer}:\n"
        return content.strip("\n") + "\n\n"
