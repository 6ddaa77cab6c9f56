"""Races: the search finds the chain that is best at a price."""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agentnet.routers.council.races import TIE, race_plans, tie_breakers
from agentnet.routers.plans import AnswerTable, Plan


def relabelled(key: NDArray[np.int32], seed: int) -> NDArray[np.int32]:
    rng = np.random.default_rng(seed)
    names = np.array([np.append(rng.permutation(8), -1) for _ in key])
    return np.take_along_axis(names, key.astype(np.intp), 1).astype(np.int32)


def drawn(seed: int, right: list[float], *, n: int = 60, wrong: int = 3) -> AnswerTable:
    """Agents that are right by chance, with one of a few wrong answers else; dearer from left to right."""
    rng = np.random.default_rng(seed)
    shape = (n, len(right))
    good = rng.random(shape) < right
    text = np.where(good, 0, rng.integers(1, wrong + 1, shape))
    text[rng.random(shape) < 0.05] = -1  # no answer
    cost = np.tile(0.001 * 2.0 ** np.arange(len(right)), (n, 1)) * rng.uniform(0.5, 1.5, (n, 1))
    names = tuple(f"a{i}" for i in range(len(right)))
    # Which number an answer has must tell nothing.
    return AnswerTable(names, relabelled(text.astype(np.int32), seed), (text == 0).astype(float), cost)


def all_chains(table: AnswerTable, k: int, depth: int) -> list[Plan]:
    """Every chain there is: any k agents at once, then any order of others."""
    weights, plans = tie_breakers(table), []
    columns = range(len(table.agents))
    for start in combinations(columns, k):
        # Answers that tie are told in the order of the better agent, as the search has them.
        first = sorted(start, key=lambda c: (-table.score[:, c].mean(), c))
        rest = [c for c in columns if c not in start]
        for more in range(depth - k + 1):
            for tail in permutations(rest, more):
                stages = (tuple(table.agents[c] for c in first), *((table.agents[c],) for c in tail))
                votes = (tuple(weights[c] for c in first), *((weights[c],) for c in tail))
                plans.append(table.measure(Plan(stages, votes, needed=k)))
    return plans


@given(st.integers(0, 200), st.sampled_from([0.0, 5.0, 40.0]))
@settings(max_examples=8)
def test_a_wide_search_finds_the_best_chain_of_all(seed: int, price: float) -> None:
    table = drawn(seed, [0.5, 0.55, 0.6, 0.65])
    found = [table.measure(plan) for plan in race_plans(table, np.array([price]), depth=4, beam=500)]
    every = all_chains(table, 2, 4) + all_chains(table, 3, 4)

    def value(plan: Plan) -> float:
        return plan.score - price * plan.cost

    assert max(map(value, found)) == pytest.approx(max(map(value, every)), abs=1e-9)


def shortfall(table: AnswerTable, price: float) -> float:
    """By how much a search of beam 1 misses the best of what it saw: all pairs, one of them prolonged."""
    every = all_chains(table, 2, 3)
    pairs = [plan for plan in every if len(plan.agents) == 2]

    def value(plan: Plan) -> float:
        return plan.score - price * plan.cost

    start = max(pairs, key=value)
    seen = pairs + [plan for plan in every if plan.stages[0] == start.stages[0]]
    (found,) = race_plans(table, np.array([price]), needed=(2,), depth=3, beam=1)
    return max(map(value, seen)) - value(table.measure(found))


@given(st.integers(0, 200), st.sampled_from([5.0, 20.0, 60.0, 150.0]))
@settings(max_examples=40)
def test_the_search_knows_what_a_chain_scores_and_costs(seed: int, price: float) -> None:
    table = drawn(seed, [0.5, 0.6, 0.7])
    assume(len(np.unique(table.score.mean(0))) == 3)
    assert shortfall(table, price) == pytest.approx(0, abs=1e-9)


def test_it_knows_that_of_agents_with_equal_scores_too() -> None:
    tables = [drawn(seed, [0.5, 0.6, 0.7]) for seed in range(150)]
    tied = [table for table in tables if len(np.unique(table.score.mean(0))) == 2]
    assert max(shortfall(table, 20.0) for table in tied) == pytest.approx(0, abs=1e-9)


def test_a_narrow_search_finds_planted_partners() -> None:
    """Three agents whose mistakes never agree, among four that are as wrong in the same way."""
    rng = np.random.default_rng(0)
    n = 200
    key = np.zeros((n, 7), np.int32)
    for column in range(3):
        key[:, column] = np.where(rng.random(n) < 0.7, 0, 10 + column)
    key[:, 3:] = np.where(rng.random((n, 1)) < 0.72, 0, 1)
    cost = np.full((n, 7), 0.001)
    table = AnswerTable(tuple("abcdefg"), key, (key == 0).astype(float), cost)
    best = max((table.measure(plan) for plan in race_plans(table, np.zeros(1))), key=lambda plan: plan.score)
    assert {"a", "b", "c"} <= set(best.agents)
    assert best.score > table.score.mean(0).max() + 0.05


def test_at_a_high_price_races_are_short_and_cheap() -> None:
    table = drawn(3, [0.6, 0.6, 0.6, 0.6, 0.6])
    found = [table.measure(plan) for plan in race_plans(table, np.array([0.0, 1e4]), beam=1)]
    cheap, good = min(found, key=lambda p: p.cost), max(found, key=lambda p: p.score)
    assert cheap.agents[:2] in (("a0", "a1"), ("a1", "a0")) and len(cheap.agents) == 2
    assert len(good.agents) > 2


def test_tie_breakers_break_ties_and_nothing_else() -> None:
    table = drawn(1, [0.3, 0.9, 0.6])
    weights = tie_breakers(table)
    assert weights == pytest.approx([1.0, 1 + TIE, 1 + TIE / 2], abs=0.004)
    assert weights[0] < weights[2] < weights[1]
    alike = AnswerTable(("a", "b"), np.zeros((5, 2), np.int32), np.ones((5, 2)), np.ones((5, 2)))
    assert tie_breakers(alike) == pytest.approx([1.0, 1.0], abs=1e-3)


@given(st.integers(0, 100))
@settings(max_examples=15)
def test_how_answers_are_numbered_does_not_matter(seed: int) -> None:
    """Nor in which column an agent stands: only which answers are equal."""
    table = drawn(seed, [0.4, 0.5, 0.6, 0.7])
    plans = race_plans(table, np.array([0.0, 10.0]), depth=4)
    other = AnswerTable(table.agents, relabelled(table.key, seed + 1), table.score, table.cost)
    order = np.random.default_rng(seed).permutation(4)
    moved = AnswerTable(
        tuple(table.agents[i] for i in order),
        table.key[:, order],
        table.score[:, order],
        table.cost[:, order],
    )
    for plan in plans:
        score, cost, stops = table.replay(plan)
        for again in (other.replay(plan), moved.replay(plan)):
            np.testing.assert_allclose(again[0], score)
            np.testing.assert_allclose(again[1], cost)
            assert again[2] == stops


def test_a_pool_smaller_than_a_race_has_none_of_it() -> None:
    pair = drawn(0, [0.5, 0.6])
    assert all(plan.needed == 2 and len(plan.agents) == 2 for plan in race_plans(pair, np.zeros(1)))
    one = drawn(0, [0.5])
    assert race_plans(one, np.zeros(1)) == []


def test_a_chain_names_each_agent_once_and_starts_with_as_many_as_are_needed() -> None:
    for plan in race_plans(drawn(5, [0.5] * 6), np.array([0.0, 1.0])):
        assert len(set(plan.agents)) == len(plan.agents)
        assert len(plan.stages[0]) == plan.needed
        assert all(len(stage) == 1 for stage in plan.stages[1:])
        assert plan.graph().replayable
