"""`cheapest`: always the agent whose calls cost least."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Task
from agentnet.routers.base import RouteOptions
from agentnet.routers.constant import ConstantRouter
from agentnet.routers.decision import Evidence, NoteEvidence, Scores
from agentnet.routers.single import Choice


class CheapestRouter(ConstantRouter):
    """Takes the agent of least mean cost; ties go to the better one, unknown costs come last."""

    name = "cheapest"

    def _pick(
        self, tasks: Sequence[Task], pool: Pool, scores: Scores, options: RouteOptions
    ) -> tuple[NDArray[np.intp], float]:
        cost = np.nan_to_num(self.stats.cost(pool), nan=np.inf)
        mean = self.stats.mean(pool)
        best = min(range(len(pool)), key=lambda i: (cost[i], -mean[i], pool.names[i]))
        return np.full(len(tasks), best, np.intp), 1.0

    def _explain(self, choice: Choice) -> Evidence:
        if choice.agent is None:
            return NoteEvidence("no agent's mean score reaches the threshold")
        cost = float(self.stats.cost(choice.pool)[choice.agent])
        agent = choice.pool.agents[choice.agent].name
        if np.isnan(cost):
            return NoteEvidence(f"no agent's cost is known; {agent} has the best mean score")
        return NoteEvidence(f"{agent} costs least: {cost:.6f} USD per call on average")
