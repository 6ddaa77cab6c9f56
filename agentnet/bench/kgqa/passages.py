"""Cuts a question's passages to what fits into a small model's context: a lexical retriever."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from agentnet.errors import DataError

BUDGET = 560
"""Tokens of all passages together, as `tokens_of` counts."""
_K1, _B = 1.5, 0.75
_TITLE = 2
"""How often a title's words count: a question names the entity that a passage is about."""
_HOP = 0.6
"""Weight of what names a passage already chosen, next to the question: the second hop."""
_WORD = re.compile(r"[^\W_]+")
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[\"'(]?[A-Z0-9])")
_STOP = frozenset({
    "a", "an", "and", "are", "as", "at", "be", "been", "both", "but", "by", "did", "do", "does", "for",
    "from", "had", "has", "have", "he", "her", "his", "in", "is", "it", "its", "more", "most", "of", "on",
    "or", "same", "she", "that", "the", "their", "they", "this", "to", "was", "were", "what", "when",
    "where", "which", "who", "whom", "whose", "why", "with",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Passage:
    """A titled text."""

    title: str
    text: str

    def __str__(self) -> str:
        return f"[{self.title}] {self.text}"


def parse(context: str) -> list[Passage]:
    """Reads a pack's context: a JSON list of objects with ``title`` and ``text``.

    Raises:
        DataError: it is something else.

    >>> parse('[{"title": "Lorna", "text": "A  film."}]')
    [Passage(title='Lorna', text='A film.')]
    """
    try:
        items = [Passage(_plain(item["title"]), _plain(item["text"])) for item in json.loads(context)]
    except (ValueError, TypeError, KeyError, AttributeError):
        raise DataError('a context must be a JSON list of {"title": ..., "text": ...}.') from None
    if not items:
        raise DataError("a context needs at least one passage; this one is an empty list.")
    return items


def _plain(text: str) -> str:
    return " ".join(text.split())


def tokens_of(text: str) -> int:
    """Returns about how many tokens a small model's tokeniser makes of a text.

    Counted without the model, so that passages can be cut where none is installed: a mark is one, a word
    is one and a further one for every five characters beyond the second, a number one per digit.

    >>> tokens_of("Russ Meyer, born 1922.")
    9
    """
    return sum(_pieces(word) for word in re.findall(r"\w+|[^\w\s]", text))


def _pieces(word: str) -> int:
    further = max(0, len(word) - 2) // 5
    return len(word) + further if word.isdigit() else 1 + further


def words(text: str) -> list[str]:
    """Returns the lower-case words of a text that may tell passages apart."""
    found = (word.casefold() for word in _WORD.findall(text))
    return [word for word in found if word not in _STOP]


def cut(question: str, passages: Sequence[Passage], *, budget: int = BUDGET) -> list[Passage]:
    """Returns the passages that bear on a question, in their given order, within a budget of tokens.

    Passages are ranked by BM25 (Robertson and Zaragoza 2009) against the question. After each choice the
    passages whose title it names rise, for in a multi-hop question the second passage is often named by
    the first and not by the question. Of a passage that does not fit, the leading sentences that do are
    kept.

    Args:
        question: What is asked.
        passages: At least one.
        budget: Tokens (`tokens_of`) of all that is returned.
    """
    left, chosen = budget, dict[int, Passage]()
    bags = [Counter(words(item.title) * _TITLE + words(item.text)) for item in passages]
    scores = _bm25(set(words(question)), bags)
    top = max(scores) or 1.0
    while len(chosen) < len(passages):
        best = max((i for i in range(len(passages)) if i not in chosen), key=lambda i: (scores[i], -i))
        kept = _fitting(passages[best], left)
        if kept is None:
            break
        chosen[best] = kept
        left -= tokens_of(str(kept))
        told = f" {' '.join(_WORD.findall(kept.text)).casefold()} "
        for i, item in enumerate(passages):
            name = re.sub(r"\(.*?\)", "", item.title)
            if i not in chosen and f" {' '.join(_WORD.findall(name)).casefold()} " in told:
                scores[i] += _HOP * top
    return [chosen[i] for i in sorted(chosen)]


def _bm25(query: set[str], bags: Sequence[Counter[str]]) -> list[float]:
    mean = sum(bag.total() for bag in bags) / len(bags) or 1.0
    scores = [0.0] * len(bags)
    for word in sorted(query):
        holding = sum(word in bag for bag in bags)
        idf = math.log(1 + (len(bags) - holding + 0.5) / (holding + 0.5))
        for i, bag in enumerate(bags):
            if count := bag[word]:
                scores[i] += idf * count * (_K1 + 1) / (count + _K1 * (1 - _B + _B * bag.total() / mean))
    return scores


def _fitting(passage: Passage, budget: int) -> Passage | None:
    kept: list[str] = []
    for sentence in _SENTENCE.split(passage.text):
        if tokens_of(str(Passage(passage.title, " ".join([*kept, sentence])))) > budget:
            break
        kept.append(sentence)
    return Passage(passage.title, " ".join(kept)) if kept else None
