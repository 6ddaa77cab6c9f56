"""The rule-based extractor: what it finds, what it leaves, and that nothing but the task is looked at."""

from __future__ import annotations

import json

import pytest

from agentnet.graphs.knowledge import NO_ENTITY, KnowledgeGraph, make_extractor
from agentnet.graphs.knowledge.graph import MOST_ENTITIES, MOST_RELATIONS
from agentnet.graphs.task import Task
from agentnet.outcomes.table import Queries

LORNA = json.dumps(
    [
        {
            "title": "Lorna (film)",
            "text": "Lorna is a 1964 film directed by Russ Meyer. It stars Lorna Maitland.",
        },
        {
            "title": "Russ Meyer",
            "text": "He was born in Oakland, California, on March 21, 1922. Meyer died in 2004.",
        },
    ]
)


def read(text: str, context: str | None = None) -> KnowledgeGraph:
    return make_extractor("rules").extract([Task(text, context=context)])[0]


def names(graph: KnowledgeGraph) -> list[str]:
    return [entity.text for entity in graph.entities]


def test_question_entities_come_first_and_are_marked() -> None:
    graph = read("When was the director of Lorna born?", LORNA)
    assert names(graph)[0] == "Lorna"
    assert [graph.entities[i].text for i in graph.mentioned] == ["Lorna"]


def test_dates_numbers_names_and_titles_are_found_with_their_kinds() -> None:
    graph = read("When was the director of Lorna born?", LORNA)
    kinds = {entity.text: entity.label for entity in graph.entities}
    assert kinds["1964"] == kinds["March 21 1922"] == kinds["2004"] == "DATE"
    assert kinds["Oakland"] == kinds["Russ Meyer"] == "NAME"
    assert read("He paid $1,200 for 35% of 3 shares").entities[0][:2] == ("$1,200", "NUMBER")


def test_a_passage_title_is_an_entity_even_in_lower_case() -> None:
    context = json.dumps([{"title": "satellite tournament", "text": "nothing here."}])
    assert read("why?", context).entities == (("satellite tournament", "TITLE", False),)


def test_mentions_merge_by_article_case_brackets_possessive_and_surname() -> None:
    graph = read("Who knew the Lorna in Russ Meyer's time?", LORNA)
    assert sum("Lorna" in name for name in names(graph)) == 2  # the film and Lorna Maitland
    assert "Meyer" not in names(graph)


def test_relations_tie_neighbours_and_a_pronoun_stands_for_the_title() -> None:
    triples = read("When was the director of Lorna born?", LORNA).triples
    assert ("Lorna", "star", "Lorna Maitland") in triples
    assert ("Russ Meyer", "be born in", "Oakland") in triples
    assert not any("," in phrase or "and" in phrase.split() for _, phrase, _ in triples)


def test_entities_of_one_sentence_are_near_and_of_two_are_not() -> None:
    graph = read("Is Rome far from Paris? Ask Berlin.")
    pairs = {(graph.entities[p.a].text, graph.entities[p.b].text): p for p in graph.near}
    assert set(pairs) == {("Rome", "Paris")}
    assert pairs["Rome", "Paris"].distance == 2
    assert 0.8 < pairs["Rome", "Paris"].weight < 0.9


def test_options_question_words_and_sentence_starts_are_no_names() -> None:
    graph = read("What is a rabbit?\nA. The animal\nB. Some animal\nRabbit it is.")
    assert graph.entities == (NO_ENTITY,)


def test_a_quoted_title_is_a_work() -> None:
    assert ("War and Peace", "WORK", True) in read('Who wrote "War and Peace" then?').entities


def test_a_task_without_entities_has_the_one_that_stands_for_none() -> None:
    graph = read("solve the equation for the variable")
    assert graph.entities == (NO_ENTITY,) and not graph.relations and not graph.near


def test_caps_hold_in_order_of_appearance() -> None:
    text = " ".join(f"Person{i} Smith{i} met Town{i} Hall{i} in London." for i in range(200))
    graph = read("Who?", text)
    assert len(graph.entities) == MOST_ENTITIES
    assert names(graph)[:2] == ["Person0 Smith0", "Town0 Hall0"]
    graph = read("Who?", " ".join(f"Rome has kept thing{i} in Paris." for i in range(200)))
    assert len(graph.relations) == MOST_RELATIONS
    assert graph.relations[0].phrase.endswith("thing0 in")


@pytest.mark.parametrize(
    "context", ["", "[1, 2", "[]", '[{"text": 3}]', "[null]", '["Rome is old."]', "\n\n\n"]
)
def test_a_context_of_any_form_can_be_read(context: str) -> None:
    graph = read("Where is K2?", context)
    assert names(graph)[0] == "K2"
    assert ("Rome" in names(graph)) == ("Rome" in context)


@pytest.mark.parametrize(
    "text", ["日本の首都は?", "É", "....", "“", '"', "$", "1", "A", "The", "\u200b?", "a" * 9999]
)
def test_odd_texts_do_not_break_it(text: str) -> None:
    graph = read(text, text)
    assert graph.query == text and graph.entities


def test_changing_the_gold_answer_changes_no_graph() -> None:
    import numpy as np

    def graphs(gold: str) -> list[KnowledgeGraph]:
        queries = Queries(
            query_id=np.array(["1"]), text=("Who made Lorna?",), split=np.array(["test"]), context=(LORNA,),
            gold=(gold,), metric=("f1",),
        )  # fmt: skip
        return make_extractor("rules").extract(queries.tasks())

    assert graphs("Russ Meyer") == graphs("Somebody Else")
