"""``cascade``: cheap agents answer in parallel; if they agree, stop, else escalate.

The agreement cascade: two cheap agents, and when they disagree a dearer one, and perhaps another. Its
members and their order are learned: every pair of agents is tried as first stage, every further agent as
second and as third. No judge is needed: agreement is the judge. Sources: FrugalGPT (arXiv 2305.05176) for
cascades, "A Unified Approach to Routing and Cascading for LLMs" (arXiv 2410.10347) for their place beside
routing; deciding by agreement alone is our choice.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import InvalidInput
from agentnet.routers.fixed_plan import Aim, FixedPlanRouter
from agentnet.routers.plans import AnswerTable, Plan, frontier
from agentnet.routers.settings import check_at_least

WEIGHTS = (1.0, 1.5, 2.0)
"""Vote weight by stage. A later agent outvotes any single earlier one, and joins one to outvote the rest."""


class CascadeRouter(FixedPlanRouter):
    """Agreement cascades of two or three stages; the quality-cost dial chooses among them.

    Args:
        stages: Most stages (2 or 3).
        candidates: Most agents that are tried; the ones best for their price are kept.
        aim: ``"match"`` (default) sets the dial, on the training data, to the cheapest cascade that scores
            at least as much there as the best single agent; ``"quality"`` leaves the dial at 0.
        normalise: Name of the normaliser by which answers are compared.

    Where no text was recorded there is nothing to agree on, and it falls back to the best single agent.
    """

    name = "cascade"

    def __init__(
        self, *, stages: int = 3, candidates: int = 14, aim: Aim = "match", normalise: str = "default"
    ) -> None:
        super().__init__(aim=aim, normalise=normalise)
        if stages not in (2, 3):
            raise InvalidInput(f"setting 'stages' must be 2 or 3; got {stages!r}.")
        check_at_least(candidates=(candidates, 1))
        self.stages = stages
        self.candidates = candidates

    def _plans(self, table: AnswerTable) -> list[Plan]:
        columns = keep_best(table, self.candidates)
        found = [p for p in search_pairs(table, columns, three=self.stages > 2)]
        # The search approximates ties; what is kept is measured exactly.
        return frontier([table.measure(plan) for plan in found])

    @property
    def _evidence_note(self) -> str:
        return "later stages run only where the earlier answers disagree"


def keep_best(table: AnswerTable, most: int) -> list[int]:
    """Returns at most ``most`` columns: peeled front by front from the (score, cost) plane."""
    score, cost = table.score.mean(0), np.nan_to_num(table.cost.mean(0), nan=np.inf)
    left = list(range(len(table.agents)))
    kept: list[int] = []
    while left and len(kept) < most:
        front = [
            j
            for j in left
            if not any(
                (score[i] >= score[j] and cost[i] < cost[j]) or (score[i] > score[j] and cost[i] <= cost[j])
                for i in left
            )
        ]
        front.sort(key=lambda j: -score[j])
        kept += front[: most - len(kept)]
        left = [j for j in left if j not in front]
    return sorted(kept)


def search_pairs(table: AnswerTable, columns: list[int], *, three: bool) -> list[Plan]:
    """Tries every pair as first stage with every second and third agent; returns the front."""
    plans: list[tuple[float, float, tuple[int, ...]]] = []
    for i, j in combinations(columns, 2):
        agree = (table.key[:, i] == table.key[:, j]) & (table.key[:, i] >= 0)
        base_cost = table.cost[:, i] + table.cost[:, j]
        go = np.flatnonzero(~agree)
        settled = float(table.score[agree, i].sum())
        for k in columns:
            if k in (i, j):
                continue
            third = _decided_by(table, go, (i, j), k)
            cost = float(base_cost.sum() + table.cost[go, k].sum())
            plans.append((settled + float(third.sum()), cost, (i, j, k)))
            if three:
                plans += _third_stage(table, go, (i, j, k), third, settled, cost, columns)
    n = len(table)
    best = _front([(score / n, cost / n, members) for score, cost, members in plans])
    return [_plan(table, members) for members in best]


def _third_stage(
    table: AnswerTable,
    go: NDArray[np.intp],
    members: tuple[int, int, int],
    third: NDArray[np.float64],
    settled: float,
    cost: float,
    columns: list[int],
) -> list[tuple[float, float, tuple[int, ...]]]:
    """Adds each further agent for the rows on which the second stage agreed with nobody."""
    i, j, k = members
    key = table.key[go]
    joined = ((key[:, k] == key[:, i]) | (key[:, k] == key[:, j])) & (key[:, k] >= 0)
    settled += float(third[joined].sum())
    open_rows = go[~joined]
    found: list[tuple[float, float, tuple[int, ...]]] = []
    for last in columns:
        if last not in members:
            fourth = _decided_by(table, open_rows, members, last)
            total = settled + float(fourth.sum())
            found.append((total, cost + float(table.cost[open_rows, last].sum()), (*members, last)))
    return found


def _decided_by(
    table: AnswerTable, rows: NDArray[np.intp], before: tuple[int, ...], last: int
) -> NDArray[np.float64]:
    """[rows] score where ``last`` outvotes each of ``before``: its own, or of whom it agrees with."""
    key = table.key[rows]
    score: NDArray[np.float64] = table.score[rows, last].copy()
    silent = key[:, last] < 0
    score[silent] = table.score[rows[silent], before[-1]]
    for column in reversed(before):
        same = ~silent & (key[:, column] == key[:, last])
        score[same] = table.score[rows[same], column]
    return score


def _front(points: list[tuple[float, float, tuple[int, ...]]]) -> list[tuple[int, ...]]:
    """Members of the points that no other beats in both score and cost, with near ones kept."""
    points.sort(key=lambda p: (np.inf if np.isnan(p[1]) else p[1], -p[0]))
    best, kept = -np.inf, []
    for score, _, members in points:
        if score > best + 1e-12:
            best = score
            kept.append(members)
    return kept


def _plan(table: AnswerTable, members: tuple[int, ...]) -> Plan:
    names = [table.agents[j] for j in members]
    stages = ((names[0], names[1]), *((name,) for name in names[2:]))
    weights: Any = ((WEIGHTS[0], WEIGHTS[0]), *((w,) for w in WEIGHTS[1 : len(stages)]))
    return Plan(stages, weights)
