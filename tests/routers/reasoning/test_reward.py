"""The reward is highest for the right set, and for no other."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from agentnet.errors import InvalidInput
from agentnet.routers.reasoning.reward import reward

sets = st.frozensets(st.sampled_from("abcdef"), max_size=6)
inside = st.floats(0.001, 0.999)


@given(chosen=sets, gold=sets, precision=inside, over=st.floats(0, 2), strict=st.booleans())
def test_it_is_one_for_equal_sets_and_for_no_others(
    chosen: frozenset[str], gold: frozenset[str], precision: float, over: float, strict: bool
) -> None:
    value = reward(chosen, gold, precision=precision, over=over, strict=strict)
    assert (value == 1) == (chosen == gold)
    assert -over * max(len(chosen) - len(gold), 0) - 1e-12 <= value <= 1


@given(chosen=sets, gold=sets)
def test_strict_pays_for_recall_only_when_all_are_there(chosen: frozenset[str], gold: frozenset[str]) -> None:
    assume(gold)
    graded, strict = reward(chosen, gold), reward(chosen, gold, strict=True)
    missing = 0.0 if gold <= chosen else 0.5 * len(chosen & gold) / len(gold)
    assert strict == pytest.approx(graded - missing)


@given(chosen=sets, gold=sets, extra=st.sampled_from("uvw"))
def test_a_wrong_agent_more_never_pays(chosen: frozenset[str], gold: frozenset[str], extra: str) -> None:
    assert reward(chosen | {extra}, gold) <= reward(chosen, gold)


@pytest.mark.parametrize(
    ("chosen", "gold", "graded"),
    [
        ("a", "a", 1.0),
        ("ab", "a", 0.5 * 1 / 2 + 0.5 - 0.1),
        ("abc", "a", 0.5 * 1 / 3 + 0.5 - 0.2),
        ("a", "ab", 0.5 + 0.5 * 1 / 2),
        ("ac", "ab", 0.5 * 1 / 2 + 0.5 * 1 / 2),
        ("", "a", 0.0),
        ("b", "a", 0.0),
        ("", "", 1.0),
        ("ab", "", -0.2),
    ],
)
def test_values_by_hand(chosen: str, gold: str, graded: float) -> None:
    assert reward(set(chosen), set(gold)) == pytest.approx(graded)


def test_repeated_names_count_once() -> None:
    assert reward(["a", "a"], ["a"]) == 1


@pytest.mark.parametrize("settings", [{"precision": 1.1}, {"precision": -0.1}, {"over": -1.0}])
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(InvalidInput, match="precision lies in"):
        reward({"a"}, {"a"}, **settings)
