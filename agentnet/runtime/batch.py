"""Many tasks at bounded concurrency, resumable from the trace store."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from agentnet.errors import AgentnetError, InvalidInput
from agentnet.graphs.task import Task
from agentnet.runtime.clients.scrub import told
from agentnet.runtime.replayed import result_of
from agentnet.runtime.result import RunResult
from agentnet.traces.records import task_hash

Progress = Callable[[int, int, RunResult], None]
"""Called with (done, total, result) as each task finishes."""
RunOne = Callable[[Task], Awaitable[RunResult]]


def identified(tasks: Sequence[Task]) -> list[Task]:
    """Returns the tasks with a ``task_id`` each: by content and occurrence where there is none.

    Raises:
        InvalidInput: two tasks share an id.

    >>> [t.task_id[-2:] for t in identified([Task("a"), Task("b"), Task("a")])]
    ['-0', '-0', '-1']
    """
    seen: Counter[str] = Counter()
    named = []
    for task in tasks:
        if task.task_id is None:
            key = _hash(task)
            named.append(replace(task, task_id=f"{key}-{seen[key]}"))
            seen[key] += 1
        else:
            named.append(task)
    ids = Counter(task.task_id for task in named)
    if twice := [name for name, count in ids.items() if count > 1]:
        raise InvalidInput(f"the tasks of a batch need different task_ids; given twice: {twice[:5]}.")
    return named


async def finished_before(store: Any, batch_id: str, tasks: Sequence[Task]) -> dict[int, RunResult]:
    """Returns the results of tasks that the store knows to be finished, by position.

    A task whose text, context or history differs from what was run under its id is not finished.
    """

    def read() -> dict[int, RunResult]:
        done = store.finished(batch_id)
        found = {}
        for i, task in enumerate(tasks):
            if task.task_id in done:
                trace = store.run(done[task.task_id])
                if trace.run.task_hash == _hash(task):
                    found[i] = result_of(trace, task)
        return found

    return await asyncio.to_thread(read)


def _hash(task: Task) -> str:
    return task_hash(task.text, task.context, [turn.to_dict() for turn in task.history])


async def run_all(
    tasks: Sequence[Task], run: RunOne, *, concurrency: int, done: dict[int, RunResult]
) -> AsyncGenerator[tuple[int, RunResult], None]:
    """Yields (position, result) as tasks finish, those in ``done`` first; never more than so many at once.

    What fails is a result like any other. Closing the iterator, or cancelling the task that reads it,
    cancels what is running and waits until that has cleaned up.
    """
    for i in sorted(done):
        yield i, done[i]
    waiting = iter([i for i in range(len(tasks)) if i not in done])
    finished: asyncio.Queue[tuple[int, RunResult] | BaseException] = asyncio.Queue()
    workers = [
        asyncio.create_task(_work(waiting, tasks, run, finished))
        for _ in range(min(concurrency, len(tasks) - len(done)))
    ]
    try:
        for _ in range(len(tasks) - len(done)):
            item = await finished.get()
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


async def _work(
    waiting: Iterator[int],
    tasks: Sequence[Task],
    run: RunOne,
    finished: asyncio.Queue[tuple[int, RunResult] | BaseException],
) -> None:
    for i in waiting:
        try:
            finished.put_nowait((i, await _one(tasks[i], run)))
        except Exception as defect:
            # Only a defect gets here; the reader must hear of it instead of waiting for ever.
            finished.put_nowait(defect)
            return


async def _one(task: Task, run: RunOne) -> RunResult:
    try:
        return await run(task)
    except AgentnetError as failure:
        return RunResult(run_id="", task=task, status="error", error=told(failure))


@contextmanager
def reporting(progress: bool | Progress, total: int) -> Iterator[Progress]:
    """Gives a progress function: the caller's, a bar on the terminal, or none."""
    if callable(progress):
        yield progress
        return
    if not progress:
        yield lambda done, total, result: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    with Bar(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    ) as bar:
        handle = bar.add_task("running", total=total)
        yield lambda done, total, result: bar.update(handle, completed=done)
