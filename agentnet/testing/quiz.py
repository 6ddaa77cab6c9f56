"""Questions of three types with exact answers, and a `Pupil` that gets a set share of each type right.

Both are functions of their seeds and texts alone, so that a live test can check every answer exactly: the
asker keeps the answers, and a test server (another process, another machine) works them out again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from agentnet.errors import InvalidInput

KINDS = ("math", "code", "general")
_CONSONANTS, _VOWELS = "bdfgklmnprstvz", "aeiou"
_MATH = re.compile(r"what is (\d+) times (\d+) plus (\d+)\?")
_CODE = re.compile(r"print\('(\w+)'\[::-1\]\.upper\(\)\)")
_GENERAL = re.compile(r"of the words (\w+), (\w+) and (\w+) stands first")


@dataclass(frozen=True, slots=True)
class Question:
    """A text to ask, its type (one of ``KINDS``) and the one right answer."""

    text: str
    kind: str
    answer: str


def make_quiz(n: int, *, seed: int = 0) -> list[Question]:
    """Returns n questions, their types drawn evenly.

    >>> make_quiz(1, seed=3)[0].kind in KINDS
    True
    """
    rng = np.random.default_rng(seed)
    return [_question(KINDS[int(rng.integers(len(KINDS)))], rng) for _ in range(n)]


def solve(text: str) -> tuple[str, str]:
    """Returns the type and the right answer of a question that stands anywhere in a text.

    Raises:
        InvalidInput: there is none.

    >>> solve("Arithmetic problem: what is 7 times 6 plus 1? Reply with the number.")
    ('math', '43')
    """
    if found := _MATH.search(text):
        a, b, c = map(int, found.groups())
        return "math", str(a * b + c)
    if found := _CODE.search(text):
        return "code", found[1][::-1].upper()
    if found := _GENERAL.search(text):
        return "general", min(found.groups())
    raise InvalidInput(f"no question of make_quiz in {text[:80]!r}.")


@dataclass(frozen=True, slots=True)
class Pupil:
    """Answers a share of each type of question rightly; usable as the ``answer`` of a `Behaviour`.

    Whether it gets a question right depends on its name and the question's text, nothing else: it gives the
    same answer every time, at any load.

    >>> pupil = Pupil("ada", {"math": 1.0, "code": 0.0, "general": 0.0})
    >>> question = make_quiz(1, seed=3)[0]
    >>> (pupil.reply(question.text) == question.answer) == (question.kind == "math")
    True
    """

    name: str
    accuracy: Mapping[str, float] = field(default_factory=dict)
    """Probability of a right answer by type of question; a type that is missing has 1."""

    def __post_init__(self) -> None:
        for kind, share in self.accuracy.items():
            if kind not in KINDS or not 0 <= share <= 1:
                raise InvalidInput(
                    f"accuracy gives {', '.join(KINDS)} a number from 0 to 1; got {kind}={share}."
                )
        object.__setattr__(self, "accuracy", MappingProxyType(dict(self.accuracy)))

    def __call__(self, body: Mapping[str, Any]) -> str:
        """Answers a chat request's last message."""
        return self.reply(str(body["messages"][-1]["content"]))

    def reply(self, text: str) -> str:
        """Returns the right answer, or a wrong one of the same form."""
        kind, answer = solve(text)
        digest = hashlib.blake2b(f"{self.name}\n{kind}\n{answer}\n{text}".encode(), digest_size=8).digest()
        if int.from_bytes(digest, "big") / 2**64 < self.accuracy.get(kind, 1.0):
            return answer
        return str(int(answer) + 10) if kind == "math" else f"{answer}{answer[0]}"

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values; the inverse of `from_dict`."""
        return {"name": self.name, "accuracy": dict(self.accuracy)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Pupil:
        """Builds a pupil from its JSON values."""
        return cls(str(data["name"]), {str(k): float(v) for k, v in data["accuracy"].items()})


def _question(kind: str, rng: np.random.Generator) -> Question:
    if kind == "math":
        a, b, c = (int(value) for value in rng.integers(11, 1000, size=3))
        text = f"Arithmetic problem: what is {a} times {b} plus {c}? Reply with the number."
    elif kind == "code":
        text = f"Python program: what does print('{_word(rng)}'[::-1].upper()) show? Reply with the string."
    else:
        words = ", ".join([_word(rng), _word(rng)]) + f" and {_word(rng)}"
        text = f"Dictionary order: which of the words {words} stands first? Reply with the word."
    return Question(text, kind, solve(text)[1])


def _word(rng: np.random.Generator) -> str:
    letters = [group[int(rng.integers(len(group)))] for _ in range(4) for group in (_CONSONANTS, _VOWELS)]
    return "".join(letters)
