"""Several processes on one state, and processes that are killed in the middle of learning."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from agentnet import TraceStore
from agentnet.learning.learner import GatedLearner
from agentnet.learning.samples import sampled

from .doubles import CountingRouter, Script

SERVE = Path(__file__).with_name("serve.py")
RATE = 0.5


def _start(url: str, name: str, n: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(SERVE), url, name, str(n)], stdout=subprocess.PIPE, text=True
    )


def _kill_while_learning(url: str, name: str, *, after: int) -> int:
    """Kills a serving process at a moment at which it learns; returns how many tasks it had confirmed."""
    process = _start(url, name, 0)
    assert process.stdout is not None
    confirmed = 0
    with process.stdout:
        for line in process.stdout:
            if line.startswith("flushed"):
                confirmed = int(line.split()[1])
            elif confirmed >= after and process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    return confirmed


def _expected(store: TraceStore) -> dict[str, int]:
    """What one learner that saw every logged run would have learned: each sampled good run once."""
    return {
        str(record.task_text): 1
        for record in store.iter_runs(status="ok")
        if sampled(record.run_id, rate=RATE) and record.answer == "good"
    }


def _learned(store: TraceStore) -> dict[str, int]:
    router, judge = CountingRouter(), Script()
    with GatedLearner(router, judge, store=store, rate=RATE, every_s=3600.0) as learner:
        learner.drain()
    return router.counts


def test_kill_9_while_learning_loses_and_doubles_nothing_that_was_logged(store_url: str) -> None:
    confirmed = {name: _kill_while_learning(store_url, name, after=40) for name in ("x", "y")}
    with TraceStore.open(store_url) as store:
        logged = {str(record.task_text).split()[0] for record in store.iter_runs(status="ok")}
        for name, n in confirmed.items():
            assert {f"{name}{i}" for i in range(n)} <= logged, "what flush() confirmed is in the log"
        assert _learned(store) == _expected(store), "last state + replay of the log, each run once"
        assert _learned(store) == _expected(store), "and once is enough"


def test_two_processes_learn_one_state_together(store_url: str) -> None:
    with TraceStore.open(store_url):  # its tables are made before both come
        pass
    processes = [_start(store_url, name, 60) for name in ("x", "y")]
    for process in processes:
        process.communicate()
    assert [process.returncode for process in processes] == [0, 0]
    with TraceStore.open(store_url) as store:
        assert len({record.run_id for record in store.iter_runs(status="ok")}) == 120
        router = CountingRouter()
        follower = GatedLearner(router, None, store=store, rate=0.0)
        follower.close()
        assert router.counts == _expected(store), "the state alone, before any run is taken up"
