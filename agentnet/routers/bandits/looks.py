"""What a bandit sees of a task before anything is learned: its encoding, and measures of its text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from agentnet.graphs.task import Task
from agentnet.outcomes.encoders import task_text
from agentnet.outcomes.encoders.form import FormEncoder

Features = Literal["agentnet", "greenserv", "none"]
"""Which features: ours, GreenServ's, or none: a bandit without context."""
Floats = NDArray[np.float64]

COMPLEXITY = (20.0, 30.0)
"""Edges of GreenServ's bins of 100 minus the Flesch reading ease."""
_FORM = FormEncoder(64)
_WORD = re.compile(r"[A-Za-z']+")
_VOWELS = re.compile(r"[aeiouy]+")
_SENTENCE = re.compile(r"[.!?]+(?:\s|$)")


def look_at(features: Features, tasks: Sequence[Task], vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns [n, d + m] the encodings with the measures of the texts behind them.

    Args:
        features: Which measures: the form of the text, or the bin of its complexity.
        tasks: n tasks.
        vectors: [n, d] their encodings.
    """
    if features == "none":
        return np.zeros((len(tasks), 0), np.float32)
    texts = [task_text(task) for task in tasks]
    if features == "agentnet":
        return np.concatenate((vectors, _FORM.encode(texts)), axis=1)
    bins = np.searchsorted(COMPLEXITY, [100 - reading_ease(text) for text in texts], "right")
    return np.concatenate((vectors, np.eye(len(COMPLEXITY) + 1, dtype=np.float32)[bins]), axis=1)


def measures(features: Features) -> int:
    """Returns m: how many numbers `look_at` puts behind an encoding.

    >>> measures("greenserv"), measures("none")
    (3, 0)
    """
    return {"agentnet": _FORM.dim, "greenserv": len(COMPLEXITY) + 1, "none": 0}[features]


def reading_ease(text: str) -> float:
    """Returns the Flesch reading ease: 206.835 - 1.015 words a sentence - 84.6 syllables a word.

    Syllables are counted as groups of vowels, a silent e at the end taken off. A text without words has 100.
    Source: Flesch, "A new readability yardstick", Journal of Applied Psychology, 1948.

    >>> round(reading_ease("The cat sat on the mat."), 1)
    116.1
    """
    words = _WORD.findall(text)
    if not words:
        return 100.0
    sentences = max(len(_SENTENCE.findall(text)), 1)
    syllables = sum(_syllables(word.lower()) for word in words)
    return 206.835 - 1.015 * len(words) / sentences - 84.6 * syllables / len(words)


def _syllables(word: str) -> int:
    found = len(_VOWELS.findall(word))
    if word.endswith("e") and not word.endswith("le") and found > 1:
        found -= 1
    return max(found, 1)
