"""How a prompt is laid out: what stays the same first, what changes last.

System role, worked examples, history, then one user turn with the context, the question, the answers
received and the node's instruction. Backends cache prompts by their prefix, so an agent's role and
examples come before anything that belongs to one task.
"""

from __future__ import annotations

from collections.abc import Sequence

from agentnet.graphs.agent import Agent
from agentnet.graphs.task import Message
from agentnet.runtime.call import AgentInput, Received


def prefix(agent: Agent, instruction: str = "") -> list[Message]:
    """Returns the part of the prompt that is the same for every task of an agent."""
    system = "\n\n".join(part for part in (agent.system, instruction) if part)
    messages = [Message("system", system)] if system else []
    for shot in agent.shots:
        messages.append(Message("user", shot.question))
        messages.append(Message("assistant", shot.answer))
    return messages


def question(given: AgentInput, *, heading: str = "Answers of other agents") -> str:
    """Returns the last user turn.

    >>> from agentnet.graphs.task import Task
    >>> given = AgentInput(task=Task("6 * 7?"), node="b", prompt="Check it.",
    ...                    received=(Received(node="a", agent="solver", answer="41"),))
    >>> print(question(given))
    6 * 7?
    <BLANKLINE>
    Answers of other agents:
    [solver] 41
    <BLANKLINE>
    Check it.
    """
    task = given.task
    if not (task.context or given.received or given.prompt):
        return task.text
    parts = [f"Context:\n{task.context}"] if task.context else []
    parts.append(task.text)
    if given.received:
        parts.append(f"{heading}:\n{listed(given.received)}")
    if given.prompt:
        parts.append(given.prompt)
    return "\n\n".join(parts)


def listed(received: Sequence[Received]) -> str:
    """Returns answers under their agents' names, one after another."""
    return "\n".join(f"[{item.agent}] {item.answer}" for item in received)


def conversation(
    agent: Agent, given: AgentInput, instruction: str = "", *, heading: str = ""
) -> list[Message]:
    """Returns the whole prompt; ``instruction`` is the strategy's, unless the agent has its own."""
    messages = prefix(agent, agent.options.get("instruction", instruction))
    messages.extend(given.task.history)
    text = question(given, heading=heading) if heading else question(given)
    messages.append(Message("user", text))
    return messages
