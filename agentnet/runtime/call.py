"""What an agent is given, what it gives back, and the one way in which it calls its model."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from agentnet.errors import BackendError, EmptyResponse, LimitExceeded, RunError
from agentnet.graphs.agent import Agent, Backend
from agentnet.graphs.task import Message, Task
from agentnet.runtime.client import ModelClient, Request, Response

REQUEST_OPTIONS = ("max_tokens", "temperature", "stop", "seed", "json_schema", "timeout_s", "extra")
"""Agent options that go into every request as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """Another agent's answer, as the receiver gets it."""

    node: str
    agent: str
    answer: str
    weight: float = 1.0
    """Weight of the edge it came over."""
    round: int = 0
    prompt: str | None = None
    """The instruction of the node that answered, where it has one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentInput:
    """What one node of a graph is given in one round.

    >>> AgentInput(task=Task("2 + 2?"), node="solver").text
    '2 + 2?'
    """

    task: Task
    node: str
    round: int = 0
    prompt: str | None = None
    """The node's own instruction."""
    received: tuple[Received, ...] = ()
    """Answers of the predecessors that gave one, heaviest edge first."""

    @property
    def text(self) -> str:
        """The task with its context, the received answers and the instruction, as one text."""
        from agentnet.runtime.prompts import question

        return question(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An agent's answer; a callable agent may return it to give a score or a cost as well."""

    text: str
    score: float | None = None
    """Its own score in [0, 1], where there is one."""
    cost: Decimal | None = None
    """USD that did not pass through the model client; None unknown. Only callables set it."""

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise RunError(f"an answer is text; the agent gave {type(self.text).__name__}.")
        if not self.text.isascii():  # half a surrogate pair fits into no file and no database
            object.__setattr__(self, "text", self.text.encode("utf-8", "replace").decode())
        if self.score is not None and not 0 <= self.score <= 1:
            raise RunError(f"an answer's score lies in [0, 1]; the agent gave {self.score!r}.")


@dataclass(slots=True)
class Tally:
    """Usage of one step, added up call by call; a part that is unknown makes the sum unknown."""

    calls: int = 0
    prompt_tokens: int | None = 0
    completion_tokens: int | None = 0
    cached_tokens: int | None = 0
    cost: Decimal | None = Decimal(0)
    cost_source: str | None = None
    backend: str | None = None

    def add(self, response: Response) -> None:
        """Adds one answered call."""
        self.calls += 1
        self.prompt_tokens = _sum(self.prompt_tokens, response.prompt_tokens)
        self.completion_tokens = _sum(self.completion_tokens, response.completion_tokens)
        self.cached_tokens = _sum(self.cached_tokens, response.cached_tokens)
        self.cost = None if self.cost is None or response.cost is None else self.cost + response.cost
        self.cost_source = response.cost_source or self.cost_source
        self.backend = response.backend or self.backend

    def failed(self, error: Exception) -> None:
        """Adds a call that failed: it costs what its error says, which may be unknown."""
        self.calls += 1
        spent = error.spent_usd if isinstance(error, BackendError) else None
        self.cost = None if self.cost is None or spent is None else self.cost + spent
        if not isinstance(error, BackendError) or error.spent_tokens != 0:
            # Only the sum is known, not how much of it was the prompt.
            self.prompt_tokens = self.completion_tokens = self.cached_tokens = None

    def cut_off(self) -> None:
        """Adds a call that was cut off after sending: what it used is unknown, which is not zero."""
        self.calls += 1
        self.cost = self.prompt_tokens = self.completion_tokens = self.cached_tokens = None


def _sum(total: int | None, part: int | None) -> int | None:
    return None if total is None or part is None else total + part


@dataclass(slots=True)
class AgentCall:
    """One agent at work on one input: what a strategy is given.

    A strategy reads ``agent`` and ``input`` and calls the model through `ask`, which counts usage,
    streams tokens and keeps the messages for the trace. It never retries: the client does.
    """

    agent: Agent
    input: AgentInput
    client: ModelClient
    sandbox: str = "strict"
    on_token: Callable[[str], None] | None = None
    """Called with each piece of text where the run is streamed."""
    keep: bool = False
    """Whether `messages` is filled."""
    backends: Mapping[str, Backend] | None = None
    """Where fallbacks are found: the backends of the run's pool."""
    refused: LimitExceeded | None = None
    """The last limit that was hit; a strategy may answer nevertheless, with what it has."""
    tally: Tally = field(default_factory=Tally)
    messages: list[Message] = field(default_factory=list)

    def option(self, name: str, default: Any = None) -> Any:
        """Returns a setting of the agent."""
        return self.agent.options.get(name, default)

    async def ask(self, messages: Iterable[Message], **changes: Any) -> Response:
        """Calls the agent's model.

        Args:
            messages: The prompt.
            changes: Fields of `Request` that differ from the agent's options.

        Raises:
            BackendError: the call failed for good.
            LimitExceeded: a limit is used up.
        """
        prompt = tuple(messages)
        backend = self.agent.backend
        if backend is None:
            raise RunError(f"agent {self.agent.name!r} has no backend to ask.")
        options = self.agent.options
        fields = {key: options[key] for key in REQUEST_OPTIONS if key in options} if options else {}
        fields.update(changes)
        if isinstance(stop := fields.get("stop"), str):
            fields["stop"] = (stop,)
        elif stop is not None:
            fields["stop"] = tuple(stop)
        request = Request(
            backend=backend,
            messages=prompt,
            session_id=self.input.task.session_id,
            agent=self.agent.name,
            backends=self.backends if backend.fallbacks else None,
            **fields,
        )
        try:
            response = await (self._streamed(request) if self.on_token else self.client.complete(request))
        except LimitExceeded as limit:
            self.refused = limit
            if limit.sent:
                self.tally.cut_off()
            raise
        except asyncio.CancelledError:
            self.tally.cut_off()
            raise
        except Exception as error:
            self.tally.failed(error)
            raise
        self.tally.add(response)
        if self.keep:
            seen = set(self.messages)
            self.messages.extend(message for message in prompt if message not in seen)
            self.messages.append(Message("assistant", response.text))
        return response

    async def _streamed(self, request: Request) -> Response:
        assert self.on_token is not None
        response = None
        async for chunk in self.client.stream(request):
            if chunk.text:
                self.on_token(chunk.text)
            response = chunk.response or response
        if response is None:
            raise EmptyResponse(f"the stream of {request.backend.name!r} ended without a response.")
        return response


def confidence(response: Response) -> float | None:
    """Returns exp(mean token log-probability), the model's own confidence; None where not given."""
    return None if response.logprob is None else min(1.0, math.exp(response.logprob))
