"""What the routers that look at the task learn, on data with a known answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentnet.errors import DataError, InvalidInput
from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.outcomes.table import Outcomes, Queries
from agentnet.routers.base import RouteOptions

LEARNERS = ("knn", "kmeans", "task_best")


@pytest.fixture(params=LEARNERS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_it_finds_a_planted_signal(name: str, kit: Any, fitted: Any) -> None:
    test = kit.planted().split("test")
    routed = kit.score(fitted(name), test)
    single = kit.score(fitted("best_single"), test)
    assert single < 0.65
    assert routed > single + 0.2


def test_shuffled_outcomes_destroy_the_gain(name: str, kit: Any) -> None:
    gains = []
    for seed in range(3):
        data = kit.planted(seed=seed, shuffle=True)
        pair = [kit.make(name), kit.make("best_single")]
        for router in pair:
            router.fit(data, data.pool)
        gains.append(kit.score(pair[0], data.split("test")) - kit.score(pair[1], data.split("test")))
    assert np.mean(gains) < 0.05


def test_half_of_the_outcomes_still_show_the_signal(name: str, kit: Any) -> None:
    data = kit.planted()
    router = kit.make(name)
    router.fit(kit.partial(data, keep=0.5), data.pool)
    assert kit.score(router, data.split("test")) > 0.75


def test_weights_decide_what_counts(name: str, kit: Any) -> None:
    """Scores of weight 0 are as if they were not there."""
    data = kit.planted(160)
    trusted = np.random.default_rng(0).random(data.score.shape) < 0.6
    noise = np.where(trusted, data.score, 1 - data.score).astype(np.float32)
    weighted = replace(data, score=noise, weight=trusted.astype(np.float32))
    router = kit.make(name)
    router.fit(weighted, data.pool)
    assert kit.score(router, data.split("test")) > 0.7


def test_labels_route_to_the_right_agent(name: str, kit: Any, fitted: Any) -> None:
    test = kit.labels().split("test")
    assert kit.score(fitted(name, "labels"), test, abstain_below=0.0) > 0.95


def test_the_threshold_learned_from_out_of_scope_rows_holds(name: str, kit: Any, fitted: Any) -> None:
    router = fitted(name, "labels")
    fresh = kit.labels(seed=1, out_of_scope=40)
    gone = np.array([d.abstained for d in router.route_batch(fresh.tasks(), fresh.pool)])
    away = fresh.out_of_scope
    assert gone[away].mean() > 0.5
    assert gone[~away].mean() < 0.1


def test_without_out_of_scope_rows_nothing_is_abstained_on(name: str, kit: Any) -> None:
    data = kit.labels(out_of_scope=0)
    router = kit.make(name)
    router.fit(data, data.pool)
    assert not any(d.abstained for d in router.route_batch(data.tasks(), data.pool))


def test_rows_of_agents_left_out_of_the_pool_are_not_out_of_scope(name: str, kit: Any) -> None:
    data = kit.labels(out_of_scope=0)
    router = kit.make(name)
    few = data.pool.subset(data.pool.names[:3])
    report = router.fit(data, few)
    assert report.n_train + report.n_val == sum(
        gold in few
        for gold, split in zip(data.queries.gold, data.queries.split, strict=True)
        if split != "test"
    )
    assert router.threshold is None  # type: ignore[attr-defined]


def test_examples_make_a_new_agent_routable(name: str, kit: Any) -> None:
    """In a label pack an agent that was never trained on gets its tasks by a few examples."""
    data = kit.labels()
    held = data.pool.names[-1]
    router = kit.make(name)
    router.fit(data, data.pool.remove(held))
    rng = np.random.default_rng(5)
    new = Agent(name=held, description="", examples=tuple(kit.text(rng, held) for _ in range(10)))
    pool = data.pool.remove(held).add(new)
    test = replace(data.split("test"), pool=pool)
    decisions = router.route_batch(test.tasks(), pool, options=RouteOptions(abstain_below=0.0))
    mine = np.array([gold == held for gold in test.queries.gold])
    got = np.array([d.agents == (held,) for d in decisions])
    assert got[mine].mean() > 0.8
    assert got[~mine].mean() < 0.1


def test_a_description_alone_helps_a_new_agent(name: str, kit: Any) -> None:
    data = kit.labels(out_of_scope=0)
    held = data.pool.names[-1]
    router = kit.make(name)
    router.fit(data, data.pool.remove(held))
    scores = router.score_batch(data.split("test").tasks(), data.pool)
    mine = np.array([gold == held for gold in data.split("test").queries.gold])
    assert not scores.known[-1]
    assert scores.calibrated[mine, -1].mean() > 3 * scores.calibrated[~mine, -1].mean()


def test_probes_teach_a_new_agent_without_training(name: str, kit: Any) -> None:
    """A new agent that is right on one topic gets it after probes; the old router stays as it was."""
    data = kit.planted(480)
    topic = np.array([task == "law" for task in data.queries.task])
    router = kit.make(name)
    router.fit(data.for_pool(data.pool.remove("law_agent")), data.pool.remove("law_agent"))
    before = router.version
    fresh = kit.planted(160, seed=9)
    expert = Pool([Agent(name="counsel")])
    right = np.array([[float(task == "law")] for task in fresh.queries.task], np.float32)
    probes = Outcomes(
        queries=replace(fresh.queries, query_id=np.char.add("p", fresh.queries.query_id)),
        pool=expert, score=right, cost=np.full((160, 1), 3e-4),
    )  # fmt: skip
    probed = router.with_probes(probes)
    assert router.version == before != probed.version
    test = data.queries.split == "test"
    pool = data.pool.remove("law_agent").add(expert["counsel"])
    scores = probed.score_batch(data.take(test).tasks(), pool)
    assert scores.known.tolist() == [True] * 4
    assert scores.cost[..., -1] == pytest.approx(3e-4)
    decisions = probed.route_batch(data.take(test).tasks(), pool)
    got = np.array([d.agents == ("counsel",) for d in decisions])
    assert got[topic[test]].mean() > (0.5 if name == "kmeans" else 0.8)  # clusters are coarse
    assert got[~topic[test]].mean() < 0.2


def test_a_new_agents_cost_is_guessed_from_its_price(kit: Any) -> None:
    data = kit.planted(80)
    data = replace(
        data,
        prompt_tokens=np.full(data.score.shape, 1000.0),
        completion_tokens=np.full(data.score.shape, 500.0),
    )
    router = kit.make("knn")
    router.fit(data, data.pool)
    priced = Agent(name="priced", price_in_per_mtok="1", price_out_per_mtok="2")
    unpriced = Agent(name="unpriced")
    cost = router.score_batch(data.tasks()[:3], data.pool.add(priced).add(unpriced)).cost
    assert cost[:, -2] == pytest.approx(0.002)
    assert np.isnan(cost[:, -1]).all()


def test_costs_follow_the_task(kit: Any) -> None:
    """Where one topic costs ten times more, predictions say so."""
    data = kit.planted()
    dear = np.array([task == "law" for task in data.queries.task])
    data = replace(data, cost=np.where(dear[:, None], 1e-3, 1e-4) * np.ones((1, 4)))
    test = data.queries.split == "test"
    for name in LEARNERS:
        router = kit.make(name)
        router.fit(data, data.pool)
        cost = router.score_batch(data.take(test).tasks(), data.pool).cost
        assert cost[dear[test]].mean() > 3 * cost[~dear[test]].mean()


def test_given_vectors_are_used_and_checked(name: str, kit: Any, fitted: Any) -> None:
    data = kit.planted().split("test")
    router = fitted(name)
    vectors = router._encode(data.tasks(), None)
    swapped = vectors[::-1].copy()
    plain = router.score_batch(data.tasks(), data.pool).raw
    np.testing.assert_allclose(
        router.score_batch(data.tasks(), data.pool, vectors=vectors).raw, plain, atol=1e-5
    )
    np.testing.assert_allclose(
        router.score_batch(data.tasks(), data.pool, vectors=swapped).raw, plain[::-1], atol=1e-5
    )
    with pytest.raises(InvalidInput, match="vectors must be"):
        router.score_batch(data.tasks(), data.pool, vectors=vectors[:3])


def test_a_loaded_router_makes_its_encoder_again(name: str, kit: Any, tmp_path: Path) -> None:
    """Nothing but the folder is needed: probes, examples and tasks are encoded as before."""
    from agentnet.routers.persist import load

    data = kit.planted(120)
    router = kit.make(name)
    router.fit(data, data.pool)
    router.save(tmp_path / "r")
    loaded = load(tmp_path / "r")
    pool = data.pool.add(Agent(name="new", description="flight hotel", examples=("beach train",)))
    np.testing.assert_array_equal(
        loaded.score_batch(data.tasks(), pool).raw, router.score_batch(data.tasks(), pool).raw
    )


def test_evidence_names_what_was_similar(kit: Any, fitted: Any) -> None:
    data = kit.planted()
    rng = np.random.default_rng(3)
    task = kit.text(rng, "law")
    near = fitted("knn").route(task, data.pool).evidence
    assert near.agent == "law_agent" and len(near.neighbours) == 5
    similarities = [row.similarity for row in near.neighbours]
    assert similarities == sorted(similarities, reverse=True)
    clusters = fitted("kmeans").route(task, data.pool).evidence.clusters
    assert clusters and all(row.examples for row in clusters)
    tasks = fitted("task_best").route(task, data.pool).evidence.tasks
    assert tasks[0].task == "law" and tasks[0].probability > 0.5


def test_texts_are_kept_only_if_wanted(kit: Any, tmp_path: Path) -> None:
    data = kit.planted(80)
    for name in ("knn", "kmeans"):
        for keep in (True, False):
            router = kit.make(name, keep_texts=keep)
            router.fit(data, data.pool)
            router.save(tmp_path / name)
            stored = (tmp_path / name / "config.json").read_text()
            assert ("quadratic" in stored) is keep


def test_settings_given_are_not_searched(kit: Any) -> None:
    data = kit.planted(160)
    knn = kit.make("knn", k=7, temperature=0.1, shrink=0.5)
    assert knn.fit(data, data.pool).chosen == {"k": 7, "temperature": 0.1, "shrink": 0.5}
    kmeans = kit.make("kmeans", clusters=6, nearest=2, temperature=0.0, shrink=0.5)
    chosen = {"clusters": 6, "nearest": 2, "temperature": 0.0, "shrink": 0.5}
    assert kmeans.fit(data, data.pool).chosen == chosen


def test_nothing_to_learn_from_is_said(name: str, kit: Any) -> None:
    data = kit.planted(40)
    empty = data.split("test")
    with pytest.raises(DataError, match="nothing to learn from"):
        kit.make(name).fit(empty, data.pool)
    unscored = replace(data, score=np.full_like(data.score, np.nan))
    with pytest.raises(DataError, match="no scored outcome"):
        kit.make(name).fit(unscored, data.pool)


def test_task_best_needs_task_labels(kit: Any) -> None:
    data = kit.planted(40)
    bare = replace(data, queries=replace(data.queries, task=("",) * 40))
    with pytest.raises(DataError, match="column 'task' is empty"):
        kit.make("task_best").fit(bare, data.pool)


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_a_handful_of_rows_is_enough(name: str, rows: int, kit: Any) -> None:
    data = kit.planted(40)
    few = data.take(np.flatnonzero(data.queries.split == "train")[:rows])
    router = kit.make(name)
    router.fit(few, data.pool)
    assert router.route("recipe oven", data.pool).agents


def test_one_agent_only(name: str, kit: Any) -> None:
    data = kit.planted(80)
    pool = data.pool.subset(data.pool.names[:1])
    router = kit.make(name)
    router.fit(data, pool)
    assert router.route("recipe oven", pool).agents == pool.names


def test_queries_type_is_not_needed_to_route(kit: Any, fitted: Any) -> None:
    """Context is looked at: the same text with another context goes elsewhere."""
    from agentnet.graphs.task import Task

    data = kit.planted()
    plain = fitted("knn").score_batch([Task("help me please")], data.pool).raw
    law = (
        fitted("knn")
        .score_batch([Task("help me please", context="statute appeal court tort")], data.pool)
        .raw
    )
    assert law[0, 3] > plain[0, 3]
    assert isinstance(data.queries, Queries)
