"""How the agents answer: the built-in strategies, given the task as a conversation so far."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from agentnet.graphs.agent import Shot
from agentnet.runtime.call import AgentCall, AgentInput, Answer
from agentnet.runtime.client import Chunk, ModelClient, Request, Response
from agentnet.runtime.strategies import BUILT_IN
from agentnet.runtime.strategies.base import Strategy


def said(text: str, speaker: str, lines: Sequence[tuple[str, str]] = ()) -> str:
    r"""Returns a task, what others said of it, and the name of who speaks next.

    Args:
        text: The task; empty leaves it out.
        speaker: Who speaks next.
        lines: Names and answers of the others.

    >>> said("1 + 1?", "inspector", [("analyst", "1 + 1"), ("solver", "2")])
    'Question: 1 + 1?\nAnalyst: 1 + 1\nSolver: 2\nInspector:'
    """
    asked = [f"Question: {' '.join(text.split())}"] if text else []
    heard = [f"{name.capitalize()}: {' '.join(answer.split())}" for name, answer in lines]
    return "\n".join([*asked, *heard, f"{speaker.capitalize()}:"])


def shot(text: str, speaker: str, answer: str, **lines: str) -> Shot:
    """Returns a worked example in the form of `said`; ``lines`` are names and answers, in order."""
    return Shot(said(text, speaker, list(lines.items())), answer)


@dataclass(frozen=True, slots=True)
class _Begun:
    """A client whose answers begin as the prompt has begun them."""

    client: ModelClient
    begin: str

    async def complete(self, request: Request) -> Response:
        response = await self.client.complete(request)
        return replace(response, text=self.begin + response.text)

    async def stream(self, request: Request) -> AsyncIterator[Chunk]:
        yield Chunk(self.begin)
        async for chunk in self.client.stream(request):
            done = chunk.response
            yield chunk if done is None else Chunk(response=replace(done, text=self.begin + done.text))


def in_conversation(name: str) -> Strategy:
    """Returns a built-in strategy whose last user turn is `said`: task, answers received, own name.

    Options beside the strategy's own: ``hears`` (names in the order in which their lines are shown, the
    one trusted most last; others come first, by name: equal answers make equal prompts whoever sent
    first), ``from_lines`` (whether the task itself is left out where there are lines), ``begin`` (how
    every answer begins) and ``speaker`` (the name to answer under).
    """
    inner = BUILT_IN[name]

    async def run(call: AgentCall) -> Answer:
        given, begin = call.input, call.option("begin", "")
        order = {who: place for place, who in enumerate(call.option("hears", ()))}
        heard = sorted(given.received, key=lambda item: (order.get(item.agent, -1), item.node))
        lines = [(item.agent, item.answer) for item in heard]
        asked = "" if lines and call.option("from_lines") else given.task.text
        text = said(asked, call.option("speaker", call.agent.name), lines)
        plain = AgentInput(
            task=replace(given.task, text=f"{text} {begin}" if begin else text),
            node=given.node,
            round=given.round,
        )
        if begin:
            # The tally and the kept messages are shared with the call they were copied from.
            call = replace(call, client=_Begun(call.client, begin))
        answer = await inner.run(replace(call, input=plain))
        return Answer(text=answer) if isinstance(answer, str) else answer

    return replace(inner, run=run, any_options=True)


STRATEGIES: Mapping[str, Strategy] = MappingProxyType(
    {name: in_conversation(name) for name in ("direct", "program", "chain_of_thought", "self_consistency")}
)
"""By name, for ``Runtime(strategies=...)``."""
