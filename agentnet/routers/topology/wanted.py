"""Where a log is thin: which graphs should be run on which logged tasks before the next fit."""

from __future__ import annotations

import torch
from torch import Tensor

from agentnet.outcomes.table import Outcomes
from agentnet.routers.topology.choose import cost_unit, logged_graphs
from agentnet.routers.topology.energy import EnergyPruner
from agentnet.routers.topology.graphs import Graphs
from agentnet.routers.topology.learning import RATES
from agentnet.routers.topology.parts import content_of, exact_outcomes


def wanted_rollouts(
    pruner: EnergyPruner, outcomes: Outcomes, tasks: Tensor, *, top: int, normalise: str
) -> list[tuple[int, Graphs]]:
    """Returns graphs that may be decided for and of which the log does not know the outcome.

    Looked at are, for every task, the ``top`` likeliest graphs at each price. Whatever else is unknown is
    left alone: it would not be run anyway.

    Args:
        pruner: Over the outcomes' agents.
        outcomes: The log: rows are tasks, the pool's agents are the pruner's.
        tasks: [n, d] encodings of the rows.
        top: Graphs a task and price.
        normalise: Name of the normaliser by which answers are compared.

    Returns:
        (row, one graph), by row, each pair once.
    """
    pairs: dict[tuple[int, bytes], Graphs] = {}
    with torch.inference_mode():
        for rate in RATES:
            best = pruner.energies(tasks, rate).topk(min(top, len(pruner.bank)), 1).indices
            for row, graphs in enumerate(best.tolist()):
                for p in graphs:
                    one = pruner.bank.graphs.take(torch.tensor([p]))
                    pairs.setdefault((row, content_of(one)), one)
    log = logged_graphs(outcomes, cost_unit(outcomes), normalise=normalise)
    wanted = sorted(pairs.items(), key=lambda item: item[0])
    if log is None or not wanted:
        return [(row, graph) for (row, _), graph in wanted]
    rows = torch.tensor([row for (row, _), _ in wanted])
    known = exact_outcomes(log, rows, Graphs.cat([graph for _, graph in wanted]), normalise)
    return [(row, graph) for ((row, _), graph), found in zip(wanted, known, strict=True) if found is None]
