"""`Environment`: what a graph scores and costs on a task; asked for thousands of graphs at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from agentnet.graphs.pool import Pool
from agentnet.outcomes.table import Outcomes
from agentnet.routers.topology.graphs import Graphs, Join


@dataclass(frozen=True, slots=True, eq=False)
class Returns:
    """What R rollouts came to.

    Attributes:
        score: [R] float32 in [0, 1].
        cost: [R] float32, in the environment's unit.
    """

    score: Tensor
    cost: Tensor

    def utility(self, price: Tensor | float) -> Tensor:
        """[R] score minus ``price`` times cost; ``price`` is in score per unit of cost, [R] or one number."""
        return self.score - price * self.cost


def dial_utility(score: Tensor, cost: Tensor, rate: Tensor, unit: float) -> Tensor:
    """Returns (score - r * cost / unit) / (1 + r), the dial's (1 - w) * score - w * cost / unit.

    >>> dial_utility(torch.tensor([1.0]), torch.tensor([2.0]), torch.tensor([1.0]), 4.0).tolist()
    [0.25]
    """
    return (score - rate * cost / unit) / (1 + rate)


class Environment(Protocol):
    """Runs graphs on tasks; a simulator, a replay of recorded answers, or a model learned from logs."""

    @property
    def agents(self) -> tuple[str, ...]:
        """The N agents of the arrays."""

    @property
    def n(self) -> int:
        """Number of tasks."""

    @property
    def messages(self) -> bool:
        """Whether an edge carries an answer; where not, it makes its target wait and stops it (`Shape`)."""

    @property
    def join(self) -> Join:
        """Whose answers the decision reads."""

    @property
    def unit(self) -> float:
        """Mean cost of the dearest agent working alone: the unit of the quality-cost dial."""

    def run(self, tasks: Tensor, graphs: Graphs, generator: torch.Generator) -> Returns:
        """Runs R graphs.

        Args:
            tasks: [R] int64 positions of tasks.
            graphs: R graphs, on the same device.
            generator: Source of randomness, on the CPU.
        """


EnvironmentFactory = Callable[[Outcomes, Pool], Environment]
"""Makes the environment whose tasks are the rows of these outcomes, in order, and its agents the pool's."""
