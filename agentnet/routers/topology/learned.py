"""`Learned`: what a method of the family learned, and what it says of the agents of some pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agentnet.errors import RouterLoadError
from agentnet.outcomes.encoders.threads import torch_threads
from agentnet.routers.encoding import Vectors
from agentnet.routers.gnn.training import arrays_of, load_arrays
from agentnet.routers.topology.designer import gdesigner, make_net
from agentnet.routers.topology.graphs import Graphs, Join, vote_weights
from agentnet.routers.topology.paper_net import EDGE_ABOVE, PaperInputs, PaperNet, visit
from agentnet.routers.topology.reinforce import Lesson
from agentnet.routers.topology.static import Chances, agentdropout, agentprune, gptswarm

LEARNED: tuple[str, ...] = ("gptswarm", "agentprune", "gdesigner", "agentdropout")
_BATCH = 1024


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """A learned method at the N agents that it knows in some pool.

    Attributes:
        names: The N agents, in the order in which pairs are visited.
        weights: [N] of their votes.
        chances: The same graph for all tasks; None where a network gives it.
        net: The network; None where there is none.
        roles: [N, d] what the network reads of the agents.
    """

    names: tuple[str, ...]
    weights: list[float]
    chances: Chances | None
    net: PaperNet | None
    roles: Tensor

    def graphs(
        self, count: int, vectors: Vectors | None, uniform: Tensor | None, join: Join
    ) -> tuple[Graphs, Tensor]:
        """The graphs of some tasks, and [count, N, N] probabilities of edges.

        Args:
            count: Tasks.
            vectors: [count, d] their encodings, where a network reads them.
            uniform: [count, N, N] numbers in [0, 1) by which edges are drawn; None takes those above 1/2.
            join: Whose answers the decision reads.
        """
        n = len(self.names)
        if self.chances is not None:
            edges, keep = self.chances.edges.expand(count, n, n), self.chances.keep.expand(count, n)
        else:
            edges, keep = self._predict(vectors), torch.ones((count, n), dtype=torch.bool)
        wanted = edges > (EDGE_ABOVE if uniform is None else uniform)
        if uniform is None and self.chances is not None:  # one graph for all tasks
            found = visit(wanted[:1], keep[:1]).expand(count, n, n)
        else:
            found = visit(wanted, keep)
        return Graphs.joined(keep, found, join), edges

    def _predict(self, vectors: Vectors | None) -> Tensor:
        if self.net is None or vectors is None:
            raise ValueError("a network needs the tasks' vectors.")
        inputs = PaperInputs.of(torch.from_numpy(np.ascontiguousarray(vectors)), self.roles)
        parts = torch.arange(len(vectors)).split(_BATCH)  # type: ignore[no-untyped-call]
        with torch.no_grad(), torch_threads(1):
            # Four digits: a batch of another size differs in the last ones.
            return torch.cat([self.net.read(inputs, part).edges for part in parts]).round(decimals=4)


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """What a method learned of the agents of its training: a graph, or a network."""

    chances: Chances | None = None
    net: PaperNet | None = None

    def site(
        self,
        pool: Sequence[str],
        trained: Sequence[str],
        means: Mapping[str, float],
        roles: Vectors | None,
    ) -> Site:
        """Returns what was learned for the agents of a pool.

        Args:
            pool: Names of its agents.
            trained: The agents of the training, in the order of the learned arrays.
            means: Mean score of every agent of the pool.
            roles: [len(pool), d] encoded profiles, where a network reads them.
        """
        known = [name for name in trained if name in set(pool)]
        if self.net is not None and roles is not None:
            names = (*known, *sorted(set(pool) - set(known)))
            where = {name: i for i, name in enumerate(pool)}
            read = torch.from_numpy(np.ascontiguousarray(roles[[where[name] for name in names]]))
            return Site(names, vote_weights([means[n] for n in names]), None, self.net, read)
        assert self.chances is not None
        at = torch.tensor([i for i, name in enumerate(trained) if name in set(known)], dtype=torch.long)
        chances = Chances(self.chances.edges[at][:, at], self.chances.keep[at])
        if not bool(chances.keep.any()):  # only agents that were dropped are left
            chances = Chances(chances.edges, torch.ones_like(chances.keep))
        weights = vote_weights([means[n] for n in known])
        return Site(tuple(known), weights, chances, None, torch.zeros(0))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Returns named arrays; the inverse of `restore`."""
        if self.net is not None:
            return arrays_of(self.net)
        assert self.chances is not None
        return {"edges": self.chances.edges.numpy(), "keep": self.chances.keep.numpy().astype(np.uint8)}

    @classmethod
    def restore(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Builds what `arrays` returned.

        Raises:
            RouterLoadError: the arrays are of something else.
        """
        if set(arrays) == {"edges", "keep"}:
            edges, keep = (torch.from_numpy(np.array(arrays[name])) for name in ("edges", "keep"))
            return cls(chances=Chances(edges, keep.bool()))
        if "second.weight" not in arrays:
            raise RouterLoadError("the saved topology is incomplete; train the router again.")
        net = make_net(len(arrays["second.weight"]))
        load_arrays(net, arrays)
        return cls(net=net.eval())


def learn(
    method: str, lesson: Lesson, vectors: Vectors | None, roles: Vectors | None, *, low_rank: bool = False
) -> Learned:
    """Learns a topology.

    Args:
        method: One of `LEARNED`.
        lesson: Environment and settings.
        vectors: [n, d] encoded tasks of the environment; of ``gdesigner``.
        roles: [N, d] encoded profiles of its agents; of ``gdesigner``.
        low_rank: Of ``agentprune``.
    """
    if method == "gptswarm":
        return Learned(gptswarm(lesson))
    if method == "agentprune":
        return Learned(agentprune(lesson, low_rank=low_rank))
    if method == "agentdropout":
        return Learned(agentdropout(lesson))
    if vectors is None or roles is None:
        raise ValueError("gdesigner needs vectors.")
    inputs = PaperInputs.of(torch.from_numpy(vectors), torch.from_numpy(roles))
    return Learned(net=gdesigner(lesson, inputs).eval())
