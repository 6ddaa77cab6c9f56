"""``vote``: the best fixed set of agents for a budget, joined by a weighted vote.

Self-consistency over different models: every agent of the set answers, equal answers add their weights,
the heaviest answer stands. Weights are the log-odds of each agent's training score, which is the optimal
weight of independent voters (Nitzan and Paroush, 1982).
"""

from __future__ import annotations

import numpy as np

from agentnet.routers.fixed_plan import Aim, FixedPlanRouter
from agentnet.routers.plans import AnswerTable, Plan, frontier
from agentnet.routers.settings import check_at_least


class VoteRouter(FixedPlanRouter):
    """The best fixed subset; the quality-cost dial chooses its size and members.

    Args:
        most: Most members.
        beam: Sets kept at each size of the search.
        aim: ``"quality"`` (default) leaves the dial at 0; ``"match"`` sets it, on the training data, to the
            cheapest set that scores at least as much there as the best single agent.
        normalise: Name of the normaliser by which answers are compared.

    Where no text was recorded nothing can be voted on, and it falls back to the best single agent.
    """

    name = "vote"

    def __init__(
        self, *, most: int = 9, beam: int = 8, aim: Aim = "quality", normalise: str = "default"
    ) -> None:
        super().__init__(aim=aim, normalise=normalise)
        check_at_least(most=(most, 1), beam=(beam, 1))
        self.most = most
        self.beam = beam

    def _plans(self, table: AnswerTable) -> list[Plan]:
        weights = log_odds(table)
        order = np.argsort(-table.score.mean(0), kind="stable")
        tried: dict[frozenset[int], Plan] = {}
        level = [frozenset({int(j)}) for j in order]
        for _ in range(min(self.most, len(order)) - 1):
            grown = {members | {int(j)} for members in level for j in order if int(j) not in members}
            for members in grown - tried.keys():
                # The best voter first: ties go to it.
                columns = [int(j) for j in order if int(j) in members]
                names = tuple(table.agents[j] for j in columns)
                tried[members] = table.measure(Plan((names,), (tuple(weights[j] for j in columns),)))
            level = self._best(sorted(grown, key=sorted), tried)
        return frontier(list(tried.values()))

    def _best(self, sets: list[frozenset[int]], tried: dict[frozenset[int], Plan]) -> list[frozenset[int]]:
        """Half of the beam by score, half by score for its cost."""
        costs = [tried[s].cost for s in sets if not np.isnan(tried[s].cost)]
        top = max(costs, default=1.0) or 1.0
        by_score = sorted(sets, key=lambda s: -tried[s].score)
        by_value = sorted(
            sets, key=lambda s: -tried[s].score + 0.1 * np.nan_to_num(tried[s].cost / top, nan=1.0)
        )
        half = max(1, self.beam // 2)
        return list(dict.fromkeys([*by_score[:half], *by_value[:half]]))

    @property
    def _evidence_note(self) -> str:
        return "all answer; equal answers add their weights"


def log_odds(table: AnswerTable) -> list[float]:
    """Weights of the agents' votes: log-odds of their mean score with one pseudo-count, at least 0.05."""
    n = len(table)
    mean = (table.score.sum(0) + 1) / (n + 2)
    return [round(float(w), 6) for w in np.clip(np.log(mean / (1 - mean)), 0.05, None)]
