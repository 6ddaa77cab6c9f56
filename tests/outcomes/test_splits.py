"""Splits: nothing leaks, shares hold, the deal is repeatable."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentnet.errors import DataError
from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.outcomes.splits import cross_fit, hash_split, leaking, stratified_folds, text_groups
from agentnet.outcomes.table import Outcomes, Queries

texts = st.lists(st.text(max_size=8), min_size=1, max_size=30)


def variant(text: str) -> str:
    return f"  {text.upper()} ?!  ".replace(" ", "\n ")


@settings(deadline=None)
@given(texts)
def test_hash_split_depends_on_the_normalised_text_alone(items):
    sides = hash_split(items)
    assert set(sides.tolist()) <= {"train", "val", "test"}
    assert hash_split(items[::-1]).tolist() == sides[::-1].tolist()
    by_group: dict[int, set[str]] = {}
    for group, side in zip(text_groups(items), sides.tolist(), strict=True):
        by_group.setdefault(int(group), set()).add(side)
    assert all(len(found) == 1 for found in by_group.values())


def test_near_duplicates_share_a_side():
    items = [f"What is {i} plus {i + 1}" for i in range(300)]
    assert hash_split(items).tolist() == hash_split([variant(text) for text in items]).tolist()


def test_hash_split_has_the_shares_asked_for():
    items = [f"question number {i}" for i in range(4000)]
    sides = hash_split(items)
    assert abs(np.mean(sides == "test") - 0.2) < 0.03 and abs(np.mean(sides == "val") - 0.1) < 0.03
    other = hash_split(items, salt="x")
    assert 0.2 < np.mean(sides != other) < 0.7
    assert set(hash_split(items, val=0, test=0).tolist()) == {"train"}
    with pytest.raises(DataError, match="shares"):
        hash_split(items, val=0.5, test=0.5)


def test_hash_split_is_the_same_in_another_process():
    code = (
        "from agentnet.outcomes.splits import hash_split; print(list(map(str, hash_split(list('abcdefgh')))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONHASHSEED": "7"}, check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == str(list(map(str, hash_split(list("abcdefgh")))))


@settings(deadline=None)
@given(st.data(), st.integers(2, 6), st.integers(0, 5))
def test_folds_keep_groups_together_and_balance_labels(data, k, seed):
    n = data.draw(st.integers(k, 60))
    labels = data.draw(st.lists(st.sampled_from("abc"), min_size=n, max_size=n))
    fold = stratified_folds(labels, k, seed)
    assert fold.tolist() == stratified_folds(labels, k, seed).tolist()
    total = np.bincount(fold, minlength=k)
    assert total.max() - total.min() <= 1
    for label in set(labels):
        count = np.bincount(fold[np.array(labels) == label], minlength=k)
        assert count.max() - count.min() <= 1
    groups = np.array(data.draw(st.lists(st.integers(0, 100), min_size=n, max_size=n)))
    if len(np.unique(groups)) >= k:
        fold = stratified_folds(labels, k, seed, groups=groups)
        assert all(len(set(fold[groups == group].tolist())) == 1 for group in groups)
        assert (np.bincount(fold, minlength=k) > 0).all()


def test_another_seed_deals_otherwise_and_too_many_folds_are_refused():
    labels = ["a"] * 50
    assert stratified_folds(labels, 5, 0).tolist() != stratified_folds(labels, 5, 1).tolist()
    with pytest.raises(DataError, match="50 groups"):
        stratified_folds(labels, 51)
    with pytest.raises(DataError):
        stratified_folds(labels, 1)
    with pytest.raises(DataError, match="agree"):
        stratified_folds(labels, 5, groups=np.arange(3))


def table(n: int) -> Outcomes:
    items = [f"question {i // 2} " + ("?" if i % 2 else "") for i in range(n)]  # every text stands twice
    queries = Queries(
        query_id=np.array([str(i) for i in range(n)]),
        text=tuple(items),
        split=np.full(n, "train"),
        task=tuple("easy" if i // 2 % 4 else "hard" for i in range(n)),
    )
    pool = Pool([Agent(name="a")])
    return Outcomes(queries=queries, pool=pool, score=np.ones((n, 1), np.float32), cost=np.zeros((n, 1)))


def test_cross_fit_tests_every_row_once_without_leaks():
    outcomes = table(400)
    tested = np.zeros(400, int)
    for fold in cross_fit(outcomes, 5, seed=3):
        assert not leaking(fold.queries).any()
        split = fold.queries.split
        tested += split == "test"
        assert np.mean(split == "test") == pytest.approx(0.2, abs=0.01)
        assert np.mean(split == "val") == pytest.approx(0.1, abs=0.02)
        for name in ("train", "val", "test"):
            hard = np.array(fold.split(name).queries.task) == "hard"
            assert hard.mean() == pytest.approx(0.25, abs=0.05)
        assert fold.queries.query_id.tolist() == outcomes.queries.query_id.tolist()
    assert (tested == 1).all()
    with pytest.raises(DataError, match="val"):
        next(cross_fit(outcomes, val=1))


def test_leaking_names_the_rows():
    queries = Queries(
        query_id=np.array(list("1234")),
        text=("Same text", "same  text!", "other", "third"),
        split=np.array(["train", "test", "test", "test"]),
    )
    assert leaking(queries).tolist() == [True, True, False, False]
