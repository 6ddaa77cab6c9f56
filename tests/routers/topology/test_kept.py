"""What is kept between decisions (projections by price, the means of the bank) changes none of them."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from agentnet.routers.topology.bank import BETA, NEVER, Bank
from agentnet.routers.topology.energy import EnergyPruner
from agentnet.routers.topology.graphs import Graphs
from agentnet.routers.topology.network import Agents, TopologyNet
from agentnet.routers.topology.solo import SoloNet

N, GROUPS, DIM = 4, 3, 12


def made(pseudo: float) -> EnergyPruner:
    """A pruner of random weights, over all graphs of one or two agents."""
    g = torch.Generator().manual_seed(0)
    keep = torch.tensor([[i in (a, b) for i in range(N)] for a in range(N) for b in range(a, N)])
    edges = (torch.rand((len(keep), N, N), generator=g) < 0.5).triu(1)
    graphs = Graphs.joined(keep, edges, "all")
    means = torch.rand((2, len(keep), GROUPS + 1), generator=g)
    centroids = torch.nn.functional.normalize(torch.randn((GROUPS, DIM), generator=g))
    names = tuple(f"agent{i}" for i in range(N))
    bank = Bank(names, graphs, means[0], means[1], torch.tensor([5.0, 9.0, 2.0]), centroids, pseudo)
    net = TopologyNet(DIM)
    with torch.no_grad():
        for weights in net.parameters():
            weights.copy_(0.3 * torch.randn(weights.shape, generator=g))
    roles, facts = torch.randn((N, DIM), generator=g), torch.rand((N, 3), generator=g)
    return EnergyPruner(bank, net, cast(Any, None), (1.0, 0.0), roles, facts, unit=2.0)


def tasks(count: int = 30) -> Tensor:
    return torch.nn.functional.normalize(
        torch.randn((count, DIM), generator=torch.Generator().manual_seed(1))
    )


@torch.no_grad()
def energies(pruner: EnergyPruner, rate: float) -> Tensor:
    """From the formula, task by task and graph by graph, nothing kept."""
    bank, rows, found = pruner.bank, tasks(), []
    for task in rows:
        group = int((bank.centroids @ task).argmax())
        share = 0.0 if bank.pseudo == NEVER else float(bank.sizes[group] / (bank.sizes[group] + bank.pseudo))
        worth = pruner.net(task[None], Agents(pruner.roles, pruner.facts), torch.tensor([rate]))
        for p in range(len(bank)):
            score, cost = (share * w[p, group] + (1 - share) * w[p, -1] for w in (bank.score, bank.cost))
            terms = worth.agent[0][bank.graphs.keep[p]].sum() + worth.edge[0][bank.graphs.edges[p]].sum()
            found.append(BETA * (score - rate * cost) + terms)
    return torch.stack(found).view(len(rows), -1)


@pytest.mark.parametrize("pseudo", [NEVER, 4.0])
def test_prices_in_any_order_give_the_energies_of_the_formula(pseudo: float) -> None:
    pruner = made(pseudo)
    prices = [0.0, 0.3, 0.0, *(0.05 * i for i in range(1, 12)), 0.3]  # more of them than are kept
    for rate in prices:
        picked = pruner.pick(tasks(), rate)
        expected = energies(pruner, rate)
        torch.testing.assert_close(picked.evidence, expected, atol=1e-3, rtol=1e-4)
        best = expected.topk(2, 1).values
        clear = best[:, 0] - best[:, 1] > 0.05
        assert clear.sum() > 10
        at = torch.tensor(picked.at)
        assert torch.equal(at[clear], expected.argmax(1)[clear])
        assert torch.equal(picked.graphs.keep, pruner.bank.graphs.keep[at])
        assert torch.equal(picked.graphs.edges, pruner.bank.graphs.edges[at])


def test_what_is_kept_does_not_grow() -> None:
    pruner = made(NEVER)
    for i in range(50):
        pruner.pick(tasks(1), i / 50)
    assert len(pruner._seats) <= 8


def test_single_scores_from_kept_projections_are_those_of_one_pass() -> None:
    pruner, net = made(NEVER), SoloNet(DIM)
    agents = Agents(pruner.roles, pruner.facts)
    with torch.no_grad():
        seats, expected = net.seats(agents), net(tasks(), agents).sigmoid()
    found = torch.from_numpy(net.scores(tasks(), seats)).float()
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    # In any batch the same, wherever a logit does not lie between two of its four digits.
    one, clear = net.scores(tasks()[:1], seats), _clear(net.read(tasks()[:1], seats))
    assert clear.any()
    assert one[clear].tolist() == net.scores(tasks(), seats)[:1][clear].tolist()


def _clear(logits: Tensor) -> NDArray[np.bool_]:
    """Whether rounding to four digits goes the same way also when the last bits differ."""
    beyond = np.modf(np.abs(logits.detach().double().numpy()) * 1e4)[0]
    clear: NDArray[np.bool_] = np.abs(beyond - 0.5) > 0.05
    return clear
