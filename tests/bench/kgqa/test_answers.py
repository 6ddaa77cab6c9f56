from __future__ import annotations

import pytest

from agentnet.bench.kgqa.answers import exact_match, shorten
from agentnet.learning.scoring.metrics import token_f1


@pytest.mark.parametrize(
    ("answer", "gold", "f1", "em"),
    [
        ("The Beatles!", "beatles", 1.0, 1.0),
        ("in Paris, France", "Paris", 0.5, 0.0),
        ("red red", "red", 2 / 3, 0.0),
        ("", "Paris", 0.0, 0.0),
        ("yes", "yes it is", 0.0, 0.0),
        ("no", "No.", 1.0, 1.0),
        ("London", "Paris", 0.0, 0.0),
    ],
)
def test_scores(answer: str, gold: str, f1: float, em: float) -> None:
    assert token_f1(answer, gold) == pytest.approx(f1)
    assert exact_match(answer, gold) == em


@pytest.mark.parametrize(
    ("reply", "question", "short"),
    [
        ("Yes, both are in Iran.", "Are both villages in Iran?", "yes"),
        ("They are from different countries.", "Are both from Iran?", "no"),
        ("Both lie in Iran.", "Are both from Iran?", "yes"),
        ("", "Are both from Iran?", ""),
        ("Lucky Boy", "Is The Lion Roars or Lucky Boy older?", "Lucky Boy"),
        ("Long thoughts. So the answer is: Rome", "Where did he die?", "Rome"),
        ("The director was born in Oslo. He was", "Where was the director born?", "Oslo"),
        ("Where did he die?", "Where did he die?", "Where did he die?"),
    ],
)  # fmt: skip
def test_short_answers(reply: str, question: str, short: str) -> None:
    assert shorten(reply, question) == short
