"""`KnowledgeGraph`: what one task talks about, as nodes and edges; inert data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from agentnet.errors import DataError

MOST_ENTITIES = 64
"""Entities kept of a task, by order of appearance."""
MOST_RELATIONS = 64
"""Relations kept of a task, by order of appearance."""


class Entity(NamedTuple):
    """Something that is named: a person, a work, a place, a date, a number."""

    text: str
    label: str
    """Its kind: ``NAME``, ``TITLE``, ``WORK``, ``DATE``, ``NUMBER``, or a label of the extractor's own."""
    in_question: bool = False
    """Whether the question names it, and not only the context."""


class Relation(NamedTuple):
    """A phrase that ties two entities of one sentence: a node of its own between them.

    Materialised, so that the vocabulary of relations does not multiply the types of edges.
    """

    phrase: str
    subject: int
    """Position of the entity it comes from."""
    object: int
    """Position of the entity it goes to."""


class Near(NamedTuple):
    """Two entities of one sentence."""

    a: int
    b: int
    distance: int
    """Tokens between them."""

    @property
    def weight(self) -> float:
        """1 / (1 + distance / 10)."""
        return 1 / (1 + self.distance / 10)


NO_ENTITY = Entity("[NONE]", "NONE", False)
"""Stands in a graph without any entity, so that every type of node is always there."""


@dataclass(frozen=True, slots=True)
class KnowledgeGraph:
    """Entities and relations of a question and its context; nothing else of a task is ever looked at.

    >>> entities = (Entity("Lorna", "NAME", True), Entity("Russ Meyer", "NAME"))
    >>> graph = KnowledgeGraph("Who directed Lorna?", entities, (Relation("direct by", 0, 1),))
    >>> graph.triples
    (('Lorna', 'direct by', 'Russ Meyer'),)
    >>> KnowledgeGraph("why?").entities
    (Entity(text='[NONE]', label='NONE', in_question=False),)
    """

    query: str
    entities: tuple[Entity, ...] = (NO_ENTITY,)
    relations: tuple[Relation, ...] = ()
    near: tuple[Near, ...] = ()

    def __post_init__(self) -> None:
        if not self.entities:
            object.__setattr__(self, "entities", (NO_ENTITY,))
        ends = [end for relation in self.relations for end in relation[1:]]
        ends += [end for pair in self.near for end in pair[:2]]
        if ends and not (min(ends) >= 0 and max(ends) < len(self.entities)):
            raise DataError("a relation or pair of a knowledge graph names an entity that is not in it.")

    @property
    def triples(self) -> tuple[tuple[str, str, str], ...]:
        """Subject, phrase and object of every relation, in words."""
        names = self.entities
        return tuple((names[r.subject].text, r.phrase, names[r.object].text) for r in self.relations)

    @property
    def mentioned(self) -> tuple[int, ...]:
        """Positions of the entities that the question names."""
        return tuple(i for i, entity in enumerate(self.entities) if entity.in_question)

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values; the inverse of `from_dict`."""
        return {
            "query": self.query,
            "entities": [list(entity) for entity in self.entities],
            "relations": [list(relation) for relation in self.relations],
            "near": [list(pair) for pair in self.near],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> KnowledgeGraph:
        """Builds a graph from JSON values.

        Raises:
            DataError: they are not a knowledge graph's.
        """
        try:
            return cls(
                str(data["query"]),
                tuple(Entity(str(text), str(label), bool(asked)) for text, label, asked in data["entities"]),
                tuple(Relation(str(phrase), int(a), int(b)) for phrase, a, b in data["relations"]),
                tuple(Near(int(a), int(b), int(distance)) for a, b, distance in data["near"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"this is not a knowledge graph's JSON: {error!r}.") from None

    def to_json(self) -> str:
        """Returns the graph as JSON text."""
        return json.dumps(self.to_dict(), ensure_ascii=False)
