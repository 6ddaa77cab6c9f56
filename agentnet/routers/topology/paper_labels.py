"""PaperLabels for Adaptive Graph Pruning: per task the best of many graphs that were run.

Source: arXiv 2506.02951, first stage. The release takes one run a task and calls "edge" every pair that
its cycle check let through; here a label is the edges that stood in the graph, as the paper tells it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from agentnet.errors import InvalidInput
from agentnet.routers.topology.environment import Environment
from agentnet.routers.topology.graphs import Graphs
from agentnet.routers.topology.paper_net import PaperInputs, PaperNet
from agentnet.routers.topology.sampler import sample_visit

BUDGET = 2000
"""Runs of sampled graphs, over all tasks."""
_CHUNK = 4096


@dataclass(frozen=True, slots=True, eq=False)
class PaperLabels:
    """L graphs worth imitating.

    Attributes:
        task: [L] int64 positions of tasks, rising.
        keep: [L, N] bool: the agents that took part.
        edges: [L, N, N] bool: the edges that stood in the graph.
        score: [L] float32.
        cost: [L] float32.
    """

    task: Tensor
    keep: Tensor
    edges: Tensor
    score: Tensor
    cost: Tensor

    def __len__(self) -> int:
        return len(self.task)

    def take(self, rows: Tensor) -> PaperLabels:
        """Returns some of the labels, by index or mask."""
        parts = (self.task, self.keep, self.edges, self.score, self.cost)
        return PaperLabels(*(part[rows] for part in parts))

    def to(self, device: str | torch.device) -> PaperLabels:
        """Returns the same labels on a device."""
        parts = (self.task, self.keep, self.edges, self.score, self.cost)
        return PaperLabels(*(part.to(device) for part in parts))


def rank_labels(
    task: Tensor,
    keep: Tensor,
    edges: Tensor,
    score: Tensor,
    cost: Tensor,
    k: int = 2,
    *,
    least: float = 0.0,
) -> PaperLabels:
    """Returns the k best graphs of every task: higher score, then lower cost.

    Runs of one graph on one task count as one, with their mean score and cost (a millionth is no
    difference). What is still tied goes to fewer agents, then to fewer edges, then to earlier agents and
    edges: the labels do not depend on the order of the runs. Rows may come from an environment or from a
    log.

    Args:
        task: [R] positions of tasks.
        keep: [R, N] bool.
        edges: [R, N, N] bool.
        score: [R], NaN not judged.
        cost: [R]; NaN unknown, which counts as the dearest.
        k: Most labels of a task.
        least: Graphs that score no more than this teach nothing and are left out.

    >>> keep = torch.tensor([[True, False], [True, True], [True, True]])
    >>> edges = torch.zeros(3, 2, 2, dtype=torch.bool); edges[1, 0, 1] = True
    >>> task, score = torch.zeros(3, dtype=torch.long), torch.tensor([0.5, 1.0, 1.0])
    >>> rank_labels(task, keep, edges, score, torch.tensor([1.0, 2.0, 3.0]), 1).edges.int().tolist()
    [[[0, 1], [0, 0]]]
    """
    if k < 1:
        raise InvalidInput(f"k of labels is at least 1; got {k!r}.")
    judged = ~score.isnan()
    task, keep, edges = task[judged].long(), keep[judged].bool(), edges[judged].bool()
    edges = edges & keep[:, :, None] & keep[:, None, :]
    score, cost = score[judged].double(), cost[judged].double()
    content = torch.cat((task[:, None], keep.long(), edges.flatten(1).long()), 1)
    rows, where = torch.unique(content, dim=0, return_inverse=True)
    n = keep.shape[1]
    dearest = torch.where(cost.isnan(), 0.0, cost).amax() if len(cost) else 0.0
    cost = torch.where(cost.isnan(), dearest, cost)
    runs = torch.zeros(len(rows), dtype=torch.double, device=task.device)
    runs.index_add_(0, where, torch.ones_like(score))
    score = torch.zeros_like(runs).index_add_(0, where, score) / runs
    cost = torch.zeros_like(runs).index_add_(0, where, cost) / runs
    task, keep = rows[:, 0], rows[:, 1 : n + 1].bool()
    edges = rows[:, n + 1 :].bool().reshape(-1, n, n)
    # Rows are in the order of their content. Stable sorts by rising importance keep that for ties.
    # Earlier agents and edges come first, and `unique` has them last.
    order = torch.arange(len(rows) - 1, -1, -1, device=task.device)
    price = cost / cost.amax().clamp_min(1e-300) if len(cost) else cost
    for key in (edges.sum((1, 2)), keep.sum(1), _round(price), -_round(score), task):
        order = order[key[order].argsort(stable=True)]
    order = order[score[order] > least]
    place = torch.arange(len(order), device=task.device)
    of = task[order]
    place = place - torch.searchsorted(of, of)  # the place among the graphs of its own task
    order = order[place < k]
    return PaperLabels(task[order], keep[order], edges[order], score[order].float(), cost[order].float())


def sub_complete(count: int, n: int, generator: torch.Generator, *, least: int = 2) -> Tensor:
    """[count, n] bool: sets of agents as the paper samples them.

    The size is normal around n / 2 with deviation n / 4, restricted to whole numbers from ``least`` to n; the
    agents are uniform, without replacement. The paper does not tell its deviation.

    >>> sub_complete(4, 6, torch.Generator().manual_seed(0)).sum(1).tolist()
    [..., ..., ..., ...]
    """
    sizes = torch.arange(min(least, n), n + 1)
    share = (-((sizes - n / 2) ** 2) / (2 * (n / 4) ** 2)).exp()
    drawn = sizes[torch.multinomial(share, count, replacement=True, generator=generator)]
    rank = torch.rand((count, n), generator=generator).argsort(1).argsort(1)
    return rank < drawn[:, None]


def mine_labels(
    env: Environment,
    *,
    tasks: Tensor,
    generator: torch.Generator,
    budget: int = BUDGET,
    k: int = 2,
    net: PaperNet | None = None,
    inputs: PaperInputs | None = None,
    least: float = 0.0,
) -> PaperLabels:
    """Runs sampled graphs on tasks and returns the best k of every task.

    Every graph is a complete graph over a random set of agents (`sub_complete`) whose edges the network
    thins out; without a network every edge is drawn with probability 1/2.

    Args:
        env: Runs the graphs.
        tasks: [m] positions of tasks; the runs are spread evenly over them.
        generator: On the CPU.
        budget: Runs in all.
        k: Most labels of a task.
        net: After `stage_one`; left as it is. The sampling happens on its device.
        inputs: What it reads; needed with ``net``.
        least: See `rank_labels`.

    Raises:
        InvalidInput: there is no task, or a network without inputs.
    """
    if not len(tasks) or (net is None) != (inputs is None):
        raise InvalidInput("labels need at least one task, and a network needs its inputs.")
    device = torch.device("cpu") if net is None else net.first.weight.device
    n = len(env.agents)
    order = tasks[torch.randperm(len(tasks), generator=generator)].cpu()
    picked = order.repeat(-(-budget // len(order)))[:budget]
    parts: list[tuple[Tensor, ...]] = []
    for start in range(0, len(picked), _CHUNK):
        chunk = picked[start : start + _CHUNK]
        keep = sub_complete(len(chunk), n, generator).to(device)
        draw = sample_visit(_chances(chunk, n, net, inputs, device), keep, generator)
        graphs = Graphs.joined(draw.keep, draw.edges, env.join)
        returns = env.run(chunk.to(device), graphs, generator)
        found = (chunk, graphs.keep, graphs.edges, returns.score, returns.cost)
        parts.append(tuple(part.cpu() for part in found))
    task, keep, edges, score, cost = (torch.cat(column) for column in zip(*parts, strict=True))
    return rank_labels(task, keep, edges, score, cost, k, least=least)


def _chances(
    tasks: Tensor, n: int, net: PaperNet | None, inputs: PaperInputs | None, device: torch.device
) -> Tensor:
    """[R, N, N] probabilities of edges."""
    if net is None or inputs is None:
        return torch.full((len(tasks), n, n), 0.5)
    was, _ = net.training, net.eval()
    with torch.no_grad():
        chances = net.read(inputs.to(device), tasks.to(device)).edges
    net.train(was)
    return chances


def _round(values: Tensor) -> Tensor:
    """Whole millionths: sums in another order differ in the last bits."""
    return (values * 1e6).round()
