"""`SingleRouter`: base of the routers that choose one agent a task."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import DataError
from agentnet.graphs.live import LiveState, PartialRun
from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Task
from agentnet.graphs.task_graph import TaskGraph
from agentnet.outcomes.table import Outcomes
from agentnet.routers.base import FitReport, RouteOptions, Router
from agentnet.routers.calibration import Calibration
from agentnet.routers.decision import Decision, Evidence, Floats, NoteEvidence, Scores
from agentnet.routers.selection import choose, good_enough, priority
from agentnet.routers.stats import AgentStats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Choice:
    """One task's choice, from which evidence is made when somebody asks for it.

    Attributes:
        task: The task.
        pool: The A agents there were.
        agent: Position of the chosen agent in the pool; None when the router abstained.
        raw: [A] predicted scores.
        vector: [d] the task's encoding; None for routers that encode nothing.
    """

    task: Task
    pool: Pool
    agent: int | None
    raw: Floats
    vector: NDArray[np.float32] | None


def training_rows(outcomes: Outcomes, pool: Pool) -> Outcomes:
    """Returns outcomes with the pool's agents as columns, without scores of weight 0.

    In a label pack, a row whose gold is an agent outside of ``pool`` is left out: it is not out of scope,
    its agent just is not here.

    Raises:
        DataError: no row is left.
    """
    if outcomes.kind == "label":
        away = set(outcomes.agents) - set(pool.names)
        outcomes = outcomes.take(np.array([gold not in away for gold in outcomes.queries.gold], bool))
    if not len(outcomes):
        raise DataError("there is nothing to learn from: no rows in splits train and val.")
    rows = outcomes.for_pool(pool)
    return replace(rows, score=np.where(rows.weight == 0, np.float32(np.nan), rows.score))


class SingleRouter(Router):
    """Predicts every agent's score and cost and takes the agent of highest utility.

    Subclasses give `_learn` and `_predict`; where the choice is not that of highest utility, also `_pick`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stats = AgentStats.empty()
        self.calibration = Calibration()
        self.threshold: float | None = None
        """Calibrated score below which the router abstains by itself; None never."""
        self.kind = "outcomes"
        """Kind of outcomes learned from: ``"outcomes"`` or ``"label"``."""
        self._graphs: dict[str, TaskGraph] = {}

    # -- for subclasses ------------------------------------------------------------------------
    @abstractmethod
    def _learn(self, outcomes: Outcomes, *, seed: int, device: str) -> FitReport:
        """Learns from outcomes of the pool's agents; ``stats`` is there already."""

    @abstractmethod
    def _predict(
        self, tasks: Sequence[Task], pool: Pool, vectors: NDArray[np.float32] | None
    ) -> tuple[Floats, Floats]:
        """Returns raw scores [n, A] and costs, [n, A] or [A], of the pool's agents."""

    def _pick(
        self, tasks: Sequence[Task], pool: Pool, scores: Scores, options: RouteOptions
    ) -> tuple[NDArray[np.intp], float]:
        """Returns the chosen agent's position for each task, and the probability of that choice."""
        # An agent without outcomes loses every tie to one with outcomes.
        order = priority(pool.names, self.stats.mean(pool) - ~self.stats.known(pool))
        weight, unit = options.cost_weight, self.stats.unit_cost
        return choose(scores.calibrated, scores.cost, order, cost_weight=weight, unit_cost=unit), 1.0

    def _explain(self, choice: Choice) -> Evidence:
        """Returns the evidence for one choice."""
        return NoteEvidence("no evidence recorded")

    # -- the contract --------------------------------------------------------------------------
    def _fit(self, outcomes: Outcomes, pool: Pool, *, seed: int, device: str) -> FitReport:
        rows = training_rows(outcomes, pool)
        self.stats = AgentStats.of(rows)
        self.kind = rows.kind
        self.calibration = Calibration()
        self.threshold = None
        return self._learn(rows, seed=seed, device=device)

    def score_batch(
        self, tasks: Sequence[Task], pool: Pool, *, vectors: NDArray[np.float32] | None = None
    ) -> Scores:
        """Predicts score and cost of every agent; see `Router.score_batch`."""
        if self.needs_fit:
            self._check_fitted()
        vectors = self._encode(tasks, vectors)
        raw, cost = self._predict(tasks, pool, vectors)
        return Scores(
            agents=pool.names,
            raw=raw,
            calibrated=self.calibration.apply_to(raw, pool.names, vectors),
            cost=cost,
            known=self.stats.known(pool),
            calibration_id=self.calibration.id,
        )

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
        chosen, propensity = self._pick(tasks, pool, scores, options)
        fits = good_enough(scores.calibrated, self.threshold, options.abstain_below)
        graphs = {int(i): self._graph(pool.names[i]) for i in np.unique(chosen)}
        costs = scores.cost if scores.cost.ndim == 2 else [scores.cost] * len(tasks)
        decisions = []
        for i, task in enumerate(tasks):
            agent = int(chosen[i]) if fits[i] else None
            choice = partial(
                Choice,
                task=task,
                pool=pool,
                agent=agent,
                raw=scores.raw[i],
                vector=None if vectors is None else vectors[i],
            )
            decisions.append(
                Decision(
                    graph=None if agent is None else graphs[agent],
                    candidates=scores.agents,
                    raw=scores.raw[i],
                    calibrated=scores.calibrated[i],
                    cost=costs[i],
                    propensity=1.0 if agent is None else propensity,
                    router=self.name,
                    version=self.version,
                    evidence=partial(self._evidence, choice),
                    calibration_id=scores.calibration_id,
                )
            )
        return decisions

    def _evidence(self, choice: partial[Choice]) -> Evidence:
        return self._explain(choice())

    def _graph(self, name: str) -> TaskGraph:
        """A graph of one node; made once per agent, because most decisions share it."""
        graph = self._graphs.get(name)
        if graph is None:
            graph = self._graphs.setdefault(name, TaskGraph.of([name]))
        return graph

    def _state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        state, arrays = self.stats.state()
        state |= {
            "kind": self.kind,
            "calibration": self.calibration.to_dict(),
            "threshold": self.threshold,
        }
        return state, arrays

    def _restore(self, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        self.stats = AgentStats.restore(config, arrays)
        self.kind = config["kind"]
        self.calibration = Calibration.from_dict(config["calibration"])
        self.threshold = config["threshold"]
