"""Recorded answers: agents replay them, break and mend; recording goes on where it stopped."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from agentnet.demo.recorded import (
    NONSENSE,
    RecordedTask,
    ReplayedAgents,
    record_answers,
    recorded_tasks,
    right,
    stream,
)
from agentnet.errors import DataError, InvalidInput
from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Task
from agentnet.runtime.runtime import Runtime

NAMES = ["spell_backward", "gcd", "lcm"]


def share(tasks: list[RecordedTask], agent: str) -> float:
    marks = [right(Task(task.text), task.answers[agent]) for task in tasks]
    return sum(map(bool, marks)) / len(marks)


def test_agents_are_good_at_their_own_kind() -> None:
    tasks = recorded_tasks("log", kinds=NAMES)
    assert len(tasks) == 128 and len(recorded_tasks("new", kinds=NAMES)) == 90
    for name in NAMES:
        own = [task for task in tasks if task.kind == name]
        assert share(own, name) > 0.6
    assert 0.4 < share([task for task in tasks if task.kind == "gcd"], "lcm") < 0.6


def test_new_tasks_are_not_in_the_log() -> None:
    assert not {task.text for task in recorded_tasks("log")} & {task.text for task in recorded_tasks("new")}


def test_an_agent_breaks_and_is_mended() -> None:
    agents = ReplayedAgents(NAMES)
    task = next(t for t in recorded_tasks("log", kinds=["gcd"]) if t.answers["gcd"] == t.gold)
    with Runtime(agents.pool) as runtime:
        from agentnet.graphs.task_graph import TaskGraph

        graph = TaskGraph.of(["gcd"])
        assert runtime.run(task.text, graph).answer == task.gold
        agents.broken.add("gcd")
        assert runtime.run(task.text, graph).answer == NONSENSE
        agents.broken.clear()
        assert runtime.run(task.text, graph).answer == task.gold


def test_streams_repeat_and_have_ids_of_their_own() -> None:
    tasks = stream(recorded_tasks("log"), 500, seed=3)
    assert len({task.task_id for task in tasks}) == 500 > len({task.text for task in tasks})
    assert tasks == stream(recorded_tasks("log"), 500, seed=3)


def test_what_is_not_there_is_refused() -> None:
    with pytest.raises(DataError):
        recorded_tasks("log", kinds=["poetry"])
    with pytest.raises(InvalidInput, match="poetry"):
        ReplayedAgents(["poetry"])


class Marks:
    def score(self, item: SimpleNamespace, answer: str) -> float:
        return float(answer == item.gold)


async def test_recording_goes_on_where_it_stopped(tmp_path: Path) -> None:
    asked: list[str] = []

    def echo(text: str) -> str:
        asked.append(text)
        return text

    pool = Pool([Agent(name="echo", call=echo)])
    items = [
        SimpleNamespace(task=Task(f"say {i}", task_id=str(i)), family="echo", gold="say 1") for i in range(3)
    ]
    path = tmp_path / "answers.jsonl"
    async with Runtime(pool) as runtime:
        assert await record_answers(runtime, items[:2], Marks(), path, split="new") == 2  # type: ignore[arg-type]
        assert await record_answers(runtime, items, Marks(), path, split="new") == 1  # type: ignore[arg-type]
    assert asked == ["say 0", "say 1", "say 2"]
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["answers"]["echo"] for row in rows] == asked
