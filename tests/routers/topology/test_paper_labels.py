"""Ranking and mining of labels."""

from __future__ import annotations

import pytest
import torch

from agentnet.errors import InvalidInput
from agentnet.routers.topology.paper_labels import mine_labels, rank_labels, sub_complete

from .doubles import puzzle

NAMES = ("a", "b", "c", "d")


def runs(rows: int = 60, n: int = 4, seed: int = 0) -> tuple[torch.Tensor, ...]:
    g = torch.Generator().manual_seed(seed)
    task = torch.randint(5, (rows,), generator=g)
    keep = torch.rand((rows, n), generator=g) < 0.6
    keep[:, 0] |= ~keep.any(1)
    edges = (torch.rand((rows, n, n), generator=g) < 0.5).triu(1) & keep[:, :, None] & keep[:, None, :]
    score = (torch.rand(rows, generator=g) * 3).round() / 3
    return task, keep, edges, score, keep.sum(1).float()


def test_ranks_are_those_of_plain_python() -> None:
    task, keep, edges, score, cost = runs()
    labels = rank_labels(task, keep, edges, score, cost, 2)
    found: dict[int, list[tuple[float, ...]]] = {}
    seen: dict[tuple[int, str], list[tuple[float, float]]] = {}
    for r in range(len(task)):
        key = (int(task[r]), str((keep[r].tolist(), edges[r].tolist())))
        seen.setdefault(key, []).append((float(score[r]), float(cost[r])))
    for (t, _), values in seen.items():
        s, c = (sum(column) / len(values) for column in zip(*values, strict=True))
        found.setdefault(t, []).append((-round(s, 6), c))
    expected = [(t, -s, c) for t in sorted(found) for s, c in sorted(found[t])[:2] if -s > 0]
    got = list(zip(labels.task.tolist(), labels.score.tolist(), labels.cost.tolist(), strict=True))
    assert len(got) == len(expected)
    for one, other in zip(got, expected, strict=True):
        assert one == pytest.approx(other, abs=1e-5)


def test_the_order_of_the_runs_changes_nothing() -> None:
    columns = runs(200)
    first = rank_labels(*columns, 3)
    for seed in range(3):
        turn = torch.randperm(200, generator=torch.Generator().manual_seed(seed))
        other = rank_labels(*(column[turn] for column in columns), 3)
        for name in ("task", "keep", "edges", "score", "cost"):
            assert torch.equal(getattr(first, name), getattr(other, name))


def test_ties_go_to_lower_cost_then_fewer_agents_then_fewer_edges_then_earlier_agents() -> None:
    keep = torch.tensor([[1, 1, 0], [1, 1, 0], [1, 0, 0], [0, 1, 0], [1, 1, 1]], dtype=torch.bool)
    edges = torch.zeros(5, 3, 3, dtype=torch.bool)
    edges[1, 0, 1] = True
    cost = torch.tensor([1.0, 1.0, 1.0, 1.0, 0.5])
    labels = rank_labels(torch.zeros(5), keep, edges, torch.ones(5), cost, 5)
    assert labels.keep.int().tolist() == [[1, 1, 1], [1, 0, 0], [0, 1, 0], [1, 1, 0], [1, 1, 0]]
    assert labels.edges.sum((1, 2)).tolist() == [0, 0, 0, 0, 1]


def test_cheap_tasks_are_told_apart_by_cost_too() -> None:
    keep = torch.tensor([[True, False], [False, True]])
    cost = torch.tensor([3e-7, 2e-7])
    labels = rank_labels(torch.zeros(2), keep, torch.zeros(2, 2, 2), torch.ones(2), cost, 1)
    assert labels.keep.tolist() == [[False, True]]


def test_unjudged_and_worthless_runs_make_no_label() -> None:
    score = torch.tensor([float("nan"), 0.0, 0.4, 0.9])
    keep = torch.eye(4, dtype=torch.bool)
    task = torch.tensor([0, 0, 1, 2])
    none = torch.zeros(4, 4, 4)
    assert rank_labels(task, keep, none, score, torch.ones(4)).task.tolist() == [1, 2]
    assert rank_labels(task, keep, none, score, torch.ones(4), least=0.5).task.tolist() == [2]
    assert len(rank_labels(task[:1], keep[:1], none[:1], score[:1], torch.ones(1))) == 0


def test_an_unknown_cost_is_the_dearest() -> None:
    keep = torch.eye(2, dtype=torch.bool)
    cost = torch.tensor([float("nan"), 5.0])
    labels = rank_labels(torch.tensor([0, 0]), keep, torch.zeros(2, 2, 2), torch.ones(2), cost, 2)
    assert labels.cost.tolist() == [5.0, 5.0]


def test_labels_need_a_task_and_a_positive_k() -> None:
    with pytest.raises(InvalidInput, match="at least one task"):
        mine_labels(puzzle(NAMES, 2, []), tasks=torch.zeros(0, dtype=torch.long), generator=torch.Generator())
    with pytest.raises(InvalidInput, match="at least 1"):
        rank_labels(*runs(), 0)


def test_sizes_follow_the_restricted_normal() -> None:
    keep = sub_complete(20_000, 6, torch.Generator().manual_seed(0))
    weights = [torch.exp(torch.tensor(-((size - 3) ** 2) / (2 * 1.5**2))).item() for size in range(2, 7)]
    counts = torch.bincount(keep.sum(1), minlength=7)
    assert counts[:2].sum() == 0
    for size, weight in zip(range(2, 7), weights, strict=True):
        assert counts[size].item() / 20_000 == pytest.approx(weight / sum(weights), abs=0.015)
    each = keep.float().mean(0)
    assert float(each.max() - each.min()) < 0.02


def test_mining_finds_the_best_graph_and_says_what_was_run() -> None:
    env = puzzle(NAMES, 3, [(0, 1), (1, 3)], left_out=(2,))
    labels = mine_labels(
        env, tasks=torch.arange(3), budget=3000, k=1, generator=torch.Generator().manual_seed(0)
    )
    assert env.rollouts == 3000 and labels.task.tolist() == [0, 1, 2]
    assert torch.equal(labels.keep, env.best_keep) and torch.equal(labels.edges, env.best_edges)
    assert labels.score.tolist() == [1.0] * 3


def test_a_log_gives_the_labels_of_the_runs_that_it_tells_of() -> None:
    class Logging(type(puzzle(NAMES, 1, []))):  # type: ignore[misc]
        rows: list[tuple[torch.Tensor, ...]] = []  # noqa: RUF012

        def run(self, tasks, graphs, generator):  # type: ignore[no-untyped-def]
            returns = super().run(tasks, graphs, generator)
            self.rows.append((tasks, graphs.keep, graphs.edges, returns.score, returns.cost))
            return returns

    plain = puzzle(NAMES, 4, [(0, 2)])
    env = Logging(plain.agents, plain.best_keep, plain.best_edges)
    fresh = mine_labels(env, tasks=torch.arange(4), budget=200, generator=torch.Generator().manual_seed(1))
    logged = rank_labels(*(torch.cat(column) for column in zip(*env.rows, strict=True)))
    for name in ("task", "keep", "edges", "score", "cost"):
        assert torch.equal(getattr(fresh, name), getattr(logged, name))
