"""Scores of agents alone: start from the mean, learn what the text tells, for any pool."""

from __future__ import annotations

import torch

from agentnet.routers.topology.network import Agents
from agentnet.routers.topology.solo import SoloNet, learn_solo


def data(n: int = 200) -> tuple[torch.Tensor, Agents, torch.Tensor]:
    """Agent i is right on tasks of kind i."""
    kind = torch.arange(n) % 2
    tasks, score = torch.eye(2, 4)[kind], torch.eye(2)[kind]
    return tasks, Agents(torch.eye(2, 4), torch.tensor([[0.5, 1.0, 1.0]] * 2)), score


def learned(score: torch.Tensor) -> SoloNet:
    tasks, agents, _ = data()
    rows = torch.arange(200)
    return learn_solo(
        tasks,
        agents,
        score,
        rows[:150],
        rows[150:],
        width=16,
        seed=0,
        device="cpu",
        options=None,
        label="test",
    )


def test_the_text_tells_who_is_right() -> None:
    tasks, agents, score = data()
    net = learned(score)
    found = net.scores(tasks, net.seats(agents))
    assert (found.argmax(1) == score.argmax(1).numpy()).all()
    assert found.max(1).mean() > 0.6


def test_unknown_scores_teach_nothing() -> None:
    _, _, score = data()
    hidden = score.clone()
    hidden[::3] = torch.nan
    net = learned(hidden)
    tasks, agents, _ = data()
    found = net.scores(tasks, net.seats(agents))
    assert (found.argmax(1) == score.argmax(1).numpy()).all()


def test_parts_of_a_batch_are_scored_alike_and_any_pool_will_do() -> None:
    net = SoloNet(4, width=8)
    agents = Agents(torch.randn(5, 4), torch.rand(5, 3))
    tasks = torch.randn(2100, 4)
    whole = net.scores(tasks, net.seats(agents))
    assert whole.shape == (2100, 5)
    assert abs(whole[:3] - net.scores(tasks[:3], net.seats(agents))).max() < 1e-4
    order = torch.tensor([4, 2, 0, 1, 3])
    moved = net.scores(tasks, net.seats(Agents(agents.roles[order], agents.facts[order])))
    assert abs(moved - whole[:, order.numpy()]).max() < 1e-4
