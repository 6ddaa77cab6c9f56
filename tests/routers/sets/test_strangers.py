"""Agents without logged queries: prototypes, rules, and what the known agents lose to them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentnet.routers.sets.strangers import COUNTS, Rehearsal, Rule, Rules, learn_rules, prototype

D, KNOWN, STRANGERS = 16, 6, 3


def unit(x: np.ndarray) -> np.ndarray:
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)


def rehearsal(*, seed: int = 0, noise: float = 0.35, examples: int = 12, shuffled: bool = False) -> Rehearsal:
    """Agents with a direction each; descriptions say it roughly, examples are queries of theirs."""
    rng = np.random.default_rng(seed)
    centres = np.eye(D)[: KNOWN + STRANGERS]

    def near(labels: np.ndarray, spread: float) -> np.ndarray:
        return unit(centres[labels] + spread * rng.standard_normal((len(labels), D)))

    labels = np.repeat(np.arange(KNOWN + STRANGERS), 20)
    vectors = near(labels, noise)
    strangers = np.arange(KNOWN, KNOWN + STRANGERS)
    told = rng.permutation(np.arange(KNOWN)) if shuffled else strangers
    return Rehearsal(
        vectors=vectors,
        labels=labels,
        known=(12 * vectors @ centres[:KNOWN].T).astype(np.float32),
        known_labels=np.arange(KNOWN),
        strangers=strangers,
        descriptions=near(told[:STRANGERS], noise),
        examples=tuple(near(np.full(examples, told[i]), noise) for i in range(STRANGERS)),
    )


def served(rules: Rules, made: Rehearsal, count: int) -> tuple[float, float]:
    """Shares: of the strangers' queries that reach them, of the known agents' that strangers take away."""
    columns = [
        rules.column(description, rows[:count])
        for description, rows in zip(made.descriptions, made.examples, strict=True)
    ]
    logits = np.stack([made.vectors @ weight + bias for weight, bias in columns], axis=1)
    every = np.concatenate((made.known, logits), axis=1)
    who = np.concatenate((made.known_labels, made.strangers))
    right = who[every.argmax(1)] == made.labels
    before = made.known_labels[made.known.argmax(1)] == made.labels
    stranger = np.isin(made.labels, made.strangers)
    return float(right[stranger].mean()), float((before & ~right)[~stranger].mean())


@given(st.integers(0, 4), st.floats(0.1, 8), st.integers(0, 10_000))
def test_a_prototype_is_a_unit_vector(count: int, weight: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    examples = unit(rng.standard_normal((count, D)))
    found = prototype(unit(rng.standard_normal(D)), examples, weight)
    assert found.shape == (D,) and found.dtype == np.float32
    assert np.linalg.norm(found) == pytest.approx(1, abs=1e-5)


def test_a_prototype_lies_between_description_and_examples() -> None:
    a, b = np.eye(D, dtype=np.float32)[:2]
    nothing = np.zeros((0, D), np.float32)
    np.testing.assert_array_equal(prototype(a, nothing, 4.0), a)
    light, heavy = (prototype(a, np.stack([b, b]), weight) @ a for weight in (0.5, 4.0))
    assert 0 < light < heavy < 1
    np.testing.assert_array_equal(prototype(0 * a, nothing, 1.0), 0 * a)  # a text of no token, no NaN


def test_the_rule_is_that_of_the_nearest_number_of_examples_not_above() -> None:
    rules = Rules(tuple(Rule(count) for count in COUNTS))
    assert [rules.of(n).count for n in (0, 1, 2, 3, 4, 5, 9, 10, 500)] == [0, 1, 1, 3, 3, 5, 5, 10, 10]
    assert Rules().of(10).count == 0


def test_rules_are_json() -> None:
    rules = learn_rules([rehearsal()], tax=0.01, seed=0)
    assert Rules.from_list(json.loads(json.dumps(rules.to_list(), allow_nan=False))) == rules


@pytest.mark.parametrize("tax", [0.0, 0.01, 0.05])
def test_strangers_are_reached_and_the_others_lose_at_most_the_tax(tax: float) -> None:
    made = rehearsal()
    rules = learn_rules([made], tax=tax, seed=0)
    for count in (0, 5, 10):
        reached, lost = served(rules, made, count)
        assert reached > (0.5 if tax else 0.3), count
        if not count:  # the very descriptions that the rule was learned with
            assert lost <= tax
        else:
            assert lost <= tax + 0.03, count


def test_a_higher_tax_reaches_no_fewer_strangers() -> None:
    made = rehearsal(noise=0.6)
    reached, lost = zip(
        *(served(learn_rules([made], tax=tax, seed=0), made, 0) for tax in (0.0, 0.02, 0.1, 0.3)), strict=True
    )
    assert list(reached) == sorted(reached) and reached[0] < reached[-1]
    assert all(share <= tax for share, tax in zip(lost, (0.0, 0.02, 0.1, 0.3), strict=True))


def test_more_examples_reach_more_where_descriptions_say_little() -> None:
    made = rehearsal(noise=0.6)
    rules = learn_rules([made], tax=0.02, seed=0)
    assert served(rules, made, 10)[0] > served(rules, made, 0)[0]


def test_descriptions_of_others_take_nothing_away() -> None:
    """Strangers that are described as what known agents do must not get their queries."""
    made = rehearsal(shuffled=True)
    rules = learn_rules([made], tax=0.01, seed=0)
    reached, lost = served(rules, made, 0)
    assert reached < 0.2 and lost <= 0.01


def test_where_strangers_are_told_easily_they_stay_below_what_is_nobodys() -> None:
    """An offset far above what is needed would make a stranger familiar with every text."""
    made = rehearsal(noise=0.05)
    rules = learn_rules([made], tax=0.01, seed=0)
    nothing_like = np.zeros(D, np.float32)
    for description in made.descriptions:
        weight, bias = rules.column(description, np.zeros((0, D), np.float32))
        own = float(made.vectors[np.isin(made.labels, made.strangers)].mean(0) @ weight) + bias
        others = float(np.median(made.known[~np.isin(made.labels, made.strangers)].max(1)))
        assert bias + float(nothing_like @ weight) < 0.6 * others, own


def test_too_few_examples_leave_the_rules_that_can_be_learned() -> None:
    assert [rule.count for rule in learn_rules([rehearsal(examples=4)], tax=0.01, seed=0).rules] == [0, 1, 3]
    assert [rule.count for rule in learn_rules([rehearsal(examples=0)], tax=0.01, seed=0).rules] == [0]
    assert learn_rules([], tax=0.01, seed=0) == Rules()


def test_a_seed_makes_the_same_rules_and_draws_are_pooled() -> None:
    several = [rehearsal(seed=seed) for seed in range(3)]
    assert learn_rules(several, tax=0.01, seed=1) == learn_rules(several, tax=0.01, seed=1)
    rules = learn_rules(several, tax=0.01, seed=1)
    lost = [served(rules, made, 0)[1] for made in several]
    assert np.mean(lost) <= 0.01
