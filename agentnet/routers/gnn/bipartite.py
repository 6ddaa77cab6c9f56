"""`BipartiteNet`: the graph network of GraphRouter over queries and agents, for B maskings at once.

Source: Feng, Shen and You, "GraphRouter", arXiv 2410.03834, as in its released code. Queries and agents form
a bipartite graph in which only agents get messages. As every message is a linear function of its query's
state and its edge's features, the sum over an agent's visible edges is a product of the 0-1 matrix of
visible edges with the states: no edge is ever listed, and B maskings of the same graph are one batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

EDGE = 3
"""Features of an edge: utility, cost, effect."""


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """A graph's inputs.

    Attributes:
        task: [n, d_t] embedding of each query's task.
        query: [n, d_q] embedding of each query.
        agent: [M, d_m] embedding of each agent.
        edges: [n, M, 3] features; anything where there is no edge.
    """

    task: torch.Tensor
    query: torch.Tensor
    agent: torch.Tensor
    edges: torch.Tensor


class NodeNorm(nn.Module):
    """Batch norm over all nodes of a graph, queries and agents together, for each masking by itself.

    Running statistics move as if the B maskings had come one after another, each with the mean of all B.

    Args:
        width: D.
        momentum: Of one masking.
    """

    def __init__(self, width: int, *, momentum: float = 0.1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.momentum = momentum
        self.mean: torch.Tensor
        self.var: torch.Tensor
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("var", torch.ones(width))

    def forward(self, queries: torch.Tensor, agents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns scale and shift, [B, 1, D] each, that normalise the nodes of each masking.

        Args:
            queries: [B, n, D] or [1, n, D], the same for all maskings.
            agents: [B, M, D].
        """
        if self.training:
            mean, var = _moments(queries, agents)
            with torch.no_grad():
                nodes = queries.shape[1] + agents.shape[1]
                pace = 1 - (1 - self.momentum) ** len(agents)
                self.mean.lerp_(mean.mean(0), pace)
                self.var.lerp_(var.mean(0) * nodes / max(nodes - 1, 1), pace)
        else:
            mean, var = self.mean[None], self.var[None]
        scale = self.weight / torch.sqrt(var + 1e-5)
        return scale[:, None], (self.bias - mean * scale)[:, None]


class Convolution(nn.Module):
    """Messages from queries to agents: the sum over visible edges of A x + B e~, plus the agent's own state.

    This is PyTorch Geometric's ``GeneralConv`` without attention, with the identity as self term.

    Args:
        width: D.
        mean: Mean instead of sum, so that an agent with few edges gets messages of the same size.
    """

    def __init__(self, width: int, *, mean: bool) -> None:
        super().__init__()
        self.node, self.edge = nn.Linear(width, width), nn.Linear(EDGE, width)
        self.averages = mean

    def forward(
        self, queries: torch.Tensor, edges: torch.Tensor, agents: torch.Tensor, visible: torch.Tensor
    ) -> torch.Tensor:
        """Returns [B, M, D] new states of the agents.

        Args:
            queries: [B, n, D], or [n, D] where they are the same in all maskings.
            edges: [B, M, 3] sum of the visible edges' features.
            agents: [B, M, D] or [M, D].
            visible: [B, M, n] 0 or 1.
        """
        count = visible.sum(2, keepdim=True)
        total = functional.linear(visible @ queries, self.node.weight)
        total = total + functional.linear(edges, self.edge.weight) + count * (self.node.bias + self.edge.bias)
        return agents + (total / count.clamp(min=1) if self.averages else total)


class BipartiteNet(nn.Module):
    """Predicts how likely each agent is the best one for a query, (G4) and (G5).

    Args:
        tasks: d_t, width of a task's embedding.
        queries: d_q.
        agents: d_m.
        hidden: h; nodes have D = 2 h.
        mean: Aggregate by mean instead of by sum.
    """

    def __init__(
        self, tasks: int, queries: int, agents: int, *, hidden: int = 32, mean: bool = False
    ) -> None:
        super().__init__()
        self.width = 2 * hidden
        self.task, self.query = nn.Linear(tasks, hidden), nn.Linear(queries, hidden)
        self.agent, self.edge = nn.Linear(agents, self.width), nn.Linear(EDGE, EDGE)
        self.first, self.second = (Convolution(self.width, mean=mean) for _ in range(2))
        self.norm1, self.norm2 = NodeNorm(self.width), NodeNorm(self.width)

    def of_queries(self, task: torch.Tensor, query: torch.Tensor) -> torch.Tensor:
        """Returns [n, D] states of queries before any message: [W_t task + b_t ; W_q query + b_q]."""
        return torch.cat((self.task(task), self.query(query)), 1)

    def of_agents(self, graph: Graph, x: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
        """Returns [B, M, D] states of the agents after two layers.

        Args:
            graph: The graph.
            x: [n, D] its queries' states, from `of_queries`.
            visible: [B, M, n] 0 or 1: only these edges' features and queries reach an agent.
        """
        sent = torch.einsum("bmn,nmk->bmk", visible, self.edge(graph.edges).relu())
        agents = self.first(x, sent, self.agent(graph.agent), visible)
        scale, shift = self.norm1(x[None], agents)
        z = torch.addcmul(shift, x, scale).relu_()
        agents = (agents * scale + shift).relu()
        agents = self.second(z, sent, agents, visible)
        scale, shift = self.norm2(z, agents)
        states: torch.Tensor = agents * scale + shift
        return states

    def logits(self, queries: torch.Tensor, agents: torch.Tensor) -> torch.Tensor:
        """Returns the mean over the D coordinates of x_q * o_m; p(q, m) is its sigmoid (G5).

        Args:
            queries: [n, D] from `of_queries`.
            agents: [..., M, D] from `of_agents`.

        Returns:
            [..., n, M].
        """
        product: torch.Tensor = queries @ agents.transpose(-1, -2)
        return product.div(self.width)

    def loss(
        self, graph: Graph, visible: torch.Tensor, label: torch.Tensor, judged: torch.Tensor
    ) -> torch.Tensor:
        """Returns the mean binary cross-entropy over each masking's targets, averaged over maskings (G7).

        Args:
            graph: The graph.
            visible: [B, M, n] edges that carry messages; the others are targets.
            label: [n, M] 1 for the best agents.
            judged: [n, M] weight of each edge as a target; 0 where there is nothing to learn.
        """
        x = self.of_queries(graph.task, graph.query)
        logits = self.logits(x, self.of_agents(graph, x, visible))
        target = judged * (1 - visible.transpose(1, 2))
        each = functional.binary_cross_entropy_with_logits(logits, label.expand_as(logits), reduction="none")
        return ((each * target).sum((1, 2)) / target.sum((1, 2)).clamp(min=1)).mean()


def _moments(queries: torch.Tensor, agents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """[B, D] mean and biased variance over the nodes of each masking."""
    nodes = queries.shape[1] + agents.shape[1]
    mean = (queries.sum(1) + agents.sum(1)) / nodes
    # The norm is the one reduction of squares that makes no copy of [B, n, D], neither here nor backwards.
    square = _norm(queries).square() + _norm(agents).square()
    return mean, (square / nodes - mean.square()).clamp(min=0)


def _norm(nodes: torch.Tensor) -> torch.Tensor:
    found: torch.Tensor = torch.linalg.vector_norm(nodes, dim=1)
    return found
