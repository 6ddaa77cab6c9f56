"""The closed form is what agents that talk to each other come to; tokens add up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agentnet.bench.society import Society, random_graphs
from agentnet.errors import InvalidInput
from agentnet.routers.topology.graphs import Graphs


def told(society, graphs, row, domain, level, samples=60_000):
    """Accuracy of one graph by letting agents speak one after another, many times."""
    rng = np.random.default_rng(5)
    scale, n = society.levels[level], len(society.agents)
    keep, edges = graphs.keep[row].numpy(), graphs.edges[row].numpy()
    noise = rng.multivariate_normal(np.zeros(n), society.correlation, samples)
    said: dict[int, np.ndarray] = {}
    for j in graphs.order()[row].tolist():
        if not keep[j]:
            continue
        read = np.flatnonzero(edges[:, j])
        helped = society.skill[j, domain] + society.synergy[read, j, domain].sum()
        own = society.loudness[j] * (scale * helped + noise[:, j])
        s = society.susceptibility[j]
        said[j] = (1 - s) * own + s * np.mean([said[i] for i in read], axis=0) if len(read) else own
    heard = sum(said[j] for j in said if graphs.outputs[row, j])
    return float((heard > 0).mean())


@pytest.mark.parametrize("seed", range(3))
def test_the_closed_form_is_what_speaking_in_turn_gives(small, seed):
    society = small(seed, n=5)
    graphs = random_graphs(5, 6, torch.Generator().manual_seed(seed))
    sinks = Graphs.joined(graphs.keep, graphs.edges, "sinks")
    for some in (graphs, sinks):
        for domain, level in ((0, 0), (1, 1)):
            exact = society.accuracy(some, domain, level)
            for row in range(len(some)):
                assert float(exact[row]) == pytest.approx(told(society, some, row, domain, level), abs=0.01)


@given(st.integers(0, 10_000), st.integers(1, 9))
@settings(max_examples=40, deadline=None)
def test_messages_only_pass_weight_on(small, seed, n):
    society = small(seed, n=n, loudness=np.ones(n))
    graphs = random_graphs(n, 8, torch.Generator().manual_seed(seed))
    weights = society.dynamics.weights(graphs)
    assert torch.allclose(weights.sum(1), graphs.keep.sum(1).double())
    least = graphs.keep * (1 - society.dynamics.susceptibility)
    assert (weights >= least - 1e-12).all()


def test_tokens_add_up(small, linked):
    society = small(1, prompt=np.array([10.0, 20, 30, 40]), completion=np.array([1.0, 2, 3, 4]), decision=5.0)
    graphs = linked(4, (0, 2), (1, 2), (2, 3))
    agents, messages, decision = 100 + 10, 1 + 2 + 3, 5 + 10
    assert float(society.tokens(graphs)) == agents + messages + decision
    last = Graphs.joined(graphs.keep, graphs.edges, "sinks")
    assert float(society.tokens(last)) == agents + messages + 5 + 4
    assert society.unit == 40 + 2 * 4 + 5


def test_everybody_talking_costs_more_than_ten_small_teams(complete, linked):
    for seed in range(5):
        society = Society.draw(seed)
        cheapest = min(float(society.tokens(linked(9, (i, j)))) for i in range(9) for j in range(9) if i != j)
        assert float(society.tokens(complete(9))) > 10 * cheapest


def test_direction_matters(small, linked):
    helps = np.zeros((2, 2, 1))
    helps[0, 1] = 0.8
    society = small(
        0,
        n=2,
        d=1,
        skill=np.full((2, 1), 0.7),
        synergy=helps,
        susceptibility=np.full(2, 0.2),
        loudness=np.ones(2),
        price=0.0,
    )
    there, back, neither = (
        float(society.value(graphs, 0, 0))
        for graphs in (linked(2, (0, 1)), linked(2, (1, 0)), _apart(linked(2, (0, 1))))
    )
    assert there > neither + 0.02
    assert back < neither + 1e-9


def _apart(graphs):
    return Graphs.joined(graphs.keep, torch.zeros_like(graphs.edges), "all")


def test_an_idle_agent_that_echoes_and_redundant_agents_add_nothing(small, linked):
    alike = small(
        0,
        n=2,
        d=1,
        skill=np.ones((2, 1)),
        synergy=np.zeros((2, 2, 1)),
        loudness=np.ones(2),
        group=np.zeros(2, int),
    )
    pair = _apart(linked(2, (0, 1)))
    alone = Graphs(pair.keep.clone(), pair.edges, pair.outputs.clone())
    alone.keep[0, 1] = alone.outputs[0, 1] = False
    same, apart = replace(alike, rho=0.999), replace(alike, rho=0.0)
    gain = [float(s.accuracy(pair, 0, 0) - s.accuracy(alone, 0, 0)) for s in (same, apart)]
    assert gain[0] < 1e-3 < 0.05 < gain[1]
    idle = replace(apart, skill=np.array([[1.0], [0.0]]), susceptibility=np.array([0.0, 0.999]))
    assert float(idle.accuracy(linked(2, (0, 1)), 0, 0)) == pytest.approx(
        float(idle.accuracy(alone, 0, 0)), abs=1e-3
    )


def test_adversaries_lower_the_complete_graph_more_than_the_best(complete):
    for seed in range(2):
        clean, bad = (Society.draw(seed, "adversarial", adversaries=k) for k in (0, 2))
        assert clean.descriptions == bad.descriptions and clean.price == bad.price
        cells = [(d, level) for d in range(4) for level in range(3)]

        def fall(score, clean=clean, bad=bad, cells=cells):
            return np.mean([score(clean, *cell) - score(bad, *cell) for cell in cells])

        everyone = fall(lambda s, d, level: float(s.accuracy(complete(9), d, level)))
        best = fall(lambda s, d, level: s.best(d, level).score)
        assert everyone > 0.1 and best < 0.05


def test_an_agent_turns_bad(small, singles):
    society = small(2, skill=np.full((4, 2), 0.9))
    turned = society.turned("agent-1", at=7)
    assert turned.turn == (1, 7) and turned.agents == society.agents
    before, after = society.accuracy(singles(4), 0, 0), turned.after.accuracy(singles(4), 0, 0)
    assert torch.allclose(after[1], 1 - before[1]) and torch.equal(after[[0, 2, 3]], before[[0, 2, 3]])
    assert (turned.after.synergy[1] == 0).all() and (turned.after.synergy[:, 1] <= 0).all()
    assert torch.equal(turned.accuracy(singles(4), 0, 0), before)


def test_the_dial_charges_the_price_of_a_token():
    from agentnet.routers.selection import exchange_rate

    society = Society.draw(4)
    assert exchange_rate(society.dial) / society.unit == pytest.approx(society.price)
    assert Society.draw(0, "no_pruning").dial == 0


def test_what_cannot_be_is_refused(small):
    society = small(0)
    with pytest.raises(InvalidInput, match="susceptibility"):
        replace(society, susceptibility=np.ones(4))
    with pytest.raises(InvalidInput, match="skill has shape"):
        replace(society, skill=np.ones((2, 2)))
    with pytest.raises(InvalidInput, match="no domain"):
        society.condition("cooking", 0)
    with pytest.raises(InvalidInput, match="no difficulty"):
        society.condition("algebra", 2)
    with pytest.raises(InvalidInput, match="no kind"):
        Society.draw(0, "nice")
    with pytest.raises(InvalidInput, match="adversaries"):
        Society.draw(0, adversaries=4)
