"""`Groups`: outcomes summed over groups of tasks (clusters, predicted task labels)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from agentnet.outcomes.table import Outcomes
from agentnet.routers.neighbours import Moments, to_tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Groups:
    """Weighted sums of A agents' outcomes over G groups; a task may belong to groups in part.

    Attributes:
        names: The A agents.
        total: [G, A] sums of weight * score.
        mass: [G, A] sums of weights.
        cost: [G, A] sums of known USD.
        calls: [G, A] numbers of known costs.
    """

    names: tuple[str, ...]
    total: NDArray[np.float64]
    mass: NDArray[np.float64]
    cost: NDArray[np.float64]
    calls: NDArray[np.float64]

    @classmethod
    def of(cls, outcomes: Outcomes, share: NDArray[np.floating[Any]]) -> Groups:
        """Sums up outcomes.

        Args:
            outcomes: n rows.
            share: [n, G] how much of a row belongs to each group; rows sum to 1.
        """
        seen = outcomes.observed
        weight = np.where(seen, np.nan_to_num(outcomes.weight, nan=1.0), 0).astype(np.float64)
        known = ~np.isnan(outcomes.cost)
        across = np.asarray(share, np.float64).T
        return cls(
            names=outcomes.agents,
            total=across @ (weight * np.where(seen, outcomes.score, 0)),
            mass=across @ weight,
            cost=across @ np.where(known, outcomes.cost, 0),
            calls=across @ known.astype(np.float64),
        )

    def columns(self, names: Sequence[str]) -> Groups:
        """Returns these agents' columns, in this order; unknown agents get zeros."""
        where = {name: i for i, name in enumerate(self.names)}
        at = np.array([where.get(name, -1) for name in names], np.intp)

        def pick(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.where(at >= 0, matrix[:, at], 0.0)

        return Groups(
            names=tuple(names),
            total=pick(self.total),
            mass=pick(self.mass),
            cost=pick(self.cost),
            calls=pick(self.calls),
        )

    def add(self, other: Groups) -> Groups:
        """Returns the sums of both over the same groups, with the agents of both."""
        names = tuple(dict.fromkeys((*self.names, *other.names)))
        a, b = self.columns(names), other.columns(names)
        return Groups(
            names=names,
            total=a.total + b.total,
            mass=a.mass + b.mass,
            cost=a.cost + b.cost,
            calls=a.calls + b.calls,
        )

    def one_label(self) -> Groups:
        """Returns the sums where a task is right for one agent only: all agents have the group's mass."""
        mass = np.broadcast_to(self.mass.max(1, keepdims=True), self.mass.shape)
        return Groups(names=self.names, total=self.total, mass=mass, cost=self.cost, calls=self.calls)

    def moments(self) -> Moments:
        """Returns the sums as a table from which weighted means are gathered."""
        costs = bool(self.calls.any())
        parts = [self.total, self.mass, *((self.cost, self.calls) if costs else ())]
        return Moments(to_tensor(np.concatenate(parts, 1)), len(self.names), False, costs)

    def means(self, prior: NDArray[np.float64], shrink: float) -> NDArray[np.float64]:
        """[G, A] mean scores, drawn to ``prior`` [A] with the mass ``shrink``."""
        means: NDArray[np.float64] = (self.total + shrink * prior) / (self.mass + max(shrink, 1e-6))
        return means

    def mean_costs(self, prior: NDArray[np.float64]) -> NDArray[np.float64]:
        """[G, A] mean known USD a call; ``prior`` [A] where a group has none."""
        return np.where(self.calls > 0, self.cost / np.maximum(self.calls, 1e-9), prior)

    def state(self) -> dict[str, NDArray[Any]]:
        """Returns the arrays; names are kept by the caller."""
        return {f"group_{name}": getattr(self, name) for name in ("total", "mass", "cost", "calls")}

    @classmethod
    def restore(cls, names: Sequence[str], arrays: Mapping[str, NDArray[Any]]) -> Groups:
        """Builds the sums from `state` and the agents' names."""
        columns = {name: arrays[f"group_{name}"] for name in ("total", "mass", "cost", "calls")}
        return cls(names=tuple(names), **columns)


def one_hot(labels: NDArray[np.integer[Any]] | torch.Tensor, groups: int) -> NDArray[np.float32]:
    """[n, G] one in the column of each row's group."""
    positions = np.asarray(labels)
    share = np.zeros((len(positions), groups), np.float32)
    share[np.arange(len(positions)), positions] = 1
    return share
