"""Joins the output nodes' answers into one."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from langgraph.errors import GraphBubbleUp

from agentnet.graphs.agent import Agent
from agentnet.graphs.live import Step
from agentnet.graphs.refusals import is_refusal
from agentnet.graphs.semantics import Finished, Standing, aggregate_plain, standing_answers
from agentnet.graphs.task import Task
from agentnet.graphs.task_graph import Node, TaskGraph
from agentnet.runtime.call import AgentInput, Answer, Received
from agentnet.runtime.clients.scrub import told
from agentnet.runtime.foreign import contained
from agentnet.runtime.nodes import LIMIT_PREFIX, run_agent
from agentnet.runtime.scope import Scope
from agentnet.runtime.state import finished, pack_step
from agentnet.runtime.strategies.base import Strategy

AggregationFunction = Callable[[list[tuple[Node, Step]]], str | Awaitable[str]]
"""A custom aggregation: given the output nodes that answered with their steps, returns the answer."""
REFINE_NODE = "refine"
"""Id of the merging step; underscores are added where a node of the graph has this id."""
NO_ANSWER = "Sorry, none of the agents that were asked could answer this."
"""What a refine aggregation answers where all answers are refusals; no model is asked to say so."""


@dataclass(frozen=True, slots=True)
class Join:
    """The last node of a compiled graph."""

    graph: TaskGraph
    agent: Agent | None = None
    """The agent that merges, for a refine aggregation."""
    strategy: Strategy | None = None
    custom: AggregationFunction | None = None


async def run_join(join: Join, state: Mapping[str, Any], scope: Scope) -> dict[str, Any]:
    """Aggregates and returns the last update of the state.

    Refining is left out, without a model call, when one answer stands, when all of several are refusals,
    or when a limit is used up.
    """
    done = finished(state.get("steps", ()))
    answered = [(node, step) for node, step in standing_answers(join.graph, done) if step.answered]
    if not answered:
        return {"answer": "", "winner": None, "error": _why(done)}
    kind = join.graph.aggregation.kind
    if kind == "custom" and join.custom is not None:
        return await _custom(join.custom, answered)
    if kind == "refine" and len(answered) > 1:
        answers = [(node, step) for node, step in answered if not is_refusal(step.answer)]
        if len(answers) < 2:
            node, answer = (answers[0][0].id, answers[0][1].answer) if answers else (None, NO_ANSWER)
            return {"answer": answer, "winner": node, "error": None}
        if not scope.limit and join.agent is not None and join.strategy is not None:
            return await _refine(join, join.agent, join.strategy, answers, state, scope)
        standing = _vote(join.graph, done)
    else:
        standing = aggregate_plain(join.graph, done)
    return {"answer": standing.answer, "winner": standing.winner, "error": None}


async def _custom(function: AggregationFunction, answered: list[tuple[Node, Step]]) -> dict[str, Any]:
    async def apply() -> Any:
        result = function(answered)
        return await result if inspect.isawaitable(result) else result

    try:
        text = Answer(text=str(await contained(apply()))).text
    except GraphBubbleUp:
        raise
    except Exception as failure:
        # The steps are kept: a defect in a join must not lose what was paid for.
        error = f"the custom aggregation failed: {told(failure)}"
        return {"answer": "", "winner": None, "error": error}
    return {"answer": text, "winner": None, "error": None}


async def _refine(
    join: Join,
    agent: Agent,
    strategy: Strategy,
    answered: list[tuple[Node, Step]],
    state: Mapping[str, Any],
    scope: Scope,
) -> dict[str, Any]:
    name = REFINE_NODE
    while any(node.id == name for node in join.graph.nodes):
        name += "_"
    given = AgentInput(
        task=scope.task or Task.of(state["task"]),
        node=name,
        round=max(step.round for _, step in answered),
        received=tuple(
            Received(
                node=node.id,
                agent=node.agent,
                answer=step.answer,
                weight=node.weight,
                round=step.round,
                prompt=node.prompt,
            )
            for node, step in answered
        ),
    )
    step = await run_agent(agent, strategy, given, scope)
    update: dict[str, Any] = {"steps": [pack_step(step)], "winner": None, "error": None}
    if step.answered:
        return {**update, "answer": step.answer}
    # The merger failed: the heaviest answer is worth more than none.
    best = max(answered, key=lambda pair: pair[0].weight)
    return {**update, "answer": best[1].answer, "winner": best[0].id}


def partial(graph: TaskGraph, done: Finished) -> Standing:
    """Aggregates the steps of a graph that was cut off; a vote stands in for what would have to be run."""
    return (_vote if graph.aggregation.kind in ("refine", "custom") else aggregate_plain)(graph, done)


def _vote(graph: TaskGraph, done: Finished) -> Standing:
    plain = replace(graph.aggregation, kind="vote", agent=None)
    return aggregate_plain(graph.with_(aggregation=plain), done)


def _why(done: Finished) -> str:
    """Says why nobody answered: the first errors, each once."""
    errors = dict.fromkeys(f"{step.agent}: {step.error}" for step in done.values() if step.error)
    if not errors:
        return "no output node gave an answer: all were skipped or answered with nothing."
    shown = [text.replace(LIMIT_PREFIX, "limit ") for text in list(errors)[:3]]
    more = f" (and {len(errors) - 3} more)" if len(errors) > 3 else ""
    return f"no output node answered: {'; '.join(shown)}{more}"
