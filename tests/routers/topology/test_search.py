"""The search of Stage I: changes never make a cycle, and what is planted is found."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agentnet.routers.topology.graphs import Graphs
from agentnet.routers.topology.search import Effort, Genes, Pruning, evolve, survivors
from agentnet.routers.topology.start import plain_graphs, prior_graphs

from .doubles import puzzle
from .test_bank import acyclic


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 8), st.integers(1, 4))
def test_changed_graphs_are_acyclic_and_never_empty(seed: int, n: int, times: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    genes = Genes.of(prior_graphs(n, 20, "sinks", generator))
    for _ in range(times):
        genes = genes.changed(generator)
    graphs = genes.graphs("sinks")
    for keep, edges in zip(graphs.keep, graphs.edges, strict=True):
        assert keep.any() and acyclic(edges)
        assert not (edges & ~(keep[:, None] & keep[None])).any()


def test_genes_hold_a_graph() -> None:
    graphs = prior_graphs(6, 100, "all", torch.Generator().manual_seed(0))
    again = Genes.of(graphs).graphs("all")
    assert torch.equal(again.keep, graphs.keep) and torch.equal(again.edges, graphs.edges)


def test_changes_are_small_and_of_every_kind() -> None:
    generator = torch.Generator().manual_seed(0)
    start = Genes.of(prior_graphs(6, 500, "all", generator))
    before, after = start.graphs("all"), start.changed(generator).graphs("all")
    agents = (before.keep != after.keep).sum(1)
    assert agents.max() <= 6 and agents.float().mean() < 2
    assert ((agents == 0) & (before.edges != after.edges).any(2).any(1)).any(), "edges alone change, too"
    assert (after.keep & ~before.keep).any() and (before.keep & ~after.keep).any()


def test_what_may_not_be_pruned_is_put_back() -> None:
    genes = Genes.of(prior_graphs(5, 50, "all", torch.Generator().manual_seed(0)))
    everybody = genes.pruned(Pruning(hard=False)).graphs("all")
    assert everybody.keep.all()
    complete = genes.pruned(Pruning(soft=False)).graphs("all")
    size = complete.keep.sum(1)
    assert torch.equal(complete.edges.sum((1, 2)), size * (size - 1) // 2)
    assert torch.equal(complete.keep, genes.keep)


def test_survivors_are_the_best_at_some_price() -> None:
    score = torch.tensor([[0.9], [0.8], [0.5], [0.4], [0.3], [0.2], [0.1]])
    cost = torch.tensor([[9.0], [5.0], [1.0], [2.0], [3.0], [4.0], [5.0]])
    assert survivors(score, cost, [0.0], 1.0).tolist() == [0, 1, 2]
    assert survivors(score, cost, [3.0], 1.0).tolist() == [2, 3, 4]
    assert survivors(score, cost, [0.0, 3.0], 1.0).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("shuffled", [False, True])
def test_the_planted_graph_is_found_and_shuffled_scores_hide_it(shuffled: bool) -> None:
    names = ("a", "b", "c", "d")
    env = puzzle(names, 12, [(0, 2), (1, 2)], left_out=(3,), shuffled=shuffled)
    generator = torch.Generator().manual_seed(0)
    start = Graphs.cat([plain_graphs(4, "sinks"), prior_graphs(4, 20, "sinks", generator)])
    group = torch.zeros(12, dtype=torch.long)
    found = evolve(
        env, torch.arange(12), group, start, (0.0,), generator, Effort(generations=12, children=24)
    )
    true = env.score(torch.zeros(len(found.graphs), dtype=torch.long), found.graphs.keep, found.graphs.edges)
    best = found.score.mean(1).argmax()
    if shuffled:
        assert found.draws and true[best] != 1
    else:
        assert not found.draws and true[best] == 1
        assert torch.equal(found.graphs.edges[best], env.best_edges[0])
    assert len(found.sample) <= Effort().sample and found.tried > len(found.graphs)


def test_a_search_is_a_function_of_its_generator() -> None:
    def once() -> torch.Tensor:
        env = puzzle(("a", "b", "c"), 6, [(0, 2)])
        generator = torch.Generator().manual_seed(3)
        start = prior_graphs(3, 9, "sinks", generator)
        group = torch.zeros(6, dtype=torch.long)
        return evolve(env, torch.arange(6), group, start, (0.0, 0.1), generator, Effort(generations=4)).score

    assert torch.equal(once(), once())
