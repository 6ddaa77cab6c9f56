"""One graph for all tasks, learned: GPTSwarm, AgentPrune and AgentDropout.

Sources: Zhuge et al., "GPTSwarm: Language Agents as Optimizable Graphs", arXiv 2402.16823; Zhang et al.,
"Cut the Crap: An Economical Communication Pipeline for LLM-based Multi-Agent Systems", arXiv 2410.02506;
Wang et al., "AgentDropout", arXiv 2503.18891. Edges pass messages within a round; the edges from one round
to the next, which AgentPrune and AgentDropout learn too, are not modelled: where a graph runs several
rounds, they repeat those within a round.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from agentnet.routers.topology.reinforce import NEVER, EdgePolicy, Lesson, reinforce

SWARM_STEPS, PRUNE_STEPS, DROP_STEPS = 200, 10, 2
"""Steps of GPTSwarm, AgentPrune and each phase of AgentDropout, as in the papers' code."""
SWARM_BATCH, PRUNE_BATCH, DROP_BATCH = 4, 4, 40
PRUNE_SHARE, PRUNINGS = 0.25, 2
DROP_SHARE, DROP_BATCH_EDGES = 0.1, 10
_DELTA = 0.1
"""How far logits may lie from the adjacency before the hinge counts them."""


@dataclass(frozen=True, slots=True, eq=False)
class Chances:
    """A learned graph over N agents.

    Attributes:
        edges: [N, N] float32 probabilities of edges; 0 where pruned.
        keep: [N] bool: the agents that take part.
    """

    edges: Tensor
    keep: Tensor


class StaticEdges(EdgePolicy):
    """A free log-odds for every pair, 0 at the start; the same for all tasks.

    >>> policy = StaticEdges(torch.tensor([True, True, False]))
    >>> policy.chances().edges.tolist()
    [[0.0, 0.5, 0.0], [0.5, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """

    allowed: Tensor
    keep: Tensor

    def __init__(self, keep: Tensor) -> None:
        super().__init__()
        n = len(keep)
        self.logits = nn.Parameter(torch.zeros(n, n))
        pairs = ~torch.eye(n, dtype=torch.bool) & keep[:, None] & keep[None, :]
        self.register_buffer("allowed", pairs)
        self.register_buffer("keep", keep.clone())

    def edge_logits(self, tasks: Tensor) -> Tensor:
        """[B, N, N] the same log-odds for every task."""
        return torch.where(self.allowed, self.logits, NEVER).expand(len(tasks), -1, -1)

    def taking_part(self) -> Tensor:
        """[N] bool."""
        return self.keep

    def prune(self, share: float) -> None:
        """Forbids the share of the allowed edges with the lowest log-odds; of equals, the first.

        At least one goes, where there is any.
        """
        allowed = self.allowed.flatten().nonzero().squeeze(1)
        count = max(1, round(share * len(allowed)))
        lowest = self.logits.detach().flatten()[allowed].argsort(stable=True)[:count]
        self.allowed.view(-1)[allowed[lowest]] = False

    def low_rank(self, adjacency: Tensor) -> Tensor:
        """Nuclear norm of the log-odds, plus a hinge on their Frobenius distance to the first adjacency."""
        theta = torch.where(self.allowed, self.logits, 0.0)
        if not bool(adjacency.any()):  # a single agent
            return theta.sum()
        distance: Tensor = torch.linalg.matrix_norm(adjacency.float() - theta)
        hinge = torch.relu(distance - _DELTA)
        if not bool((theta != 0).any()):  # where the nuclear norm has no gradient
            return hinge
        nuclear: Tensor = torch.linalg.matrix_norm(theta, ord="nuc")
        return nuclear + hinge

    def chances(self) -> Chances:
        """The learned graph."""
        with torch.no_grad():
            edges = torch.where(self.allowed, self.logits.sigmoid(), 0.0)
        return Chances(edges.cpu(), self.keep.cpu())


def gptswarm(lesson: Lesson) -> Chances:
    """Learns edges by REINFORCE with a moving average as baseline; edges above 1/2 are its graph.

    The learned order of agents that the paper has as an option is not there.
    """
    policy = _policy(lesson)
    reinforce(policy, lesson, steps=SWARM_STEPS, batch=SWARM_BATCH, baseline=True, label="gptswarm")
    return policy.chances()


def agentprune(lesson: Lesson, *, low_rank: bool = False) -> Chances:
    """Learns edges by plain REINFORCE; prunes the lowest quarter after each half of the steps.

    Args:
        lesson: Environment and settings.
        low_rank: Whether the paper's low-rank penalty is added; the released code has none.
    """
    policy = _policy(lesson)
    adjacency = policy.allowed.clone()
    every = max(1, (lesson.steps or PRUNE_STEPS) // PRUNINGS)

    def after(number: int) -> None:
        if (number + 1) % every == 0 and (number + 1) // every <= PRUNINGS:
            policy.prune(PRUNE_SHARE)

    reinforce(
        policy, lesson, steps=PRUNE_STEPS, batch=PRUNE_BATCH, baseline=False, label="agentprune", after=after,
        penalty=(lambda: policy.low_rank(adjacency.to(policy.logits.device))) if low_rank else None,
    )  # fmt: skip
    return policy.chances()


def agentdropout(lesson: Lesson) -> Chances:
    """Drops the agent with the least weighted degree, then the weakest tenth of the edges.

    Each of the two phases learns log-odds of its own by plain REINFORCE, the second one with the low-rank
    penalty. Where only two agents are there, none is dropped.
    """
    first = _policy(lesson)
    reinforce(
        first, lesson, steps=DROP_STEPS, batch=DROP_BATCH, baseline=False, label="agentdropout agents"
    )  # fmt: skip
    second = StaticEdges(drop_agent(first))
    adjacency = second.allowed.clone()
    reinforce(
        second, lesson, steps=DROP_STEPS, batch=DROP_BATCH_EDGES, baseline=False, label="agentdropout edges",
        penalty=lambda: second.low_rank(adjacency.to(second.logits.device)),
    )  # fmt: skip
    second.prune(DROP_SHARE)
    return second.chances()


def drop_agent(policy: StaticEdges) -> Tensor:
    """[N] bool: the agents that are left without the one of least mean log-odds over its allowed edges.

    >>> policy = StaticEdges(torch.ones(3, dtype=torch.bool))
    >>> with torch.no_grad():
    ...     policy.logits[0, 1] = 1.0
    >>> drop_agent(policy).tolist()
    [True, True, False]
    """
    keep = policy.keep.clone()
    if int(keep.sum()) > 2:
        with torch.no_grad():
            theta = torch.where(policy.allowed, policy.logits, 0.0)
            count = policy.allowed.sum(0) + policy.allowed.sum(1)
            degree = (theta.sum(0) + theta.sum(1)) / count.clamp_min(1)
        keep[torch.where(keep, degree, torch.inf).argmin()] = False
    return keep.cpu()


def _policy(lesson: Lesson) -> StaticEdges:
    return StaticEdges(torch.ones(len(lesson.env.agents), dtype=torch.bool))
