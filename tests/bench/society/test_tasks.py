"""Tasks, environment and logs: texts tell the domain, graphs score what the society says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from agentnet.bench.society import Society, random_graphs, shuffled_texts
from agentnet.errors import DataError, InvalidInput
from agentnet.graphs.agent import Agent
from agentnet.outcomes.encoders.hashing import HashingEncoder
from agentnet.routers.topology.graphs import Graphs


@pytest.fixture(scope="module")
def society():
    return Society.draw(5)


@pytest.fixture(scope="module")
def outcomes(society):
    return society.outcomes(600, seed=3)


def nearest(vectors, labels, train):
    """Share of the other rows whose nearest class mean, over the train rows, is their own."""
    means = np.stack([vectors[train & (labels == label)].mean(0) for label in np.unique(labels)])
    said = np.unique(labels)[(vectors @ means.T).argmax(1)]
    return (said == labels)[~train].mean()


def test_outcomes_are_those_of_single_agents(society, outcomes, singles):
    assert outcomes.full and set(np.unique(outcomes.score)) == {0.0, 1.0}
    assert np.isnan(outcomes.cost).all()
    assert (outcomes.prompt_tokens[7] == society.prompt).all()
    assert (outcomes.completion_tokens[7] == society.completion).all()
    share = {name: (outcomes.queries.split == name).mean() for name in ("train", "val", "test")}
    assert share == pytest.approx({"train": 0.6, "val": 0.2, "test": 0.2}, abs=0.01)
    ids = np.array([query.split("/")[1][:5] for query in outcomes.queries.query_id.tolist()])
    assert len(np.unique(ids)) == 12
    for cell in ("d0-l0", "d3-l2"):
        exact = society.accuracy(singles(9), int(cell[1]), int(cell[4]))
        assert np.abs(outcomes.score[ids == cell].mean(0) - exact.numpy()).max() < 0.25
    assert len(set(outcomes.queries.text)) == 600
    again, other = society.outcomes(600, seed=3), society.outcomes(600, seed=4)
    assert again.fingerprint == outcomes.fingerprint and again.queries.text == outcomes.queries.text
    assert not set(other.queries.text) & set(outcomes.queries.text)
    with pytest.raises(InvalidInput, match="at least one task"):
        society.outcomes(0)


def test_texts_tell_domain_and_difficulty_until_they_are_shuffled(outcomes):
    train = outcomes.queries.split == "train"
    domain = np.array(outcomes.queries.task)
    level = np.array([query.split("-l")[1][0] for query in outcomes.queries.query_id.tolist()])
    vectors = HashingEncoder(512).encode(outcomes.queries.text)
    assert nearest(vectors, domain, train) > 0.95
    assert nearest(vectors, level, train) > 0.8
    mixed = shuffled_texts(outcomes)
    assert sorted(mixed.queries.text) == sorted(outcomes.queries.text)
    assert mixed.fingerprint == outcomes.fingerprint
    assert set(mixed.split("test").queries.text) == set(outcomes.split("test").queries.text)
    assert nearest(HashingEncoder(512).encode(mixed.queries.text), domain, train) < 0.4


def test_descriptions_tell_the_skill_but_not_who_is_bad():
    named = []
    for seed in range(8):
        clean, bad = (Society.draw(seed, "adversarial", adversaries=k) for k in (0, 3))
        skilled = clean.skill >= 0.6
        says = np.array([[domain in text for domain in clean.domains] for text in clean.descriptions])
        assert says[skilled].all()  # the idle ones claim at random
        named.append((says & ~skilled).any())
        assert bad.descriptions == clean.descriptions and (bad.skill < 0).all(1).sum() == 3
    assert any(named)


def test_the_environment_scores_what_the_society_says(society, outcomes):
    environment = society.environment(outcomes, society.pool, expected=True)
    assert environment.n == 600 and environment.unit == society.unit and environment.messages
    assert environment.dial == pytest.approx(society.dial)
    generator = torch.Generator().manual_seed(0)
    tasks, graphs = torch.randint(600, (500,), generator=generator), random_graphs(9, 500, generator)
    returns = environment.run(tasks, graphs, generator)
    assert returns.score.dtype == returns.cost.dtype == torch.float32
    for row in range(0, 500, 25):
        query = str(outcomes.queries.query_id[tasks[row]]).split("/")[1]
        domain, level = int(query[1]), int(query[4])
        one = graphs.take(torch.tensor([row]))
        assert float(returns.score[row]) == pytest.approx(
            float(society.accuracy(one, domain, level)), abs=1e-5
        )
        utility = returns.utility(society.price)[row]
        assert float(utility) == pytest.approx(float(society.value(one, domain, level)), abs=1e-4)
    drawn = society.environment(outcomes, society.pool)
    seen = torch.stack([drawn.run(tasks, graphs, generator).score for _ in range(200)])
    assert set(seen.unique().tolist()) == {0.0, 1.0}
    assert (seen.mean(0) - returns.score).abs().mean() < 0.04
    first, second = (drawn.run(tasks, graphs, torch.Generator().manual_seed(8)).score for _ in range(2))
    assert torch.equal(first, second)


def test_rows_and_agents_may_be_some_in_any_order(society, outcomes):
    rows = np.array([17, 3, 400])
    names = [society.agents[i] for i in (6, 0, 8)]
    pool = society.pool.subset(names)
    part = society.environment(outcomes.take(rows), pool, expected=True)
    whole = society.environment(outcomes, society.pool, expected=True)
    assert part.agents == tuple(names) and part.n == 3
    few = Graphs.joined(
        torch.ones(3, 3, dtype=torch.bool), torch.ones(3, 3, 3, dtype=torch.bool).triu(1), "all"
    )
    keep, edges = torch.zeros(3, 9, dtype=torch.bool), torch.zeros(3, 9, 9, dtype=torch.bool)
    keep[:, [6, 0, 8]] = True
    for i, j in ((6, 0), (6, 8), (0, 8)):
        edges[:, i, j] = True
    mine = part.run(torch.arange(3), few, torch.Generator())
    theirs = whole.run(torch.as_tensor(rows), Graphs.joined(keep, edges, "all"), torch.Generator())
    assert torch.allclose(mine.score, theirs.score) and torch.equal(mine.cost, theirs.cost)
    assert part.unit == float(society.dynamics.alone()[[6, 0, 8]].max())


def test_strangers_are_refused(society, outcomes):
    with pytest.raises(DataError, match="stranger"):
        society.environment(outcomes, society.pool.add(Agent(name="stranger")))
    with pytest.raises(DataError, match="not of society 'mixed-6'"):
        other = Society.draw(6)
        other.environment(outcomes, other.pool)


def test_an_agent_that_turns_scores_otherwise_from_its_task_on(society, singles):
    agent = int(society.skill[:, 0].argmax())
    turned = society.turned(agent, at=300)
    outcomes = turned.outcomes(600)
    assert outcomes.queries.text == society.outcomes(600).queries.text
    mean = outcomes.score[:300, agent].mean(), outcomes.score[300:, agent].mean()
    assert mean[0] > 0.5 > mean[1]
    environment = turned.environment(outcomes, turned.pool, expected=True)
    rows = np.flatnonzero(np.array(outcomes.queries.task) == society.domains[0])
    alone = singles(9).take(torch.full((len(rows),), agent))
    score = environment.run(torch.as_tensor(rows), alone, torch.Generator()).score.numpy()
    assert (score[rows < 300] > 0.5).all() and (score[rows >= 300] < 0.5).all()


def test_logged_runs_are_what_the_environment_scores(outcomes, society):
    certain = replace(society, deterministic=True)
    some = outcomes.take(np.arange(40))
    logged = certain.log(some, runs=5, seed=2)
    assert len(logged.runs) == 200 and logged.runs == certain.log(some, runs=5, seed=2).runs
    where = {query: row for row, query in enumerate(some.queries.query_id.tolist())}
    graphs = Graphs.of([run.graph for run in logged.runs], some.agents)
    tasks = torch.tensor([where[run.query_id] for run in logged.runs])
    returns = certain.environment(some, some.pool).run(tasks, graphs, torch.Generator())
    assert returns.score.tolist() == [run.score for run in logged.runs]
    assert returns.cost.tolist() == [run.tokens for run in logged.runs]
    assert 0.05 < returns.score.mean() < 0.95
    assert all(run.propensity is None and run.graph.rounds == 1 for run in logged.runs)


def test_given_graphs_are_logged_on_their_tasks(society, outcomes):
    some = outcomes.take(np.arange(2))
    graphs = [random_graphs(9, count, torch.Generator().manual_seed(count)) for count in (2, 3)]
    logged = society.log(some, graphs)
    assert [run.query_id for run in logged.runs] == some.queries.query_id[[0, 0, 1, 1, 1]].tolist()
    read = Graphs.of([run.graph for run in logged.runs], some.agents)
    assert torch.equal(read.edges, Graphs.cat(graphs).edges) and torch.equal(
        read.keep, Graphs.cat(graphs).keep
    )
    with pytest.raises(InvalidInput, match="1 tasks"):
        society.log(some, graphs[:1])


def test_random_graphs_are_of_every_size():
    graphs = random_graphs(9, 900, torch.Generator().manual_seed(1))
    sizes = torch.bincount(graphs.keep.sum(1), minlength=10)
    assert sizes[0] == 0 and (sizes[1:] > 60).all()
    assert not graphs.edges.diagonal(dim1=1, dim2=2).any()
