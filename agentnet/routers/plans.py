"""Fixed sets and cascades, and what they would have scored: shared by ``cascade`` and ``vote``.

A plan is a list of stages of agents. All agents of a stage answer in parallel; later stages run only when
the answers so far do not agree. The output is the weighted vote of all that ran.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.graphs.answers import normalise
from agentnet.graphs.task_graph import Edge, Node, StopCondition, TaskGraph
from agentnet.outcomes.table import Outcomes

MIN_ROWS = 20
"""Fewest queries with every agent's answer from which plans of several agents are learned."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Stages of agents with their vote weights, and what it scored and cost on the training rows.

    A run ends before a later stage by one of two rules. The majority rule of cascades (``needed`` 0): all
    agree after the first stage, or later over half of the weight does. A race (``needed`` k): k answers are
    equal; weights then lie so close to 1 that they only break ties.

    >>> plan = Plan((("a", "b"), ("c",)), ((1.0, 1.0), (1.5,)))
    >>> plan.graph().outputs, [e.stop.threshold for e in plan.graph().edges]
    (('a', 'b', 'c'), [1.0, 1.0])
    """

    stages: tuple[tuple[str, ...], ...]
    weights: tuple[tuple[float, ...], ...]
    score: float = float("nan")
    """Mean score on the training rows."""
    cost: float = float("nan")
    """Mean USD per query on the training rows; NaN unknown."""
    stops: tuple[float, ...] = ()
    """Share of the training rows that ended with each stage."""
    needed: int = 0
    """Equal answers that end a race; 0 goes by majority."""

    @property
    def agents(self) -> tuple[str, ...]:
        """All agents, in the order they run."""
        return tuple(name for stage in self.stages for name in stage)

    def threshold(self, stage: int) -> float:
        """Share of the weight that must agree to stop before ``stage``."""
        if self.needed:
            return min(1.0, (self.needed - 0.5) / sum(sum(weights) for weights in self.weights[:stage]))
        return 1.0 if stage == 1 else 0.5 + 1e-6

    def graph(self) -> TaskGraph:
        """Returns the plan as a task graph: nodes of a stage in parallel, escalation edges between."""
        nodes, edges = [], []
        so_far = 0
        for i, (stage, weights) in enumerate(zip(self.stages, self.weights, strict=True)):
            nodes += [Node(name, name, weight=w) for name, w in zip(stage, weights, strict=True)]
            if i:
                stop = StopCondition("agreement", threshold=self.threshold(i), min_answers=min(2, so_far))
                edges += [
                    Edge(source, target, carries=False, stop=stop)
                    for target in stage
                    for source in self.stages[i - 1]
                ]
            so_far += len(stage)
        return TaskGraph(nodes=tuple(nodes), edges=tuple(edges), outputs=self.agents)

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values; the inverse of `from_dict`."""
        return {
            "stages": [list(stage) for stage in self.stages],
            "weights": [list(stage) for stage in self.weights],
            "score": self.score,
            "cost": None if np.isnan(self.cost) else self.cost,
            "stops": list(self.stops),
            "needed": self.needed,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Plan:
        """Builds a plan from JSON values."""
        return cls(
            stages=tuple(tuple(stage) for stage in data["stages"]),
            weights=tuple(tuple(stage) for stage in data["weights"]),
            score=float(data["score"]),
            cost=float("nan") if data["cost"] is None else float(data["cost"]),
            stops=tuple(data["stops"]),
            needed=int(data.get("needed", 0)),
        )


def complete_rows(outcomes: Outcomes) -> NDArray[np.intp]:
    """Returns the rows on which every agent ran, was judged and left its text: those of `AnswerTable.of`."""
    if outcomes.response is None:
        return np.zeros(0, np.intp)
    given = np.frompyfunc(lambda item: item is not None, 1, 1)(outcomes.response).astype(bool)
    return np.flatnonzero((given & outcomes.observed).all(1))


@dataclass(frozen=True, slots=True, eq=False)
class AnswerTable:
    """Recorded answers as integers, on the n rows on which all A agents were run and judged.

    Attributes:
        agents: The A names.
        key: [n, A] equal answers to a query have equal numbers from 0; -1 is no answer.
        score: [n, A] in [0, 1].
        cost: [n, A] USD; NaN unknown.
    """

    agents: tuple[str, ...]
    key: NDArray[np.int32]
    score: NDArray[np.float64]
    cost: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.key)

    @classmethod
    def of(cls, outcomes: Outcomes, *, kind: str = "default") -> AnswerTable | None:
        """Reads the table from outcomes; None where too few rows have every agent's text and score."""
        text, rows = outcomes.response, complete_rows(outcomes)
        if text is None or len(rows) < MIN_ROWS:
            return None
        key = np.full((len(rows), len(outcomes.agents)), -1, np.int32)
        names: dict[str, str] = {}  # short answers recur by the thousand
        for i, row in enumerate(rows):
            seen: dict[str, int] = {}
            for j, answer in enumerate(text[row]):
                name = names.get(answer)
                if name is None:
                    name = names[answer] = normalise(answer, kind)
                if name:
                    key[i, j] = seen.setdefault(name, len(seen))
        return cls(
            outcomes.agents, key, outcomes.score[rows].astype(np.float64), outcomes.cost[rows].astype(float)
        )

    def measure(self, plan: Plan) -> Plan:
        """Returns the plan with the score, cost and stops it has on these rows; exact, as a run would be."""
        won, cost, stops = self.replay(plan)
        return replace(plan, score=float(won.mean()), cost=float(cost.mean()), stops=stops)

    def replay(self, plan: Plan) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[float, ...]]:
        """Returns a plan's [n] scores and [n] USD, and the share of the rows that ended with each stage."""
        columns = [[self.agents.index(name) for name in stage] for stage in plan.stages]
        n = len(self)
        running = np.ones(n, bool)
        cost = np.zeros(n)
        won = np.zeros(n)
        stops = []
        votes = _Votes(self, n)
        for i, (stage, weights) in enumerate(zip(columns, plan.weights, strict=True)):
            votes.add(stage, weights, running)
            cost += np.where(running, self.cost[:, stage].sum(1), 0.0)
            share, score = votes.result()
            won = np.where(running, score, won)
            if i + 1 < len(columns):
                enough = votes.count() >= min(2, sum(len(c) for c in columns[: i + 1]))
                stop = running & enough & (share >= plan.threshold(i + 1) - 1e-9)
            else:
                stop = running
            stops.append(float(stop.mean()))
            running = running & ~stop
        return won, cost, tuple(stops)


class _Votes:
    """Vote weights by answer, built up stage by stage for all rows at once."""

    def __init__(self, table: AnswerTable, n: int) -> None:
        self._table = table
        groups = int(table.key.max(initial=0)) + 1
        self._weight = np.zeros((n, groups))
        self._first = np.full((n, groups), np.nan)
        self._order = np.full((n, groups), np.inf)
        self._total = np.zeros(n)
        self._answers = np.zeros(n, int)
        self._any = np.full(n, np.nan)
        self._rank = 0

    def add(self, columns: Sequence[int], weights: Sequence[float], running: NDArray[np.bool_]) -> None:
        rows = np.flatnonzero(running)
        for column, weight in zip(columns, weights, strict=True):
            key = self._table.key[rows, column]
            score = self._table.score[rows, column]
            self._total[rows] += weight
            fresh = np.isnan(self._any[rows])
            self._any[rows] = np.where(fresh, score, self._any[rows])
            said = rows[key >= 0]
            at = key[key >= 0]
            self._answers[said] += 1
            self._weight[said, at] += weight
            new = np.isnan(self._first[said, at])
            self._first[said, at] = np.where(new, score[key >= 0], self._first[said, at])
            self._order[said, at] = np.where(new, self._rank, self._order[said, at])
            self._rank += 1

    def count(self) -> NDArray[np.int_]:
        """[n] answers that were given."""
        return self._answers

    def result(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """[n] share of the heaviest group, [n] recorded score of its first member."""
        best = self._weight.max(1)
        tied = self._weight >= best[:, None] - 1e-9
        group = np.where(tied, self._order, np.inf).argmin(1)
        rows = np.arange(len(best))
        share = np.divide(best, self._total, out=np.zeros_like(best), where=self._total > 0)
        # Without any answer the first agent's empty one stands.
        score = np.where(best > 0, self._first[rows, group], self._any)
        return share, score


def frontier(plans: Sequence[Plan]) -> list[Plan]:
    """Returns the plans that no other beats in both score and cost, cheapest first.

    Plans of unknown cost count as the dearest.
    """
    ordered = sorted(plans, key=lambda p: (np.inf if np.isnan(p.cost) else p.cost, -p.score, len(p.agents)))
    kept: list[Plan] = []
    for plan in ordered:
        if not kept or plan.score > kept[-1].score + 1e-12:
            kept.append(plan)
    return kept


def matching_weight(plans: Sequence[Plan], target: float, unit_cost: float) -> float:
    """Returns the dial setting at which the cheapest plan that scores at least ``target`` is chosen.

    Only plans on the convex hull of (cost, score) can be chosen by a linear utility; among these the
    cheapest that reaches the target is meant. 0 where costs are unknown.

    Args:
        plans: A frontier, cheapest first.
        target: Score to reach, for example the best single agent's.
        unit_cost: c of the dial.
    """
    if unit_cost <= 0 or any(np.isnan(plan.cost) for plan in plans):
        return 0.0
    corners: list[Plan] = []
    for plan in plans:
        while len(corners) > 1 and _slope(corners[-2], plan) >= _slope(corners[-2], corners[-1]):
            corners.pop()
        corners.append(plan)
    at = next((i for i, plan in enumerate(corners) if plan.score >= target - 1e-12), len(corners) - 1)
    # Any exchange rate between the slopes on both sides chooses this corner; take their geometric mean.
    right = _slope(corners[at], corners[at + 1]) if at + 1 < len(corners) else 0.0
    left = _slope(corners[at - 1], corners[at]) if at else np.inf
    if right == 0.0:
        return 0.0
    rate = right * 2 if np.isinf(left) else float(np.sqrt(left * right))
    return round(rate * unit_cost / (1 + rate * unit_cost), 6)


def _slope(a: Plan, b: Plan) -> float:
    return (b.score - a.score) / (b.cost - a.cost) if b.cost > a.cost else float("inf")
