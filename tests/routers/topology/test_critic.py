"""Critics: learned from logged runs, blind to the agents' order, cautious where they disagree."""

from __future__ import annotations

from functools import cache

import torch

from agentnet.routers.topology.critic import (
    Critic,
    CriticEnvironment,
    Critics,
    Rollouts,
    learn_critics,
    roll_out,
)
from agentnet.routers.topology.graphs import Graphs
from agentnet.routers.topology.network import Agents
from agentnet.routers.topology.start import prior_graphs

from .doubles import puzzle

NAMES = ("a", "b", "c")
TASKS = torch.ones(6, 5)
AGENTS = Agents(torch.eye(3, 5), torch.tensor([[0.5, 1.0, 1.0]] * 3))


def logged(shuffled: bool = False) -> Rollouts:
    env = puzzle(NAMES, 6, [(0, 2)], left_out=(1,), shuffled=shuffled, sharp=8.0)
    generator = torch.Generator().manual_seed(0)
    graphs = prior_graphs(3, 300, "sinks", generator)
    return roll_out(env, torch.arange(300) % 6, graphs, generator)


@cache
def learned(shuffled: bool = False) -> Critics:
    return learn_critics(
        logged(shuffled), TASKS, AGENTS, unit=1.0, messages=True, members=1, epochs=60, width=16, seed=0,
        device="cpu", options=None, label="test",
    )  # fmt: skip


def test_a_critic_knows_the_best_graph_and_the_costs() -> None:
    log = logged()
    score, _, cost = learned().expect(TASKS[log.task], AGENTS, log.graphs)
    assert torch.corrcoef(torch.stack((score, log.score)))[0, 1] > 0.75
    assert float((cost - log.cost).abs().mean()) < 0.35, "costs are 1, 2 or 3"
    assert log.score[score.argmax()] == log.score.max()


def test_a_critic_of_shuffled_scores_knows_nothing() -> None:
    log = logged()
    score, _, _ = learned(shuffled=True).expect(TASKS[log.task], AGENTS, log.graphs)
    assert torch.corrcoef(torch.stack((score, log.score)))[0, 1] < 0.5


def test_renumbering_agents_changes_nothing_and_any_number_will_do() -> None:
    torch.manual_seed(0)
    critic = Critic(5, width=8)
    graphs = prior_graphs(4, 30, "sinks", torch.Generator().manual_seed(1))
    agents = Agents(torch.randn(4, 5), torch.rand(4, 3))
    order = torch.tensor([2, 0, 3, 1])
    moved = Graphs(graphs.keep[:, order], graphs.edges[:, order][:, :, order], graphs.outputs[:, order])
    tasks = torch.randn(30, 5)
    other = critic(tasks, Agents(agents.roles[order], agents.facts[order]), moved)
    for a, b in zip(critic(tasks, agents, graphs), other, strict=True):
        assert torch.allclose(a, b, atol=1e-5)
    # An agent that is not kept does not matter.
    wider = Agents(torch.cat((agents.roles, torch.randn(2, 5))), torch.cat((agents.facts, torch.rand(2, 3))))
    pad = torch.nn.functional.pad
    more = Graphs(pad(graphs.keep, (0, 2)), pad(graphs.edges, (0, 2, 0, 2)), pad(graphs.outputs, (0, 2)))
    for a, b in zip(critic(tasks, agents, graphs), critic(tasks, wider, more), strict=True):
        assert torch.allclose(a, b, atol=1e-5)


def test_where_critics_differ_the_environment_is_cautious() -> None:
    torch.manual_seed(0)
    critics = Critics((Critic(5, width=8).eval(), Critic(5, width=8).eval()), 1.0)
    graphs = prior_graphs(3, 20, "sinks", torch.Generator().manual_seed(1))
    tasks = torch.zeros(20, dtype=torch.long)
    score, spread, cost = critics.expect(TASKS[tasks], AGENTS, graphs)
    env = CriticEnvironment(critics, TASKS, AGENTS, NAMES, join="sinks", caution=2.0)
    found = env.run(tasks, graphs, torch.Generator())
    assert spread.max() > 0
    assert torch.allclose(found.score, (score - 2 * spread).clamp(0, 1)) and torch.equal(found.cost, cost)
    assert env.n == 6 and env.agents == NAMES and env.messages


def test_long_lists_are_run_in_parts() -> None:
    env = puzzle(NAMES, 6, [(0, 2)])
    graphs = prior_graphs(3, 10, "sinks", torch.Generator().manual_seed(1))
    rows = torch.arange(9000)
    made = roll_out(env, rows % 6, graphs.take(rows % 10), torch.Generator())
    whole = env.run(rows % 6, graphs.take(rows % 10), torch.Generator())
    assert torch.equal(made.score, whole.score) and len(made) == 9000
    assert Rollouts.cat([made.take(rows[:5]), made.take(rows[5:])]).score.equal(made.score)
