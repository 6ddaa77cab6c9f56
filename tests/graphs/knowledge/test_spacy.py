"""The spaCy extractor, where spaCy and a model are installed; and what is said where they are not."""

from __future__ import annotations

import json

import pytest

from agentnet.errors import MissingDependency
from agentnet.graphs.knowledge import make_extractor
from agentnet.graphs.knowledge.spacy_extractor import SpacyExtractor, find_model
from agentnet.graphs.task import Task


def test_a_model_that_is_not_there_is_named_with_the_install_line() -> None:
    with pytest.raises(MissingDependency, match=r"use the extractor .rules"):
        SpacyExtractor("no_such_model_anywhere").extract([Task("x")])


@pytest.mark.filterwarnings("ignore")
def test_it_finds_entities_and_dependency_triples() -> None:
    try:
        find_model()
    except MissingDependency as error:
        pytest.skip(str(error))
    context = json.dumps(
        [{"title": "Russ Meyer", "text": "He was born in Oakland. Lorna was directed by Russ Meyer."}]
    )
    extractor = make_extractor("spacy")
    graph = extractor.extract([Task("Who directed Lorna in 1964?", context=context)])[0]
    kinds = {entity.text: entity.label for entity in graph.entities}
    assert kinds["Russ Meyer"] == "TITLE" and kinds["1964"] == "DATE" and kinds["Oakland"] == "GPE"
    assert ("Russ Meyer", "bear in", "Oakland") in graph.triples
    assert extractor.name.startswith("spacy:")
