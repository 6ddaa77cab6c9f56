"""Run as a program: processes that die in the middle of a change, and processes that change at once.

It forks from a process without threads; what happened is printed as JSON, a line each.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from agentnet import make_router
from agentnet.errors import RegistryConflict
from agentnet.registry.base import Registry, open_registry
from agentnet.registry.database import DatabaseRegistry
from agentnet.registry.folder import FolderRegistry


def _open(where: str, fault: Callable[[str], None]) -> Registry:
    if "://" in where:
        return DatabaseRegistry.open(where, fault=fault)
    return FolderRegistry(where, fault=fault)


def _child(work: Callable[[], int]) -> int:
    """Starts a child; its status is what ``work`` returns."""
    pid = os.fork()
    if pid:
        return pid
    status = 99
    try:
        status = work()
    finally:
        os._exit(status)


def _ended(pid: int) -> int:
    """Returns a child's status; negative: the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _facts(where: str) -> dict[str, Any]:
    registry = open_registry(where)
    try:
        state = registry.state()
        return {
            "serving": state.serving,
            "revision": state.revision,
            "loads": registry.load(state.serving).version if state.serving else None,
            "history": [[x.revision, x.action, x.version] for x in registry.history(1000)],
            "versions": sorted(version.id for version in registry.versions()),
        }
    finally:
        registry.close()


def _tell(facts: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()  # before the next fork


def die(where: str, what: str, points: list[str]) -> None:
    """Kills a process at each point of a change, and looks at what is left; then changes once more."""
    registry = open_registry(where)
    ids = [registry.add(make_router("random", seed=i)).id for i in range(len(points) + 1)]
    if what == "rollback":
        registry.promote(ids[1])
    registry.promote(ids[0])
    registry.close()
    for i, point in enumerate(points, 1):

        def fault(reached: str, point: str = point) -> None:
            if reached == point:
                os.kill(os.getpid(), signal.SIGKILL)

        def work(fault: Callable[[str], None] = fault, i: int = i) -> int:
            mine = _open(where, fault)
            if what == "add":
                mine.add(make_router("random", seed=1000 + i))
            elif what == "rollback":
                mine.rollback()
            else:
                mine.promote(ids[i], reason="to die")
            return 0

        status = _ended(_child(work))
        _tell({"point": point, "status": status, "ids": ids, **_facts(where)})


def race(where: str, n: int, rounds: int) -> None:
    """Lets n processes promote at once, each round from the same revision."""
    registry = open_registry(where)
    ids = [registry.add(make_router("random", seed=i)).id for i in range(n)]
    registry.close()
    for _ in range(rounds):
        before = _facts(where)
        reading, writing = os.pipe()

        def work(i: int, expect: int = before["revision"], gate: tuple[int, int] = (reading, writing)) -> int:
            mine = _open(where, lambda point: None)
            mine.state()
            os.close(gate[1])
            os.read(gate[0], 1)  # ends when the parent lets go
            try:
                mine.promote(ids[i], expect=expect)
            except RegistryConflict:
                return 3
            return 0

        pids = [_child(lambda i=i: work(i)) for i in range(n)]  # type: ignore[misc]
        os.close(reading)
        os.close(writing)
        statuses = [_ended(pid) for pid in pids]
        _tell({"statuses": statuses, "ids": ids, **_facts(where)})


def crowd(where: str, n: int, each: int) -> None:
    """Lets n processes promote again and again, each until it has succeeded so often."""
    registry = open_registry(where)
    ids = [registry.add(make_router("random", seed=i)).id for i in range(n)]
    registry.close()

    def work(i: int) -> int:
        mine, conflicts = _open(where, lambda point: None), 0
        for _ in range(each):
            while True:
                try:
                    mine.promote(ids[i], expect=mine.state().revision)
                    break
                except RegistryConflict:
                    conflicts += 1
        return min(conflicts, 90)

    pids = [_child(lambda i=i: work(i)) for i in range(n)]  # type: ignore[misc]
    _tell({"statuses": [_ended(pid) for pid in pids], **_facts(where)})


if __name__ == "__main__":
    job, place, *rest = sys.argv[1:]
    if job == "die":
        die(place, rest[0], rest[1:])
    elif job == "race":
        race(place, int(rest[0]), int(rest[1]))
    else:
        crowd(place, int(rest[0]), int(rest[1]))
