"""`HashingEncoder`: hashed word and character n-grams; needs no model and no package."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import InvalidInput
from agentnet.outcomes.encoders.base import check_texts, unit_rows

_WORD = re.compile(r"\w+|[^\w\s]")
_CHARS = 0.5
"""Weight of a character n-gram beside a word n-gram: they only bridge inflections and typing errors."""


class HashingEncoder:
    """Signed feature hashing of word 1- and 2-grams and character 3- to 5-grams, with log counts.

    The same text gives the same vector in every process and on every platform. Source: Weinberger et al.
    (2009), Feature Hashing for Large Scale Multitask Learning.

    >>> a, b, c = HashingEncoder().encode(["add two numbers", "adding two numbers", "name a river"])
    >>> bool(a @ b > a @ c)
    True
    """

    def __init__(self, dim: int = 512, *, max_chars: int = 4000) -> None:
        """Makes an encoder.

        Args:
            dim: Numbers in a vector, at least 2.
            max_chars: Characters of a text that count.
        """
        if dim < 2 or max_chars < 1:
            raise InvalidInput(
                f"a hashing encoder needs dim >= 2 and max_chars >= 1; got {dim}, {max_chars}."
            )
        self._dim = dim
        self._max_chars = max_chars

    @property
    def name(self) -> str:
        """``hash:DIM``."""
        suffix = "" if self._max_chars == 4000 else f":{self._max_chars}"
        return f"hash:{self._dim}{suffix}"

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        return self._dim

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Returns [n, dim] float32 unit vectors."""
        items = check_texts(texts)
        vectors = np.zeros((len(items), self._dim))
        for row, text in enumerate(items):
            words, parts = self._tokens(text[: self._max_chars])
            vectors[row] = self._hashed(words) + _CHARS * self._hashed(parts)
        return unit_rows(vectors)

    def _hashed(self, tokens: list[str]) -> NDArray[np.float64]:
        codes = [crc32(token.encode("utf-8", "surrogatepass")) for token in tokens]
        code, count = np.unique(np.array(codes, np.int64), return_counts=True)
        # The top bit gives the sign, so that collisions cancel out on average.
        weight = (1 + np.log(count)) * np.where(code >> 31, 1.0, -1.0)
        return np.bincount((code & 0x7FFFFFFF) % self._dim, weight, self._dim).astype(np.float64)

    @staticmethod
    def _tokens(text: str) -> tuple[list[str], list[str]]:
        """Returns word 1- and 2-grams, and the character n-grams of words."""
        words = _WORD.findall(text.lower())
        pairs = [f"{one} {two}" for one, two in pairwise(words)]
        padded = [f"<{word}>" for word in words if word.isalpha()]
        parts = [
            word[start : start + size]
            for word in padded
            for size in (3, 4, 5)
            for start in range(len(word) - size + 1)
        ]
        return words + pairs, parts
