"""Scores of texts without an encoder: an agent is a letter, and words say whose they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

NAMES = ("a", "b", "c", "d")
SHARP = 6.0


class Words:
    """P(agent | text): softmax of the share of its words; ``a1`` is a word of agent ``a``."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.asked += texts
        rows = []
        for text in texts:
            words = text.split()
            counts = np.array([sum(word[0] == name for word in words) for name in NAMES], float)
            powers = np.exp(SHARP * counts / len(words))
            rows.append(powers / powers.sum())
        return np.array(rows, np.float32).reshape(len(texts), len(NAMES))


def query(rng: np.random.Generator, agent: str, words: int = 5) -> str:
    """A query of an agent: its own words and one of nobody's."""
    own = [f"{agent}{int(n)}" for n in rng.integers(0, 50, words - 1)]
    return " ".join(rng.permutation([*own, f"x{int(rng.integers(9))}"]))
