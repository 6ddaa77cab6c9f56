from __future__ import annotations

import json

import pytest

from agentnet.bench.kgqa.passages import Passage, cut, parse, tokens_of
from agentnet.errors import DataError

FILM = Passage("Lorna (film)", "Lorna is a 1964 film. It was directed by Russ Meyer.")
MAKER = Passage("Russ Meyer", "Born on March 21, 1922, he made many pictures in California.")
OTHERS = [Passage(f"Town {i}", ("It has a church, a mill and a market. " * 4).strip()) for i in range(6)]
QUESTION = "When was the director of the film Lorna born?"


def test_the_second_hop_is_kept_though_the_question_does_not_name_it() -> None:
    passages = [*OTHERS[:3], MAKER, *OTHERS[3:], FILM]
    budget = tokens_of(str(FILM)) + tokens_of(str(MAKER)) + 2
    # By the question alone the towns and the maker are alike, and the towns come first.
    assert cut(QUESTION, passages, budget=budget) == [MAKER, FILM]


def test_the_budget_holds_and_sentences_stay_whole() -> None:
    for budget in (10, 40, 90, 200):
        kept = cut(QUESTION, [*OTHERS, FILM, MAKER], budget=budget)
        assert sum(tokens_of(str(passage)) for passage in kept) <= budget
        assert all(passage.text.endswith(".") for passage in kept)


def test_all_passages_stay_in_order_where_they_fit() -> None:
    passages = [MAKER, OTHERS[0], FILM]
    assert cut(QUESTION, passages, budget=10_000) == passages


def test_of_a_long_passage_the_beginning_is_kept() -> None:
    long = Passage("Lorna", "Lorna is a film. " + "It goes on and on. " * 200)
    [kept] = cut(QUESTION, [long], budget=30)
    assert kept.text.startswith("Lorna is a film.") and 10 < tokens_of(str(kept)) <= 30


@pytest.mark.parametrize("context", ["plain text", '{"title": "A"}', '[{"title": "A"}]', "[]", "[3]"])
def test_a_context_of_another_form_is_refused(context: str) -> None:
    with pytest.raises(DataError, match="context"):
        parse(context)


def test_white_space_in_passages_is_evened_out() -> None:
    assert parse(json.dumps([{"title": "A\n b", "text": " c  d\n"}])) == [Passage("A b", "c d")]
