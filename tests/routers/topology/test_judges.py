"""Judges: replays are exact on the tasks they keep, and both kinds survive the disk."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from agentnet.routers.topology.critic import Critic, Critics
from agentnet.routers.topology.judges import (
    CRITIC_PROBES,
    CriticJudge,
    ReplayJudge,
    restore_judge,
)
from agentnet.routers.topology.network import Agents
from agentnet.routers.topology.replay import ReplayEnvironment
from agentnet.routers.topology.start import prior_graphs

AGENTS = Agents(torch.eye(4, 6), torch.rand(4, 3))


def replay_judge(kit: Any) -> tuple[ReplayJudge, ReplayEnvironment]:
    data = kit.planted(80)
    env = ReplayEnvironment.of(data, data.pool)
    assert env is not None
    return ReplayJudge.of(env, torch.arange(env.n), torch.arange(env.n) % 4), env


def critic_judge() -> CriticJudge:
    torch.manual_seed(0)
    critics = Critics((Critic(6, width=8).eval(), Critic(6, width=8).eval()), 5.0)
    return CriticJudge.of(critics, torch.randn(200, 6))


def test_a_replays_mean_is_that_of_the_tasks(kit: Any) -> None:
    judge, env = replay_judge(kit)
    graphs = prior_graphs(4, 7, "all", torch.Generator().manual_seed(0))
    score, cost = judge.mean(graphs, AGENTS)
    for p in range(7):
        found = env.run(torch.arange(env.n), graphs.take(torch.full((env.n,), p)))
        assert np.isclose(float(score[p]), float(found.score.mean()))
        assert np.isclose(float(cost[p]), float(found.cost.mean()))


def test_tasks_of_the_group_count_five_times(kit: Any) -> None:
    judge, env = replay_judge(kit)
    graphs = prior_graphs(4, 5, "all", torch.Generator().manual_seed(0))
    weight = torch.where(torch.arange(env.n) % 4 == 2, 5.0, 1.0)
    score, _ = judge.on(torch.zeros(6), 2, graphs, AGENTS)
    for p in range(5):
        found = env.run(torch.arange(env.n), graphs.take(torch.full((env.n,), p)))
        assert np.isclose(float(score[p]), float((found.score * weight).sum() / weight.sum()), atol=1e-6)


def test_a_replay_knows_its_agents_only_and_a_critic_anybody(kit: Any) -> None:
    judge, env = replay_judge(kit)
    assert not judge.strangers and critic_judge().strangers
    few = judge.among(env.agents[2:])
    assert few.replayed.agents == env.agents[2:]
    graphs = prior_graphs(2, 5, "all", torch.Generator().manual_seed(0))
    assert few.mean(graphs, AGENTS)[0].shape == (5,)
    other = Agents(torch.randn(3, 6), torch.rand(3, 3))
    assert critic_judge().mean(prior_graphs(3, 5, "all", torch.Generator()), other)[0].shape == (5,)


def test_judges_survive_the_disk(kit: Any) -> None:
    graphs = prior_graphs(4, 9, "all", torch.Generator().manual_seed(0))
    for judge in (replay_judge(kit)[0], critic_judge()):
        state, arrays = judge.state()
        again = restore_judge(state, {name: np.array(array) for name, array in arrays.items()})
        assert type(again) is type(judge)
        for a, b in zip(judge.mean(graphs, AGENTS), again.mean(graphs, AGENTS), strict=True):
            assert torch.equal(a, b)
        task = torch.ones(6)
        for a, b in zip(judge.on(task, 1, graphs, AGENTS), again.on(task, 1, graphs, AGENTS), strict=True):
            assert torch.equal(a, b)


def test_only_some_tasks_are_kept() -> None:
    assert len(critic_judge().probes) == CRITIC_PROBES
