"""What the sandbox takes and gives back: limits, results, and what holds on this machine."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Literal

from agentnet.errors import LimitError

Mode = Literal["strict", "unsafe"]
"""``"strict"`` confines the program or refuses; ``"unsafe"`` keeps only limits and a clean start."""

ResultStatus = Literal["ok", "error", "timeout", "memory", "output", "killed"]

#: Python itself maps about 30 MB before a program starts; less than this is a sure MemoryError.
MIN_MEMORY_MB = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxLimits:
    """What one program may use.

    Raises:
        LimitError: a limit is not a finite number above zero, or too small to start Python.

    >>> SandboxLimits(cpu_s=1).wall_s
    5.0
    """

    cpu_s: float = 2.0
    """Processor time in seconds, rounded up to whole seconds (the kernel counts in seconds)."""
    wall_s: float = 5.0
    """Time on the clock in seconds, from the start of the process to its end."""
    memory_mb: int = 256
    """Address space in MiB, interpreter included."""
    file_mb: int = 1
    """Size in MiB of the largest file, and of all files in the private folder together."""
    output_kb: int = 64
    """What is kept of stdout, and of stderr, in KiB each; a program that prints more is killed."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise LimitError(f"{field.name} must be a number, not {type(value).__name__}")
            if not math.isfinite(value) or value <= 0:
                raise LimitError(f"{field.name} must be finite and above zero, not {value}")
        for name in ("memory_mb", "file_mb", "output_kb"):
            if not isinstance(getattr(self, name), int):
                raise LimitError(f"{name} must be a whole number")
        if self.memory_mb < MIN_MEMORY_MB:
            raise LimitError(f"memory_mb must be at least {MIN_MEMORY_MB}, not {self.memory_mb}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxResult:
    """How a program ended and what it printed.

    ``status`` is ``"ok"`` (exit code 0), ``"error"`` (an exception, also one caused by a denied
    call, or another exit code), ``"timeout"`` (processor or clock), ``"memory"`` (an uncaught
    MemoryError), ``"output"`` (printed more than allowed) or ``"killed"`` (a signal).
    """

    status: ResultStatus
    stdout: str
    """At most ``output_kb``; bytes that are not UTF-8 are replaced."""
    stderr: str
    value: str | None
    """The program's answer: ``str(answer)`` if it set a variable of that name to something other
    than None, else its stripped stdout. None if the status is not ``"ok"`` or there is neither."""
    exit_code: int
    """Negative: the number of the signal that ended the process."""
    wall_s: float
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of confinement: its name, whether it holds here, and a detail for a person."""

    name: str
    holds: bool
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxStatus:
    """Which layers hold on this machine, as measured by running a program in the sandbox."""

    platform: str
    arch: str
    layers: tuple[Layer, ...]
    strict_ok: bool
    """Whether programs run with ``mode="strict"``; if not, they are refused."""
    reason: str = ""
    """Why not, if not."""
