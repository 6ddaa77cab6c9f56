"""`BanditRouter`: base of the contextual bandits; subclasses say how they explore."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import InvalidInput
from agentnet.graphs.live import LiveState, PartialRun
from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Task
from agentnet.graphs.task_graph import TaskGraph
from agentnet.outcomes.table import Outcomes
from agentnet.routers.bandits.arms import Arms, Floats, Posterior
from agentnet.routers.bandits.belief import Belief
from agentnet.routers.bandits.evidence import BanditEvidence
from agentnet.routers.bandits.explore import best_of, draw, may_explore, numbers, with_floor
from agentnet.routers.bandits.looks import Features, look_at
from agentnet.routers.base import FitReport, RouteOptions
from agentnet.routers.calibration import Calibration, fit_calibration
from agentnet.routers.decision import Decision, Scores
from agentnet.routers.encoding import Encodes, Vectors
from agentnet.routers.online import OnlineRouter, Served
from agentnet.routers.selection import FALSE_ALARMS, fill_cost, good_enough, pick_threshold
from agentnet.routers.settings import check_at_least, check_choice
from agentnet.routers.single import training_rows

PRIORS: Mapping[Features, tuple[float, float | None]] = {
    "agentnet": (15.0, 4.0),
    "greenserv": (0.05, None),
    "none": (15.0, 4.0),
}
"""Ridge of an agent's own part and of the shared part; GreenServ's is .05, and nothing is shared."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Believed(Scores):
    """Scores, and the snapshot and contexts they were made from.

    Attributes:
        belief: The snapshot.
        arms: Its regressions of the pool's agents.
        posterior: What they say of the n tasks.
        context: [n, D].
        look: [n, d + m]; empty once the contexts are learned.
    """

    belief: Belief
    arms: Arms
    posterior: Posterior
    context: Floats
    look: NDArray[np.float32]


class BanditRouter(Encodes, OnlineRouter):
    """Learns from the score of the one agent that ran, while it serves; see docs/routers/bandits.md.

    It needs no `fit`: it starts from nothing and explores. With `fit` it starts from recorded outcomes.
    """

    needs_fit = False

    def __init__(
        self,
        *,
        features: Features,
        ridge: float | None,
        shared: float | None,
        floor: float,
        budget: float | None,
        encoder: str,
        seed: int | None,
    ) -> None:
        super().__init__()
        check_choice(features=(features, ("agentnet", "greenserv", "none")))
        check_at_least(ridge=(ridge, 1e-6), shared=(shared, 0), floor=(floor, 0), budget=(budget, 0))
        if floor > 1:
            raise InvalidInput(f"setting 'floor' is a probability from 0 to 1; got {floor!r}.")
        self.features, self.ridge, self.shared = features, ridge, shared
        self.floor, self.budget, self.encoder, self.seed = floor, budget, encoder, seed
        default_ridge, default_shared = PRIORS[features]
        common = default_shared if shared is None else shared or None
        self._belief = Belief.start(features, ridge=default_ridge if ridge is None else ridge, shared=common)
        self.calibration = Calibration()
        self.threshold: float | None = None
        self._seed = seed or 0
        self._graphs: dict[str, TaskGraph] = {}
        self._view: tuple[Belief, Arms] | None = None

    # -- for subclasses ------------------------------------------------------------------------
    @abstractmethod
    def _explored(
        self, believed: Believed, value: Floats, minus: Floats | float, gain: float, seed: int
    ) -> Floats:
        """Returns [n, A] probabilities of a bandit that may explore; the floor is added afterwards.

        Args:
            believed: What is believed.
            value: [n, A] predicted utility: gain * score - minus.
            minus: What an agent costs, in utility.
            gain: What a score is worth: one minus the dial.
            seed: Of anything drawn.
        """

    # -- learning ------------------------------------------------------------------------------
    def _fit(self, outcomes: Outcomes, pool: Pool, *, seed: int, device: str) -> FitReport:
        rows = training_rows(outcomes, pool)
        self._seed = seed if self.seed is None else self.seed
        looks = self._looks(rows.tasks(), self._encode(rows.tasks(), None))
        val = rows.queries.split == "val"
        self.calibration, self.threshold = Calibration(), None
        if val.any() and rows.observed[~val].any():
            part = self._belief.fitted(rows.take(~val), looks[~val])
            raw = part.arms_of(pool).posterior(part.contexts.of(looks[val])).mean
            self.calibration = fit_calibration(raw, rows.score[val], seed=seed)
            top = self.calibration.apply(raw).max(1)
            found = pick_threshold(top, rows.out_of_scope[val], false_alarms=FALSE_ALARMS)
            self.threshold = found[0] if found else None
        self._belief = belief = self._belief.fitted(rows, looks)
        n_val = int(val.sum())
        chosen = {"features": self.features, "dimensions": belief.contexts.dim, "ridge": belief.arms.ridge}
        notes = ("calibrated on val by a model of train; then learned from both",) if n_val else ()
        return FitReport(
            router=self.name, n_train=len(rows) - n_val, n_val=n_val, seconds=0.0, chosen=chosen, notes=notes
        )

    @property
    def belief(self) -> Belief:
        """The snapshot that is served."""
        return self._belief

    @property
    def snapshot_number(self) -> int:
        """Number of updates behind the snapshot that is served."""
        return self._belief.number

    def learn(self, batch: Sequence[Served]) -> int:
        """Learns from served tasks; see `OnlineRouter.learn`."""
        belief, used = self._belief.learned(batch)
        if used:
            self._take(belief)
        return used

    def snapshot(self) -> bytes:
        """Returns the belief; see `OnlineRouter.snapshot`."""
        return self._belief.to_bytes(self._fitted)

    def adopt(self, data: bytes) -> None:
        """Swaps in a snapshot; see `OnlineRouter.adopt`."""
        self._take(self._belief.adopted(data, self._fitted))

    def _take(self, belief: Belief) -> None:
        # The one assignment by which readers see the new snapshot, whole.
        self._belief = belief
        self.version = self._version(belief)

    @property
    def _fitted(self) -> str:
        """Version of the fit, without the number of updates since."""
        return self.version.partition(".")[0]

    def _version(self, belief: Belief) -> str:
        return self._fitted if not belief.number else f"{self._fitted}.{belief.number}"

    # -- deciding ------------------------------------------------------------------------------
    def _encode(self, tasks: Sequence[Task], vectors: Vectors | None) -> Vectors:
        if self.features == "none":
            return np.zeros((len(tasks), 1), np.float32)
        return super()._encode(tasks, vectors)

    def _looks(self, tasks: Sequence[Task], vectors: Vectors) -> NDArray[np.float32]:
        return look_at(self.features, tasks, vectors)

    def score_batch(self, tasks: Sequence[Task], pool: Pool, *, vectors: Vectors | None = None) -> Believed:
        """Predicts every agent's score from what is believed now; see `Router.score_batch`."""
        belief = self._belief
        looks = self._looks(tasks, self._encode(tasks, vectors))
        context = belief.contexts.of(looks)
        arms = self._arms(belief, pool)
        posterior = arms.posterior(context)
        return Believed(
            agents=pool.names,
            raw=posterior.mean,
            calibrated=self.calibration.apply(posterior.mean),
            cost=belief.stats.cost(pool),
            known=belief.stats.known(pool),
            calibration_id=self.calibration.id,
            belief=belief,
            arms=arms,
            posterior=posterior,
            context=context,
            look=looks if belief.warming else looks[:, :0],
        )

    def _arms(self, belief: Belief, pool: Pool) -> Arms:
        """The pool's agents; those of the latest snapshot and pool are kept."""
        kept = self._view  # one reference: another thread may replace it meanwhile
        if kept is None or kept[0] is not belief or kept[1].names != pool.names:
            kept = self._view = (belief, belief.arms_of(pool))
        return kept[1]

    def chances(
        self, tasks: Sequence[Task], pool: Pool, scores: Scores, options: RouteOptions
    ) -> NDArray[np.float64] | None:
        """Returns [n, A] the probabilities of each agent; see `Router.chances`.

        None where the router abstains on some of the tasks: then no agent is drawn for them.
        """
        if not good_enough(scores.calibrated, self.threshold, options.abstain_below).all():
            return None
        return self._chances(self._believed(tasks, pool, scores, None), options)[0]

    def _believed(
        self, tasks: Sequence[Task], pool: Pool, scores: Scores, vectors: Vectors | None
    ) -> Believed:
        return scores if isinstance(scores, Believed) else self.score_batch(tasks, pool, vectors=vectors)

    def _chances(self, believed: Believed, options: RouteOptions) -> tuple[Floats, Floats, bool]:
        """[n, A] probabilities, [n, A] predicted utility, and whether the budget let it explore."""
        gain, belief = 1 - options.cost_weight, believed.belief
        minus: Floats | float = 0.0
        if options.cost_weight:
            minus = options.cost_weight * fill_cost(believed.cost) / (belief.stats.unit_cost or 1.0)
        value: Floats = gain * believed.posterior.mean - minus
        exploring = may_explore(belief.spent, belief.rounds, self.budget)
        chances = self._explored(believed, value, minus, gain, self._seed) if exploring else best_of(value)
        return with_floor(chances, self.floor), value, exploring

    def _decide(
        self,
        tasks: Sequence[Task],
        pool: Pool,
        scores: Scores,
        options: RouteOptions,
        *,
        live: LiveState | None,
        seen: PartialRun | None,
        vectors: NDArray[np.float32] | None,
    ) -> list[Decision]:
        believed = self._believed(tasks, pool, scores, vectors)
        chances, value, exploring = self._chances(believed, options)
        # The snapshot's number makes the same task draw afresh once something was learned.
        key = f"{self._seed}.{believed.belief.number}"
        chosen = draw(chances, pool.names, numbers(tasks, options.rng, key))
        fits = good_enough(believed.calibrated, self.threshold, options.abstain_below)
        version = self._version(believed.belief)
        decisions = []
        for i, agent in enumerate(chosen.tolist()):
            evidence = partial(
                _evidence, believed, chances, value, i, agent if fits[i] else None,
                options.cost_weight, exploring,
            )  # fmt: skip
            decisions.append(
                Decision(
                    graph=self._graph(pool.names[agent]) if fits[i] else None,
                    candidates=believed.agents,
                    raw=believed.raw[i],
                    calibrated=believed.calibrated[i],
                    cost=believed.cost,
                    propensity=float(chances[i, agent]) if fits[i] else 1.0,
                    router=self.name,
                    version=version,
                    evidence=evidence,
                    calibration_id=believed.calibration_id,
                )
            )
        return decisions

    def _graph(self, name: str) -> TaskGraph:
        graph = self._graphs.get(name)
        return self._graphs.setdefault(name, TaskGraph.of([name])) if graph is None else graph

    # -- disk ----------------------------------------------------------------------------------
    def _state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        config, arrays = self._belief.state()
        config |= {
            "calibration": self.calibration.to_dict(),
            "threshold": self.threshold,
            "seed": self._seed,
        }
        return config, arrays

    def _restore(self, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        self._belief = Belief.restore(config, arrays)
        self.calibration = Calibration.from_dict(config["calibration"])
        self.threshold = config["threshold"]
        self._seed = int(config["seed"])


def _evidence(
    believed: Believed,
    chances: Floats,
    value: Floats,
    i: int,
    agent: int | None,
    dial: float,
    exploring: bool,
) -> BanditEvidence:
    best = int(value[i].argmax())
    at = best if agent is None else agent
    name = believed.agents[at]
    stats = believed.belief.stats
    counts = dict(zip(stats.names, stats.count.tolist(), strict=True))
    context: Sequence[float] = believed.context[i].tolist()
    return BanditEvidence(
        agent=None if agent is None else name,
        best=name if value[i, at] >= value[i, best] - 1e-9 else believed.agents[best],
        chance=float(chances[i, at]),
        expected=float(believed.posterior.mean[i, at]),
        deviation=float(_one(believed.posterior, i).deviation[0, at]),
        gap=float(value[i, best] - value[i, at]),
        outcomes=round(counts.get(name, 0.0), 6),
        exploring=exploring,
        dial=dial,
        rounds=believed.belief.rounds,
        basis=believed.belief.contexts.id,
        context=tuple(context),
        look=tuple(round(float(v), 6) for v in believed.look[i]),
    )


def _one(posterior: Posterior, i: int) -> Posterior:
    """What is believed in one of the contexts."""
    rows = slice(i, i + 1)
    return replace(posterior, mean=posterior.mean[rows], own=posterior.own[rows], lever=posterior.lever[rows])
