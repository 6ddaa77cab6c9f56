"""`Arms`: Bayesian linear regression of every agent's score, with a part that all agents share.

The score of agent a in context x is 0.5 + x'(w + u_a) + noise, with w ~ N(0, s^2 / k I) and
u_a ~ N(0, s^2 / r I) for noise of variance s^2: the hybrid linear model of Li et al., "A contextual-bandit
approach to personalized news article recommendation", WWW 2010, sec. 3.2, with the context itself as the
shared features. Its precision is an arrow (w with every u_a, no u_a with another), so that the inverse of
each agent's block and one Schur complement are all there is to keep, and one outcome changes both by a
matrix of rank one (Sherman and Morrison).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MIDDLE = 0.5
"""What is expected of an agent before anything is known."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Posterior:
    """What is believed of A agents in n contexts.

    Attributes:
        mean: [n, A] expected score.
        own: [n, A] variance of the agent's own part, in units of the noise's variance.
        lever: [n, A, D] what the shared part w weighs in the score.
        common: [D, D] covariance of w, in units of the noise's variance.
    """

    mean: Floats
    own: Floats
    lever: Floats
    common: Floats

    @property
    def deviation(self) -> Floats:
        """[n, A] standard deviation of the expected score, in units of the noise's."""
        shared = ((self.lever @ self.common) * self.lever).sum(-1)
        found: Floats = np.sqrt(np.maximum(self.own + shared, 0.0))
        return found


def root_of(covariance: Floats) -> Floats:
    """Returns L with L L' the covariance; zeros stay zeros.

    >>> root_of(np.array([[4.0]])).round(6).tolist()
    [[2.0]]
    """
    if not covariance.any():
        return covariance
    even = (covariance + covariance.T) / 2 + 1e-12 * np.eye(len(covariance))
    return np.asarray(np.linalg.cholesky(even), np.float64)


@dataclass(frozen=True, kw_only=True, eq=False)
class Arms:
    """A agents' regressions in D features.

    >>> arms = Arms.start(("a", "b"), 1, ridge=1.0, shared=1.0)
    >>> told = arms.learned(np.array([0, 0]), np.ones((2, 1)), np.array([1.0, 1.0]))
    >>> told.posterior(np.ones((1, 1))).mean.round(3).tolist()  # the other agent is expected to be good too
    [[0.9, 0.7]]

    Attributes:
        names: The A agents.
        ridge: r.
        shared: k; None: the agents share nothing, as in LinUCB with disjoint models.
        inverse: [A, D, D] (r I + sum x x')^-1.
        sums: [A, D] sum (score - 0.5) x.
        common: [D, D] covariance of w; zeros where nothing is shared.
        pull: [D] what w answers to: its mean is ``common @ pull``.
    """

    names: tuple[str, ...]
    ridge: float
    shared: float | None
    inverse: Floats
    sums: Floats
    common: Floats
    pull: Floats

    @classmethod
    def start(cls, names: Sequence[str], dim: int, *, ridge: float, shared: float | None) -> Self:
        """Returns what is believed before the first outcome."""
        return cls(
            names=tuple(names),
            ridge=ridge,
            shared=shared,
            inverse=np.tile(np.eye(dim) / ridge, (len(names), 1, 1)),
            sums=np.zeros((len(names), dim)),
            common=np.zeros((dim, dim)) if shared is None else np.eye(dim) / shared,
            pull=np.zeros(dim),
        )

    @property
    def dim(self) -> int:
        """D."""
        return len(self.pull)

    @cached_property
    def where(self) -> dict[str, int]:
        """Position of every agent."""
        return {name: i for i, name in enumerate(self.names)}

    @cached_property
    def root(self) -> Floats:
        """[D, D] L with L L' = ``common``, to draw w by; kept, so not for arms that `absorb` changes."""
        return root_of(self.common)

    def for_agents(self, names: Sequence[str]) -> Arms:
        """Returns these agents in this order; those never seen have their prior: what all share."""
        if tuple(names) == self.names:
            return self
        fresh = Arms.start(names, self.dim, ridge=self.ridge, shared=self.shared)
        for i, name in enumerate(names):
            at = self.where.get(name)
            if at is not None:
                fresh.inverse[i], fresh.sums[i] = self.inverse[at], self.sums[at]
        return self._with(tuple(names), fresh.inverse, fresh.sums, self.common, self.pull)

    def _with(
        self, names: tuple[str, ...], inverse: Floats, sums: Floats, common: Floats, pull: Floats
    ) -> Arms:
        return Arms(
            names=names, ridge=self.ridge, shared=self.shared,
            inverse=inverse, sums=sums, common=common, pull=pull,
        )  # fmt: skip

    def copy(self) -> Arms:
        """Returns arms with arrays of their own, that `absorb` may change."""
        arrays = (self.inverse.copy(), self.sums.copy(), self.common.copy(), self.pull.copy())
        return self._with(self.names, *arrays)

    # -- learning ------------------------------------------------------------------------------
    def learned(
        self, agent: NDArray[np.intp], x: Floats, score: Floats, weight: Floats | None = None
    ) -> Arms:
        """Returns the arms after n further outcomes; in whatever order, the result is the same.

        Args:
            agent: [n] positions of the agents.
            x: [n, D] contexts.
            score: [n] what came out, in [0, 1].
            weight: [n] how much each counts; None is 1.
        """
        fresh = self.copy()
        for i in range(len(agent)):
            fresh.absorb(int(agent[i]), x[i], float(score[i]), 1.0 if weight is None else float(weight[i]))
        return fresh

    def absorb(self, agent: int, x: Floats, score: float, weight: float = 1.0) -> None:
        """Takes in one outcome in place, O(D^2): only for a `copy` that nobody reads yet."""
        block, r = self.inverse[agent], self.ridge
        y = block @ x
        size = 1 / weight + x @ y
        if self.shared is not None:
            lever = r * y
            before = block @ self.sums[agent]
        block -= np.multiply.outer(y, y / size)
        self.sums[agent] += weight * (score - MIDDLE) * x
        if self.shared is not None:
            moved = self.common @ lever
            self.common[:] -= np.multiply.outer(moved, moved / (size + lever @ moved))
            self.pull[:] += r * (block @ self.sums[agent] - before)

    def of_rows(self, x: Floats, score: Floats, weight: Floats) -> Arms:
        """Returns arms that know these rows and nothing else, solved at once.

        Args:
            x: [n, D] contexts.
            score: [n, A] scores; NaN unknown.
            weight: [n, A] how much each counts.
        """
        fresh = Arms.start(self.names, x.shape[1], ridge=self.ridge, shared=self.shared)
        precision = np.eye(x.shape[1]) * (self.shared or 0.0)
        unit = np.eye(x.shape[1]) * self.ridge
        for i in range(len(self.names)):
            rows = np.flatnonzero(~np.isnan(score[:, i]) & (weight[:, i] > 0))
            if not rows.size:
                continue
            weighted = x[rows] * weight[rows, i][:, None]
            fresh.inverse[i] = np.linalg.inv(unit + weighted.T @ x[rows])
            fresh.sums[i] = weighted.T @ (score[rows, i] - MIDDLE)
            precision += unit - self.ridge**2 * fresh.inverse[i]
            fresh.pull[:] += self.ridge * fresh.inverse[i] @ fresh.sums[i]
        if self.shared is not None:
            fresh.common[:] = np.linalg.inv(precision)
        else:
            fresh.pull[:] = 0
        return fresh

    # -- predicting ----------------------------------------------------------------------------
    def posterior(self, x: Floats) -> Posterior:
        """Returns what is believed of all agents in [n, D] contexts."""
        agents, dim = self.sums.shape
        y = (x @ self.inverse.reshape(agents * dim, dim).T).reshape(len(x), agents, dim)
        lever = self.ridge * y
        mean = MIDDLE + (y * self.sums).sum(-1)
        if self.shared is not None:
            mean += lever @ (self.common @ self.pull)
        return Posterior(mean=mean, own=(y * x[:, None, :]).sum(-1), lever=lever, common=self.common)
