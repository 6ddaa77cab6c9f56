"""Program: the model writes Python, the sandbox runs it, what it prints is the answer."""

from __future__ import annotations

import asyncio
import re
from functools import cache
from typing import TYPE_CHECKING

from agentnet.errors import EmptyResponse, RunError, SandboxUnavailable
from agentnet.graphs.task import Message
from agentnet.runtime.call import AgentCall, Answer, confidence
from agentnet.runtime.prompts import conversation
from agentnet.runtime.strategies.base import Strategy, number, whole

INSTRUCTION = "Write a short Python program that prints the answer. Reply with the program only."
if TYPE_CHECKING:
    from agentnet.runtime.sandbox import Mode

_FENCE = re.compile(r"```[ \t]*(?:python|py)?[ \t]*\n(.*?)(?:```|\Z)", re.DOTALL | re.IGNORECASE)
_SHOWN = 2000
"""Characters of a program's error that the model is shown, and that a step's error holds."""


def extract_program(text: str) -> str:
    r"""Returns the program in a model's reply: the longest fenced block, else the whole text.

    >>> extract_program("Sure:\n```python\nprint(2)\n```\nDone.")
    'print(2)'
    """
    blocks = [block.strip("\n") for block in _FENCE.findall(text)]
    return max(blocks, key=len).rstrip() if blocks else text.strip().strip("`")


@cache
def _probe() -> tuple[bool, str]:
    from agentnet.runtime.sandbox import probe

    status = probe()
    return status.strict_ok, status.reason


def _require_sandbox() -> None:
    """Refuses before the model is asked: a program that cannot be run is not worth its price."""
    holds, reason = _probe()
    if not holds:
        raise SandboxUnavailable(
            f"programs cannot be confined on this machine ({reason}); they are not run. Use another "
            'strategy, or Runtime(sandbox="unsafe") where you trust the model and the tasks.'
        )


async def program(call: AgentCall) -> Answer:
    """Lets the model write a program and runs it (Chen et al. 2022, arXiv:2211.12588).

    Options: ``repairs`` (how often the model is shown a failed program's error, default 0), ``wall_s``,
    ``cpu_s`` and ``memory_mb`` of the sandbox.

    Raises:
        SandboxUnavailable: this machine cannot confine programs; nothing was run.
        RunError: the program failed or printed nothing.
    """
    from agentnet.runtime.sandbox import SandboxLimits, arun_python

    mode: Mode = "unsafe" if call.sandbox == "unsafe" else "strict"
    if mode == "strict":
        await asyncio.to_thread(_require_sandbox)
    keys = ("wall_s", "cpu_s", "memory_mb")
    limits = SandboxLimits(**{key: call.option(key) for key in keys if call.option(key) is not None})
    messages = conversation(call.agent, call.input, INSTRUCTION)
    failure = ""
    for _ in range(1 + call.option("repairs", 0)):
        response = await call.ask(messages)
        code = extract_program(response.text)
        if not code:
            raise EmptyResponse(f"agent {call.agent.name!r} wrote no program.")
        result = await arun_python(code, limits=limits, mode=mode)
        if result.value:
            return Answer(text=result.value, score=confidence(response))
        detail = result.stderr.strip()[-_SHOWN:] or "it printed nothing"
        failure = f"the program ended with {result.status}: {detail}"
        messages = [
            *messages,
            Message("assistant", response.text),
            Message("user", f"That program does not work: {failure}\nReply with a corrected program only."),
        ]
    raise RunError(failure)


PROGRAM = Strategy(
    name="program",
    run=program,
    options={"repairs": whole(0), "wall_s": number(0.01), "cpu_s": number(0.01), "memory_mb": whole(64)},
)
