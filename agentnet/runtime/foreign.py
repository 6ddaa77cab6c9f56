"""Calls anybody's code so that nothing it raises gets past the step that called it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from agentnet.errors import RunError
from agentnet.runtime.clients.scrub import told

T = TypeVar("T")


async def contained(work: Awaitable[T]) -> T:
    """Awaits work; what would end the event loop or pass for a cancellation becomes an ordinary error.

    Raises:
        RunError: the work raised ``SystemExit``, ``KeyboardInterrupt``, ``GeneratorExit`` or, without having
            been cancelled, ``CancelledError``.
        CancelledError: this task is being cancelled.
    """
    task = asyncio.current_task()
    try:
        return await work
    except Exception:
        raise
    except asyncio.CancelledError as failure:
        if task is not None and task.cancelling():
            raise
        error = RunError(told(failure))
    except GeneratorExit as failure:
        if not _runs(task):  # the coroutine itself is being closed, after the end of its loop
            raise
        error = RunError(told(failure))
    except BaseException as failure:
        error = RunError(told(failure))
    raise error


async def call_foreign(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Calls a function, in a thread unless it is async, and awaits what it returns; errors as `contained`."""
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):
        return await contained(function(*args, **kwargs))
    result = await asyncio.to_thread(_call, function, args, kwargs)
    return await contained(result) if inspect.isawaitable(result) else result


def _call(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    try:
        return function(*args, **kwargs)
    except StopIteration as failure:
        # A future refuses it, and whoever waits for the future would wait for ever.
        error = RunError(told(failure))
    except Exception:
        raise
    except BaseException as failure:
        error = RunError(told(failure))
    raise error


def _runs(task: asyncio.Task[Any] | None) -> bool:
    try:
        return asyncio.current_task() is task
    except RuntimeError:  # no loop runs
        return False
