"""Where graphs can be run for learning: by replaying recorded answers, or nowhere but in a log."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agentnet.graphs.pool import Pool
from agentnet.outcomes.table import Outcomes
from agentnet.routers.topology.critic import Rollouts
from agentnet.routers.topology.environment import Environment, EnvironmentFactory
from agentnet.routers.topology.replay import CostIn, ReplayEnvironment
from agentnet.routers.topology.start import logged_rollouts

FEWEST_RUNS = 40
"""Fewest judged runs of whole graphs from which topologies are learned."""


def logged_graphs(outcomes: Outcomes, unit: CostIn) -> Rollouts | None:
    """Returns the logged runs of whole graphs; None where there are too few, or all of them of one agent."""
    found = logged_rollouts(outcomes, unit)
    if found is None or len(found) < FEWEST_RUNS or int(found.graphs.keep.sum(1).max()) < 2:
        return None
    return found


def environment_of(
    outcomes: Outcomes, pool: Pool, factory: EnvironmentFactory | None, *, normalise: str = "default"
) -> tuple[Environment, NDArray[np.intp]] | None:
    """Returns the environment given, else the replay of recorded answers; None where there are too few.

    Args:
        outcomes: What was recorded.
        pool: The agents.
        factory: Makes an environment, such as a simulator's; None has none.
        normalise: Name of the normaliser by which answers are compared.

    Returns:
        The environment, and the rows of ``outcomes`` that are its tasks, in order.
    """
    if factory is not None:
        return factory(outcomes, pool), np.arange(len(outcomes))
    if outcomes.kind == "label" or len(pool) < 2:
        return None
    replayed = ReplayEnvironment.of(outcomes, pool, normalise=normalise)
    return None if replayed is None else (replayed, replayed.rows)


def cost_unit(outcomes: Outcomes) -> CostIn:
    """Returns ``usd`` where what runs cost is known in money, else ``tokens``."""
    priced = [run.cost_usd is not None for run in outcomes.runs]
    if priced:
        return "usd" if all(priced) else "tokens"
    return "tokens" if np.isnan(outcomes.cost).all() else "usd"


def dearest(logged: Rollouts | None) -> float:
    """Returns the mean cost of the dearest agent alone; of all graphs where none was logged alone."""
    if logged is None:
        return 1.0
    keep = logged.graphs.keep
    alone = keep & (keep.sum(1, keepdim=True) == 1)
    means = [float(logged.cost[rows].mean()) for rows in alone.T if bool(rows.any())]
    return max(means) if means else float(logged.cost.mean())
