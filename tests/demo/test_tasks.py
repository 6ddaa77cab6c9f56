from __future__ import annotations

import re

import pytest

from agentnet.demo.families import FAMILIES, WITH_SPECIALIST, WITHOUT_SPECIALIST
from agentnet.demo.tasks import Verifier, make_tasks
from agentnet.errors import InvalidInput

pytest.importorskip("reasoning_gym", reason="reasoning-gym is not installed: pip install reasoning-gym")


@pytest.fixture(scope="module")
def verifier() -> Verifier:
    return Verifier()


def test_the_same_seed_gives_the_same_tasks_and_another_gives_others() -> None:
    texts = [[task.task.text for task in make_tasks(45, seed=seed)] for seed in (4, 4, 5)]
    assert texts[0] == texts[1]
    assert len(set(texts[0]) & set(texts[2])) < 10


def test_training_and_test_share_no_wording_and_hardly_a_question() -> None:
    train, test = (make_tasks(120, seed=1, split=split) for split in ("train", "test"))
    assert len({task.task.text for task in train} & {task.task.text for task in test}) < 6
    for family in FAMILIES.values():
        assert not set(family.train) & set(family.test)


def test_over_a_third_is_paraphrased_or_has_no_specialist() -> None:
    tasks = make_tasks(120, seed=2, split="test")
    assert sum(not task.has_specialist for task in tasks) == 30
    assert sum(task.paraphrased or not task.has_specialist for task in tasks) > 60
    assert {task.family for task in tasks} == set(FAMILIES)


def test_there_are_enough_families() -> None:
    assert len(FAMILIES) >= 10 and len(WITH_SPECIALIST) >= 8 and len(WITHOUT_SPECIALIST) >= 2


@pytest.mark.parametrize("name", FAMILIES)
def test_each_verifier_takes_the_gold_and_refuses_what_is_not(name: str, verifier: Verifier) -> None:
    for split in ("train", "test"):
        for task in make_tasks(6, seed=3, split=split, families=[name]):
            assert verifier.score(task, f" {task.gold}\n") == 1.0
            for wrong in ("", "0", f"{task.gold} {task.gold}9", "no idea", None, "9" * 5000):
                if wrong != task.gold:
                    assert verifier.score(task, wrong) == 0.0, wrong


@pytest.mark.parametrize("name", FAMILIES)
def test_a_paraphrase_holds_all_that_the_question_holds(name: str) -> None:
    """Every number or name that the plain wording gives for its blanks stands in each paraphrase."""
    family = FAMILIES[name]
    task = make_tasks(1, seed=7, families=[name])[0]
    slots = {key: str(value) for key, value in family.slots(task.entry).items()}
    plain = " ".join(task.entry["question"].split())
    for value in slots.values():
        assert " ".join(value.split()) in plain
    for template in (*family.train, *family.test):
        assert set(re.findall(r"{(\w+)}", template)) == set(slots)


def test_the_scorers_part_stays_out_of_what_a_router_sees() -> None:
    for task in make_tasks(60, seed=9):
        seen = str(task.task.to_dict())
        assert task.family not in seen
        assert task.task.context is None and not task.task.history


@pytest.mark.parametrize("bad", [{"count": 0}, {"count": 3, "seed": -1}, {"count": 3, "families": ["no"]}])
def test_arguments_are_checked(bad: dict) -> None:
    with pytest.raises(InvalidInput):
        make_tasks(**bad)
