"""What there is to learn from, and in what costs are counted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from agentnet.graphs.task_graph import TaskGraph
from agentnet.outcomes.table import LoggedRun, Outcomes
from agentnet.routers.topology.choose import (
    FEWEST_RUNS,
    cost_unit,
    dearest,
    environment_of,
    logged_graphs,
    logged_join,
    shortlisted,
)
from agentnet.routers.topology.critic import Rollouts
from agentnet.routers.topology.graphs import Graphs, Shape
from agentnet.routers.topology.replay import ReplayEnvironment

from .doubles import puzzle


def with_runs(data: Outcomes, graph: TaskGraph, count: int, **known: Any) -> Outcomes:
    ids = data.queries.query_id.tolist()
    runs = tuple(
        LoggedRun(query_id=ids[i % len(ids)], graph=graph, score=1.0, tokens=9, **known) for i in range(count)
    )
    return replace(data, runs=runs)


def test_too_few_runs_or_of_one_agent_alone_teach_no_topology(kit: Any) -> None:
    data = kit.planted(80)
    pair, alone = TaskGraph.of(data.agents[:2]), TaskGraph.of(data.agents[:1])
    assert logged_graphs(with_runs(data, pair, FEWEST_RUNS), "tokens") is not None
    assert logged_graphs(with_runs(data, pair, FEWEST_RUNS - 1), "tokens") is None
    assert logged_graphs(with_runs(data, alone, FEWEST_RUNS), "tokens") is None


def test_an_environment_that_is_given_comes_before_a_replay(kit: Any) -> None:
    data = kit.planted(80)
    given = puzzle(data.agents, len(data), [(0, 1)])
    found = environment_of(data, data.pool, lambda outcomes, pool: given)
    assert found is not None and found[0] is given and found[1].tolist() == list(range(len(data)))
    replay = environment_of(data, data.pool, None)
    assert replay is not None and isinstance(replay[0], ReplayEnvironment)
    assert environment_of(replace(data, response=None), data.pool, None) is None
    assert environment_of(kit.labels(80), kit.labels(80).pool, None) is None


def test_costs_are_counted_in_money_where_all_of_it_is_known(kit: Any) -> None:
    data = kit.planted(40)
    pair = TaskGraph.of(data.agents[:2])
    assert cost_unit(data) == "usd"
    assert cost_unit(replace(data, cost=np.full_like(data.cost, np.nan))) == "tokens"
    assert cost_unit(with_runs(data, pair, 3)) == "tokens"
    assert cost_unit(with_runs(data, pair, 3, cost_usd=0.1)) == "usd"


def test_the_unit_is_the_dearest_agent_alone() -> None:
    keep = torch.tensor([[True, False], [False, True], [True, True]])
    graphs = Graphs.joined(keep, torch.zeros(3, 2, 2, dtype=torch.bool), "all")
    runs = Rollouts(torch.zeros(3, dtype=torch.long), graphs, torch.ones(3), torch.tensor([1.0, 3.0, 9.0]))
    assert dearest(runs) == 3.0
    assert dearest(runs.take(torch.tensor([2]))) == 9.0


def test_a_log_tells_whose_answers_were_joined(kit: Any) -> None:
    data = kit.planted(40)
    keep, edges = torch.tensor([True, True]), torch.tensor([[False, True], [False, False]])
    for join in ("all", "sinks"):
        graph = Shape(join=join).task_graph(data.agents[:2], keep, edges)  # type: ignore[arg-type]
        assert logged_join(with_runs(data, graph, 3)) == join
    assert logged_join(with_runs(data, TaskGraph.of(data.agents[:2]), 3)) == "sinks"


def test_a_shortlist_keeps_the_pools_order(kit: Any) -> None:
    pool = kit.planted(40).pool
    mean = np.array([0.1, 0.9, 0.5, 0.9])
    assert shortlisted(pool, mean, 3).names == pool.names[1:]
    assert shortlisted(pool, mean, 2).names == (pool.names[1], pool.names[3])
    assert shortlisted(pool, mean, 4) is pool
