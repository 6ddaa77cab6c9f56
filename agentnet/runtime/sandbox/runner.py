"""Run a program that a language model wrote, confined; ``docs/sandbox.md`` says from what."""

from __future__ import annotations

import asyncio
import marshal
import math
import os
import platform
import signal
import sys

from agentnet.errors import InvalidInput, SandboxError, SandboxUnavailable
from agentnet.runtime.sandbox.bpf import build_filter
from agentnet.runtime.sandbox.process import Control, Ended, run_process
from agentnet.runtime.sandbox.report import Report, parse_report
from agentnet.runtime.sandbox.syscalls import ARCHITECTURES, Arch
from agentnet.runtime.sandbox.types import Mode, ResultStatus, SandboxLimits, SandboxResult

UNSAFE_HINT = 'On this machine generated code runs unconfined, with sandbox="unsafe", or not at all'


async def arun_python(
    code: str,
    *,
    limits: SandboxLimits | None = None,
    mode: Mode = "strict",
    stdin: str = "",
) -> SandboxResult:
    """Run ``code`` in a confined Python process of its own.

    The program's answer is ``answer`` if it sets a variable of that name, else what it prints. It
    may import the standard library only, and it can neither start threads nor processes.

    Args:
        code: a Python program; one that does not compile gives ``status="error"``.
        limits: what it may use; the defaults of `SandboxLimits` if None.
        mode: ``"unsafe"`` gives up all confinement but limits, clean start and clock.
        stdin: what the program reads from its standard input.

    Raises:
        SandboxUnavailable: a layer that ``"strict"`` needs does not hold here; nothing was run.
        SandboxError: the process ended before the program began.
        asyncio.CancelledError: cancelled; by then the process is dead and reaped.

    >>> import asyncio
    >>> asyncio.run(arun_python("print(2 ** 10)", mode="unsafe")).value
    '1024'
    """
    limits = limits or SandboxLimits()
    _check(code, mode, stdin)
    control = Control()
    future = asyncio.get_running_loop().run_in_executor(None, execute, code, limits, mode, stdin, control)
    try:
        outcome = await asyncio.shield(future)
    except asyncio.CancelledError:
        if control.cancel():
            # It is being killed: milliseconds. A second cancellation must not leave it behind.
            while not future.done():
                try:
                    await asyncio.wait({future})
                except asyncio.CancelledError:
                    continue
        if future.done() and not future.cancelled():
            future.exception()  # seen: nothing to report of a run nobody waits for
        raise
    return to_result(*outcome, limits=limits)


def run_python(
    code: str,
    *,
    limits: SandboxLimits | None = None,
    mode: Mode = "strict",
    stdin: str = "",
) -> SandboxResult:
    """Do as `arun_python`, blocking; needs no event loop and may be called inside one.

    >>> run_python("answer = sorted(input())", stdin="cab", mode="unsafe").value
    "['a', 'b', 'c']"
    """
    limits = limits or SandboxLimits()
    _check(code, mode, stdin)
    return to_result(*execute(code, limits, mode, stdin, Control()), limits=limits)


def execute(
    code: str, limits: SandboxLimits, mode: Mode, stdin: str, control: Control
) -> tuple[Ended, Report]:
    """Run ``code``; return how its process ended and what it reported about its confinement.

    Raises:
        SandboxUnavailable: there is no filter for this platform, or the interpreter cannot start.
    """
    arch = None if mode == "unsafe" else native_arch()
    if not control.begin():
        raise SandboxError("cancelled before it started")

    def request(pid: int) -> bytes:
        body = marshal.dumps(
            {
                "code": code,
                "strict": arch is not None,
                "filter": build_filter(arch, pid) if arch is not None else b"",
                "parent": os.getpid(),
                "limits": {
                    "cpu_s": math.ceil(limits.cpu_s),
                    "memory_mb": limits.memory_mb,
                    "file_mb": limits.file_mb,
                },
            }
        )
        return len(body).to_bytes(8, "little") + body + stdin.encode("utf-8", "surrogatepass")

    ended = run_process(request, wall_s=limits.wall_s, output_bytes=limits.output_kb << 10, control=control)
    return ended, parse_report(ended.report)


def native_arch() -> Arch:
    """Return the architecture of this process if there is a filter for it.

    Raises:
        SandboxUnavailable: not Linux, or neither x86-64 nor aarch64, or a 32-bit Python.
    """
    if sys.platform != "linux":
        raise SandboxUnavailable(f"{platform.system()} has no seccomp and Landlock. {UNSAFE_HINT}.")
    arch = platform.machine()
    if arch not in ARCHITECTURES or sys.maxsize < 1 << 32:
        raise SandboxUnavailable(f"no system-call filter for {arch} here. {UNSAFE_HINT}.")
    return arch


def to_result(ended: Ended, report: Report, *, limits: SandboxLimits) -> SandboxResult:
    """Judge how the process ended.

    Raises:
        SandboxUnavailable: a layer that must hold does not; the program was not run.
        SandboxError: the process ended before it could say either.
    """
    if report.refused is not None:
        raise SandboxUnavailable(f"{report.refused}. {UNSAFE_HINT}.")
    status = _status(ended, report, limits)
    if not report.ready and status != "timeout":
        tail = ended.stderr[-500:].decode("utf-8", "replace").strip()
        raise SandboxError(f"the sandbox ended with code {ended.exit_code} before the program began: {tail}")
    stdout = ended.stdout.decode("utf-8", "replace")
    value = None
    if status == "ok":
        value = stdout.strip() or None if report.answer is None else report.answer
    return SandboxResult(
        status=status,
        stdout=stdout,
        stderr=ended.stderr.decode("utf-8", "replace"),
        value=value,
        exit_code=ended.exit_code,
        wall_s=ended.wall_s,
        cpu_s=ended.cpu_s,
    )


def _status(ended: Ended, report: Report, limits: SandboxLimits) -> ResultStatus:
    if ended.stopped == "wall" or ended.exit_code == -signal.SIGXCPU:
        return "timeout"
    if ended.stopped == "output":
        return "output"
    # A program that ignores SIGXCPU is killed a second later.
    if ended.exit_code == -signal.SIGKILL and ended.cpu_s >= math.ceil(limits.cpu_s):
        return "timeout"
    if ended.exit_code < 0:
        return "killed"
    if report.end == "memory":
        return "memory"
    return "error" if ended.exit_code else "ok"


def _check(code: str, mode: str, stdin: str) -> None:
    if not isinstance(code, str) or not isinstance(stdin, str):
        raise InvalidInput("code and stdin must be text (str)")
    if mode not in ("strict", "unsafe"):
        raise InvalidInput(f'mode must be "strict" or "unsafe", not {mode!r}')
