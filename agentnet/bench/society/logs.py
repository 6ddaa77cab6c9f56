"""Logged runs of a society: what a trace store would hold of graphs that were run on its tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from agentnet.bench.society.society import Society
from agentnet.errors import InvalidInput
from agentnet.outcomes.table import LoggedRun, Outcomes
from agentnet.routers.topology.graphs import Graphs, Shape
from agentnet.routers.topology.sampler import sample_ordered


def random_graphs(agents: int, count: int, generator: torch.Generator) -> Graphs:
    """Draws random graphs: a team of any size, each size as probable, in random order, any density.

    >>> graphs = random_graphs(9, 3, torch.Generator().manual_seed(0))
    >>> len(graphs), bool(graphs.keep.any(1).all())
    (3, True)
    """
    size = torch.randint(1, agents + 1, (count, 1), generator=generator)
    rank = torch.rand((count, agents), generator=generator).argsort(1).argsort(1)
    certain = torch.where(rank < size, torch.inf, -torch.inf)
    density = torch.rand((count, 1, 1), generator=generator).clamp(0.01, 0.99)
    draw = sample_ordered(
        certain, torch.zeros(count, agents), density.logit().expand(-1, agents, agents), generator
    )
    return Graphs.joined(draw.keep, draw.edges, "all")


def log(
    society: Society,
    outcomes: Outcomes,
    graphs: Sequence[Graphs] | None = None,
    *,
    runs: int = 1,
    seed: int = 0,
) -> Outcomes:
    """Returns the outcomes with logged runs, as `agentnet.traces` would collect them.

    Args:
        society: Where the graphs are run.
        outcomes: Its tasks; runs that they have already are kept.
        graphs: For every task the graphs to run on it, over ``outcomes.agents``; None draws `random_graphs`.
        runs: Graphs a task where they are drawn.
        seed: The same seed, the same runs.

    The propensity of a run is unknown (None), for a trace store knows it only of routers that draw.
    """
    generator = torch.Generator().manual_seed(seed)
    n = len(outcomes)
    if graphs is None:
        tasks = torch.arange(n).repeat_interleave(runs)
        every = random_graphs(len(outcomes.agents), n * runs, generator)
    else:
        if len(graphs) != n:
            raise InvalidInput(f"graphs are given for {len(graphs)} tasks; there are {n}.")
        tasks = torch.repeat_interleave(torch.arange(n), torch.tensor([len(some) for some in graphs]))
        every = Graphs.cat(graphs)
    environment = society.environment(outcomes, outcomes.pool)
    returns = environment.run(tasks, every, generator)
    shape = Shape(messages=environment.messages, join=environment.join)
    made = tuple(
        LoggedRun(
            query_id=str(outcomes.queries.query_id[task]),
            graph=shape.task_graph(outcomes.agents, every.keep[row], every.edges[row]),
            score=float(returns.score[row]),
            tokens=round(float(returns.cost[row])),
        )
        for row, task in enumerate(tasks.tolist())
    )
    return replace(outcomes, runs=(*outcomes.runs, *made))
