"""`TopologyEvidence`: why a graph of the router ``topology`` is as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from agentnet.graphs.task_graph import TaskGraph
from agentnet.routers.decision import Evidence

_SHOWN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class TopologyEvidence(Evidence):
    """The topology of a decision, and where it comes from."""

    method: str
    note: str
    agents: tuple[str, ...]
    edges: tuple[tuple[str, str, float], ...] = ()
    """Source, target, and the probability that was learned; 1 where nothing was."""

    def lines(self) -> list[str]:
        """Returns the topology for a person."""
        links = [f"  {a} -> {b}" + ("" if p == 1 else f"  {p:.2f}") for a, b, p in self.edges[:_SHOWN]]
        more = len(self.edges) - len(links)
        head = [
            f"{self.method}: {self.note}",
            f"agents: {', '.join(self.agents)}",
            f"edges: {len(self.edges)}",
        ]
        return [*head, *links, *([f"  ... and {more} more"] if more > 0 else [])]

    @classmethod
    def of(cls, method: str, note: str, graph: TaskGraph) -> Self:
        """Reads agents and edges from a graph."""
        names = {node.id: node.agent for node in graph.nodes}
        edges = tuple((names[e.source], names[e.target], e.weight) for e in graph.spatial)
        return cls(method=method, note=note, agents=graph.agents, edges=edges)
