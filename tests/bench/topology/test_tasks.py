from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from agentnet.bench.topology.stories import MATH_FAMILIES
from agentnet.bench.topology.strings import STRING_FAMILIES, WORDS
from agentnet.bench.topology.tasks import POOLS, SPLITS, Item, exact, families, make_items
from agentnet.errors import InvalidInput


@pytest.mark.parametrize("pool", POOLS)
def test_items_are_different_and_stay_the_same(pool: str) -> None:
    items = make_items(pool, "train", 60)
    assert items == make_items(pool, "train", 60) != make_items(pool, "train", 60, seed=6)
    assert len({item.text for item in items}) == len({item.query_id for item in items}) == 60
    sizes = families(items)
    assert set(sizes) == set(MATH_FAMILIES if pool == "math" else STRING_FAMILIES)
    assert max(sizes.values()) - min(sizes.values()) <= 1


@pytest.mark.parametrize("pool", POOLS)
def test_a_recording_that_is_cut_off_is_a_fair_sample(pool: str) -> None:
    items = make_items(pool, "train", 90)
    whole = families(items)
    for name, count in families(items[:30]).items():
        assert abs(count - whole[name] / 3) <= 1


@pytest.mark.parametrize("pool", POOLS)
def test_train_and_test_share_no_task(pool: str) -> None:
    train, test = (make_items(pool, split, 100) for split in SPLITS)
    assert not {item.text for item in train} & {item.text for item in test}
    assert not {item.query_id for item in train} & {item.query_id for item in test}


def test_train_and_test_share_no_word() -> None:
    assert not set(WORDS["train"]) & set(WORDS["test"])
    for split in SPLITS:
        for item in make_items("strings", split, 80):
            words = set(re.findall(r"[a-z]+", item.text)) - {"mirror"}  # stands in a wording, too
            other = SPLITS[1 - SPLITS.index(split)]
            assert words & set(WORDS[split]) and not words & set(WORDS[other])


def test_golds_of_strings_are_right() -> None:
    """Computed once more, from the text alone."""
    for item in make_items("strings", "test", 120):
        [word, *more] = [w for w in re.findall(r"[a-z]+", item.text) if w in WORDS["test"]]
        digits = [int(number) for number in re.findall(r"\d+", item.text)]
        expected = {
            "backward": "".join(reversed(word)),
            "length": str(sum(1 for _ in word)),
            "join": "-".join([word, *more]),
            "repeated": "".join([word] * (digits or [0])[0]),
        }
        if item.family == "count":
            [letter] = [w for w in re.findall(r"\b[a-z]\b", item.text.replace("A painter", "")) if w != "a"][
                :1
            ] or ["a"]
            assert item.gold == str(Counter(word)[letter]), item
        else:
            assert item.gold == expected[item.family], item


def test_golds_of_stories_are_right() -> None:
    signs = {"taken_away": "-", "put_together": "+", "equal_groups": "*"}
    for item in make_items("math", "test", 120):
        numbers = [int(number) for number in re.findall(r"\d+", item.text)]
        gold = float(item.gold)
        if item.family == "calculation":
            formula = re.search(r"\d[\d +*-]*\d", item.text)
            assert formula is not None and eval(formula[0]) == gold
        elif item.family in signs:
            assert eval(f"{numbers[0]} {signs[item.family]} {numbers[1]}") == gold
        elif item.family == "shared_out":
            assert gold * min(numbers) == max(numbers)
        else:
            a, b, c = numbers
            assert gold == (a - b + c if "sold" in item.text else a * b - c)


def test_questions_of_the_pack_are_mixed_in_by_its_own_split(tmp_path: Path) -> None:
    rows = [
        (f"{task}-{split}-{i}", f"{task} {split} question {i}?", str(i), task, split)
        for task in ("svamp", "multiarith", "gsm8k")
        for split in SPLITS
        for i in range(8)
    ]
    names = ("query_id", "text", "gold", "task", "split")
    columns = {name: [row[i] for row in rows] for i, name in enumerate(names)}
    pq.write_table(pa.table({**columns, "metric": ["exact_match"] * len(rows)}), tmp_path / "queries.parquet")
    items = make_items("math", "test", 40, pack=tmp_path)
    sizes = families(items)
    assert len(items) == 40 and sizes["svamp"] == 6 and sizes["multiarith"] == 4 and "gsm8k" not in sizes
    assert all("test" in item.text for item in items if item.family in ("svamp", "multiarith"))
    with pytest.raises(InvalidInput, match="svamp"):
        make_items("math", "test", 400, pack=tmp_path)


def test_what_there_is_not_is_refused() -> None:
    with pytest.raises(InvalidInput, match="pools"):
        make_items("music", "train", 3)
    with pytest.raises(InvalidInput, match="different"):
        make_items("strings", "train", 3000)


def test_scores() -> None:
    assert exact("17.0", "17") == exact("garden-window.", "garden-window") == 1.0
    assert exact("", "17") == exact("312 - 45", "267") == 0.0


def test_a_task_says_nothing_of_its_answer() -> None:
    item = Item("q", "How many?", "7", "svamp", "math", "test")
    assert item.task().text == "How many?" and item.task().task_id == "q"
