"""`Dynamics`: what a topology of simulated agents comes to, in closed form, for thousands of graphs at once.

A task has a hidden binary truth. In a task of condition c (a domain at a difficulty) agent j has private
evidence e_j for the truth, Normal with mean mu_cj and variance 1; agents of a redundancy group share noise,
so that their evidence correlates by rho. Agents speak one after another along the graph, each once:

    o_j = (1 - s_j) g_j (e_j + sum_i syn_cij) + s_j mean_i o_i      over the agents i that j reads,
    o_j = g_j e_j                                                   where it reads nobody.

That is one pass of the opinion dynamics of Friedkin and Johnsen (1990), "Social influence and opinions", with
s_j the susceptibility and g_j the loudness of an agent, plus the synergies syn: what i says improves j's own
evidence, not the other way round. The decision node adds up what it reads, and decides by the sign. The sum
is T = sum_j w_j (e_j + sum_i syn_cij) with weights w >= 0 that depend on the graph alone, so that

    accuracy = Phi(E T / sd T),   E T = sum_j w_j (mu_cj + sum_i syn_cij),   var T = w' Sigma w.

Tokens: an agent reads its prompt and the completions of those it reads, and writes a completion; the decision
node reads its prompt and the completions of the outputs.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from agentnet.routers.topology.graphs import Graphs


def normal_cdf(z: Tensor) -> Tensor:
    """Phi: probability that a standard normal variable stays below z."""
    below: Tensor = torch.special.ndtr(z)
    return below


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dynamics:
    """The numbers of a society of N agents under C conditions.

    Attributes:
        mean: [C, N] mean evidence of an agent that reads nobody.
        synergy: [C, N, N] what an edge i -> j adds to the mean of j's own evidence.
        correlation: [N, N] of the evidence.
        susceptibility: [N] s in [0, 1): weight of what an agent reads.
        loudness: [N] g > 0.
        prompt: [N] tokens of an agent's prompt without messages.
        completion: [N] tokens that an agent writes.
        decision: [] tokens of the decision node's prompt without messages.
        bar: [C] expected accuracy from which on a deterministic society scores 1; None scores accuracy.
    """

    mean: Tensor
    synergy: Tensor
    correlation: Tensor
    susceptibility: Tensor
    loudness: Tensor
    prompt: Tensor
    completion: Tensor
    decision: Tensor
    bar: Tensor | None = None

    def to(self, dtype: torch.dtype | None = None, device: torch.device | None = None) -> Dynamics:
        """Returns the same numbers in another type or on another device."""
        numbers = {f.name: getattr(self, f.name) for f in fields(self)}
        moved: dict[str, Any] = {k: v if v is None else v.to(device, dtype) for k, v in numbers.items()}
        return Dynamics(**moved)

    def subset(self, agents: Tensor) -> Dynamics:
        """Returns the numbers of some agents, in the order of the indices given."""
        return replace(
            self,
            mean=self.mean[:, agents],
            synergy=self.synergy[:, agents][:, :, agents],
            correlation=self.correlation[agents][:, agents],
            susceptibility=self.susceptibility[agents],
            loudness=self.loudness[agents],
            prompt=self.prompt[agents],
            completion=self.completion[agents],
        )

    def followed_by(self, other: Dynamics) -> Dynamics:
        """Returns both one's conditions, then the other's; all else is this one's."""
        mean, synergy = torch.cat((self.mean, other.mean)), torch.cat((self.synergy, other.synergy))
        bar = None if self.bar is None or other.bar is None else torch.cat((self.bar, other.bar))
        return replace(self, mean=mean, synergy=synergy, bar=bar)

    def weights(self, graphs: Graphs) -> Tensor:
        """[R, N] weight w >= 0 of each agent's own evidence in what the decision adds up."""
        edges = graphs.edges.to(self.mean.dtype)
        reads = edges.sum(1)
        share = self.susceptibility / reads.clamp(min=1)
        passed = edges * share[:, None, :]  # [r, i, j]: the share of o_i in o_j
        outputs = graphs.outputs.to(self.mean.dtype)
        total = outputs
        for _ in range(edges.shape[1] - 1):  # the longest path has N - 1 edges; mostly far fewer
            further = outputs + (passed @ total[:, :, None]).squeeze(2)
            if torch.equal(further, total):
                break
            total = further
        own = torch.where(reads > 0, 1 - self.susceptibility, torch.ones_like(share)) * self.loudness
        return own * total * graphs.keep

    def accuracy(self, condition: Tensor, graphs: Graphs) -> Tensor:
        """[R] probability that the decision is right; ``condition`` is [R] int64."""
        weights = self.weights(graphs)
        gain = (graphs.edges * self.synergy[condition]).sum(1)
        mean = (weights * (self.mean[condition] + gain)).sum(1)
        variance = ((weights @ self.correlation) * weights).sum(1)
        return normal_cdf(mean / variance.sqrt())

    def score(self, condition: Tensor, graphs: Graphs) -> Tensor:
        """[R] expected score: the accuracy; in a deterministic society 1 where it reaches the bar, else 0."""
        accuracy = self.accuracy(condition, graphs)
        return accuracy if self.bar is None else (accuracy >= self.bar[condition]).to(accuracy.dtype)

    def tokens(self, graphs: Graphs) -> Tensor:
        """[R] prompt and completion tokens of all agents that run and of the decision."""
        written = self.completion
        agents = (graphs.keep * (self.prompt + written)).sum(1)
        messages = (graphs.edges.to(written.dtype).sum(2) * written).sum(1)
        return agents + messages + self.decision + (graphs.outputs * written).sum(1)

    def alone(self) -> Tensor:
        """[N] tokens of each agent working alone, with the decision that reads it."""
        return self.prompt + 2 * self.completion + self.decision
