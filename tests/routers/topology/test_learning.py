"""How the recipe learns: means by group, what is validated on held-out tasks, and the planted graph."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from agentnet.outcomes.encoders.threads import torch_threads
from agentnet.routers.topology.bank import NEVER
from agentnet.routers.topology.learning import (
    RATES,
    Lesson,
    Recipe,
    Table,
    Training,
    clearly_above,
    draw_rates,
    group_means,
    learn_topology,
)
from agentnet.routers.topology.network import Agents
from agentnet.routers.topology.search import Effort

from .doubles import Puzzle, puzzle

NAMES = ("a", "b", "c")
FACTS = torch.tensor([[0.6, 1.0, 1.0], [0.4, 0.8, 1.0], [0.5, 0.9, 1.0]])
TRAINING = Training(0, "cpu", None, "test")
LIGHT = Recipe(effort=Effort(generations=8, children=24, sample=300), epochs=8, width=8)


def by_kind(rows: int = 96, **settings: Any) -> Puzzle:
    """Tasks of even number need a alone; the others b -> c."""
    env = puzzle(NAMES, rows, [(1, 2)], left_out=(0,), **settings)
    env.best_keep[::2] = torch.tensor([True, False, False])
    env.best_edges[::2] = False
    return env


def lesson(env: Puzzle, *, blind: bool = False) -> Lesson:
    kind = torch.arange(env.n) % 2
    generator = torch.Generator().manual_seed(0)
    tasks = torch.eye(2, 8)[kind] + 0.05 * torch.randn(env.n, 8, generator=generator)
    if blind:
        tasks = torch.randn(env.n, 8, generator=generator)
    rows = torch.arange(env.n)
    held_out = rows // 2 % 3 == 0
    return Lesson(
        tasks=tasks / tasks.norm(dim=1, keepdim=True), agents=Agents(torch.eye(3, 8), FACTS), names=NAMES,
        train=rows[~held_out], val=rows[held_out], env=env, logged=None, join="sinks", unit=1.0,
    )  # fmt: skip


def picked_score(env: Puzzle, given: Lesson, recipe: Recipe = LIGHT) -> float:
    learned = learn_topology(given, recipe, TRAINING)
    rate = torch.zeros(len(given.val))
    worth = learned.net(given.tasks[given.val], given.agents, rate)
    best = learned.bank.energy(given.tasks[given.val], rate, worth).argmax(1)
    graphs = learned.bank.graphs.take(best)
    return float(env.score(given.val, graphs.keep, graphs.edges).mean())


def test_each_kind_of_task_gets_its_planted_graph() -> None:
    env = by_kind()
    assert picked_score(env, lesson(env)) > 0.95


def test_where_texts_or_scores_tell_nothing_there_is_nothing_to_gain() -> None:
    env = by_kind()
    assert picked_score(env, lesson(env, blind=True)) < 0.85
    shuffled = by_kind(shuffled=True)
    assert picked_score(shuffled, lesson(shuffled)) < 0.85


def test_means_are_by_group_and_over_all() -> None:
    score, cost = torch.rand(6, 3), torch.rand(6, 3)
    group = torch.tensor([0, 1, 0, 1, 1, 0])
    means, costs, sizes = group_means(score, cost, group, 3)
    assert sizes.tolist() == [3, 3, 0]
    assert torch.allclose(means[:, 0], score[group == 0].mean(0))
    assert torch.allclose(costs[:, 1], cost[group == 1].mean(0))
    assert torch.allclose(means[:, -1], score.mean(0)) and not means[:, 2].any()


def test_a_gain_must_be_above_its_standard_error() -> None:
    base = torch.zeros(100)
    assert clearly_above(
        base + 0.1 + 0.1 * torch.randn(100, generator=torch.Generator().manual_seed(0)), base
    )
    assert not clearly_above(base, base)
    noise = torch.randn(100, generator=torch.Generator().manual_seed(0))
    assert not clearly_above(noise - noise.mean(), base)


def test_prices_are_drawn_over_the_whole_range() -> None:
    rates = draw_rates(5000, torch.Generator().manual_seed(0))
    free = float((rates == 0).float().mean())
    assert 0.13 < free < 0.2 and rates.max() > RATES[-1] and 0 < rates[rates > 0].min() < RATES[1]


def test_groups_are_looked_at_only_where_it_helps() -> None:
    told, blind = by_kind(), by_kind()
    generator = torch.Generator().manual_seed(0)
    for env, given, helps in ((told, lesson(told), True), (blind, lesson(blind, blind=True), False)):
        learned = learn_topology(given, replace(LIGHT, epochs=0), TRAINING)
        table = Table.of(env, learned.bank.graphs, given, generator)
        bank = table.best_pseudo(replace(learned.bank, pseudo=NEVER), given)
        if len(bank.sizes) > 1:
            assert (bank.pseudo != NEVER) is helps
        slope, _ = table.calibrate(learned.net, bank, given)
        assert slope >= 0


def test_learning_is_a_function_of_the_seed() -> None:
    env = by_kind(48)
    with torch_threads(1):  # as routers do: with several, sums may differ in the last digits
        one, two = (learn_topology(lesson(env), LIGHT, TRAINING) for _ in range(2))
    assert torch.equal(one.bank.graphs.edges, two.bank.graphs.edges)
    for a, b in zip(one.net.parameters(), two.net.parameters(), strict=True):
        assert torch.equal(a, b)
