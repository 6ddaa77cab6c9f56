"""`Council`: the logged queries, the plan bank and the strengths, put together into arms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from agentnet.graphs.pool import Pool
from agentnet.routers.council.arms import Arms
from agentnet.routers.council.bank import PlanBank, exchange_rates
from agentnet.routers.council.log import Log, typed_means
from agentnet.routers.council.memory import LEVELS, Memory
from agentnet.routers.council.reach import pick_reach
from agentnet.routers.council.strengths import Strengths

FAR = len(LEVELS) - 1


class Council:
    """What is known, immutable; what follows from it is computed when it is first asked for.

    Attributes:
        log: The logged queries.
        bank: Sets and cascades with their outcomes; None where there are none.
        strengths: Of the propagation.
        reach: How far messages go for agents and for sets: positions in `LEVELS`.
    """

    def __init__(
        self, log: Log, bank: PlanBank | None, strengths: Strengths, reach: tuple[int, int] = (FAR, FAR)
    ) -> None:
        self.log, self.bank, self.strengths, self.reach = log, bank, strengths, reach

    def with_(self, **changes: Any) -> Council:
        """Returns another one with some attributes changed."""
        now = {"log": self.log, "bank": self.bank, "strengths": self.strengths, "reach": self.reach}
        return Council(**(now | changes))

    @cached_property
    def memory(self) -> Memory:
        """What logged queries say of the agents."""
        log = self.log
        score, trust = log.score.astype(np.float64), log.trust.astype(np.float64)
        return Memory.of(score, trust, log.posterior, log.relations, self.strengths)

    @cached_property
    def agents(self) -> Arms:
        """All agents of the log as arms."""
        log = self.log
        empty = np.full(len(log.names), np.nan)
        cost = typed_means(log.cost, log.posterior, empty)
        latency = typed_means(log.latency, log.posterior, empty)
        members = tuple((name,) for name in log.names)
        return Arms(members, self.memory, cost, latency, self.reach[0])

    @cached_property
    def sets(self) -> Arms | None:
        """All plans of the bank as arms."""
        bank = self.bank
        if bank is None:
            return None
        posterior = self.log.posterior[bank.rows]
        memory = Memory.of(
            bank.score, np.ones_like(bank.score), posterior, self.log.relations[bank.rows], self.strengths
        )
        cost = typed_means(bank.cost, posterior, np.full(len(bank.plans), np.nan))
        members = tuple(plan.agents for plan in bank.plans)
        return Arms(members, memory, cost, np.full_like(cost, np.nan), self.reach[1])

    def worth_reaching(
        self, left: Sequence[NDArray[np.floating[Any]]], wanted: str | None, unit_cost: float
    ) -> tuple[int, int]:
        """Returns how far messages are worth sending, judged on logged queries left out.

        Args:
            left: What `Memory.left_out` gives for the agents.
            wanted: One of `LEVELS`; None decides.
            unit_cost: c of the dial.
        """
        if wanted is not None:
            return (LEVELS.index(wanted),) * 2
        log, rates = self.log, exchange_rates()
        score = log.score.astype(np.float64)
        agents = pick_reach(left, score, log.cost, log.posterior, rates, unit_cost)
        bank, sets = self.bank, self.sets
        if bank is None or sets is None:
            return agents, 0
        posterior = log.posterior[bank.rows]
        far = pick_reach(sets.memory.left_out(), bank.score, bank.cost, posterior, rates, unit_cost)
        return agents, max(agents, far)

    def agents_of(self, pool: Pool, listed: NDArray[np.float64]) -> Arms:
        """Returns a pool's agents as arms; for those not in the log the first agent's column stands.

        Args:
            pool: A agents.
            listed: [A] USD by list prices, where no cost was observed.
        """
        where = {name: i for i, name in enumerate(self.log.names)}
        arms = self.agents.take(np.array([where.get(name, 0) for name in pool.names], np.intp))
        strange = np.array([name not in where for name in pool.names])
        latency = np.where(strange, np.nan, arms.latency)
        return replace(arms, cost=np.where(np.isnan(arms.cost) | strange, listed, arms.cost), latency=latency)

    def sets_of(self, pool: Pool) -> tuple[Arms | None, NDArray[np.intp]]:
        """Returns the arms of the plans whose agents are all in the pool, and their positions.

        None where single agents are all there is.
        """
        bank, sets = self.bank, self.sets
        if bank is None or sets is None:
            return None, np.zeros(0, np.intp)
        at = bank.available(pool.names)
        several = any(len(bank.plans[i].agents) > 1 for i in at.tolist())
        return (sets.take(at) if several else None), at

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Returns JSON values and arrays; the inverse of `restore`."""
        log, arrays = self.log.state()
        bank, more = self.bank.state() if self.bank else (None, {})
        config = {"log": log, "bank": bank, "strengths": self.strengths.to_dict(), "reach": list(self.reach)}
        return config, arrays | more

    @classmethod
    def restore(cls, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Makes it from what `state` returned."""
        return cls(
            Log.restore(config["log"], arrays),
            PlanBank.restore(config["bank"], arrays) if config["bank"] else None,
            Strengths.from_dict(config["strengths"]),
            (int(config["reach"][0]), int(config["reach"][1])),
        )
