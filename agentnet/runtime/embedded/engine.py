"""`EmbeddedEngine`: a GGUF model inside this process, through xllamacpp (llama.cpp)."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from agentnet.errors import AgentnetError, InvalidInput, MissingDependency
from agentnet.runtime.embedded.weights import find_model

INSTALL = "pip install 'agentnet-routing[demo]'"
_SCRATCH = 0
"""The slot of prompts that will not come again."""


class EngineError(AgentnetError):
    """The embedded engine refused a prompt or failed."""


class PromptTooLong(EngineError, InvalidInput):
    """A prompt does not fit into the engine's context."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What the model wrote, and what it used."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    finish_reason: str


class Slots:
    """Gives each prompt prefix a slot of its own, the longest unused one when all are taken.

    A slot keeps the state of its last prompt, so a prompt with the same beginning is read from there on.
    Slot 0 is for prompts whose beginning will not come again: they displace nothing.

    >>> slots = Slots(3)
    >>> [slots.of("a"), slots.of("b"), slots.of("a"), slots.of("c"), slots.of(None)]
    [1, 2, 1, 2, 0]
    """

    def __init__(self, count: int) -> None:
        if count < 2:
            raise InvalidInput(f"an engine needs at least 2 slots; got {count}.")
        self._free = list(range(count - 1, 0, -1))
        self._of: OrderedDict[str, int] = OrderedDict()

    def of(self, prefix: str | None) -> int:
        """Returns the slot for a prompt that begins with ``prefix``; None: it will not come again."""
        if prefix is None:
            return _SCRATCH
        slot = self._of.pop(prefix, None)
        if slot is None:
            slot = self._free.pop() if self._free else self._of.popitem(last=False)[1]
        self._of[prefix] = slot
        return slot


class EmbeddedEngine:
    """Completes prompts with a GGUF model in this process, one at a time, greedily.

    One worker thread does all the work, so it may be called from any event loop or thread. Calls are
    not run side by side: on one core that gains nothing, and it would make answers depend on who else
    is asking. Prompts that begin alike share the state of that beginning (`Slots`), which saves most of
    a call's time.

    The same calls in the same order give the same answers. Whether a beginning was cached can, rarely,
    change an answer: rounding differs with how many tokens are read at once.

    Args:
        model: A GGUF file; None looks for it (`find_model`).
        slots: Prompt beginnings kept at a time, one of them for prompts that do not come again.
        context: Tokens of prompt and answer together.
        threads: Processor threads; more than one collapses when another process wants a core.
        start: Starts the server: a function of model, slots, context and threads. For tests.

    Raises:
        MissingDependency: xllamacpp or the weights are not installed.
        DataError: ``model`` is no GGUF file.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        slots: int = 18,
        context: int = 1024,
        threads: int = 1,
        start: Callable[[Path, int, int, int], Any] | None = None,
    ) -> None:
        self.path = find_model(model)
        self._slots = Slots(slots)
        self._sizes = (slots, context, threads)
        self._start = start or start_server
        self._server: Any = None
        self._closed = False
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="agentnet-embedded")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Frees the model, after the call in progress; may be called twice."""
        if not self._closed:
            self._closed = True
            self._worker.submit(self._free)
            self._worker.shutdown(wait=True)

    def complete(self, prompt: str, **options: Any) -> Completion:
        """Completes a prompt; the options are those of `acomplete`."""
        done: Completion = self._submit(prompt, options, None, threading.Event()).result()
        return done

    async def acomplete(self, prompt: str, **options: Any) -> Completion:
        """Completes a prompt.

        Args:
            prompt: The whole prompt.
            options: ``max_tokens`` (default 64), ``stop`` (texts at which the answer ends),
                ``temperature`` (default 0, greedy), ``seed``, and ``prefix``: the prompt's beginning
                that will come again, None if none.

        Raises:
            PromptTooLong: the prompt does not fit.
            EngineError: the engine failed or is closed.
        """
        cancelled = threading.Event()
        future = self._submit(prompt, options, None, cancelled)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async def astream(self, prompt: str, **options: Any) -> AsyncIterator[str | Completion]:
        """Completes a prompt piece by piece and yields the `Completion` last; options as `acomplete`."""
        loop = asyncio.get_running_loop()
        pieces: asyncio.Queue[str | None] = asyncio.Queue()
        cancelled = threading.Event()

        def put(piece: str | None) -> None:
            loop.call_soon_threadsafe(pieces.put_nowait, piece)

        future = asyncio.wrap_future(self._submit(prompt, options, put, cancelled))
        future.add_done_callback(lambda _: pieces.put_nowait(None))
        try:
            while (piece := await pieces.get()) is not None:
                yield piece
            yield await future
        finally:
            cancelled.set()

    def _submit(
        self,
        prompt: str,
        options: Mapping[str, Any],
        on_text: Callable[[str], None] | None,
        cancelled: threading.Event,
    ) -> Any:
        request = _request(prompt, **options)
        prefix = options.get("prefix")
        if self._closed:
            raise EngineError("the embedded engine is closed; open a new one.")
        return self._worker.submit(self._complete, request, prefix, on_text, cancelled)

    def _complete(
        self,
        request: dict[str, Any],
        prefix: str | None,
        on_text: Callable[[str], None] | None,
        cancelled: threading.Event,
    ) -> Completion:
        """Runs on the worker thread. Always streams, so that a cancelled call ends at the next token."""
        if cancelled.is_set():
            raise EngineError("the call was cancelled before it began.")
        server = self._loaded()
        texts: list[str] = []
        last: dict[str, Any] = {}
        problem: dict[str, Any] = {}

        def take(chunk: Any) -> bool:
            for part in chunk if isinstance(chunk, list) else [chunk]:
                if "error" in part or "code" in part:
                    problem.update(part.get("error") or part)
                    return True
                choice = (part.get("choices") or [{}])[0]
                if text := choice.get("text"):
                    texts.append(text)
                    if on_text is not None:
                        on_text(text)
                last["finish"] = choice.get("finish_reason") or last.get("finish")
                last["usage"] = part.get("usage") or last.get("usage")
            return cancelled.is_set()

        server.handle_completions(request | {"id_slot": self._slots.of(prefix)}, take)
        if problem:
            raise _error(problem)
        usage = last.get("usage") or {}
        details = usage.get("prompt_tokens_details") or {}
        return Completion(
            text="".join(texts),
            prompt_tokens=int(usage.get("prompt_tokens", 0)),
            completion_tokens=int(usage.get("completion_tokens", 0)),
            cached_tokens=int(details.get("cached_tokens", 0)),
            finish_reason=last.get("finish") or "stop",
        )

    def _loaded(self) -> Any:
        if self._server is None:
            self._server = self._start(self.path, *self._sizes)
        return self._server

    def _free(self) -> None:
        self._server = None


def _request(
    prompt: str,
    *,
    max_tokens: int = 64,
    stop: tuple[str, ...] = (),
    temperature: float = 0.0,
    seed: int | None = None,
    prefix: str | None = None,
) -> dict[str, Any]:
    if prefix is not None and not prompt.startswith(prefix):
        raise InvalidInput("a prompt must begin with its prefix.")
    request: dict[str, Any] = {
        "prompt": prompt,
        "max_tokens": max_tokens,
        "temperature": temperature,
        "stop": list(stop),
        "cache_prompt": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    return request if seed is None else request | {"seed": seed}


def _error(problem: Mapping[str, Any]) -> EngineError:
    message = str(problem.get("message", problem))
    if "context" in message.lower() or "exceed" in str(problem.get("type", "")):
        return PromptTooLong(f"over the maximum context length of the embedded model: {message}")
    return EngineError(f"the embedded model failed: {message}")


def start_server(path: Path, slots: int, context: int, threads: int) -> Any:
    """Loads the model into an xllamacpp server with ``slots`` times ``context`` tokens of state.

    Raises:
        MissingDependency: xllamacpp is not installed.
    """
    try:
        import xllamacpp
    except ImportError:
        raise MissingDependency(f"the embedded model needs xllamacpp; install it with `{INSTALL}`.") from None
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx = slots * context
    params.n_parallel = slots
    params.cpuparams.n_threads = threads
    params.cpuparams_batch.n_threads = threads
    params.warmup = False
    params.verbosity = -1
    params.fit_params = False
    params.cache_ram_mib = 0  # beginnings stay in slots; llama.cpp's second cache would copy them
    params.n_ctx_checkpoints = 0
    params.ui = False
    params.endpoint_slots = False
    params.n_threads_http = 2
    return xllamacpp.Server(params)
