"""`ConstantRouter`: base of the routers that predict the same for every task."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray

from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Task
from agentnet.outcomes.table import Outcomes
from agentnet.routers.base import FitReport
from agentnet.routers.decision import Floats
from agentnet.routers.single import SingleRouter


class ConstantRouter(SingleRouter):
    """Predicts each agent's mean score and mean cost; looks at no task."""

    weighting_power = 1.0

    def _learn(self, outcomes: Outcomes, *, seed: int, device: str) -> FitReport:
        split = outcomes.queries.split
        return FitReport(
            router=self.name,
            n_train=int((split == "train").sum()),
            n_val=int((split == "val").sum()),
            seconds=0,
        )

    def _predict(
        self, tasks: Sequence[Task], pool: Pool, vectors: NDArray[np.float32] | None
    ) -> tuple[Floats, Floats]:
        mean = self.stats.mean(pool)
        return np.broadcast_to(mean, (len(tasks), len(pool))), self.stats.cost(pool)

    def with_probes(self, probes: Outcomes) -> Self:
        """Returns this router with further outcomes in its means."""
        from agentnet.routers.persist import fingerprint

        self._check_fitted()
        other = copy.copy(self)
        other.stats = self.stats.add(probes)
        other.version = fingerprint(other)
        return other
