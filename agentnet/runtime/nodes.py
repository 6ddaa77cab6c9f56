"""Runs one node of a graph: skip or not, what it sees, its strategy, and what it leaves behind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from langgraph.errors import GraphBubbleUp

from agentnet.errors import LimitExceeded
from agentnet.graphs.agent import Agent
from agentnet.graphs.live import Step
from agentnet.graphs.semantics import Finished, messages_for, should_skip
from agentnet.graphs.task import Task
from agentnet.graphs.task_graph import Node, TaskGraph
from agentnet.runtime.call import AgentCall, AgentInput, Answer, Received, Tally
from agentnet.runtime.clients.scrub import scrub, told
from agentnet.runtime.events import NodeFinished, NodeStarted, Token
from agentnet.runtime.foreign import contained
from agentnet.runtime.scope import Scope, StepDetail
from agentnet.runtime.state import finished, pack_step
from agentnet.runtime.strategies.base import Strategy

_NO_STEPS: Finished = {}
LIMIT_PREFIX = "limit:"
"""Begins the error of a step that a limit refused, so that the state alone tells of it."""


@dataclass(frozen=True, slots=True)
class Place:
    """A node of a graph in one round, with all that can be known before a run."""

    graph: TaskGraph
    node: Node
    round: int
    agent: Agent
    strategy: Strategy
    alone: bool
    """Whether nothing in the state can matter to it but the task."""


async def run_place(place: Place, state: Mapping[str, Any], scope: Scope) -> dict[str, Any]:
    """Runs a node and returns its update of the state; an agent's failure stays in its step."""
    node, round_ = place.node, place.round
    done = _NO_STEPS if place.alone else finished(state.get("steps", ()))
    if not place.alone:
        if round_ and _is_over(place.graph, round_ - 1, done):
            return {}
        if scope.limit or _limited(done) or should_skip(place.graph, node.id, round_, done):
            return _skipped(place, scope)
    elif scope.limit:
        return _skipped(place, scope)
    task = scope.task or Task.of(state["task"])
    received = () if place.alone else _received(place, done)
    given = AgentInput(task=task, node=node.id, round=round_, prompt=node.prompt, received=received)
    step = await run_agent(place.agent, place.strategy, given, scope)
    return {"steps": [pack_step(step)]}


async def run_agent(agent: Agent, strategy: Strategy, given: AgentInput, scope: Scope) -> Step:
    """Lets an agent answer; whatever goes wrong is the step's ``error``.

    Raises:
        GraphBubbleUp: the agent interrupts the run (LangGraph's ``interrupt``).
        CancelledError: the run is cancelled; the step that was cut off is told before.
    """
    where: dict[str, Any] = {"node": given.node, "agent": agent.name, "round": given.round}
    emit = scope.emit
    on_token = None
    if emit is not None:
        emit(NodeStarted(turn=scope.turn, **where))
        if scope.tokens:

            def on_token(text: str) -> None:
                emit(Token(turn=scope.turn, **where, text=text))

    call = AgentCall(
        agent,
        given,
        scope.client,
        sandbox=scope.sandbox,
        on_token=on_token,
        keep=scope.keep,
        backends=scope.backends,
    )
    started_at, clock = time.time(), time.perf_counter()
    answer, error = Answer(text=""), None
    cancelled: asyncio.CancelledError | None = None
    try:
        result = await contained(strategy.run(call))
        answer = result if isinstance(result, Answer) else Answer(text=result)
    except GraphBubbleUp:
        raise
    except LimitExceeded as refused:
        scope.limit = refused.kind
        error = f"{LIMIT_PREFIX}{refused.kind}: {scrub(str(refused))}"
    except asyncio.CancelledError as stop:
        error, cancelled = "cancelled", stop
    except Exception as failure:
        # An agent is anybody's code: what it raises costs its own node and never the run.
        error = told(failure)
    if call.refused is not None:
        scope.limit = call.refused.kind
    step = _step(where, answer, error, call.tally, time.perf_counter() - clock)
    detail = None
    if scope.details:
        detail = StepDetail(
            strategy=strategy.name,
            started_at=started_at,
            cost_source=call.tally.cost_source,
            messages=tuple(call.messages),
        )
    _tell(scope, step, detail)
    if cancelled is not None:
        raise cancelled
    return step


def _tell(scope: Scope, step: Step, detail: StepDetail | None) -> None:
    if scope.on_step is not None:
        scope.on_step(step, detail)
    if scope.emit is not None:
        scope.emit(NodeFinished(turn=scope.turn, step=step))


def _step(where: Mapping[str, Any], answer: Answer, error: str | None, tally: Tally, seconds: float) -> Step:
    return Step(
        **where,
        answer=answer.text,
        score=answer.score,
        error=error,
        prompt_tokens=tally.prompt_tokens,
        completion_tokens=tally.completion_tokens,
        cached_tokens=tally.cached_tokens,
        calls=tally.calls,
        cost=tally.cost,
        latency_s=seconds,
        backend=tally.backend,
    )


def _skipped(place: Place, scope: Scope) -> dict[str, Any]:
    step = Step(node=place.node.id, agent=place.agent.name, round=place.round, skipped=True, cost=Decimal(0))
    detail = StepDetail(strategy=place.strategy.name, started_at=time.time()) if scope.details else None
    _tell(scope, step, detail)
    return {"steps": [pack_step(step)]}


def _received(place: Place, done: Finished) -> tuple[Received, ...]:
    incoming = messages_for(place.graph, place.node.id, place.round, done)
    return tuple(
        Received(
            node=item.node.id,
            agent=item.node.agent,
            answer=item.step.answer,
            weight=item.weight,
            round=item.step.round,
            prompt=item.node.prompt,
        )
        for item in incoming
    )


def _is_over(graph: TaskGraph, round_: int, done: Finished) -> bool:
    """Whether the run ended with a round: every node was skipped, or never came to its turn."""
    steps = (done.get((round_, node.id)) for node in graph.nodes)
    return all(step is None or step.skipped for step in steps)


def _limited(done: Finished) -> bool:
    return any(step.error is not None and step.error.startswith(LIMIT_PREFIX) for step in done.values())
