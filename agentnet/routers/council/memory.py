"""`Memory`: logged queries with the outcomes of some arms, and what they tell of a new query.

An arm is an agent, or a set or cascade of agents. The prediction for query q and arm a is a sum of messages
along the graph's edges, each drawn to zero by how little stands behind it:

    s(q, a) = sum_t p(t|q) profile_ta + common(q) + specific(q, a)

``profile`` comes along query-type and type-agent edges (`Profiles`); ``common`` along query-query edges: how
hard the neighbours were for everybody; ``specific`` along the same edges: what of an arm's outcomes there is
its own. An arm with few outcomes thus has the profile that arms have, and departs from it as its outcomes
ask for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from agentnet.routers.council.profiles import Profiles, rich_arms
from agentnet.routers.council.strengths import Strengths
from agentnet.routers.council.views import Vectors

Floats = NDArray[np.float64]
LEVELS = ("means", "types", "neighbours")
"""How far messages go: the arms' means only, types too, neighbours too."""
_BLOCK = 1024
_CAUTION = 0.25
"""Standard errors taken off the expected score of arms with few outcomes."""


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What is predicted for n queries and M arms.

    Attributes:
        score: [n, M] expected scores; of arms with few outcomes a little less.
        error: [n, M] standard error of these; how little stands behind them.
    """

    score: Floats
    error: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """Messages of N logged queries for M arms, ready to be sent.

    Attributes:
        relations: [N, R] of unit rows: the views that edges between queries are weighed by, side by side.
        mix: [T] shares of the types among the logged queries.
        mean: [M] expected scores over the logged queries' mix of types.
        profiles: Expected scores by type.
        common: [N] what a query was harder or easier for all than its types say.
        specific: [N, M] what was left for an arm; 0 where it was not observed.
        seen: [N, M] trust in the outcome; 0 not observed.
        asked: [N] queries on which anything was observed, of whichever arm.
        rich: [M] arms with many outcomes.
        strengths: Learned numbers of the propagation.
        spread: Mean square of what is left in the end, of one outcome.
    """

    relations: Vectors
    mix: Floats
    mean: Floats
    profiles: Profiles
    common: Floats
    specific: Floats
    seen: Floats
    asked: NDArray[np.bool_]
    rich: NDArray[np.bool_]
    strengths: Strengths
    spread: float

    @classmethod
    def of(
        cls,
        score: Floats,
        trust: Floats,
        posterior: Floats,
        relations: Vectors,
        strengths: Strengths,
    ) -> Self:
        """Computes the messages.

        Args:
            score: [N, M] in [0, 1]; NaN not observed.
            trust: [N, M] weight of each score.
            posterior: [N, T] types, from a head that has not seen the row.
            relations: [N, R] views.
            strengths: Of the propagation.
        """
        seen = np.where(np.isnan(score), 0.0, trust)
        raw = np.where(seen > 0, np.nan_to_num(score), 0.0)
        rich = rich_arms(seen)
        # What a query was for all is known from the agents that saw most: few outcomes of another agent on
        # such queries say more once that is taken off.
        first = Profiles.of(raw[:, rich], seen[:, rich], posterior)
        hard = _shared_by_rows(raw[:, rich] - first.left_out, seen[:, rich])
        y = np.where(seen > 0, raw - hard[:, None], 0.0)
        profiles = Profiles.of(y, seen, posterior)
        residual = np.where(seen > 0, raw - profiles.left_out, 0.0)
        common = _shared_by_rows(residual, seen)
        specific = np.where(seen > 0, residual - common[:, None], 0.0)
        spread = float((seen * specific**2).sum() / max(seen.sum(), 1e-9))
        mix = posterior.mean(0)
        asked = np.asarray((seen > 0).any(1))
        return cls(
            relations, mix, mix @ profiles.score, profiles, common, specific, seen, asked, rich, strengths,
            spread,
        )  # fmt: skip

    def left_out(self) -> list[Floats]:
        """Returns [N, M] predictions for the logged queries, each without its own outcomes.

        One for each of `LEVELS`.
        """
        told = self.profiles.left_out
        near, _ = self._neighbours(self.relations, own=True)
        return [np.broadcast_to(self.mean, told.shape), told, told + near]

    def predict(self, relations: Vectors, posterior: Floats, *, level: int = 2) -> Prediction:
        """Predicts for new queries.

        Args:
            relations: [n, R] their views.
            posterior: [n, T] their types.
            level: How far messages go: a position in `LEVELS`.
        """
        if level == 0:
            score = np.array(np.broadcast_to(self.mean, (len(posterior), len(self.mean))))
        else:
            score = posterior @ self.profiles.score
        variance = self.profiles.error(posterior)
        if level > 1:
            near, behind = self._neighbours(relations)
            score = score + near
            variance = variance + self.spread / (behind + self.strengths.specific.pull)
        error = np.sqrt(variance)
        # Of many guesses the highest is too high: an agent hardly known is held back by its error.
        return Prediction(score - _CAUTION * error * ~self.rich, error)

    def _neighbours(self, relations: Vectors, *, own: bool = False) -> tuple[Floats, Floats]:
        """[n, M] common plus specific messages, and [n, M] the weight behind the specific ones."""
        of_all = self.asked.astype(np.float64)
        near = np.empty((len(relations), len(self.mean)))
        behind = np.empty_like(near)
        together, apart = self.strengths.common, self.strengths.specific
        told = self.seen * self.specific
        for start in range(0, len(relations), _BLOCK):
            part = slice(start, start + _BLOCK)
            heavy = together.weights(relations[part], self.relations)
            sharp = apart.weights(relations[part], self.relations)
            if own:
                at = np.arange(len(heavy))
                heavy[at, start + at] = 0.0
                sharp[at, start + at] = 0.0
            hard = (heavy @ (of_all * self.common)) / (heavy @ of_all + together.pull)
            behind[part] = sharp @ self.seen
            near[part] = hard[:, None] + (sharp @ told) / (behind[part] + apart.pull)
        return near, behind


def _shared_by_rows(residual: Floats, seen: Floats) -> Floats:
    """[N] mean of what is left on a row, drawn to zero by one arm."""
    common: Floats = (seen * residual).sum(1) / (seen.sum(1) + 1.0)
    return common
