"""`ScriptedClient`: answers from a function, a mapping or a list. Deterministic, no model, no network."""

from __future__ import annotations

import inspect
import re
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from agentnet.errors import BackendError, EmptyResponse, InvalidInput
from agentnet.runtime.client import Chunk, Request, Response
from agentnet.runtime.clients.clock import Clock, SystemClock, VirtualClock
from agentnet.runtime.clients.prices import BACKEND_PRICE

Answer = str | Response | Exception
Script = Callable[[Request], Answer | Awaitable[Answer]] | Mapping[str, Answer] | Sequence[Answer]

__all__ = ["ScriptedClient", "VirtualClock", "word_count"]


def word_count(text: str) -> int:
    """Returns the number of words and punctuation marks: a stand-in for a tokenizer.

    >>> word_count("Two, please.")
    4
    """
    return len(re.findall(r"\w+|[^\w\s]", text))


class ScriptedClient:
    """A `ModelClient` that answers by a script.

    Args:
        script: A function of the request (sync or async); a mapping whose keys are agents' names, else
            texts that occur in the last message, with ``"*"`` for the rest; or a list of answers in the
            order of the calls. An answer is a text, a `Response` (its unset fields are filled in) or an
            exception, which is raised.
        latency_s: Seconds per call, or a function of the request; spent on ``clock``.
        clock: A `VirtualClock` makes waiting free and exact.
        failures: Exceptions raised by the first calls, in order; None lets a call through.
        usage: Whether responses carry token counts (and so a cost, where the backend has prices).

    >>> from agentnet.graphs.agent import Backend
    >>> from agentnet.graphs.task import Message
    >>> from agentnet.runtime.sync import complete_sync
    >>> client = ScriptedClient({"capital": "Paris", "*": "I do not know."})
    >>> ask = Request(backend=Backend(name="b", model="m"), messages=(Message("user", "France's capital?"),))
    >>> complete_sync(client, ask).text, len(client.calls)
    ('Paris', 1)
    """

    def __init__(
        self,
        script: Script,
        *,
        latency_s: float | Callable[[Request], float] = 0.0,
        clock: Clock | None = None,
        failures: Sequence[Exception | None] = (),
        usage: bool = True,
    ) -> None:
        if isinstance(script, str):
            raise InvalidInput("a script is a function, a mapping or a list of answers; got one text.")
        self._script = script
        self._latency_s = latency_s
        self._clock = clock or SystemClock()
        self._failures = tuple(failures)
        self._usage = usage
        self._lock = threading.Lock()
        self.calls: list[Request] = []
        """Every request, in order."""
        self.in_flight = 0
        self.most_in_flight = 0
        """Most calls that were open at the same time."""

    async def complete(self, request: Request) -> Response:
        """Answers by the script; raises the exceptions that the script holds."""
        with self._lock:
            number = len(self.calls)
            self.calls.append(request)
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            latency = self._latency_s(request) if callable(self._latency_s) else self._latency_s
            if latency > 0:
                await self._clock.sleep(latency)
            answer = await self._answer(request, number)
        finally:
            with self._lock:
                self.in_flight -= 1
        if isinstance(answer, Exception):
            raise answer
        response = answer if isinstance(answer, Response) else Response(text=answer)
        if not response.text.strip():
            raise EmptyResponse(f"the script's answer to {request.agent or request.backend.name!r} is empty.")
        return self._filled(request, response, latency)

    async def stream(self, request: Request) -> AsyncIterator[Chunk]:
        """Answers word by word."""
        response = await self.complete(request)
        for piece in re.findall(r"\s*\S+|\s+$", response.text):
            yield Chunk(piece)
        yield Chunk(response=response)

    async def _answer(self, request: Request, number: int) -> Answer:
        failure = self._failures[number] if number < len(self._failures) else None
        if failure is not None:
            return failure
        script = self._script
        if isinstance(script, Mapping):
            return _looked_up(script, request)
        if callable(script):
            answer = script(request)
            return await answer if inspect.isawaitable(answer) else answer
        if number >= len(script):
            raise InvalidInput(f"the script has {len(script)} answers, and call {number + 1} came.")
        return script[number]

    def _filled(self, request: Request, response: Response, latency: float) -> Response:
        backend = request.backend
        prompt, completion = response.prompt_tokens, response.completion_tokens
        if self._usage:
            if prompt is None:
                prompt = sum(word_count(message.content) for message in request.messages)
            if completion is None:
                completion = word_count(response.text)
        cost, source = response.cost, response.cost_source
        if cost is None:
            cost = backend.cost(prompt_tokens=prompt, completion_tokens=completion)
            source = BACKEND_PRICE if cost is not None else source
        return replace(
            response,
            prompt_tokens=prompt,
            completion_tokens=completion,
            cost=None if cost is None else Decimal(cost),
            cost_source=source,
            finish_reason=response.finish_reason or "stop",
            model=response.model or backend.model,
            backend=response.backend or backend.name,
            latency_s=response.latency_s or latency,
        )


def _looked_up(script: Mapping[str, Answer], request: Request) -> Answer:
    if request.agent is not None and request.agent in script:
        return script[request.agent]
    last = request.messages[-1].content if request.messages else ""
    for key, answer in script.items():
        if key != "*" and key in last:
            return answer
    if "*" in script:
        return script["*"]
    return BackendError(
        f"the script has no answer for {last[:80]!r}; its keys are {sorted(script)}. Add '*'."
    )
