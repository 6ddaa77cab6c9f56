"""`Collector`: merges mentions into entities while a task is read, and keeps to the caps."""

from __future__ import annotations

import re

from agentnet.graphs.knowledge.graph import (
    MOST_ENTITIES,
    MOST_RELATIONS,
    Entity,
    KnowledgeGraph,
    Near,
    Relation,
)

NEAREST = 3
"""Entities after each one in its sentence to which it is tied by nearness."""
FARTHEST = 30
"""Most tokens between two entities that are tied by nearness."""
LONGEST = 100
"""Characters kept of an entity's text."""

_TAIL = re.compile(r"\s*\([^()]*\)\s*$")
_OWNER = re.compile(r"['’]s?$")
_WORD = re.compile(r"[^\W_]+")
_EDGES = " \t\n.,;:!?\"'“”‘’()[]"
_ARTICLES = ("the ", "a ", "an ")


def entity_key(text: str) -> str:
    """Returns what two mentions of one entity share.

    Lower case, without article, possessive, and the part in brackets that tells titles apart.

    >>> entity_key("The Birds (film)"), entity_key("Russ  Meyer's")
    ('birds', 'russ meyer')
    """
    key = " ".join(_TAIL.sub("", text).casefold().strip(_EDGES).split())
    key = _OWNER.sub("", key)
    for article in _ARTICLES:
        if key.startswith(article) and len(key) > len(article):
            return key[len(article) :]
    return key


class Collector:
    """Collects entities, relations and pairs of one task in order of appearance."""

    def __init__(self, query: str) -> None:
        """Starts with nothing; ``query`` is the task's question."""
        self._query = query
        self._entities: list[tuple[str, str, bool]] = []
        self._where: dict[str, int] = {}
        self._names: dict[str, int] = {}
        self._relations: dict[Relation, None] = {}
        self._near: dict[tuple[int, int], int] = {}

    @property
    def full(self) -> bool:
        """Whether neither an entity nor a relation can enter any more."""
        return len(self._entities) >= MOST_ENTITIES and len(self._relations) >= MOST_RELATIONS

    def entity(self, text: str, label: str, *, in_question: bool = False) -> int | None:
        """Returns the position of the entity that is mentioned; None where it does not fit any more.

        A single word that ends the name of an earlier entity of several words is taken for that entity
        (a surname).
        """
        key = entity_key(text)
        if not key:
            return None
        at = self._where.get(key)
        if at is None and " " not in key and label in ("NAME", "PERSON"):
            at = self._names.get(key)
        if at is None:
            if len(self._entities) >= MOST_ENTITIES:
                return None
            at = len(self._entities)
            self._where[key] = at
            self._entities.append((" ".join(text.split())[:LONGEST], label, in_question))
            if " " in key and label in ("NAME", "TITLE", "PERSON"):
                self._names.setdefault(key.rsplit(" ", 1)[1], at)
        return at

    def relation(self, subject: int, phrase: str, target: int) -> None:
        """Adds a relation between two entities, unless it is there or the cap is reached."""
        if phrase and subject != target and len(self._relations) < MOST_RELATIONS:
            self._relations.setdefault(Relation(phrase, subject, target))

    def sentence(self, mentions: list[tuple[int, int, int]]) -> None:
        """Ties the entities of a sentence by nearness.

        Args:
            mentions: Entity, first token, token after the last; in the order of the sentence.
        """
        for i, (a, _, end) in enumerate(mentions):
            for b, start, _ in mentions[i + 1 : i + 1 + NEAREST]:
                distance = max(start - end, 0)
                if a != b and distance <= FARTHEST:
                    key = (min(a, b), max(a, b))
                    self._near[key] = min(distance, self._near.get(key, distance))

    def graph(self) -> KnowledgeGraph:
        """Returns what was collected; entities that the question names are marked."""
        asked = _padded(self._query.casefold())
        keys = {at: key for key, at in self._where.items()}
        entities = tuple(
            Entity(text, label, there or _padded(keys[i]) in asked)
            for i, (text, label, there) in enumerate(self._entities)
        )
        near = tuple(Near(a, b, distance) for (a, b), distance in self._near.items())
        return KnowledgeGraph(self._query, entities, tuple(self._relations), near)


def _padded(text: str) -> str:
    """The words of a text with a space around each, so that whole words can be looked for."""
    return f" {' '.join(_WORD.findall(text))} "
