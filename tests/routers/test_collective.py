"""`collective`: on data with a known answer it finds it; without a signal there is nothing to find."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from numpy.typing import NDArray

from agentnet.errors import InvalidInput
from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.graphs.replay import replay
from agentnet.outcomes.table import Outcomes, Queries
from agentnet.routers.base import RouteOptions, Router
from agentnet.routers.collective import CollectiveRouter
from agentnet.routers.gnn.plan import TrainingOptions
from agentnet.routers.persist import load

WORDS = [
    "red",
    "green",
    "blue",
    "river",
    "stone",
    "paper",
    "window",
    "garden",
    "silver",
    "planet",
    "basket",
    "mirror",
    "rocket",
    "candle",
    "bread",
]


def pack(
    texts: list[str], score: NDArray[Any], *, cost: list[float], contexts: list[str] | None = None
) -> Outcomes:
    """Queries without task labels; the second half is the test split."""
    n = len(texts)
    split = np.where(np.arange(n) < n // 2, "train", "test")
    queries = Queries(
        query_id=np.array([f"q{i}" for i in range(n)]), text=tuple(texts), split=split,
        context=tuple(contexts) if contexts else (),
    )  # fmt: skip
    pool = Pool(Agent(name=f"agent_{j}") for j in range(score.shape[1]))
    return Outcomes(
        queries=queries, pool=pool, score=score.astype(np.float32), cost=np.tile(np.array(cost), (n, 1))
    )


def layouts(n: int = 320, seed: int = 0) -> Outcomes:
    """The same words, one below the other or side by side: that alone decides who is right."""
    rng = np.random.default_rng(seed)
    below = rng.permutation(n) % 2
    texts = [("\n" if lines else " ").join(rng.choice(WORDS, 8)) for lines in below]
    chance = np.where(below[:, None] == np.arange(2), 0.95, 0.3)
    return pack(texts, rng.random((n, 2)) < chance, cost=[1e-3, 1e-3])


def names(n: int = 440, seed: int = 0) -> Outcomes:
    """Shared templates and much talk; a name in the context decides who is right."""
    rng = np.random.default_rng(seed)
    people = [a + b for a in ("Bel", "Tor", "Mav", "Zun") for b in ("dane", "rick")]
    who = rng.integers(0, len(people), n)
    talk = [" ".join(rng.choice(WORDS, 60)) for _ in range(n)]
    contexts = [
        f"{t[:150]} and then {people[w]} went there {t[150:]}" for t, w in zip(talk, who, strict=True)
    ]
    texts = [("who is it about", "what is told here", "where was this")[i] for i in rng.integers(0, 3, n)]
    own = rng.permutation(len(people)) % 2  # by name, not by spelling
    chance = np.where(own[who][:, None] == np.arange(2), 0.95, 0.3)
    return pack(texts, rng.random((n, 2)) < chance, cost=[1e-3, 1e-3], contexts=contexts)


def voters(n: int = 320, agents: int = 5, seed: int = 0) -> Outcomes:
    """All right 70% of the time, each by itself; wrong answers are never the same."""
    rng = np.random.default_rng(seed)
    right = rng.random((n, agents)) < 0.7
    texts = [" ".join(rng.choice(WORDS, 8)) for _ in range(n)]
    data = pack(texts, right, cost=(1e-3 * 2.0 ** np.arange(agents)).tolist())
    wrong = np.array([f"wrong {i}" for i in range(agents)], object)
    return replace(data, response=np.where(right, "right", wrong[None, :]).astype(object))


def served(router: Router, data: Outcomes, dial: float = 0.0) -> tuple[float, float, list[int]]:
    """Mean score and cost of replayed decisions, and the most agents each may ask."""
    score, cost, sizes = [], [], []
    decisions = router.route_batch(data.tasks(), data.pool, options=RouteOptions(cost_weight=dial))
    assert data.response is not None
    for i, decision in enumerate(decisions):
        assert decision.graph is not None
        done = replay(decision.graph, dict(zip(data.agents, data.response[i], strict=True)))
        ran = [data.pool.index(decision.graph.node(node).agent) for node in done.ran]
        standing = decision.graph.node(done.winner or done.ran[0]).agent
        score.append(float(data.score[i, data.pool.index(standing)]))
        cost.append(float(data.cost[i, ran].sum()))
        sizes.append(len(decision.agents))
    return float(np.mean(score)), float(np.mean(cost)), sizes


@pytest.fixture(scope="module")
def voting(kit: Any) -> tuple[Router, Outcomes]:
    data = voters()
    router = kit.make("collective")
    router.fit(data, data.pool)
    return router, data.split("test")


# -- what it learns --------------------------------------------------------------------------------
def test_it_finds_who_is_best_at_what(kit: Any, fitted: Callable[..., Router]) -> None:
    test = kit.planted().split("test")
    assert kit.score(fitted("collective"), test) > kit.score(fitted("best_single"), test) + 0.3


def test_shuffled_outcomes_destroy_the_gain(kit: Any) -> None:
    gains = []
    for seed in range(3):
        data = kit.planted(seed=seed, shuffle=True)
        pair = [kit.make("collective"), kit.make("best_single")]
        for router in pair:
            router.fit(data, data.pool)
        gains.append(kit.score(pair[0], data.split("test")) - kit.score(pair[1], data.split("test")))
    assert np.mean(gains) < 0.05


def test_outcomes_of_the_test_split_are_not_looked_at(kit: Any) -> None:
    data = kit.planted(160)
    test = data.queries.split == "test"
    other = replace(
        data,
        score=np.where(test[:, None], 1 - data.score, data.score),
        cost=np.where(test[:, None], 7.0, data.cost),
        response=np.where(test[:, None], "nothing", data.response),
        queries=replace(
            data.queries, task=tuple("?" if t else k for t, k in zip(test, data.queries.task, strict=True))
        ),
    )
    pair = [kit.make("collective"), kit.make("collective")]
    for router, rows in zip(pair, (data, other), strict=True):
        router.fit(rows, data.pool)
    assert pair[0].version == pair[1].version
    tasks = data.take(test).tasks()
    graphs = [[d.graph for d in router.route_batch(tasks, data.pool)] for router in pair]
    assert graphs[0] == graphs[1]


def test_the_layout_decides_where_text_says_nothing(kit: Any) -> None:
    data = layouts()
    router, knn, single = kit.make("collective"), kit.make("knn"), kit.make("best_single")
    for each in (router, knn, single):
        each.fit(data, data.pool)
    test = data.split("test")
    assert kit.score(knn, test) < kit.score(single, test) + 0.1
    assert kit.score(router, test) > 0.85
    blind = kit.make("collective", form=False)
    blind.fit(data, data.pool)
    assert kit.score(blind, test) < kit.score(single, test) + 0.1


def test_without_form_it_is_saved_and_loaded_too(kit: Any, tmp_path: Path) -> None:
    data = kit.planted(120)
    router = kit.make("collective", form=False)
    router.fit(data, data.pool)
    router.save(tmp_path / "r")
    tasks = data.split("test").tasks()
    expected = router.score_batch(tasks, data.pool).raw
    np.testing.assert_array_equal(load(tmp_path / "r").score_batch(tasks, data.pool).raw, expected)


def test_the_entity_decides_where_text_says_nothing(kit: Any) -> None:
    data = names()
    gained = {}
    for entities in (True, False):
        router = kit.make("collective", entities=entities)
        router.fit(data, data.pool)
        gained[entities] = kit.score(router, data.split("test"))
    assert gained[True] > 0.8
    assert gained[True] - gained[False] >= 0.2


def test_entities_are_looked_for_where_tasks_have_a_context(kit: Any) -> None:
    data = names(120)
    for told, wanted in ((data, True), (replace(data, queries=replace(data.queries, context=())), False)):
        router = kit.make("collective")
        router.fit(told, data.pool)
        assert (router.encode(told.tasks()[:1]).shape[1] > 256 + 600) is wanted


def test_a_log_with_one_agent_a_query_teaches_too(kit: Any) -> None:
    data = kit.planted(640)
    asked = np.random.default_rng(1).integers(0, 4, len(data))
    hidden = np.arange(4) != asked[:, None]
    log = replace(data, score=np.where(hidden, np.nan, data.score).astype(np.float32),
                  cost=np.where(hidden, np.nan, data.cost))  # fmt: skip
    router = kit.make("collective", reach="types")
    router.fit(log, data.pool)
    assert kit.score(router, data.split("test")) > 0.8


def test_a_log_with_one_agent_a_query_teaches_by_itself(kit: Any) -> None:
    data = kit.planted(640)
    hidden = np.arange(4) != np.random.default_rng(1).integers(0, 4, len(data))[:, None]
    log = replace(data, score=np.where(hidden, np.nan, data.score).astype(np.float32))
    router = kit.make("collective")
    router.fit(log, data.pool)
    assert kit.score(router, data.split("test")) > 0.8


# -- sets ------------------------------------------------------------------------------------------
def test_where_mistakes_are_independent_sets_are_chosen(voting: tuple[Router, Outcomes]) -> None:
    router, test = voting
    score, _, sizes = served(router, test)
    assert np.mean([size > 1 for size in sizes]) > 0.9
    assert score > test.score.mean(0).max() + 0.05


def test_where_only_cost_counts_the_cheapest_agent_answers(voting: tuple[Router, Outcomes]) -> None:
    router, test = voting
    for dial in (0.97, 1.0):
        decisions = router.route_batch(test.tasks(), test.pool, options=RouteOptions(cost_weight=dial))
        assert {d.agents for d in decisions} == {("agent_0",)}


def test_a_higher_dial_is_never_dearer_on_average(voting: tuple[Router, Outcomes]) -> None:
    router, test = voting
    dials = (0.0, 0.01, 0.05, 0.1, 0.2, 0.4, 0.7, 0.9, 1.0)
    paid = [served(router, test, dial)[1] for dial in dials]
    assert all(later <= sooner * 1.03 for sooner, later in pairwise(paid)), paid
    assert paid[-1] < paid[0] / 3


def test_the_expected_score_is_what_comes_out(voting: tuple[Router, Outcomes]) -> None:
    router, test = voting
    expected = [d.expected_score for d in router.route_batch(test.tasks(), test.pool)]
    assert np.mean(expected) == pytest.approx(served(router, test)[0], abs=0.06)


def test_a_pool_without_a_member_has_no_set_with_it(voting: tuple[Router, Outcomes]) -> None:
    router, test = voting
    chosen = router.route_batch(test.tasks(), test.pool)
    gone = max(test.pool.names, key=lambda name: sum(name in d.agents for d in chosen))
    pool = test.pool.remove(gone)
    left = router.route_batch(test.tasks(), pool)
    assert all(gone not in d.agents and set(d.agents) <= set(pool.names) for d in left)
    assert np.mean([len(d.agents) > 1 for d in left]) > 0.5
    alone = router.route_batch(test.tasks(), pool.subset(pool.names[:1]))
    assert {d.agents for d in alone} == {pool.names[:1]}


def test_without_sets_or_texts_single_agents_are_chosen(kit: Any) -> None:
    data = voters(120)
    for told, settings in ((data, {"sets": False}), (replace(data, response=None), {})):
        router = kit.make("collective", **settings)
        router.fit(told, data.pool)
        assert all(len(d.agents) == 1 for d in router.route_batch(data.tasks(), data.pool))


def test_sets_survive_the_disk(voting: tuple[Router, Outcomes], tmp_path: Path) -> None:
    router, test = voting
    router.save(tmp_path / "r")
    loaded = load(tmp_path / "r")
    for dial in (0.0, 0.1):
        options = RouteOptions(cost_weight=dial)
        pairs = [r.route_batch(test.tasks(), test.pool, options=options) for r in (router, loaded)]
        for saved, again in zip(*pairs, strict=True):
            assert again.graph == saved.graph and again.expected_score == saved.expected_score


# -- onboarding ------------------------------------------------------------------------------------
def newcomer(data: Outcomes, topic: str, rows: int) -> Outcomes:
    """Probes on logged queries of an agent that is always right on one topic and dear."""
    train = data.without_split("test")
    some = train.take(np.arange(rows))
    right = np.array([[float(task == topic)] for task in some.queries.task], np.float32)
    pool = Pool([Agent(name="newcomer", description="a new agent")])
    return Outcomes(queries=some.queries, pool=pool, score=right, cost=np.full((rows, 1), 5e-4))


def test_a_better_agent_is_chosen_more_with_more_probes(kit: Any) -> None:
    """Its topic's own agent is gone; without probes it is not chosen, and nothing is lost."""
    data = kit.planted(480)
    pool = data.pool.remove("law_agent")
    router = kit.make("collective", sets=False)
    router.fit(data.for_pool(pool), pool)
    test = data.split("test")
    law = np.array([task == "law" for task in test.queries.task])
    wider = pool.add(Agent(name="newcomer"))
    shares = []
    for rows in (0, 12, 48, 144):
        probed = router.with_probes(newcomer(data, "law", rows)) if rows else router
        chosen = np.array([d.agents == ("newcomer",) for d in probed.route_batch(test.tasks(), wider)])
        shares.append(float(chosen[law].mean()))
        assert chosen[~law].mean() < 0.1
    before = [d.agents for d in router.route_batch(test.tasks(), pool)]
    assert before == [d.agents for d in router.route_batch(test.tasks(), wider)], "no probe, no change"
    assert shares == sorted(shares) and shares[0] == 0 and shares[-1] > 0.9, shares


def test_probes_leave_the_router_as_it_was(kit: Any, fitted: Callable[..., Router]) -> None:
    data = kit.planted()
    router = fitted("collective")
    tasks, version = data.split("test").tasks(), router.version
    before = router.score_batch(tasks, data.pool).raw
    probed = router.with_probes(newcomer(data, "law", 40))
    assert probed.version != router.version == version
    np.testing.assert_array_equal(router.score_batch(tasks, data.pool).raw, before)


def test_who_else_is_in_the_pool_changes_no_prediction(kit: Any) -> None:
    data = kit.planted(240)
    router = kit.make("collective", reach="neighbours")
    router.fit(data, data.pool)
    probed = router.with_probes(newcomer(data, "law", 30))
    pool = data.pool.add(Agent(name="newcomer", description="a new agent"))
    tasks = data.split("test").tasks()
    whole = probed.score_batch(tasks, pool).raw
    np.testing.assert_allclose(
        probed.score_batch(tasks, pool.subset(["newcomer"])).raw[:, 0], whole[:, -1], atol=1e-6
    )


# -- the contract ----------------------------------------------------------------------------------
def test_training_is_told_and_logged(kit: Any, tmp_path: Path) -> None:
    data, told = kit.planted(160), []
    router = kit.make("collective", reach="neighbours")
    router.use_training(TrainingOptions(lambda *seen: told.append(seen), tmp_path))
    router.fit(data, data.pool)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines and {line["label"] for line in lines} == {"collective edges"} == {
        label for label, _, _ in told
    }
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)
    silent = kit.make("collective", reach="neighbours")
    silent.fit(data, data.pool)
    assert silent.version == router.version, "being watched changes nothing"


def test_vectors_of_another_width_are_one_clear_error(kit: Any, fitted: Callable[..., Router]) -> None:
    data = kit.planted().split("test")
    router = fitted("collective")
    vectors = router.encode(data.tasks())
    assert vectors is not None
    for wrong in (vectors[:, :-1], vectors[:5], vectors[:, :256]):
        with pytest.raises(InvalidInput, match=r"vectors must be \[160, \d+\], as `encode` gives them"):
            router.score_batch(data.tasks(), data.pool, vectors=wrong)


def test_scores_and_routes_are_of_one_piece(voting: tuple[Router, Outcomes]) -> None:
    router, test = voting
    tasks, options = test.tasks()[:20], RouteOptions(cost_weight=0.1)
    scores, vectors = router.score_batch(tasks, test.pool), router.encode(tasks)
    batch = router.route_batch(tasks, test.pool, options=options)
    given = router.route_batch(tasks, test.pool, options=options, vectors=vectors, scores=scores)
    for i, task in enumerate(tasks):
        one = router.route(task, test.pool, options=options)
        assert one.graph == batch[i].graph == given[i].graph
        np.testing.assert_allclose(one.raw, scores.raw[i], atol=1e-6)
        np.testing.assert_array_equal(batch[i].raw, scores.raw[i])


def test_evidence_is_json_and_speaks_of_the_choice(voting: tuple[Router, Outcomes]) -> None:
    router, test = voting
    for dial in (0.0, 1.0):
        decision = router.route(test.tasks()[0], test.pool, options=RouteOptions(cost_weight=dial))
        told = json.loads(json.dumps(decision.evidence.to_dict(), allow_nan=False))
        assert tuple(told["chosen"]["agents"]) == decision.agents
        assert told["chosen"]["low"] <= told["chosen"]["score"] <= told["chosen"]["high"]
        assert told["others"] and all(tuple(o["agents"]) != decision.agents for o in told["others"])
        assert sum(told["types"].values()) <= 1.001
        shares = [row["attention"] for row in told["neighbours"]]
        assert shares == sorted(shares, reverse=True) and len(shares) == 5
        lines = decision.evidence.lines()
        assert any(line.startswith("asked: ") for line in lines) is (len(decision.agents) > 1)
        assert all("nan" not in line for line in lines)


def test_the_evidence_is_drawn_and_foreign_text_stays_text(voting: tuple[Router, Outcomes]) -> None:
    router, test = voting
    drawing = router.route("<script>alert(1)</script>", test.pool).evidence.to_svg()
    assert drawing is not None and "script" not in {
        node.tag for node in ElementTree.fromstring(drawing).iter()
    }
    chosen = router.route(test.tasks()[0], test.pool)
    drawn = ElementTree.fromstring(chosen.evidence.to_svg() or "")
    words = " ".join(drawn.itertext())
    assert chosen.agents[0] in words and "type:" in words and "score 0." in words


def test_an_abstention_is_explained_too(voting: tuple[Router, Outcomes]) -> None:
    router, test = voting
    decision = router.route(test.tasks()[0], test.pool, options=RouteOptions(abstain_below=1.0))
    assert decision.abstained
    told = json.loads(json.dumps(decision.evidence.to_dict(), allow_nan=False))
    assert told["chosen"] is None and told["others"]


def test_texts_are_kept_only_if_wanted(kit: Any, tmp_path: Path) -> None:
    data = kit.planted(80)
    for keep in (True, False):
        router = kit.make("collective", keep_texts=keep)
        router.fit(data, data.pool)
        router.save(tmp_path / "r")
        assert ("quadratic" in (tmp_path / "r" / "config.json").read_text()) is keep


@pytest.mark.parametrize(
    "wrong", [{"types": 0}, {"types": 101}, {"reach": "far"}, {"normalise": "none such"}]
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        CollectiveRouter(**wrong)


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_a_handful_of_rows_is_enough(rows: int, kit: Any) -> None:
    data = kit.planted(40)
    few = data.take(np.flatnonzero(data.queries.split == "train")[:rows])
    for settings in ({}, {"reach": "neighbours"}):
        router = kit.make("collective", **settings)
        router.fit(few, data.pool)
        assert router.route("recipe oven", data.pool).agents


def test_a_set_is_not_taken_where_an_agent_is_better_and_cheaper(kit: Any) -> None:
    """As good on average a cascade may be: on sums the specialist is right, for less."""
    rng = np.random.default_rng(0)
    texts = [f"add {i} and {3 * i}" if i % 2 else f"how many minutes to boil {i} eggs" for i in range(400)]
    chance = [[0.7, 0.7, 0.7, 0.99] if i % 2 else [0.7, 0.7, 0.7, 0.1] for i in range(400)]
    right = rng.random((400, 4)) < chance
    data = pack(texts, right, cost=[1e-4, 1e-4, 1e-4, 2e-4])
    wrong = np.array([f"wrong {i}" for i in range(4)], object)[None, :]
    data = replace(
        data,
        queries=replace(data.queries, task=("food", "sums") * 200),
        response=np.where(right, "right", wrong).astype(object),
    )
    router = kit.make("collective")
    router.fit(data, data.pool)
    decisions = router.route_batch(
        data.split("test").tasks(), data.pool, options=RouteOptions(cost_weight=0.02)
    )
    assert np.mean([d.agents == ("agent_3",) for d in decisions[1::2]]) > 0.5
