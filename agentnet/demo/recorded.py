"""Recorded answers of the embedded model, and agents that give them again: for trying things out in seconds.

The answers were recorded live, from the demo's specialists on the demo's tasks (`record_answers`). The model
is greedy, so that asking it again would give the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agentnet.errors import DataError, InvalidInput
from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Task
from agentnet.learning.scoring.metrics import gold_score

if TYPE_CHECKING:
    from agentnet.demo.tasks import DemoTask, Verifier
    from agentnet.runtime.runtime import Runtime

NOTHING = "(no answer)"
"""What a replayed agent says where its program failed: it is wrong, as it was then."""
NONSENSE = "I am a teapot."
"""What a broken agent says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedTask:
    """A task with what the agents answered.

    Attributes:
        task_id: The demo's name for it.
        kind: Its family, which is also the name of the agent made for it.
        split: ``"log"`` for tasks to learn from, ``"new"`` for ones that were recorded later, to look at
            what was learned.
        text: The question.
        gold: The right answer.
        answers: By agent; "" where its program failed.
    """

    task_id: str
    kind: str
    split: str
    text: str
    gold: str
    answers: Mapping[str, str]


@cache
def _all() -> tuple[RecordedTask, ...]:
    text = (files("agentnet.demo") / "data" / "answers.jsonl").read_text(encoding="utf-8")
    return tuple(RecordedTask(**json.loads(line)) for line in text.splitlines())


def recorded_tasks(split: str | None = None, *, kinds: Iterable[str] | None = None) -> list[RecordedTask]:
    """Returns the recorded tasks.

    >>> sorted({task.kind for task in recorded_tasks("log")})
    ['count_bits', 'gcd', 'lcm', 'spell_backward']

    Raises:
        DataError: there are none of that split and those kinds.
    """
    wanted = None if kinds is None else set(kinds)
    found = [
        task for task in _all()
        if split in (None, task.split) and (wanted is None or task.kind in wanted)
    ]  # fmt: skip
    if not found:
        raise DataError(f"no recorded tasks of split {split!r} and kinds {sorted(wanted or ())}.")
    return found


def stream(tasks: Sequence[RecordedTask], count: int, *, seed: int) -> list[Task]:
    """Returns tasks drawn with replacement, as users who ask the same things again.

    Each has a ``task_id`` of its own: routers that explore draw by it, so that a question that comes again is
    not always given to the same agent.

    >>> [task.task_id for task in stream(recorded_tasks("log"), 2, seed=7)]
    ['7-0', '7-1']
    """
    chosen = np.random.default_rng(seed).integers(len(tasks), size=count)
    return [Task(tasks[at].text, task_id=f"{seed}-{i}") for i, at in enumerate(chosen.tolist())]


def right(task: Task, answer: str) -> bool | None:
    """Verifies an answer to a recorded task; None to any other task.

    On the command line: ``agentnet traces score --with verifier:agentnet.demo.recorded:right``.

    >>> task = recorded_tasks("new", kinds=["gcd"])[0]
    >>> right(Task(task.text), task.gold), right(Task(task.text), NONSENSE), right(Task("hello"), "hello")
    (True, False, None)
    """
    gold = _golds().get(task.text)
    return None if gold is None else gold_score(answer, gold) == 1.0


@cache
def _golds() -> Mapping[str, str]:
    return {task.text: task.gold for task in _all()}


class ReplayedAgents:
    """Agents that answer as they did when they were recorded, and that can be broken.

    Attributes:
        pool: The agents: callables, without a model.
        broken: Names of those that answer nonsense now.

    >>> agents = ReplayedAgents(["gcd", "lcm"])
    >>> task = recorded_tasks("log", kinds=["gcd"])[0]
    >>> agents.pool["gcd"].call(task.text) == task.answers["gcd"]
    True
    >>> agents.broken.add("gcd")
    >>> agents.pool["gcd"].call(task.text)
    'I am a teapot.'

    Raises:
        InvalidInput: there are no recorded answers of an agent.
    """

    def __init__(self, names: Sequence[str]) -> None:
        from agentnet.demo.specialists import specialists

        described = specialists()
        tasks = {task.text: task.answers for task in _all()}
        known = set.intersection(*(set(answers) for answers in tasks.values()))
        if unknown := sorted(set(names) - known):
            raise InvalidInput(f"no answers of {unknown} are recorded; there are {', '.join(sorted(known))}.")
        self._answers = tasks
        self.broken: set[str] = set()
        self.pool = Pool(
            Agent(name=name, description=described[name].description, call=self._caller(name))
            for name in names
        )

    def _caller(self, name: str) -> Callable[[str], str]:
        def call(text: str) -> str:
            if name in self.broken:
                return NONSENSE
            return self._answers[text][name] or NOTHING if text in self._answers else NOTHING

        return call


async def record_answers(
    runtime: Runtime, tasks: Sequence[DemoTask], verifier: Verifier, path: Path, *, split: str
) -> int:
    """Asks every agent of a runtime's pool every task, live, and appends what they answered to a file.

    Tasks that are in the file are not asked again.

    Returns:
        How many tasks were asked now.

    Raises:
        DataError: the gold answers and the tasks' own verifier disagree on an answer: then `right` would too.
    """
    from agentnet.graphs.task_graph import TaskGraph

    done = _done(path)
    fresh = [item for item in tasks if item.task.task_id not in done]
    for item in fresh:
        answers = {}
        for name in runtime.pool.names:
            answer = (await runtime.arun(item.task, TaskGraph.of([name]))).answer
            if gold_score(answer, item.gold) != verifier.score(item, answer):
                raise DataError(f"{item.task.text!r}: is {answer!r} right? Gold is {item.gold!r}.")
            answers[name] = answer
        row = {
            "task_id": item.task.task_id, "kind": item.family, "split": split, "text": item.task.text,
            "gold": item.gold, "answers": answers,
        }  # fmt: skip
        _append(path, row)
    return len(fresh)


def _done(path: Path) -> set[str]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {json.loads(line)["task_id"] for line in lines}


def _append(path: Path, row: Mapping[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")
