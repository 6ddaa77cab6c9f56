"""`Picked` and `Pruner`: what both recipes of ``agp`` give the router."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agentnet.routers.topology.graphs import Graphs


@dataclass(frozen=True, slots=True, eq=False)
class Picked:
    """Graphs chosen for B tasks.

    Attributes:
        among: Graphs that could be chosen.
        at: B positions among them.
        keys: B keys, of one pruner equal where the graphs are: what is made of a graph is kept under them.
        score: [B] expected score; NaN where the recipe expects none.
        cost: [B] expected cost, in the unit of learning; NaN likewise.
        evidence: [B, ...] what `Pruner.probabilities` reads of each task.
    """

    among: Graphs
    at: Sequence[int]
    keys: Sequence[Hashable]
    score: Tensor
    cost: Tensor
    evidence: Tensor

    @property
    def graphs(self) -> Graphs:
        """The B graphs."""
        return self.among.take(torch.tensor(self.at, dtype=torch.long))


class Pruner(Protocol):
    """The fitted state of a recipe."""

    @property
    def names(self) -> tuple[str, ...]:
        """The N agents of the arrays."""

    def seated(self, names: Sequence[str], roles: Tensor) -> Self | None:
        """Returns the pruner for a pool; None where it has nothing to say of these agents.

        Args:
            names: The pool's M agents.
            roles: [M, d] their encoded descriptions.
        """

    def forward(self, tasks: Tensor, rate: float) -> object:
        """Returns what one bare pass of the network gives: the reference of benchmarks."""

    def pick(self, tasks: Tensor, rate: float) -> Picked:
        """Returns a graph for each of [B, d] encoded tasks; ``rate`` is the price of the unit of cost."""

    def probabilities(self, evidence: Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Returns [N] probabilities that agents are kept, and [N, N] of edges, of one task's evidence."""

    def needed(self, keep: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """Returns [N] calibrated probabilities that agents stand in the graph that is best in hindsight."""

    def expect(self, task: Tensor, graphs: Graphs) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """Returns what to expect of P graphs on one task [d]: [P] scores and [P] costs; None: nothing."""

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Returns JSON values and arrays."""
