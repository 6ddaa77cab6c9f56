"""Nearest neighbours and weighted means of their outcomes, in torch and in blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

BLOCK = 1024
"""Queries handled at once: similarities of a block fit into the processor's cache hierarchy."""


def to_tensor(array: NDArray[Any]) -> torch.Tensor:
    """Returns a float32 tensor."""
    return torch.from_numpy(np.ascontiguousarray(array, np.float32))


def nearest(
    queries: torch.Tensor, index: torch.Tensor, k: int, *, own: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the k most similar stored vectors of each query, most similar first.

    Args:
        queries: [n, d] unit vectors.
        index: [N, d] unit vectors.
        k: How many; at most N, or N - 1 with ``own``.
        own: [n] for each query a position in ``index`` that must not be found (itself).

    Returns:
        Cosine similarities [n, k] and positions [n, k].
    """
    k = min(k, len(index) - (own is not None))
    near = torch.empty(len(queries), k)
    where = torch.empty(len(queries), k, dtype=torch.long)
    across = index.T
    for start in range(0, len(queries), BLOCK):
        rows = slice(start, start + BLOCK)
        similar = queries[rows] @ across
        if own is not None:
            similar[torch.arange(len(similar)), own[rows]] = -2.0
        near[rows], where[rows] = torch.topk(similar, k, dim=1)
    return near, where


def kernel(near: torch.Tensor, temperature: float | None) -> torch.Tensor:
    """Returns weights exp((similarity - 1) / temperature), or 1 where there is no temperature."""
    if temperature is None:
        return torch.ones_like(near)
    return torch.exp((near - 1) / temperature)


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Outcomes of N rows in a form whose weighted sums are one gather.

    Attributes:
        table: [N, width] weight * score, then weight unless all are 1, then known cost and its mask unless
            no cost is known.
        agents: A.
        dense: Whether every row has every score with weight 1.
        costs: Whether any cost is known.
    """

    table: torch.Tensor
    agents: int
    dense: bool
    costs: bool

    @classmethod
    def of(
        cls,
        score: NDArray[np.floating[Any]],
        weight: NDArray[np.floating[Any]] | None,
        cost: NDArray[np.floating[Any]] | None,
        *,
        sparse: bool = False,
    ) -> Moments:
        """Builds the table.

        Args:
            score: [N, A]; NaN is unobserved.
            weight: [N, A]; None is 1 wherever a score is.
            cost: [N, A] USD, NaN unknown; None if no cost is known.
            sparse: Keep the weights even where all are 1, as sums over rows need them.
        """
        seen = ~np.isnan(score)
        mass = seen.astype(np.float32) if weight is None else np.where(seen, weight, 0).astype(np.float32)
        dense = not sparse and bool((mass == 1).all())
        parts = [mass * np.where(seen, score, 0)]
        if not dense:
            parts.append(mass)
        known = None if cost is None else ~np.isnan(cost)
        costs = cost is not None and known is not None and bool(known.any())
        if costs and cost is not None and known is not None:
            parts += [np.where(known, cost, 0), known]
        return cls(to_tensor(np.concatenate(parts, 1)), score.shape[1], dense, costs)

    def sums(self, where: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Returns [n, width] weighted sums over the rows ``where`` [n, k]."""
        return torch.nn.functional.embedding_bag(where, self.table, per_sample_weights=weights, mode="sum")

    def score(
        self, sums: torch.Tensor, weights: torch.Tensor, prior: torch.Tensor, shrink: float
    ) -> torch.Tensor:
        """Returns [n, A] weighted mean scores, drawn to ``prior`` [A] with the mass ``shrink``."""
        n = self.agents
        mass = weights.sum(1, keepdim=True) if self.dense else sums[:, n : 2 * n]
        mean: torch.Tensor = (sums[:, :n] + shrink * prior) / (mass + max(shrink, 1e-6))
        return mean

    def cost(self, sums: torch.Tensor, prior: torch.Tensor, shrink: float) -> torch.Tensor:
        """Returns [n, A] weighted mean costs, drawn to ``prior`` [A]; the prior where nothing is known."""
        if not self.costs:
            return prior
        n = self.agents * (1 if self.dense else 2)
        total, mass = sums[:, n : n + self.agents], sums[:, n + self.agents :]
        mean = (total + shrink * torch.nan_to_num(prior)) / (mass + max(shrink, 1e-6))
        return torch.where(torch.isnan(prior) & (mass <= 0), torch.nan, mean)
