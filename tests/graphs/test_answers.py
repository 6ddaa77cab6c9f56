from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentnet.errors import GraphError
from agentnet.graphs.answers import NORMALISERS, group_answers, normalise, stop_holds, weighted_vote
from agentnet.graphs.final_answer import final_answer
from agentnet.graphs.task_graph import StopCondition


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        (
            '```json\n{\n "reasoning": "50 miles",\n "answer": "50 miles per hour"\n}\n```',
            "50 miles per hour",
        ),
        ('{"reasoning": "he said "no" twice", "answer": "4"', "4"),
        ('{"answer": "he said \\"no\\""}', 'he said "no"'),
        ('{"answer": 8}', "8"),
        ('{"answer": [1, 2]}', "1, 2"),
        ('{"answer": null}', ""),
        ('{"answer": " "}', ""),
        ('{"reasoning": "\\\\boxed{3}", "answer": "\\\\frac{1}{2}"}', r"\frac{1}{2}"),
        ('{"answer": "\\frac{1}{2}"}', r"\frac{1}{2}"),
        ('{"answer": "\\u221a2"}', "√2"),
        ('{"answer": "1"} wait, {"answer": "2"}', "2"),
        (r"so $\boxed{\frac{a}{b}}$ and $\boxed{\sqrt{2}}$.", r"\sqrt{2}"),
        ("First 3.\n#### 42", "42"),
        ("The answer is: **Paris**. It is big.", "Paris"),
        ("I see. Final answer: 3.5 cm", "3.5 cm"),
        ("Paris", "Paris"),
    ],
)
def test_finds_the_final_answer(response, answer):
    assert final_answer(response) == answer


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("1,000.0", "1000"),
        ("$1,234.50", "1234.5"),
        ("50 miles per hour", "50"),
        (r"\frac{a}{b}", "a/b"),
        (r"\dfrac{1}{2}", "0.50"),
        (r"2\frac{1}{2}", "5/2"),
        ("-3/4", "-.75"),
        (r"\left(1, 2\right)", "(1,2)"),
        (r"90^\circ", "90°"),
        (r"5\text{ cm}^2", "5 square cm"),
        (r"50\%", "50%"),
        ("6√2", r"6\sqrt{2}"),
        ("x = 5 or x = -5", "5, -5"),
        ("x=7", "7"),
        ("2 * 3 + 1 = 7", "7"),
        ("6th", "6"),
        ("1.5 million dollars", "1,500,000"),
        (r"\text{Monday}", "monday."),
        ("The Beatles!", "beatles"),
        ("I don't know", "i dont know"),
        ("(A)", "a."),
        (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"),
        ("Cafe\u0301 Noir", "Caf\u00e9 noir"),
    ],
)
def test_equal_answers_have_equal_keys(a, b):
    assert normalise(a) == normalise(b) != ""


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("1/3", "0.33"),
        ("3 am", "3 pm"),
        ("10 BC", "10 AD"),
        ("2 million", "2 billion"),
        ("[1,2)", "(1,2]"),
        ("2,3", "23"),
        ("5x", "5"),
        ("6√2", "6"),
        ("-5", "5"),
        ("x^2", "x^3"),
        ("3.14", "314"),
        ("1/0", "0"),
    ],
)
def test_different_answers_have_different_keys(a, b):
    assert normalise(a) != normalise(b)


def test_other_kinds():
    assert normalise(" As is. ", "raw") == "As is."
    assert normalise("The answer is 3.50", "text") == "answer is 3 50"
    assert normalise("between 3 and 4,000", "number") == "4000"
    assert normalise("none at all", "number") == ""
    letters = {"C": "C", "(c)": "C", "B. Rome": "B", "Answer: D": "D", "it is (E), surely": "E", "12": ""}
    assert {text: normalise(text, "choice") for text in letters} == letters
    with pytest.raises(GraphError, match="no answer normaliser 'fuzzy'; there are default"):
        normalise("x", "fuzzy")


@given(st.text(max_size=80), st.sampled_from(sorted(NORMALISERS)))
def test_any_text_has_a_key_without_outer_space(text, kind):
    key = normalise(text, kind)
    assert key == key.strip()


@given(st.integers(-(10**9), 10**9), st.integers(0, 3))
def test_numbers_agree_however_written(value, zeros):
    plain = str(value)
    assert normalise(f"{value:,}") == normalise(plain + ("." + "0" * zeros)) == plain
    assert normalise(f'{{"answer": "${value:,}"}}') == plain


@pytest.mark.parametrize(
    "bad",
    ['{"answer": "' + '"x' * 50_000, "\\boxed{" * 20_000, "1 a" + " " * 50_000 + "!", "{" * 50_000,
     "1 a " * 50_000, "answer:" + "\n" * 50_000, "\\frac{" * 80, "1,111" * 20_000, "#" * 50_000],
)  # fmt: skip
@pytest.mark.timeout(60)
def test_hostile_text_takes_no_quadratic_time(bad):
    for kind in NORMALISERS:
        normalise(bad, kind)


def test_groups_are_heaviest_first_and_ties_go_to_the_first():
    groups = group_answers(["b", "a", "A.", "b", "", "c"], [1, 1, 1, 1, 9, 0])
    assert [(g.key, g.members, g.weight) for g in groups] == [("b", (0, 3), 2), ("a", (1, 2), 2)]
    # 0.1 + 0.2 > 0.3 in floating point, and yet a tie.
    assert group_answers(["x", "y", "y"], [0.3, 0.1, 0.2])[0].key == "x"
    with pytest.raises(GraphError, match="as many weights"):
        group_answers(["a"], [])


def test_vote_counts_silent_voters_in_the_share():
    vote = weighted_vote(["7", "", "7.0"], [1, 2, 1])
    assert vote is not None
    assert (vote.winner, vote.key, vote.share) == (0, "7", 0.5)
    assert weighted_vote(["", " "], [1, 1]) is None
    assert weighted_vote(["a"], [0]) is None


@pytest.mark.parametrize(
    ("stop", "answers", "scores", "holds"),
    [
        (StopCondition("agreement", 1.0, 2), ["4", "4.0"], [None, None], True),
        (StopCondition("agreement", 1.0, 2), ["4"], [None], False),
        (StopCondition("agreement", 1.0, 2), ["4", "5"], [None, None], False),
        (StopCondition("agreement", 1.0, 2), ["4", "4", ""], [None] * 3, False),
        (StopCondition("agreement", 0.6, 2), ["4", "4", "5"], [None] * 3, True),
        (StopCondition("agreement", 0.7, 2), ["4", "4", "5"], [None] * 3, False),
        (StopCondition("score", 0.8), ["4", "5"], [0.7, 0.8], True),
        (StopCondition("score", 0.8), ["4", "5"], [0.7, None], False),
        (StopCondition("score", 0.8), ["4", ""], [0.7, 0.9], False),
        (StopCondition("score", 0.8, 2), ["4", "5"], [0.9, 0.7], False),
        (StopCondition("answered", min_answers=2), ["4", " ", "5"], [None] * 3, True),
        (StopCondition("answered", min_answers=2), ["4", " "], [None] * 2, False),
    ],
)
def test_stop_conditions(stop, answers, scores, holds):
    assert stop_holds(stop, answers, [1.0] * len(answers), scores) is holds


def test_a_voter_of_weight_zero_takes_no_part():
    stop = StopCondition("agreement", 1.0, 2)
    assert not stop_holds(stop, ["4", "4"], [1, 0], [None, None])
    assert stop_holds(stop, ["4", "5", "4"], [1, 0, 1], [None] * 3)


@pytest.mark.pack
def test_recorded_right_answers_agree(data_dir):
    """Of the answers graded right, nearly all have the key of the rest; hardly any wrong one has it."""
    from collections import Counter

    from agentnet.outcomes.packs import load_outcomes

    outcomes = load_outcomes(data_dir / "zeroeval")
    assert outcomes.response is not None
    right = agree = wrong = joined = 0
    for scores, texts in zip(outcomes.score, outcomes.response, strict=True):
        keys = [normalise(text or "") for text in texts]
        good = [key for key, score in zip(keys, scores, strict=True) if score == 1]
        bad = [key for key, score in zip(keys, scores, strict=True) if score == 0]
        if good:
            top = Counter(good).most_common(1)[0][0]
            right, agree = right + len(good), agree + good.count(top)
            wrong, joined = wrong + len(bad), joined + bad.count(top)
    assert agree / right > 0.995
    assert joined / wrong < 0.002
