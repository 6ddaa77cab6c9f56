"""`AgentStats`: what is known of each agent over all tasks: mean score, mean cost, tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import DataError
from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.outcomes.table import Outcomes

PSEUDO = 5.0
"""Outcomes that the mean over all agents counts for, in the mean of an agent known by probes only."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AgentStats:
    """Weighted sums over what was observed of A agents.

    Attributes:
        names: The A agents.
        total: [A] sum of weighted scores.
        count: [A] sum of weights; 0 for agents never observed.
        cost_total: [A] sum of known USD.
        cost_count: [A] calls with a known cost.
        trained: [A] whether the agent was there in training (not only in probes).
        unit_cost: Dearest mean cost of a training agent: c of the quality-cost dial; 0 unknown.
        tokens: Mean prompt and completion tokens of a call, to guess a new agent's cost; NaN unknown.
    """

    names: tuple[str, ...]
    total: NDArray[np.float64]
    count: NDArray[np.float64]
    cost_total: NDArray[np.float64]
    cost_count: NDArray[np.float64]
    trained: NDArray[np.bool_]
    unit_cost: float = 0.0
    tokens: tuple[float, float] = (float("nan"), float("nan"))

    @classmethod
    def of(cls, outcomes: Outcomes) -> AgentStats:
        """Sums up outcomes.

        Raises:
            DataError: there are no rows, or no score at all.
        """
        if not len(outcomes) or not outcomes.observed.any():
            raise DataError("there is nothing to learn from: no scored outcome in splits train and val.")
        stats = _sums(outcomes)
        known = stats.cost_count > 0
        dearest = float((stats.cost_total[known] / stats.cost_count[known]).max()) if known.any() else 0.0
        tokens = (_mean(outcomes.prompt_tokens), _mean(outcomes.completion_tokens))
        return replace(stats, trained=stats.count > 0, unit_cost=dearest, tokens=tokens)

    @classmethod
    def empty(cls) -> AgentStats:
        """Returns the sums of nothing: every agent is unknown."""
        none = np.zeros(0)
        return cls(
            names=(), total=none, count=none, cost_total=none, cost_count=none, trained=none.astype(bool)
        )

    def add(self, outcomes: Outcomes) -> AgentStats:
        """Returns the sums with further outcomes, of these or of other agents."""
        more = _sums(outcomes)
        names = tuple(dict.fromkeys((*self.names, *more.names)))

        def merged(name: str) -> NDArray[Any]:
            both = []
            for part in (self, more):
                column = dict(zip(part.names, getattr(part, name), strict=True))
                both.append(np.array([column.get(agent, 0) for agent in names]))
            result: NDArray[Any] = both[0] + both[1]
            return result

        trained = dict(zip(self.names, self.trained, strict=True))
        return replace(
            self,
            names=names,
            trained=np.array([trained.get(agent, False) for agent in names]),
            total=merged("total"),
            count=merged("count"),
            cost_total=merged("cost_total"),
            cost_count=merged("cost_count"),
        )

    @property
    def overall(self) -> float:
        """Mean over the agents of their mean scores."""
        seen = self.trained & (self.count > 0)
        return float((self.total[seen] / self.count[seen]).mean()) if seen.any() else 0.5

    def columns(self, pool: Pool) -> NDArray[np.intp]:
        """[A] position of the pool's agents in ``names``; -1 for those that are not there."""
        where = {name: i for i, name in enumerate(self.names)}
        return np.array([where.get(name, -1) for name in pool.names], np.intp)

    def known(self, pool: Pool) -> NDArray[np.bool_]:
        """[A] whether anything was observed of each of the pool's agents."""
        return _take(self.count, self.columns(pool)) > 0

    def mean(self, pool: Pool) -> NDArray[np.float64]:
        """[A] mean score of the pool's agents.

        Agents known only by probes are drawn to the mean over all agents; unknown ones have that mean.
        """
        at = self.columns(pool)
        total, count = _take(self.total, at), _take(self.count, at)
        pseudo = np.where(_take(self.trained, at) > 0, 0.0, PSEUDO)
        pseudo = np.where(count + pseudo > 0, pseudo, PSEUDO)
        mean: NDArray[np.float64] = (total + pseudo * self.overall) / (count + pseudo)
        return mean

    def cost(self, pool: Pool) -> NDArray[np.float64]:
        """[A] mean USD a call of the pool's agents; from list prices where none was observed, else NaN."""
        at = self.columns(pool)
        cost = np.array([self._list_cost(agent) for agent in pool])
        seen = _take(self.cost_count, at) > 0
        cost[seen] = self.cost_total[at[seen]] / self.cost_count[at[seen]]
        return cost

    def _list_cost(self, agent: Agent) -> float:
        if agent.price_in_per_mtok is None or agent.price_out_per_mtok is None:
            return float("nan")
        dear = (float(agent.price_in_per_mtok), float(agent.price_out_per_mtok))
        return sum(price * tokens for price, tokens in zip(dear, self.tokens, strict=True)) / 1e6

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Returns JSON values and arrays; the inverse of `restore`."""
        tokens = [None if np.isnan(value) else value for value in self.tokens]
        arrays = {f"stats_{name}": getattr(self, name) for name in _ARRAYS}
        return {"agents": list(self.names), "unit_cost": self.unit_cost, "tokens": tokens}, arrays

    @classmethod
    def restore(cls, state: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> AgentStats:
        """Builds the sums from what `state` returned."""
        tokens = [float("nan") if value is None else float(value) for value in state["tokens"]]
        columns = {name: arrays[f"stats_{name}"] for name in _ARRAYS}
        return cls(
            names=tuple(state["agents"]),
            unit_cost=float(state["unit_cost"]),
            tokens=(tokens[0], tokens[1]),
            **columns,
        )


def _take(values: NDArray[Any], at: NDArray[np.intp]) -> NDArray[np.float64]:
    """Values at positions; 0 where the position is -1."""
    taken: NDArray[np.float64] = np.append(values.astype(np.float64), 0.0)[at]
    return taken


_ARRAYS = ("total", "count", "cost_total", "cost_count", "trained")


def _sums(outcomes: Outcomes) -> AgentStats:
    seen = outcomes.observed
    weight = np.where(seen, np.nan_to_num(outcomes.weight, nan=1.0), 0).astype(np.float64)
    known = ~np.isnan(outcomes.cost)
    return AgentStats(
        names=outcomes.agents,
        total=(weight * np.where(seen, outcomes.score, 0)).sum(0),
        count=weight.sum(0),
        cost_total=np.where(known, outcomes.cost, 0).sum(0),
        cost_count=known.sum(0).astype(np.float64),
        trained=np.zeros(len(outcomes.pool), bool),
    )


def _mean(matrix: NDArray[np.float64]) -> float:
    known = matrix[~np.isnan(matrix)]
    return float(known.mean()) if known.size else float("nan")
