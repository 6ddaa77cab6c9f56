"""`ReplayEnvironment` gives what `replay` gives, graph by graph."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from agentnet.errors import DataError
from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.graphs.replay import replay
from agentnet.outcomes.table import Outcomes, Queries
from agentnet.routers.topology.graphs import Graphs, Shape, vote_weights
from agentnet.routers.topology.replay import ReplayEnvironment
from agentnet.routers.topology.sampler import sample_ordered

TEXTS = ("", "  ", "...", "4", "4.0", "five", "answer: five", "Rome", "the rome", "7")
"""Blank; not blank but nothing to compare; equal in other words."""


def outcomes_of(
    text: list[list[str | None]], score: np.ndarray, cost: np.ndarray, **more: object
) -> Outcomes:
    n, agents = score.shape
    queries = Queries(query_id=np.arange(n).astype(str), text=("?",) * n, split=np.full(n, "train"))
    pool = Pool(Agent(name=f"agent{i}") for i in range(agents))
    answers = np.array(text, object)
    return Outcomes(queries=queries, pool=pool, score=score, cost=cost, response=answers, **more)


def random_outcomes(rng: np.random.Generator, n: int, agents: int, kinds: int) -> Outcomes:
    texts = rng.permutation(TEXTS)[:kinds]
    score = rng.random((n, agents)).astype(np.float32).round(2)
    return outcomes_of(rng.choice(texts, (n, agents)).tolist(), score, rng.random((n, agents)) + 0.01)


def random_graphs(seed: int, r: int, agents: int, density: float) -> Graphs:
    logits = torch.full((r, agents, agents), density)
    draw = sample_ordered(
        torch.full((r, agents), 1.0), torch.zeros(r, agents), logits, torch.Generator().manual_seed(seed)
    )
    return Graphs.joined(draw.keep, draw.edges, "all")


def check_against_replay(env: ReplayEnvironment, data: Outcomes, tasks: torch.Tensor, graphs: Graphs) -> None:
    assert data.response is not None
    found = env.run(tasks, graphs)
    places, _, _ = env.replay(tasks, graphs)
    order = graphs.order()
    shape = Shape(messages=env.messages, join=env.join)
    for r, task in enumerate(tasks.tolist()):
        row = int(env.rows[task])
        graph = shape.task_graph(env.agents, graphs.keep[r], graphs.edges[r], weights=env.weights)
        plain = replay(graph, dict(zip(env.agents, data.response[row], strict=True)))
        ran = [
            env.agents[a] for a, runs in zip(order[r].tolist(), places[:, r].tolist(), strict=True) if runs
        ]
        assert ran == list(plain.ran)
        # Where nobody answered the first agent's blank answer is what was scored.
        winner = env.agents.index(plain.winner or plain.ran[0])
        assert found.score[r].item() == data.score[row, winner]
        cost = sum(data.cost[row, env.agents.index(name)] for name in plain.ran)
        assert found.cost[r].item() == pytest.approx(cost, rel=1e-5)


@given(
    seed=st.integers(0, 10_000),
    agents=st.integers(1, 7),
    kinds=st.integers(1, len(TEXTS)),
    density=st.sampled_from([-2.0, 0.0, 1.0, 99.0]),
    shares=st.none() | st.lists(st.sampled_from([0.1, 0.5, 1.0, 1.5, 3.0]), min_size=7, max_size=7),
)
def test_equals_replay_graph_by_graph(
    seed: int, agents: int, kinds: int, density: float, shares: list[float] | None
) -> None:
    rng = np.random.default_rng(seed)
    data = random_outcomes(rng, 24, agents, kinds)
    env = ReplayEnvironment.of(data, data.pool, weights=None if shares is None else shares[:agents])
    assert env is not None
    assert env.n == 24
    graphs = random_graphs(seed, 24, agents, density)
    check_against_replay(env, data, torch.from_numpy(rng.permutation(24)), graphs)


def test_sixteen_agents_and_many_rounds_of_work() -> None:
    rng = np.random.default_rng(0)
    data = random_outcomes(rng, 30, 16, 10)
    env = ReplayEnvironment.of(data, data.pool)
    assert env is not None
    graphs = random_graphs(1, 200, 16, 0.0)
    check_against_replay(env, data, torch.from_numpy(rng.integers(30, size=200)), graphs)


def test_an_agent_is_skipped_with_all_before_it_even_if_the_answers_above_differ() -> None:
    text = [["4", "4", "7", "7", "5", "5", "5"]] * 20
    data = outcomes_of(text, np.eye(20, 7, dtype=np.float32), np.ones((20, 7)))
    env = ReplayEnvironment.of(data, data.pool, weights=[1.0] * 7)
    assert env is not None
    edges = torch.zeros(1, 7, 7, dtype=torch.bool)
    for source, target in ((0, 4), (1, 4), (2, 5), (3, 5), (4, 6), (5, 6)):
        edges[0, source, target] = True
    graphs = Graphs.joined(torch.ones(1, 7, dtype=torch.bool), edges, "all")
    check_against_replay(env, data, torch.tensor([0]), graphs)
    found = env.run(torch.tensor([0]), graphs)
    assert (found.score.item(), found.cost.item()) == (1.0, 4.0)


def test_rows_without_every_text_and_score_are_left_out() -> None:
    rng = np.random.default_rng(0)
    data = random_outcomes(rng, 30, 3, 8)
    assert data.response is not None
    data.response[4, 1] = None
    data.score[7, 2] = np.nan
    env = ReplayEnvironment.of(data, data.pool)
    assert env is not None
    assert env.rows.tolist() == [i for i in range(30) if i not in (4, 7)]
    assert env.n == 28
    assert env.weights == tuple(vote_weights(data.mean_score.tolist()))
    check_against_replay(env, data, torch.arange(28), random_graphs(0, 28, 3, 0.0))
    assert ReplayEnvironment.of(data.take(np.arange(20)), data.pool) is None


def test_agents_stand_in_the_order_of_the_pool() -> None:
    data = random_outcomes(np.random.default_rng(0), 25, 4, 8)
    turned = data.pool.subset(data.agents[::-1])
    env = ReplayEnvironment.of(data, turned)
    assert env is not None
    assert env.agents == data.agents[::-1]
    check_against_replay(env, data.for_pool(turned), torch.arange(25), random_graphs(3, 25, 4, 1.0))
    stranger = data.pool.add(Agent(name="new"))
    assert ReplayEnvironment.of(data, stranger) is None


def test_cost_is_usd_then_tokens_then_calls() -> None:
    data = random_outcomes(np.random.default_rng(0), 20, 2, 8)
    alone = Graphs.joined(torch.eye(2, dtype=torch.bool), torch.zeros(2, 2, 2, dtype=torch.bool), "all")
    tasks = torch.tensor([0, 0])

    def made(cost: np.ndarray, tokens: float) -> ReplayEnvironment:
        spent = np.tile([tokens, 3 * tokens], (20, 1))
        assert data.response is not None
        env = ReplayEnvironment.of(
            one := outcomes_of(
                data.response.tolist(), data.score, cost, prompt_tokens=spent, completion_tokens=spent
            ),
            one.pool,
        )
        assert env is not None
        return env

    usd = np.tile([0.5, 0.25], (20, 1))
    usd[0, 1] = np.nan
    env = made(usd, 10)
    assert (env.cost_in, env.unit) == ("usd", 0.5)
    assert env.run(tasks, alone).cost.tolist() == [0.5, 0.25]
    for useless in (np.zeros((20, 2)), np.tile([0.5, np.nan], (20, 1))):
        env = made(useless, 10)
        assert (env.cost_in, env.unit) == ("tokens", 60.0)
        assert env.run(tasks, alone).cost.tolist() == [20.0, 60.0]
        env = made(useless, np.nan)
        assert (env.cost_in, env.unit) == ("calls", 1.0)
        assert env.run(tasks, alone).cost.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("weights", [(1.0,), (1.0, 0.0), (1.0, float("nan"))])
def test_weights_that_cannot_be_used(weights: tuple[float, ...]) -> None:
    data = random_outcomes(np.random.default_rng(0), 20, 2, 8)
    with pytest.raises(DataError, match="vote weights"):
        ReplayEnvironment.of(data, data.pool, weights=weights)
