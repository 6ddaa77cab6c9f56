"""`agent_router` on data in which the entities of the context, and nothing else, decide who is right."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from agentnet.errors import InvalidInput
from agentnet.graphs.agent import Agent
from agentnet.graphs.knowledge import GraphCache, make_extractor
from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Task
from agentnet.outcomes.table import Outcomes, Queries
from agentnet.routers.agent_router import AgentGraphRouter
from agentnet.routers.base import RouteOptions
from agentnet.routers.persist import load

GUESTS = (("Zubarov", "Kellermann"), ("Ostrova", "Nakamura"), ("Whitlock", "Ferreira"))
QUESTIONS = ("what did the guest order?", "when did the guest leave?", "why was the guest late?")
FILLER = "the evening was long and the house was full of people who talked about nothing at all"


def planted(n: int = 216, *, seed: int = 0, shuffle: bool = False) -> Outcomes:
    """Questions and contexts are alike but for one name, beyond what the query's own encoding reads."""
    rng = np.random.default_rng(seed)
    group, which = rng.integers(0, 3, n), rng.integers(0, 2, n)
    words = FILLER.split()
    contexts = []
    for i in range(n):
        filler = " ".join(rng.choice(words, 120))
        contexts.append(f"{filler}. At last we met {GUESTS[group[i]][which[i]]} there. {filler}.")
    right = rng.random((n, 3)) < np.where(group[:, None] == np.arange(3), 0.95, 0.1)
    score = right.astype(np.float32)
    split = np.array(["train"] * n)
    split[: n // 3] = "test"
    split[n // 3 : n // 3 + n // 9] = "val"
    if shuffle:
        learned = np.flatnonzero(split != "test")
        score[learned] = score[rng.permutation(learned)]
    queries = Queries(
        query_id=np.array([f"q{i}" for i in range(n)]),
        text=tuple(f"{QUESTIONS[i % 3]} ({i})" for i in range(n)),
        split=split,
        context=tuple(contexts),
        gold=("right",) * n,
        metric=("f1",) * n,
    )
    pool = Pool(Agent(name=name, description=f"style {name}") for name in ("direct", "stepwise", "debate"))
    wrong = np.array([[f"wrong {i} {j}" for j in range(3)] for i in range(n)], object)
    cost = np.tile([1e-4, 2e-4, 4e-4], (n, 1))
    return Outcomes(
        queries=queries, pool=pool, score=score, cost=cost, response=np.where(score > 0, "right", wrong)
    )


def make(**settings: Any) -> AgentGraphRouter:
    quick = {"encoder": "hash:64", "hidden": 32} | settings
    return AgentGraphRouter(**quick)


def top_score(router: AgentGraphRouter, data: Outcomes) -> float:
    """Mean score of the first agent of each test decision."""
    test = data.split("test")
    decisions = router.route_batch(test.tasks(), data.pool)
    return float(np.mean([test.score[i, data.pool.index(d.agents[0])] for i, d in enumerate(decisions)]))


def best_single(data: Outcomes) -> float:
    test = data.split("test")
    return float(test.score[:, int(np.nanargmax(data.without_split("test").mean_score))].mean())


@pytest.fixture(scope="module")
def data() -> Outcomes:
    return planted()


@pytest.fixture(scope="module")
def router(data: Outcomes) -> AgentGraphRouter:
    made = make()
    made.fit(data, data.pool, device="cpu")
    return made


def test_it_finds_the_entity_that_decides(router: AgentGraphRouter, data: Outcomes) -> None:
    assert top_score(router, data) > 0.85 > 0.6 > best_single(data)


@pytest.mark.parametrize("graph", ["query_agent", "none"])
def test_without_entities_it_loses_twenty_points(
    graph: Any, router: AgentGraphRouter, data: Outcomes
) -> None:
    blind = make(graph=graph)
    blind.fit(data, data.pool, device="cpu")
    assert top_score(blind, data) <= top_score(router, data) - 0.2


def test_shuffled_outcomes_destroy_the_gain(data: Outcomes) -> None:
    shuffled = planted(shuffle=True)
    lost = make()
    lost.fit(shuffled, shuffled.pool, device="cpu")
    assert top_score(lost, data) < best_single(data) + 0.12


def test_the_faithful_recipe_lets_its_top_agents_vote_by_their_probabilities(data: Outcomes) -> None:
    faithful = make(recipe="paper", epochs=2, hidden=16)
    report = faithful.fit(data, data.pool, device="cpu")
    assert report.chosen["agents"] == 3  # top 8, of which there are three
    decision = faithful.route(data.split("test").tasks()[0], data.pool)
    weights = [node.weight for node in decision.graph.nodes]  # type: ignore[union-attr]
    assert sum(weights) == pytest.approx(1, abs=1e-4) and weights == sorted(weights, reverse=True)
    assert decision.aggregation is not None and decision.aggregation.kind == "vote"


def test_the_faithful_recipe_without_a_validation_split_holds_some_rows_back(data: Outcomes) -> None:
    split = np.where(data.queries.split == "val", "train", data.queries.split)
    made = make(recipe="paper", epochs=1, hidden=8, layers=1)
    report = made.fit(data.with_split(split), data.pool, device="cpu")
    assert report.n_val == 0 and made.route("who is it?", data.pool).agents


def test_changed_test_labels_and_gold_leave_everything_as_it_is(data: Outcomes) -> None:
    test = data.queries.split == "test"
    score = np.where(test[:, None], 1 - data.score, data.score)
    queries = replace(data.queries, gold=("somebody else",) * len(data))
    changed = replace(data, score=score, queries=queries)
    twins = [make(epochs=2), make(epochs=2)]
    for twin, given in zip(twins, (data, changed), strict=True):
        twin.fit(given, data.pool, device="cpu")
    assert twins[0].version == twins[1].version
    tasks = data.split("test").tasks()
    np.testing.assert_array_equal(
        twins[0].score_batch(tasks, data.pool).raw, twins[1].score_batch(tasks, data.pool).raw
    )
    assert twins[0].source.graphs(tasks) == twins[1].source.graphs(changed.split("test").tasks())


def test_permuted_agents_permute_scores_and_keep_decisions(router: AgentGraphRouter, data: Outcomes) -> None:
    tasks = data.split("test").tasks()[:20]
    other = Pool([data.pool.agents[i] for i in (2, 0, 1)])
    here, there = router.score_batch(tasks, data.pool), router.score_batch(tasks, other)
    np.testing.assert_allclose(there.calibrated, here.calibrated[:, [2, 0, 1]], atol=1e-6)
    names = [d.agents for d in router.route_batch(tasks, data.pool)]
    assert names == [d.agents for d in router.route_batch(tasks, other)]


def test_given_encodings_are_taken(router: AgentGraphRouter, data: Outcomes) -> None:
    tasks = data.split("test").tasks()[:5]
    vectors = router.encode(tasks)
    assert vectors is not None
    same = router.score_batch(tasks, data.pool, vectors=vectors)
    np.testing.assert_array_equal(same.raw, router.score_batch(tasks, data.pool).raw)
    other = router.score_batch(tasks, data.pool, vectors=np.roll(vectors, 1, 0))
    assert not np.array_equal(same.raw, other.raw)


@pytest.mark.parametrize("recipe", ["agentnet", "paper"])
def test_a_loaded_router_is_the_saved_one(recipe: Any, data: Outcomes, tmp_path: Any) -> None:
    made = make(recipe=recipe, hidden=8, epochs=1)
    made.fit(data, data.pool, device="cpu")
    made.save(tmp_path / "r")
    loaded = load(tmp_path / "r")
    task = data.split("test").tasks()[0]
    assert loaded.version == made.version
    assert loaded.route(task, data.pool).graph == made.route(task, data.pool).graph


def test_evidence_names_the_entity_and_can_be_drawn(router: AgentGraphRouter, data: Outcomes) -> None:
    test = data.split("test")
    decision = router.route(test.tasks()[0], data.pool)
    told = decision.evidence.to_dict()
    guests = {name for pair in GUESTS for name in pair}
    assert {entity["text"] for entity in told["entities"]} & guests
    assert all(0 <= entity["attention"] <= 1 for entity in told["entities"])
    assert [voter["agent"] for voter in told["voters"]] == list(decision.agents)
    assert any(name in decision.explain() for name in guests)
    json.dumps(told)
    network = decision.evidence.to_networkx()  # type: ignore[attr-defined]
    assert {kind for _, kind in network.nodes(data="kind")} == {"query", "entity", "agent"}
    assert decision.evidence.to_svg().count("<rect") >= 4  # type: ignore[attr-defined]


def test_votes_are_used_where_they_help_and_cost_makes_them_smaller() -> None:
    rng = np.random.default_rng(1)
    n = 240
    score = (rng.random((n, 3)) < 0.7).astype(np.float32)
    wrong = np.array([[f"w{i}{j}" for j in range(3)] for i in range(n)], object)
    base = planted(n)
    data = replace(base, score=score, response=np.where(score > 0, "right", wrong))
    made = make(epochs=1, hidden=8)
    report = made.fit(data, data.pool, device="cpu")
    assert report.chosen["agents"] == 3
    tasks = data.split("test").tasks()[:10]
    sizes = [
        max(len(d.agents) for d in made.route_batch(tasks, data.pool, options=RouteOptions(cost_weight=w)))
        for w in (0.0, 0.02, 0.9)
    ]
    assert sizes[0] == 3 and sizes[2] == 1 and sizes == sorted(sizes, reverse=True)
    decision = made.route(tasks[0], data.pool)
    assert decision.expected_score > float(decision.calibrated.max())  # type: ignore[union-attr]
    fixed = make(epochs=1, hidden=8, top_k=2, fusion="uniform", tau=0.5)
    fixed.fit(data, data.pool, device="cpu")
    graph = fixed.route(tasks[0], data.pool).graph
    assert graph is not None and [node.weight for node in graph.nodes] == [1.0, 1.0]


def test_a_new_agent_is_scored_below_the_best_and_probes_lift_it(
    router: AgentGraphRouter, data: Outcomes
) -> None:
    tasks = data.split("test").tasks()
    pool = data.pool.add(Agent(name="new", description="style of its own"))
    before = router.score_batch(tasks, pool)
    assert before.known.tolist() == [True] * 3 + [False]
    assert (before.raw[:, 3] < before.raw[:, :3].max(1)).all()
    probes = replace(
        data.for_pool(pool),
        score=np.column_stack((np.full((len(data), 3), np.nan), np.ones(len(data)))).astype(np.float32),
    )
    after = router.with_probes(probes).score_batch(tasks, pool)
    assert after.known.all() and after.raw[:, 3].mean() > before.raw[:, 3].mean() + 0.2
    np.testing.assert_allclose(after.raw[:, :3], before.raw[:, :3], atol=1e-6)


def test_graphs_can_be_shared(data: Outcomes) -> None:
    graphs = GraphCache(make_extractor("rules"))
    for _ in range(2):
        made = make(epochs=1, hidden=8)
        made.use_graphs(graphs)
        made.fit(data, data.pool, device="cpu")
    assert graphs.misses == (data.queries.split != "test").sum()


@pytest.mark.parametrize(
    "wrong",
    [{"graph": "half"}, {"tau": 0.0}, {"top_k": 0}, {"hidden": 7}, {"fusion": "mean"}, {"recipe": "x"}],
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=next(iter(wrong))):
        AgentGraphRouter(**wrong)


def test_a_plain_question_without_context_routes(router: AgentGraphRouter, data: Outcomes) -> None:
    decision = router.route(Task("hello"), data.pool)
    assert decision.agents and decision.evidence.lines()
