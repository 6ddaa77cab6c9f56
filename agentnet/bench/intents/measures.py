"""Figures of label packs: sets of agents, abstention at a rate of false alarms, calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentnet.routers.reasoning.reward import reward

Floats = NDArray[np.float64]
FALSE_ALARMS = 0.05
"""Share of the val rows in scope that the threshold turns away."""
BINS = 15


@dataclass(frozen=True, slots=True, eq=False)
class Predicted:
    """What a router or a reference makes of n rows.

    Attributes:
        probability: [n, A] of each agent being right.
        chosen: [n] columns of the agents chosen where nothing is turned away, the likeliest first.
        scope: [n] how surely some agent fits: what the threshold is put on.
        turned: [n] whether the router's own threshold turns the row away; None where it was not asked.
    """

    probability: NDArray[np.float32]
    chosen: tuple[tuple[int, ...], ...]
    scope: Floats
    turned: NDArray[np.bool_] | None = None

    @classmethod
    def top_one(cls, probability: NDArray[np.float32], scope: Floats | None = None) -> Predicted:
        """Chooses the likeliest agent alone; the scope is its probability where nothing else is given."""
        best = probability.argmax(1)
        given = probability.max(1).astype(np.float64) if scope is None else scope
        return cls(probability, tuple((int(j),) for j in best), given)

    def hit(self, gold: ArrayLike) -> Floats:
        """[n] 1 where the right agent is among the chosen."""
        pairs = zip(self.chosen, np.asarray(gold).tolist(), strict=True)
        return np.array([right in chosen for chosen, right in pairs], np.float64)

    def exact(self, gold: ArrayLike) -> Floats:
        """[n] 1 where the right agent alone is chosen."""
        pairs = zip(self.chosen, np.asarray(gold).tolist(), strict=True)
        return np.array([chosen == (right,) for chosen, right in pairs], np.float64)

    def kept(self, least: float | None) -> NDArray[np.bool_]:
        """[n] what is not turned away, by a threshold on the scope; None takes the router's own."""
        if least is not None:
            return np.asarray(self.scope >= least)
        assert self.turned is not None  # only routers are asked for their own
        return ~self.turned

    @property
    def size(self) -> Floats:
        """[n] how many agents are chosen."""
        return np.array([len(chosen) for chosen in self.chosen], np.float64)

    @property
    def top(self) -> Floats:
        """[n] probability of the first chosen agent; 0 where there is none."""
        return np.array(
            [float(p[c[0]]) if c else 0.0 for p, c in zip(self.probability, self.chosen, strict=True)]
        )

    def first_right(self, gold: ArrayLike) -> Floats:
        """[n] 1 where the first chosen agent is right."""
        pairs = zip(self.chosen, np.asarray(gold).tolist(), strict=True)
        return np.array([bool(chosen) and chosen[0] == right for chosen, right in pairs], np.float64)


def threshold_of(inside: ArrayLike, rate: float = FALSE_ALARMS) -> float:
    """Returns the least scope that is let in: at most ``rate`` of these rows in scope lie below it.

    >>> threshold_of([0.1, 0.5, 0.6, 0.7], 0.25)
    0.5
    """
    ranked = np.sort(np.asarray(inside, np.float64))
    return float(ranked[int(np.floor(rate * len(ranked)))])


def auroc(inside: ArrayLike, outside: ArrayLike) -> float:
    """Returns the probability that a row in scope has more scope than one out of scope; ties count half.

    >>> auroc([2, 3], [1, 2])
    0.875
    """
    high = np.asarray(inside, np.float64)
    low = np.sort(np.asarray(outside, np.float64))
    below = np.searchsorted(low, high, "left")
    upto = np.searchsorted(low, high, "right")
    return float((below + upto).mean() / (2 * len(low)))


def reliability(probability: ArrayLike, right: ArrayLike, bins: int = BINS) -> list[tuple[float, float, int]]:
    """Returns mean probability, share right and size of bins with about equally many rows.

    >>> reliability([0.2, 0.2, 0.8, 0.8], [0, 0, 1, 1], bins=2)
    [(0.2, 0.0, 2), (0.8, 1.0, 2)]
    """
    p, y = np.asarray(probability, np.float64), np.asarray(right, np.float64)
    edges = np.unique(np.quantile(p, np.linspace(0, 1, min(bins, p.size) + 1)[1:-1]))
    which = np.searchsorted(edges, p, side="left")
    found = [which == k for k in range(len(edges) + 1)]
    return [(round(float(p[k].mean()), 12), float(y[k].mean()), int(k.sum())) for k in found if k.any()]


def set_figures(
    chosen: Sequence[Sequence[int]], gold: Sequence[frozenset[int]], names: Sequence[str]
) -> dict[str, Floats]:
    """Returns [n] exactness, reward, recall and size of chosen sets.

    Args:
        chosen: Columns chosen.
        gold: Columns that are right.
        names: Of the columns.

    >>> {key: value.tolist() for key, value in set_figures([(0,)], [frozenset({0, 1})], "ab").items()}
    {'exact': [0.0], 'reward': [0.75], 'recall': [0.5], 'size': [1.0]}
    """
    rows = [(frozenset(int(j) for j in c), g) for c, g in zip(chosen, gold, strict=True)]

    def said(columns: frozenset[int]) -> set[str]:
        return {names[j] for j in columns}

    return {
        "exact": np.array([float(c == g) for c, g in rows]),
        "reward": np.array([reward(said(c), said(g)) for c, g in rows]),
        "recall": np.array([len(c & g) / len(g) for c, g in rows]),
        "size": np.array([float(len(c)) for c, _ in rows]),
    }


def best_k(probability: NDArray[np.float32], k: int) -> list[tuple[int, ...]]:
    """Returns the k likeliest columns of each row."""
    order = np.argsort(-probability, axis=1, kind="stable")[:, :k]
    return [tuple(int(j) for j in row) for row in order]


def above(probability: NDArray[np.float32], least: float, most: int) -> list[tuple[int, ...]]:
    """Returns the columns whose probability is at least ``least``: the likeliest always, ``most`` at most."""
    return [
        tuple(j for rank, j in enumerate(row) if rank == 0 or probability[i, j] >= least)
        for i, row in enumerate(best_k(probability, most))
    ]


def compact(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Returns JSON values of arrays, floats with six digits."""
    return {
        key: [round(float(v), 6) for v in value] if isinstance(value, np.ndarray) else value
        for key, value in arrays.items()
    }
