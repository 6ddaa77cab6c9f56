"""The bank: acyclic for any pool, exact marginals, means by group, the same from disk."""

from __future__ import annotations

from dataclasses import replace

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agentnet.routers.topology.bank import BETA, NEVER, Bank, first_of_each
from agentnet.routers.topology.graphs import Graphs
from agentnet.routers.topology.network import Worth
from agentnet.routers.topology.start import prior_graphs


def acyclic(edges: torch.Tensor) -> bool:
    power = edges.double()
    for _ in range(edges.shape[-1]):
        power = power @ edges.double()
    return not power.any()


def bank_of(graphs: Graphs, *, groups: int = 2, pseudo: float = NEVER, seed: int = 0) -> Bank:
    generator = torch.Generator().manual_seed(seed)
    p, n = graphs.keep.shape
    drawn = torch.rand((2, p, groups + 1), generator=generator)
    return Bank(
        tuple(f"a{i}" for i in range(n)), graphs, drawn[0], drawn[1], torch.full((groups,), 10.0),
        torch.eye(groups, 6), pseudo,
    )  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 7), st.data())
def test_any_pool_gets_acyclic_graphs_of_its_own_agents(seed: int, n: int, data: st.DataObject) -> None:
    graphs = prior_graphs(n, 20, "sinks", torch.Generator().manual_seed(seed))
    bank = bank_of(graphs)
    m = data.draw(st.integers(1, n))
    free = data.draw(st.permutations(range(m)))
    seat = data.draw(st.permutations([*free, *[-1] * (n - m)]))
    names = tuple(f"new{i}" for i in range(m))
    seated, origin = bank.seated(names, seat)
    assert len(seated) == len(origin) and seated.names == names
    for row, old in enumerate(origin.tolist()):
        keep, edges, outputs = (getattr(seated.graphs, k)[row] for k in ("keep", "edges", "outputs"))
        assert keep.any() and acyclic(edges)
        assert not (edges & ~(keep[:, None] & keep[None])).any()
        assert outputs.any() and not (outputs & ~keep).any()
        stayed = [i for i in range(n) if seat[i] >= 0]
        assert {seat[i] for i in stayed if graphs.keep[old, i]} == set(keep.nonzero().flatten().tolist())
        for i in stayed:
            for j in stayed:
                assert edges[seat[i], seat[j]] == graphs.edges[old, i, j]
    assert len(first_of_each(seated.graphs)) == len(seated)


def test_marginals_are_sums_over_graphs() -> None:
    graphs = prior_graphs(4, 9, "all", torch.Generator().manual_seed(1))
    bank = bank_of(graphs)
    chance = torch.rand(3, 9, generator=torch.Generator().manual_seed(2)).softmax(1)
    keep, edge = bank.marginals(chance)
    for b in range(3):
        for i in range(4):
            expected = sum(float(chance[b, p]) for p in range(9) if graphs.keep[p, i])
            assert abs(float(keep[b, i]) - expected) < 1e-6
            for j in range(4):
                expected = sum(float(chance[b, p]) for p in range(9) if graphs.edges[p, i, j])
                assert abs(float(edge[b, i, j]) - expected) < 1e-6


def test_a_group_counts_as_much_as_it_has_tasks() -> None:
    graphs = prior_graphs(3, 5, "all", torch.Generator().manual_seed(0))
    tasks = torch.eye(2, 6)
    ignoring, looking = bank_of(graphs), bank_of(graphs, pseudo=10.0)
    overall = looking.score[:, -1]
    for at in range(2):
        assert torch.equal(ignoring.expected(tasks)[0][at], overall)
        halfway = (looking.score[:, at] + overall) / 2  # 10 tasks against 10 pseudo tasks
        assert torch.allclose(looking.expected(tasks)[0][at], halfway)
    assert looking.group(tasks).tolist() == [0, 1]


def test_the_energy_is_utility_and_the_networks_terms() -> None:
    graphs = prior_graphs(3, 5, "all", torch.Generator().manual_seed(0))
    bank, tasks, rate = bank_of(graphs), torch.eye(2, 6), torch.tensor([0.0, 0.5])
    plain = BETA * (bank.score[:, -1][None] - rate[:, None] * bank.cost[:, -1][None])
    assert torch.allclose(bank.energy(tasks, rate, None), plain, atol=1e-4)
    worth = Worth(torch.tensor([[1.0, 2.0, 4.0]] * 2), torch.arange(18.0).view(2, 3, 3))
    told = bank.energy(tasks, rate, worth) - plain
    for b in range(2):
        for p in range(5):
            agents = (worth.agent[b] * graphs.keep[p]).sum() + (worth.edge[b] * graphs.edges[p]).sum()
            assert abs(float(told[b, p] - agents)) < 1e-3


def test_a_bank_survives_the_disk() -> None:
    for pseudo in (NEVER, 30.0):
        bank = bank_of(prior_graphs(4, 7, "all", torch.Generator().manual_seed(0)), pseudo=pseudo)
        state, arrays = bank.state()
        again = Bank.restore(state, arrays)
        assert again.names == bank.names and again.pseudo == pseudo
        tasks, rate = torch.rand(5, 6), torch.full((5,), 0.1)
        assert torch.equal(again.energy(tasks, rate, None), bank.energy(tasks, rate, None))
        assert torch.equal(again.graphs.edges, bank.graphs.edges)


def test_equal_graphs_are_kept_once_and_empty_ones_not_at_all() -> None:
    keep = torch.tensor([[True, False], [False, False], [True, False], [True, True]])
    graphs = Graphs.joined(keep, torch.zeros(4, 2, 2, dtype=torch.bool), "all")
    assert first_of_each(graphs).tolist() == [0, 3]
    assert len(replace(bank_of(graphs), graphs=graphs)) == 4
