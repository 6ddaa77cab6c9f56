"""The value object, the flat arrays and the cache."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agentnet.errors import DataError, InvalidInput
from agentnet.graphs.knowledge import (
    Entity,
    GraphArrays,
    GraphCache,
    KnowledgeGraph,
    Near,
    Relation,
    make_extractor,
)
from agentnet.graphs.task import Task

TEXTS = (
    "Is Rome near Paris?",
    "nothing named",
    "Ada Lovelace wrote to Charles Babbage in London in 1843.",
    "Rome is in Italy.",
)


@pytest.fixture
def graphs() -> list[KnowledgeGraph]:
    return make_extractor("rules").extract([Task(text) for text in TEXTS])


def rebuilt(
    arrays: GraphArrays, row: int
) -> tuple[list[str], list[tuple[str, str, str]], set[frozenset[str]]]:
    """One graph of the arrays in words."""
    texts = [arrays.texts[i] for i in arrays.entity_text]
    entities = texts[arrays.entity_ptr[row] : arrays.entity_ptr[row + 1]]
    triples = [
        (texts[arrays.subject[i]], arrays.texts[arrays.relation_text[i]], texts[arrays.target[i]])
        for i in range(arrays.relation_ptr[row], arrays.relation_ptr[row + 1])
    ]
    pairs = arrays.near[:, arrays.near_ptr[row] : arrays.near_ptr[row + 1]].T
    return entities, triples, {frozenset((texts[a], texts[b])) for a, b in pairs}


def test_json_gives_an_equal_graph(graphs: list[KnowledgeGraph]) -> None:
    for graph in graphs:
        assert KnowledgeGraph.from_dict(graph.to_dict()) == graph


@pytest.mark.parametrize(
    "fields",
    [{"relations": (Relation("in", 0, 1),)}, {"near": (Near(-1, 0, 1),)}, {"near": (Near(0, 7, 1),)}],
)
def test_an_edge_to_nowhere_is_refused(fields: dict[str, tuple[Relation | Near, ...]]) -> None:
    with pytest.raises(DataError, match="not in it"):
        KnowledgeGraph("q", (Entity("a", "NAME"),), **fields)  # type: ignore[arg-type]


def test_broken_json_is_refused() -> None:
    with pytest.raises(DataError, match="not a knowledge graph"):
        KnowledgeGraph.from_dict({"query": "q", "entities": [["a"]]})


@pytest.mark.parametrize("rows", [[0], [2, 0], [3, 3, 1], [], [0, 1, 2, 3]])
def test_a_cut_holds_the_same_graphs_as_were_put_in(graphs: list[KnowledgeGraph], rows: list[int]) -> None:
    arrays = GraphArrays.of(graphs)
    cut = arrays.take(np.array(rows, np.int64))
    assert len(cut) == len(rows)
    for at, row in enumerate(rows):
        alone = rebuilt(GraphArrays.of([graphs[row]]), 0)
        assert rebuilt(cut, at) == rebuilt(arrays, row) == alone
    assert cut.entity_graph.tolist() == [i for i, row in enumerate(rows) for _ in graphs[row].entities]


def test_recurring_texts_stand_once_and_kinds_tell_them_apart_where_asked(
    graphs: list[KnowledgeGraph],
) -> None:
    assert GraphArrays.of(graphs).texts.count("Rome") == 1
    assert "Rome [SEP] type: NAME" in GraphArrays.of(graphs, typed=True).texts


def test_relations_can_be_left_out(graphs: list[KnowledgeGraph]) -> None:
    cut = GraphArrays.of(graphs).without_relations()
    assert not cut.relation_text.size and cut.relation_ptr.tolist() == [0] * 5
    assert cut.take(np.array([2])).entity_text.size == len(graphs[2].entities)


def test_the_cache_reads_each_task_once_and_knows_context_from_text(tmp_path: Path) -> None:
    tasks = [Task("a Rome"), Task("a", context="Rome"), Task("a Rome")]
    cache = GraphCache(make_extractor("rules"), tmp_path)
    first = cache.extract(tasks)
    assert cache.misses == 2
    assert first[0].mentioned and not first[1].mentioned
    again = GraphCache(make_extractor("rules"), tmp_path)
    assert again.extract(tasks) == first and again.misses == 0


def test_the_cache_forgets_the_least_recent() -> None:
    cache = GraphCache(make_extractor("rules"), memory=1)
    cache.extract([Task("One"), Task("Two")])
    cache.extract([Task("Two")])
    assert cache.misses == 2
    cache.extract([Task("One")])
    assert cache.misses == 3


def test_a_file_that_is_no_cache_is_named(tmp_path: Path) -> None:
    GraphCache(make_extractor("rules"), tmp_path)
    (file,) = tmp_path.glob("*.sqlite")
    file.write_bytes(b"no database at all, no database at all")
    with pytest.raises(DataError, match="remove it"):
        GraphCache(make_extractor("rules"), tmp_path)


def test_an_unknown_extractor_is_refused() -> None:
    with pytest.raises(InvalidInput, match="rules, spacy"):
        make_extractor("magic")
