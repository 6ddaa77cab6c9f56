"""Generated tasks on words: turned around, counted, cut and joined, in plain and in wordy requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from agentnet.bench.topology.stories import Made

_LISTS = {
    "train": (
        "garden window planet silver orange castle button hammer pepper winter forest mirror basket thunder "
        "kitchen library blanket chicken compass diamond evening factory giraffe harvest journey kingdom "
        "leather monster morning network octopus package quarter rainbow sandwich teacher umbrella village "
        "whisper yellow zebra anchor bridge candle dragon engine flower guitar"
    ),
    "test": (
        "market bottle pillow summer island carpet rocket ladder pencil spider desert tunnel magnet cabinet "
        "balloon captain dolphin elephant feather glacier holiday insect jacket ketchup lantern machine "
        "necklace orchard penguin question reptile sailor tractor unicorn vampire warrior cousin butter "
        "cherry doctor eagle finger goblin helmet iguana jungle kernel lizard"
    ),
}
WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {split: tuple(words.split()) for split, words in _LISTS.items()}
)
"""Words by split; the worked examples of the agents use others."""


def _word(rng: np.random.Generator, split: str) -> str:
    return str(rng.choice(WORDS[split]))


def _pick(rng: np.random.Generator, *wordings: str) -> str:
    return wordings[int(rng.integers(len(wordings)))]


def backward(rng: np.random.Generator, split: str) -> Made:
    """A word turned around."""
    word = _word(rng, split)
    text = _pick(
        rng,
        f"Reverse {word}.",
        f"Write the word {word} from its last letter to its first.",
        f"A sign that says {word} is seen in a mirror. Which letters are read from left to right?",
    )
    return text, word[::-1]


def count(rng: np.random.Generator, split: str) -> Made:
    """How often a letter stands in a word."""
    word = _word(rng, split)
    letter = word[int(rng.integers(len(word)))]
    text = _pick(
        rng,
        f"Count {letter} in {word}.",
        f"How many times does the letter {letter} stand in the word {word}?",
        f"A painter paints {word} on a wall. How many {letter} does he have to paint?",
    )
    return text, str(word.count(letter))


def length(rng: np.random.Generator, split: str) -> Made:
    """How many letters a word has."""
    word = _word(rng, split)
    text = _pick(
        rng,
        f"Count the letters of {word}.",
        f"How many letters does the word {word} have?",
        f"Each letter of a sign costs one dollar. How many dollars does the sign {word} cost?",
    )
    return text, str(len(word))


def join(rng: np.random.Generator, split: str) -> Made:
    """Two words joined by a hyphen."""
    first, second = (str(word) for word in rng.choice(WORDS[split], 2, replace=False))
    text = _pick(
        rng,
        f"Join {first} and {second} with a hyphen.",
        f"Write {first} and {second} as one word with a hyphen between them.",
    )
    return text, f"{first}-{second}"


def repeated(rng: np.random.Generator, split: str) -> Made:
    """A word written several times."""
    word, times = _word(rng, split), int(rng.integers(2, 6))
    text = _pick(
        rng,
        f"Repeat {word} {times} times.",
        f"Write the word {word} {times} times in a row, without blanks.",
        f"A child presses a stamp that says {word} {times} times side by side. What is on the paper?",
    )
    return text, word * times


STRING_FAMILIES: Mapping[str, Callable[[np.random.Generator, str], Made]] = MappingProxyType(
    {
        "backward": backward,
        "count": count,
        "length": length,
        "join": join,
        "repeated": repeated,
    }
)
"""Makers of tasks on words by family; each takes a generator and a split."""
