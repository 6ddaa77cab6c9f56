"""`ChoiceLog`: one decision a task, chosen by some router, with its probability and what came of it.

An `Outcomes` table says what every agent would have scored; a log says it of the one plan that ran. From
logs with known probabilities (propensities) other routers can still be judged and trained.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import DataError
from agentnet.graphs.pool import Pool
from agentnet.graphs.task_graph import TaskGraph
from agentnet.outcomes.table import Outcomes, Queries

Floats = NDArray[np.float64]
_ROWS = ("query", "plan", "propensity", "score", "cost", "weight", "at")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChoiceLog:
    """n logged decisions over m different queries, K different plans and A agents.

    Attributes:
        queries: The m different queries; routers are only ever given ``queries.tasks()``.
        pool: The A agents.
        plans: The K different graphs that were chosen.
        query: [n] which query was asked; the same query may come several times.
        plan: [n] which plan was chosen.
        propensity: [n] probability with which that very plan was chosen; NaN unknown.
        score: [n] quality in [0, 1] of the answer; NaN not judged.
        cost: [n] USD of the run; NaN unknown.
        weight: [n] how much a score counts.
        at: [n] when, in seconds since the epoch.
        router: Name and version of what chose, for reports; "" mixed or unknown.
        source: Where the rows come from, for reports.

    >>> from agentnet.graphs.agent import Agent
    >>> queries = Queries(query_id=np.array(["1"]), text=("hi",), split=np.array(["train"]))
    >>> log = ChoiceLog.of(queries, Pool([Agent(name="a"), Agent(name="b")]), plans=[TaskGraph.of(["b"])],
    ...                    query=[0, 0], plan=[0, 0], propensity=[0.5, 0.5], score=[1.0, 0.0])
    >>> len(log), log.agent.tolist(), log.to_outcomes().score.tolist()
    (2, [1, 1], [[nan, 0.5]])
    """

    queries: Queries
    pool: Pool
    plans: tuple[TaskGraph, ...]
    query: NDArray[np.intp]
    plan: NDArray[np.intp]
    propensity: Floats
    score: Floats
    cost: Floats
    weight: Floats
    at: Floats
    router: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        n = len(self.query)
        for name in _ROWS:
            if getattr(self, name).shape != (n,):
                raise DataError(f"{name} has shape {getattr(self, name).shape}; ({n},) is needed.")
        for name, most in (("query", len(self.queries)), ("plan", len(self.plans))):
            index = getattr(self, name)
            if n and (index.min() < 0 or index.max() >= most):
                raise DataError(f"{name} points outside of the {most} there are.")
        known = self.propensity[~np.isnan(self.propensity)]
        if known.size and not ((known > 0) & (known <= 1 + 1e-9)).all():
            raise DataError("a propensity is the probability of what was chosen: above 0 and at most 1.")
        judged = self.score[~np.isnan(self.score)]
        if judged.size and not ((judged >= 0) & (judged <= 1)).all():
            raise DataError("scores must lie in [0, 1]: divide them by their maximum first.")

    @classmethod
    def of(
        cls,
        queries: Queries,
        pool: Pool,
        *,
        plans: Sequence[TaskGraph],
        query: Any,
        plan: Any,
        propensity: Any = None,
        score: Any = None,
        cost: Any = None,
        weight: Any = None,
        at: Any = None,
        router: str = "",
        source: str = "",
    ) -> ChoiceLog:
        """Builds a log from sequences; what is left out is unknown (weights are 1)."""
        n = len(query)

        def column(values: Any, empty: float) -> Floats:
            return np.full(n, empty) if values is None else np.asarray(values, np.float64)

        return cls(
            queries=queries,
            pool=pool,
            plans=tuple(plans),
            query=np.asarray(query, np.intp),
            plan=np.asarray(plan, np.intp),
            propensity=column(propensity, np.nan),
            score=column(score, np.nan),
            cost=column(cost, np.nan),
            weight=column(weight, 1.0),
            at=column(at, 0.0),
            router=router,
            source=source,
        )

    def __len__(self) -> int:
        return len(self.query)

    @property
    def agents(self) -> tuple[str, ...]:
        """Names of the agents, in the pool's order."""
        return self.pool.names

    @property
    def single(self) -> NDArray[np.intp]:
        """[K] position in the pool of the one agent of a plan; -1 where a plan has several nodes."""
        found = [self.pool.index(p.agents[0]) if len(p.nodes) == 1 else -1 for p in self.plans]
        return np.array(found, np.intp)

    @property
    def agent(self) -> NDArray[np.intp]:
        """[n] position of the one agent that was chosen; -1 where several were."""
        agents: NDArray[np.intp] = self.single[self.plan] if len(self) else np.zeros(0, np.intp)
        return agents

    @property
    def judged(self) -> NDArray[np.bool_]:
        """[n] where a score is known."""
        return ~np.isnan(self.score)

    @property
    def fingerprint(self) -> str:
        """12 hexadecimal digits of queries, plans and all columns."""
        digest = hashlib.sha256()
        for part in (*self.queries.query_id.tolist(), *self.agents, *(p.fingerprint for p in self.plans)):
            digest.update(part.encode() + b"\0")
        for name in _ROWS:
            digest.update(getattr(self, name).tobytes())
        return digest.hexdigest()[:12]

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> ChoiceLog:
        """Returns some of the decisions, by index or mask; queries and plans stay."""
        return replace(self, **{name: getattr(self, name)[rows] for name in _ROWS})

    def of_queries(self, rows: NDArray[np.bool_]) -> ChoiceLog:
        """Returns the decisions on the queries of a mask [m], with these queries alone."""
        where = np.cumsum(rows) - 1
        kept = self.take(rows[self.query])
        return replace(kept, queries=self.queries.take(rows), query=where[kept.query].astype(np.intp))

    def split(self, *names: str) -> ChoiceLog:
        """Returns the decisions on the queries of these splits."""
        return self.of_queries(np.isin(self.queries.split, names))

    def to_outcomes(self) -> Outcomes:
        """Returns the [m, A] table of what single agents scored: means a cell, NaN where nothing is known.

        ``propensity`` is the mean probability with which that agent was chosen for that query. Decisions for
        several agents are left out: a score of theirs belongs to none of them.
        """
        shape = (len(self.queries), len(self.pool))
        agent = self.agent
        alone = agent >= 0
        flat = self.query * shape[1] + agent

        def mean(values: Floats, weight: Floats | None = None) -> Floats:
            rows = alone & ~np.isnan(values)
            parts = np.ones(len(self)) if weight is None else weight
            total = np.bincount(flat[rows], parts[rows] * values[rows], shape[0] * shape[1])
            count = np.bincount(flat[rows], parts[rows], shape[0] * shape[1])
            found: Floats = np.full(total.shape, np.nan)
            np.divide(total, count, out=found, where=count > 0)
            return found.reshape(shape)

        judged = self.judged
        weight = mean(np.where(judged, self.weight, np.nan))
        return Outcomes(
            queries=self.queries,
            pool=self.pool,
            score=np.clip(mean(self.score, self.weight), 0, 1).astype(np.float32),
            cost=mean(self.cost),
            propensity=mean(np.where(judged, self.propensity, np.nan)).astype(np.float32),
            weight=np.nan_to_num(weight, nan=1.0).astype(np.float32),
            source=self.source,
        )

    def describe(self) -> dict[str, Any]:
        """Returns what there is, as JSON values, for reports."""
        return {
            "decisions": len(self),
            "judged": int(self.judged.sum()),
            "with_propensity": int((~np.isnan(self.propensity)).sum()),
            "queries": len(self.queries),
            "plans": len(self.plans),
            "agents": list(self.agents),
            "router": self.router,
            "source": self.source,
        }


def draw_log(
    outcomes: Outcomes, policy: Floats, n: int, rng: np.random.Generator, *, router: str = "simulated"
) -> ChoiceLog:
    """Draws the log that a policy would have left behind on a full matrix: queries with replacement.

    Args:
        outcomes: A full matrix of m queries and A agents; what is not chosen stays hidden.
        policy: [m, A] probabilities with which the logging policy chooses each agent.
        n: Decisions.
        rng: Draws queries and agents.
        router: Name for reports.

    Raises:
        DataError: rows of ``policy`` are no probabilities.
    """
    if policy.shape != outcomes.score.shape:
        raise DataError(f"policy has shape {policy.shape}; {outcomes.score.shape} is needed.")
    if (policy < 0).any() or not np.allclose(policy.sum(1), 1, atol=1e-6):
        raise DataError("every row of a policy holds probabilities that add up to 1.")
    query = rng.integers(len(outcomes), size=n)
    ahead = np.cumsum(policy[query], axis=1)
    agent = np.minimum((rng.random(n)[:, None] * ahead[:, -1:] >= ahead).sum(1), policy.shape[1] - 1)
    # Rounding may point at an agent that is never chosen: take the nearest that is.
    never = policy[query, agent] <= 0
    agent[never] = policy[query[never]].argmax(1)
    return ChoiceLog.of(
        outcomes.queries,
        outcomes.pool,
        plans=[TaskGraph.of([name]) for name in outcomes.agents],
        query=query,
        plan=agent,
        propensity=np.minimum(policy[query, agent], 1.0),
        score=outcomes.score[query, agent],
        cost=outcomes.cost[query, agent],
        at=np.arange(n, dtype=np.float64),
        router=router,
        source=outcomes.source,
    )
