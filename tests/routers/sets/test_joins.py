"""Joined queries for training are made of two queries of different agents, and of every template."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agentnet.routers.sets.joins import TEMPLATES, make_joins

TEXTS = ["lost my card.", "book a flight?", "boil an egg", "tune a guitar!"]


def test_the_rows_differ_in_agent_and_stand_in_the_text() -> None:
    labels = np.array([0, 0, 1, 2])
    joins = make_joins(TEXTS, labels, 200, seed=1)
    assert len(joins) == 200
    for join in joins:
        a, b = join.rows
        assert labels[a] != labels[b]
        assert TEXTS[a].rstrip(" .?!") in join.text and TEXTS[b] in join.text
    assert {join.rows for join in joins} >= {(0, 2), (2, 0), (1, 3), (3, 1)}


def test_every_template_is_used_and_can_be_told_back() -> None:
    joins = make_joins(["aa", "bb"], np.array([0, 1]), 300)
    made = {join.text for join in joins}
    assert {t.format(a="aa", b="bb") for t in TEMPLATES} <= made
    assert made <= {t.format(a=a, b=b) for t in TEMPLATES for a, b in (("aa", "bb"), ("bb", "aa"))}


def test_a_seed_makes_the_same_joins() -> None:
    labels = np.arange(4)
    assert make_joins(TEXTS, labels, 20, seed=3) == make_joins(TEXTS, labels, 20, seed=3)
    assert make_joins(TEXTS, labels, 20, seed=3) != make_joins(TEXTS, labels, 20, seed=4)


@given(st.integers(0, 5))
def test_one_agent_has_nothing_to_join(n: int) -> None:
    assert make_joins(["x"] * n, np.zeros(n, int), 10) == ()


def test_braces_in_a_query_are_only_text() -> None:
    joins = make_joins(["print {b} and {0}", "what is {a}"], np.array([0, 1]), 20, templates=["{a} and {b}"])
    allowed = {"print {b} and {0} and what is {a}", "what is {a} and print {b} and {0}"}
    assert {join.text for join in joins} <= allowed
