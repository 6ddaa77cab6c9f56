"""What paths would have scored and cost on recorded answers: exact, for whole arrays of paths at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.routers.colony.paths import layer_weight
from agentnet.routers.plans import AnswerTable

Floats = NDArray[np.float64]
Ints = NDArray[np.integer[Any]]


def vote_of(table: AnswerTable, rows: Ints, columns: Ints) -> tuple[Floats, Floats]:
    """Returns the score of the weighted vote and the cost of paths whose agents all ran.

    Args:
        table: Recorded answers.
        rows: [m] row of each path's query.
        columns: [m, L] agents by layer; -1 where a path had ended before.

    Returns:
        [m] scores and [m] USD.
    """
    there = columns >= 0
    at = np.where(there, columns, 0)
    key = np.where(there, table.key[rows[:, None], at], -1)
    weights = np.array([layer_weight(layer) for layer in range(columns.shape[1])])
    same = (key[:, :, None] == key[:, None, :]) & (key >= 0)[:, None, :]
    group = np.where(key >= 0, (same * weights).sum(2), -1.0)
    # Ties go to the first layer; without any answer the first agent's empty one stands.
    winner = (group >= group.max(1, keepdims=True) - 1e-9).argmax(1)
    score = table.score[rows, at[np.arange(len(rows)), winner]]
    cost = np.where(there, table.cost[rows[:, None], at], 0.0).sum(1)
    return score, cost


@dataclass(frozen=True, slots=True, eq=False)
class TreeSums:
    """Sums of score and cost of every tree of up to four layers, by group of queries.

    A tree asks a, then b. Where they agree it stops or asks c. Where they do not, it stops or asks c; if
    c *joins* one of them it stops, else it stops or asks d. (To ask on after an agreement changes no vote.)
    All sums are over the queries of a group for which the case holds; index 0 is score, 1 is USD.

    Attributes:
        count: [G] queries.
        one: [2, G, A] of a alone.
        agree: [2, G, A, A] of stopping after a and b where they agree.
        split: [2, G, A, A] of stopping after a and b where they do not.
        agree_third: [2, G, A, A, A] of asking c where they agree.
        joined: [2, G, A, A, A] where they do not, and c joins one of them.
        open: [2, G, A, A, A] of stopping where c joins neither.
        fourth: [2, G, A, A, A, A] of asking d there; None for trees of three layers.
    """

    count: Floats
    one: Floats
    agree: Floats
    split: Floats
    agree_third: Floats
    joined: Floats
    open: Floats
    fourth: Floats | None

    @classmethod
    def of(cls, table: AnswerTable, group: Ints, groups: int, *, layers: int = 4) -> TreeSums:
        """Adds up all trees; exact, by the rules of the vote.

        Args:
            table: Recorded answers of n queries.
            group: [n] group of each, below ``groups``.
            groups: G.
            layers: Most layers of a tree.
        """
        n, agents = table.key.shape
        member = np.zeros((groups, n))
        member[group, np.arange(n)] = 1.0
        pairs = (2, groups, agents, agents)
        agree, split = np.zeros(pairs), np.zeros(pairs)
        deep = layers > 2
        agree_third, joined, open_ = (np.zeros((*pairs, agents if deep else 0)) for _ in range(3))
        fourth = np.zeros((*pairs, agents, agents)) if layers > 3 else None
        score, cost = table.score, table.cost
        for a in range(agents if layers > 1 else 0):
            for b in range(agents):
                if a == b:
                    continue
                same = (table.key[:, a] == table.key[:, b]) & (table.key[:, a] >= 0)
                yes, no = np.flatnonzero(same), np.flatnonzero(~same)
                first = _first_said(table, yes, (a, b))
                both = cost[:, a] + cost[:, b]
                agree[:, :, a, b] = _sums(member, yes, first, both[yes])
                split[:, :, a, b] = _sums(member, no, _first_said(table, no, (a, b)), both[no])
                if not deep:
                    continue
                agree_third[0, :, a, b] = agree[0, :, a, b][:, None]
                agree_third[1, :, a, b] = member[:, yes] @ (both[yes, None] + cost[yes])
                for c in range(agents):
                    if c in (a, b):
                        continue
                    _add_third(table, member, no, (a, b, c), joined, open_, fourth)
        one = np.stack([member @ score, member @ cost])
        return cls(member.sum(1), one, agree, split, agree_third, joined, open_, fourth)

    def pooled(self, groups: Floats) -> TreeSums:
        """Returns weighted sums of groups.

        Args:
            groups: [K, G] weight of each old group in each new one.
        """

        def mixed(values: Floats) -> Floats:
            flat = groups @ values.reshape(2, values.shape[1], -1)
            result: Floats = flat.reshape(2, len(groups), *values.shape[2:])
            return result

        return TreeSums(
            groups @ self.count,
            mixed(self.one),
            mixed(self.agree),
            mixed(self.split),
            mixed(self.agree_third),
            mixed(self.joined),
            mixed(self.open),
            None if self.fourth is None else mixed(self.fourth),
        )


def _add_third(
    table: AnswerTable,
    member: Floats,
    rows: Ints,
    path: tuple[int, int, int],
    joined: Floats,
    open_: Floats,
    fourth: Floats | None,
) -> None:
    """Adds what comes of asking c on the rows on which a and b do not agree."""
    a, b, c = path
    key, score, cost = table.key[rows], table.score[rows], table.cost[rows]
    said = key[:, c] >= 0
    with_a, with_b = said & (key[:, c] == key[:, a]), said & (key[:, c] == key[:, b])
    joins = with_a | with_b
    paid = cost[:, a] + cost[:, b] + cost[:, c]
    winner = np.where(with_a, score[:, a], score[:, b])
    joined[:, :, a, b, c] = _sums(member, rows[joins], winner[joins], paid[joins])
    left = ~joins
    alone = np.where(said, score[:, c], _first_said(table, rows, (a, b)))[left]
    open_[:, :, a, b, c] = _sums(member, rows[left], alone, paid[left])
    if fourth is None:
        return
    key, score = key[left], score[left]
    result = np.where(key < 0, alone[:, None], score)
    for column in (c, b, a):  # d outvotes any one of them, and joins the first that says the same
        same = (key == key[:, column : column + 1]) & (key >= 0)
        result = np.where(same, score[:, column : column + 1], result)
    fourth[0, :, a, b, c] = member[:, rows[left]] @ result
    fourth[1, :, a, b, c] = member[:, rows[left]] @ (paid[left, None] + cost[left])


def _sums(member: Floats, rows: Ints, score: Floats, cost: Floats) -> Floats:
    """[2, G] sums over some rows."""
    result: Floats = np.stack([member[:, rows] @ score, member[:, rows] @ cost])
    return result


def _first_said(table: AnswerTable, rows: Ints, columns: tuple[int, ...]) -> Floats:
    """Score of the first of these agents that said anything; of the first one where none did."""
    result: Floats = table.score[rows, columns[0]]
    for column in reversed(columns):
        result = np.where(table.key[rows, column] >= 0, table.score[rows, column], result)
    return result
