"""The sandbox in which code written by a language model runs.

A process of its own per program, with seccomp, Landlock, limits, a clock and (where allowed)
namespaces. `run_python` and `arun_python` run a program; `probe` says what holds here.
"""

from agentnet.runtime.sandbox.probe import probe
from agentnet.runtime.sandbox.runner import arun_python, run_python
from agentnet.runtime.sandbox.types import (
    Layer,
    Mode,
    ResultStatus,
    SandboxLimits,
    SandboxResult,
    SandboxStatus,
)

__all__ = [
    "Layer",
    "Mode",
    "ResultStatus",
    "SandboxLimits",
    "SandboxResult",
    "SandboxStatus",
    "arun_python",
    "probe",
    "run_python",
]
