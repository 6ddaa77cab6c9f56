"""Generated tasks with their verifiers: what a router sees, and what only the scorer sees."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal

import numpy as np

from agentnet.demo.families import FAMILIES, WITH_SPECIALIST, WITHOUT_SPECIALIST, Family
from agentnet.errors import InvalidInput, MissingDependency
from agentnet.graphs.task import Task

Split = Literal["train", "test"]
SPLITS: tuple[Split, ...] = ("train", "test")
INSTALL = "pip install 'agentnet-routing[demo]'"
SHARE_WITHOUT = 0.25
"""Share of the tasks from families that no agent can do."""
SHARE_PARAPHRASED = 0.5
"""Share of each family's tasks that are not in reasoning-gym's own wording."""
FULL = 1.0
"""A verifier's score from which an answer counts as right: nothing less than full marks."""
_LONGEST_ANSWER = 400
_TRIES = 5000


@dataclass(frozen=True, slots=True)
class DemoTask:
    """A task with what only the scorer may see.

    Routers and agents are given `task` and nothing else; its text is all they get.
    """

    task: Task
    family: str = field(repr=False)
    paraphrased: bool = field(repr=False)
    split: Split = field(repr=False)
    entry: Mapping[str, Any] = field(repr=False, compare=False)
    """What reasoning-gym generated, for its verifier."""

    @property
    def gold(self) -> str:
        """The expected answer; other forms of it may be right as well."""
        return str(self.entry["answer"])

    @property
    def has_specialist(self) -> bool:
        """Whether the pool has an agent made for this family."""
        return any(self.family == family.name for family in WITH_SPECIALIST)


class Verifier:
    """Scores answers with reasoning-gym's own verifiers: 1 for full marks, else 0.

    Several verifiers give part of a mark to an answer that is nearly right; such an answer is wrong here.
    Two families have one condition more (`Family.right`).

    Raises:
        MissingDependency: reasoning-gym is not installed.
    """

    def __init__(self) -> None:
        self._datasets: dict[str, Any] = {}
        _reasoning_gym()

    def score(self, task: DemoTask, answer: str | None) -> float:
        """Returns 1.0 for a right answer, 0.0 for a wrong one or none."""
        if answer is None or len(answer) > _LONGEST_ANSWER:
            return 0.0
        if task.family not in self._datasets:
            self._datasets[task.family] = _dataset(FAMILIES[task.family], 1, 0)
        try:
            marks = float(self._datasets[task.family].score_answer(answer.strip(), dict(task.entry)))
            right = marks >= FULL and FAMILIES[task.family].right(task.entry, answer.strip())
        except Exception:  # a verifier that trips over an answer has not found it right
            return 0.0
        return float(right)


def make_tasks(
    count: int, *, seed: int = 0, split: Split = "train", families: Iterable[str] | None = None
) -> list[DemoTask]:
    """Generates tasks in random order, the same for the same arguments.

    Families take turns, so that each has its share (`SHARE_WITHOUT`, `SHARE_PARAPHRASED`). Training and
    test tasks differ in their numbers and words, and paraphrases of the test are never heard in training.

    Args:
        count: How many tasks.
        seed: Of everything random.
        split: ``"train"`` or ``"test"``.
        families: Names of the families to draw from; default all.

    Raises:
        InvalidInput: an argument cannot be used.
        MissingDependency: reasoning-gym is not installed.
    """
    if count < 1 or seed < 0 or split not in SPLITS:
        raise InvalidInput("make_tasks needs count >= 1, seed >= 0 and split 'train' or 'test'.")
    rng = np.random.default_rng([seed, SPLITS.index(split)])
    plan = _plan(count, rng, families)
    source = {name: _asked(FAMILIES[name], rng, plan.count(name), split) for name in dict.fromkeys(plan)}
    tasks = []
    for number, name in enumerate(plan):
        text, paraphrased, entry = next(source[name])
        task = Task(text, task_id=f"{split}-{seed}-{number:05d}")
        tasks.append(DemoTask(task, name, paraphrased, split, entry))
    return [tasks[i] for i in rng.permutation(count)]


def _plan(count: int, rng: np.random.Generator, families: Iterable[str] | None) -> list[str]:
    if families is not None:
        names = list(families)
        if unknown := sorted(set(names) - set(FAMILIES)):
            raise InvalidInput(f"no families {unknown}; there are {', '.join(FAMILIES)}.")
        if not names:
            raise InvalidInput("no families to draw from.")
        return [names[i % len(names)] for i in range(count)]
    without = round(count * SHARE_WITHOUT)
    plan: list[str] = []
    for group, size in ((WITH_SPECIALIST, count - without), (WITHOUT_SPECIALIST, without)):
        order = rng.permutation(len(group))
        plan.extend(group[order[i % len(group)]].name for i in range(size))
    return plan


def _asked(
    family: Family, rng: np.random.Generator, count: int, split: Split
) -> Iterator[tuple[str, bool, Mapping[str, Any]]]:
    """Text, whether it is a paraphrase, and entry of ``count`` tasks; paraphrases take turns."""
    templates = family.train if split == "train" else family.test
    turn = int(rng.integers(len(templates)))
    due = float(rng.random())
    for entry in _entries(family, rng, count):
        due += SHARE_PARAPHRASED
        if due < 1:
            yield " ".join(entry["question"].split()), False, entry
            continue
        due -= 1
        turn += 1
        yield templates[turn % len(templates)].format(**family.slots(entry)), True, entry


def _entries(family: Family, rng: np.random.Generator, count: int) -> list[Mapping[str, Any]]:
    """Entries of a fresh dataset that the family keeps, no question twice where that can be had."""
    dataset = _dataset(family, count * _TRIES, int(rng.integers(2**31)))
    kept = (entry for entry in dataset if family.keep(entry))
    seen: set[str] = set()
    fresh: list[Mapping[str, Any]] = []
    for entry in islice(kept, 20 * count):
        if entry["question"] not in seen:
            seen.add(entry["question"])
            fresh.append(entry)
        if len(fresh) == count:
            break
    while len(fresh) < count:  # small families, such as coins, have few different questions
        fresh.append(fresh[int(rng.integers(len(fresh)))])
    return fresh


def _dataset(family: Family, size: int, seed: int) -> Any:
    return _reasoning_gym().create_dataset(family.dataset, size=size, seed=seed, **dict(family.config))


def _reasoning_gym() -> Any:
    try:
        import reasoning_gym
    except ImportError:
        raise MissingDependency(f"the tasks need reasoning-gym; install it with `{INSTALL}`.") from None
    return reasoning_gym
