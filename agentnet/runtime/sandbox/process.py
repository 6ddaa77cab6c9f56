"""One sandbox process from start to end: an empty folder, a clock, and nothing left behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agentnet.errors import SandboxUnavailable
from agentnet.runtime.sandbox.pipes import Pipes, Stop

CHILD = Path(__file__).with_name("child.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What is left of a process that has ended and been reaped."""

    stdout: bytes
    stderr: bytes
    report: bytes
    exit_code: int
    stopped: Stop | Literal["cancelled"]
    """Why we ended it; empty if it ended by itself."""
    wall_s: float
    cpu_s: float


class Control:
    """Lets another thread end a run: before it starts, while it runs, or after (no effect)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid: int | None = None
        self._end: tuple[int, float] | None = None
        self._started = False
        self.cancelled = False

    def begin(self) -> bool:
        """Say that the run starts now; False if it was cancelled before."""
        with self._lock:
            self._started = not self.cancelled
            return self._started

    def cancel(self) -> bool:
        """End the run; False if it had not started, and so never will."""
        with self._lock:
            self.cancelled = True
            self._kill()
            return self._started

    def attach(self, pid: int) -> None:
        """Name the run's process; it is ended at once if the run was cancelled meanwhile."""
        with self._lock:
            self._pid = pid
            if self.cancelled:
                self._kill()

    def ended(self) -> bool:
        """Whether the process has ended; it is reaped if so."""
        with self._lock:
            return self._reap(os.WNOHANG)

    def finish(self) -> tuple[int, float]:
        """End the process and what it started; return its exit code and processor seconds."""
        with self._lock:
            self._kill()
            self._reap(0)
            return self._end or (0, 0.0)

    def _reap(self, options: int) -> bool:
        # Inside the lock: once reaped, the number may be another process's and must not be killed.
        if self._pid is not None:
            pid, status, usage = os.wait4(self._pid, options)
            if not pid:
                return False
            self._end = (os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime)
            self._pid = None
        return True

    def _kill(self) -> None:
        if self._pid is not None:
            # macOS says PermissionError of a group whose leader has ended
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._pid, signal.SIGKILL)


def interpreter() -> str:
    """Return the Python to start: this one, outside of its virtual environment.

    Raises:
        SandboxUnavailable: this process does not know its interpreter (an embedded Python).
    """
    if not sys.executable:
        raise SandboxUnavailable("sys.executable is empty: there is no Python interpreter to start")
    return str(Path(sys.executable).resolve())


def run_process(
    request: Callable[[int], bytes], *, wall_s: float, output_bytes: int, control: Control
) -> Ended:
    """Start ``child.py``, feed it ``request(pid)``, wait ``wall_s`` seconds for its end.

    Must run to its end in the thread that calls it: the process dies with that thread.

    Raises:
        SandboxUnavailable: the interpreter cannot be started.
    """
    with _empty_folder() as folder:
        begun = time.monotonic()
        process, pipes = _spawn(interpreter(), folder, output_bytes)
        control.attach(process.pid)
        stopped: Stop = ""
        try:
            with _pidfd(process.pid) as pidfd:
                stopped = pipes.pump(request(process.pid), begun + wall_s, pidfd, control.ended)
        finally:
            exit_code, cpu_s = control.finish()
            process.returncode = exit_code  # reaped by us; else Popen would try again
            if not pipes.close() and not stopped:
                stopped = "output"
        wall = time.monotonic() - begun
    out, err, reported = pipes.captured()
    return Ended(
        stdout=out,
        stderr=err,
        report=reported,
        exit_code=exit_code,
        stopped="cancelled" if control.cancelled else stopped,
        wall_s=wall,
        cpu_s=cpu_s,
    )


def _spawn(python: str, folder: str, output_bytes: int) -> tuple[subprocess.Popen[bytes], Pipes]:
    """Start the child in ``folder`` with four pipes and no other file, nearly no environment."""
    with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
        pairs = []
        for _ in range(4):
            pairs.append(os.pipe())
            (theirs if len(pairs) == 1 else ours).callback(os.close, pairs[-1][0])
            (ours if len(pairs) == 1 else theirs).callback(os.close, pairs[-1][1])
        (stdin, feed), (out, stdout), (err, stderr), (said, report) = pairs
        # Some interpreters need this one to find their own libpython; the child clears it.
        environment = {k: v for k, v in os.environ.items() if k == "LD_LIBRARY_PATH"}
        try:
            process = subprocess.Popen(
                [python, "-I", "-S", "-B", "-X", "utf8", str(CHILD), str(report)],
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                pass_fds=(report,),
                env=environment,
                cwd=folder,
                start_new_session=True,
            )
        except OSError as error:
            raise SandboxUnavailable(f"{python} cannot be started: {error}") from error
        ours.pop_all()  # theirs are closed here, ours by Pipes
        return process, Pipes(feed, (out, err, said), output_bytes)


@contextlib.contextmanager
def _empty_folder() -> Iterator[str]:
    try:
        folder = tempfile.mkdtemp(prefix="agentnet-sandbox-")
    except OSError as error:
        raise SandboxUnavailable(f"no temporary folder can be made: {error}") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _pidfd(pid: int) -> Iterator[int | None]:
    """Give a file that becomes readable when the process ends; None where there is no such thing."""
    fd = None
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # Linux or C library of before 2019
            fd = os.pidfd_open(pid)
    try:
        yield fd
    finally:
        if fd is not None:
            os.close(fd)
