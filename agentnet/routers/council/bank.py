"""`PlanBank`: single agents, votes, cascades and races that are worth choosing from, and what each did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from agentnet.routers.cascade import keep_best, search_pairs
from agentnet.routers.council.races import race_plans
from agentnet.routers.plans import AnswerTable, Plan
from agentnet.routers.selection import DIAL_GRID, exchange_rate
from agentnet.routers.vote import VoteRouter

Floats = NDArray[np.float64]
MOST_AGENTS = 14
"""Agents that sets are made of; the ones best for their price."""
RACES_UP_TO = 0.05
"""Dearest price at which races may be chosen, in scores that the dearest agent's mean cost is worth.

Where quality counts most, races gain; where money does, the best of so many is best by chance, and a cascade
does better on new queries. Found by cross-validation on recorded answers of fourteen models.
"""
_ARRAYS = ("rows", "score", "cost")
_NEAR = 4
"""Plans kept per setting of the dial: what is second best on average may be best for some queries."""


def exchange_rates() -> Floats:
    """[L] scores that the dearest agent's mean cost is worth, at the settings of the dial."""
    rates = [exchange_rate(dial) for dial in DIAL_GRID]
    return np.array([rate for rate in rates if rate <= 10.0])


@dataclass(frozen=True, slots=True, eq=False)
class PlanBank:
    """M plans with their exact outcomes on the n rows on which every agent answered.

    Attributes:
        plans: Measured plans; single agents are plans too.
        rows: [n] positions of the rows in the outcomes they were made from.
        score: [n, M].
        cost: [n, M] USD; NaN unknown.
    """

    plans: tuple[Plan, ...]
    rows: NDArray[np.intp]
    score: Floats
    cost: Floats

    @classmethod
    def of(cls, table: AnswerTable, rows: NDArray[np.intp], unit_cost: float) -> Self:
        """Searches the plans worth having, and measures them.

        Args:
            table: Recorded answers of the rows.
            rows: [n] where these rows stand in the outcomes.
            unit_cost: c of the dial; 0 unknown.
        """
        prices = exchange_rates() / (unit_cost or 1.0)
        if np.isnan(table.cost).any() or not unit_cost:
            prices = np.zeros(1)
        columns = keep_best(table, MOST_AGENTS)
        singles = [Plan(((name,),), ((1.0,),)) for name in table.agents]
        sets: list[Plan] = []
        if len(columns) > 1:
            small = _narrow(table, columns)
            sets = [*race_plans(small, prices), *VoteRouter()._plans(small)]
            sets += search_pairs(small, list(range(len(columns))), three=True)
        unique = list(dict.fromkeys((p.stages, p.weights, p.needed) for p in [*singles, *sets]))
        plans = [Plan(stages, weights, needed=needed) for stages, weights, needed in unique]
        measured = [table.measure(plan) for plan in plans]
        kept = _worth_having(measured, prices, len(singles))
        replays = [table.replay(plan) for plan in kept]
        score = np.stack([replay[0] for replay in replays], 1)
        cost = np.stack([replay[1] for replay in replays], 1)
        return cls(tuple(kept), rows, score, cost)

    def available(self, names: Sequence[str]) -> NDArray[np.intp]:
        """Positions of the plans whose agents are all in a pool."""
        there = set(names)
        return np.array([i for i, plan in enumerate(self.plans) if there.issuperset(plan.agents)], np.intp)

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Returns JSON values and arrays; the inverse of `restore`."""
        arrays = {f"plan_{name}": getattr(self, name) for name in _ARRAYS}
        return {"plans": [plan.to_dict() for plan in self.plans]}, arrays

    @classmethod
    def restore(cls, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Makes a bank from what `state` returned."""
        plans = tuple(Plan.from_dict(plan) for plan in config["plans"])
        return cls(plans, *(arrays[f"plan_{name}"] for name in _ARRAYS))


def _narrow(table: AnswerTable, columns: list[int]) -> AnswerTable:
    names = tuple(table.agents[column] for column in columns)
    return AnswerTable(names, table.key[:, columns], table.score[:, columns], table.cost[:, columns])


def _worth_having(plans: list[Plan], prices: Floats, singles: int) -> list[Plan]:
    """All single agents, and at each price the few best of the plain plans and of the races."""
    score = np.array([plan.score for plan in plans])
    cost = np.nan_to_num(np.array([plan.cost for plan in plans]))
    value = score[None] - prices[:, None] * cost[None]
    race = np.array([plan.needed > 0 for plan in plans])
    kept = set(range(singles))
    for family in (race, ~race):
        within = np.flatnonzero(family)
        top = np.argsort(-value[:, within], axis=1, kind="stable")[:, :_NEAR]
        kept |= set(within[top].ravel().tolist())
    return [plans[i] for i in sorted(kept)]
