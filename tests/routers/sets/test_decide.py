"""From probabilities to sets: thresholds, prices, joined queries, and most agents."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentnet.routers.sets.choice import expected_reward
from agentnet.routers.sets.decide import Bounds, Verdict, decide_all
from agentnet.routers.sets.parts import Splitter, learn_splitter

from .test_parts import seen
from .words import NAMES, Words, query


@cache
def learned() -> Splitter:
    return learn_splitter(seen("joined"), seen("single"))


@pytest.fixture
def splitter() -> Splitter:
    return learned()


def decide(texts: list[str], splitter: Splitter, *, costs: Any = None, **rules: Any) -> list[Verdict]:
    score = Words()
    how = Bounds(**({"most": 3, "agent_cost": 0.15} | rules))
    return decide_all(texts, NAMES, score(texts), splitter, how, score=score, costs=costs)


def decide_on(chances: list[float], **rules: Any) -> Verdict:
    """Decides on a single request with these probabilities."""
    how = Bounds(**({"most": 3, "agent_cost": 0.15} | rules))
    row = np.array([chances], np.float32)
    return decide_all(["x"], NAMES, row, Splitter(), how, score=Words())[0]


def test_single_requests_get_one_agent_and_joined_ones_both(splitter: Splitter) -> None:
    rng = np.random.default_rng(5)
    singles = [(query(rng, name), {name}) for name in NAMES for _ in range(8)]
    joined = []
    for _ in range(32):
        a, b = rng.choice(NAMES, 2, replace=False)
        joined.append((f"{query(rng, a)} xalso {query(rng, b)}", {a, b}))
    for kind, least in ((singles, 0.95), (joined, 0.85)):
        found = decide([text for text, _ in kind], splitter)
        assert np.mean([set(v.chosen) == gold for v, (_, gold) in zip(found, kind, strict=True)]) >= least


def test_three_requests_are_taken_apart_and_two_where_that_is_the_most(splitter: Splitter) -> None:
    text = "a1 a2 a3 a4 xand b1 b2 b3 b4 xand d1 d2 d3 d4"
    # A third agent earns a sixth more: by default that hardly pays for it.
    (three,) = decide([text], splitter, most=3, agent_cost=0.05)
    assert set(three.chosen) == {"a", "b", "d"}
    assert [part.agent for part in three.parts] == ["a", "b", "d"]
    assert " ".join(part.text for part in three.parts) == text
    (two,) = decide([text], splitter, most=2)
    assert len(two.chosen) == 2 and set(two.chosen) < {"a", "b", "d"}
    (one,) = decide([text], splitter, most=1)
    assert len(one.chosen) == 1 and one.parts == () and one.joined is None


def test_a_joined_query_tells_its_parts(splitter: Splitter) -> None:
    (verdict,) = decide(["a1 a2 a3 a4 c1 c2 c3 c4"], splitter)
    assert [(part.text, part.agent) for part in verdict.parts] == [("a1 a2 a3 a4", "a"), ("c1 c2 c3 c4", "c")]
    assert verdict.joined is not None and verdict.joined > 0.5
    assert verdict.chances[0] > 0.5 and verdict.chances[2] > 0.5  # both are needed: they need not add up to 1


def test_a_price_of_further_agents_keeps_to_one(splitter: Splitter) -> None:
    text = "a1 a2 a3 a4 c1 c2 c3 c4"
    assert len(decide([text], splitter, agent_cost=0.0)[0].chosen) == 2
    assert len(decide([text], splitter, agent_cost=2.0)[0].chosen) == 1


CHANCES = st.lists(st.integers(1, 50), min_size=4, max_size=4)


@given(CHANCES, st.dictionaries(st.sampled_from(NAMES), st.sampled_from([0.1, 0.3, 0.6, 1.0])))
def test_an_agent_below_its_own_threshold_is_never_chosen(parts: list[int], least: dict[str, float]) -> None:
    chances = (np.array(parts) / sum(parts)).tolist()
    verdict = decide_on(chances, least=least)
    for name in verdict.chosen:
        assert verdict.chances[NAMES.index(name)] >= least.get(name, 0) - 1e-6
    free = [name for name, p in zip(NAMES, chances, strict=True) if p >= least.get(name, 0) + 1e-6]
    if free:
        assert verdict.chosen


@given(st.lists(st.sampled_from(["a1", "b2", "c3", "d4", "x5"]), min_size=1, max_size=16),
       st.dictionaries(st.sampled_from(NAMES), st.sampled_from([0.3, 0.6, 0.9])))  # fmt: skip
def test_thresholds_hold_for_joined_queries_too(words: list[str], least: dict[str, float]) -> None:
    (verdict,) = decide([" ".join(words)], learned(), least=least)
    assert len(verdict.chosen) <= 3
    for name in verdict.chosen:
        assert verdict.chances[NAMES.index(name)] >= least.get(name, 0) - 1e-6
    assert ((verdict.chances >= 0) & (verdict.chances <= 1 + 1e-6)).all()
    assert 0 <= verdict.unsure <= 1 + 1e-9


def test_a_threshold_gives_way_to_the_next_best() -> None:
    assert decide_on([0.5, 0.3, 0.1, 0.1]).chosen == ("a",)
    assert decide_on([0.5, 0.3, 0.1, 0.1], least={"a": 0.6}).chosen == ("b",)
    assert decide_on([0.5, 0.3, 0.1, 0.1], least={"a": 0.5}).chosen == ("a",)
    assert decide_on([0.4, 0.3, 0.2, 0.1], least=dict.fromkeys(NAMES, 0.9)).chosen == ()
    # Thresholds of others do not change a choice.
    assert decide_on([0.9, 0.05, 0.03, 0.02], least={"b": 0.5}).chosen == ("a",)


@given(CHANCES)
def test_the_short_cut_for_sure_agents_changes_nothing(parts: list[int]) -> None:
    """A threshold that binds nobody takes the long way."""
    chances = (np.array(parts) / sum(parts)).tolist()
    short, long = decide_on(chances), decide_on(chances, least={"nobody": 1.0})
    assert short.chosen == long.chosen
    assert short.unsure == pytest.approx(long.unsure, abs=1e-6)
    if len(short.chosen) == 1:
        assert short.expected <= long.expected + 1e-6


def test_unsure_is_what_the_set_lacks_and_expected_its_reward() -> None:
    verdict = decide_on([0.5, 0.3, 0.1, 0.1])
    assert verdict.unsure == pytest.approx(0.5)
    assert verdict.expected == pytest.approx(expected_reward(frozenset("a"), verdict.belief))


def test_the_cheap_agent_is_taken_when_only_cost_counts() -> None:
    row = np.array([[0.6, 0.3, 0.08, 0.02]], np.float32)
    rules = Bounds(most=3, agent_cost=0.15)

    def chosen(scale: float) -> tuple[str, ...]:
        costs = scale * np.array([[0.5, 0.3, 0.2, 0.0]])
        return decide_all(["x"], NAMES, row, Splitter(), rules, score=Words(), costs=costs)[0].chosen

    assert chosen(0.0) == ("a",)
    assert chosen(1000.0) == ("d",)


def test_the_order_of_the_agents_does_not_matter(splitter: Splitter) -> None:
    texts = ["a1 a2 a3 a4 c1 c2 c3 c4", "b1 b2 b3", "x1 x2", "a1 b1 c1 d1", "d1 d2 d3 xand a1 a2 a3"]
    plain = decide(texts, splitter)
    order = [2, 0, 3, 1]
    score = Words()
    turned = decide_all(
        texts,
        [NAMES[i] for i in order],
        score(texts)[:, order],
        splitter,
        Bounds(most=3, agent_cost=0.15),
        score=lambda parts: score(parts)[:, order],
    )
    assert [v.chosen for v in turned] == [v.chosen for v in plain]


def test_nothing_to_decide(splitter: Splitter) -> None:
    assert decide([], splitter) == []
