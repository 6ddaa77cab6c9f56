"""`GraphArrays`: many knowledge graphs as flat arrays, from which a batch is cut in one go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.graphs.knowledge.graph import KnowledgeGraph

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GraphArrays:
    """n graphs, one after another; ends of edges are positions in the flat arrays.

    Attributes:
        texts: The different texts of entities and relations: recurring ones are encoded once.
        entity_ptr: [n + 1] where each graph's entities begin.
        entity_text: [N] positions in ``texts``.
        in_question: [N] whether the question names the entity.
        relation_ptr: [n + 1] where each graph's relations begin.
        relation_text: [M] positions in ``texts``.
        subject: [M] entity that the relation comes from.
        target: [M] entity that it goes to.
        near_ptr: [n + 1] where each graph's pairs begin.
        near: [2, P] entities of one sentence.
        near_weight: [P] float32, 1 / (1 + distance / 10).
    """

    texts: tuple[str, ...]
    entity_ptr: Ints
    entity_text: Ints
    in_question: NDArray[np.bool_]
    relation_ptr: Ints
    relation_text: Ints
    subject: Ints
    target: Ints
    near_ptr: Ints
    near: Ints
    near_weight: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.entity_ptr) - 1

    @property
    def entity_graph(self) -> Ints:
        """[N] the graph of each entity."""
        return np.repeat(np.arange(len(self)), np.diff(self.entity_ptr))

    @property
    def relation_graph(self) -> Ints:
        """[M] the graph of each relation."""
        return np.repeat(np.arange(len(self)), np.diff(self.relation_ptr))

    @classmethod
    def of(cls, graphs: Sequence[KnowledgeGraph], *, typed: bool = False) -> GraphArrays:
        """Lays graphs out as arrays.

        Args:
            graphs: n graphs.
            typed: Whether an entity's text names its kind, as in "Rome [SEP] type: GPE".

        >>> from agentnet.graphs.knowledge.graph import Entity
        >>> arrays = GraphArrays.of([KnowledgeGraph("a"), KnowledgeGraph("b", (Entity("Rome", "GPE"),))])
        >>> arrays.texts, arrays.take(np.array([1])).entity_text.tolist()
        (('[NONE]', 'Rome'), [1])
        """
        where: dict[str, int] = {}
        entity_text: list[int] = []
        asked: list[bool] = []
        relation_text: list[int] = []
        ends: list[tuple[int, int]] = []
        near: list[tuple[int, int]] = []
        weights: list[float] = []
        ptr = np.zeros((3, len(graphs) + 1), np.int64)
        for i, graph in enumerate(graphs):
            start = len(entity_text)
            for text, label, there in graph.entities:
                full = f"{text} [SEP] type: {label}" if typed else text
                entity_text.append(where.setdefault(full, len(where)))
                asked.append(there)
            for phrase, a, b in graph.relations:
                relation_text.append(where.setdefault(phrase, len(where)))
                ends.append((start + a, start + b))
            for pair in graph.near:
                near.append((start + pair.a, start + pair.b))
                weights.append(pair.weight)
            ptr[:, i + 1] = len(entity_text), len(relation_text), len(near)
        both = np.array(ends, np.int64).reshape(-1, 2)
        return cls(
            texts=tuple(where),
            entity_ptr=ptr[0],
            entity_text=np.array(entity_text, np.int64),
            in_question=np.array(asked, bool),
            relation_ptr=ptr[1],
            relation_text=np.array(relation_text, np.int64),
            subject=both[:, 0],
            target=both[:, 1],
            near_ptr=ptr[2],
            near=np.ascontiguousarray(np.array(near, np.int64).reshape(-1, 2).T),
            near_weight=np.array(weights, np.float32),
        )

    def take(self, rows: NDArray[Any]) -> GraphArrays:
        """Returns some of the graphs, in this order; ``texts`` stays as it is."""
        entities, entity_ptr = _ranges(self.entity_ptr, rows)
        relations, relation_ptr = _ranges(self.relation_ptr, rows)
        pairs, near_ptr = _ranges(self.near_ptr, rows)
        # From old to new position: by how much each graph's entities have moved.
        shift = entity_ptr[:-1] - self.entity_ptr[rows]
        by_relation = np.repeat(shift, np.diff(relation_ptr))
        return GraphArrays(
            texts=self.texts,
            entity_ptr=entity_ptr,
            entity_text=self.entity_text[entities],
            in_question=self.in_question[entities],
            relation_ptr=relation_ptr,
            relation_text=self.relation_text[relations],
            subject=self.subject[relations] + by_relation,
            target=self.target[relations] + by_relation,
            near_ptr=near_ptr,
            near=self.near[:, pairs] + np.repeat(shift, np.diff(near_ptr)),
            near_weight=self.near_weight[pairs],
        )

    def without_relations(self) -> GraphArrays:
        """Returns the graphs with their entities and pairs only."""
        none = np.zeros(0, np.int64)
        return replace(
            self,
            relation_ptr=np.zeros(len(self) + 1, np.int64),
            relation_text=none,
            subject=none,
            target=none,
        )


def _ranges(ptr: Ints, rows: NDArray[Any]) -> tuple[Ints, Ints]:
    """Positions of the items of these rows, and where each row's begin among them."""
    counts = ptr[rows + 1] - ptr[rows]
    new = np.concatenate((np.zeros(1, np.int64), np.cumsum(counts)))
    return np.arange(new[-1]) + np.repeat(ptr[rows] - new[:-1], counts), new
