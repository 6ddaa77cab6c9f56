"""Simulated releases for suite ``promotion``: an old router that logs, a new one, and the true gain."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentnet.graphs.task_graph import TaskGraph
from agentnet.outcomes.choices import draw_log
from agentnet.outcomes.table import Outcomes
from agentnet.releases.evidence import Judged, Pairs
from agentnet.routers.policy import Policy

Floats = NDArray[np.float64]
SIZES = (2_000, 5_000, 10_000, 20_000)
"""Decisions of the logs, in turn."""
EPSILONS = (0.2, 0.5)
"""Shares of the tasks that the old router explores on, in turn."""
_ROWS = (40, 1_500)
_DIMENSIONS = 16
_AGENTS = 3
_TRIES = 4_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trial:
    """One simulated release.

    Attributes:
        judged: The log that the old router left behind, and what both would do on its queries.
        pairs: 5,000 tasks on which both choices were run and scored.
        gain: The true difference: the mean over the pool that queries are drawn from.
        epsilon: Share of the tasks on which the old router explored.
    """

    judged: Judged
    pairs: Pairs
    gain: float
    epsilon: float


class Releases:
    """Makes releases from a pack: routers are fitted on one half of it, logs are drawn from the other.

    Old and new router are ridge regressions of each agent's score on a few directions of the encodings,
    fitted on a random number of random rows, and choosing among some agents of neighbouring quality: so
    they differ in quality as routers in the field do. Half of the releases are truly worse.

    Args:
        outcomes: A full matrix.
        vectors: [n, d] encodings of its queries.
        seed: Another seed gives other halves, routers and logs.
    """

    def __init__(self, outcomes: Outcomes, vectors: NDArray[np.float32], *, seed: int) -> None:
        self._rng = np.random.default_rng([seed, 7])
        order = self._rng.permutation(len(outcomes))
        self._fit, self._pool = order[: len(order) // 2], np.sort(order[len(order) // 2 :])
        reduced = _reduce(vectors)
        self._x = np.concatenate([np.ones((len(reduced), 1)), reduced], axis=1)
        self._score = outcomes.score.astype(np.float64)
        self._cost = outcomes.cost
        self._order = np.argsort(self._score[self._fit].mean(0))
        self.logged = outcomes.take(self._pool)
        self.vectors = np.asarray(vectors[self._pool], np.float32)
        self._plans = tuple(TaskGraph.of([name]) for name in outcomes.agents)

    def trials(self, count: int, *, paired: int = 5_000) -> Iterator[Trial]:
        """Yields releases; every second one is truly worse."""
        for number in range(count):
            old, new, gain = self._routers(worse=number % 2 == 1)
            epsilon = EPSILONS[number // 2 % len(EPSILONS)]
            size = SIZES[number // (2 * len(EPSILONS)) % len(SIZES)]
            agents = self._score.shape[1]
            logging = np.full((len(self._pool), agents), epsilon / agents)
            logging[np.arange(len(old)), old] += 1 - epsilon
            log = draw_log(self.logged, logging, size, self._rng)
            yield Trial(
                judged=Judged(log=log, new=self._policy(new), old=self._policy(old)),
                pairs=self._pairs(old, new, paired),
                gain=gain,
                epsilon=epsilon,
            )

    def _routers(self, *, worse: bool) -> tuple[NDArray[np.intp], NDArray[np.intp], float]:
        """The choices of an old and a new router on the pool, until the sign of the gain is as wanted."""
        rows = np.arange(len(self._pool))
        for _ in range(_TRIES):
            old, new = self._router(), self._router()
            truth = self._score[self._pool]
            gain = float((truth[rows, new] - truth[rows, old]).mean())
            if gain != 0 and (gain < 0) == worse:
                return old, new, gain
        raise AssertionError("routers of both signs come up in a few tries")

    def _router(self) -> NDArray[np.intp]:
        rng = self._rng
        n = int(np.exp(rng.uniform(*np.log(_ROWS))))
        rows = rng.choice(self._fit, min(n, len(self._fit)), replace=False)
        # Neighbours in quality: routers over weak agents, over strong ones, and over all come up.
        start = int(rng.integers(self._score.shape[1] - _AGENTS + 1))
        agents = self._order[start : start + int(rng.integers(_AGENTS, self._score.shape[1] + 1))]
        x = self._x[rows]
        pull = np.diag([1e-6] + [0.02 * len(rows)] * (x.shape[1] - 1))
        weights = np.linalg.solve(x.T @ x + pull, x.T @ self._score[np.ix_(rows, agents)])
        chosen: NDArray[np.intp] = agents[(self._x[self._pool] @ weights).argmax(1)]
        return chosen

    def _policy(self, chosen: NDArray[np.intp]) -> Policy:
        chance = np.zeros((len(chosen), len(self._plans)))
        chance[np.arange(len(chosen)), chosen] = 1
        nothing = np.full(len(chosen), np.nan)
        return Policy(plans=self._plans, chance=chance, cost=nothing, expected=nothing)

    def _pairs(self, old: NDArray[np.intp], new: NDArray[np.intp], n: int) -> Pairs:
        drawn = self._rng.integers(len(self._pool), size=n)
        at = self._pool[drawn]
        return Pairs(
            new=self._score[at, new[drawn]],
            old=self._score[at, old[drawn]],
            new_cost=self._cost[at, new[drawn]],
            old_cost=self._cost[at, old[drawn]],
            slices=tuple(self.logged.queries.task[i] for i in drawn),
        )


def _reduce(vectors: NDArray[np.float32]) -> Floats:
    """The first principal directions of encodings, scaled."""
    centred = np.asarray(vectors, np.float64) - vectors.mean(0)
    directions = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :_DIMENSIONS]
    reduced: Floats = centred @ directions
    scaled: Floats = reduced / reduced.std()
    return scaled
