"""The graph router: it learns, it does not leak, it takes new agents, and it says why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentnet.errors import InvalidInput
from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.outcomes.table import Outcomes
from agentnet.routers.base import Router
from agentnet.routers.gnn.plan import TrainingOptions
from agentnet.routers.persist import load

RECIPES = ("agentnet", "paper")


@pytest.fixture(params=RECIPES)
def recipe(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def make(kit: Any, recipe: str, **settings: Any) -> Router:
    """Small enough for a test."""
    if recipe == "paper":
        small: dict[str, Any] = {"steps": 300, "maskings": 2, "hidden": 16}
    else:
        small = {"members": 2, "nodes": 8, "steps": 30}
    return kit.make("graph_router", recipe=recipe, **small | settings)  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def trained(kit: Any) -> Callable[[str], Router]:
    made: dict[str, Router] = {}

    def get(recipe: str) -> Router:
        if recipe not in made:
            made[recipe] = make(kit, recipe)
            made[recipe].fit(kit.planted(), kit.planted().pool)
        return made[recipe]

    return get


def test_it_finds_a_planted_signal(recipe: str, kit: Any, trained: Any, fitted: Any) -> None:
    test = kit.planted().split("test")
    assert kit.score(trained(recipe), test) > kit.score(fitted("best_single"), test) + 0.2


def test_shuffled_outcomes_destroy_the_gain(recipe: str, kit: Any) -> None:
    gains = []
    for seed in range(1 if recipe == "paper" else 2):
        data = kit.planted(240, seed=seed, shuffle=True)
        pair = [make(kit, recipe), kit.make("best_single")]
        for router in pair:
            router.fit(data, data.pool)
        gains.append(kit.score(pair[0], data.split("test")) - kit.score(pair[1], data.split("test")))
    assert np.mean(gains) < 0.08


def test_changed_test_rows_change_nothing(recipe: str, kit: Any) -> None:
    data = kit.planted(120)
    test = data.queries.split == "test"
    flipped = np.where(test[:, None], 1 - data.score, data.score)
    labels = tuple("?" if held else task for held, task in zip(test, data.queries.task, strict=True))
    changed = replace(data, score=flipped, queries=replace(data.queries, task=labels))
    routers = [make(kit, recipe, steps=20) for _ in range(2)]
    scores = []
    for router, seen in zip(routers, (data, changed), strict=True):
        router.fit(seen, seen.pool)
        scores.append(router.score_batch(seen.split("test").tasks(), seen.pool).raw)
    np.testing.assert_array_equal(scores[0], scores[1])


def test_ties_do_not_go_to_the_first_agent(recipe: str, kit: Any) -> None:
    """Two thirds of the rows tie between all agents, the rest is won by the last one."""
    data = kit.planted(160)
    score = np.ones_like(data.score)
    score[::3, :-1] = 0
    tied = replace(data, score=score)
    router = make(kit, recipe, steps=60)
    router.fit(tied, tied.pool)
    chosen = {d.agents[0] for d in router.route_batch(data.split("test").tasks(), data.pool)}
    assert chosen == {data.pool.names[-1]}


def test_the_order_of_agents_in_training_does_not_matter(kit: Any) -> None:
    data = kit.planted(120)
    turned = data.for_pool(Pool(reversed(data.pool.agents)))
    raws = []
    for seen in (data, turned):
        router = make(kit, "agentnet")
        router.fit(seen, seen.pool)
        raws.append(router.score_batch(data.split("test").tasks(), data.pool).raw)
    np.testing.assert_allclose(raws[0], raws[1], atol=0.01)


def test_probes_teach_a_new_agent_without_training(recipe: str, kit: Any) -> None:
    data = kit.planted(480)
    known = data.pool.remove("law_agent")
    router = make(kit, recipe, **({"aggregation": "mean", "steps": 40} if recipe == "paper" else {}))
    router.fit(data.for_pool(known), known)
    before = router.version
    fresh = kit.planted(160, seed=9)
    expert = Agent(name="counsel")
    right = np.array([[float(task == "law")] for task in fresh.queries.task], np.float32)
    probes = Outcomes(
        queries=replace(fresh.queries, query_id=np.char.add("p", fresh.queries.query_id)),
        pool=Pool([expert]), score=right, cost=np.full((160, 1), 3e-4),
    )  # fmt: skip
    probed = router.with_probes(probes)
    assert router.version == before != probed.version
    test = data.split("test")
    pool = known.add(expert)
    scores = probed.score_batch(test.tasks(), pool)
    law = np.array([task == "law" for task in test.queries.task])
    assert scores.known.all() and scores.cost[..., -1] == pytest.approx(3e-4)
    assert not router.score_batch(test.tasks(), pool).known[-1]
    if recipe == "agentnet":
        got = np.array([d.agents == ("counsel",) for d in probed.route_batch(test.tasks(), pool)])
        assert got[law].mean() > 0.8 and got[~law].mean() < 0.2
    else:  # three agents are too few to learn the general case from, but the edges must be looked at
        wrong = router.with_probes(replace(probes, score=1 - right)).score_batch(test.tasks(), pool)
        assert np.abs(wrong.raw[:, -1] - scores.raw[:, -1]).max() > 1e-4
    unchanged = router.score_batch(test.tasks(), known).raw
    np.testing.assert_allclose(scores.raw[:, :-1], unchanged, atol=1e-4)


def test_half_of_the_outcomes_still_show_the_signal(kit: Any) -> None:
    data = kit.planted()
    router = make(kit, "agentnet")
    router.fit(kit.partial(data, keep=0.6), data.pool)
    assert kit.score(router, data.split("test")) > 0.7


def test_scenarios_trade_score_for_cost(kit: Any) -> None:
    """The dearest agent is the best one by a little: only the scenario of performance pays for it."""
    data = kit.planted(160)
    rng = np.random.default_rng(0)
    score = (rng.random(data.score.shape) < np.array([0.5, 0.55, 0.6, 0.8])).astype(np.float32)
    data = replace(data, score=score)
    costs = []
    for scenario in ("performance", "balance", "cost"):
        router = make(kit, "paper", scenario=scenario, steps=60)
        router.fit(data, data.pool)
        test = data.split("test")
        chosen = [data.pool.index(d.agents[0]) for d in router.route_batch(test.tasks(), data.pool)]
        costs.append(float(np.mean(test.cost[np.arange(len(chosen)), chosen])))
    assert costs[0] > costs[1] >= costs[2]


def test_a_scenario_needs_the_paper_recipe() -> None:
    from agentnet.routers.registry import make_router

    with pytest.raises(InvalidInput, match="cost_weight"):
        make_router("graph_router", scenario="cost")
    with pytest.raises(InvalidInput, match="'visible'"):
        make_router("graph_router", visible=1.0)


def test_costs_follow_the_task(kit: Any) -> None:
    data = kit.planted()
    dear = np.array([task == "law" for task in data.queries.task])
    data = replace(data, cost=np.where(dear[:, None], 1e-3, 1e-4) * np.ones((1, 4)))
    router = make(kit, "agentnet")
    router.fit(data, data.pool)
    test = data.queries.split == "test"
    cost = router.score_batch(data.take(test).tasks(), data.pool).cost
    assert cost[dear[test]].mean() > 3 * cost[~dear[test]].mean()


def test_a_loaded_router_knows_what_the_saved_one_did(recipe: str, kit: Any, tmp_path: Path) -> None:
    data = kit.planted(120)
    router = make(kit, recipe, steps=10)
    router.fit(data, data.pool)
    router.save(tmp_path / "r")
    loaded = load(tmp_path / "r")
    assert loaded.version == router.version
    pool = data.pool.add(Agent(name="new", description="flight hotel"))
    for one, two in ((router, loaded), (router.with_probes(data), loaded.with_probes(data))):
        np.testing.assert_array_equal(
            one.score_batch(data.tasks(), pool).raw, two.score_batch(data.tasks(), pool).raw
        )


def test_evidence_shows_predicted_and_recorded_edges(recipe: str, kit: Any, trained: Any) -> None:
    data = kit.planted()
    decision = trained(recipe).route(kit.text(np.random.default_rng(3), "law"), data.pool)
    found = decision.evidence
    assert found.agent == "law_agent" and found.tasks[0][0] == "law"
    assert found.forecast[0].agent == "law_agent" and len(found.forecast) == 4
    assert all(row.cost_usd and row.cost_usd > 0 for row in found.forecast)
    similar = [edge.similarity for edge in found.edges]
    assert len(similar) == 5 and similar == sorted(similar, reverse=True)
    assert any("law_agent" in line for line in found.lines())


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_a_handful_of_rows_is_enough(recipe: str, rows: int, kit: Any) -> None:
    data = kit.planted(40)
    few = data.take(np.flatnonzero(data.queries.split == "train")[:rows])
    router = make(kit, recipe, steps=3)
    router.fit(few, data.pool)
    assert router.route("recipe oven", data.pool).agents


def test_one_agent_only(recipe: str, kit: Any) -> None:
    data = kit.planted(60)
    pool = data.pool.subset(data.pool.names[:1])
    router = make(kit, recipe, steps=3)
    router.fit(data, pool)
    assert router.route("recipe oven", pool).agents == pool.names


def test_it_learns_without_task_labels_and_from_labels(kit: Any) -> None:
    data = kit.planted()
    bare = replace(data, queries=replace(data.queries, task=("",) * len(data)))
    router = make(kit, "agentnet")
    router.fit(bare, bare.pool)
    assert kit.score(router, bare.split("test")) > 0.75
    labels = kit.labels()
    router = make(kit, "agentnet")
    router.fit(labels, labels.pool)
    assert kit.score(router, labels.split("test"), abstain_below=0.0) > 0.9


def test_training_reports_logs_and_resumes(recipe: str, kit: Any, tmp_path: Path) -> None:
    data, told = kit.planted(120), []
    options = TrainingOptions(
        progress=lambda *args: told.append(args), log_dir=tmp_path / "log", checkpoint=tmp_path / "kept"
    )
    versions = []
    for _ in range(2):
        router = make(kit, recipe, steps=6)
        router.use_training(options)
        router.fit(data, data.pool)
        versions.append(router.version)
        told_once = len(told)
    plain = make(kit, recipe, steps=6)
    plain.fit(data, data.pool)
    assert versions == [plain.version] * 2  # the second fit only read its checkpoints
    assert told[-1][1] == told[-1][2] == 6 and told_once == len(told)
    assert (tmp_path / "log" / "metrics.jsonl").stat().st_size > 0
