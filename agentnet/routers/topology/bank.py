"""`Bank`: the graphs that Stage I found, what they came to, and the distribution over them for a task.

For a task q and a price r, graph G has probability proportional to exp(E), with

    E(G; q, r) = beta * (s_G - r * c_G) + sum_i a_i(q, r) [i in G] + sum_ij a_ij(q, r) [i -> j in G]

where s_G and c_G are mean score and cost over the unit, on logged tasks like q, and the terms a are the
network's (`agentnet.routers.topology.network`). The probability that an agent is kept is the sum over the
graphs that hold it, and of an edge likewise. Every graph is acyclic when it is found; the likeliest is run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agentnet.routers.topology.graphs import Graphs, unique_graphs
from agentnet.routers.topology.network import Worth

BETA = 100.0
"""beta: a hundredth in utility, about the standard error of a mean over the logged tasks, is one nat."""
NEVER = float("inf")


@dataclass(frozen=True, eq=False)
class Bank:
    """P graphs over N agents, judged on logged tasks in G groups of similar tasks.

    Attributes:
        names: The N agents.
        graphs: The P graphs.
        score: [P, G + 1] mean scores; the last column is over all tasks.
        cost: [P, G + 1] mean costs over the unit, likewise.
        sizes: [G] tasks of each group.
        centroids: [G, d] unit vectors: a task belongs to the nearest.
        pseudo: Tasks that the mean over all tasks counts for in a group's mean; infinite ignores groups.
    """

    names: tuple[str, ...]
    graphs: Graphs
    score: Tensor
    cost: Tensor
    sizes: Tensor
    centroids: Tensor
    pseudo: float = NEVER

    def __len__(self) -> int:
        return len(self.graphs)

    def group(self, tasks: Tensor) -> Tensor:
        """[B] the groups of tasks [B, d]."""
        nearest: Tensor = (tasks @ self.centroids.T).argmax(1)
        return nearest

    def expected(self, tasks: Tensor) -> tuple[Tensor, Tensor]:
        """[B, P] mean scores and [B, P] mean costs, over the unit, on logged tasks like these."""
        score, cost = self._means
        if self.pseudo == NEVER:
            return score.expand(len(tasks), -1), cost.expand(len(tasks), -1)
        at = self.group(tasks)
        return score[at], cost[at]

    @cached_property
    def _means(self) -> tuple[Tensor, Tensor]:
        """[G, P] expected scores and costs of tasks of each group; [1, P] where groups are ignored."""
        if self.pseudo == NEVER:
            return self.score[:, -1][None], self.cost[:, -1][None]
        weight = self.sizes / (self.sizes + self.pseudo)
        score, cost = (w[:, -1:] + weight * (w[:, :-1] - w[:, -1:]) for w in (self.score, self.cost))
        return score.T.contiguous(), cost.T.contiguous()

    @cached_property
    def _floats(self) -> tuple[Tensor, Tensor]:
        """[P, N] agents and [P, N * N] edges, as numbers."""
        return self.graphs.keep.float(), self.graphs.edges.flatten(1).float()

    def energy(self, tasks: Tensor, rate: Tensor, worth: Worth | None) -> Tensor:
        """[B, P] E of every graph.

        Args:
            tasks: [B, d] encodings.
            rate: [B] r.
            worth: The network's terms; None leaves them out.
        """
        score, cost = self.expected(tasks)
        energy = BETA * (score - rate[:, None] * cost)
        return energy if worth is None else energy + worth.of(*self._floats)

    def marginals(self, chance: Tensor) -> tuple[Tensor, Tensor]:
        """[B, N] probability that an agent is kept and [B, N, N] that i sends to j, from [B, P] of graphs."""
        n = len(self.names)
        keep, edges = self._floats
        return chance @ keep, (chance @ edges).view(-1, n, n)

    def seated(self, names: Sequence[str], seat: Sequence[int]) -> tuple[Bank, Tensor]:
        """Returns the bank over other agents, and the positions here of the graphs there.

        Args:
            names: M agents.
            seat: [N] for each agent of this bank the position among ``names`` of who takes its place, -1 for
                nobody: then it is cut from every graph. Graphs that become equal are kept once, empty ones
                not at all.

        >>> keep = torch.tensor([[True, True], [False, True]])
        >>> bank = Bank(("a", "b"), Graphs.joined(keep, torch.zeros(2, 2, 2).bool(), "all"), torch.ones(2, 1),
        ...             torch.ones(2, 1), torch.zeros(0), torch.zeros(0, 4))
        >>> len(bank.seated(("x",), (-1, 0))[0])
        1
        """
        taken = [(old, new) for old, new in enumerate(seat) if new >= 0]
        old = torch.tensor([pair[0] for pair in taken], dtype=torch.long)
        new = torch.tensor([pair[1] for pair in taken], dtype=torch.long)
        m, p = len(names), len(self)
        keep, outputs = torch.zeros((p, m), dtype=torch.bool), torch.zeros((p, m), dtype=torch.bool)
        edges = torch.zeros((p, m, m), dtype=torch.bool)
        keep[:, new] = self.graphs.keep[:, old]
        edges[:, new[:, None], new] = self.graphs.edges[:, old[:, None], old]
        # Who was read by nobody is an output now, as is who was one before.
        outputs[:, new] = self.graphs.outputs[:, old]
        outputs |= keep & ~edges.any(2)
        graphs = Graphs(keep, edges, outputs)
        rows = first_of_each(graphs)
        seated = replace(
            self, names=tuple(names), graphs=graphs.take(rows), score=self.score[rows], cost=self.cost[rows]
        )
        return seated, rows

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Returns JSON values and arrays; the inverse of `restore`."""
        arrays = {
            "bank_keep": self.graphs.keep,
            "bank_edges": self.graphs.edges,
            "bank_outputs": self.graphs.outputs,
            "bank_score": self.score,
            "bank_cost": self.cost,
            "bank_sizes": self.sizes,
            "bank_centroids": self.centroids,
        }
        pseudo = None if self.pseudo == NEVER else self.pseudo
        return {"bank_names": list(self.names), "bank_pseudo": pseudo}, {
            name: tensor.numpy() for name, tensor in arrays.items()
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Bank:
        """Builds the bank from what `state` returned."""
        part = {k: torch.from_numpy(np.array(v)) for k, v in arrays.items() if k.startswith("bank_")}
        graphs = Graphs(*(part[f"bank_{k}"].bool() for k in ("keep", "edges", "outputs")))
        pseudo = NEVER if state["bank_pseudo"] is None else float(state["bank_pseudo"])
        score, cost, sizes, centroids = (part[f"bank_{k}"] for k in ("score", "cost", "sizes", "centroids"))
        return cls(tuple(state["bank_names"]), graphs, score, cost, sizes, centroids, pseudo)


def first_of_each(graphs: Graphs) -> Tensor:
    """Returns the positions of graphs that are not empty, the first of each where several are equal."""
    rows, _ = unique_graphs(graphs)
    rows = rows.sort().values
    return rows[graphs.keep[rows].any(1)]
