"""The pruner at work: picks by utility, seats other pools, changes nothing on the disk."""

from __future__ import annotations

import torch

from agentnet.routers.topology.bank import Bank
from agentnet.routers.topology.critic import Critic, Critics
from agentnet.routers.topology.energy import EnergyPruner
from agentnet.routers.topology.graphs import Graphs
from agentnet.routers.topology.judges import CriticJudge
from agentnet.routers.topology.network import TopologyNet

ROLES = torch.eye(3, 6)


def pruner() -> EnergyPruner:
    """a alone: .5 at cost 1; c alone: .4 at .5; a -> b: .9 at 2."""
    keep = torch.tensor([[True, False, False], [False, False, True], [True, True, False]])
    edges = torch.zeros(3, 3, 3, dtype=torch.bool)
    edges[2, 0, 1] = True
    graphs = Graphs.joined(keep, edges, "sinks")
    bank = Bank(
        ("a", "b", "c"), graphs, torch.tensor([[0.5], [0.4], [0.9]]).repeat(1, 2),
        torch.tensor([[1.0], [0.5], [2.0]]).repeat(1, 2), torch.ones(1), torch.ones(1, 6),
    )  # fmt: skip
    torch.manual_seed(0)
    judge = CriticJudge(Critics((Critic(6, width=8).eval(),), 100.0), torch.randn(5, 6))
    return EnergyPruner(
        bank=bank, net=TopologyNet(6, width=8).eval(), judge=judge, keep=(1.0, 0.0), roles=ROLES,
        facts=torch.tensor([[0.5, 1.0, 1.0]] * 3), unit=100.0,
    )  # fmt: skip


def test_the_graph_worth_most_at_the_price_is_picked() -> None:
    tasks = torch.zeros(2, 6)
    for rate, best, cost in ((0.0, 2, 200.0), (0.3, 2, 200.0), (0.45, 1, 50.0), (3.0, 1, 50.0)):
        picked = pruner().pick(tasks, rate)
        assert list(picked.at) == [best, best] and picked.cost.tolist() == [cost, cost]


def test_a_pool_that_has_all_its_agents_changes_nothing() -> None:
    whole = pruner()
    roles = torch.cat((torch.ones(1, 6), ROLES.flip(0)))
    assert whole.seated(("new", "c", "b", "a"), roles) is whole


def test_a_stranger_takes_the_nearest_seat() -> None:
    roles = torch.stack((ROLES[0], ROLES[2] + 0.1 * ROLES[1], ROLES[1]))
    seated = pruner().seated(("a", "like c", "like b"), roles)
    assert seated is not None and seated.names == ("a", "like b", "like c")
    assert seated.facts[:, 2].tolist() == [1.0, 0.0, 0.0], "of a stranger nothing is known"
    assert torch.equal(seated.bank.graphs.edges, pruner().bank.graphs.edges)
    # Whose role is the same is worth what the critics see in him: the fact that he is unknown alone.
    assert torch.equal(seated.roles[1], ROLES[1])


def test_who_is_gone_is_cut() -> None:
    seated = pruner().seated(("a", "c"), ROLES[[0, 2]])
    assert seated is not None and seated.names == ("a", "c") and len(seated.bank) == 2
    assert not seated.bank.graphs.edges.any()
    assert seated.bank.cost.min() >= 0 and seated.bank.score.max() <= 1


def test_one_stranger_may_stand_for_all() -> None:
    seated = pruner().seated(("x",), ROLES[:1])
    assert seated is not None and seated.names == ("x",)
    assert seated.pick(torch.zeros(1, 6), 0.0).graphs.keep.tolist() == [[True]]


def test_probabilities_are_marginals_and_needed_is_calibrated() -> None:
    one = pruner()
    energy = torch.log(torch.tensor([0.2, 0.3, 0.5]))
    keep, edge = one.probabilities(energy)
    assert abs(keep - [0.7, 0.5, 0.3]).max() < 1e-6 and abs(edge[0, 1] - 0.5) < 1e-6 and edge.sum() < 0.51
    assert abs(one.needed(keep) - keep).max() < 1e-6, "slope 1, offset 0"


def test_it_survives_the_disk() -> None:
    one = pruner()
    state, arrays = one.state()
    again = EnergyPruner.restore(state, arrays)
    tasks = torch.randn(4, 6)
    assert torch.equal(one.energies(tasks, 0.2), again.energies(tasks, 0.2))
    graphs = one.bank.graphs
    for a, b in zip(one.expect(tasks[0], graphs), again.expect(tasks[0], graphs), strict=True):
        assert (a == b).all()
