"""`ChoiceMaker`: chooses the arm of highest expected value, and tells why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from agentnet.graphs.pool import Pool
from agentnet.routers.council.arms import Arms
from agentnet.routers.council.bank import RACES_UP_TO
from agentnet.routers.council.evidence import ArmEstimate, CollectiveEvidence, LoggedQuery
from agentnet.routers.council.log import Log
from agentnet.routers.council.memory import LEVELS
from agentnet.routers.council.strengths import RELATIONS
from agentnet.routers.council.views import Vectors
from agentnet.routers.decision import Floats, Scores
from agentnet.routers.plans import Plan
from agentnet.routers.rows import snippet
from agentnet.routers.selection import choose, priority, utility

_SHOWN = 5
_OTHERS = 3
_NORMAL_90 = 1.645


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """Choices for n tasks.

    Attributes:
        arms: [n] position among the arms: the pool's agents, then the sets.
        expected: [n] expected score of each.
    """

    arms: NDArray[np.intp]
    expected: Floats


@dataclass(frozen=True, eq=False)
class ChoiceMaker:
    """The arms of one pool.

    Attributes:
        pool: The agents.
        agents: These as arms.
        sets: Plans as arms, single agents among them; None where no sets can be chosen.
        plans: Behind ``sets``.
        unit_cost: c of the dial.
        log: The logged queries.
    """

    pool: Pool
    agents: Arms
    sets: Arms | None
    plans: Sequence[Plan]
    unit_cost: float
    log: Log

    def choose(
        self, scores: Scores, relations: Vectors, posterior: NDArray[np.float64], dial: float
    ) -> Chosen:
        """Chooses an arm for each of n tasks.

        Agents that stand in the bank are judged by the same rows as the sets, the others by their
        calibrated score.

        Args:
            scores: Of the pool's agents.
            relations: [n, R] the tasks' views.
            posterior: [n, T] their types.
            dial: w.
        """
        score, cost = self._all(scores.calibrated, scores.cost, relations, posterior)
        among, order = self._open(dial)
        arms = among[
            choose(score[:, among], cost[:, among], order, cost_weight=dial, unit_cost=self.unit_cost)
        ]
        return Chosen(arms, score[np.arange(len(arms)), arms])

    def _open(self, dial: float) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Arms to choose from at a setting of the dial, and their order: dear prices close the races."""
        return self._ranked if dial <= (1 - dial) * RACES_UP_TO else self._ranked_without_races

    @cached_property
    def _ranked(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Positions of the arms to choose from, and the order in which they win ties.

        A single agent's plan is left out: the agent is an arm itself, judged by that plan's score.
        """
        sets = self.plans if self.sets else ()
        several = [len(self.pool) + j for j, plan in enumerate(sets) if len(plan.agents) > 1]
        return self._rank(np.array([*range(len(self.pool)), *several], np.intp))

    @cached_property
    def _ranked_without_races(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        among, _ = self._ranked
        return self._rank(np.array([arm for arm in among.tolist() if not self.plan(arm).needed], np.intp))

    def _rank(self, among: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        prior = np.concatenate([self.agents.memory.mean, self.sets.memory.mean if self.sets else []])
        return among, priority([self.key(arm) for arm in among.tolist()], prior[among])

    def key(self, arm: int) -> str:
        """Names an arm uniquely."""
        plan = self.plan(arm)
        return " > ".join("+".join(stage) for stage in plan.stages) + f" /{plan.needed} {plan.weights}"

    def plan(self, arm: int) -> Plan:
        """The plan behind an arm."""
        if arm < len(self.pool):
            return Plan(((self.pool.names[arm],),), ((1.0,),))
        return self.plans[arm - len(self.pool)]

    def _all(
        self, calibrated: Floats, cost: Floats, relations: Vectors, posterior: NDArray[np.float64]
    ) -> tuple[Floats, Floats]:
        """[n, A + M] expected scores and USD of agents and sets."""
        if self.sets is None:
            return calibrated, cost
        found = self.sets.predict(relations, posterior).score
        alone = {plan.agents[0]: j for j, plan in enumerate(self.plans) if len(plan.agents) == 1}
        mine = np.array(calibrated, np.float64)
        for column, name in enumerate(self.pool.names):
            if name in alone:
                mine[:, column] = found[:, alone[name]]
        return np.concatenate((mine, found), 1), np.concatenate((cost, self.sets.price(posterior)), 1)

    # -- evidence ------------------------------------------------------------------------------
    def evidence(
        self,
        task: str,
        types: Sequence[str],
        relations: Vectors,
        posterior: NDArray[np.float64],
        arm: int | None,
        dial: float,
        calibrated: Floats,
    ) -> CollectiveEvidence:
        """Tells why an arm was chosen for one task.

        Args:
            task: Its text.
            types: Names of the T types.
            relations: [R] the task's views.
            posterior: [T] its types.
            arm: The chosen one; None abstained.
            dial: w.
            calibrated: [A] scores of the agents.
        """
        estimates = self._estimates(relations[None], posterior[None], calibrated)
        among, _ = self._open(dial)
        score = np.array([[item.score for item in estimates]])
        cost = np.array([[np.nan if item.cost is None else item.cost for item in estimates]])
        value = utility(score, cost, cost_weight=dial, unit_cost=self.unit_cost)[0]
        told: set[tuple[str, ...]] = {estimates[arm].agents} if arm is not None else set()
        others: list[ArmEstimate] = []
        for other in sorted(among.tolist(), key=lambda arm: -value[arm]):
            if len(others) < _OTHERS and estimates[other].agents not in told:
                told.add(estimates[other].agents)
                others.append(estimates[other])
        likely = np.argsort(-posterior, kind="stable")[:3].tolist()
        plan = None if arm is None else self.plan(arm)
        as_set = arm is not None and self.sets is not None and arm >= len(self.pool)
        arms = self.sets if as_set and self.sets is not None else self.agents
        shown = plan.agents[0] if plan else self.pool.names[int(np.argmax(calibrated))]
        return CollectiveEvidence(
            task=snippet(task),
            types={types[t]: round(float(posterior[t]), 4) for t in likely if posterior[t] >= 0.01},
            reach=LEVELS[arms.reach],
            chosen=None if arm is None else estimates[arm],
            stages=plan.stages if plan else (),
            rule=_rule(plan) if plan else "",
            others=tuple(others),
            neighbours=self._heard(relations, shown),
        )

    def _estimates(
        self, relations: Vectors, posterior: NDArray[np.float64], calibrated: Floats
    ) -> list[ArmEstimate]:
        listed = self.agents.price(posterior)
        score, cost = (values[0] for values in self._all(calibrated[None], listed, relations, posterior))
        made: list[ArmEstimate] = []
        for arms in (self.agents, self.sets):
            if arms is None:
                continue
            error = arms.predict(relations, posterior).error[0]
            late = (posterior @ arms.latency)[0]
            for j, members in enumerate(arms.members):
                at = len(made)
                wide = _NORMAL_90 * float(error[j])
                made.append(
                    ArmEstimate(
                        agents=(self.pool.names[at],) if at < len(self.pool) else members,
                        score=round(float(score[at]), 4),
                        low=round(max(0.0, float(score[at]) - wide), 4),
                        high=round(min(1.0, float(score[at]) + wide), 4),
                        cost=None if np.isnan(cost[at]) else float(cost[at]),
                        latency=None if np.isnan(late[j]) else round(float(late[j]), 4),
                    )
                )
        return made

    def _heard(self, relations: Vectors, agent: str) -> tuple[LoggedQuery, ...]:
        """The logged queries that weigh most for this task."""
        attention = self.agents.memory.strengths.specific
        weights = attention.weights(relations[None], self.log.relations)[0]
        share = weights / max(float(weights.sum()), 1e-12)
        column = self.log.names.index(agent) if agent in self.log.names else None
        edges = np.cumsum([0, *attention.widths]).tolist()
        heard = []
        for row in np.argsort(-share, kind="stable")[:_SHOWN].tolist():
            score = float("nan") if column is None else float(self.log.score[row, column])
            product = relations * self.log.relations[row]
            similarity = {
                name: round(float(product[edges[r] : edges[r + 1]].sum()), 3)
                for r, name in enumerate(RELATIONS)
                if attention.widths[r]
            }
            heard.append(
                LoggedQuery(
                    text=self.log.texts[row],
                    attention=round(float(share[row]), 4),
                    similarity=similarity,
                    score=None if np.isnan(score) else round(score, 4),
                )
            )
        return tuple(heard)


def _rule(plan: Plan) -> str:
    if len(plan.stages) == 1:
        return "all answer; equal answers add their weights" if len(plan.agents) > 1 else "alone"
    if plan.needed:
        return f"ends when {plan.needed} answers are equal"
    return "ends when all agree, after a second stage when most of the weight does"
