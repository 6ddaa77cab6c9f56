"""Finds where answers contradict each other, by rules: no model has to notice it.

Compared are the answers' *claims*: a bare value ("8 days", "Rome"), a labelled value ("Fee: 4 euros", "the
capital is Rome"), and a sentence with its numbers and its negation taken out. Two claims of different
answers on the same thing whose values differ are a conflict. Claims that are worded quite differently are
not compared: what is found is a lower bound, and what is found is there to be read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from agentnet.graphs.answers import normalise
from agentnet.graphs.final_answer import final_answer
from agentnet.graphs.normalise import canonical_number

MOST = 8
"""Most conflicts that are told."""
SHOWN = 80
"""Characters of a value that are shown."""
_BARE_WORDS = 3
_VALUE_WORDS = 5
_CLAIMS = 60
_SAME = 0.6
_SENTENCE = re.compile(r"(?<=[.!?;])\s+|\n+")
_LABEL = re.compile(r"^[-*\s]*(?P<topic>[^:=]{2,60}?)\s*[:=]\s*(?P<value>\S.*)$")
_IS = re.compile(r"^[-*\s]*(?P<topic>.{2,80}?)\s+(?:is|are|was|were|equals)\s+(?P<value>\S.*)$", re.I)
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
_WORD = re.compile(r"[^\W\d_]+(?:'[a-z]+)?", re.UNICODE)
_DENYING = "not no never cannot can't don't doesn't isn't aren't won't without neither nor"
_EMPTY = (
    "a an the of to in on at for and or by with from as is are was were be been it its this that these those "
    "you your we our i my they their there here will would can could may might must should do does did has "
    "have had so then than very about"
)
_NEGATIONS, _STOP = frozenset(_DENYING.split()), frozenset(_EMPTY.split())


@dataclass(frozen=True, slots=True)
class Conflict:
    """Different values that several answers give for one thing."""

    about: str
    """What it is about, in the first answer's words; empty where the answers are bare values."""
    values: tuple[tuple[int, str], ...]
    """Position of each answer that says something of it, and what it says."""
    keys: tuple[str, ...]
    """The values as they are compared: equal keys, equal values."""


@dataclass(frozen=True, slots=True)
class _Claim:
    answer: int
    form: str
    topic: frozenset[str]
    about: str
    shown: str
    key: str


def find_conflicts(
    answers: Sequence[str], *, parts: Sequence[str | None] | None = None, kind: str = "default"
) -> tuple[Conflict, ...]:
    """Returns the conflicts between answers, in the order in which they come up.

    Args:
        answers: The answers.
        parts: What each was asked for, where they were asked for different things: bare values of different
            parts are no conflict, nor are a bare number and a bare word, or bare numbers of different units.
        kind: Name of the normaliser by which bare values are compared.

    >>> [c.values for c in find_conflicts(["It takes 5 days.", "Hello. It takes 10 days."])]
    [((0, '5'), (1, '10'))]
    >>> find_conflicts(["Rome", "rome."]), find_conflicts(["12", "Rome"])
    ((), ())
    >>> find_conflicts(["Refunds are possible.", "Refunds are not possible."])[0].about
    'refunds possible'
    """
    groups: list[list[_Claim]] = []
    for at, answer in enumerate(answers):
        part = parts[at] if parts is not None else None
        for claim in _claims(at, answer, part, kind):
            group = next((g for g in groups if _same_topic(g[0], claim)), None)
            if group is None:
                groups.append([claim])
            elif all(other.answer != at for other in group):
                group.append(claim)
    found = [
        Conflict(
            about=group[0].about,
            values=tuple((claim.answer, claim.shown) for claim in group),
            keys=tuple(claim.key for claim in group),
        )
        for group in groups
        if len({claim.key for claim in group}) > 1
    ]
    return tuple(found[:MOST])


def shows(text: str, conflict: Conflict, names: Sequence[str]) -> bool:
    """Returns whether a text tells of a conflict: it holds two different values, or names who gives them.

    Args:
        text: The merged answer.
        conflict: The conflict.
        names: The answers' authors by position.

    >>> [found] = find_conflicts(["5", "10"])
    >>> shows("5, or 10 abroad", found, ["a", "b"]), shows("It takes 10.", found, ["a", "b"])
    (True, False)
    """
    values = {key for (_, said), key in zip(conflict.values, conflict.keys, strict=True) if holds(text, said)}
    who = {
        key
        for (at, _), key in zip(conflict.values, conflict.keys, strict=True)
        if len(names[at]) > 1 and holds(text, names[at])
    }
    return len(values) > 1 or len(who) > 1


def told(conflict: Conflict, names: Sequence[str]) -> str:
    """Returns a conflict in one line; agents that say the same stand together.

    >>> [found] = find_conflicts(["Fee: 4", "Fee: 5", "Fee: 5"])
    >>> told(found, ["cards", "tariffs", "desk"])
    'fee: cards says 4; tariffs, desk say 5'
    """
    by_key: dict[str, tuple[list[str], str]] = {}
    for (at, said), key in zip(conflict.values, conflict.keys, strict=True):
        by_key.setdefault(key, ([], said))[0].append(names[at])
    sides = [f"{', '.join(who)} {'say' if len(who) > 1 else 'says'} {said}" for who, said in by_key.values()]
    return f"{conflict.about}: {'; '.join(sides)}" if conflict.about else "; ".join(sides)


def _claims(at: int, answer: str, part: str | None, kind: str) -> Iterator[_Claim]:
    value = _bare(answer)
    if value:
        form = "number" if _NUMBER.search(value) else "word"
        units = _words(value) if form == "number" else []
        topic = frozenset((part or "", *(unit.rstrip("s") for unit in units)))
        yield _Claim(at, f"bare {form}", topic, "", _cut(value), normalise(value, kind) or value.lower())
        return
    sentences = [text.strip() for text in _SENTENCE.split(answer) if text.strip()]
    for sentence in sentences[:_CLAIMS]:
        claim = _labelled(at, sentence, kind) or _sentence(at, sentence)
        if claim is not None:
            yield claim


def _bare(answer: str) -> str:
    """The answer where it is a value and nothing else, or marked as the final one ("Answer: 8")."""
    plain, marked = answer.strip(), final_answer(answer)
    if marked != plain:
        return marked if len(marked.split()) <= _BARE_WORDS + _VALUE_WORDS else ""
    short = len(plain.split()) <= _BARE_WORDS
    return plain if short and not (_LABEL.match(plain) or _IS.match(plain)) else ""


def _labelled(at: int, sentence: str, kind: str) -> _Claim | None:
    found = _LABEL.match(sentence) or _IS.match(sentence)
    if found is None:
        return None
    value = found["value"].strip().rstrip(".!;")
    topic = _content(_words(found["topic"]))
    if not topic or not value or len(value.split()) > _VALUE_WORDS:
        return None
    if _NEGATIONS & set(_words(value)) or _is_adjective(value):
        return None
    key = normalise(value, kind) or value.lower()
    return _Claim(at, "labelled", frozenset(topic), " ".join(topic), _cut(value), key)


def _is_adjective(value: str) -> bool:
    """Whether a value is one lower-case word: "is possible" is better compared as a sentence."""
    return value.isalpha() and value.islower()


def _sentence(at: int, sentence: str) -> _Claim | None:
    words = _words(sentence)
    topic = _content(words)
    if len(topic) < 2:
        return None
    numbers = [canonical_number(number.replace(",", "")) for number in _NUMBER.findall(sentence)]
    denied = sum(word in _NEGATIONS for word in words) % 2
    shown = ", ".join(_NUMBER.findall(sentence)) if numbers and not denied else sentence
    key = f"{'not ' if denied else ''}{' '.join(numbers)}"
    form = f"sentence with {len(numbers)} numbers"
    return _Claim(at, form, frozenset(topic), " ".join(topic[:6]), _cut(shown), key)


def _same_topic(one: _Claim, other: _Claim) -> bool:
    if one.form != other.form:
        return False
    if not one.form.startswith("sentence"):
        return one.topic == other.topic
    common = len(one.topic & other.topic)
    return common >= 2 and common >= _SAME * len(one.topic | other.topic)


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text.replace("\u2019", "'"))]


def _content(words: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(word for word in words if word not in _STOP and word not in _NEGATIONS))


def _cut(text: str) -> str:
    line = " ".join(text.split()).rstrip(".;")
    return line if len(line) <= SHOWN else f"{line[: SHOWN - 3]}..."


def holds(text: str, piece: str) -> bool:
    """Returns whether a piece stands in a text as whole words, upper and lower case alike."""
    return re.search(rf"(?<![\w.]){re.escape(piece)}(?!\w|\.\d)", text, re.IGNORECASE) is not None
