from __future__ import annotations

import numpy as np
import pytest

from agentnet.bench.topology.rollouts import key, plan_rollouts, random_topology, subset_size
from agentnet.errors import InvalidInput

AGENTS = ("a", "b", "c", "d")


def test_random_topologies_are_dags_of_the_pool() -> None:
    sizes, pairs, outputs = set(), set(), set()
    for seed in range(300):
        graph = random_topology(AGENTS, np.random.default_rng(seed))  # a cycle would raise
        assert set(graph.agents) <= set(AGENTS) and len(graph.agents) == len(graph.nodes)
        sources = {edge.source for edge in graph.edges}
        sinks = {name for name in graph.agents if name not in sources}
        assert set(graph.outputs) in (sinks, set(graph.agents))
        sizes.add(len(graph.nodes))
        pairs |= {(edge.source, edge.target) for edge in graph.edges}
        outputs.add(set(graph.outputs) == sinks)
    # Nothing is out of reach: every size, every direction of every pair, both kinds of outputs.
    assert sizes == {1, 2, 3, 4} and len(pairs) == 12 and outputs == {True, False}


def test_sizes_are_a_truncated_normal() -> None:
    rng = np.random.default_rng(0)
    sizes = np.array([subset_size(8, rng) for _ in range(4000)])
    assert sizes.min() >= 1 and sizes.max() <= 8
    assert abs(sizes.mean() - 4) < 0.15 and abs(sizes.std() - 2) < 0.25
    with pytest.raises(InvalidInput):
        subset_size(0, rng)


def test_a_plan_holds_every_agent_the_complete_graph_and_no_graph_twice() -> None:
    plan = plan_rollouts(AGENTS, "q1", random=8)
    assert [rollout.name for rollout in plan[:4]] == list(AGENTS)
    assert plan[4].graph.density == plan[5].graph.density == 1.0
    assert plan[4].graph.layers == tuple((name,) for name in AGENTS)
    drawn = [key(rollout.graph) for rollout in plan[6:]]
    assert len(drawn) == len(set(drawn)) == 8
    assert not set(drawn) & {key(rollout.graph) for rollout in plan[:6]}


def test_a_plan_depends_on_the_task_and_more_of_it_begins_alike() -> None:
    first = plan_rollouts(AGENTS, "q1", random=4)
    assert plan_rollouts(AGENTS, "q1", random=9)[: len(first)] == first
    assert plan_rollouts(AGENTS, "q2", random=4) != first != plan_rollouts(AGENTS, "q1", random=4, seed=1)


def test_a_small_pool_has_few_topologies() -> None:
    plan = plan_rollouts(["a", "b"], "q", random=50)
    assert 6 <= len(plan) <= 4 + 5
