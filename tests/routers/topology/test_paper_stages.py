"""Losses, policy gradient and both stages of Adaptive Graph Pruning."""

from __future__ import annotations

import math

import pytest
import torch

from agentnet.errors import InvalidInput
from agentnet.routers.topology.graphs import Graphs
from agentnet.routers.topology.paper_labels import PaperLabels, mine_labels
from agentnet.routers.topology.paper_net import PaperInputs, PaperOutput, decode
from agentnet.routers.topology.paper_stages import (
    StageOne,
    StageTwo,
    balanced_accuracy,
    drop_weak,
    label_terms,
    split_labels,
    stage_one,
    stage_two,
)
from agentnet.routers.topology.sampler import Draw, log_edges, sample_visit

from .doubles import Puzzle, puzzle
from .test_paper_net import make_net, random_inputs

NAMES = ("a", "b", "c", "d", "e")


def plain_terms(a: torch.Tensor, p: torch.Tensor, y: list[bool], g: torch.Tensor, form: str) -> list[float]:
    n = len(y)
    pos, off, consist = [], [], 0.0
    for i in range(n):
        for j in range(n):
            value, goal = (0.0 if i == j else float(a[i, j])), float(g[i, j])
            if y[i] and y[j]:
                if form == "mse":
                    pos.append((value - goal) ** 2)
                else:
                    chance = value if goal else 1 - value
                    pos.append(0.0 if i == j else -math.log(chance))
            else:
                off.append(value**2)
            consist += 0.0 if y[i] else value
    bce = -sum(math.log(float(q) if kept else 1 - float(q)) for q, kept in zip(p, y, strict=True)) / n
    return [sum(pos) / len(pos), sum(off) / max(len(off), 1), bce, float(p.mean()), consist / n**2]


@pytest.mark.parametrize("form", ["mse", "bce"])
def test_loss_terms_are_those_of_plain_python(form: str) -> None:
    g = torch.Generator().manual_seed(0)
    out = PaperOutput(torch.randn(3, 4, 4, generator=g), torch.randn(3, 4, generator=g))
    keep = torch.tensor([[1, 1, 0, 1], [1, 1, 1, 1], [0, 1, 0, 0]], dtype=torch.bool)
    edges = (torch.rand((3, 4, 4), generator=g) < 0.5).triu(1) & keep[:, :, None] & keep[:, None, :]
    terms = label_terms(out, keep, edges, target=form)  # type: ignore[arg-type]
    each = [plain_terms(out.edges[i], out.keep[i], keep[i].tolist(), edges[i], form) for i in range(3)]
    for got, column in zip(terms, zip(*each, strict=True), strict=True):
        assert float(got) == pytest.approx(sum(column) / 3, rel=1e-5)
    plan = StageTwo(off=2.0, sparse=0.5, consist=0.25, beta=3.0)
    pos, off, bce, sparse, consist = (float(term) for term in terms)
    expected = pos + 2 * off + 3 * (bce + 0.5 * sparse + 0.25 * consist)
    assert float(terms.total(plan)) == pytest.approx(expected, rel=1e-5)


def test_the_defaults_weigh_as_the_paper_does() -> None:
    plan = StageTwo()
    assert (plan.off, plan.sparse, plan.consist, plan.beta, plan.lr, plan.batch, plan.steps) == (
        1.0, 0.05, 0.01, 1.0, 0.1, 10, 10,
    )  # fmt: skip
    one = StageOne()
    assert (one.lr, one.batch, one.iterations, one.rollouts, one.scale) == (0.1, 10, 10, 1, 100.0)


def test_the_gradient_of_a_sampled_graphs_log_probability_is_right() -> None:
    net, inputs = make_net(6).double(), random_inputs(2, 4, 6)
    inputs = PaperInputs(inputs.queries.double(), inputs.roles.double(), inputs.propagation.double())
    rows = torch.tensor([0, 1])
    draw = sample_visit(
        net.read(inputs, rows).edges.detach(), torch.ones(2, 4, dtype=torch.bool),
        torch.Generator().manual_seed(5),
    )  # fmt: skip

    def value() -> torch.Tensor:
        return log_edges(draw.edges, draw.open, net.read(inputs, rows).edge_logits).sum()

    weight = net.first.weight
    (gradient,) = torch.autograd.grad(value(), weight)
    largest = gradient.abs().flatten().argsort(descending=True)[:5].tolist()
    assert gradient.abs().max() > 0
    for at in largest:
        i, j = divmod(at, weight.shape[1])
        with torch.no_grad():
            weight[i, j] += 1e-6
            above = value()
            weight[i, j] -= 2e-6
            below = value()
            weight[i, j] += 1e-6
        assert float((above - below) / 2e-6) == pytest.approx(float(gradient[i, j]), rel=1e-4, abs=1e-6)


def draw_of(edges: torch.Tensor) -> Draw:
    keep = torch.ones(edges.shape[:2], dtype=torch.bool)
    order = torch.arange(edges.shape[1]).repeat(len(edges), 1)
    return Draw(keep, edges, torch.ones_like(edges), order)


def test_weak_agents_go_with_their_edges_and_so_do_those_left_alone() -> None:
    edges = torch.zeros(1, 4, 4, dtype=torch.bool)
    edges[0, 0, 1] = edges[0, 1, 2] = edges[0, 0, 2] = edges[0, 2, 3] = True
    weights = torch.full((1, 4, 4), 0.5)
    # c = 1, 1, 1.5, 0.5
    dropped = drop_weak(draw_of(edges), weights, 0.6)
    assert dropped.keep.tolist() == [[True, True, True, False]] and not dropped.edges[0, 2, 3]
    assert dropped.open.all()  # what is dropped counts as an edge not drawn
    assert drop_weak(draw_of(edges), weights, 0.6, (3,)).keep.all()
    # Only 2 stands above 1.2, and with nobody to talk to; the heaviest stays all the same.
    alone = drop_weak(draw_of(edges), weights, 1.2)
    assert alone.keep.tolist() == [[False, False, True, False]] and not alone.edges.any()


def right_agents(labels: PaperLabels, env: Puzzle) -> bool:
    return bool((labels.keep == env.best_keep[labels.task]).all())


def by_task(rows: int = 40) -> tuple[Puzzle, PaperInputs]:
    """Two kinds of task that need different agents; the kind is in the query."""
    kind = torch.arange(rows) % 2
    env = puzzle(NAMES, rows, [])
    env.best_keep[kind == 0] = torch.tensor([1, 1, 0, 0, 1], dtype=torch.bool)
    env.best_keep[kind == 1] = torch.tensor([0, 0, 1, 1, 0], dtype=torch.bool)
    env.best_edges[kind == 0, 0, 1] = True
    env.best_edges[kind == 1, 2, 3] = True
    g = torch.Generator().manual_seed(0)
    # One-hot roles: with no links the convolution leaves each agent as it is.
    roles = torch.zeros(5, 12)
    roles[torch.arange(5), torch.arange(5)] = 1
    queries = 0.1 * torch.randn(rows, 12, generator=g)
    queries[torch.arange(rows), 10 + kind] += 1
    return env, PaperInputs.of(queries, roles, torch.zeros(5, 5, dtype=torch.bool))


def test_the_second_stage_learns_whom_a_task_needs_and_generalises() -> None:
    env, inputs = by_task()
    train, test = torch.arange(24), torch.arange(24, 40)
    labels = mine_labels(env, tasks=train, budget=24 * 150, generator=torch.Generator().manual_seed(0))
    net = make_net()
    before = decode(net.read(inputs, test))
    history = stage_two(net, labels, inputs, plan=StageTwo(steps=150, lr=0.02, batch=16), seed=0)
    out = net.read(inputs, test)
    after = decode(out)
    keep = env.best_keep[test]
    assert history.value is not None and history.value > history.values[0][1]
    assert balanced_accuracy(out, keep) > 0.85
    scores = [float(env.score(test, g.keep, g.edges).mean()) for g in (before, after)]
    assert scores[1] > scores[0] + 0.2


def test_labels_of_shuffled_scores_teach_nothing() -> None:
    env, inputs = by_task()
    env.shuffled = True
    train, test = torch.arange(24), torch.arange(24, 40)
    labels = mine_labels(env, tasks=train, budget=24 * 150, generator=torch.Generator().manual_seed(0))
    net = make_net()
    stage_two(net, labels, inputs, plan=StageTwo(steps=150, lr=0.02, batch=16), seed=0)
    assert balanced_accuracy(net.read(inputs, test), env.best_keep[test]) < 0.7


def mean_score(env: Puzzle, out: PaperOutput, tasks: torch.Tensor) -> float:
    """Over graphs sampled without dropping."""
    rows = tasks.repeat_interleave(200)
    draw = sample_visit(
        out.edges.detach().repeat_interleave(200, 0), torch.ones(len(rows), len(NAMES), dtype=torch.bool),
        torch.Generator().manual_seed(9),
    )  # fmt: skip
    graphs = Graphs.joined(draw.keep, draw.edges, env.join)
    return float(env.score(rows, graphs.keep, graphs.edges).mean())


@pytest.mark.parametrize("shuffled", [False, True])
def test_the_first_stage_raises_the_score_of_sampled_graphs(shuffled: bool) -> None:
    every = [(i, j) for i in range(5) for j in range(i + 1, 5)]
    env = puzzle(NAMES, 20, [p for p in every if 2 not in p], shuffled=shuffled)
    inputs, rows = random_inputs(20, 5), torch.arange(20)
    gains = []
    for seed in range(3):
        net = make_net(seed=seed)
        before = mean_score(env, net.read(inputs, rows), rows)
        plan = StageOne(iterations=30, rollouts=40, lr=0.03, scale=1.0, protected=tuple(range(5)))
        stage_one(net, env, inputs, tasks=rows, plan=plan, seed=seed)
        gains.append(mean_score(env, net.read(inputs, rows), rows) - before)
    assert (max(gains) < 0.03) if shuffled else (min(gains) > 0.03), gains


def test_both_stages_are_functions_of_their_seed() -> None:
    env, inputs = by_task(12)
    outs = []
    for seed in (0, 0, 1):
        net = make_net()
        stage_one(net, env, inputs, tasks=torch.arange(12), plan=StageOne(subsets=True), seed=seed)
        labels = mine_labels(
            env, tasks=torch.arange(12), budget=100, net=net, inputs=inputs,
            generator=torch.Generator().manual_seed(seed),
        )  # fmt: skip
        stage_two(net, labels, inputs, seed=seed)
        outs.append(net.read(inputs, torch.arange(12)).edges)
    assert torch.equal(outs[0], outs[1]) and not torch.equal(outs[0], outs[2])


def test_the_gate_takes_no_step_on_bad_batches() -> None:
    _, inputs = by_task(12)
    net = make_net()
    start = {name: p.clone() for name, p in net.named_parameters()}
    never = puzzle(NAMES, 12, [(0, 1)], sharp=50.0)
    stage_one(net, never, inputs, tasks=torch.arange(12), plan=StageOne(gate=True))
    assert all(torch.equal(p, start[name]) for name, p in net.named_parameters())
    stage_one(net, puzzle(NAMES, 12, [], sharp=0.0), inputs, tasks=torch.arange(12), plan=StageOne(gate=True))
    assert not all(torch.equal(p, start[name]) for name, p in net.named_parameters())


def test_a_frozen_decoder_stays_as_it_was_drawn() -> None:
    env, inputs = by_task(12)
    for trained in (True, False):
        net = make_net(train_decoder=trained)
        before = net.decoder[0].weight.clone()
        stage_one(net, env, inputs, tasks=torch.arange(12))
        assert torch.equal(net.decoder[0].weight, before) is not trained


def test_held_out_labels_share_no_task_with_the_others() -> None:
    task = torch.arange(10).repeat_interleave(2)
    keep = torch.ones(20, 3, dtype=torch.bool)
    labels = PaperLabels(task, keep, torch.zeros(20, 3, 3, dtype=torch.bool), torch.ones(20), torch.ones(20))
    first, second = split_labels(labels, 0.2, 0)
    assert len(first) == 16 and len(second) == 4
    assert not set(first.task.tolist()) & set(second.task.tolist())
    one = labels.take(labels.task == 3)
    assert len(split_labels(one, 0.9, 0)[0]) == 2  # one side is never left empty


def test_stages_say_when_there_is_nothing_to_learn_from() -> None:
    env, inputs = by_task(4)
    none = torch.zeros(0, dtype=torch.long)
    with pytest.raises(InvalidInput, match="at least one task"):
        stage_one(make_net(), env, inputs, tasks=none)
    empty = mine_labels(env, tasks=torch.arange(4), generator=torch.Generator(), least=1.0)
    assert not len(empty)
    with pytest.raises(InvalidInput, match="no sampled graph scored"):
        stage_two(make_net(), empty, inputs)
