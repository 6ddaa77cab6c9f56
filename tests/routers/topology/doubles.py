"""A small environment in which the best graph is known."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from agentnet.routers.topology.environment import Returns
from agentnet.routers.topology.graphs import Graphs, Join


@dataclass(eq=False)
class Puzzle:
    """Scores a graph by how far agents and edges are the best ones of the task; costs are kept agents.

    Attributes:
        best_keep: [n, N] bool.
        best_edges: [n, N, N] bool.
        shuffled: Whether every score goes to another rollout: nothing can be learned.
        sharp: The higher, the less is nearly right worth.
    """

    agents: tuple[str, ...]
    best_keep: Tensor
    best_edges: Tensor
    shuffled: bool = False
    sharp: float = 4.0
    messages: bool = True
    join: Join = "sinks"
    unit: float = 1.0
    rollouts: int = 0

    @property
    def n(self) -> int:
        return len(self.best_keep)

    def score(self, tasks: Tensor, keep: Tensor, edges: Tensor) -> Tensor:
        """[R] before any shuffling."""
        tasks = tasks.cpu()
        n = len(self.agents)
        right_agents = (keep == self.best_keep[tasks]).float().sum(1)
        right_pairs = (edges == self.best_edges[tasks]).float().sum((1, 2)) - n
        return ((right_agents + right_pairs) / (n * n)) ** self.sharp

    def run(self, tasks: Tensor, graphs: Graphs, generator: torch.Generator) -> Returns:
        self.rollouts += len(tasks)
        score = self.score(tasks, graphs.keep, graphs.edges)
        if self.shuffled:
            score = score[torch.randperm(len(score), generator=generator)]
        return Returns(score, graphs.keep.float().sum(1))


def puzzle(names: tuple[str, ...], rows: int, edges: list[tuple[int, int]], *, left_out: tuple[int, ...] = (),
           **settings: object) -> Puzzle:  # fmt: skip
    """The same best graph for every task."""
    n = len(names)
    keep, best = torch.ones(rows, n, dtype=torch.bool), torch.zeros(rows, n, n, dtype=torch.bool)
    keep[:, list(left_out)] = False
    for i, j in edges:
        best[:, i, j] = True
    return Puzzle(names, keep, best, **settings)  # type: ignore[arg-type]
