"""`Strategy`: how an agent turns its input into an answer, and which settings that takes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from agentnet.errors import PoolError
from agentnet.graphs.agent import Agent
from agentnet.runtime.call import AgentCall, Answer


@dataclass(frozen=True, slots=True)
class Setting:
    """One option of a strategy: what it must be, and a test of that."""

    must: str
    holds: Callable[[Any], bool]


def whole(low: int) -> Setting:
    """Returns a setting that is a whole number from ``low``."""
    return Setting(
        f"a whole number from {low}",
        lambda v: isinstance(v, int) and not isinstance(v, bool) and v >= low,
    )


def number(low: float, high: float = float("inf")) -> Setting:
    """Returns a setting that is a number from ``low`` to ``high``."""
    return Setting(
        f"a number from {low:g} to {high:g}",
        lambda v: isinstance(v, int | float) and not isinstance(v, bool) and low <= v <= high,
    )


def of_type(kind: type, must: str) -> Setting:
    """Returns a setting that is an instance of ``kind``."""
    return Setting(must, lambda v: isinstance(v, kind))


TEXT = of_type(str, "text")
COMMON: Mapping[str, Setting] = {
    "max_tokens": whole(1),
    "temperature": number(0),
    "stop": Setting(
        "text or a list of texts",
        lambda v: isinstance(v, str) or (isinstance(v, list | tuple) and all(isinstance(s, str) for s in v)),
    ),
    "seed": of_type(int, "a whole number"),
    "timeout_s": Setting("a number of seconds above 0", lambda v: number(0).holds(v) and v > 0),
    "json_schema": of_type(Mapping, "a JSON schema (an object)"),
    "extra": of_type(Mapping, "an object of LiteLLM arguments"),
    "instruction": TEXT,
}
"""Options of every strategy that asks a model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """A named way of answering.

    >>> async def shout(call: AgentCall) -> Answer:
    ...     return Answer(text=call.input.task.text.upper())
    >>> Strategy(name="shout", run=shout, needs="nothing").needs
    'nothing'
    """

    name: str
    run: Callable[[AgentCall], Awaitable[Answer | str]]
    options: Mapping[str, Setting] = field(default_factory=dict)
    needs: Literal["backend", "call", "nothing"] = "backend"
    """What the agent must have: a backend to ask, a callable, or neither."""
    any_options: bool = False
    """Whether options are left unchecked, as for a user's own strategy."""

    def check(self, agent: Agent) -> None:
        """Checks that an agent can use this strategy with its options.

        Raises:
            PoolError: the backend or the callable is missing, or an option is unknown or wrong.
        """
        who = f"agent {agent.name!r} (strategy {self.name!r})"
        if self.needs == "backend" and agent.backend is None:
            raise PoolError(
                f"{who} has neither a backend nor a call: give it backend=Backend(...) or call=a function."
            )
        if self.needs == "call" and agent.call is None:
            raise PoolError(f"{who} needs call=a Python function or a LangGraph runnable.")
        if self.any_options:
            return
        known = {**COMMON, **self.options} if self.needs == "backend" else self.options
        for key, value in agent.options.items():
            if key not in known:
                raise PoolError(f"{who} has the unknown option {key!r}; it takes {sorted(known)}.")
            if not known[key].holds(value):
                raise PoolError(f"{who}: option {key!r} must be {known[key].must}; got {value!r}.")
