"""Fitting the mixed-effects model to a log or a full matrix, with the pull of agents' own effects chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from agentnet.outcomes.encoders.base import unit_rows
from agentnet.outcomes.table import Outcomes
from agentnet.routers.feedback.behaviour import habit_of, learn_habit
from agentnet.routers.feedback.effects import Design, Effects, fit_effects, with_one
from agentnet.routers.feedback.landmarks import Landmarks
from agentnet.routers.partial import inverse_weights, is_partial
from agentnet.routers.tuning import Search

Floats = NDArray[np.float64]
PULLS = (1.0, 2.0, 4.0, 8.0, 30.0)
"""Pulls of agents' own effects that are tried: outcomes that the prior of an effect counts for."""
LOG_PULL = 4.0
"""Pull in a log. Squared error of left-out scores asks for less than decisions do: of many noisy estimates
the highest is taken, so that each must be nearer to its prior than is best for it alone."""
COMMON, OWN = 64, 32
"""Most landmarks of shared effects and of an agent's own."""
SHARPNESS, OWN_SHARPNESS = 6.0, 4.0
"""Of the kernels. What all agents share is seen finer than an agent's own: more scores stand behind it."""
POWER, CAP = 0.5, 10.0
"""Weights are min(1 / p, CAP)^POWER: what is left of the bias is the regression's to take out, and costs less
than the variance of full weights."""


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A fitted mixed-effects model of A agents.

    Attributes:
        common: Landmarks of shared effects.
        own: Landmarks of an agent's own effects.
        habit: [1 + D, A] coefficients of the logging router's probabilities; None unknown.
        effects: The effects.
    """

    common: Landmarks
    own: Landmarks
    habit: Floats | None
    effects: Effects

    def design(self, vectors: NDArray[np.float32]) -> Design:
        """Returns the regressors of tasks given as [n, d] views side by side."""
        x = unit_rows(vectors)
        common = with_one(self.common.features(x))
        habit = habit_of(self.habit, common, len(self.effects.own))
        return Design(common, with_one(self.own.features(x)), habit)

    def predict(self, vectors: NDArray[np.float32]) -> Floats:
        """Returns [n, A] expected scores, not held to [0, 1]."""
        return self.effects.predict(self.design(vectors))

    def columns(self, at: NDArray[np.intp]) -> Self:
        """Returns the agents at these positions; at -1 an agent without outcomes."""
        habit = None if self.habit is None else np.where(at >= 0, self.habit[:, at], 0.0)
        return type(self)(self.common, self.own, habit, self.effects.columns(at))

    def state(self) -> dict[str, NDArray[Any]]:
        """Returns the arrays; the inverse of `restore`."""
        habit = {} if self.habit is None else {"habit": self.habit}
        return self.common.state("common") | self.own.state("own") | self.effects.state() | habit

    @classmethod
    def restore(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Makes a model from what `state` returned."""
        return cls(
            Landmarks.restore("common", arrays), Landmarks.restore("own", arrays), arrays.get("habit"),
            Effects.restore(arrays),
        )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A model, and how it was found.

    Attributes:
        model: The model.
        left_out: [n, A] predictions for the rows it was fitted on; of known scores made without them.
        search: What was tried.
    """

    model: Model
    left_out: Floats
    search: Search


def fit_model(
    outcomes: Outcomes,
    vectors: NDArray[np.float32],
    *,
    seed: int,
    pulls: Sequence[float] | None = None,
) -> Fitted:
    """Fits the model.

    Args:
        outcomes: n rows; propensities are used where they are known and the rows are partial.
        vectors: [n, d] their views side by side.
        seed: Of the landmarks.
        pulls: Pulls to choose among; None takes `LOG_PULL` where rows are partial, and else tries `PULLS`.
    """
    n = len(outcomes)
    x = unit_rows(vectors)
    common = Landmarks.of(x, max(1, min(COMMON, n // 4)), SHARPNESS, seed=seed)
    own = Landmarks.of(x, max(1, min(OWN, n // 8)), OWN_SHARPNESS, seed=seed)
    features = with_one(common.features(x))
    weight = np.nan_to_num(outcomes.weight, nan=1.0).astype(np.float64)
    habit, partial = None, is_partial(outcomes)
    if partial:
        habit = learn_habit(outcomes, features)
        weight = weight * inverse_weights(outcomes, power=POWER, cap=CAP)
    design = Design(features, with_one(own.features(x)), habit_of(habit, features, len(outcomes.pool)))
    score = outcomes.score.astype(np.float64)
    scope = ~outcomes.out_of_scope
    search, found = Search(), {}
    for pull in pulls or ((LOG_PULL,) if partial else PULLS):
        effects, left_out = fit_effects(design, score, weight, pull)
        found[pull] = (effects, left_out)
        search.add({"pull": pull}, left_out[scope], score[scope], float(np.log(pull)), weight[scope])
    effects, left_out = found[search.choose()["pull"]]
    return Fitted(Model(common, own, habit, effects), left_out, search)
