"""The network of ``recipe="agentnet"``: what an agent and a message are worth to a task, from role texts.

A departure from the paper's network in four points. The decoder is directed, a_ij = (U z_i) . (V z_j) /
sqrt(k), without the min-max step that holds every probability between .27 and .73. The price of cost is an
input, so that one network serves every setting of the dial. All of it is trained. And what it gives are not
probabilities of single agents and edges, drawn one by one, but the terms of an energy by which whole acyclic
graphs compete (`agentnet.routers.topology.bank`): of two agents that are each worth having, but not both,
independent probabilities take both or neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

Decoder = Literal["directed", "gram"]
_FURTHEST = 10.0
"""Prices above this are the same to the network: already there only the cheapest agents stand."""


@dataclass(frozen=True, slots=True, eq=False)
class Agents:
    """What the networks know of N agents.

    Attributes:
        roles: [N, d] encoded descriptions.
        facts: [N, 3] mean score, mean cost over the unit of the dial, and 1 where these are known from a
            log, else 0 (then they are the means over the known agents).
    """

    roles: Tensor
    facts: Tensor

    def to(self, device: str) -> Agents:
        """Returns the same on another device."""
        return Agents(self.roles.to(device), self.facts.to(device))


@dataclass(frozen=True, slots=True, eq=False)
class Seats:
    """What the network reads that does not depend on the task: made once for many tasks.

    Attributes:
        role: [N, w] projected descriptions.
        told: [B, N, 7] facts and price; B is 1 where all tasks have the same price.
    """

    role: Tensor
    told: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Worth:
    """Terms of the energy, for B tasks and N agents.

    Attributes:
        agent: [B, N] of an agent that takes part.
        edge: [B, N, N] of a message from i to j.
    """

    agent: Tensor
    edge: Tensor

    def of(self, keep: Tensor, edges: Tensor) -> Tensor:
        """[B, P] sum of the terms of P graphs.

        Args:
            keep: [P, N] 1.0 where an agent takes part.
            edges: [P, N * N] 1.0 where i sends to j.

        >>> worth = Worth(torch.tensor([[1., 2.]]), torch.tensor([[[0., 4.], [8., 0.]]]))
        >>> worth.of(torch.tensor([[1., 1.]]), torch.tensor([[0., 1., 0., 0.]])).tolist()
        [[7.0]]
        """
        agents: Tensor = self.agent @ keep.T
        return agents + self.edge.flatten(1) @ edges.T


class TopologyNet(nn.Module):
    """Encodes agents in the light of a task and a price, with a head for agents and one for edges.

    z_i = f([r_i ; q ; r_i * q ; facts_i ; price]), then once more with the mean over the pool. No weight
    belongs to an agent or to a place in the pool: any pool of any size will do. The heads start at zero:
    an untrained network has no opinion.

    Args:
        text: d, width of the encodings of tasks and roles.
        width: Hidden width.
        rank: k of the edge decoder.
        decoder: ``gram`` is the paper's symmetric decoder with its min-max step, for comparison.
    """

    def __init__(self, text: int, *, width: int = 32, rank: int = 8, decoder: Decoder = "directed") -> None:
        super().__init__()
        self.rank, self.decoder = rank, decoder
        self.role = nn.Linear(text, width)
        self.task = nn.Linear(text, width)
        self.inner = nn.Sequential(
            nn.Linear(3 * width + 7, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
        )
        self.outer = nn.Sequential(nn.Linear(2 * width, width), nn.ReLU())
        self.agent = nn.Linear(width, 1)
        self.sender = nn.Linear(width, rank)
        self.receiver = nn.Linear(width, rank)
        for head in (self.agent, self.sender):
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)

    def forward(self, tasks: Tensor, agents: Agents, price: Tensor) -> Worth:
        """Returns the terms for B tasks.

        Args:
            tasks: [B, d] encodings.
            agents: N agents.
            price: [B] what the dial's unit of cost is worth, in score: r of `exchange_rate`.
        """
        return self.read(tasks, self.seats(agents, price))

    def seats(self, agents: Agents, price: Tensor) -> Seats:
        """Returns what is known before the tasks are; see `forward`. One price will do for all tasks."""
        facts = agents.facts.expand(len(price), -1, -1)
        r = price.clamp(max=_FURTHEST)[:, None].expand(-1, len(agents.roles))
        told = torch.stack(
            (
                torch.log10(r + 1e-3) / 2,
                r / (1 + r),
                (r * facts[..., 1]).clamp(max=3.0),
                ((facts[..., 0] - r * facts[..., 1]) / (1 + r)).clamp(-2.0, 2.0),
            ),
            -1,
        )
        return Seats(self.role(agents.roles), torch.cat((facts, told), -1))

    def read(self, tasks: Tensor, seats: Seats) -> Worth:
        """Returns the terms for tasks [B, d]; see `forward`."""
        z = self._embed(tasks, seats)
        sent, read = self.sender(z), self.receiver(z)
        if self.decoder == "gram":
            gram = read @ read.transpose(1, 2)
            low, high = gram.amin((1, 2), keepdim=True), gram.amax((1, 2), keepdim=True)
            edge = 2 * (gram - low) / (high - low).clamp_min(1e-9) - 1
        else:
            edge = sent @ read.transpose(1, 2) / self.rank**0.5
        return Worth(self.agent(z).squeeze(-1), edge)

    def _embed(self, tasks: Tensor, seats: Seats) -> Tensor:
        n = len(seats.role)
        role = seats.role.expand(len(tasks), -1, -1)
        task = self.task(tasks)[:, None].expand(-1, n, -1)
        told = seats.told.expand(len(tasks), -1, -1)
        z = self.inner(torch.cat((role, task, role * task, told), -1))
        pooled = z.mean(1, keepdim=True).expand_as(z)
        out: Tensor = self.outer(torch.cat((z, pooled), -1))
        return out
