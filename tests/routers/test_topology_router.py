"""The router `topology`: every method of the family gives graphs that can be run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agentnet.errors import InvalidInput
from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Task
from agentnet.outcomes.table import Outcomes
from agentnet.routers.base import RouteOptions
from agentnet.routers.persist import load
from agentnet.routers.topology.environment import Environment
from agentnet.routers.topology.fixed import FIXED
from agentnet.routers.topology.learned import LEARNED
from agentnet.routers.topology_router import METHODS, TopologyRouter

from .topology.doubles import Puzzle, puzzle


def make(method: str, **settings: Any) -> TopologyRouter:
    return TopologyRouter(method=method, encoder="hash:64", **settings)  # type: ignore[arg-type]


def factory(**settings: Any) -> Any:
    def of(outcomes: Outcomes, pool: Pool) -> Environment:
        return puzzle(pool.names, len(outcomes), [(0, 2), (1, 2), (3, 2)], **settings)

    return of


def with_strategies(data: Outcomes) -> Outcomes:
    kinds = ("direct", "chain_of_thought", "chain_of_thought", "self_consistency")
    pool = Pool(a.with_(strategy=s) for a, s in zip(data.pool, kinds, strict=True))
    return replace(data, pool=pool)


def fitted(method: str, data: Outcomes, *, env: bool = True, **settings: Any) -> TopologyRouter:
    router = make(method, **settings)
    if env and method in LEARNED:
        router.use_environment(factory())
    router.fit(data, data.pool)
    return router


def edges_of(router: TopologyRouter, data: Outcomes, pool: Pool | None = None) -> list[Any]:
    decisions = router.route_batch(data.tasks(), pool or data.pool)
    return [None if d.graph is None else d.graph.fingerprint for d in decisions]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_decides_survives_the_disk_and_knows_no_order(
    method: str, kit: Any, tmp_path: Path
) -> None:
    data = with_strategies(kit.planted(80))
    test = data.split("test")
    router = fitted(method, data)
    router.save(tmp_path / "router")
    loaded = load(tmp_path / "router")
    assert loaded.settings == router.settings and isinstance(loaded, TopologyRouter)
    assert edges_of(router, test) == edges_of(loaded, test)
    backwards = Pool(reversed(data.pool.agents))
    assert edges_of(router, test) == edges_of(router, test, backwards)
    alone = [d.graph.fingerprint for t in test.tasks()[:5] if (d := router.route(t, data.pool)).graph]
    assert alone == edges_of(router, test)[:5]
    assert fitted(method, data).version == router.version
    first = router.route(test.tasks()[0], data.pool)
    assert first.evidence.lines() and first.to_dict()["evidence"]["method"] == method
    few = data.pool.subset(data.pool.names[1:])
    for decision in router.route_batch(test.tasks()[:3], few):
        assert decision.agents and set(decision.agents) <= set(few.names)


@pytest.mark.parametrize("method", METHODS)
def test_the_best_agent_abstains_where_it_is_not_good_enough(method: str, kit: Any) -> None:
    data = with_strategies(kit.planted(80))
    router = fitted(method, data)
    tasks = data.tasks()[:2]
    assert all(
        d.abstained for d in router.route_batch(tasks, data.pool, options=RouteOptions(abstain_below=0.99))
    )
    assert not any(d.abstained for d in router.route_batch(tasks, data.pool))


@pytest.mark.parametrize("method", FIXED)
def test_strangers_take_part_in_fixed_topologies_and_the_best_agent_has_the_last_word(
    method: str, kit: Any
) -> None:
    data = kit.planted(80)
    router = fitted(method, data)
    pool = data.pool.add(Agent(name="new", description="x"))
    graph = router.route("solve", pool).graph
    assert graph is not None and set(graph.agents) == set(pool.names)
    means = router.score_batch([Task("x")], data.pool).raw[0]
    if method != "random":
        assert graph.outputs == (data.pool.names[int(np.argmax(means))],)


def test_size_takes_the_best_agents_only(kit: Any) -> None:
    data = kit.planted(80)
    means = fitted("complete", data).score_batch([Task("x")], data.pool).raw[0]
    best = {data.pool.names[i] for i in np.argsort(-means)[:2]}
    graph = fitted("complete", data, size=2).route("x", data.pool).graph
    assert graph is not None and set(graph.agents) == best


def test_random_topologies_differ_by_task_and_seed_and_density(kit: Any) -> None:
    data = kit.planted(80)
    router = fitted("random", data)
    assert len(set(edges_of(router, data))) > 20
    other = make("random")
    other.fit(data, data.pool, seed=1)
    assert edges_of(other, data) != edges_of(router, data)
    dense = fitted("random", data, density=1.0).route("x", data.pool).graph
    assert dense is not None and dense.density == 1


def test_the_best_agent_of_a_strategy_is_taken(kit: Any) -> None:
    data = with_strategies(kit.planted(80))
    means = dict(
        zip(data.pool.names, fitted("single", data).score_batch([Task("x")], data.pool).raw[0], strict=True)
    )
    thinkers = [a.name for a in data.pool if a.strategy == "chain_of_thought"]
    assert fitted("cot", data).route("x", data.pool).agents == (max(thinkers, key=means.__getitem__),)
    assert fitted("single", data).route("x", data.pool).agents == (max(means, key=means.__getitem__),)
    named = fitted("cot", data, agent=data.pool.names[0])
    assert named.route("x", data.pool).agents == (data.pool.names[0],)


def test_samples_ask_the_best_agent_again_and_again(kit: Any) -> None:
    data = kit.planted(80)
    graph = fitted("self_consistency", data, samples=5).route("x", data.pool).graph
    assert graph is not None and len(graph.nodes) == 5 and len(graph.agents) == 1
    assert graph.aggregation.kind == "vote" and len(graph.outputs) == 5


def test_a_missing_strategy_or_agent_is_told_at_the_fit(kit: Any) -> None:
    data = kit.planted(80)
    with pytest.raises(
        InvalidInput, match=r"no agent of the pool has the strategy 'chain_of_thought'.*'agent'"
    ):
        fitted("cot", data)
    with pytest.raises(InvalidInput, match="or 'samples'"):
        fitted("self_consistency", data)
    with pytest.raises(InvalidInput, match="'nobody', which is not in the pool"):
        fitted("single", data, agent="nobody")


@pytest.mark.parametrize(
    "settings",
    [{"method": "ring"}, {"density": 1.5}, {"samples": 0}, {"rounds": 0}, {"lr": 0.0}, {"join": "x"}],
)
def test_settings_are_checked(settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=next(iter(settings))):
        TopologyRouter(**settings)


def test_gptswarm_emits_the_graph_that_it_found(kit: Any) -> None:
    data = kit.planted(80)
    router = fitted("gptswarm", data, rollouts=8)
    graph = router.route("x", data.pool).graph
    names = data.pool.names
    assert graph is not None
    assert {(e.source, e.target) for e in graph.edges} == {(names[i], names[2]) for i in (0, 1, 3)}
    assert graph.outputs == (names[2],) and all(e.weight > 0.5 for e in graph.edges)
    report = make("gptswarm", rollouts=8)
    report.use_environment(factory())
    assert report.fit(data, data.pool).chosen == {"method": "gptswarm"}


def test_dropped_agents_stand_in_no_graph(kit: Any) -> None:
    data = kit.planted(80)
    router = make("agentdropout", rollouts=16, steps=20)
    names = data.pool.names

    def of(outcomes: Outcomes, pool: Pool) -> Puzzle:
        return puzzle(pool.names, len(outcomes), [(0, 1), (1, 2), (0, 2)], left_out=(3,))

    router.use_environment(of)
    router.fit(data, data.pool)
    for decision in router.route_batch(data.tasks(), data.pool):
        assert set(decision.agents) == set(names[:3])
    # Where only the dropped one is left, it answers.
    assert router.route("x", data.pool.subset([names[3]])).agents == (names[3],)


def test_sampling_draws_edges_by_task_and_thresholds_do_not(kit: Any) -> None:
    data = kit.planted(80)
    assert len(set(edges_of(fitted("agentprune", data), data))) > 10
    assert len(set(edges_of(fitted("agentprune", data, sample=False), data))) == 1
    assert len(set(edges_of(fitted("gptswarm", data, sample=True, steps=3), data))) > 10


def test_strangers_join_a_network_but_no_learned_list(kit: Any) -> None:
    data = kit.planted(80)
    new = Agent(name="new", description="flour")
    pool = data.pool.add(new)
    assert "new" in fitted("gdesigner", data).route("x", pool).agents
    assert "new" not in fitted("gptswarm", data).route("x", pool).agents
    assert fitted("gptswarm", data).route("x", Pool([new])).agents == ("new",)


def test_the_environment_tells_how_graphs_are_run(kit: Any) -> None:
    data = kit.planted(80)
    router = make("complete")
    router.use_environment(factory(messages=False, join="all"))
    router.fit(data, data.pool)
    graph = router.route("x", data.pool).graph
    assert graph is not None and not any(e.carries for e in graph.edges) and len(graph.outputs) == 4
    assert fitted("complete", data, join="all", rounds=2).route("x", data.pool).graph.rounds == 2  # type: ignore[union-attr]


def test_a_decision_agent_merges(kit: Any) -> None:
    data = kit.planted(80)
    graph = fitted("star", data, decision=data.pool.names[0]).route("x", data.pool).graph
    assert graph is not None and graph.aggregation.agent == data.pool.names[0]


@pytest.mark.parametrize("method", LEARNED)
def test_where_nothing_can_be_run_the_best_agent_answers(method: str, kit: Any) -> None:
    data = replace(kit.planted(80), response=None)
    router = make(method)
    report = router.fit(data, data.pool)
    best = fitted("single", data).route("x", data.pool).agents
    assert router.route("x", data.pool).agents == best and report.chosen["agent"] == best[0]
    assert "best single agent" in report.notes[0]


@pytest.mark.parametrize("method", LEARNED)
def test_recorded_answers_are_an_environment(method: str, kit: Any) -> None:
    data = kit.planted(160)
    router = make(method)
    report = router.fit(data, data.pool)
    assert report.notes == () and report.chosen == {"method": method}
    graphs = [d.graph for d in router.route_batch(data.tasks()[:4], data.pool)]
    # Recorded answers say nothing of what an agent would have made of another's.
    assert all(g is not None and not any(e.carries for e in g.edges) for g in graphs)


def test_the_settings_reach_the_lesson(kit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from agentnet.routers import topology_router

    seen: list[Any] = []

    def spy(method: str, lesson: Any, *rest: Any, **more: Any) -> Any:
        seen.append(lesson)
        from agentnet.routers.topology.learned import learn

        return learn(method, lesson, *rest, **more)

    monkeypatch.setattr(topology_router, "learn", spy)
    data = kit.planted(80)
    router = make("gptswarm", price=0.5, steps=2, batch=3, rollouts=4)
    router.use_environment(factory(unit=2.0))
    router.fit(data, data.pool, seed=7)
    assert (seen[0].price, seen[0].steps, seen[0].batch, seen[0].rollouts, seen[0].seed) == (0.25, 2, 3, 4, 7)
    assert len(seen[0].tasks) == len(data.without_split("test"))
    assert isinstance(seen[0].tasks, torch.Tensor)
