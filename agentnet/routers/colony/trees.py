"""The best tree of agents by recorded outcomes, at every price; and how far task types share one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentnet.routers.colony.recorded import TreeSums
from agentnet.routers.plans import AnswerTable

Floats = NDArray[np.float64]
POOLING = (0.0, 30.0, 100.0, 300.0, 1000.0, 1e9)
"""Tried numbers of queries that the mean over all types counts for."""
_HAIR = 1e-9
"""What another agent costs at least, in utility: nobody is asked for nothing where prices are not known."""


def shrunk(sums: TreeSums, pooling: float) -> TreeSums:
    """Returns means by group, drawn to the mean over all groups, which counts for ``pooling`` queries."""
    count, total = sums.count, sums.count.sum()
    own = 1 / np.maximum(count + pooling, 1e-12)
    return sums.pooled(np.diag(own) + np.outer(pooling * own, np.ones(len(count))) / total)


@dataclass(frozen=True, slots=True)
class Tree:
    """A tree by its columns; None where it is over before, the number of agents for a stop."""

    first: int
    second: int | None = None
    agreed: int | None = None
    split: int | None = None
    last: int | None = None

    def total(self, sums: TreeSums, group: int) -> Floats:
        """Returns [2] the sum of score and of USD over a group's queries."""
        a, b = self.first, self.second
        size = sums.one.shape[2]
        if b is None:
            return sums.one[:, group, a]
        if self.agreed is None or self.agreed == size:
            total = sums.agree[:, group, a, b]
        else:
            total = sums.agree_third[:, group, a, b, self.agreed]
        c = self.split
        if c is None or c == size:
            return np.asarray(total + sums.split[:, group, a, b])
        total = total + sums.joined[:, group, a, b, c]
        if self.last is None or self.last == size or sums.fourth is None:
            return np.asarray(total + sums.open[:, group, a, b, c])
        return np.asarray(total + sums.fourth[:, group, a, b, c, self.last])


@dataclass(frozen=True, slots=True, eq=False)
class Utilities:
    """Utilities of the steps of all trees, by type, each weighted with how often it is reached.

    Attributes:
        one: [T, A] of stopping after a.
        agree: [T, A, A, A + 1] of asking c, or stopping (last), where a and b agree; [T, A, A, 1] of
            stopping below three layers.
        split: [T, A, A, A + 1] the same where they do not; of the best way on after c.
        last: [T, A, A, A, A + 1] of asking d, or stopping, where c joins neither; None below four layers.
        single: There are trees of one layer only.
    """

    one: Floats
    agree: Floats
    split: Floats
    last: Floats | None
    single: bool = False

    @classmethod
    def of(cls, means: TreeSums, dial: float, unit_cost: float, layers: int) -> Utilities:
        """Prices the steps: utility = (1 - w) * score - w * cost / c.

        Args:
            means: From `shrunk`.
            dial: w; where only quality counts, a hair of cost breaks ties, and the reverse.
            unit_cost: c.
            layers: Most layers of a tree.
        """
        w = min(max(dial, 1e-6), 1 - 1e-6)
        price = w / (unit_cost or 1.0)

        def worth(values: Floats) -> Floats:
            utility: Floats = (1 - w) * values[0] - price * np.nan_to_num(values[1])
            return utility

        stop_agree, stop_split = worth(means.agree)[..., None], worth(means.split)[..., None]
        if layers < 3:
            return cls(worth(means.one), stop_agree, stop_split, None, single=layers == 1)
        same = np.eye(means.one.shape[2], dtype=bool)
        # No agent stands twice in a path.
        taken = same[:, None, :] | same[None, :, :]
        agree = np.where(taken, -np.inf, worth(means.agree_third) - _HAIR)
        left, last = worth(means.open), None
        if layers > 3 and means.fourth is not None:
            doubled = taken[..., None] | same[:, None, None, :] | same[None, :, None, :] | same[None, None]
            steps = np.where(doubled, -np.inf, worth(means.fourth) - _HAIR)
            last = np.concatenate([steps, left[..., None]], 4)
            left = last.max(4)
        split = np.where(taken, -np.inf, worth(means.joined) + left - _HAIR)
        return cls(
            worth(means.one),
            np.concatenate([agree, stop_agree], 3),
            np.concatenate([split, stop_split], 3),
            last,
        )

    @property
    def pair(self) -> Floats:
        """[T, A, A] of the best tree that starts with a and b; -inf for a = b."""
        both: Floats = self.agree.max(3) + self.split.max(3) - _HAIR
        return np.where(np.eye(both.shape[1], dtype=bool), -np.inf, both)

    def after_two(self, agreed: bool) -> Floats:
        """[T, B, A + 1] of the best whole tree in which b goes on to c (or stops) in this case."""
        mine, other = (self.agree, self.split) if agreed else (self.split, self.agree)
        whole = mine + other.max(3)[..., None]
        same = np.eye(whole.shape[1], dtype=bool)[None, :, :, None]
        result: Floats = np.where(same, -np.inf, whole).max(1)
        return result

    def after_three(self) -> Floats:
        """[T, C, A + 1] of the best whole tree in which c joined neither and goes on to d (or stops)."""
        assert self.last is not None
        size = self.one.shape[1]
        on = self.split[..., :size] - self.last.max(4)  # what comes of c where it joins
        whole = self.last + on[..., None] + self.agree.max(3)[..., None, None]
        same = np.eye(size, dtype=bool)
        taken = same[:, :, None] | same[:, None, :] | same[None, :, :]
        result: Floats = np.where(taken[None, ..., None], -np.inf, whole).max((1, 2))
        return result

    def best(self, t: int) -> Tree:
        """Returns the tree of highest utility for one type."""
        size = self.one.shape[1]
        alone = int(self.one[t].argmax())
        if self.single:
            return Tree(alone)
        pair = self.pair[t]
        a, b = (int(k) for k in np.unravel_index(pair.argmax(), pair.shape))
        if self.one[t, alone] >= pair[a, b]:
            return Tree(alone)
        if self.agree.shape[3] == 1:
            return Tree(a, b)
        agreed, split = int(self.agree[t, a, b].argmax()), int(self.split[t, a, b].argmax())
        last = None if self.last is None or split == size else int(self.last[t, a, b, split].argmax())
        return Tree(a, b, agreed, split, last)


@dataclass(frozen=True, slots=True, eq=False)
class Pooling:
    """What cross-validation says of pooling types.

    Attributes:
        queries: Queries that the mean over all types counts for.
        tried: Every value with its mean utility over the dial's settings.
        scores: [dials] mean score of the chosen one on rows left out.
        costs: [dials] its mean USD.
        sums: Over all rows, by type.
    """

    queries: float
    tried: tuple[dict[str, float], ...]
    scores: tuple[float, ...]
    costs: tuple[float, ...]
    sums: TreeSums

    def cheapest(self, target: float) -> int:
        """Returns the setting of the dial that costs least among those that score at least ``target``.

        Where none does, the one that scores most.
        """
        good = [i for i, score in enumerate(self.scores) if score >= target - 1e-9]
        if good:
            return min(good, key=self.costs.__getitem__)
        return int(np.argmax(self.scores))


def choose_pooling(
    table: AnswerTable,
    types: NDArray[np.intp],
    count: int,
    fold: NDArray[np.intp],
    *,
    layers: int,
    dials: Sequence[float],
    unit_cost: float,
) -> Pooling:
    """Chooses the pooling by cross-validated utility, summed over settings of the dial.

    Args:
        table: Recorded answers of n queries.
        types: [n] type of each.
        count: T.
        fold: [n] fold of each.
        layers: Most layers of a tree.
        dials: Settings of the dial.
        unit_cost: c.
    """
    folds = int(fold.max()) + 1
    every = TreeSums.of(table, types + count * fold, count * folds, layers=layers)
    sides = [_sides(count, folds, held) for held in range(folds)]
    found = {}
    for queries in POOLING if count > 1 else POOLING[:1]:
        totals = np.zeros((len(dials), 2))
        for inside, outside in sides:
            train, test = shrunk(every.pooled(inside), queries), every.pooled(outside)
            for d, dial in enumerate(dials):
                value = Utilities.of(train, dial, unit_cost, layers)
                for t in range(count):
                    totals[d] += value.best(t).total(test, t)
        found[queries] = totals / len(table)
    weights = np.asarray(dials)
    price = weights / (unit_cost or 1.0)
    utility = {
        queries: float(((1 - weights) * means[:, 0] - price * np.nan_to_num(means[:, 1])).mean())
        for queries, means in found.items()
    }
    best = max(utility, key=lambda queries: (round(utility[queries], 9), queries))
    return Pooling(
        best,
        tuple({"pooling": queries, "utility": value} for queries, value in utility.items()),
        tuple(found[best][:, 0].tolist()),
        tuple(found[best][:, 1].tolist()),
        every.pooled(_sides(count, folds, -1)[0]),
    )


def _sides(count: int, folds: int, held: int) -> tuple[Floats, Floats]:
    """[T, T * folds] which groups are learned from, and which are left out."""
    inside, outside = np.zeros((count, count * folds)), np.zeros((count, count * folds))
    for t in range(count):
        for f in range(folds):
            (outside if f == held else inside)[t, t + count * f] = 1.0
    return inside, outside
