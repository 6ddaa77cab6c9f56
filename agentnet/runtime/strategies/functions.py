"""Callable: a Python function or any LangGraph or LangChain runnable as an agent."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, get_type_hints

from agentnet.errors import RunError
from agentnet.graphs.task import Task
from agentnet.runtime.call import AgentCall, AgentInput, Answer
from agentnet.runtime.foreign import call_foreign
from agentnet.runtime.strategies.base import TEXT, Strategy


async def call_function(call: AgentCall) -> Answer:
    """Calls ``agent.call`` with what its first parameter asks for.

    A parameter annotated `AgentInput` gets the whole input, `Task` the task; anything else gets the text
    of the task with what other agents answered. Functions that are not async run in a thread. A
    LangGraph graph gets ``{"messages": [...]}`` or ``{"task": ...}``, whichever its state has (or the
    agent's option ``input_key``); its answer is read from ``answer``, ``output`` or the last message (or
    option ``output_key``). The result may be text, an `Answer`, a message or such a mapping.

    The cost is what a returned `Answer` says; else zero if the agent's prices are zero; else unknown.
    """
    target, tally = call.agent.call, call.tally
    assert target is not None
    # Set before the call, for it may fail or be cancelled: what it used until then is just as unknown.
    tally.prompt_tokens = tally.completion_tokens = tally.cached_tokens = None
    free = call.agent.price_in_per_mtok == 0 == call.agent.price_out_per_mtok
    tally.cost, tally.cost_source = (Decimal(0), "agent") if free else (None, None)
    if hasattr(target, "ainvoke"):
        result = await call_foreign(target.ainvoke, _runnable_input(target, call))
    else:
        result = await call_foreign(target, _argument(target, call.input))
    answer = result if isinstance(result, Answer) else Answer(text=_text(result, call.option("output_key")))
    if answer.cost is not None:
        tally.cost, tally.cost_source = answer.cost, "agent"
    return answer


def _argument(function: Callable[..., Any], given: AgentInput) -> Any:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return given.text
    hint = parameters[0].annotation if parameters else None
    name = hint if isinstance(hint, str) else getattr(hint, "__name__", "")
    name = name.rsplit(".", 1)[-1]
    if name == AgentInput.__name__:
        return given
    return given.task if name == Task.__name__ else given.text


def _runnable_input(target: Any, call: AgentCall) -> Any:
    key = call.option("input_key")
    schema = getattr(getattr(target, "builder", None), "input_schema", None)
    if key is None and schema is not None:
        keys = get_type_hints(schema)
        key = next((name for name in ("messages", "task", "question", "input") if name in keys), None)
        if key is None and len(keys) == 1:
            key = next(iter(keys))
        if key is None:
            raise RunError(f"agent {call.agent.name!r}: set option input_key to one of {sorted(keys)}.")
    if key is None:
        return call.input.text
    if key == "messages":
        turns = [turn.to_dict() for turn in call.input.task.history]
        return {key: [*turns, {"role": "user", "content": call.input.text}]}
    return {key: call.input.text}


def _text(result: Any, key: str | None) -> str:
    if isinstance(result, Mapping):
        names = [key] if key else ["answer", "output", "messages"]
        name = next((name for name in names if name in result), None)
        if name is None:
            raise RunError(
                f"none of {names} is in the result {sorted(map(str, result))}; set option output_key"
            )
        result = result[name]
        if isinstance(result, list | tuple) and result:
            result = result[-1]
    if isinstance(result, Mapping) and "content" in result:
        result = result["content"]
    result = getattr(result, "content", result)
    if result is None:
        return ""
    if isinstance(result, list):
        parts = [part.get("text", "") if isinstance(part, Mapping) else str(part) for part in result]
        return "".join(parts)
    return result if isinstance(result, str) else str(result)


CALLABLE = Strategy(
    name="callable", run=call_function, needs="call", options={"input_key": TEXT, "output_key": TEXT}
)
