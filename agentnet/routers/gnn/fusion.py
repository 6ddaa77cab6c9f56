"""Top-k fusion (A1): the weighted vote of the k best-scored agents, and what it would have scored."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentnet.outcomes.table import Outcomes
from agentnet.routers.plans import AnswerTable

Floats64 = NDArray[np.float64]
TAUS = (0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
"""Temperatures of the vote's weights that are tried."""


def vote_weights(score: Floats64, tau: float) -> Floats64:
    """Returns softmax(score / tau) over the agents: [n, A] weights of their votes.

    >>> vote_weights(np.array([[0.5, 0.5]]), 0.25).tolist()
    [[0.5, 0.5]]
    """
    power = np.exp((score - score.max(1, keepdims=True)) / tau)
    result: Floats64 = power / power.sum(1, keepdims=True)
    return result


@dataclass(frozen=True, slots=True, eq=False)
class FusionReplay:
    """Recorded answers by which a fusion can be tried without asking anybody.

    Attributes:
        rows: [m] rows of the outcomes on which every agent's answer and score are recorded.
        table: Their answers.
    """

    rows: NDArray[np.intp]
    table: AnswerTable

    @classmethod
    def of(cls, outcomes: Outcomes, normalise: str) -> FusionReplay | None:
        """Reads the answers; None where too few rows have every agent's text and score."""
        if outcomes.response is None or len(outcomes.agents) < 2:
            return None
        given = np.frompyfunc(lambda item: item is not None, 1, 1)(outcomes.response).astype(bool)
        rows = np.flatnonzero((given & outcomes.observed).all(1))
        table = AnswerTable.of(outcomes.take(rows), kind=normalise) if rows.size else None
        return None if table is None else cls(rows, table)

    def within(self, rows: NDArray[np.intp]) -> FusionReplay | None:
        """Returns the answers on some rows of the outcomes, ascending; None where there are none."""
        kept = np.isin(self.rows, rows)
        if not kept.any():
            return None
        table = AnswerTable(
            self.table.agents, self.table.key[kept], self.table.score[kept], self.table.cost[kept]
        )
        return FusionReplay(self.rows[kept], table)

    def score(self, order: NDArray[np.intp], weight: Floats64, k: int) -> Floats64:
        """Returns the score of the fused answer on each row.

        Args:
            order: [m, A] agents from the first to the last.
            weight: [m, A] weights of their votes.
            k: How many of them vote.
        """
        m = len(self.rows)
        at = np.arange(m)
        groups = int(self.table.key.max(initial=0)) + 1
        total = np.zeros((m, groups))
        first = np.full((m, groups), k)
        for rank in range(k):
            agent = order[:, rank]
            key = self.table.key[at, agent]
            said = key >= 0
            total[at[said], key[said]] += weight[at[said], agent[said]]
            first[at[said], key[said]] = np.minimum(first[at[said], key[said]], rank)
        tied = total >= total.max(1, keepdims=True) - 1e-9
        winner = np.where(tied & (total > 0), first, k).min(1)
        # Without any answer the first agent's empty one stands.
        stands = order[at, np.where(winner == k, 0, winner)]
        result: Floats64 = self.table.score[at, stands]
        return result


@dataclass(frozen=True, slots=True)
class Fusion:
    """How many agents answer, how their votes weigh, and what each size was worth.

    Attributes:
        k: Agents that answer where only quality counts.
        tau: Temperature of the weights.
        gains: Mean gain of the fused score over the first agent's alone, for 1 to K agents.
    """

    k: int = 1
    tau: float = 0.25
    gains: tuple[float, ...] = (0.0,)


def choose_fusion(
    replay: FusionReplay | None,
    score: Floats64,
    *,
    most: int,
    k: int | None,
    tau: float | None,
    uniform: bool,
) -> tuple[Fusion, list[dict[str, float]]]:
    """Chooses size and temperature by the replayed score of predictions made for unseen rows.

    Args:
        replay: Recorded answers; None where there are none: then one agent answers, unless ``k`` is given.
        score: [n, A] predicted scores of all rows.
        most: Most agents.
        k: A size that is set.
        tau: A temperature that is set.
        uniform: Whether all votes weigh the same.

    Returns:
        The choice, and all that was tried.
    """
    if replay is None:
        return Fusion(min(k or 1, most), tau or 0.25, (0.0,) * (k or 1)), []
    seen = score[replay.rows]
    order = np.argsort(-np.round(seen, 9), axis=1, kind="stable")
    tried = []
    best: Fusion | None = None
    for one in (tau,) if tau is not None else (0.25,) if uniform else TAUS:
        weight = np.ones_like(seen) if uniform else vote_weights(seen, one)
        means = [float(replay.score(order, weight, size).mean()) for size in range(1, most + 1)]
        gains = tuple(round(mean - means[0], 6) for mean in means)
        tried += [
            {"tau": one, "k": float(size + 1), "score": round(mean, 6)} for size, mean in enumerate(means)
        ]
        size = min(k, most) if k is not None else int(np.argmax(np.round(means, 9))) + 1
        found = Fusion(size, one, gains)
        if best is None or found.gains[found.k - 1] > best.gains[best.k - 1] + 1e-9:
            best = found
    assert best is not None
    return best, tried
