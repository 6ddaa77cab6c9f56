"""Narrowing shows the best agents, in an order that can be told, and says what it loses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentnet.errors import InvalidInput
from agentnet.routers.reasoning.narrow import narrow, needed, recall_at

NAMES = tuple("edcba")


@given(st.lists(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=5, max_size=5), min_size=1, max_size=4))
def test_it_shows_the_best_and_breaks_ties_by_name(rows: list[list[float]]) -> None:
    for k in (1, 3, 5, 9):
        for row, shown in zip(rows, narrow(np.array(rows), NAMES, k), strict=True):
            by_hand = sorted(NAMES, key=lambda name, row=row: (-row[NAMES.index(name)], name))
            assert shown == tuple(by_hand[:k])


def test_unknown_scores_come_last() -> None:
    assert narrow(np.array([[np.nan, -1.0, 2.0]]), ["a", "b", "c"], 3) == [("c", "b", "a")]


def test_the_order_of_the_columns_does_not_matter() -> None:
    scores = np.random.default_rng(0).integers(0, 3, (20, 5)).astype(float)
    turned = np.random.default_rng(1).permutation(5)
    again = narrow(scores[:, turned], [NAMES[j] for j in turned], 3)
    assert again == narrow(scores, NAMES, 3)


def test_blocks_of_rows_join() -> None:
    scores = np.random.default_rng(0).random((1300, 5))
    assert narrow(scores, NAMES, 2) == [narrow(row[None], NAMES, 2)[0] for row in scores]


class TestShuffled:
    scores = np.random.default_rng(2).random((200, 5))
    texts = tuple(f"query {i}" for i in range(200))

    def test_the_same_agents_are_shown_and_every_place_is_as_likely(self) -> None:
        best = narrow(self.scores, NAMES, 3)
        shuffled = narrow(self.scores, NAMES, 3, order="shuffled", texts=self.texts)
        assert [set(row) for row in best] == [set(row) for row in shuffled]
        places = [row.index(first[0]) for first, row in zip(best, shuffled, strict=True)]
        counts = np.bincount(places, minlength=3)
        assert counts.min() > 40, "200 tasks, three places: 67 each on average"

    def test_it_depends_on_the_seed_and_the_task_alone(self) -> None:
        whole = narrow(self.scores, NAMES, 4, order="shuffled", seed=3, texts=self.texts)
        for i in (0, 7, 199):
            alone = narrow(self.scores[i : i + 1], NAMES, 4, order="shuffled", seed=3, texts=[self.texts[i]])
            assert alone == [whole[i]]
        assert whole != narrow(self.scores, NAMES, 4, order="shuffled", seed=4, texts=self.texts)

    def test_it_needs_the_texts(self) -> None:
        with pytest.raises(InvalidInput, match="give texts"):
            narrow(self.scores, NAMES, 3, order="shuffled")


def test_recall_counts_tasks_whose_agents_are_all_shown() -> None:
    rng = np.random.default_rng(4)
    scores = rng.integers(0, 4, (40, 5)).astype(float)
    gold = [tuple(rng.choice(NAMES, size=rng.integers(0, 3), replace=False)) for _ in range(40)]
    told = recall_at(scores, NAMES, gold, [1, 2, 5])
    for k in (1, 2, 5):
        pairs = [(g, s) for g, s in zip(gold, narrow(scores, NAMES, k), strict=True) if g]
        assert told[k] == pytest.approx(np.mean([set(g) <= set(s) for g, s in pairs]))
    assert told[1] < told[2] < told[5] == 1


def test_an_agent_that_is_not_in_the_pool_is_never_shown() -> None:
    scores = np.ones((2, 5))
    assert needed(scores, NAMES, [["a"], ["a", "new"]]).tolist() == [1, np.inf]
    assert recall_at(scores, NAMES, [["a"], ["a", "new"]], [5]) == {5: 0.5}


def test_out_of_scope_tasks_have_no_recall() -> None:
    assert np.isnan(recall_at(np.ones((1, 5)), NAMES, [()], [3])[3])


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: narrow(np.ones((1, 4)), NAMES, 2), "for A agents"),
        (lambda: narrow(np.ones(5), NAMES, 2), "for A agents"),
        (lambda: narrow(np.ones((1, 5)), NAMES, 0), "from 1"),
        (lambda: narrow(np.ones((1, 5)), NAMES, 2, order="worst"), "'best' or 'shuffled'"),
        (lambda: recall_at(np.ones((2, 5)), NAMES, [["a"]], [1]), "sets of gold agents"),
    ],
)
def test_bad_input_is_told(call: object, match: str) -> None:
    with pytest.raises(InvalidInput, match=match):
        call()  # type: ignore[operator]
