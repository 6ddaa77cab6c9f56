"""`Effects`: a linear model with effects that all agents share and effects of each agent's own.

    score(x, a) = c_0 + c . f(x) + d * habit(x, a)  +  b_a0 + b_a . g(x)

All coefficients but c_0 are drawn to zero, those of single agents more strongly, so that an agent departs
from what agents are like as far as its own outcomes ask for: a mixed-effects model, or partial pooling
(Gelman and Hill, "Data analysis using regression and multilevel models", 2007). It is the posterior mean
under normal priors and normal noise. With the agents' blocks eliminated, it costs A small systems.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_FREE = 1e-4
"""Outcomes that the prior of the common intercept counts for: hardly any."""
COMMON_PULL = 0.6
"""Noise variance over prior variance of a common effect, .15 / .5^2 in squared scores."""
LEVEL_PULL = 6.7
"""The same of an agent's level, .15 / .15^2."""
HABIT_PULL = 1.7
"""The same of what the logging router knew, .15 / .3^2."""


def with_one(features: Floats) -> Floats:
    """Returns the features with a first column of ones."""
    return np.concatenate((np.ones((len(features), 1)), features), axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """n rows ready to be learned from or predicted for.

    Attributes:
        common: [n, 1 + D] features of shared effects, the first 1.
        own: [n, 1 + E] features of an agent's own effects, the first 1.
        habit: [n, A] what is known of the logging router's choice; zeros where nothing is.
    """

    common: Floats
    own: Floats
    habit: Floats

    def shared(self, rows: NDArray[np.intp], agent: int) -> Floats:
        """Returns [rows, D + 2] the columns of all shared effects for one agent."""
        return np.concatenate((self.common[rows], self.habit[rows, agent, None]), axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class Effects:
    """Fitted effects of A agents.

    Attributes:
        shared: [D + 2] intercept, common effects, effect of the habit.
        own: [A, 1 + E] each agent's level and effects.
        gram: [A, 1 + E, 1 + E] and
        target: [A, 1 + E] weighted sums over each agent's outcomes after the shared effects; they let further
            outcomes be added.
        pull: Noise variance over prior variance of an agent's own effects.
    """

    shared: Floats
    own: Floats
    gram: Floats
    target: Floats
    pull: float

    def predict(self, design: Design) -> Floats:
        """Returns [n, A] expected scores, not held to [0, 1]."""
        told: Floats = (design.common @ self.shared[:-1])[:, None] + self.shared[-1] * design.habit
        told += design.own @ self.own.T
        return told

    def columns(self, at: NDArray[np.intp]) -> Self:
        """Returns the agents at these positions; at -1 an agent without outcomes."""
        found = replace(self, own=self.own[at], gram=self.gram[at], target=self.target[at])
        for part in (found.own, found.gram, found.target):
            part[at < 0] = 0.0
        return found

    def add(self, design: Design, score: Floats, weight: Floats) -> Self:
        """Returns the effects with further outcomes of these agents; shared effects stay.

        Args:
            design: n rows with the agents' columns.
            score: [n, A]; NaN unknown.
            weight: [n, A].
        """
        gram, target, own = self.gram.copy(), self.target.copy(), self.own.copy()
        prior = own_prior(own.shape[1], self.pull)
        for a in range(score.shape[1]):
            rows = np.flatnonzero(~np.isnan(score[:, a]) & (weight[:, a] > 0))
            if len(rows):
                left = score[rows, a] - design.shared(rows, a) @ self.shared
                heavy = design.own[rows] * weight[rows, a, None]
                gram[a] += heavy.T @ design.own[rows]
                target[a] += heavy.T @ left
                own[a] = np.linalg.solve(gram[a] + prior, target[a])
        return replace(self, gram=gram, target=target, own=own)

    def state(self) -> dict[str, NDArray[Any]]:
        """Returns the arrays; the inverse of `restore`."""
        names = ("shared", "own", "gram", "target")
        return {f"effects_{name}": getattr(self, name) for name in names} | {
            "effects_pull": np.array([self.pull])
        }

    @classmethod
    def restore(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Makes effects from what `state` returned."""
        return cls(
            shared=arrays["effects_shared"],
            own=arrays["effects_own"],
            gram=arrays["effects_gram"],
            target=arrays["effects_target"],
            pull=float(arrays["effects_pull"][0]),
        )


def own_prior(width: int, pull: float) -> Floats:
    """[width, width] prior precision of an agent's own effects, in outcomes."""
    return np.diag(np.concatenate(([LEVEL_PULL], np.full(width - 1, pull))))


def fit_effects(design: Design, score: Floats, weight: Floats, pull: float) -> tuple[Effects, Floats]:
    """Learns the effects from outcomes with holes.

    Args:
        design: n rows.
        score: [n, A]; NaN unknown.
        weight: [n, A] how much each score counts.
        pull: Of the agents' own effects; see `Effects`.

    Returns:
        The effects, and [n, A] predictions, where a score is known made without that score (in closed form,
        as residuals of a linear smoother left out one at a time).
    """
    agents, width = score.shape[1], design.own.shape[1]
    precision = np.full(design.common.shape[1] + 1, COMMON_PULL)
    precision[0], precision[-1] = _FREE, HABIT_PULL
    schur, right = np.diag(precision), np.zeros(len(precision))
    prior = own_prior(width, pull)
    rows, blocks = [], []
    for a in range(agents):
        at = np.flatnonzero(~np.isnan(score[:, a]) & (weight[:, a] > 0))
        u, v, w = design.shared(at, a), design.own[at], weight[at, a, None]
        gram = (v * w).T @ v
        inverse = np.linalg.inv(gram + prior)
        cross, target = (v * w).T @ u, (v * w).T @ score[at, a]
        turned = inverse @ cross
        schur += (u * w).T @ u - cross.T @ turned
        right += (u * w).T @ score[at, a] - turned.T @ target
        rows.append(at)
        blocks.append((gram, inverse, cross, turned, target))
    covariance = np.linalg.inv(schur)
    shared = covariance @ right
    own = np.stack([inverse @ target - turned @ shared for _, inverse, _, turned, target in blocks])
    effects = Effects(
        shared=shared,
        own=own,
        gram=np.stack([block[0] for block in blocks]),
        target=np.stack([target - cross @ shared for _, _, cross, _, target in blocks]),
        pull=pull,
    )
    raw = effects.predict(design)
    for a, (at, (_, inverse, _, turned, _)) in enumerate(zip(rows, blocks, strict=True)):
        v = design.own[at]
        apart = design.shared(at, a) - v @ turned
        spread = np.einsum("ij,jk,ik->i", v, inverse, v, optimize=True)
        spread += np.einsum("ij,jk,ik->i", apart, covariance, apart, optimize=True)
        leverage = np.clip(weight[at, a] * spread, 0.0, 0.99)
        raw[at, a] = score[at, a] - (score[at, a] - raw[at, a]) / (1 - leverage)
    return effects, raw
