"""`Scope`: what one run lends to the nodes of a compiled graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agentnet.graphs.agent import Backend
from agentnet.graphs.live import Step
from agentnet.graphs.task import Message, Task
from agentnet.runtime.client import ModelClient
from agentnet.runtime.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDetail:
    """What the trace holds of a step beyond the `Step` itself."""

    strategy: str
    started_at: float
    """Seconds since the epoch."""
    cost_source: str | None = None
    messages: tuple[Message, ...] = ()


@dataclass(slots=True, kw_only=True)
class Scope:
    """The client, the listeners and the settings of one run.

    ``Runtime`` makes one per run and passes it as LangGraph's ``context``. A compiled graph that runs
    inside a user's own graph makes do with the one it was compiled with, and tells its events to
    LangGraph's stream writer.
    """

    client: ModelClient
    owner: Any = None
    """The builder of the compiled graph it was made for: graphs that run inside an agent do not take it."""
    backends: Mapping[str, Backend] | None = None
    """Backends of the run's pool, for fallbacks."""
    sandbox: str = "strict"
    tokens: bool = False
    """Whether models are streamed."""
    keep: bool = False
    """Whether the steps' messages are kept for the trace."""
    turn: int = 0
    task: Task | None = None
    """The task, so that nodes need not parse the state's."""
    emit: Callable[[Event], None] | None = None
    """Where events go; None: nobody listens, and none are made."""
    on_step: Callable[[Step, StepDetail | None], None] | None = None
    details: bool = False
    """Whether ``on_step`` gets a `StepDetail`."""
    limit: str | None = None
    """The kind of limit that was hit: nodes that have not started are skipped."""

    def to_stream(self, write: Callable[[Any], None]) -> Scope:
        """Returns this scope with events going to LangGraph's custom stream."""

        def tell(event: Event) -> None:
            write(event.to_dict())

        return Scope(
            client=self.client, backends=self.backends, sandbox=self.sandbox, tokens=self.tokens, emit=tell
        )


Context = Any
"""LangGraph's context: a `Scope`, or whatever a user's own graph passes."""
