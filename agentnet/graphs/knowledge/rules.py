"""`RuleExtractor`: entities by their spelling, relations by the words between; no model, no dictionary."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from agentnet.graphs.knowledge.collector import Collector
from agentnet.graphs.knowledge.graph import KnowledgeGraph
from agentnet.graphs.knowledge.passages import passages
from agentnet.graphs.knowledge.phrases import phrase_of, words
from agentnet.graphs.task import Task

_TOKEN = re.compile(r"\d+(?:[.,:/]\d+)*%?|[^\W_]+(?:['’&.-][^\W_]+)*|\S|\n")
_MONTHS = words("January February March April May June July August September October November December")
_YEAR = re.compile(r"1\d{3}|20\d{2}")
_JOINS = words("of de del della di da du des la le van von der den al bin ibn y & the")
_QUOTES = {'"': '"', "“": "”", "«": "»"}
_SIGNS = frozenset("$€£¥")
_LONGEST_QUOTE, _LONGEST_NAME = 12, 10
_SHORT = words("mr mrs ms dr st jr sr prof gen col lt vs no vol ca inc ltd co")
_PRONOUNS = words("he she it they his her its their")
_PLAIN = words(
    "a an the this that these those he she it they we you i his her its their our your my him them "
    "what who whom whose which where when why how is are was were am be been being do does did has have had "
    "can could will would shall should may might must in on at by for from to with into about against of "
    "between during before after under over through near as if then than and or but nor so yet not no yes "
    "both either neither there here let given find determine consider suppose assume choose select answer "
    "question write name list show prove solve calculate compute please however although while since because "
    "also some any all each every most many few several two three four five six seven eight nine ten one "
    "next just though later once finally therefore moreover furthermore additionally during despite whether "
    "according following based only first second third true false which's what's who's it's"
)

Span = tuple[str, str, int, int]
"""Text, label, first token, token after the last."""


class RuleExtractor:
    """Finds names, works in quotes, dates, numbers and titles of passages, and what ties them.

    A name is a run of capitalised words ("Bank of England"); the first word of a sentence counts only where
    it does not also stand in lower case. A relation is the words between two neighbours of one sentence,
    where a verb or preposition is among them. A pronoun that begins a sentence stands for the title of its
    passage.

    >>> graph = RuleExtractor().extract([Task("Who directed the film Lorna?",
    ...     context='[{"title": "Lorna (film)", "text": "Lorna is directed by Russ Meyer in 1964."}]')])[0]
    >>> [entity.text for entity in graph.entities], graph.triples[0]
    (['Lorna', 'Russ Meyer', '1964'], ('Lorna', 'be direct by', 'Russ Meyer'))
    """

    name = "rules"
    """Names the extractor and its settings; graphs are cached under it."""

    def extract(self, tasks: Sequence[Task]) -> list[KnowledgeGraph]:
        """Returns the graph of each task, from its text and context only."""
        return [self._one(task) for task in tasks]

    def _one(self, task: Task) -> KnowledgeGraph:
        found = Collector(task.text)
        _read(task.text, found, title=None, in_question=True)
        for passage in passages(task.context):
            if found.full:
                break
            title = found.entity(passage.title, "TITLE") if passage.title.strip() else None
            _read(passage.text, found, title=title, in_question=False)
        return found.graph()


def _read(text: str, found: Collector, *, title: int | None, in_question: bool) -> None:
    """Adds what a text names; ``title`` is the entity that a pronoun stands for."""
    tokens = _TOKEN.findall(text)
    lower = {token for token in tokens if token.islower()}
    for start, end in _sentences(tokens):
        mentions: list[tuple[int, int, int]] = []
        if title is not None and tokens[start].lower() in _PRONOUNS:
            mentions.append((title, start, start + 1))
        for name, label, first, after in _spans(tokens, start, end, lower):
            at = found.entity(name, label, in_question=in_question)
            if at is not None:
                mentions.append((at, first, after))
        for (a, _, after), (b, first, _) in pairwise(mentions):
            found.relation(a, phrase_of(tokens[after:first]), b)
        found.sentence(mentions)
        if found.full:
            return


def _sentences(tokens: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yields first token and token after the last of each sentence."""
    start, last = 0, len(tokens) - 1
    for i, token in enumerate(tokens):
        if token in ".!?" or token[0] == "\n":
            before = tokens[i - 1] if i else ""
            short = token == "." and (len(before) == 1 or before.lower() in _SHORT)
            goes_on = i < last and tokens[i + 1][0].islower()
            if not short and not goes_on:
                if i > start:
                    yield start, i
                start = i + 1
    if start <= last:
        yield start, last + 1


def _spans(tokens: Sequence[str], start: int, end: int, lower: set[str]) -> Iterator[Span]:
    i = start
    while i < end:
        token = tokens[i]
        first = token[0]
        span = None
        if first.isdigit():
            span = _number(tokens, i, start, end)
        elif token in _MONTHS:
            span = _date(tokens, i, end)
        if span is None and first.isupper():
            span = _name(tokens, i, start, end, lower)
        elif span is None and token in _QUOTES:
            span = _quoted(tokens, i, end)
        if span is None:
            i += 1
            continue
        if span[0]:
            yield span
        i = span[3]


def _number(tokens: Sequence[str], i: int, start: int, end: int) -> Span:
    token = tokens[i]
    if i + 1 < end and tokens[i + 1] in _MONTHS and len(token) <= 2:
        date = _date(tokens, i + 1, end)
        if date is not None:
            return (f"{token} {date[0]}", "DATE", i, date[3])
        return (f"{token} {tokens[i + 1]}", "DATE", i, i + 2)
    if _YEAR.fullmatch(token):
        return (token, "DATE", i, i + 1)
    sign = tokens[i - 1] if i > start and tokens[i - 1] in _SIGNS else ""
    return (sign + token, "NUMBER", i, i + 1)


def _date(tokens: Sequence[str], i: int, end: int) -> Span | None:
    """A month with its day and year; None where it stands alone (May may be a verb)."""
    parts, at = [tokens[i]], i + 1
    if at < end and tokens[at].isdigit() and len(tokens[at]) <= 2:
        parts.append(tokens[at])
        at += 1
    year = at + 1 if at + 1 < end and tokens[at] == "," else at
    if year < end and _YEAR.fullmatch(tokens[year]):
        parts.append(tokens[year])
        at = year + 1
    return (" ".join(parts), "DATE", i, at) if len(parts) > 1 else None


def _quoted(tokens: Sequence[str], i: int, end: int) -> Span | None:
    close = _QUOTES[tokens[i]]
    for j in range(i + 2, min(end, i + 2 + _LONGEST_QUOTE)):
        if tokens[j] == close:
            text = " ".join(tokens[i + 1 : j])
            # What does not begin like a title is speech, or a closing mark taken for an opening one.
            return (text, "WORK", i, j + 1) if text[0].isupper() or text[0].isdigit() else None
    return None


def _name(tokens: Sequence[str], i: int, start: int, end: int, lower: set[str]) -> Span | None:
    first = i
    if i == start and len(tokens[i]) == 1 and i + 1 < end and tokens[i + 1] in ".)":
        return ("", "", first, i + 2)  # "B." before an option
    while i < end and tokens[i].lower() in _PLAIN and tokens[i] not in ("US", "IT", "WHO"):
        # "The", "In", "What": never part of a name at its front.
        i += 1
        if i >= end or not tokens[i][0].isupper():
            return ("", "", first, i)
    at = i + 1
    while at < end and at - i < _LONGEST_NAME:
        step = _step(tokens, at, end)
        if not step:
            break
        at += step
    text = " ".join(tokens[i:at]).replace(" .", ".")
    lone = at == i + 1
    if lone and len(text) > 2 and text[-2] in "'’" and text[-1] == "s":
        text = text[:-2]
    if lone and (len(text) < 2 or (i == start and text.lower() in lower)):
        return ("", "", first, at)
    return (text, "NAME", i, at)


def _step(tokens: Sequence[str], at: int, end: int) -> int:
    """Tokens by which a name goes on at ``at``; 0 where it ends."""
    token = tokens[at]
    if token[0].isupper():
        return 1
    if token == "." and len(tokens[at - 1]) == 1 and at + 1 < end and tokens[at + 1][0].isupper():
        return 0 if tokens[at + 1].lower() in _PLAIN else 2  # an initial
    if token in _JOINS:
        for skip in (1, 2):
            if at + skip < end and tokens[at + skip][0].isupper():
                return skip + 1
            if at + skip >= end or tokens[at + skip] not in _JOINS:
                return 0
    return 1 if token.isdigit() and len(token) <= 2 else 0
