"""Policy gradients over sampled graphs: thousands of rollouts a step, each graph's log-probability closed.

The estimate is REINFORCE with a leave-one-out baseline (Kool et al., "Buy 4 REINFORCE samples, get a baseline
for free!", 2019): of S graphs sampled for a task, each is compared with the mean of the other S - 1, so that
what is common to all graphs of a task, such as its difficulty, adds no variance.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from agentnet.routers.topology.environment import Environment, dial_utility
from agentnet.routers.topology.graphs import Graphs
from agentnet.routers.topology.sampler import Draw, forward_pairs, log_prob_ordered, sample_ordered


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """Distributions over graphs of N agents for B tasks, as log-odds.

    Attributes:
        keep: [B, N] that an agent takes part.
        order: [B, N] the higher, the earlier.
        edge: [B, N, N] that i's answer goes to j, given that both take part and i comes first.
    """

    keep: Tensor
    order: Tensor
    edge: Tensor

    def repeat(self, times: int) -> Policy:
        """Returns [B * times, ...], each task's rows one after another."""
        return Policy(*(getattr(self, k).repeat_interleave(times, 0) for k in ("keep", "order", "edge")))

    def decode(self) -> tuple[Tensor, Tensor]:
        """Returns the graph of each task: [B, N] kept agents and [B, N, N] edges; deterministic.

        Kept is what is more likely kept than not, and at least the likeliest; likewise the edges that run
        with the likeliest order.

        >>> policy = Policy(torch.tensor([[1., -1.]]), torch.zeros(1, 2), torch.ones(1, 2, 2))
        >>> [part.tolist() for part in policy.decode()]
        [[[True, False]], [[[False, False], [False, False]]]]
        """
        keep = self.keep > 0
        best = torch.zeros_like(keep).scatter(1, self.keep.argmax(1, keepdim=True), True)
        keep = torch.where(keep.any(1, keepdim=True), keep, best)
        order = self.order.argsort(dim=1, descending=True, stable=True)
        edges = (self.edge > 0) & forward_pairs(order) & keep[:, :, None] & keep[:, None, :]
        return keep, edges


def leave_one_out(utility: Tensor) -> Tensor:
    """[B, S] each sample's utility minus the mean of the task's other samples.

    >>> leave_one_out(torch.tensor([[1., 0., 0.5]])).tolist()
    [[0.75, -0.75, 0.0]]
    """
    s = utility.shape[1]
    return (utility - utility.mean(1, keepdim=True)) * (s / (s - 1))


def policy_loss(
    policy: Policy,
    env: Environment,
    tasks: Tensor,
    rate: Tensor,
    *,
    samples: int,
    entropy: float,
    generator: torch.Generator,
) -> Tensor:
    """Returns a loss whose gradient is the policy gradient of the expected utility.

    Utility is (score - r * cost / unit) / (1 + r), which is the dial's (1 - w) * score - w * cost / unit.

    Args:
        policy: For B tasks, with gradient.
        env: Where the graphs are run.
        tasks: [B] positions of the tasks in the environment.
        rate: [B] r, what the unit of cost is worth in score.
        samples: S >= 2 graphs a task.
        entropy: Weight of the policy's entropy, which keeps it from settling early.
        generator: On the CPU.
    """
    many = policy.repeat(samples)
    draw = sample_ordered(many.keep, many.order, many.edge, generator)
    utility = run_draw(
        env, tasks.repeat_interleave(samples), draw, rate.repeat_interleave(samples), generator
    )
    advantage = leave_one_out(utility.view(-1, samples)).flatten()
    log_prob = log_prob_ordered(draw, many.keep, many.order, many.edge)
    return -(advantage * log_prob).mean() - entropy * bernoulli_entropy(policy)


def run_draw(env: Environment, tasks: Tensor, draw: Draw, rate: Tensor, generator: torch.Generator) -> Tensor:
    """[R] utility of drawn graphs, each on its task at its price; no gradient."""
    with torch.no_grad():
        found = env.run(tasks, Graphs.joined(draw.keep, draw.edges, env.join), generator)
        return dial_utility(found.score, found.cost, rate, env.unit)


def decoded(policy: Policy, env: Environment) -> Graphs:
    """Returns the graphs that a policy decides for."""
    keep, edges = policy.decode()
    return Graphs.joined(keep, edges, env.join)


def bernoulli_entropy(policy: Policy) -> Tensor:
    """Mean entropy in nats of keeping an agent, plus that of an edge that runs with the likeliest order."""
    order = policy.order.argsort(1, descending=True)
    forward = forward_pairs(order)
    pairs = forward.sum().clamp_min(1)
    return _entropy(policy.keep).mean() + (_entropy(policy.edge) * forward).sum() / pairs


def _entropy(logits: Tensor) -> Tensor:
    p = logits.sigmoid()
    return -(p * logsigmoid(logits) + (1 - p) * logsigmoid(-logits))
