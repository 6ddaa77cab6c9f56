"""Joined queries for the live measurement: two requests of different kinds in one text, and their scorer.

A request has one checkable value that does not stand in the query. Kinds of request are paired and joined;
pairs, joining templates and words of train and test are disjoint.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations
from types import MappingProxyType

import numpy as np

from agentnet.bench.topology.strings import WORDS as _WORDS
from agentnet.errors import InvalidInput

SPLITS = ("train", "test")
SHOTS = "shots"
"""The split of the agents' worked examples; it joins the pairs of train, with words of its own."""
WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        **_WORDS,
        SHOTS: (
            "stone", "piano", "violet", "lemon", "hotel", "cloud", "paper", "wheel", "coffee", "rabbit",
            "music", "potato", "letter", "engineer", "trumpet", "marble",
        ),
    }
)  # fmt: skip
"""Words by split."""
SEED = 7
TEMPLATES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "train": ("{A} Also, {b}", "{A} {B}", "One thing: {A} Then, {b}"),
        SHOTS: ("{A} Also, {b}", "{A} {B}", "One thing: {A} Then, {b}"),
        "test": (
            "{A} Apart from that, {b}",
            "Two things. {A} {B}",
            "{A} And while you are at it, {b}",
            "Here are my requests. {A} And {b}",
        ),
    }
)
"""Joining templates by split; ``B`` begins a sentence, ``b`` goes on in one."""
_TOKEN = re.compile(r"\w+(?:-\w+)*")
_ALIKE = 0.6
_NEAR = 2


@dataclass(frozen=True, slots=True)
class Part:
    """One request with its value."""

    kind: str
    text: str
    gold: str
    program: str
    """A program of one line that prints the value, for worked examples."""


@dataclass(frozen=True, slots=True)
class Joined:
    """Two requests in one text."""

    query_id: str
    text: str
    parts: tuple[Part, Part]
    split: str


@dataclass(frozen=True, slots=True)
class Score:
    """What a text is worth as the answer to a joined query."""

    right: tuple[bool, bool]
    """Part by part: its value stands in the text."""
    clean: tuple[bool, bool]
    """Part by part: its value stands in the text, and no other value that could be meant for it does."""

    @property
    def mean(self) -> float:
        """Share of the parts that are right."""
        return sum(self.right) / 2

    @property
    def both(self) -> bool:
        """Whether both parts are right."""
        return all(self.right)

    @property
    def both_clean(self) -> bool:
        """Whether both parts are right and not contradicted."""
        return all(self.clean)


def reverse(rng: np.random.Generator, split: str) -> Part:
    """A word turned around."""
    word = _word(rng, split)
    text = _pick(rng, f"Reverse the word {word}.", f"Write {word} from its last letter to its first.")
    return Part("reverse", text, word[::-1], f'print("{word}"[::-1])')


def order(rng: np.random.Generator, split: str) -> Part:
    """A word's letters in alphabetical order."""
    word = _word(rng, split)
    text = _pick(rng, f"Sort the letters of {word}.", f"Put the letters of {word} in alphabetical order.")
    return Part("order", text, "".join(sorted(word)), f'print("".join(sorted("{word}")))')


def repeat(rng: np.random.Generator, split: str) -> Part:
    """A word written several times."""
    word, times = _word(rng, split), int(rng.integers(2, 5))
    text = _pick(
        rng, f"Repeat {word} {times} times.", f"Write {word} {times} times in a row, without blanks."
    )
    return Part("repeat", text, word * times, f'print("{word}" * {times})')


def hyphen(rng: np.random.Generator, split: str) -> Part:
    """Two words joined by a hyphen."""
    one, two = (str(word) for word in rng.choice(WORDS[split], 2, replace=False))
    text = _pick(rng, f"Join {one} and {two} with a hyphen.", f"Put a hyphen between {one} and {two}.")
    return Part("hyphen", text, f"{one}-{two}", f'print("{one}-{two}")')


def capitals(rng: np.random.Generator, split: str) -> Part:
    """A word in capital letters."""
    word = _word(rng, split)
    text = _pick(rng, f"Write {word} in capital letters.", f"Print {word} in upper case.")
    return Part("capitals", text, word.upper(), f'print("{word}".upper())')


def add(rng: np.random.Generator, split: str) -> Part:
    """The sum of two numbers."""
    a, b = (int(number) for number in rng.integers(101, 990, 2))
    text = _pick(rng, f"Add {a} and {b}.", f"What is {a} plus {b}?")
    return Part("add", text, str(a + b), f"print({a} + {b})")


def multiply(rng: np.random.Generator, split: str) -> Part:
    """The product of two numbers."""
    a, b = (int(number) for number in rng.integers(12, 99, 2))
    text = _pick(rng, f"Multiply {a} by {b}.", f"What is {a} times {b}?")
    return Part("multiply", text, str(a * b), f"print({a} * {b})")


def binary(rng: np.random.Generator, split: str) -> Part:
    """A number in binary."""
    number = int(rng.integers(20, 250))
    text = _pick(rng, f"Write {number} in binary.", f"Turn {number} into a binary number.")
    return Part("binary", text, f"{number:b}", f"print(bin({number})[2:])")


KINDS: Mapping[str, Callable[[np.random.Generator, str], Part]] = MappingProxyType(
    {
        "reverse": reverse,
        "order": order,
        "repeat": repeat,
        "hyphen": hyphen,
        "capitals": capitals,
        "add": add,
        "multiply": multiply,
        "binary": binary,
    }
)
"""Makers of requests by kind; each takes a generator and a split."""
NUMBERS = frozenset(("add", "multiply", "binary"))
"""Kinds whose value is a number."""


def pairs(split: str, *, seed: int = SEED) -> list[tuple[str, str]]:
    """Returns the pairs of kinds that a split joins: half of all each, none in both.

    >>> len(pairs("train")), len(pairs("test")), set(pairs("train")) & set(pairs("test"))
    (14, 14, set())
    """
    if split not in WORDS:
        raise InvalidInput(f"splits are {list(WORDS)}; got {split!r}.")
    found = list(combinations(KINDS, 2))
    drawn = np.random.default_rng(seed).permutation(len(found))
    half = len(found) // 2
    chosen = drawn[half:] if split == "test" else drawn[:half]
    return [found[i] for i in sorted(chosen)]


def make_joined(split: str, n: int, *, seed: int = SEED) -> list[Joined]:
    """Returns ``n`` joined queries of a split, its pairs in turn.

    >>> item = make_joined("train", 1)[0]
    >>> item.query_id, len({part.kind for part in item.parts})
    ('joined-train-0', 2)
    """
    kinds, templates = pairs(split, seed=seed), TEMPLATES[split]
    rng = np.random.default_rng([seed, list(WORDS).index(split)])
    made: list[Joined] = []
    while len(made) < n:
        first, second = rng.permutation(list(kinds[len(made) % len(kinds)])).tolist()
        a, b = KINDS[first](rng, split), KINDS[second](rng, split)
        text = templates[int(rng.integers(len(templates)))].format(A=a.text, b=_go_on(b.text), B=b.text)
        tokens = {token.lower() for token in _TOKEN.findall(text)}
        alone = a.gold.lower() != b.gold.lower() and not any(
            part.gold.lower() in tokens for part in (a, b) if part.kind != "capitals"
        )
        if alone:
            made.append(Joined(f"joined-{split}-{len(made)}", text, (a, b), split))
    return made


def make_single(split: str, n: int, *, seed: int = SEED) -> list[Part]:
    """Returns ``n`` single requests of a split, kinds in turn: what a router is fitted on."""
    rng = np.random.default_rng([seed, 100 + list(WORDS).index(split)])
    makers = list(KINDS.values())
    return [makers[i % len(makers)](rng, split) for i in range(n)]


def score(text: str, item: Joined) -> Score:
    """Scores a text as the answer to a joined query; the rule was fixed before any test result was seen.

    A part is right if its value stands in the text as a whole token (upper and lower case count). It is
    contradicted if another token stands there that could be meant for it: for a number, any other number
    that is neither in the query nor the other part's value; for a word, any token that is neither in the
    query nor the other part's value and has at least 60% of its letters, give or take two in length.

    >>> item = Joined("q", "Reverse the word stone. Also, what is 12 times 12?",
    ...               (Part("reverse", "", "enots", ""), Part("multiply", "", "144", "")), "test")
    >>> score("Reversed: enots. Product: 144.", item).both_clean, score("enots or ents, 144", item).clean
    (True, (False, True))
    """
    tokens = _TOKEN.findall(text)
    asked = set(_TOKEN.findall(item.text))
    golds = [part.gold for part in item.parts]
    right, clean = [], []
    for part, other in zip(item.parts, reversed(golds), strict=True):
        holds = part.gold in tokens
        others = {token for token in tokens if token not in asked and token not in (part.gold, other)}
        right.append(holds)
        clean.append(holds and not any(_could_mean(token, part) for token in others))
    return Score((right[0], right[1]), (clean[0], clean[1]))


def tokens_of(text: str) -> list[str]:
    """Returns a text's tokens: words and numbers, with what hyphens join as one."""
    return _TOKEN.findall(text)


def _could_mean(token: str, part: Part) -> bool:
    if part.kind in NUMBERS or token.isdigit():
        return token.isdigit() and part.kind in NUMBERS
    said, wanted = Counter(token.lower()), Counter(part.gold.lower())
    near = abs(len(token) - len(part.gold)) <= _NEAR
    return near and (said & wanted).total() >= _ALIKE * len(part.gold)


def _word(rng: np.random.Generator, split: str) -> str:
    return str(rng.choice(WORDS[split]))


def _pick(rng: np.random.Generator, *wordings: str) -> str:
    return wordings[int(rng.integers(len(wordings)))]


def _go_on(text: str) -> str:
    return text[0].lower() + text[1:]
