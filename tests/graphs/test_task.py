from __future__ import annotations

import pytest

from agentnet.errors import TaskError
from agentnet.graphs.task import MAX_TEXT, Message, Task


def test_json_round_trip():
    task = Task("q", context="c", history=[{"role": "user", "content": "hi"}], session_id="s", task_id="t")
    assert task.history == (Message("user", "hi"),)
    assert Task.of(task.to_dict()) == task and Task.of(task) is task and Task.of("q") == Task("q")
    assert task.with_history([]).history == ()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Task(""), "empty"),
        (lambda: Task(" \n"), "empty"),
        (lambda: Task(b"bytes"), "decode bytes"),
        (lambda: Task(None), "must be text"),
        (lambda: Task("a\udcff"), "not valid Unicode"),
        (lambda: Task("x" * (MAX_TEXT + 1)), "400,000"),
        (lambda: Task("x" * 1_048_576), "1,048,576 characters"),
        (lambda: Task("q", context=b"c"), "context"),
        (lambda: Task("q", session_id=5), "session_id must be text"),
        (lambda: Task("q", task_id=5), "task_id must be text"),
        (lambda: Task("q", history=[{"role": "user"}]), "history is a list of messages"),
        (lambda: Task("q", history=["hi"]), "history is a list of messages"),
        (lambda: Task("q", history=3), "history is a list of messages"),
        (lambda: Task("q", history=[Message("user", "\ud800")]), "turn of the history"),
        (lambda: Task.of(3), "text or a Task"),
        (lambda: Task.of({"question": "q"}), "JSON form"),
    ],
)
def test_bad_tasks_say_what_is_wrong(make, words):
    with pytest.raises(TaskError, match=words):
        make()
