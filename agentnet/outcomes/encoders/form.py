"""`FormEncoder`: what a question looks like, not what it is about: layout, options, digits, length.

Sentence vectors hardly know whether a question is multiple choice, a function to complete or a sum, yet
agents differ most in exactly that: in the formats they get right. Needs no model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import InvalidInput
from agentnet.outcomes.encoders.base import check_texts, unit_rows

MARKS = "?.,:;!\\$\"'=_()[]{}<>+-*/%"
"""Characters that are counted one by one."""
_OPTION = re.compile(r"(?m)^\(?[A-J][.):]")
_LOWER, _UPPER, _DIGIT, _SPACE, _LINE, _OTHER = 1, 2, 3, 4, 5, 6
_COLLAPSES = 4
"""Runs of letters, digits and blanks count once; punctuation and line ends count each."""
_MOST = 4000
_MIX = np.uint64(0x9E3779B97F4A7C15)


def _classes() -> NDArray[np.uint64]:
    """[256] class of every byte: letters, digits and blanks by kind, every mark by itself."""
    table = np.full(256, _LOWER, np.uint64)  # bytes of letters outside of ASCII too
    for code in range(128):
        mark = chr(code)
        if mark.isupper():
            table[code] = _UPPER
        elif mark.isdigit():
            table[code] = _DIGIT
        elif mark == "\n":
            table[code] = _LINE
        elif mark.isspace():
            table[code] = _SPACE
        elif not mark.isalpha():
            table[code] = _OTHER + code
    return table


_CLASS = _classes()


class FormEncoder:
    """Hashed n-grams of a text's shape, and a few measures of it.

    The shape of "Is 12 > 3?" is ``Aa 0 > 0?``: runs of letters, digits and blanks become one sign. Its 1- to
    4-grams are hashed and their counts damped by a square root. The measures are lengths, shares of digits,
    capitals and marks, counts of options and single marks, and how the text begins and ends.

    >>> encoder = FormEncoder()
    >>> sums, more, words = encoder.encode(["What is 3 + 4?", "What is 17 + 256?", "Name a river."])
    >>> bool(sums @ more > sums @ words)
    True
    """

    def __init__(self, grams: int = 512) -> None:
        """Makes an encoder with this many hashed n-grams, at least 2."""
        if grams < 2:
            raise InvalidInput(f"a form encoder needs grams >= 2; got {grams}.")
        self._grams = grams

    @property
    def name(self) -> str:
        """``form``, or ``form:GRAMS``."""
        return "form" if self._grams == 512 else f"form:{self._grams}"

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        return self._grams + MEASURES

    @property
    def grams(self) -> int:
        """How many of the numbers are n-grams; the measures follow them."""
        return self._grams

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Returns [n, dim] float32 unit vectors."""
        items = [text[:_MOST] for text in check_texts(texts)]
        grams = np.zeros((len(items), self._grams))
        measures = np.zeros((len(items), MEASURES))
        for row, text in enumerate(items):
            codes = np.frombuffer(text.encode("utf-8", "replace"), np.uint8)
            grams[row] = self._hashed(_CLASS[codes])
            measures[row] = _measures(text, np.bincount(codes, minlength=256))
        return unit_rows(np.concatenate((unit_rows(grams), measures), axis=1))

    def _hashed(self, kinds: NDArray[np.uint64]) -> NDArray[np.float64]:
        same = np.zeros(len(kinds), bool)
        same[1:] = (kinds[1:] == kinds[:-1]) & (kinds[1:] <= _COLLAPSES)
        shape = kinds[~same]
        total = np.zeros(self._grams)
        code = np.zeros(len(shape), np.uint64)
        for size in range(1, 5):
            if len(shape) < size:
                break
            # Products wrap around at 2^64, which is what a hash wants.
            code = (code[: len(shape) - size + 1] + shape[size - 1 :] + np.uint64(size)) * _MIX
            total += np.bincount(((code >> np.uint64(33)) % np.uint64(self._grams)).astype(np.intp),
                                 minlength=self._grams)  # fmt: skip
        return np.sqrt(total)


def _measures(text: str, count: NDArray[np.intp]) -> NDArray[np.float64]:
    """[MEASURES] numbers from about 0 to 1."""
    size = max(int(count.sum()), 1)
    words = text.split()
    lines = text.split("\n")
    ending = text.rstrip()[-1:]
    length = sum(map(len, words)) / len(words) if words else 0.0
    plain = [
        np.log1p(size) / 8,
        np.log1p(len(words)) / 6,
        np.log1p(len(lines)) / 4,
        np.log1p(len(lines[0])) / 8,
        np.log1p(len(lines[-1])) / 8,
        length / 10,
        count[48:58].sum() / size,
        count[65:91].sum() / size,
        (size - count[48:58].sum() - count[65:91].sum() - count[97:123].sum() - count[32]) / size,
        float(ending == "?"),
        float(ending == "."),
        float(text[:1].isupper()),
        float(text[:1].islower()),
        np.log1p(len(_OPTION.findall(text))) / 3,
    ]
    return np.array([*plain, *(np.log1p(count[[ord(mark) for mark in MARKS]]) / 4)])


MEASURES = 14 + len(MARKS)
"""How many measures there are."""
