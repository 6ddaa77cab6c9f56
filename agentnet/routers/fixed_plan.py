"""`FixedPlanRouter`: learns a few plans on training data and lets the quality-cost dial choose one.

The same plan serves every task: what differs per task is only where a run of it stops.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from agentnet.graphs.live import LiveState, PartialRun
from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Task
from agentnet.graphs.task_graph import Aggregation, TaskGraph
from agentnet.outcomes.table import Outcomes
from agentnet.routers.base import FitReport, RouteOptions, Router
from agentnet.routers.decision import Decision, Evidence, Scores
from agentnet.routers.plans import AnswerTable, Plan, frontier, matching_weight
from agentnet.routers.stats import AgentStats

Aim = Literal["quality", "match"]


@dataclass(frozen=True, slots=True)
class PlanEvidence(Evidence):
    """The plan that was chosen, what it did on the training data, and what it was chosen over."""

    note: str
    stages: tuple[tuple[str, ...], ...]
    train_score: float
    train_cost: float | None
    stops: tuple[float, ...]
    cheaper: tuple[str, float, float | None] | None = None
    """Next cheaper plan: its agents, score and cost."""
    dearer: tuple[str, float, float | None] | None = None
    """Next dearer plan."""

    def lines(self) -> list[str]:
        """Returns the plan for a person."""
        steps = " -> ".join(" + ".join(stage) for stage in self.stages)
        lines = [
            f"{steps}: {self.note}",
            f"on training data: score {self.train_score:.3f}, {_usd(self.train_cost)}",
        ]
        if len(self.stages) > 1:
            parts = ", ".join(f"{share:.0%} after stage {i + 1}" for i, share in enumerate(self.stops))
            lines.append(f"stopped {parts}")
        for name, other in (("cheaper", self.cheaper), ("dearer", self.dearer)):
            if other:
                lines.append(f"next {name} plan: {other[0]}, score {other[1]:.3f}, {_usd(other[2])}")
        return lines


def _usd(cost: float | None) -> str:
    return "cost unknown" if cost is None else f"${cost * 1000:.4f} per 1,000"


class FixedPlanRouter(Router):
    """Base of ``cascade`` and ``vote``.

    Args:
        aim: ``"quality"`` leaves the quality-cost dial at 0; ``"match"`` sets it, on the training data, to
            the cheapest plan that scores at least as much there as the best single agent.
        normalise: Name of the normaliser by which answers are compared.
    """

    def __init__(self, *, aim: Aim = "quality", normalise: str = "default") -> None:
        super().__init__()
        self.aim = aim
        self.normalise = normalise
        self._stats: AgentStats | None = None
        self._learned: tuple[Plan, ...] = ()

    @abstractmethod
    def _plans(self, table: AnswerTable) -> list[Plan]:
        """Returns measured plans worth choosing from."""

    @property
    @abstractmethod
    def _evidence_note(self) -> str:
        """How the plan works, in a few words."""

    def _fit(self, outcomes: Outcomes, pool: Pool, *, seed: int, device: str) -> FitReport:
        outcomes = outcomes.for_pool(pool) if outcomes.pool.names != pool.names else outcomes
        self._stats = AgentStats.of(outcomes)
        table = AnswerTable.of(outcomes, kind=self.normalise)
        plans = [] if table is None else self._plans(table)
        notes = () if table else ("no recorded text of all agents: single agents only",)
        singles = self._singles(pool, table)
        self._learned = tuple(frontier([*singles, *plans]))
        if self.aim == "match":
            target = max(plan.score for plan in singles)
            weight = matching_weight(self._learned, target, self._stats.unit_cost)
            self.options = replace(self.options, cost_weight=weight)
        n_val = int((outcomes.queries.split == "val").sum())
        return FitReport(
            router=self.name,
            n_train=len(outcomes) - n_val,
            n_val=n_val,
            seconds=0.0,
            chosen={
                "plans": len(self._learned),
                "cost_weight": self.options.cost_weight,
                "plan": " + ".join(self._choose(pool, self.options)[0].agents),
            },
            tried=tuple(plan.to_dict() for plan in self._learned),
            notes=notes,
        )

    def _singles(self, pool: Pool, table: AnswerTable | None) -> list[Plan]:
        if table is not None:
            return [table.measure(Plan(((name,),), ((1.0,),))) for name in table.agents]
        stats = self._fitted
        rows = zip(pool.names, stats.mean(pool), stats.cost(pool), stats.known(pool), strict=True)
        return [Plan(((n,),), ((1.0,),), float(s), float(c), (1.0,)) for n, s, c, known in rows if known]

    @property
    def _fitted(self) -> AgentStats:
        if self._stats is None:
            self._check_fitted()
        assert self._stats is not None
        return self._stats

    def with_probes(self, probes: Outcomes) -> FixedPlanRouter:
        """Returns this router with further outcomes in the agents' means; its plans stay as learned."""
        import copy

        other = copy.copy(self)
        other._stats = self._fitted.add(probes)
        return other

    def score_batch(
        self, tasks: Sequence[Task], pool: Pool, *, vectors: NDArray[np.float32] | None = None
    ) -> Scores:
        """Every agent's mean, the same for all tasks; see `Router.score_batch`."""
        self._check_fitted()
        stats = self._fitted
        mean = np.broadcast_to(stats.mean(pool), (len(tasks), len(pool)))
        return Scores(
            agents=pool.names, raw=mean, calibrated=mean, cost=stats.cost(pool), known=stats.known(pool)
        )

    def _choose(self, pool: Pool, options: RouteOptions) -> tuple[Plan, list[Plan]]:
        """The plan of highest utility among those the pool can run, and all of these."""
        usable = [plan for plan in self._learned if all(name in pool for name in plan.agents)]
        if not usable:
            usable = frontier(self._strangers(pool))
        unit = self._fitted.unit_cost or 1.0
        dearest = max((p.cost for p in usable if not np.isnan(p.cost)), default=0.0)
        w = options.cost_weight

        def key(plan: Plan) -> tuple[float, float]:
            cost = dearest if np.isnan(plan.cost) else plan.cost
            value = (1 - w) * plan.score - (w * cost / unit if w else 0.0)
            return (round(value, 12), plan.score if w == 1 else -cost)

        return max(usable, key=key), usable

    def _strangers(self, pool: Pool) -> list[Plan]:
        """Single-agent plans of a pool that shares no plan with the training data."""
        stats = self._fitted
        rows = zip(pool.names, stats.mean(pool), stats.cost(pool), strict=True)
        return [Plan(((name,),), ((1.0,),), float(s), float(c), (1.0,)) for name, s, c in rows]

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
        plan, usable = self._choose(pool, options)
        graph: TaskGraph | None = plan.graph().with_(
            aggregation=Aggregation("vote", normalise=self.normalise)
        )
        threshold = options.abstain_below or 0.0
        if plan.score < threshold:
            graph = None
        evidence = self._evidence(plan, usable)
        return [
            Decision(
                graph=graph,
                candidates=scores.agents,
                raw=scores.raw[i],
                calibrated=scores.calibrated[i],
                cost=scores.cost,
                propensity=1.0,
                router=self.name,
                version=self.version,
                evidence=evidence,
                expected_score=plan.score if graph else None,
            )
            for i in range(len(tasks))
        ]

    def _evidence(self, plan: Plan, usable: list[Plan]) -> PlanEvidence:
        at = usable.index(plan)
        return PlanEvidence(
            note=self._evidence_note,
            stages=plan.stages,
            train_score=plan.score,
            train_cost=None if np.isnan(plan.cost) else plan.cost,
            stops=plan.stops,
            cheaper=_brief(usable[at - 1]) if at else None,
            dearer=_brief(usable[at + 1]) if at + 1 < len(usable) else None,
        )

    def _state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        config, arrays = self._fitted.state()
        return {"stats": config, "plans": [plan.to_dict() for plan in self._learned]}, arrays

    def _restore(self, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        self._stats = AgentStats.restore(config["stats"], arrays)
        self._learned = tuple(Plan.from_dict(item) for item in config["plans"])


def _brief(plan: Plan) -> tuple[str, float, float | None]:
    return (" + ".join(plan.agents), plan.score, None if np.isnan(plan.cost) else plan.cost)
