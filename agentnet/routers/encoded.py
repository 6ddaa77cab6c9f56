"""`EncodedRouter`: base of the single-agent routers that look at the task's encoding."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Generic, NamedTuple, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Task
from agentnet.outcomes.table import Outcomes
from agentnet.routers.base import FitReport
from agentnet.routers.calibration import fit_calibration, fit_logistic
from agentnet.routers.decision import Floats
from agentnet.routers.encoding import Encodes, Vectors
from agentnet.routers.selection import BELOW_BEST, FALSE_ALARMS, LOW_END, pick_threshold
from agentnet.routers.single import SingleRouter

View = TypeVar("View")

_VIEWS = 8


class Stranger(NamedTuple):
    """An agent of the pool without outcomes.

    Attributes:
        column: Its position in the pool.
        profile: [m, d] its encoded profile and examples.
        described: Whether more than its name is known.
    """

    column: int
    profile: Vectors
    described: bool


class EncodedRouter(Encodes, SingleRouter, Generic[View]):
    """Encodes tasks, and knows unseen agents by their description.

    An agent without any outcome gets the score that its similarity to the task is worth: a logistic
    curve from the cosine between task and profile (or the nearest of its ``examples``) to the score,
    fitted over the training agents.

    In a label pack an agent is its description, so that this score stands. Elsewhere a description is no
    evidence of quality: the score is drawn halfway to the known agents' mean score and held below the
    best known agent's score for the task. Where even that one is below the low end (25th percentile) of
    the known agents' mean scores, an agent whose description speaks for the task may go up to that low
    end. Without a description, or where similarity says nothing, it has the low end or less.

    Subclasses give `_learn_vectors`, `_view` and `_predict_known`.
    """

    def __init__(self, *, encoder: str = "minilm") -> None:
        super().__init__()
        self.encoder = encoder
        self._prior = (0.0, 0.0)
        self._views: OrderedDict[str, tuple[View, list[Stranger]]] = OrderedDict()

    # -- for subclasses ------------------------------------------------------------------------
    @abstractmethod
    def _learn_vectors(
        self, outcomes: Outcomes, vectors: Vectors, *, seed: int
    ) -> tuple[FitReport, NDArray[np.intp], Floats]:
        """Learns from encoded outcomes.

        Returns:
            The report, some rows (positions in ``outcomes``), and for these [m, A] raw scores predicted
            without their own outcomes: from them calibration and the threshold are learned.
        """

    @abstractmethod
    def _view(self, pool: Pool) -> View:
        """Prepares what is needed for this pool, with its agents as columns; kept for later calls."""

    @abstractmethod
    def _predict_known(self, view: View, vectors: Vectors) -> tuple[Floats, Floats]:
        """Returns raw scores [n, A] and costs [n, A] or [A]; unknown agents' columns are overwritten."""

    # -- learning ------------------------------------------------------------------------------
    def _learn(self, outcomes: Outcomes, *, seed: int, device: str) -> FitReport:
        vectors = self._encode(outcomes.tasks(), None)
        self._views = OrderedDict()
        report, rows, raw = self._learn_vectors(outcomes, vectors, seed=seed)
        self._prior = self._fit_prior(outcomes, vectors, seed)
        self.calibration = fit_calibration(raw, outcomes.score[rows], seed=seed)
        top = self.calibration.apply(raw).max(1)
        found = pick_threshold(top, outcomes.out_of_scope[rows], false_alarms=FALSE_ALARMS)
        if found is None:
            return report
        self.threshold = found[0]
        note = f"abstains below {found[0]:.3f}: finds {found[1]:.2f} of the training tasks out of scope"
        return FitReport(
            router=report.router, n_train=report.n_train, n_val=report.n_val, seconds=0,
            chosen=report.chosen, tried=report.tried, notes=(*report.notes, note),
        )  # fmt: skip

    def _fit_prior(self, outcomes: Outcomes, vectors: Vectors, seed: int) -> tuple[float, float]:
        rows = np.random.default_rng(seed).permutation(len(outcomes))[:2000]
        score = outcomes.score[rows]
        similarity = np.stack([self._similarity(vectors[rows], a) for a in outcomes.pool], axis=1)
        seen = ~np.isnan(score)
        slope, offset = fit_logistic(similarity[seen].astype(np.float64), score[seen].astype(np.float64))
        if slope < 0:  # similar agents that score worse: similarity says nothing here
            base = float(np.clip(score[seen].mean(), 0.001, 0.999))
            return 0.0, float(np.log(base / (1 - base)))
        return slope, offset

    def _profile(self, agent: Agent) -> Vectors:
        return self._texts([agent.profile, *agent.examples])

    def _similarity(self, vectors: Vectors, agent: Agent) -> Vectors:
        nearest: Vectors = (vectors @ self._profile(agent).T).max(1)
        return nearest

    # -- predicting ----------------------------------------------------------------------------
    def _predict(self, tasks: Sequence[Task], pool: Pool, vectors: Vectors | None) -> tuple[Floats, Floats]:
        if vectors is None:
            vectors = self._encode(tasks, None)
        view, strangers = self._prepared(pool)
        raw, cost = self._predict_known(view, vectors)
        if not strangers:
            return raw, cost
        held = self.kind != "label" and len(strangers) < len(pool)
        known = np.ones(len(pool), bool)
        known[[stranger.column for stranger in strangers]] = False
        best = raw[:, known].max(1) if held else None
        means = self.stats.mean(pool)[known]
        for stranger in strangers:
            guess = self._guess(stranger, vectors)
            raw[:, stranger.column] = guess if best is None else self._hold(stranger, guess, best, means)
        return raw, cost

    def _guess(self, stranger: Stranger, vectors: Vectors) -> Floats:
        """[n] the score that the similarity of the tasks to the agent is worth."""
        slope, offset = self._prior
        nearest = (vectors @ stranger.profile.T).max(1)
        guess: Floats = 1 / (1 + np.exp(-(slope * nearest + offset)))
        return guess

    def _hold(self, stranger: Stranger, guess: Floats, best: Floats, means: Floats) -> Floats:
        """Holds a guess to the level of the known agents.

        Args:
            stranger: The agent.
            guess: [n] from `_guess`.
            best: [n] the highest score among the known agents.
            means: Mean scores of the known agents.

        Returns:
            [n] scores below ``best``, save where the known agents are poor and the guess is high.
        """
        low, mean = float(np.percentile(means, LOW_END)), float(means.mean())
        cap = BELOW_BEST * best
        if not stranger.described or self._prior[0] <= 0:
            least: Floats = np.minimum(low, cap)
            return least
        # "Speaks for the task": the curve puts it above what the known agents reach on average.
        highest = np.where(guess > mean, np.maximum(cap, low), cap)
        held: Floats = np.minimum((guess + mean) / 2, highest)
        return held

    def _prepared(self, pool: Pool) -> tuple[View, list[Stranger]]:
        """The view of a pool and the profiles of its unknown agents; the latest few are kept."""
        found = self._views.get(pool.version)
        if found is None:
            known = self._knows(pool)
            strangers = [
                Stranger(i, self._profile(agent), bool(agent.description.strip() or agent.examples))
                for i, agent in enumerate(pool)
                if not known[i]
            ]
            found = (self._view(pool), strangers)
            self._views[pool.version] = found
            while len(self._views) > _VIEWS:
                self._views.popitem(last=False)
        return found

    def _knows(self, pool: Pool) -> NDArray[np.bool_]:
        """[A] agents with outcomes, or with examples where an example counts as an outcome."""
        known = self.stats.known(pool)
        if self.kind == "label":
            known |= np.array([bool(agent.examples) for agent in pool])
        return known

    def _copy(self) -> Self:
        other = copy.copy(self)
        other._views = OrderedDict()
        return other

    # -- disk ----------------------------------------------------------------------------------
    def _state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        state, arrays = super()._state()
        return state | {"prior": list(self._prior)}, arrays

    def _restore(self, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        super()._restore(config, arrays)
        self._prior = (float(config["prior"][0]), float(config["prior"][1]))
        self._views = OrderedDict()
