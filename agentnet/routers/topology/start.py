"""Where Stage I starts from: graphs drawn from priors, and the runs of whole graphs that a log holds."""

from __future__ import annotations

import torch
from torch import Tensor

from agentnet.outcomes.table import LoggedRun, Outcomes
from agentnet.routers.topology.critic import Rollouts
from agentnet.routers.topology.graphs import Graphs, Join
from agentnet.routers.topology.paper_labels import sub_complete
from agentnet.routers.topology.sampler import forward_pairs

DENSITIES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Shares of the pairs that get an edge in a graph of the prior; one is drawn for each graph."""


def prior_graphs(n_agents: int, count: int, join: Join, generator: torch.Generator) -> Graphs:
    """Draws graphs from the prior: size, members, order and density of edges.

    Sizes and members are those of `sub_complete`, single agents included.

    >>> graphs = prior_graphs(4, 100, "sinks", torch.Generator().manual_seed(0))
    >>> sorted(set(graphs.keep.sum(1).tolist()))
    [1, 2, 3, 4]
    """
    keep = sub_complete(count, n_agents, generator, least=1)
    order = torch.rand((count, n_agents), generator=generator).argsort(1)
    picked = torch.randint(len(DENSITIES), (count, 1, 1), generator=generator)
    density = torch.tensor(DENSITIES)[picked]
    edges = forward_pairs(order) & (torch.rand((count, n_agents, n_agents), generator=generator) < density)
    return Graphs.joined(keep, edges, join)


def plain_graphs(n_agents: int, join: Join) -> Graphs:
    """Returns every agent alone, all in parallel, and the complete graph in the pool's order."""
    none = torch.zeros((n_agents, n_agents), dtype=torch.bool)
    keep = torch.cat((torch.eye(n_agents, dtype=torch.bool), torch.ones((2, n_agents), dtype=torch.bool)))
    full = forward_pairs(torch.arange(n_agents)[None])[0]
    return Graphs.joined(keep, torch.stack((*[none] * (n_agents + 1), full)), join)


def layered_graphs(n_agents: int, count: int, join: Join, generator: torch.Generator) -> Graphs:
    """Draws graphs of one to three layers: every agent hears, or waits for, all of earlier layers.

    >>> graphs = layered_graphs(5, 50, "all", torch.Generator().manual_seed(0))
    >>> int(graphs.depth().max())
    2
    """
    layers = torch.randint(1, 4, (count, 1), generator=generator)
    layer = (torch.rand((count, n_agents), generator=generator) * layers).long()
    size = torch.randint(1, n_agents + 1, (count, 1), generator=generator)
    size = torch.minimum(size, torch.randint(1, n_agents + 1, (count, 1), generator=generator))
    keep = torch.rand((count, n_agents), generator=generator).argsort(1).argsort(1) < size
    return Graphs.joined(keep, layer[:, :, None] < layer[:, None, :], join)


def judged_runs(outcomes: Outcomes, unit: str) -> list[tuple[int, LoggedRun]]:
    """Returns the logged runs of whole graphs that can be learned from, each with its row.

    Runs that were not judged, in which an agent stands twice, of agents that the pool does not have, or of
    unknown cost are left out.

    Args:
        outcomes: With ``runs``; the tasks are its rows, the agents its pool.
        unit: What counts as cost: ``tokens`` or ``usd``.
    """
    row = {name: i for i, name in enumerate(outcomes.queries.query_id.tolist())}
    known = set(outcomes.agents)
    runs = []
    for run in outcomes.runs:
        cost = run.tokens if unit == "tokens" else run.cost_usd
        names = [node.agent for node in run.graph.nodes]
        plain = len(set(names)) == len(names) and set(names) <= known
        if run.score is not None and cost is not None and plain and run.query_id in row:
            runs.append((row[run.query_id], run))
    return runs


def logged_rollouts(outcomes: Outcomes, unit: str) -> Rollouts | None:
    """Returns the runs of `judged_runs` as rollouts; None where there are none."""
    runs = judged_runs(outcomes, unit)
    if not runs:
        return None
    cost = [run.tokens if unit == "tokens" else run.cost_usd for _, run in runs]
    return Rollouts(
        torch.tensor([row for row, _ in runs]),
        Graphs.of([run.graph for _, run in runs], outcomes.agents),
        torch.tensor([run.score for _, run in runs], dtype=torch.float32),
        torch.tensor([float(c) for c in cost if c is not None], dtype=torch.float32),
    )


def thin(rollouts: Rollouts | None, tasks: int, least: int) -> Tensor:
    """Returns the tasks of which fewer than ``least`` rollouts are logged: only there are new ones needed.

    >>> thin(None, 3, 1).tolist()
    [0, 1, 2]
    """
    if rollouts is None:
        return torch.arange(tasks)
    count = torch.bincount(rollouts.task, minlength=tasks)
    return (count < least).nonzero().squeeze(1)
