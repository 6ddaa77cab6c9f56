"""The best fixed subset for a cost: the rival of pruning per task on recorded answers.

A fixed subset answers every task and its members vote, with weights that are the log-odds of their training
scores; nobody is stopped. All subsets of up to five agents are tried, and beyond these what grows from the
best ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import DataError
from agentnet.outcomes.table import Outcomes
from agentnet.routers.plans import AnswerTable, Plan
from agentnet.routers.vote import log_odds

LARGEST = 5
"""Size up to which every subset is tried."""
BEAM = 50
"""Larger subsets grow from so many of the size below: half the best, half the best for their cost."""
_CHUNK = 256
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Subsets:
    """S fixed subsets of A agents, judged on training rows.

    Attributes:
        agents: A names.
        weights: [A] votes.
        order: [A] agents, the best voter first: ties go to it.
        members: [S, A].
        score: [S] mean on the training rows.
    """

    agents: tuple[str, ...]
    weights: Floats
    order: NDArray[np.intp]
    members: Bools
    score: Floats

    def best(self, agent_cost: Floats, budget: float) -> int:
        """Returns the subset of the best training score that costs at most a budget; the cheaper of equals.

        Where none is so cheap, the cheapest.

        Args:
            agent_cost: [A] mean cost of each agent.
            budget: In the same unit.
        """
        cost = self.members @ agent_cost
        allowed = np.flatnonzero(cost <= budget * (1 + 1e-9))
        if not len(allowed):
            return int(cost.argmin())
        return int(allowed[np.lexsort((cost[allowed], -self.score[allowed]))[0]])

    def plan(self, row: int) -> Plan:
        """Returns a subset as a plan."""
        chosen = [int(j) for j in self.order if self.members[row, j]]
        names = tuple(self.agents[j] for j in chosen)
        return Plan((names,), (tuple(float(self.weights[j]) for j in chosen),))


def search(table: AnswerTable, *, largest: int = LARGEST, beam: int = BEAM) -> Subsets:
    """Judges subsets on training rows.

    Args:
        table: The rows.
        largest: Size up to which every subset is tried.
        beam: Subsets of a size from which larger ones grow.

    >>> key = np.zeros((2, 3), np.int32); key[1] = [0, 1, 1]
    >>> table = AnswerTable(("a", "b", "c"), key, np.array([[1.0, 1, 1], [0, 1, 1]]), np.ones((2, 3)))
    >>> found = search(table)
    >>> len(found.members), found.agents[int(found.members[found.best(np.ones(3), 1.0)].argmax())]
    (7, 'b')
    """
    count = len(table.agents)
    weights = np.array(log_odds(table))
    cost = table.cost.mean(0)
    sizes = range(1, min(largest, count) + 1)
    members = [_of(combinations(range(count), size), count) for size in sizes]
    score = [_scores(table, weights, some) for some in members]
    while len(members) < count:
        last, worth = members[-1], score[-1]
        price = (last @ cost) / max(float((last @ cost).max()), 1e-300)
        half = max(1, beam // 2)
        parents = np.unique(np.concatenate([np.argsort(-w)[:half] for w in (worth, worth - 0.1 * price)]))
        grown = {
            (*np.flatnonzero(last[parent]).tolist(), j)
            for parent in parents
            for j in np.flatnonzero(~last[parent]).tolist()
        }
        members.append(_of(sorted({tuple(sorted(one)) for one in grown}), count))
        score.append(_scores(table, weights, members[-1]))
    order = np.argsort(-table.score.mean(0), kind="stable")
    return Subsets(table.agents, weights, order, np.concatenate(members), np.concatenate(score))


def table_of(rows: Outcomes) -> AnswerTable:
    """Returns the recorded answers of rows.

    Raises:
        DataError: an agent's answer is missing somewhere.
    """
    found = AnswerTable.of(rows)
    if found is None or len(found) != len(rows):
        raise DataError("fixed subsets need the recorded text and score of every agent on every query.")
    return found


def _of(sets: Iterable[tuple[int, ...]], count: int) -> Bools:
    rows = list(sets)
    members = np.zeros((len(rows), count), bool)
    for row, columns in enumerate(rows):
        members[row, list(columns)] = True
    return members


def _scores(table: AnswerTable, weights: Floats, members: Bools) -> Floats:
    """[S] mean score of weighted votes.

    Equal answers have equal scores; where nobody answers, the score is 0, as an empty answer's is.
    """
    n, count = table.key.shape
    groups = int(table.key.max(initial=0)) + 1
    said = table.key[:, None, :] == np.arange(groups)[None, :, None]
    votes = (said * weights).astype(np.float32)
    worth = np.where(said, table.score[:, None, :], -1.0).max(2).astype(np.float32)
    worth = np.maximum(worth, 0)
    flat = votes.reshape(n * groups, count)
    parts = []
    for start in range(0, len(members), _CHUNK):
        some = members[start : start + _CHUNK].astype(np.float32)
        heard = (flat @ some.T).reshape(n, groups, len(some))
        won = np.take_along_axis(worth, heard.argmax(1), 1)
        parts.append(np.where(heard.max(1) > 0, won, 0).mean(0))
    return np.concatenate(parts).astype(np.float64)
