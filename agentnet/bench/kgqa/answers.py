"""Short answers out of a small model's sentences, and how they are scored."""

from __future__ import annotations

import re

from agentnet.graphs.final_answer import final_answer
from agentnet.graphs.normalise import normalise_text

_BINARY = re.compile(r"(?:are|is|was|were|do|does|did|has|have|had|can|could)\b", re.IGNORECASE)
_SAYS = re.compile(r"\W*(?:the answer is\W*)?(yes|no)\b", re.IGNORECASE)
_DENIES = re.compile(r"\b(?:not|no|different|neither|nor)\b", re.IGNORECASE)
_SENTENCE_END = re.compile(r"(?<=[a-z0-9)])\.(?:\s|$)|\n")
_VERBS = frozenset({"is", "was", "are", "were"})
_LEADING = frozenset({
    "is", "was", "are", "were", "be", "been", "the", "a", "an", "in", "on", "at", "of", "by", "to", "from",
    "as", "it", "he", "she", "they", "his", "her", "their", "its", "who", "that", "which", "and", "answer",
    "located", "born", "died", "would",
})  # fmt: skip
_SHORT = 6
"""Words of an answer that is taken as it is where it holds no verb."""


def is_binary(question: str) -> bool:
    """Returns whether a question asks for yes or no.

    >>> is_binary("Are both in Iran?"), is_binary("Is it Rome or Bonn?"), is_binary("Who is it?")
    (True, False, False)
    """
    return bool(_BINARY.match(question.strip())) and " or " not in question


def shorten(reply: str, question: str) -> str:
    """Returns the short answer in a reply: yes or no, a marked answer, or what a sentence adds.

    A small model answers in a sentence that repeats the question; the words it repeats, and verbs and
    articles between them, are dropped from its beginning.

    >>> shorten("The performer of the song died in Los Angeles.", "Where did the performer of the song die?")
    'Los Angeles'
    >>> shorten("No, they are in different countries.", "Are both in Iran?")
    'no'
    """
    answer = final_answer(reply).strip()
    if is_binary(question):
        said = _SAYS.match(answer)
        if said:
            return said[1].lower()
        return "" if not answer else "no" if _DENIES.search(answer) else "yes"
    answer = _SENTENCE_END.split(answer, maxsplit=1)[0].strip(' ".*:')
    words = answer.split()
    if len(words) <= _SHORT and not any(normalise_text(word) in _VERBS for word in words):
        return answer
    asked = set(normalise_text(question).split()) | _LEADING
    start = next((i for i, word in enumerate(words) if set(normalise_text(word).split()) - asked), len(words))
    return " ".join(words[start:]).strip(' ".,*') or answer


def exact_match(answer: str, gold: str) -> float:
    """Returns 1.0 where answer and gold are equal after the usual normalisation, else 0.0.

    >>> exact_match("The Beatles.", "beatles")
    1.0
    """
    return float(normalise_text(answer) == normalise_text(gold))
