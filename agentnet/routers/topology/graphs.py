"""`Graphs`: thousands of task graphs over one pool as arrays, and the way to `TaskGraph` and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from agentnet.errors import GraphError, InvalidInput
from agentnet.graphs.pool import Pool
from agentnet.graphs.task_graph import Aggregation, AggregationKind, Edge, Node, StopCondition, TaskGraph

Join = Literal["sinks", "all"]
"""Whose answers the decision reads: those that no other agent reads, or those of all kept agents."""

STOP = StopCondition("agreement", threshold=0.6, min_answers=2)
"""Where agents work unseen by each other, an edge skips its target if this holds above it.

With vote weights from 1 to 1.4 (`vote_weights`) two equal answers of two or three reach it unless the two
are the weakest voters and the third the strongest; two different ones never do.
"""
AGREED = StopCondition("agreement", threshold=1.0, min_answers=2)
"""Skips a later round's work where all that the target would read in it says the same."""


@dataclass(frozen=True, slots=True, eq=False)
class Graphs:
    """R topologies over the same N agents.

    Attributes:
        keep: [R, N] bool: the agents that take part.
        edges: [R, N, N] bool: ``edges[r, i, j]`` sends i's answer to j; only between kept agents, no cycle.
        outputs: [R, N] bool: the kept agents whose answers the decision reads.

    >>> keep = torch.tensor([[True, True, False]])
    >>> edges = torch.zeros(1, 3, 3, dtype=torch.bool); edges[0, 0, 1] = True
    >>> Graphs.joined(keep, edges, "sinks").outputs.tolist()
    [[False, True, False]]
    """

    keep: Tensor
    edges: Tensor
    outputs: Tensor

    def __len__(self) -> int:
        return len(self.keep)

    @classmethod
    def joined(cls, keep: Tensor, edges: Tensor, join: Join) -> Graphs:
        """Makes graphs whose outputs follow from a rule; edges of agents that are not kept are removed."""
        edges = edges & (keep[:, :, None] & keep[:, None, :])
        outputs = keep.clone() if join == "all" else keep & ~edges.any(2)
        return cls(keep, edges, outputs)

    @classmethod
    def of(cls, graphs: Sequence[TaskGraph], agents: Sequence[str]) -> Graphs:
        """Reads task graphs in which every agent stands at most once; spatial edges only.

        Raises:
            GraphError: an agent is unknown or stands twice.
        """
        where = {name: i for i, name in enumerate(agents)}
        shape = (len(graphs), len(agents))
        keep, outputs = torch.zeros(shape, dtype=torch.bool), torch.zeros(shape, dtype=torch.bool)
        edges = torch.zeros((*shape, len(agents)), dtype=torch.bool)
        for r, graph in enumerate(graphs):
            at: dict[str, int] = {}
            for node in graph.nodes:
                if node.agent not in where:
                    raise GraphError(f"agent {node.agent!r} is not among {list(agents)}.")
                if where[node.agent] in at.values():
                    raise GraphError(f"agent {node.agent!r} stands twice in a graph; arrays hold it once.")
                at[node.id] = where[node.agent]
            keep[r, list(at.values())] = True
            outputs[r, [at[name] for name in graph.outputs]] = True
            for edge in graph.spatial:
                edges[r, at[edge.source], at[edge.target]] = True
        return cls(keep, edges, outputs)

    def take(self, rows: Tensor | slice) -> Graphs:
        """Returns some of the graphs, by index, mask or slice."""
        return Graphs(self.keep[rows], self.edges[rows], self.outputs[rows])

    @staticmethod
    def cat(parts: Sequence[Graphs]) -> Graphs:
        """Returns the graphs of all parts, one after another."""
        names = ("keep", "edges", "outputs")
        return Graphs(*(torch.cat([getattr(part, name) for part in parts]) for name in names))

    def depth(self) -> Tensor:
        """[R, N] longest path of edges that ends at an agent; 0 for those that start.

        Working through the agents by rising depth respects every edge.

        >>> edges = torch.zeros(1, 3, 3, dtype=torch.bool); edges[0, 2, 0] = edges[0, 0, 1] = True
        >>> Graphs.joined(torch.ones(1, 3, dtype=torch.bool), edges, "all").depth().tolist()
        [[1, 2, 0]]
        """
        # [N, N, R], so that maxima run over whole columns of graphs; bytes, whose maxima are fast.
        edges = self.edges.permute(1, 2, 0).contiguous().view(torch.uint8)
        deeper = edges.new_ones(edges.shape[1:])
        depth = torch.zeros_like(deeper, dtype=torch.int32)
        work = torch.empty_like(edges)
        for _ in range(len(edges) - 1):
            deeper = torch.bitwise_and(edges, deeper[:, None], out=work).amax(0)
            if not deeper.any():
                break
            depth += deeper
        return depth.T.long()

    def order(self) -> Tensor:
        """[R, N] agents in an order that respects every edge; by depth, then by position."""
        n = self.keep.shape[1]
        return (self.depth() * n + torch.arange(n, device=self.keep.device)).argsort(1)


def unique_graphs(graphs: Graphs) -> tuple[Tensor, Tensor]:
    """Returns the positions of the different graphs, and for each graph which of these it is.

    >>> keep = torch.tensor([[True], [True]])
    >>> [part.tolist() for part in unique_graphs(Graphs.joined(keep, torch.zeros(2, 1, 1).bool(), "all"))]
    [[0], [0, 0]]
    """
    flat = torch.cat((graphs.keep, graphs.outputs, graphs.edges.flatten(1)), 1)
    _, where = torch.unique(flat, dim=0, return_inverse=True)
    first = torch.full((int(where.max()) + 1,), len(where))
    first.scatter_reduce_(0, where, torch.arange(len(where)), "amin")
    return first, where


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What else a task graph needs beside its arrays.

    Attributes:
        messages: Whether edges carry answers. Where not, an edge makes its target wait, and skips it if the
            answers above agree (`STOP`): later agents run only if needed.
        join: Whose answers the decision reads.
        decision: Agent that merges the answers; None takes a vote.
        normalise: Name of the normaliser by which answers are compared.
        rounds: Rounds of messages; in later rounds an agent also reads its own last answer, and is skipped
            where all that it would read agrees.
    """

    messages: bool = True
    join: Join = "sinks"
    decision: str | None = None
    normalise: str = "default"
    rounds: int = 1

    def task_graph(
        self,
        agents: Sequence[str],
        keep: Tensor,
        edges: Tensor,
        *,
        weights: Sequence[float] | None = None,
        edge_weights: Tensor | None = None,
    ) -> TaskGraph:
        """Builds one task graph; only kept agents become nodes.

        Args:
            agents: N names.
            keep: [N] bool.
            edges: [N, N] bool, without a cycle.
            weights: [N] weights in the vote; 1 each by default.
            edge_weights: [N, N] weights of the edges in [0, 1]; 1 each by default.

        >>> keep, edges = torch.tensor([True, True]), torch.tensor([[False, True], [False, False]])
        >>> Shape().task_graph(["analyst", "solver"], keep, edges).outputs
        ('solver',)
        """
        one = Graphs.joined(keep[None], edges[None], self.join)
        order = [i for i in one.order()[0].tolist() if keep[i]]
        shares = [1.0] * len(agents) if weights is None else weights
        nodes = tuple(Node(agents[i], agents[i], weight=shares[i]) for i in order)
        links = []
        for i, j in one.edges[0].nonzero().tolist():
            weight = 1.0 if edge_weights is None else round(float(edge_weights[i, j]), 4)
            stop = None if self.messages else STOP
            links.append(Edge(agents[i], agents[j], weight, carries=self.messages, stop=stop))
        if self.rounds > 1 and self.messages:
            pairs = [*one.edges[0].nonzero().tolist(), *([i, i] for i in order)]
            links += [Edge(agents[i], agents[j], kind="temporal", stop=AGREED) for i, j in pairs]
        kind: AggregationKind = "vote" if self.decision is None else "refine"
        aggregation = Aggregation(kind, agent=self.decision, normalise=self.normalise)
        return TaskGraph(
            nodes=nodes,
            edges=tuple(links),
            rounds=self.rounds if self.messages else 1,
            aggregation=aggregation,
            outputs=tuple(agents[i] for i in order if one.outputs[0, i]),
        )


def check_decision(decision: str | None, pool: Pool) -> None:
    """Checks that the agent that merges the answers, if there is one, can be asked.

    Raises:
        InvalidInput: it is not in the pool.

    >>> from agentnet.graphs.agent import Agent
    >>> check_decision("editor", Pool([Agent(name="solver")]))
    Traceback (most recent call last):
    ...
    agentnet.errors.InvalidInput: setting 'decision' names 'editor', which is not in the pool: solver.
    """
    if decision is not None and decision not in pool:
        names = ", ".join(pool.names[:20])
        raise InvalidInput(f"setting 'decision' names {decision!r}, which is not in the pool: {names}.")


def vote_weights(scores: Sequence[float]) -> list[float]:
    """Returns vote weights from 1 to 1.4, rising with the agents' mean scores; NaN is the lowest.

    So close to each other that two equal answers outvote any third, and the better agent wins where all
    answers differ.

    >>> vote_weights([0.5, 0.7, 0.6])
    [1.0, 1.4, 1.2]
    """
    known = [s for s in scores if s == s]  # noqa: PLR0124 - NaN is not itself
    low, high = (min(known), max(known)) if known else (0.0, 0.0)
    span = high - low
    return [round(1 + 0.4 * (s - low) / span, 4) if s == s and span > 0 else 1.0 for s in scores]  # noqa: PLR0124
