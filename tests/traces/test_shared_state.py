"""A shared state loses no update and applies none twice, whatever the processes do."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from sqlalchemy import text

from agentnet.errors import InvalidInput, StoreError
from agentnet.traces.shared_state import Applied, SharedState
from agentnet.traces.store import TraceStore


def add(payload: bytes | None, items: Sequence[int]) -> bytes:
    """Keeps the sum and how many there were."""
    total, n = json.loads(payload) if payload else (0, 0)
    return json.dumps([total + sum(items), n + len(items)]).encode()


def test_items_are_applied_once_and_in_order(store: TraceStore) -> None:
    state = SharedState(store, "s")
    assert state.read() == (0, None)
    seen: list[list[str]] = []

    def note(payload: bytes | None, items: list[str]) -> bytes:
        seen.append(items)
        return (payload or b"") + "".join(items).encode()

    assert state.apply({"2": "b", "1": "a"}, note) == Applied(1, ("2", "1"))
    assert state.apply({"1": "A", "3": "c", "2": "B"}, note) == Applied(2, ("3",))
    assert state.apply({"3": "c"}, note) == Applied(2, ())
    assert state.apply({}, note) == Applied(2, ())
    assert (state.read(), seen) == ((2, b"bac"), [["b", "a"], ["c"]])
    assert state.applied(["1", "4"]) == {"1"}


def test_binary_payloads_come_back_whole(store: TraceStore) -> None:
    data = bytes(range(256)) * 4000
    state = SharedState(store, "s")
    state.apply({"k": 0}, lambda payload, items: data)
    assert state.read() == (1, data)


def test_only_a_newer_payload_is_fetched(store: TraceStore) -> None:
    state = SharedState(store, "s")
    assert state.read(newer_than=0) == (0, None)
    state.apply({"k": 1}, add)
    assert state.read(newer_than=0) == (1, b"[1, 1]")
    assert state.read(newer_than=1) == (1, None)


def test_names_keep_states_apart(store: TraceStore) -> None:
    one, two = SharedState(store, "one"), SharedState(store, "two")
    one.apply({"k": 1}, add)
    two.apply({"k": 10}, add)
    assert (one.read(), two.read()) == ((1, b"[1, 1]"), (1, b"[10, 1]"))
    with pytest.raises(InvalidInput, match="name"):
        SharedState(store, " ")


def test_more_keys_than_a_statement_takes(store: TraceStore) -> None:
    breaths: list[int] = []
    state = SharedState(store, "s", breathe=lambda: breaths.append(1))
    items = {f"{i:032x}": 1 for i in range(1201)}
    assert len(state.apply(items, add).used) == 1201
    assert state.apply({**items, "new": 1}, add).used == ("new",)
    assert state.read()[1] == b"[1202, 1202]"
    assert len(breaths) >= 6, "a long change gives way between its steps"


def test_a_change_that_raises_applies_nothing(store: TraceStore) -> None:
    state = SharedState(store, "s")
    state.apply({"a": 1}, add)

    def broken(payload: bytes | None, items: list[int]) -> bytes:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        state.apply({"b": 2}, broken)
    assert (state.read(), state.applied(["b"])) == ((1, b"[1, 1]"), frozenset())
    assert state.apply({"b": 2}, add).version == 2


def test_forgetting_old_keys(store: TraceStore) -> None:
    state, other = SharedState(store, "s"), SharedState(store, "other")
    for one in (state, other):
        one.apply({"a": 1, "b": 1}, add)
    assert (state.forget(before=0.0), state.keys) == (0, 2)
    assert (state.forget(before=4e9), state.keys, other.keys) == (2, 0, 2)
    assert state.read() == (1, b"[2, 2]")


async def test_the_async_twins_do_the_same(store: TraceStore) -> None:
    state = SharedState(store, "s")
    assert await state.aapply({"a": 1}, add) == Applied(1, ("a",))
    assert await state.aapply({"a": 1}, add) == state.apply({"a": 1}, add) == Applied(1, ())
    assert await state.aread() == state.read()
    assert await state.aread(newer_than=1) == (1, None)


def test_a_database_error_is_told_as_one_of_the_store(store: TraceStore) -> None:
    state = SharedState(store, "s")
    with store.engine.begin() as connection:
        connection.execute(text("DROP TABLE shared_states"))
    with pytest.raises(StoreError, match="sharing a state"):
        state.read()
    with pytest.raises(StoreError, match="sharing a state"):
        state.apply({"a": 1}, add)


def test_a_lock_is_a_clear_error_and_nothing_was_applied(tmp_path: Path) -> None:
    file = tmp_path / "t.db"
    with TraceStore.open(file, busy_timeout_s=0.01) as store:
        state = SharedState(store, "s")
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="write lock"):
            state.apply({"a": 1}, add)
        assert state.read() == (0, None), "reading waits for nobody"
        other.execute("ROLLBACK")
        other.close()
        assert state.apply({"a": 1}, add).version == 1


@pytest.mark.parametrize("there", [False, True])
def test_the_second_waits_for_the_first_and_sees_what_it_did(
    open_store: Callable[..., TraceStore], there: bool
) -> None:
    one, two = SharedState(open_store(), "s"), SharedState(open_store(), "s")
    if there:  # else both make the row
        one.apply({"before": 0}, lambda payload, items: None)
    start = one.read()
    inside, done = threading.Event(), threading.Event()
    order: list[str] = []

    def slow(payload: bytes | None, items: list[int]) -> bytes:
        inside.set()
        done.wait(10)
        order.append("first")
        return add(payload, items)

    def quick(payload: bytes | None, items: list[int]) -> bytes:
        order.append("second")
        return add(payload, items)

    first = threading.Thread(target=one.apply, args=({"a": 1, "b": 1}, slow))
    second = threading.Thread(target=two.apply, args=({"b": 1, "c": 1}, quick))
    first.start()
    assert inside.wait(10)
    second.start()
    assert two.read() == start, "readers wait for nobody and see what is committed"
    done.set()
    first.join(10)
    second.join(10)
    assert order == ["first", "second"]
    assert one.read() == (2 + there, b"[3, 3]")


def test_a_change_may_leave_the_payload_as_it_is(store: TraceStore) -> None:
    state = SharedState(store, "s")
    assert state.apply({"a": 1}, lambda payload, items: None) == Applied(1, ("a",))
    assert state.read() == (1, None)
    state.apply({"b": 2}, add)
    assert state.apply({"c": 3}, lambda payload, items: None).version == 3
    assert (state.read(), state.keys) == ((3, b"[2, 1]"), 3)


# -- processes -----------------------------------------------------------------------------------
KEYS = 400


def _hammer(url: str, start: int) -> None:
    """Applies all keys in an order of its own: others are at the same keys meanwhile."""
    with TraceStore.open(url, busy_timeout_s=60) as store:
        state = SharedState(store, "s")
        order = [(start + 7 * i) % KEYS for i in range(KEYS)]
        for at in range(0, KEYS, 8):
            state.apply({f"k{i}": i for i in order[at : at + 8]}, add)


def test_two_processes_hammer_one_state(store_url: str) -> None:
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=_hammer, args=(store_url, start)) for start in (0, 201)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    with TraceStore.open(store_url) as store:
        state = SharedState(store, "s")
        version, payload = state.read()
        assert json.loads(payload or b"") == [sum(range(KEYS)), KEYS], "each key once, no update lost"
        assert state.keys == KEYS
        assert KEYS / 8 <= version <= 2 * KEYS / 8


APPLIER = """
import json, sys
from agentnet.traces.shared_state import SharedState
from agentnet.traces.store import TraceStore

def add(payload, items):
    total, n = json.loads(payload) if payload else (0, 0)
    print("inside", flush=True)   # killed anywhere from here to the commit, or after it
    return json.dumps([total + sum(items), n + len(items)]).encode()

store = TraceStore.open(sys.argv[1])
state = SharedState(store, "s")
for at in range(0, 100_000, 5):
    state.apply({f"k{i}": i for i in range(at, at + 5)}, add)
    print("applied", at + 5, flush=True)
"""


def test_kill_9_in_a_change_leaves_it_whole_or_undone(store_url: str) -> None:
    load = subprocess.Popen([sys.executable, "-c", APPLIER, store_url], stdout=subprocess.PIPE, text=True)
    assert load.stdout is not None
    confirmed = 0
    with load.stdout:
        for line in load.stdout:
            if line.startswith("applied"):
                confirmed = int(line.split()[1])
            elif confirmed >= 100 and load.poll() is None:
                os.kill(load.pid, signal.SIGKILL)
    assert load.wait() == -signal.SIGKILL
    with TraceStore.open(store_url) as store:
        state = SharedState(store, "s")
        total, n = json.loads(state.read()[1] or b"")
        assert n >= confirmed and n % 5 == 0 and total == sum(range(n)) and state.keys == n
        state.apply({f"k{i}": i for i in range(n + 5)}, add)  # the work is done again
        assert json.loads(state.read()[1] or b"") == [sum(range(n + 5)), n + 5]
