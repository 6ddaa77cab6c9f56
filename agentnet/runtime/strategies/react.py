"""ReAct: the model reasons, calls tools and reads what they return until it answers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from agentnet.errors import EmptyResponse
from agentnet.graphs.final_answer import final_answer
from agentnet.graphs.task import Message
from agentnet.runtime.call import AgentCall, Answer
from agentnet.runtime.prompts import conversation
from agentnet.runtime.strategies.base import Strategy, whole
from agentnet.runtime.tools import Tool, make_tools

MAX_STEPS = 6
_ACTION = re.compile(r"action\s*:\s*`?([A-Za-z_]\w*)`?\s*(?:\[(.*?)\]|\((.*?)\))?\s*(?:\n|$)", re.I | re.S)
_INPUT = re.compile(r"action[ _]input\s*:\s*(.+)", re.I | re.S)
_ANSWER = re.compile(r"final answer\s*:\s*(.+)", re.I | re.S)

SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "thought": {"type": "string"},
        "tool": {"type": "string"},
        "arguments": {"type": "object"},
        "answer": {"type": "string"},
    },
    "required": ["thought"],
}
"""Sent as ``json_schema`` where the agent's option ``json_schema`` asks for constrained answers."""


@dataclass(frozen=True, slots=True)
class Move:
    """What the model wants to do next: call a tool, or answer."""

    tool: str | None = None
    arguments: Any = None
    answer: str | None = None


def parse(text: str, tools: Mapping[str, Tool]) -> Move:
    r"""Reads a model's reply: JSON first, then the plain-text form of the paper, else it is the answer.

    >>> parse('I look it up. {"tool": "find", "arguments": {"q": "x"}}', {}).tool
    'find'
    >>> parse("Thought: easy\nFinal Answer: 42", {}).answer
    '42'
    """
    for data in _objects(text):
        tool = data.get("tool") or data.get("action") or data.get("name")
        if isinstance(tool, str) and tool.lower() not in ("", "none", "final", "answer", "finish"):
            arguments: Any = next((data[k] for k in ("arguments", "input", "action_input") if k in data), {})
            return Move(tool=tool, arguments=arguments)
        if (answer := data.get("answer", data.get("final_answer"))) is not None:
            return Move(answer=answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False))
    if found := _ACTION.search(text):
        name = found[1]
        if name in tools or not _ANSWER.search(text):
            given = _INPUT.search(text, found.end() - 1)
            raw = (given[1] if given else found[2] or found[3] or "").strip().splitlines()
            return Move(tool=name, arguments=_value(raw[0]) if raw else {})
    if found := _ANSWER.search(text):
        return Move(answer=found[1].strip())
    return Move(answer=final_answer(text))


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """JSON objects in a text, outermost first, whatever stands around them."""
    decoder = json.JSONDecoder()
    at = text.find("{")
    while at >= 0:
        try:
            value, end = decoder.raw_decode(text, at)
        except (json.JSONDecodeError, RecursionError):
            end = at + 1
        else:
            if isinstance(value, dict):
                yield value
        at = text.find("{", end)


def _value(raw: str) -> Any:
    try:
        return json.loads(raw)
    except (json.JSONDecodeError, RecursionError):
        return raw.strip("\"'` ")


def _instruction(tools: Mapping[str, Tool]) -> str:
    lines = "\n".join(f"- {tool.signature}" for tool in tools.values()) or "- (none)"
    return (
        f"You may use these tools:\n{lines}\n"
        'To use one, reply with JSON only: {"thought": "...", "tool": "NAME", "arguments": {...}}. '
        'When you know the answer, reply with JSON only: {"thought": "...", "answer": "..."}.'
    )


async def react(call: AgentCall) -> Answer:
    """Alternates reasoning and tool calls (Yao et al. 2023, arXiv:2210.03629).

    Options: ``max_steps`` (model calls in all, default 6). Unknown tools, wrong arguments and failing
    tools are told to the model, which may try again; in its last step it is told to answer.

    Raises:
        EmptyResponse: the last reply holds no answer.
    """
    tools = make_tools(call.agent.tools)
    messages = conversation(call.agent, call.input, _instruction(tools))
    most = call.option("max_steps", MAX_STEPS)
    for step in range(1, most + 1):
        if step == most and step > 1:
            messages.append(Message("user", "No tool can be used any more. Answer now."))
        response = await call.ask(messages)
        move = parse(response.text, tools)
        if move.tool is None:
            if move.answer and move.answer.strip():
                return Answer(text=move.answer.strip())
            raise EmptyResponse(f"agent {call.agent.name!r} gave no answer in step {step}.")
        tool = tools.get(move.tool)
        if tool is None:
            seen = f"Error: there is no tool {move.tool!r}; there are {sorted(tools)}."
        else:
            seen = await tool.call(move.arguments)
        messages.append(Message("assistant", response.text))
        messages.append(Message("user", f"Observation: {seen}"))
    raise EmptyResponse(f"agent {call.agent.name!r} gave no answer within {most} steps.")


REACT = Strategy(name="react", run=react, options={"max_steps": whole(1)})
