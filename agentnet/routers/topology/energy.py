"""``recipe="agentnet"`` when it decides: the bank's graphs over a pool, the likeliest of them, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agentnet.routers.gnn.training import arrays_of, load_arrays
from agentnet.routers.topology.bank import Bank
from agentnet.routers.topology.graphs import Graphs
from agentnet.routers.topology.judges import CriticJudge, ReplayJudge, restore_judge
from agentnet.routers.topology.learning import Learned
from agentnet.routers.topology.network import Agents, Seats, TopologyNet, Worth
from agentnet.routers.topology.picked import Picked

_PRICES = 8
"""Prices of which what the network reads is kept."""


@dataclass(frozen=True, slots=True, eq=False)
class EnergyPruner:
    """The fitted state of ``recipe="agentnet"``.

    Attributes:
        bank: The graphs found.
        net: The energy's network.
        judge: Expectations of any graph.
        keep: (slope, offset) of the calibration of keep-probabilities.
        roles: [N, d] encoded descriptions of the bank's agents.
        facts: [N, 3] of the bank's agents, as in `Agents`.
        unit: Unit of cost.
    """

    bank: Bank
    net: TopologyNet
    judge: CriticJudge | ReplayJudge
    keep: tuple[float, float]
    roles: Tensor
    facts: Tensor
    unit: float
    _seats: dict[float, Seats] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def of(cls, learned: Learned, agents: Agents, unit: float) -> EnergyPruner:
        """Takes what was learned."""
        return cls(
            bank=learned.bank, net=learned.net, judge=learned.judge, keep=learned.keep, roles=agents.roles,
            facts=agents.facts, unit=unit,
        )  # fmt: skip

    @property
    def names(self) -> tuple[str, ...]:
        """The agents of the arrays."""
        return self.bank.names

    def seated(self, names: Sequence[str], roles: Tensor) -> EnergyPruner | None:
        """Returns the pruner for another pool; None where no graph has an agent of it.

        An agent of the bank that is in the pool keeps its place. The place of one that is not goes, where
        strangers can be judged, to the agent of the pool, unknown to the bank, whose role is nearest, and its
        facts go with it; where none is left, it is cut from every graph. What a changed graph comes to is
        what the original came to, and the difference that the judge sees between the two.

        Args:
            names: The pool's agents.
            roles: [M, d] their encoded descriptions.
        """
        mine = self.bank.names
        if set(mine) <= set(names):
            return self
        place = {name: i for i, name in enumerate(names)}
        free = sorted(name for name in names if name not in mine and self.judge.strangers)
        takers: dict[str, str] = {name: name for name in mine if name in place}
        gone = [name for name in mine if name not in place]
        if free and gone:
            near = self.roles[[mine.index(n) for n in gone]] @ roles[[place[n] for n in free]].T
            for _ in range(min(len(free), len(gone))):
                i, j = divmod(int(near.argmax()), len(free))
                takers[gone[i]] = free[j]
                near[i], near[:, j] = -torch.inf, -torch.inf
        order = [name for name in mine if name in takers]
        if not order:
            return None
        new_names = tuple(takers[name] for name in order)
        at = [mine.index(name) for name in order]
        known = torch.tensor([takers[name] == name for name in order])
        facts = self.facts[at].clone()
        facts[~known, 2] = 0.0
        seat = [order.index(name) if name in takers else -1 for name in mine]
        bank, origin = self.bank.seated(new_names, seat)
        if not len(bank):
            return None
        there = replace(
            self, bank=bank, facts=facts,
            roles=torch.stack([roles[place[name]] for name in new_names]),
            judge=self.judge.among(new_names),
        )  # fmt: skip
        return there._rejudged(self, origin)

    def _rejudged(self, before: EnergyPruner, origin: Tensor) -> EnergyPruner:
        """Moves the bank's means by what the judge sees in graphs of other agents.

        Args:
            before: The pruner of the former agents.
            origin: [P] positions there of the graphs here.
        """
        old_score, old_cost = before.judge.mean(before.bank.graphs, before.agents)
        new_score, new_cost = self.judge.mean(self.bank.graphs, self.agents)
        score = self.bank.score + (new_score - old_score[origin])[:, None]
        cost = self.bank.cost + (new_cost - old_cost[origin])[:, None] / self.unit
        return replace(self, bank=replace(self.bank, score=score.clamp(0, 1), cost=cost.clamp_min(0)))

    @property
    def agents(self) -> Agents:
        """What the networks know of the agents."""
        return Agents(self.roles, self.facts)

    @torch.inference_mode()
    def forward(self, tasks: Tensor, rate: float) -> Worth:
        """Returns what one bare pass of the network gives, nothing kept from passes before."""
        worth: Worth = self.net(tasks, self.agents, torch.full((len(tasks),), rate))
        return worth

    @torch.inference_mode()
    def energies(self, tasks: Tensor, rate: float) -> Tensor:
        """[B, P] energies of the bank's graphs."""
        price = torch.tensor([rate])
        seats = self._seats.get(rate)
        if seats is None:
            while len(self._seats) >= _PRICES:
                self._seats.pop(next(iter(self._seats)), None)
            seats = self._seats[rate] = self.net.seats(self.agents, price)
        return self.bank.energy(tasks, price, self.net.read(tasks, seats))

    @torch.inference_mode()
    def pick(self, tasks: Tensor, rate: float) -> Picked:
        """Returns the likeliest graphs.

        Args:
            tasks: [B, d] encodings.
            rate: r, what the unit of cost is worth in score.
        """
        # Four digits: a batch of another size differs in the last ones.
        energy = self.energies(tasks, rate).round(decimals=4)
        best = energy.argmax(1)
        score, cost = self.bank.expected(tasks)
        at, rows = best.tolist(), best[:, None]
        return Picked(
            among=self.bank.graphs, at=at, keys=at, score=score.gather(1, rows)[:, 0],
            cost=cost.gather(1, rows)[:, 0] * self.unit, evidence=energy,
        )  # fmt: skip

    def probabilities(self, energy: Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Returns [N] probabilities that agents are kept, and [N, N] of edges, for one task.

        Args:
            energy: [P] of the bank's graphs.
        """
        keep, edge = self.bank.marginals(energy.softmax(0)[None])
        return keep[0].double().numpy().clip(0, 1), edge[0].double().numpy().clip(0, 1)

    def needed(self, keep: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns [N] calibrated probabilities that agents stand in the graph that is best in hindsight."""
        slope, offset = self.keep
        inside = keep.clip(1e-4, 1 - 1e-4)
        odds: NDArray[np.float64] = slope * np.log(inside / (1 - inside)) + offset
        needed: NDArray[np.float64] = 1 / (1 + np.exp(-odds))
        return needed

    @torch.inference_mode()
    def expect(self, task: Tensor, graphs: Graphs) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Returns what the judge expects of P graphs on one task [d]: [P] scores and [P] costs."""
        group = int(self.bank.group(task[None])[0])
        score, cost = self.judge.on(task, group, graphs, self.agents)
        return score.double().numpy(), cost.double().numpy()

    # -- disk ----------------------------------------------------------------------------------
    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Returns JSON values and arrays; the inverse of `restore`."""
        state, arrays = self.bank.state()
        judge, of_judge = self.judge.state()
        arrays |= of_judge | {f"net.{name}": array for name, array in arrays_of(self.net).items()}
        arrays |= {"roles": self.roles.numpy(), "facts": self.facts.numpy()}
        state |= judge | {
            "unit": self.unit,
            "keep": list(self.keep),
            "width": self.net.role.out_features,
            "decoder": self.net.decoder,
        }
        return state, arrays

    @classmethod
    def restore(cls, state: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> EnergyPruner:
        """Builds the pruner from what `state` returned."""
        roles, facts = (torch.from_numpy(np.array(arrays[k])) for k in ("roles", "facts"))
        net = TopologyNet(roles.shape[1], width=int(state["width"]), decoder=state["decoder"])
        load_arrays(net, {k.removeprefix("net."): a for k, a in arrays.items() if k.startswith("net.")})
        return cls(
            bank=Bank.restore(state, arrays), net=net.eval(), judge=restore_judge(state, arrays),
            keep=(float(state["keep"][0]), float(state["keep"][1])), roles=roles, facts=facts,
            unit=float(state["unit"]),
        )  # fmt: skip
