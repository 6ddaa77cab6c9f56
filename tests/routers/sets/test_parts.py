"""Queries are cut where the two requests meet, and joined ones are told from single ones."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentnet.routers.sets.parts import (
    LEAST_WORDS,
    MOST_WORDS,
    Cut,
    Seen,
    Splitter,
    best_cuts,
    learn_splitter,
)

from .words import NAMES, Words, query


def cut_of(text: str) -> Cut | None:
    score = Words()
    return best_cuts([text], score([text]), score)[0]


def seen(kind: str, n: int = 60, *, seed: int = 0) -> Seen:
    """Queries of one agent, or of two joined by a word of nobody's."""
    rng = np.random.default_rng([seed, len(kind)])
    texts = []
    for _ in range(n):
        a, b = rng.choice(NAMES, 2, replace=False)
        first, second = (query(rng, agent, int(rng.integers(3, 9))) for agent in (a, b))
        join = rng.choice([" ", " xand ", " xand xalso "])
        texts.append(
            f"{first}{join}{second}" if kind == "joined" else query(rng, a, int(rng.integers(3, 14)))
        )
    score = Words()
    whole = score(texts)
    return Seen(texts, whole.max(1), best_cuts(texts, whole, score))


@pytest.fixture(scope="module")
def splitter() -> Splitter:
    return learn_splitter(seen("joined"), seen("single"))


@pytest.mark.parametrize("first", [2, 3, 5, 9, 20])
@pytest.mark.parametrize("second", [2, 4, 13])
def test_the_cut_is_where_the_requests_meet(first: int, second: int) -> None:
    a, b = (" ".join(f"{name}{i}" for i in range(n)) for name, n in (("a", first), ("c", second)))
    cut = cut_of(f"{a} {b}")
    assert cut is not None
    # Whole parts would need every place to be tried; nearly all words of each request are together.
    wrong = sum(word[0] != "a" for word in cut.parts[0].split()) + sum(
        w[0] != "c" for w in cut.parts[1].split()
    )
    assert wrong <= max(1, (first + second) // 10)
    assert [NAMES[int(i)] for i in cut.chances.argmax(1)] == ["a", "c"]


@given(st.lists(st.sampled_from(["a1", "b2", "c3", "x4"]), min_size=1, max_size=80))
def test_the_parts_are_the_query(words: list[str]) -> None:
    cut = cut_of(" ".join(words))
    if len(words) < 2 * LEAST_WORDS:
        assert cut is None
        return
    assert cut is not None
    first, second = (part.split() for part in cut.parts)
    assert first + second == words
    assert len(first) >= LEAST_WORDS and len(second) >= LEAST_WORDS
    assert len(first) < MOST_WORDS
    assert np.isfinite(cut.features).all()


@given(st.lists(st.sampled_from(["a1", "b2", "x4"]), min_size=4, max_size=58))
def test_the_scores_of_a_cut_are_those_of_its_parts(words: list[str]) -> None:
    cut = cut_of(" ".join(words))
    assert cut is not None
    np.testing.assert_allclose(cut.chances, Words()(list(cut.parts)), rtol=1e-6)


def test_few_texts_are_scored_however_long_the_query() -> None:
    score = Words()
    best_cuts(["a1 " * 200], Words()(["a1 " * 200]), score)
    assert len(score.asked) <= 24


def test_queries_are_cut_alike_alone_and_together() -> None:
    texts = ["a1 a2 b1 b2", "a1 a2", "c1 c2 c3 d1 d2 d3 d4", "a1 a2 b1 b2"]
    score = Words()
    together = best_cuts(texts, score(texts), score)
    alone = [cut_of(text) for text in texts]
    assert [c and c.parts for c in together] == [c and c.parts for c in alone]
    assert best_cuts([], score([]), score) == []


def test_joined_and_single_queries_are_told_apart(splitter: Splitter) -> None:
    fresh = [cut for cut in seen("joined", seed=1).cuts if cut is not None]
    others = [cut for cut in seen("single", seed=1).cuts if cut is not None]
    assert np.mean([splitter.chance(cut) > 0.5 for cut in fresh]) > 0.9
    assert np.mean([splitter.chance(cut) > 0.5 for cut in others]) < 0.1
    assert all(0 <= splitter.chance(cut) <= 1 for cut in (*fresh, *others))


def test_parts_of_one_agent_are_one_request(splitter: Splitter) -> None:
    cut = cut_of("a1 a2 a3 a4 a5 a6")
    assert cut is not None and splitter.chance(cut) == 0.0


def test_the_gate_looks_at_the_joined_ones(splitter: Splitter) -> None:
    ours, others = seen("joined", seed=2), seen("single", seed=2)
    looked = splitter.looks_at(ours.texts, ours.best)
    assert looked.dtype == bool and looked.mean() >= 0.9
    assert splitter.looks_at(others.texts, others.best).mean() < looked.mean()
    # A short query that is sure is spared the look.
    assert not splitter.looks_at(["a1 a2 a3"], np.array([0.999]))[0]


def test_what_was_not_learned_never_splits() -> None:
    few = learn_splitter(seen("joined", 10), seen("single", 10))
    assert few == Splitter()
    assert not few.looks_at(["a1 a2 b1 b2"], np.array([0.2]))[0]
    cut = cut_of("a1 a2 b1 b2")
    assert cut is not None and few.chance(cut) == 0.0


def test_a_splitter_is_json(splitter: Splitter) -> None:
    for one in (splitter, Splitter()):
        assert Splitter.from_dict(json.loads(json.dumps(one.to_dict(), allow_nan=False))) == one


def test_the_same_queries_make_the_same_splitter(splitter: Splitter) -> None:
    assert learn_splitter(seen("joined"), seen("single")) == splitter
