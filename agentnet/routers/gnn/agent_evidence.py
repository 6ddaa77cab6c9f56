"""Evidence of ``agent_router``: what of a task its network looked at, and who votes with what weight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from agentnet.graphs.knowledge import KnowledgeGraph
from agentnet.routers.decision import Evidence
from agentnet.routers.gnn.agent_inputs import Attention

SHOWN = 8
"""Most entities and relations that are told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenEntity:
    """An entity of the task and how much it counted."""

    text: str
    label: str
    in_question: bool
    attention: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenRelation:
    """A relation of the task and how much it counted."""

    subject: str
    phrase: str
    object: str
    attention: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Voter:
    """An agent of the star."""

    agent: str
    weight: float
    """Of its vote."""
    score: float
    """Predicted, calibrated."""
    cost: float | None
    """Predicted USD; None unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnowledgeEvidence(Evidence):
    """The voters, and the entities and relations that the best of them attended to."""

    query: str
    voters: tuple[Voter, ...]
    entities: tuple[SeenEntity, ...] = ()
    relations: tuple[SeenRelation, ...] = ()
    note: str = ""

    def lines(self) -> list[str]:
        """Returns the evidence for a person, a line each."""
        lines = [self.note] if self.note else []
        if len(self.voters) > 1:
            lines.append(f"{len(self.voters)} agents answer; equal answers add their weights:")
        for voter in self.voters:
            cost = "cost unknown" if voter.cost is None else f"${voter.cost * 1000:.4f} per 1,000"
            lines.append(
                f"  {voter.agent}: weight {voter.weight:.3f}, predicted score {voter.score:.3f}, {cost}"
            )
        if self.entities:
            lines.append("looked at (attention):")
        for entity in self.entities:
            asked = ", in the question" if entity.in_question else ""
            lines.append(f"  {entity.attention:.2f} {entity.text} ({entity.label}{asked})")
        for tie in self.relations:
            lines.append(f"  {tie.attention:.2f} {tie.subject} -> {tie.phrase} -> {tie.object}")
        return lines or ["nothing was looked at"]

    def to_networkx(self) -> Any:
        """Returns query, entities and agents as a directed graph, for drawing or measuring.

        Nodes carry ``kind``; edges ``kind`` and ``weight``: attention from an entity to the query, the vote's
        weight from the query to an agent, attention of a relation between two entities.
        """
        import networkx as nx

        graph = nx.DiGraph()
        graph.add_node("query", kind="query", label=self.query)
        for entity in self.entities:
            graph.add_node(
                f"entity: {entity.text}", kind="entity", label=entity.text, in_question=entity.in_question
            )
            graph.add_edge(f"entity: {entity.text}", "query", kind="attention", weight=entity.attention)
        for tie in self.relations:
            ends = [f"entity: {name}" for name in (tie.subject, tie.object)]
            for end, name in zip(ends, (tie.subject, tie.object), strict=True):
                if end not in graph:
                    graph.add_node(end, kind="entity", label=name, in_question=False)
            graph.add_edge(*ends, kind="relation", label=tie.phrase, weight=tie.attention)
        for voter in self.voters:
            graph.add_node(f"agent: {voter.agent}", kind="agent", label=voter.agent, score=voter.score)
            graph.add_edge("query", f"agent: {voter.agent}", kind="vote", weight=voter.weight)
        return graph

    def to_svg(self) -> str:
        """Returns entities, query and agents as a self-contained drawing; see `knowledge_svg`."""
        from agentnet.graphs.knowledge.draw import knowledge_svg

        return knowledge_svg(
            self.query,
            [(entity.text, entity.attention, entity.in_question) for entity in self.entities],
            [(tie.subject, tie.phrase, tie.object, tie.attention) for tie in self.relations],
            [(voter.agent, voter.weight, f"score {voter.score:.2f}") for voter in self.voters],
        )


def seen(
    graph: KnowledgeGraph, attention: Attention, agent: int
) -> tuple[tuple[SeenEntity, ...], tuple[SeenRelation, ...]]:
    """Returns what an agent attended to most, of a graph whose attention was asked for.

    Args:
        graph: The task's graph.
        attention: Of all agents.
        agent: Position of the agent.
    """
    entities = attention.entities[agent].cpu().numpy()
    relations = attention.relations[agent].cpu().numpy()
    some = np.argsort(-entities, kind="stable")[:SHOWN]
    ties = np.argsort(-relations, kind="stable")[:SHOWN]
    names = graph.entities
    return (
        tuple(
            SeenEntity(
                text=names[i].text, label=names[i].label, in_question=names[i].in_question,
                attention=round(float(entities[i]), 6),
            )
            for i in some
            if names[i].label != "NONE"
        ),
        tuple(
            SeenRelation(
                subject=names[graph.relations[i].subject].text, phrase=graph.relations[i].phrase,
                object=names[graph.relations[i].object].text, attention=round(float(relations[i]), 6),
            )
            for i in ties
        ),
    )  # fmt: skip
