"""Views and TypeHead: what is seen of a task, and the types read off it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Task
from agentnet.outcomes.encoders import CachedEncoder, HashingEncoder
from agentnet.outcomes.table import Outcomes, Queries
from agentnet.routers.council.types import FEWEST, TypeHead, labels_of
from agentnet.routers.council.views import ENTITIES, Viewer


def viewer(*, entities: bool = False) -> Viewer:
    return Viewer(HashingEncoder(64), entities=entities)


def outcomes(labels: list[str], *, kind: str = "outcomes") -> Outcomes:
    n = len(labels)
    queries = Queries(
        query_id=np.arange(n).astype(str), text=tuple(f"text {i}" for i in range(n)),
        split=np.full(n, "train"), task=tuple(labels),
    )  # fmt: skip
    pool = Pool([Agent(name="a"), Agent(name="b")])
    return Outcomes(
        queries=queries, pool=pool, score=np.ones((n, 2), np.float32), cost=np.ones((n, 2)), kind=kind
    )


# -- views -----------------------------------------------------------------------------------------
def test_views_stand_side_by_side_in_unit_length() -> None:
    seen = viewer(entities=True)
    tasks = [
        Task("Who is Ada Lovelace?"),
        Task("what is this"),
        Task("Where was it?", context="Ada Lovelace lived."),
    ]
    vectors = seen.encode(tasks)
    assert vectors.shape == (3, seen.layout.width) and vectors.dtype == np.float32
    text, form, entities = seen.layout.parts(vectors)
    assert seen.form is not None and form.shape[1] == seen.form.dim
    assert text.shape[1] == 64 and entities.shape[1] == ENTITIES
    for part in (text, form, entities[[0, 2]]):
        np.testing.assert_allclose(np.linalg.norm(part, axis=1), 1, atol=1e-5)
    assert not entities[1].any(), "nothing is named"
    assert entities[0] @ entities[2] > 0.5, "both name her, one in its context"
    np.testing.assert_array_equal(viewer().encode(tasks), vectors[:, :-ENTITIES])


def test_the_same_words_in_another_layout_differ_in_form_only() -> None:
    seen = viewer()
    plain, listed = seen.encode(
        [Task("choose red or green or blue"), Task("CHOOSE\nred\nOR\ngreen\nOR\nblue")]
    )
    text, form, _ = seen.layout.parts(np.stack([plain, listed]))
    assert text[0] @ text[1] > 0.999
    assert form[0] @ form[1] < 0.9


def test_a_caching_encoder_caches_forms_too(tmp_path: Path) -> None:
    cached = CachedEncoder(HashingEncoder(16), tmp_path)
    seen = Viewer(cached, entities=False)
    first = seen.encode([Task("What is 3 + 4?")])
    again = Viewer(cached, entities=False)
    assert again.form is seen.form
    np.testing.assert_array_equal(again.encode([Task("What is 3 + 4?")]), first)
    assert isinstance(again.form, CachedEncoder) and again.form.misses == 1


# -- types -----------------------------------------------------------------------------------------
def kinds(n: int = 120) -> tuple[np.ndarray, list[str], Viewer]:
    seen = viewer()
    makers = ("add {0} and {1}", "boil an egg for {0} minutes\nor {1}", "NAME A RIVER: {0}; {1}?")
    texts = [makers[i % 3].format(i, 7 * i) for i in range(n)]
    return seen.encode([Task(text) for text in texts]), [f"kind {i % 3}" for i in range(n)], seen


def test_types_are_read_off_the_views() -> None:
    vectors, labels, seen = kinds()
    head, posterior = TypeHead.fit(vectors, labels, seen.layout, seed=0)
    assert head.names == ("kind 0", "kind 1", "kind 2") and head.accuracy > 0.95
    np.testing.assert_allclose(posterior.sum(1), 1)
    fresh = head.predict(seen.encode([Task("boil an egg for 900 minutes\nor 3"), Task("add 5 and 1234")]))
    assert fresh.argmax(1).tolist() == [1, 0]


def test_a_rows_posterior_comes_from_a_head_that_has_not_seen_it() -> None:
    """Labels at random: learned by heart, they are told of known rows, and not of a row left out."""
    rng = np.random.default_rng(0)
    vectors, _, seen = kinds(150)
    vectors = vectors.copy()
    vectors[:, :64] = rng.normal(size=(150, 64)) / 8
    labels = [f"kind {i}" for i in rng.integers(0, 3, 150)]
    y = np.unique(labels, return_inverse=True)[1]
    head, posterior = TypeHead.fit(vectors, labels, seen.layout, seed=0)
    by_heart = float((head.predict(vectors).argmax(1) == y).mean())
    assert by_heart > 0.7
    assert float((posterior.argmax(1) == y).mean()) == pytest.approx(head.accuracy) and head.accuracy < 0.5


def test_a_head_survives_the_disk() -> None:
    vectors, labels, seen = kinds(60)
    for head in (TypeHead.fit(vectors, labels, seen.layout, seed=1)[0], TypeHead()):
        config, arrays = head.state()
        again = TypeHead.restore(json.loads(json.dumps(config)), arrays)
        np.testing.assert_array_equal(again.predict(vectors), head.predict(vectors))
        assert again.names == head.names


def test_one_label_makes_one_type() -> None:
    vectors, _, seen = kinds(30)
    head, posterior = TypeHead.fit(vectors, ["all"] * 30, seen.layout, seed=0)
    assert posterior.tolist() == [[1.0]] * 30 and head.predict(vectors[:2]).tolist() == [[1.0], [1.0]]


def test_rare_labels_make_one_type_together() -> None:
    vectors, _, seen = kinds(3 * FEWEST + 6)
    few = ["a"] * FEWEST + ["b"] * (FEWEST + 1) + ["c"] * 5
    assert set(labels_of(outcomes(few), vectors[: len(few)], seen.layout, None, 0)) == {"a", "b"}
    many = ["a"] * FEWEST + ["b"] * FEWEST + [f"rare {i % 5}" for i in range(FEWEST)] + [""] * 6
    found = labels_of(outcomes(many), vectors, seen.layout, None, 0)
    assert found == ["a"] * FEWEST + ["b"] * FEWEST + ["other"] * (FEWEST + 6)


def test_without_labels_types_are_clusters() -> None:
    vectors, labels, seen = kinds()
    for data, wanted in (
        (outcomes([""] * 120), None),
        (outcomes(labels), 3),
        (outcomes(labels, kind="label"), None),
    ):
        found = labels_of(data, vectors, seen.layout, wanted, 0)
        assert 1 < len(set(found)) <= 3, "forty rows a cluster"
        assert all(name.startswith("cluster ") for name in found)
        assert found == labels_of(data, vectors, seen.layout, wanted, 0)
    few = labels_of(outcomes([""] * 30), vectors[:30], seen.layout, None, 0)
    assert few == ["all"] * 30
