"""Where Stage I starts: acyclic priors, and logs that tell what fresh rollouts tell."""

from __future__ import annotations

from dataclasses import replace

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agentnet.bench.society import Society, random_graphs
from agentnet.graphs.task_graph import Node, TaskGraph
from agentnet.outcomes.table import LoggedRun, Outcomes
from agentnet.routers.topology.graphs import Graphs, Join
from agentnet.routers.topology.paper_labels import rank_labels
from agentnet.routers.topology.start import (
    layered_graphs,
    logged_rollouts,
    plain_graphs,
    prior_graphs,
    thin,
)

from .test_bank import acyclic


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 8), st.sampled_from(["sinks", "all"]))
def test_every_graph_of_the_priors_is_acyclic(seed: int, n: int, join: Join) -> None:
    generator = torch.Generator().manual_seed(seed)
    graphs = Graphs.cat([prior_graphs(n, 30, join, generator), layered_graphs(n, 30, join, generator),
                         plain_graphs(n, join)])  # fmt: skip
    assert graphs.keep.any(1).all() and graphs.outputs.any(1).all()
    for keep, edges in zip(graphs.keep, graphs.edges, strict=True):
        assert acyclic(edges) and not (edges & ~(keep[:, None] & keep[None])).any()


def test_plain_graphs_are_each_alone_all_apart_and_all_together() -> None:
    graphs = plain_graphs(3, "sinks")
    assert graphs.keep.sum(1).tolist() == [1, 1, 1, 3, 3]
    assert graphs.edges.sum((1, 2)).tolist() == [0, 0, 0, 0, 3]


def deterministic() -> tuple[Society, Outcomes]:
    society = replace(Society.draw(1), deterministic=True)
    return society, society.outcomes(10)


def test_labels_from_logs_are_those_of_fresh_rollouts() -> None:
    society, outcomes = deterministic()
    generator = torch.Generator().manual_seed(0)
    graphs = [random_graphs(9, 40, generator) for _ in range(10)]
    log = society.log(outcomes, graphs)
    tasks, every = torch.arange(10).repeat_interleave(40), Graphs.cat(graphs)
    fresh = society.environment(outcomes, outcomes.pool).run(tasks, every, generator)
    old = logged_rollouts(log, "tokens")
    assert old is not None and 0 < float(old.score.mean()) < 1
    mined = rank_labels(tasks, every.keep, every.edges, fresh.score, fresh.cost, 3)
    read = rank_labels(old.task, old.graphs.keep, old.graphs.edges, old.score, old.cost, 3)
    for part in ("task", "keep", "edges", "score", "cost"):
        assert torch.equal(getattr(mined, part), getattr(read, part)), part
    assert len(mined) > 0


def test_a_stochastic_society_is_told_from_its_log_only_by_luck() -> None:
    """The test above could fail: with drawn scores, it does."""
    society = Society.draw(1)
    outcomes = society.outcomes(10)
    generator = torch.Generator().manual_seed(0)
    graphs = [random_graphs(9, 40, generator) for _ in range(10)]
    old = logged_rollouts(society.log(outcomes, graphs), "tokens")
    every = Graphs.cat(graphs)
    fresh = society.environment(outcomes, outcomes.pool).run(
        torch.arange(10).repeat_interleave(40), every, generator
    )
    assert old is not None and not torch.equal(old.score, fresh.score)


def test_runs_that_cannot_be_learned_from_are_left_out() -> None:
    _, outcomes = deterministic()
    first, second = outcomes.agents[:2]
    query = str(outcomes.queries.query_id[0])

    def run(graph: TaskGraph, score: float | None = 1.0, tokens: int | None = 10) -> LoggedRun:
        return LoggedRun(query_id=query, graph=graph, score=score, tokens=tokens)

    twice = TaskGraph(nodes=(Node("a", first), Node("b", first)))
    good = run(TaskGraph.of([first, second]))
    bad = [
        run(twice),
        run(TaskGraph.of(["stranger"])),
        run(TaskGraph.of([first]), score=None),
        run(TaskGraph.of([first]), tokens=None),
        replace(good, query_id="unknown"),
    ]
    found = logged_rollouts(replace(outcomes, runs=(*bad, good)), "tokens")
    assert found is not None and len(found) == 1 and found.cost.tolist() == [10.0]
    assert logged_rollouts(replace(outcomes, runs=tuple(bad)), "tokens") is None
    assert logged_rollouts(replace(outcomes, runs=(good,)), "usd") is None


def test_tasks_with_few_runs_are_thin() -> None:
    society, outcomes = deterministic()
    one, none = random_graphs(9, 1, torch.Generator()), random_graphs(9, 3, torch.Generator())
    log = logged_rollouts(society.log(outcomes, [one] * 5 + [none] * 5), "tokens")
    assert thin(log, 10, 2).tolist() == [0, 1, 2, 3, 4] and thin(None, 2, 1).tolist() == [0, 1]
