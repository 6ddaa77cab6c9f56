"""Knowledge graphs with their vectors: tables of many, cut into batches for a network."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agentnet.graphs.knowledge import GraphArrays, GraphCache, KnowledgeGraph
from agentnet.graphs.knowledge.cache import task_key
from agentnet.graphs.task import Task

Detail = Literal["full", "no_relations", "query_agent", "none"]
"""What of the graph is used: all, all but relations, query and agents, or no graph."""
LINKED = 3
"""Entities nearest to a query that it is linked to where it names none."""
_KEPT = 4096

NODE_TYPES = ("query", "entity", "relation", "agent")
EDGE_TYPES = (
    ("query", "mentions", "entity"),
    ("entity", "mentioned_by", "query"),
    ("query", "asks", "agent"),
    ("agent", "asked_by", "query"),
    ("entity", "subject_of", "relation"),
    ("relation", "has_subject", "entity"),
    ("relation", "has_object", "entity"),
    ("entity", "object_of", "relation"),
    ("entity", "near", "entity"),
)
"""Fixed, whatever a batch holds, so that one network fits all."""


@dataclass(frozen=True, slots=True, eq=False)
class KnowledgeBatch:
    """B graphs on a device. N entities, M relations, P pairs, U different texts.

    Attributes:
        query: [B, d] the tasks' encodings.
        texts: [U, d] vectors of the different texts of entities and relations.
        entity_text: [N] rows of ``texts``.
        entity_graph: [N] the graph of each entity.
        asked: [N] 1 where the question names the entity, else 0.
        linked: [L] entities that the query node is tied to.
        relation_text: [M] rows of ``texts``.
        relation_graph: [M] the graph of each relation.
        subject: [M] entity that a relation comes from.
        target: [M] entity that it goes to.
        near: [2, P] entities of one sentence.
        near_weight: [P].
        slots: [B, S] each graph's entities, then its relations counted on from N; N + M where there is none.
    """

    query: Tensor
    texts: Tensor
    entity_text: Tensor
    entity_graph: Tensor
    asked: Tensor
    linked: Tensor
    relation_text: Tensor
    relation_graph: Tensor
    subject: Tensor
    target: Tensor
    near: Tensor
    near_weight: Tensor
    slots: Tensor

    def __len__(self) -> int:
        return len(self.query)

    def hetero(self, agents: Tensor) -> Any:
        """Returns the batch as a PyG ``HeteroData`` with every type of node and edge, agents included.

        Args:
            agents: [A, d] features of the agents, which are nodes of each graph.
        """
        from torch_geometric.data import HeteroData

        data, count = HeteroData(), len(agents)
        device = self.query.device
        data["query"].x = self.query
        data["entity"].x = self.texts[self.entity_text]
        data["relation"].x = self.texts[self.relation_text]
        data["agent"].x = agents.repeat(len(self), 1)
        data["query"].batch = torch.arange(len(self), device=device)
        data["entity"].batch, data["relation"].batch = self.entity_graph, self.relation_graph
        data["agent"].batch = data["query"].batch.repeat_interleave(count)
        for kind, edges in zip(EDGE_TYPES, self._edges(count), strict=True):
            data[kind].edge_index = torch.stack(edges)
        return data

    def _edges(self, agents: int) -> list[tuple[Tensor, Tensor]]:
        device = self.query.device
        owner = self.entity_graph[self.linked]
        asker = torch.arange(len(self), device=device).repeat_interleave(agents)
        agent = torch.arange(len(self) * agents, device=device)
        relation = torch.arange(len(self.relation_text), device=device)
        a, b = self.near
        return [
            (owner, self.linked), (self.linked, owner), (asker, agent), (agent, asker),
            (self.subject, relation), (relation, self.subject),
            (relation, self.target), (self.target, relation),
            (torch.cat((a, b)), torch.cat((b, a))),
        ]  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class KnowledgeTable:
    """n graphs with the vectors of their queries and texts.

    Attributes:
        arrays: The graphs.
        query: [n, d].
        texts: [U, d] vectors of ``arrays.texts``.
        linked: [N] bool, entities that the query node is tied to.
    """

    arrays: GraphArrays
    query: NDArray[np.float32]
    texts: NDArray[np.float32]
    linked: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.query)

    @classmethod
    def of(
        cls, arrays: GraphArrays, query: NDArray[np.float32], texts: NDArray[np.float32]
    ) -> KnowledgeTable:
        """Ties every query to the entities it names, or to the three nearest by cosine."""
        return cls(arrays, query, texts, _linked(arrays, query, texts))

    def take(self, rows: NDArray[Any]) -> KnowledgeTable:
        """Returns some of the graphs, in this order."""
        linked = self.linked[_entities(self.arrays, rows)]
        return KnowledgeTable(self.arrays.take(rows), self.query[rows], self.texts, linked)

    def batch(self, rows: NDArray[Any] | None = None, device: str = "cpu") -> KnowledgeBatch:
        """Returns some of the graphs, or all, on a device."""
        if rows is not None:
            return self.take(rows).batch(None, device)
        arrays, query, linked = self.arrays, self.query, self.linked
        used, at = np.unique(np.concatenate((arrays.entity_text, arrays.relation_text)), return_inverse=True)
        entities = len(arrays.entity_text)

        def put(values: NDArray[Any]) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(values)).to(device)

        return KnowledgeBatch(
            query=put(query),
            texts=put(self.texts[used]),
            entity_text=put(at[:entities]),
            entity_graph=put(arrays.entity_graph),
            asked=put(arrays.in_question.astype(np.int64)),
            linked=put(np.flatnonzero(linked)),
            relation_text=put(at[entities:]),
            relation_graph=put(arrays.relation_graph),
            subject=put(arrays.subject),
            target=put(arrays.target),
            near=put(arrays.near),
            near_weight=put(arrays.near_weight),
            slots=put(_slots(arrays)),
        )


def _entities(arrays: GraphArrays, rows: NDArray[Any]) -> NDArray[np.int64]:
    ptr = arrays.entity_ptr
    return np.concatenate([np.arange(ptr[r], ptr[r + 1]) for r in rows.tolist()] or [np.zeros(0, np.int64)])


def _linked(arrays: GraphArrays, query: NDArray[np.float32], texts: NDArray[np.float32]) -> NDArray[np.bool_]:
    graph = arrays.entity_graph
    linked = arrays.in_question.copy()
    names_some = np.zeros(len(arrays), bool)
    names_some[graph[linked]] = True
    open_ = np.flatnonzero(~names_some[graph])
    if not open_.size:
        return linked
    cosine = np.einsum("nd,nd->n", texts[arrays.entity_text[open_]], query[graph[open_]])
    order = np.lexsort((-cosine, graph[open_]))
    group = graph[open_][order]
    first = np.searchsorted(group, group)  # where each one's graph begins
    linked[open_[order[np.arange(len(order)) - first < LINKED]]] = True
    return linked


def _slots(arrays: GraphArrays) -> NDArray[np.int64]:
    """[n, S] each graph's entities and relations side by side, for attention over both."""
    entities, relations = np.diff(arrays.entity_ptr), np.diff(arrays.relation_ptr)
    n, total = len(arrays), len(arrays.entity_text) + len(arrays.relation_text)
    slots = np.full((n, int((entities + relations).max(initial=1))), total, np.int64)
    row = arrays.entity_graph
    at = np.arange(len(row)) - arrays.entity_ptr[row]
    slots[row, at] = np.arange(len(row))
    row = arrays.relation_graph
    at = np.arange(len(row)) - arrays.relation_ptr[row] + entities[row]
    slots[row, at] = np.arange(len(row)) + len(arrays.entity_text)
    return slots


class KnowledgeSource:
    """Makes tables of tasks: reads their graphs and encodes what the graphs name.

    Graphs are cached by content; of the latest few thousand tasks also the encoded table, for routing one
    task at a time.
    """

    def __init__(
        self,
        graphs: GraphCache,
        encode: Callable[[Sequence[str]], NDArray[np.float32]],
        *,
        detail: Detail = "full",
        typed: bool = False,
    ) -> None:
        """Makes a source.

        Args:
            graphs: Reads and remembers graphs.
            encode: Texts to unit vectors.
            detail: What of the graphs is used.
            typed: Whether an entity's text names its kind.
        """
        self._graphs, self._encode, self._detail, self._typed = graphs, encode, detail, typed
        self._tables: OrderedDict[bytes, KnowledgeTable] = OrderedDict()

    def graphs(self, tasks: Sequence[Task]) -> list[KnowledgeGraph]:
        """Returns the graphs of the tasks, as far as they are used."""
        if self._detail in ("query_agent", "none"):
            return [KnowledgeGraph(task.text) for task in tasks]
        return self._graphs.extract(tasks)

    def table(self, tasks: Sequence[Task], query: NDArray[np.float32]) -> KnowledgeTable:
        """Returns the table of these tasks.

        Args:
            tasks: n tasks.
            query: [n, d] their encodings.
        """
        if len(tasks) != 1:
            return self._table(tasks, query)
        key = task_key(tasks[0])
        found = self._tables.get(key)
        if found is None or not np.array_equal(found.query, query):
            found = self._table(tasks, query)
            self._tables[key] = found
            while len(self._tables) > _KEPT:
                self._tables.popitem(last=False)
        return found

    def _table(self, tasks: Sequence[Task], query: NDArray[np.float32]) -> KnowledgeTable:
        arrays = GraphArrays.of(self.graphs(tasks), typed=self._typed)
        if self._detail == "no_relations":
            arrays = arrays.without_relations()
        if self._detail in ("query_agent", "none"):
            texts = np.zeros((len(arrays.texts), query.shape[1]), np.float32)
        else:
            texts = self._encode(arrays.texts)
        return KnowledgeTable.of(arrays, query, texts)
