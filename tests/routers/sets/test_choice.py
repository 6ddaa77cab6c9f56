"""The chosen set is the one of highest expected reward, against all there are."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentnet.routers.reasoning.reward import reward
from agentnet.routers.sets.choice import Belief, choose_set, expected_reward

AGENTS = "abcde"
SETS = st.frozensets(st.sampled_from(AGENTS), min_size=1, max_size=3)


@st.composite
def beliefs(draw: st.DrawFn) -> Belief:
    """Sets with probabilities of steps of 0.05, which keep the tiniest chances out."""
    sets = draw(st.lists(SETS, min_size=1, max_size=6, unique=True))
    parts = [draw(st.integers(1, 20)) for _ in sets]
    most = max(20, sum(parts))
    return Belief({names: part / most for names, part in zip(sets, parts, strict=True)})


def worth(names: frozenset[str], belief: Belief, agent_cost: float, costs: Mapping[str, float]) -> float:
    """By the definition: mean reward over the belief minus what the agents cost."""
    mean = sum(chance * reward(names, gold) for gold, chance in belief.sets.items())
    return mean - agent_cost * (len(names) - 1) - sum(costs.get(name, 0.0) for name in names)


def best(belief: Belief, most: int, agent_cost: float, costs: Mapping[str, float], allowed: str) -> float:
    tried = [frozenset(c) for size in range(1, most + 1) for c in combinations(sorted(set(allowed)), size)]
    return max(worth(names, belief, agent_cost, costs) for names in tried)


@given(beliefs(), st.integers(1, 4), st.sampled_from([0.0, 0.05, 0.15, 0.5]), st.data())
def test_it_is_the_best_of_all_sets(
    belief: Belief, most: int, agent_cost: float, data: st.DataObject
) -> None:
    members = {name for names in belief.sets for name in names}
    costs = data.draw(st.dictionaries(st.sampled_from(sorted(members)), st.sampled_from([0.0, 0.1, 0.4])))
    chosen = choose_set(belief, most=most, agent_cost=agent_cost, costs=costs)
    assert 1 <= len(chosen) <= most
    assert worth(chosen, belief, agent_cost, costs) == pytest.approx(
        best(belief, most, agent_cost, costs, "".join(members)), abs=1e-8
    )


@given(beliefs(), st.integers(1, 3), st.data())
def test_only_allowed_agents_and_the_best_of_them(belief: Belief, most: int, data: st.DataObject) -> None:
    members = sorted({name for names in belief.sets for name in names})
    allowed = data.draw(st.lists(st.sampled_from(members), unique=True))
    chosen = choose_set(belief, most=most, allowed=allowed)
    assert chosen <= set(allowed)
    assert bool(chosen) == bool(allowed)
    if allowed:
        assert worth(chosen, belief, 0.0, {}) == pytest.approx(
            best(belief, most, 0.0, {}, "".join(allowed)), abs=1e-8
        )


@given(beliefs(), st.integers(1, 4))
def test_a_dearer_further_agent_never_makes_the_set_larger(belief: Belief, most: int) -> None:
    sizes = [len(choose_set(belief, most=most, agent_cost=cost)) for cost in (0.0, 0.1, 0.3, 2.0)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == 1


def test_the_order_of_the_sets_does_not_matter() -> None:
    sets = {frozenset("a"): 0.5, frozenset("b"): 0.5}
    turned = dict(reversed(sets.items()))
    assert choose_set(Belief(sets), most=1) == choose_set(Belief(turned), most=1) == frozenset("a")


def test_the_price_of_agents_decides_between_equals_and_then_against_the_likelier() -> None:
    belief = Belief({frozenset("a"): 0.5, frozenset("b"): 0.45})
    assert choose_set(belief, most=1) == frozenset("a")
    assert choose_set(belief, most=1, costs={"a": 0.06}) == frozenset("b")


def test_an_unlikely_agent_is_tried_where_it_is_much_cheaper() -> None:
    """More agents than are tried by probability alone."""
    belief = Belief({frozenset({f"x{i}"}): 0.12 for i in range(8)} | {frozenset({"cheap"}): 0.001})
    dear = {f"x{i}": 1.0 for i in range(8)}
    assert choose_set(belief, most=3, costs=dear) == frozenset({"cheap"})


def test_nobody_is_chosen_where_nobody_is_believed_in() -> None:
    assert choose_set(Belief({}), most=3) == frozenset()


@given(beliefs())
def test_the_expected_reward_of_the_only_set_believed_in_is_its_probability(belief: Belief) -> None:
    names, chance = next(iter(belief.sets.items()))
    assert expected_reward(names, Belief({names: chance})) == pytest.approx(chance)
    assert all(
        belief.of(name) == pytest.approx(sum(c for s, c in belief.sets.items() if name in s))
        for name in AGENTS
    )
