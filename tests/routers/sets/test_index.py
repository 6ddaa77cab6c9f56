"""The index of large pools: what it finds, what it leaves out, and that nothing depends on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.routers.sets import views as views_module
from agentnet.routers.sets.index import CANDIDATES, Shortlist, index_available
from agentnet.routers.sets.linear import Columns
from agentnet.routers.sets.model import SetModel
from agentnet.routers.sets.strangers import Rule, Rules
from agentnet.routers.sets.views import PoolView, Views
from agentnet.routers.tcar import TcarRouter

DIM, LARGE, NEVER = 48, 300, 10**9

needs_usearch = pytest.mark.skipif(not index_available(), reason="usearch is not installed")


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


class Topics:
    """Encodes ``topic:number`` as a unit vector near its topic's centre, as texts of one matter lie."""

    name, dim = "topics", DIM

    def __init__(self, count: int = 30) -> None:
        self.centres = np.random.default_rng(3).standard_normal((count, DIM))
        self.encoded: list[str] = []

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        self.encoded += texts
        rows = []
        for text in texts:
            topic, number = (int(part) for part in text.split(":"))
            rng = np.random.default_rng([topic, number])
            rows.append(self.centres[topic] + 0.9 * rng.standard_normal(DIM))
        return unit(np.array(rows))

    def queries(self, count: int) -> np.ndarray:
        rng = np.random.default_rng(9)
        return self.encode([f"{rng.integers(len(self.centres))}:{50_000 + i}" for i in range(count)])


@pytest.fixture
def topics() -> Topics:
    return Topics()


def agents(count: int, start: int = 0, *, examples: int = 0) -> list[Agent]:
    return [
        Agent(
            name=f"a{start + i}",
            description=f"{i % 30}:{start + i}",
            examples=tuple(f"{i % 30}:{1_000 * k + i}" for k in range(100, 100 + examples)),
        )
        for i in range(count)
    ]


def model(known: Sequence[Agent] = ()) -> SetModel:
    rng = np.random.default_rng(1)
    weight = unit(rng.standard_normal((len(known), DIM))).T * 9
    columns = Columns(
        tuple(a.name for a in known), weight.astype(np.float32), np.zeros(len(known), np.float32)
    )
    return SetModel(columns=columns, rules=Rules((Rule(0, 12.0, -3.0), Rule(3, 15.0, -5.0))))


def both(topics: Topics, pool: Pool, learned: SetModel) -> tuple[PoolView, PoolView]:
    """The pool's view with an index and without."""
    return Views(learned, topics.encode, large=LARGE).of(pool), Views(learned, topics.encode, large=NEVER).of(
        pool
    )


def recall(near: np.ndarray, exact: np.ndarray, k: int = 10) -> float:
    def best(rows: np.ndarray) -> np.ndarray:
        return np.argsort(-rows, axis=1, kind="stable")[:, :k]

    pairs = zip(best(near), best(exact), strict=True)
    return float(np.mean([len(set(a) & set(b)) / k for a, b in pairs]))


@needs_usearch
def test_the_likeliest_are_found_among_agents_of_several_rules(topics: Topics) -> None:
    known = agents(20, 90_000)
    pool = Pool([*agents(600), *known, *agents(500, 5_000, examples=3), *agents(40, 9_000, examples=1)])
    near, exact = both(topics, pool, model(known))
    queries = topics.queries(300)
    found, truth = near.predict(queries), exact.predict(queries)
    assert isinstance(near.columns, Shortlist) and len(near.columns.groups) == 2
    assert exact.whole and not near.whole
    assert recall(found.chances, truth.chances) >= 0.95
    assert (near.known == exact.known).all() and near.known.sum() == 20


@needs_usearch
def test_what_was_looked_at_has_its_exact_logit_and_nearly_its_probability(topics: Topics) -> None:
    pool = Pool(agents(900))
    near, exact = both(topics, pool, model())
    queries = topics.queries(100)
    found, truth = near.predict(queries), exact.predict(queries)
    listed = found.chances > 0
    assert listed.sum(1).min() >= CANDIDATES // 2 and listed.sum(1).max() <= CANDIDATES
    np.testing.assert_allclose(found.logits[listed], truth.logits[listed], atol=1e-4)
    assert np.abs(found.familiarity - truth.familiarity).mean() < 0.05
    assert np.abs(found.chances - truth.chances)[listed].max() < 0.05
    assert (found.chances.sum(1) < 1).all(), "agents that were not looked at keep their part"
    least = np.where(listed, found.logits, np.inf).min(1)
    assert (found.logits >= least[:, None]).all() and np.isfinite(found.logits).all()


@needs_usearch
def test_a_query_alone_is_scored_as_among_others(topics: Topics) -> None:
    near, _ = both(topics, Pool(agents(600)), model())
    queries = topics.queries(20)
    together = near.predict(queries)
    for i in range(len(queries)):
        alone = near.predict(queries[i : i + 1])
        np.testing.assert_allclose(alone.chances[0], together.chances[i], atol=1e-5)


@needs_usearch
def test_an_added_agent_is_found_at_once_and_costs_one_encoding(topics: Topics) -> None:
    views = Views(model(), topics.encode, large=LARGE)
    pool = Pool(agents(700))
    before = views.of(pool)
    topics.encoded.clear()
    larger = views.of(pool.add(Agent(name="new", description="4:77777")))
    assert topics.encoded == ["4:77777"]
    its_own = topics.encode(["4:77777"])
    assert larger.predict(its_own).chances[0].argmax() == 700
    assert before.predict(its_own).chances.shape == (1, 700), "the old snapshot knows nothing of it"


@needs_usearch
def test_a_removed_agent_is_never_found_again(topics: Topics) -> None:
    views = Views(model(), topics.encode, large=LARGE)
    pool = Pool(agents(700))
    views.of(pool)
    gone = pool.agents[33]
    smaller = pool.remove(gone.name)
    view = views.of(smaller)
    query = topics.encode([gone.description])
    found = view.predict(query)
    exact = Views(model(), topics.encode, large=NEVER).of(smaller).predict(query)
    assert found.chances.shape == (1, 699)
    assert found.chances[0].argmax() == exact.chances[0].argmax()


@needs_usearch
def test_agents_that_left_do_not_hide_those_that_stay(topics: Topics) -> None:
    """Hundreds of removed agents stand nearer to the query than any that is left."""
    crowd = [Agent(name=f"c{i}", description=f"7:{i}") for i in range(400)]
    stay = [agent for agent in agents(600) if not agent.description.startswith("7:")]
    views = Views(model(), topics.encode, large=LARGE)
    views.of(Pool([*stay, *crowd]))
    pool = Pool(stay)
    query = topics.encode(["7:60000"])
    exact = Views(model(), topics.encode, large=NEVER).of(pool).predict(query)
    assert recall(views.of(pool).predict(query).chances, exact.chances) == 1.0


@needs_usearch
def test_two_agents_with_the_same_words_are_both_found(topics: Topics) -> None:
    pool = Pool([*agents(500), Agent(name="twin", description=agents(500)[3].description)])
    near, exact = both(topics, pool, model())
    query = topics.encode([pool.agents[3].description])
    assert sorted(np.argsort(-near.predict(query).chances[0])[:2].tolist()) == [3, 500]
    assert exact.predict(query).chances[0, 3] == pytest.approx(exact.predict(query).chances[0, 500], 1e-4)


@needs_usearch
def test_a_long_life_of_changes_does_not_grow_without_end(
    topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views_module, "_COLUMNS", 500)
    views = Views(model(), topics.encode, large=LARGE)
    pool = Pool(agents(400))
    for turn in range(8):
        kept = pool.names[150:]
        pool = Pool([*pool.subset(kept), *agents(150, 1_000 * (turn + 1))])
        view = views.of(pool)
        assert view.columns.weight.shape[0] <= 2_000  # type: ignore[union-attr]
    exact = Views(model(), topics.encode, large=NEVER).of(pool)
    queries = topics.queries(50)
    assert recall(view.predict(queries).chances, exact.predict(queries).chances) >= 0.95


@needs_usearch
def test_a_decision_names_the_agents_that_were_looked_at(topics: Topics) -> None:
    router = TcarRouter(encoder="hash:64")
    router.use_encoder(topics)
    router._take(model())
    router._maker = Views(model(), topics.encode, large=LARGE)
    pool = Pool(agents(700))
    decision = router.route(pool.agents[5].description, pool)
    assert decision.agents == ("a5",)
    assert len(decision.candidates) == CANDIDATES == len(decision.raw) == len(decision.calibrated)
    assert "a5" in decision.candidates and set(decision.candidates) <= set(pool.names)
    assert set(decision.scores) == set(decision.candidates)
    assert decision.expected_score == pytest.approx(decision.scores["a5"].calibrated)
    assert decision.evidence.chosen[0].agent == "a5"  # type: ignore[attr-defined]
    dial = router.route_batch(
        router_tasks(pool.agents[5].description), pool, options=replace(router.options, cost_weight=1.0)
    )[0]
    assert set(dial.agents) <= set(dial.candidates)


def router_tasks(text: str) -> list:  # type: ignore[type-arg]
    from agentnet.graphs.task import Task

    return [Task(text)]


def test_without_the_library_ten_thousand_agents_are_scored_exactly(
    topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views_module, "index_available", lambda: False)
    router = TcarRouter(encoder="hash:64")
    router.use_encoder(topics)
    pool = Pool(agents(10_000))
    decision = router.route(pool.agents[4321].description, pool)
    assert decision.agents == ("a4321",)
    assert decision.candidates == pool.names
    assert float(np.sum(decision.calibrated)) == pytest.approx(1, abs=1e-4)


def test_a_small_pool_is_scored_exactly(topics: Topics) -> None:
    view = Views(model(), topics.encode).of(Pool(agents(700)))
    assert view.whole
