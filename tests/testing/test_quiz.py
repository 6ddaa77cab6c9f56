from __future__ import annotations

from collections import Counter

import pytest

from agentnet.errors import InvalidInput
from agentnet.testing import Pupil, make_quiz
from agentnet.testing.quiz import KINDS, solve


def test_a_quiz_is_repeatable_even_over_kinds_and_without_doubles() -> None:
    quiz = make_quiz(3000, seed=1)
    assert quiz == make_quiz(3000, seed=1) != make_quiz(3000, seed=2)
    assert len({question.text for question in quiz}) == 3000
    assert all(900 < count < 1100 for count in Counter(question.kind for question in quiz).values())


def test_the_answers_are_right() -> None:
    for question in make_quiz(60, seed=4):
        words = question.text.replace(",", "").replace("?", "").split()
        if question.kind == "math":
            a, b, c = (int(word) for word in words if word.isdigit())
            assert int(question.answer) == a * b + c
        elif question.kind == "code":
            assert question.answer.lower() == question.text.split("'")[1][::-1]
        else:
            assert question.answer == sorted([*words[6:8], words[9]])[0]
        assert solve(f"Context.\n{question.text}\nBe brief.") == (question.kind, question.answer)
    with pytest.raises(InvalidInput, match="no question"):
        solve("What is love?")


def test_a_pupil_has_its_accuracy_by_kind_and_always_says_the_same() -> None:
    accuracy = {"math": 0.9, "code": 0.5, "general": 1.0}
    pupil, other = Pupil("a", accuracy), Pupil("b", accuracy)
    quiz = make_quiz(6000, seed=5)
    replies = [pupil.reply(question.text) for question in quiz]
    for kind in KINDS:
        right = [r == q.answer for r, q in zip(replies, quiz, strict=True) if q.kind == kind]
        assert sum(right) / len(right) == pytest.approx(accuracy[kind], abs=0.03)
    again = Pupil.from_dict(pupil.to_dict())
    assert [again.reply(question.text) for question in quiz] == replies
    assert [other.reply(question.text) for question in quiz] != replies, "pupils err independently"
    body = {"messages": [{"role": "system", "content": "x"}, {"role": "user", "content": quiz[0].text}]}
    assert pupil(body) == replies[0]


@pytest.mark.parametrize("accuracy", [{"math": 1.2}, {"art": 0.5}])
def test_an_accuracy_that_makes_no_sense_is_refused(accuracy: dict[str, float]) -> None:
    with pytest.raises(InvalidInput, match="accuracy"):
        Pupil("a", accuracy)
