"""Several processes and threads at once, and processes that are killed in the middle of a change."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentnet.errors import RegistryConflict
from agentnet.registry.base import Registry
from agentnet.registry.folder import FolderRegistry

from .conftest import router

PROGRAM = Path(__file__).with_name("processes.py")
FOLDER = {"locked": False, "written": False, "renamed": True, "changed": True, "logged": True}
DATABASE = {"locked": False, "changed": False, "logged": False, "committed": True}
"""Points of a change, and whether it has happened there."""


def _run(*arguments: Any) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, str(PROGRAM), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def _gapless(found: dict[str, Any]) -> None:
    assert [line[0] for line in found["history"]] == list(range(found["revision"], 0, -1))


@pytest.mark.parametrize("what", ["promote", "rollback"])
def test_a_crash_leaves_the_old_or_the_new_version_never_half_of_it(where: str, what: str) -> None:
    """Killed (kill -9) before the change is whole, the old version serves; after it, the new one."""
    points = FOLDER if "://" not in where else DATABASE
    if what == "rollback":
        points = dict(list(points.items())[:2])
    found = _run("die", where, what, *points)
    assert [one["point"] for one in found] == list(points)
    revision, serving = 1 + (what == "rollback"), found[0]["ids"][0]
    for i, one in enumerate(found, 1):
        assert one["status"] == -signal.SIGKILL, "it must have died where it was to"
        if points[one["point"]]:
            revision, serving = revision + 1, one["ids"][i]
        assert (one["point"], one["revision"], one["serving"]) == (one["point"], revision, serving)
        assert one["loads"] == serving, "what serves can be loaded"
        assert one["history"][0][2] == serving
        _gapless(one)


def test_after_a_crash_the_next_change_goes_on(where: str, open_at: Callable[..., Registry]) -> None:
    points = FOLDER if "://" not in where else DATABASE
    last = _run("die", where, "promote", *points)[-1]
    registry = open_at()
    state = registry.promote(last["ids"][0], expect=last["revision"])
    assert state.revision == last["revision"] + 1
    told = [(change.revision, change.version) for change in registry.history()]
    assert told == [(state.revision, last["ids"][0]), *((line[0], line[2]) for line in last["history"])]
    if isinstance(registry, FolderRegistry):
        lines = [json.loads(line) for line in (Path(where) / "history.jsonl").read_text().splitlines()]
        assert [line["revision"] for line in lines] == list(range(1, state.revision + 1)), "the file itself"
        assert not list(Path(where).glob(".*")), "what the killed left behind is gone"


def test_a_crash_while_a_router_is_added_leaves_no_half_of_it(where: str) -> None:
    (one,) = _run("die", where, "add", "saved")
    assert one["status"] == -signal.SIGKILL
    assert one["versions"] == sorted(one["ids"]), "those from before, and nothing of the killed one"


@pytest.mark.parametrize("n", [2, 8])
def test_of_processes_that_promote_at_once_one_wins(where: str, n: int) -> None:
    rounds = 5
    found = _run("race", where, n, rounds)
    for number, one in enumerate(found, 1):
        assert sorted(one["statuses"]) == [0] + [3] * (n - 1), "one wins, the others are told of a conflict"
        assert one["serving"] == one["ids"][one["statuses"].index(0)]
        assert one["revision"] == number
        _gapless(one)
    assert len(found) == rounds


def test_processes_that_try_again_all_get_their_turn(where: str) -> None:
    (found,) = _run("crowd", where, 4, 8)
    assert max(found["statuses"]) <= 90, found
    assert found["revision"] == 32
    _gapless(found)
    counts = [sum(line[2] == one for line in found["history"]) for one in found["versions"]]
    assert counts == [8] * 4, "every success is in the history once"


def test_of_threads_that_promote_at_once_one_wins(open_at: Callable[..., Registry]) -> None:
    shared = open_at()
    ids = [shared.add(router(i)).id for i in range(8)]
    for expect in range(4):
        won: list[str] = []
        lost: list[RegistryConflict] = []
        gate = threading.Barrier(8)

        def promote(
            version: str, gate: Any = gate, won: Any = won, lost: Any = lost, e: int = expect
        ) -> None:
            gate.wait(30)
            try:
                shared.promote(version, expect=e)
                won.append(version)
            except RegistryConflict as conflict:
                lost.append(conflict)

        threads = [threading.Thread(target=promote, args=(one,)) for one in ids]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert (len(won), len(lost)) == (1, 7)
        assert (shared.state().serving, shared.state().revision) == (won[0], expect + 1)
    assert [change.revision for change in shared.history()] == [4, 3, 2, 1]


def test_the_same_router_added_at_once_is_kept_once(open_at: Callable[..., Registry]) -> None:
    registries = [open_at() for _ in range(4)]
    gate = threading.Barrier(4)
    failed: list[BaseException] = []

    def add(registry: Registry) -> None:
        try:
            gate.wait(30)
            registry.add(router(7), metrics={"by": 1})
        except BaseException as failure:
            failed.append(failure)

    threads = [threading.Thread(target=add, args=(one,)) for one in registries]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []
    (version,) = registries[0].versions()
    assert registries[1].load(version.id).version == version.id


def test_a_change_that_fails_half_way_changes_nothing(open_at: Callable[..., Registry], where: str) -> None:
    whole = open_at()
    a, b = (whole.add(router(i)).id for i in range(2))
    whole.promote(a)
    before = whole.state(), whole.history()
    for point in [p for p, done in (FOLDER if "://" not in where else DATABASE).items() if not done]:

        def fault(reached: str, point: str = point) -> None:
            if reached == point:
                raise RuntimeError("no room")

        with pytest.raises(RuntimeError):
            open_at(fault=fault).promote(b)
        assert (whole.state(), whole.history()) == before
    assert whole.promote(b, expect=1).serving == b, "and the lock was let go of"
