"""What survives when processes are killed, fork, race or fail to write."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agentnet.errors import StoreError
from agentnet.traces.records import RunRecord, StepRecord
from agentnet.traces.store import TraceStore

WINDOW = 0.05
LOAD = """
import sys, time
from agentnet.traces.records import MessageRecord, RunRecord, StepRecord
from agentnet.traces.store import TraceStore

store = TraceStore.open(sys.argv[1], flush_s=float(sys.argv[2]), batch=64)
for i in range(1000):
    run = f"{i:032x}"
    store.write(RunRecord(run_id=run, started_at=time.time(), task_text=f"question {i}", task_hash="h"))
    store.write(StepRecord(run_id=run, seq=0, agent="a", answer="x" * 500))
    store.write(MessageRecord(run_id=run, step_seq=0, seq=0, role="user", content="y" * 500))
    store.write(RunRecord(run_id=run, started_at=time.time(), task_text=f"question {i}", task_hash="h",
                          status="ok", answer=str(i)))
    store.write(RunRecord(run_id=f"f{i:031x}", started_at=time.time(), task_hash="h"))  # never ends
    print("wrote", i, time.time(), flush=True)
    if i % 50 == 0:
        store.flush()
        print("flushed", i, time.time(), flush=True)
    time.sleep(0.002)
"""


def _kill_in_the_middle(url: str) -> tuple[int, dict[int, float]]:
    """Kills the load hard; returns the last run flushed, and when each run was written."""
    load = subprocess.Popen([sys.executable, "-c", LOAD, url, str(WINDOW)], stdout=subprocess.PIPE, text=True)
    assert load.stdout is not None
    flushed, written = -1, {}
    with load.stdout:
        for line in load.stdout:
            what, number, when = line.split()
            if what == "flushed":
                flushed = int(number)
            else:
                written[int(number)] = float(when)
            if len(written) == 430 and load.poll() is None:
                os.kill(load.pid, signal.SIGKILL)
    assert load.wait() == -signal.SIGKILL, "the load must have been running when it was killed"
    return flushed, written


def test_kill_9_loses_at_most_the_flush_window(store_url: str) -> None:
    flushed, written = _kill_in_the_middle(store_url)
    with TraceStore.open(store_url) as store:
        found = {run.run_id: run for run in store.runs(10_000)}
        done = {int(name, 16) for name, run in found.items() if run.status == "ok" and name[0] != "f"}
        assert set(range(flushed + 1)) <= done, "what flush() confirmed must be there"
        # Older than the window at the last sign of life, with slack for a transaction on a busy machine.
        last = max(written.values())
        old = {number for number, when in written.items() if when < last - WINDOW - 0.5}
        assert old, "the load must outlast the window"
        assert old <= done, "what is older than the window must be there"
        for number in done:
            trace = store.run(f"{number:032x}")
            assert trace.run.answer == str(number)
            assert [step.answer for step in trace.steps] == ["x" * 500]
            assert [message.content for message in trace.messages] == ["y" * 500]
        hanging = [run for run in found.values() if run.status == "running"]
        assert len(hanging) >= flushed + 1
        assert store.recover(older_than_s=0) == len(hanging)
        assert store.runs(status="running") == []
        assert {run.error for run in store.runs(10_000, status="error")} == {"process died"}
    if store_url.startswith("sqlite"):
        with sqlite3.connect(store_url.removeprefix("sqlite:///")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.close()


def _open_and_write(url: str, number: int, runs: int) -> None:
    with TraceStore.open(url) as store:
        for i in range(runs):
            store.write(RunRecord(run_id=f"{number:016x}{i:016x}", started_at=1.0, task_hash="h"))


def test_processes_open_a_new_database_and_write_at_once(store_url: str) -> None:
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=_open_and_write, args=(store_url, n, 200)) for n in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    with TraceStore.open(store_url) as store:
        assert store.stats().runs.count == 600


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # forking with threads, on purpose
def test_a_forked_child_writes_its_own_records_only(store_url: str) -> None:
    with TraceStore.open(store_url, flush_s=60) as store:
        store.write(RunRecord(run_id="parent", started_at=1.0, task_hash="h"))
        child = os.fork()
        if child == 0:
            code = 1
            try:
                store.write(RunRecord(run_id="child", started_at=2.0, task_hash="h"))
                store.flush()
                code = 0 if {run.run_id for run in store.runs()} == {"child"} else 2
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        assert {run.run_id for run in store.runs()} == {"parent", "child"}


def test_what_waits_is_written_at_exit(store_url: str) -> None:
    code = (
        "import sys; from agentnet.traces.store import TraceStore; from agentnet.traces.records import *\n"
        "store = TraceStore.open(sys.argv[1], flush_s=60)\n"
        "store.write(RunRecord(run_id='r', started_at=1.0, task_hash='h'))\n"
    )
    subprocess.run([sys.executable, "-c", code, store_url], check=True)
    with TraceStore.open(store_url) as store:
        assert store.run("r").run.started_at == 1.0


def test_a_lock_is_a_clear_error_and_records_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "traces.db"
    with TraceStore.open(file, busy_timeout_s=0.01, flush_s=0) as store:
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        store.write(RunRecord(run_id="a", started_at=1.0, task_hash="h"))
        with pytest.raises(StoreError, match=r"locked.*write lock.*1 records are kept"):
            store.flush()
        store.write(RunRecord(run_id="b", started_at=2.0, task_hash="h"))  # already said
        with pytest.raises(StoreError, match="2 records are kept"):
            store.close()
        other.execute("ROLLBACK")
        other.close()
        store.flush()
        assert {run.run_id for run in store.runs()} == {"a", "b"}


def test_an_error_shows_on_the_next_write_too(tmp_path: Path) -> None:
    file = tmp_path / "traces.db"
    with TraceStore.open(file, busy_timeout_s=0.01, flush_s=0) as store:
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        store.write(RunRecord(run_id="r0", started_at=1.0, task_hash="h"))
        with pytest.raises(StoreError, match="locked"):
            for i in range(1, 10_000):  # until the writer has tried
                store.write(RunRecord(run_id=f"r{i}", started_at=1.0, task_hash="h"))
                time.sleep(0.001)
        other.execute("ROLLBACK")
        other.close()
        assert store.stats().runs.count == i + 1, "the records of the failing write were taken too"


def test_a_full_disk_is_a_clear_error_and_records_are_kept(tmp_path: Path) -> None:
    with TraceStore.open(tmp_path / "traces.db", flush_s=0) as store:
        with store.engine.connect() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages + 2}")
        big = "z" * 400_000
        store.write(StepRecord(run_id="r", seq=0, answer=big))
        with pytest.raises(StoreError, match=r"full.*Make room"):
            store.flush()
        with store.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count=1000000")
        store.flush()
        store.write(RunRecord(run_id="r", started_at=1.0, task_hash="h"))
        assert store.run("r").steps[0].answer == big


def test_a_full_queue_refuses_aloud(tmp_path: Path) -> None:
    file = tmp_path / "traces.db"
    with TraceStore.open(file, busy_timeout_s=0.01, queue=4, batch=4, flush_s=60, block_s=0.01) as store:
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        store.write(*(RunRecord(run_id=f"r{i}", started_at=1.0, task_hash="h") for i in range(3)))
        with pytest.raises(StoreError, match="2 were not taken"):
            store.write(*(RunRecord(run_id=f"late{i}", started_at=1.0, task_hash="h") for i in range(2)))
        other.execute("ROLLBACK")
        other.close()
        store.flush()
        assert {run.run_id for run in store.runs()} == {"r0", "r1", "r2"}
