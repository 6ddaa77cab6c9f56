"""Templated instructions: many, different, and honestly held out."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from agentnet.errors import InvalidInput
from agentnet.routers.intents.instructions import (
    LABELS,
    TASKS,
    TEMPLATES,
    Instruction,
    balanced,
    from_pack,
    templated,
)
from agentnet.routers.intents.templates.slots import NUMBERS, WORDS

SLOT = re.compile(r"\{([a-z]+)\d?\}")


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_held_out_template_never_appears_in_training(seed: int) -> None:
    rows = templated(900, seed=seed)
    train = {row.source for row in rows if row.split == "train"}
    test = {row.source for row in rows if row.split == "test"}
    assert train and test and not train & test
    for label in LABELS:
        sources = {source for source in test if f":{label}:" in source}
        assert len(sources) == pytest.approx(0.2 * len(TEMPLATES[label]), abs=0.5)


def test_no_two_templates_fill_to_the_same_text() -> None:
    # A template on both sides under two numbers would leak; the texts of the sides are apart as well.
    for templates in TEMPLATES.values():
        assert len({SLOT.sub("*", template).lower() for template in templates}) == len(templates)
    rows = templated()
    texts = {side: {row.text for row in rows if row.split == side} for side in ("train", "test")}
    assert not texts["train"] & texts["test"]


def test_about_three_thousand_different_ones_a_third_of_each_label() -> None:
    rows = templated()
    counts = Counter(row.label for row in rows)
    assert len({row.text for row in rows}) == len(rows) >= 2900
    assert set(counts) == set(LABELS)
    assert max(counts.values()) - min(counts.values()) < 60
    sizes = [len(row.text) for row in rows]
    assert min(sizes) < 25
    assert max(sizes) > 150


def test_every_slot_is_known_and_filled() -> None:
    for templates in TEMPLATES.values():
        for template in templates:
            assert set(SLOT.findall(template)) <= set(NUMBERS) | set(WORDS)
    assert not [row.text for row in templated() if SLOT.search(row.text)]


def test_a_numbered_slot_is_the_same_word_again() -> None:
    rows = [
        row.text for row in templated() if "pseudocode" not in row.text and "is reduced by" not in row.text
    ]
    letters = [found for text in rows if (found := re.search(r"If (\w) \+ 1/(\w) = ", text))]
    assert letters
    assert all(found[1] == found[2] for found in letters)


def test_the_seed_decides_everything() -> None:
    assert templated(60, seed=4) == templated(60, seed=4)
    assert templated(60, seed=4) != templated(60, seed=5)


@pytest.mark.parametrize(("count", "held_out"), [(2, 0.2), (30, 0), (30, 1), (30, 0.001)])
def test_impossible_wishes_are_refused(count: int, held_out: float) -> None:
    with pytest.raises(InvalidInput):
        templated(count, held_out=held_out)


def test_balanced_takes_as_many_of_each_label_and_all_of_their_sources() -> None:
    rows = tuple(
        Instruction(f"{label} {source} {i}", label, source, "test")
        for label, source, n in [("math", "a", 50), ("math", "b", 5), ("code", "c", 3)]
        for i in range(n)
    )
    chosen = balanced(rows, 10)
    assert Counter(row.source for row in chosen) == {"a": 5, "b": 5, "c": 3}
    assert chosen == balanced(rows, 10)


def test_pack_queries_keep_their_split_and_tasks_between_labels_are_left_out(tmp_path: Path) -> None:
    rows = [("gsm", "2 + 2?", "test"), ("human_eval", "def f():", "train"), ("physics", "F = ?", "train")]
    table = {
        "query_id": [f"q{i}" for i in range(3)],
        "task": [task for task, _, _ in rows],
        "text": [text for _, text, _ in rows],
        "context": [None] * 3,
        "gold": ["4", "x", "y"],
        "metric": ["exact_match"] * 3,
        "split": [split for _, _, split in rows],
    }
    schema = pa.schema([(name, pa.string()) for name in table])
    pq.write_table(pa.table(table, schema=schema), tmp_path / "queries.parquet")
    assert from_pack(tmp_path) == (
        Instruction("2 + 2?", "math", "gsm", "test"),
        Instruction("def f():", "code", "human_eval", "train"),
    )


@pytest.mark.pack
def test_every_label_is_in_the_packs(data_dir: Path) -> None:
    rows = [row for name in ("zeroeval", "mmlu_pro", "ulab9") for row in from_pack(data_dir / name)]
    assert {row.source for row in rows} == set(TASKS) - {"mbpp"}
    for split in ("train", "test"):
        assert {row.label for row in rows if row.split == split} == set(LABELS)
