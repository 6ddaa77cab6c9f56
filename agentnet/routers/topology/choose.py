"""What there is to learn topologies from: agents, a place where graphs can be run, or a log."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from agentnet.graphs.pool import Pool
from agentnet.outcomes.table import Outcomes
from agentnet.routers.stats import AgentStats
from agentnet.routers.topology.critic import Rollouts
from agentnet.routers.topology.environment import Environment, EnvironmentFactory
from agentnet.routers.topology.graphs import Join
from agentnet.routers.topology.network import Agents
from agentnet.routers.topology.parts import LoggedParts
from agentnet.routers.topology.replay import CostIn, ReplayEnvironment
from agentnet.routers.topology.start import judged_runs

FEWEST_RUNS = 40
"""Fewest judged runs of whole graphs from which topologies are learned."""


def logged_graphs(outcomes: Outcomes, unit: CostIn, *, normalise: str = "default") -> LoggedParts | None:
    """Returns what the logged runs of whole graphs know; None where there are too few, or all of one agent.

    Args:
        outcomes: With ``runs``.
        unit: What counts as cost.
        normalise: Name of the normaliser by which answers are compared.
    """
    runs = judged_runs(outcomes, unit)
    if len(runs) < FEWEST_RUNS or max(len(run.graph.nodes) for _, run in runs) < 2:
        return None
    return LoggedParts.of(outcomes, runs, unit, normalise)


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


def dearest(logged: Rollouts) -> float:
    """Returns the mean cost of the dearest agent alone; of all graphs where none was logged alone."""
    keep = logged.graphs.keep
    alone = keep & (keep.sum(1, keepdim=True) == 1)
    means = [float(logged.cost[rows].mean()) for rows in alone.T if bool(rows.any())]
    return max(means) if means else float(logged.cost.mean())


def logged_join(outcomes: Outcomes) -> Join:
    """Returns whose answers the decision read in most logged runs of graphs with messages.

    Args:
        outcomes: With ``runs``.
    """
    with_edges = [run.graph for run in outcomes.runs if run.graph.spatial]
    joined = sum(set(graph.outputs) == {node.id for node in graph.nodes} for graph in with_edges)
    return "all" if 2 * joined > len(with_edges) else "sinks"


def shortlisted(pool: Pool, mean: NDArray[np.float64], most: int) -> Pool:
    """Returns the agents of the best mean scores, in the pool's order.

    Args:
        pool: A agents.
        mean: [A] their mean scores.
        most: Agents returned at most.
    """
    if len(pool) <= most:
        return pool
    best = sorted(range(len(pool)), key=lambda i: (-mean[i], pool.names[i]))[:most]
    return pool.subset([pool.names[i] for i in sorted(best)])


def agents_of(stats: AgentStats, pool: Pool, roles: NDArray[np.float32]) -> Agents:
    """Returns what the networks may know of a pool; unknown agents get the means over the known.

    Args:
        stats: Of the agents with outcomes.
        pool: A agents.
        roles: [A, d] their encoded descriptions.
    """
    known, mean = stats.known(pool), stats.mean(pool)
    cost = np.asarray(stats.cost(pool), np.float64) / (stats.unit_cost or 1.0)
    facts = np.stack((mean, cost, known.astype(float)), 1)
    if known.any():
        facts[~known, 0] = mean[known].mean()
    fill = float(np.nanmean(cost)) if not np.isnan(cost).all() else 0.0
    filled = np.nan_to_num(facts, nan=fill).astype(np.float32)
    # Copies, which torch aligns: sums over NumPy's memory may differ in the last digits from run to run.
    return Agents(torch.tensor(roles), torch.tensor(filled))
