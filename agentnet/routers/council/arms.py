"""`Arms`: agents, or sets of agents, with all that is predicted of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from agentnet.routers.council.memory import Memory, Prediction
from agentnet.routers.council.views import Vectors

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Arms:
    """M arms.

    Attributes:
        members: Agents of each arm.
        memory: What logged queries say of their scores.
        cost: [T, M] USD by type; NaN unknown.
        latency: [T, M] seconds by type; NaN unknown.
        reach: How far messages go: a position in `LEVELS`.
    """

    members: tuple[tuple[str, ...], ...]
    memory: Memory
    cost: Floats
    latency: Floats
    reach: int

    def predict(self, relations: Vectors, posterior: Floats) -> Prediction:
        """Returns [n, M] scores and their standard errors."""
        found = self.memory.predict(relations, posterior, level=self.reach)
        return Prediction(np.clip(found.score, 0.0, 1.0), found.error)

    def price(self, posterior: Floats) -> Floats:
        """Returns [n, M] USD; by type only where scores go by type: the two must be foreseen alike."""
        if self.reach > 0:
            return posterior @ self.cost
        return np.broadcast_to(self.memory.mix @ self.cost, (len(posterior), self.cost.shape[1]))

    def take(self, at: NDArray[np.intp]) -> Arms:
        """Returns some of the arms; what is common to all is still told by all."""
        memory = self.memory
        part = replace(
            memory,
            mean=memory.mean[at],
            profiles=memory.profiles.take(at),
            specific=memory.specific[:, at],
            seen=memory.seen[:, at],
            rich=memory.rich[at],
        )
        members = tuple(self.members[i] for i in at.tolist())
        return Arms(members, part, self.cost[:, at], self.latency[:, at], self.reach)
