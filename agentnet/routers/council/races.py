"""`race_plans`: sets of agents that answer one after another until k answers are equal.

The first k agents answer at once; as long as no k answers are equal, the next one is asked. After the last
one the largest group of equal answers stands, and where groups are as large, the one of the better agents.
Which agents, and in which order, is searched on recorded answers: for every price of a dollar the best few
chains of each length are prolonged by every agent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from agentnet.routers.plans import AnswerTable, Plan

Floats = NDArray[np.float64]
TIE = 0.02
"""Most by which the vote of the best agent weighs more than that of the worst."""
_MOST_STARTS = 150


@dataclass(frozen=True, slots=True, eq=False)
class _Chain:
    """A chain and where it stands on every row.

    Attributes:
        members: Columns in the order they are asked.
        weight: [n, G] vote weight of each answer.
        first: [n, G] the first member that gave it; -1 nobody.
        score: [n] of the answer that stands.
        cost: [n] USD.
        live: [n] rows on which the next one is asked.
    """

    members: tuple[int, ...]
    weight: NDArray[np.float32]
    first: NDArray[np.int8]
    score: Floats
    cost: Floats
    live: NDArray[np.bool_]


def tie_breakers(table: AnswerTable) -> list[float]:
    """Vote weights from 1 to 1 + `TIE`, by mean score: so close that only numbers of votes count first."""
    mean = table.score.mean(0)
    spread = float(np.ptp(mean)) or 1.0
    weights = [1 + TIE * float(value - mean.min()) / spread for value in mean]
    # Of agents with equal scores the first one wins: no two votes tie.
    return [round(weight - 1e-5 * place, 6) for place, weight in enumerate(weights)]


def race_plans(
    table: AnswerTable, prices: Floats, *, needed: tuple[int, ...] = (2, 3), depth: int = 6, beam: int = 3
) -> list[Plan]:
    """Returns the chains that are best at some price, not measured yet.

    Args:
        table: Recorded answers.
        prices: [L] scores that a dollar is worth.
        needed: Numbers of equal answers that end a race.
        depth: Most agents of a chain.
        beam: Chains kept per length and price.
    """
    weights = tie_breakers(table)
    plans = []
    for k in needed:
        found: dict[tuple[int, ...], tuple[float, float]] = {}
        level = list(_starts(table, weights, k, prices))
        for size in range(k, depth + 1):
            found |= {chain.members: (chain.score.mean(), chain.cost.mean()) for chain in level}
            if size == depth:
                break
            kept = _best([(c.score.mean(), c.cost.mean()) for c in level], prices, beam)
            level = [
                _longer(table, level[i], column, weights[column], k)
                for i in kept
                for column in range(len(weights))
                if column not in level[i].members and level[i].live.any()
            ]
        chains = list(found)
        for i in _best([found[chain] for chain in chains], prices, beam):
            plans.append(_plan(table, chains[i], weights, k))
    return plans


def _best(points: list[tuple[float, float]], prices: Floats, most: int) -> list[int]:
    """Positions of the few best points at each price, once each."""
    if not points:
        return []
    score, cost = np.array(points).T
    value = score[None] - prices[:, None] * np.nan_to_num(cost)[None]
    top = np.argsort(-value, axis=1, kind="stable")[:, :most]
    return sorted(set(top.ravel().tolist()))


def _starts(table: AnswerTable, weights: list[float], k: int, prices: Floats) -> Iterator[_Chain]:
    """Chains of k agents; of very many sets only those that look best by their members."""
    n, count = table.key.shape
    sets = list(combinations(range(count), k))
    if len(sets) > _MOST_STARTS:
        mean, cost = table.score.mean(0), np.nan_to_num(table.cost.mean(0))
        points = [(float(mean[list(s)].mean()), float(cost[list(s)].sum())) for s in sets]
        sets = [sets[i] for i in _best(points, prices, _MOST_STARTS // len(prices) + 1)]
    groups = int(table.key.max(initial=0)) + 1
    empty = _Chain(
        (), np.zeros((n, groups), np.float32), np.full((n, groups), -1, np.int8), np.zeros(n), np.zeros(n),
        np.ones(n, bool),
    )  # fmt: skip
    order = np.argsort(-table.score.mean(0), kind="stable").tolist()
    for members in sets:
        chain = empty
        for place, column in enumerate(sorted(members, key=order.index)):
            # Nothing ends before k have answered.
            chain = _longer(table, chain, column, weights[column], k if place == k - 1 else count + 1)
        yield chain


def _longer(table: AnswerTable, chain: _Chain, column: int, weight: float, needed: int) -> _Chain:
    """The chain with one more agent, asked where it has not ended."""
    rows = np.flatnonzero(chain.live)
    key = table.key[rows, column]
    said = rows[key >= 0]
    at = key[key >= 0]
    votes, first = chain.weight.copy(), chain.first.copy()
    votes[said, at] += weight
    fresh = first[said, at] < 0
    first[said[fresh], at[fresh]] = column
    score, cost, live = chain.score.copy(), chain.cost.copy(), chain.live.copy()
    winner = first[rows, votes[rows].argmax(1)]
    lead = chain.members[0] if chain.members else column
    score[rows] = table.score[rows, np.where(winner < 0, lead, winner)]
    cost[rows] += table.cost[rows, column]
    live[rows] = votes[rows].max(1) < needed - 0.5
    return _Chain((*chain.members, column), votes, first, score, cost, live)


def _plan(table: AnswerTable, members: tuple[int, ...], weights: list[float], k: int) -> Plan:
    names = [table.agents[column] for column in members]
    votes = [weights[column] for column in members]
    stages = (tuple(names[:k]), *((name,) for name in names[k:]))
    return Plan(stages, (tuple(votes[:k]), *((vote,) for vote in votes[k:])), needed=k)
