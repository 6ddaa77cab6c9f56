"""Sampling of acyclic graphs by the thousand, with their log-probabilities in closed form.

Two rules. `sample_ordered`: agents are put in a random order (Plackett-Luce), and only pairs that run with
the order may have an edge: no cycle can arise, no pair is favoured by its place in the pool, and the
probability of (kept agents, order, edges) is a product. `sample_visit`: the rule of the released code of
Adaptive Graph Pruning (arXiv:2506.02951): pairs are visited row by row and skipped where an edge would
close a cycle.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


@dataclass(frozen=True, slots=True, eq=False)
class Draw:
    """R sampled topologies.

    Attributes:
        keep: [R, N] bool: the agents that take part.
        edges: [R, N, N] bool; acyclic, only between kept agents.
        open: [R, N, N] bool: pairs that could have had an edge; the others carry no probability.
        order: [R, N] agents, first to last, as `sample_ordered` drew them; by position elsewhere.
    """

    keep: Tensor
    edges: Tensor
    open: Tensor
    order: Tensor


def sample_ordered(
    keep_logits: Tensor, order_logits: Tensor, edge_logits: Tensor, generator: torch.Generator
) -> Draw:
    """Draws kept agents, an order, and edges that run with the order.

    Args:
        keep_logits: [R, N] log-odds that an agent takes part.
        order_logits: [R, N] the higher, the earlier an agent comes.
        edge_logits: [R, N, N] log-odds of i -> j, given that i comes before j and both are kept.
        generator: On the CPU, so that a draw does not depend on the device.

    Where no agent is kept the most probable one is: its probability is that of keeping it alone.

    >>> g = torch.Generator().manual_seed(0)
    >>> draw = sample_ordered(torch.full((1, 3), 9.0), torch.zeros(1, 3), torch.full((1, 3, 3), 99.0), g)
    >>> int(draw.edges.sum()), bool(draw.keep.all())
    (3, True)
    """
    shape, device = keep_logits.shape, keep_logits.device
    with torch.no_grad():
        uniform = torch.rand((*shape, shape[1] + 2), generator=generator).to(device)
        keep = uniform[..., 0] < keep_logits.sigmoid()
        keep = _at_least_one(keep, keep_logits)
        gumbel = -(-uniform[..., 1].clamp(1e-12, 1 - 1e-7).log()).log()
        order = (order_logits + gumbel).argsort(1, descending=True)
        is_open = _open_pairs(order, keep)
        edges = is_open & (uniform[..., 2:] < edge_logits.sigmoid())
    return Draw(keep, edges, is_open, order)


def forward_pairs(order: Tensor) -> Tensor:
    """[R, N, N] bool: whether i comes before j in an order [R, N].

    >>> forward_pairs(torch.tensor([[1, 0]])).tolist()
    [[[False, False], [True, False]]]
    """
    rank = order.argsort(1)
    return rank[:, :, None] < rank[:, None, :]


def _open_pairs(order: Tensor, keep: Tensor) -> Tensor:
    """[R, N, N] bool: `forward_pairs` between kept agents, by one comparison."""
    rank = order.argsort(1).to(torch.int32)
    return torch.where(keep, rank, len(rank[0]))[:, :, None] < torch.where(keep, rank, -1)[:, None, :]


def log_prob_ordered(draw: Draw, keep_logits: Tensor, order_logits: Tensor, edge_logits: Tensor) -> Tensor:
    """[R] log-probability of what `sample_ordered` drew, differentiable in the logits.

    log p = sum_i log Bernoulli(keep_i) + sum_k [o_(k) - logsumexp over k' >= k of o_(k')]
    + sum over open pairs log Bernoulli(edge_ij), with o_(k) the order logit of the k-th agent.
    An empty draw was replaced by the most probable agent alone; its two ways are added up.
    """
    return (
        _log_keep(draw.keep, keep_logits)
        + log_plackett_luce(draw.order, order_logits)
        + log_edges(draw.edges, draw.open, edge_logits)
    )


def log_plackett_luce(order: Tensor, logits: Tensor) -> Tensor:
    """[R] log-probability of an order under the Plackett-Luce model.

    >>> round(float(log_plackett_luce(torch.tensor([[1, 0]]), torch.zeros(1, 2)).exp()), 3)
    0.5
    """
    sorted_logits = logits.gather(1, order)
    rest: Tensor = torch.logcumsumexp(sorted_logits.flip(1), 1).flip(1)
    return (sorted_logits - rest).sum(1)


def log_edges(edges: Tensor, is_open: Tensor, logits: Tensor) -> Tensor:
    """[R] log-probability of the edges of open pairs, each drawn by itself."""
    # log sigmoid of +logit with an edge, of -logit without; products, as `where` on these sizes is slow.
    each = logsigmoid(edges.to(logits.dtype).mul_(2).sub_(1) * logits)
    return (each * is_open.to(logits.dtype)).sum((1, 2))


def sample_visit(probabilities: Tensor, keep: Tensor, generator: torch.Generator) -> Draw:
    """Visits pairs row by row and draws each edge unless it would close a cycle.

    Args:
        probabilities: [R, N, N] edge probabilities.
        keep: [R, N] bool: agents that may have edges.
        generator: On the CPU.

    >>> keep = torch.ones(1, 3, dtype=torch.bool)
    >>> sample_visit(torch.ones(1, 3, 3), keep, torch.Generator()).edges.int().tolist()
    [[[0, 1, 1], [0, 0, 1], [0, 0, 0]]]
    """
    r, n = keep.shape
    device = probabilities.device
    with torch.no_grad():
        uniform = torch.rand((r, n, n), generator=generator).to(device)
        wanted = uniform < probabilities
        edges = torch.zeros((r, n, n), dtype=torch.bool, device=device)
        is_open = torch.zeros_like(edges)
        reaches = torch.eye(n, dtype=torch.bool, device=device).repeat(r, 1, 1)  # [r, i, j]: i leads to j
        for i in range(n):
            for j in range(n):
                if i == j:
                    continue
                free = keep[:, i] & keep[:, j] & ~reaches[:, j, i]
                is_open[:, i, j] = free
                new = free & wanted[:, i, j]
                edges[:, i, j] = new
                # All that leads to i now leads to all that j leads to.
                reaches |= new[:, None, None] & reaches[:, :, i, None] & reaches[:, j, None, :]
    return Draw(keep, edges, is_open, torch.arange(n, device=device).repeat(r, 1))


def _log_keep(keep: Tensor, logits: Tensor) -> Tensor:
    """[R] log-probability of the kept agents, see `log_prob_ordered`."""
    plain = torch.where(keep, logsigmoid(logits), logsigmoid(-logits)).sum(1)
    alone = (keep.sum(1) == 1) & keep.gather(1, logits.argmax(1, keepdim=True)).squeeze(1)
    nobody = logsigmoid(-logits).sum(1)
    return torch.where(alone, torch.logaddexp(plain, nobody), plain)


def _at_least_one(keep: Tensor, logits: Tensor) -> Tensor:
    best = torch.zeros_like(keep).scatter(1, logits.argmax(1, keepdim=True), True)
    return torch.where(keep.any(1, keepdim=True), keep, best)
