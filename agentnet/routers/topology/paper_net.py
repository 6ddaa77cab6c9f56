"""`PaperNet`: the network of Adaptive Graph Pruning, with two heads over one graph convolution.

Source: Li, Zhao, Lee and Wang, "Adaptive Graph Pruning for Multi-Agent Communication", arXiv 2506.02951,
and the code they released. Its backbone is that of G-Designer (arXiv 2410.11782).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, log_softmax, normalize, relu

from agentnet.errors import InvalidInput
from agentnet.routers.topology.graphs import Graphs, Join
from agentnet.routers.topology.sampler import sample_visit

KEEP_ABOVE = 0.55
"""Probability above which an agent takes part."""
EDGE_ABOVE = 0.5
"""Probability above which a deterministic decoding draws an edge."""
_MASK_WIDTH = 64


@dataclass(frozen=True, slots=True, eq=False)
class PaperInputs:
    """What the network reads: n tasks and N agents as vectors, and how agents are tied by their roles.

    Attributes:
        queries: [n, d] encoded tasks.
        roles: [N, d] encoded descriptions of the agents.
        propagation: [N, N] the graph convolution's matrix over the role graph, see `propagation`.

    >>> inputs = PaperInputs.of(torch.ones(5, 8), torch.eye(3, 8))
    >>> inputs.queries.shape, inputs.propagation.shape
    (torch.Size([5, 8]), torch.Size([3, 3]))
    """

    queries: Tensor
    roles: Tensor
    propagation: Tensor

    @classmethod
    def of(cls, queries: Tensor, roles: Tensor, links: Tensor | None = None) -> PaperInputs:
        """Makes the inputs from vectors.

        Args:
            queries: [n, d].
            roles: [N, d].
            links: [N, N] bool, the directed role graph; None ties similar roles (`role_graph`).
        """
        queries, roles = queries.float(), roles.float()
        return cls(queries, roles, propagation(role_graph(roles) if links is None else links))

    def to(self, device: str | torch.device) -> PaperInputs:
        """Returns the same inputs on a device."""
        return PaperInputs(self.queries.to(device), self.roles.to(device), self.propagation.to(device))


def role_graph(roles: Tensor, neighbours: int = 2) -> Tensor:
    """[N, N] bool: an arc from each role to its most similar others, at most N - 2 of them.

    The papers wrote such graphs by hand for each pool. The complete graph would not do: with self-loops,
    its convolution gives every agent the mean of all, and the network could not tell agents apart.

    Args:
        roles: [N, d] encoded descriptions.
        neighbours: Arcs from each role.

    >>> role_graph(torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]]), 1).int().tolist()
    [[0, 1, 0], [1, 0, 0], [0, 1, 0]]
    """
    n = len(roles)
    links = torch.zeros((n, n), dtype=torch.bool, device=roles.device)
    count = min(neighbours, n - 2)
    if count < 1:
        return links
    unit = normalize(roles.float(), dim=1)
    similarity = (unit @ unit.T).fill_diagonal_(-math.inf)
    # Rounded, and stable, so that roles that are equal keep their order on every machine.
    nearest = (similarity * 1e5).round().argsort(dim=1, descending=True, stable=True)[:, :count]
    return links.scatter(1, nearest, True)


def propagation(links: Tensor) -> Tensor:
    """[N, N] matrix P with which a graph convolution takes its inputs X to P X W.

    P = D^-1/2 (A + I)^T D^-1/2 with D the in-degrees, self-loops included (Kipf and Welling, ICLR 2017).

    Args:
        links: [N, N] bool, ``links[i, j]`` an arc from i to j.

    >>> propagation(torch.tensor([[False, True], [False, False]])).round(decimals=3).tolist()
    [[1.0, 0.0], [0.707..., 0.5]]
    """
    if links.ndim != 2 or links.shape[0] != links.shape[1]:
        raise InvalidInput(f"a role graph is [N, N]; got shape {tuple(links.shape)}.")
    loops = torch.eye(len(links), device=links.device)
    looped = torch.maximum(links.float(), loops)
    root = looped.sum(0).rsqrt()
    return root[:, None] * looped.T * root[None, :]


@dataclass(frozen=True, slots=True, eq=False)
class PaperOutput:
    """What the network says of B tasks.

    Attributes:
        edge_logits: [B, N, N] symmetric, in [-1 / tau, 1 / tau].
        keep_logits: [B, N] log-odds that an agent takes part; None without a mask head.
    """

    edge_logits: Tensor
    keep_logits: Tensor | None

    @property
    def edges(self) -> Tensor:
        """[B, N, N] probabilities A of edges; with tau = 1 within [0.2689, 0.7311]."""
        return self.edge_logits.sigmoid()

    @property
    def keep(self) -> Tensor:
        """[B, N] probabilities p that an agent takes part; 1 without a mask head."""
        if self.keep_logits is None:
            return torch.ones_like(self.edge_logits[:, 0])
        return self.keep_logits.sigmoid()

    def mask(self, threshold: float = KEEP_ABOVE) -> Tensor:
        """[B, N] 1 where p is above the threshold, else 0; its gradient is that of p (straight-through)."""
        keep = self.keep
        return keep + ((keep > threshold).float() - keep).detach()


class PaperNet(nn.Module):
    """Reads x_i = [role_i ; query] of every agent; gives edge probabilities and who takes part.

    With P the propagation over the role graph::

        H  = ReLU(P X W1 + b1)                     2d -> hidden
        Z0 = log_softmax(P H W2 + b2)              hidden -> d
        Z  = W4 ReLU(W3 Z0 + b3) + b4              d -> hidden -> rank
        S  = Z Z^T, stretched over all N^2 entries to [-1, 1];  A = sigmoid(S / tau)
        p  = sigmoid(w6 ReLU(W5 H + b5) + b6)      hidden -> 64 -> 1

    The number of parameters does not depend on N: the network can be asked about agents that it has not
    seen. A is symmetric, as in the release: direction comes from the order in which pairs are visited.

    Args:
        d: Width of the vectors.
        hidden: Width of the graph convolution.
        rank: Rank of S.
        mask_head: Whether p is learned; G-Designer has edges only.
        dropout: Of H's inputs to the second convolution.
        train_decoder: Whether W3 and W4 are trained. In the release they are not, and stay as they were
            drawn; that is taken for an oversight and by default put right.
        tau: Temperature of A.

    >>> from agentnet.routers.gnn.training import seeded
    >>> with seeded(0):
    ...     net = PaperNet(8)
    >>> out = net(torch.ones(2, 8), torch.eye(3, 8), propagation(torch.zeros(3, 3, dtype=torch.bool)))
    >>> out.edges.shape, out.keep.shape
    (torch.Size([2, 3, 3]), torch.Size([2, 3]))
    """

    def __init__(
        self,
        d: int,
        hidden: int = 16,
        rank: int = 16,
        *,
        mask_head: bool = True,
        dropout: float = 0.0,
        train_decoder: bool = True,
        tau: float = 1.0,
    ) -> None:
        super().__init__()
        self.dropout, self.tau = dropout, tau
        self.first, self.second = nn.Linear(2 * d, hidden), nn.Linear(hidden, d)
        for layer in (self.first, self.second):  # as graph convolutions start
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.decoder = nn.Sequential(nn.Linear(d, hidden), nn.ReLU(), nn.Linear(hidden, rank))
        self.decoder.requires_grad_(train_decoder)
        self.masker: nn.Sequential | None = None
        if mask_head:
            self.masker = nn.Sequential(
                nn.Linear(hidden, _MASK_WIDTH), nn.ReLU(), nn.Linear(_MASK_WIDTH, 1)
            )  # fmt: skip

    def forward(self, queries: Tensor, roles: Tensor, propagation: Tensor) -> PaperOutput:
        """Reads B tasks.

        Args:
            queries: [B, d].
            roles: [N, d].
            propagation: [N, N].
        """
        b, n = len(queries), len(roles)
        x = torch.cat((roles.expand(b, -1, -1), queries[:, None].expand(-1, n, -1)), 2)
        # P (X W) + b: the product with W first, for it is the narrower one.
        h = relu(propagation @ (x @ self.first.weight.T) + self.first.bias)
        inner = dropout(h, self.dropout, self.training)
        z0 = log_softmax(propagation @ (inner @ self.second.weight.T) + self.second.bias, 2)
        z = self.decoder(z0)
        keep = None if self.masker is None else self.masker(h).squeeze(2)
        return PaperOutput(stretch(z @ z.transpose(1, 2)) / self.tau, keep)

    def read(self, inputs: PaperInputs, tasks: Tensor) -> PaperOutput:
        """Reads some of the inputs' tasks, by position."""
        found: PaperOutput = self(inputs.queries[tasks], inputs.roles, inputs.propagation)
        return found


def stretch(gram: Tensor) -> Tensor:
    """[B, N, N] matrices stretched to [-1, 1] by their least and largest entries; 0 where all are equal.

    >>> stretch(torch.tensor([[[0.0, 1.0], [1.0, 4.0]]])).tolist()
    [[[-1.0, -0.5], [-0.5, 1.0]]]
    """
    low, high = gram.amin((1, 2), keepdim=True), gram.amax((1, 2), keepdim=True)
    span = high - low
    stretched = 2 * (gram - low) / span.clamp_min(1e-12) - 1
    return torch.where(span > 1e-12, stretched, 0.0 * gram)


def decode(
    output: PaperOutput,
    *,
    uniform: Tensor | None = None,
    keep_above: float = KEEP_ABOVE,
    edge_above: float = EDGE_ABOVE,
    join: Join = "sinks",
) -> Graphs:
    """Returns B graphs: the agents with p above a threshold, and edges drawn in visit order.

    Where no agent passes the threshold the most probable one is kept. A graph without edges stands for the
    kept agents working in parallel.

    Args:
        output: Of B tasks.
        uniform: [B, N, N] numbers in [0, 1): an edge is wanted where A is above its number, as the release
            samples edges. None wants edges with A above ``edge_above``.
        keep_above: Threshold of p.
        edge_above: Threshold of A; only without ``uniform``.
        join: Whose answers the decision reads.

    >>> out = PaperOutput(torch.full((1, 3, 3), 0.9), torch.tensor([[2.0, -2.0, 2.0]]))
    >>> decode(out).edges.int().tolist()
    [[[0, 0, 1], [0, 0, 0], [0, 0, 0]]]
    """
    with torch.no_grad():
        p = output.keep
        keep = p > keep_above
        best = torch.zeros_like(keep).scatter(1, p.argmax(1, keepdim=True), True)
        keep = torch.where(keep.any(1, keepdim=True), keep, best)
        wanted = output.edges > (edge_above if uniform is None else uniform)
        return Graphs.joined(keep, visit(wanted, keep), join)


def visit(wanted: Tensor, keep: Tensor) -> Tensor:
    """[B, N, N] the wanted edges between kept agents, visited row by row, without those that close a cycle.

    >>> visit(torch.ones(1, 2, 2, dtype=torch.bool), torch.ones(1, 2, dtype=torch.bool)).int().tolist()
    [[[0, 1], [0, 0]]]
    """
    # Probabilities of 0 and 1 leave nothing to the generator.
    return sample_visit(wanted.float(), keep, torch.Generator().manual_seed(0)).edges
