"""The best topology is the best of all, and the bound bounds."""

from __future__ import annotations

from dataclasses import replace

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agentnet.bench.society import Society, random_graphs
from agentnet.bench.society.bound import upper_bounds
from agentnet.bench.society.search import all_dags, search
from agentnet.routers.topology.graphs import Graphs


def every_graph(n):
    """All teams with all DAGs, found by trying every set of edges with networkx."""
    keep, edges = [], []
    pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
    for bits in range(2 ** len(pairs)):
        chosen = [pair for at, pair in enumerate(pairs) if bits >> at & 1]
        if not nx.is_directed_acyclic_graph(nx.DiGraph(chosen)):
            continue
        needed = {i for pair in chosen for i in pair}
        matrix = torch.zeros((n, n), dtype=torch.bool)
        for i, j in chosen:
            matrix[i, j] = True
        for team in range(1, 2**n):
            members = {i for i in range(n) if team >> i & 1}
            if needed <= members:
                keep.append(torch.tensor([i in members for i in range(n)]))
                edges.append(matrix)
    return Graphs.joined(torch.stack(keep), torch.stack(edges), "all")


@pytest.fixture(scope="module")
def three():
    return every_graph(3)


@pytest.fixture(scope="module")
def four():
    return every_graph(4)


def test_all_dags_are_those_that_networkx_calls_acyclic(four):
    whole = four.take(four.keep.all(1)).edges
    assert {tuple(e.flatten().tolist()) for e in whole} == {tuple(e.flatten().tolist()) for e in all_dags(4)}
    assert len(all_dags(5)) == 29_281  # OEIS A003024


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("deterministic", [False, True])
def test_the_best_is_that_of_plain_enumeration(small, three, four, seed, deterministic):
    n = 3 + seed % 2
    society = small(seed, n=n, deterministic=deterministic)
    for domain in range(2):
        for level in range(2):
            values = society.value(three if n == 3 else four, domain, level)
            best = society.best(domain, level)
            assert best.certified and best.value == pytest.approx(float(values.max()))
            assert float(society.value(best.graphs, domain, level)) == pytest.approx(best.value)
            assert float(society.tokens(best.graphs)) == best.tokens


@pytest.mark.parametrize("seed", range(6))
def test_teams_that_are_not_searched_are_excluded_by_their_bound_or_not_certified(small, four, seed):
    society = small(seed, n=4)
    for c, found in enumerate(search(society.dynamics, society.price, largest=2)):
        values = society.value(four, c // 2, c % 2)
        assert float(values.max()) <= found.upper + 1e-9
        assert found.value <= float(values.max()) + 1e-9
        if found.certified:
            assert found.value == pytest.approx(float(values.max()))
        else:
            assert "not certified" in found.certificate and found.upper > found.value


@given(st.integers(0, 100_000), st.integers(2, 7), st.booleans())
@settings(max_examples=30, deadline=None)
def test_no_topology_is_worth_more_than_the_bound_of_its_team(small, seed, n, turned):
    society = small(seed, n=n)
    if turned:
        society = society.turned(seed % n).after
    graphs = random_graphs(n, 64, torch.Generator().manual_seed(seed))
    dynamics = society.dynamics
    quick = upper_bounds(dynamics, society.price, graphs.keep)
    everywhere = torch.full((len(dynamics.mean),), -torch.inf)
    sharp = upper_bounds(dynamics, society.price, graphs.keep, everywhere)
    assert (sharp <= quick).all()
    for c in range(len(dynamics.mean)):
        assert (society.value(graphs, c // 2, c % 2) <= sharp[:, c] + 1e-9).all()


def test_more_synergies_than_are_told_apart_are_granted(small):
    dense = np.random.default_rng(0).uniform(0.1, 0.5, (5, 5, 1)) * ~np.eye(5, dtype=bool)[..., None]
    society = small(3, n=5, d=1, synergy=dense)
    graphs = random_graphs(5, 40, torch.Generator().manual_seed(0))
    bound = upper_bounds(society.dynamics, society.price, graphs.keep)
    assert (society.value(graphs, 0, 0) <= bound[:, 0] + 1e-9).all()


def test_the_bound_of_independent_agents_that_nobody_outweighs_is_reached(small):
    plain = small(
        0,
        n=4,
        d=1,
        skill=np.full((4, 1), 0.5),
        synergy=np.zeros((4, 4, 1)),
        loudness=np.ones(4),
        group=np.arange(4),
    )
    team = torch.ones(1, 4, dtype=torch.bool)
    graphs = Graphs.joined(team, torch.zeros(1, 4, 4, dtype=torch.bool), "all")
    assert float(upper_bounds(plain.dynamics, plain.price, team)[0, 0]) == pytest.approx(
        float(plain.value(graphs, 0, 0))
    )


def test_where_nothing_is_gained_by_pruning_everybody_is_best(complete):
    for seed in range(3):
        society = Society.draw(seed, "no_pruning")
        for domain in range(4):
            best = society.best(domain, 1)
            assert best.certified and best.keep.all() and "upper bound" in best.certificate
            assert best.value == pytest.approx(float(society.value(complete(9), domain, 1)))
            full = 3 * society.skill[0, domain]  # sqrt(9) times the skill of each
            assert best.value == pytest.approx(float(torch.special.ndtr(torch.tensor(full))))


@pytest.mark.parametrize("kind", ["mixed", "adversarial", "specialists"])
def test_nearly_all_societies_of_the_prior_are_certified(kind):
    done = [best.certified for seed in range(3) for best in Society.draw(seed, kind).optima]
    assert np.mean(done) >= 0.95


def test_the_best_beats_everybody_and_each_alone(complete, singles):
    for seed in range(3):
        society = Society.draw(seed)
        for domain in range(4):
            best = society.best(domain, 1)
            alone, all_of_them = society.value(singles(9), domain, 1), society.value(complete(9), domain, 1)
            assert best.value >= float(alone.max()) - 1e-9
            assert best.value > float(all_of_them) + 0.1


def test_a_graph_that_reaches_the_bar_scores_one_and_the_best_is_the_cheapest_of_them(singles):
    society = replace(Society.draw(1), deterministic=True)
    best = society.best(0, 0)
    assert best.score == 1
    alone = society.accuracy(singles(9), 0, 0)
    scores = society.value(singles(9), 0, 0) + society.price * society.tokens(singles(9))
    assert scores.round(decimals=9).tolist() == (alone >= alone.max()).double().tolist()
