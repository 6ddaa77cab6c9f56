from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentnet.graphs.conflicts import find_conflicts, shows, told
from agentnet.graphs.refusals import is_refusal

NAMES = ["a", "b", "c"]


@pytest.mark.parametrize(
    ("answers", "lines"),
    [
        (["7", "8", "8.0"], ["a says 7; b, c say 8"]),
        (["Yes.", "No."], ["a says Yes; b says No"]),
        (["Thinking. Answer: 8", "The answer is 9."], ["a says 8; b says 9"]),
        (
            ["Fee: 4 euros\nTime: 2 days", "- Fee: 5 euros\n- Time: 2 days"],
            ["fee: a says 4 euros; b says 5 euros"],
        ),
        (["The capital is Rome.", "Well. The capital is Paris."], ["capital: a says Rome; b says Paris"]),
        (
            ["A refund takes 7 days abroad.", "Refund takes 5 days abroad!"],
            ["refund takes days abroad: a says 7; b says 5"],
        ),
        (
            ["Orders can be cancelled online.", "Orders cannot be cancelled online."],
            ["orders cancelled online: a says Orders can be cancelled online; b says Orders cannot be "
             "cancelled online"],
        ),
        # No conflict: equal, complementary, of different kinds, or not comparable.
        (["1,000.0", "1000"], []),
        (["12", "retsym"], []),
        (["2 days", "4 euros"], []),
        (["Fee: 4", "Time: 2"], []),
        (["The card is blocked.", "The parcel arrives on Monday."], []),
        (["", "7"], []),
    ],
)  # fmt: skip
def test_what_is_found(answers: list[str], lines: list[str]) -> None:
    assert [told(found, NAMES) for found in find_conflicts(answers)] == lines


def test_bare_values_of_different_parts_are_complementary() -> None:
    assert find_conflicts(["7", "8"], parts=["the sum", "the length"]) == ()
    assert len(find_conflicts(["7", "8"], parts=["the sum", "the sum"])) == 1


def test_a_merged_text_tells_of_a_conflict_by_values_or_by_names() -> None:
    [found] = find_conflicts(["Orders can be cancelled online.", "Orders cannot be cancelled online."])
    assert shows("Cards and post disagree.", found, ["cards", "post"])
    assert not shows("Postal cards can be cancelled.", found, ["cards", "post"])
    [found] = find_conflicts(["5", "50"])
    assert not shows("It is 50.5 or 50.", found, ["cards", "post"]), "5 is no part of 50"


@given(st.lists(st.text(max_size=200), max_size=4))
def test_any_text_is_compared_and_equal_answers_never_conflict(answers: list[str]) -> None:
    for found in find_conflicts(answers):
        assert len(set(found.keys)) > 1 and told(found, ["x"] * len(answers))
    assert all(find_conflicts([text, text]) == () for text in answers)
    assert all(is_refusal(text) for text in answers if not text.strip())


def test_long_answers_stay_cheap() -> None:
    text = " ".join(f"Item {i} of the long list costs {i} euros." for i in range(20_000))
    start = time.process_time()
    find_conflicts([text, text.replace("1", "2"), text])
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    "text",
    [
        "", " \n", "oos", "I don't know.", "Sorry, I cannot help with that.", "N/A",
        "Unfortunately, this is outside my scope. Please contact billing.",
        "As an AI language model, I can\u2019t provide that.", "I have no information about this order.",
    ],
)  # fmt: skip
def test_refusals(text: str) -> None:
    assert is_refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "We cannot refund it after 30 days.", "I cannot answer the first question. The capital is Rome.",
        "Sorry for the delay; the refund takes 5 days.", "None of the trains run on Sunday.", "0", "No.",
        "I can't say when it arrives, but the fee is 4.", "I don't know. " + "It is long. " * 60,
        "Please contact billing.",
    ],
)  # fmt: skip
def test_answers_are_no_refusals(text: str) -> None:
    assert not is_refusal(text)
