"""How the agents of the pool answer: the built-in strategies, shortened, and three of several steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from agentnet.bench.kgqa.answers import shorten
from agentnet.errors import EmptyResponse
from agentnet.graphs.task import Message
from agentnet.runtime.call import AgentCall, Answer
from agentnet.runtime.prompts import conversation
from agentnet.runtime.strategies import BUILT_IN
from agentnet.runtime.strategies.base import Strategy


@dataclass(frozen=True, slots=True)
class Stage:
    """One call of a strategy of several steps."""

    cue: str
    """Begins the reply, or goes on with it."""
    max_tokens: int
    stop: tuple[str, ...] = ("\n",)
    again: bool = False
    """Whether the question is asked again before, as a turn of its own."""


ANSWER = Stage('The answer is "', 12, ("\n", '"'), again=True)
"""The last step: the question once more, and an answer in quotes, which keeps it short."""


def shortened(name: str) -> Strategy:
    """Returns a built-in strategy whose answer is cut down to a short one (`shorten`)."""
    inner = BUILT_IN[name]

    async def run(call: AgentCall) -> Answer:
        answer = await inner.run(call)
        text = answer if isinstance(answer, str) else answer.text
        score = None if isinstance(answer, str) else answer.score
        return Answer(text=shorten(text, call.input.task.text), score=score)

    return replace(inner, run=run)


def staged(name: str, *stages: Stage) -> Strategy:
    """Returns a strategy that builds one reply in steps; the last step's text is the answer.

    Each step goes on with the reply so far, so that only its cue is new to the engine. A step without an
    answer leaves that of the step before.
    """

    async def run(call: AgentCall) -> Answer:
        messages = conversation(call.agent, call.input)
        question = call.input.task.text
        text = ""
        for i, stage in enumerate(stages):
            if stage.again:
                messages.append(Message("user", question))
            cue = f"\n{stage.cue}" if i and not stage.again else stage.cue
            messages.append(Message("assistant", cue))
            try:
                response = await call.ask(messages, max_tokens=stage.max_tokens, stop=stage.stop)
                text = response.text.strip()
            except EmptyResponse:  # a small model now and then ends at once; what it said before stands
                continue
            messages.append(Message("assistant", text if cue.endswith('"') else f" {text}"))
        return Answer(text=shorten(text, question))

    return Strategy(name=name, run=run)


STRATEGIES: Mapping[str, Strategy] = MappingProxyType(
    {
        "direct": shortened("direct"),
        "self_consistency": shortened("self_consistency"),
        "think_then_answer": staged("think_then_answer", Stage("First,", 40), ANSWER),
        "decompose": staged(
            "decompose",
            Stage("Simpler question:", 24),
            Stage("Answer to the simpler question:", 16),
            replace(ANSWER, cue='The final answer is "', again=False),
        ),
        "summarise_then_answer": staged("summarise_then_answer", Stage("", 36), ANSWER),
    }
)
"""By name, for ``Runtime(strategies=...)``."""
