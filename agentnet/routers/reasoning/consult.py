"""Asks a language model which agents a task needs: prompt, call, reading, and once more if need be."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Coroutine, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from agentnet.errors import AgentnetError, BackendError, EmptyResponse, InvalidInput
from agentnet.graphs.agent import Agent
from agentnet.graphs.task import Message, Task
from agentnet.routers.reasoning.consultation import Consultation, named_agents
from agentnet.routers.reasoning.model import Completion, RouterModel
from agentnet.routers.reasoning.prompt import MOST_AGENTS, OUT_OF_SCOPE, Form, make_prompt, reply_schema
from agentnet.routers.reasoning.reply import Reply, parse_reply

__all__ = [
    "Consultation",
    "consult",
    "consult_many",
    "consult_many_sync",
    "consult_sync",
    "failed_consultation",
]

T = TypeVar("T")
MAX_TOKENS = 300
"""Most tokens of an answer: a reason of two sentences and three ids take far less."""


@dataclass(frozen=True, slots=True)
class _Settings:
    most: int
    max_tokens: int
    attempts: int
    constrained: bool
    form: Form | None
    compact: bool | None


async def consult(
    task: Task,
    agents: Sequence[Agent],
    model: RouterModel,
    *,
    most: int = MOST_AGENTS,
    max_tokens: int = MAX_TOKENS,
    attempts: int = 2,
    constrained: bool = True,
    form: Form | None = None,
    compact: bool | None = None,
) -> Consultation:
    """Asks a model which of the agents a task needs.

    An answer that cannot be read is asked for again, with a reminder of the form and constrained the other
    way round: a grammar that the model copes badly with, or a backend that has none, then costs one call
    and not the decision. After the last attempt nothing is chosen and ``failed`` says why; nothing is
    guessed. The model itself is never retried here: its client does that.

    Args:
        task: What is asked.
        agents: The candidates, in the order in which they are shown.
        model: Answers.
        most: Most agents that may be chosen.
        max_tokens: Most tokens of an answer.
        attempts: Most calls.
        constrained: Whether the first call constrains the answer with its schema, as far as the backend can.
        form: What the instruction asks for. None is what the model's own attribute ``form`` says, where it
            has one, else JSON in constrained calls (it is what the schema describes) and TCAR's elements in
            the others. Either form is read from any answer.
        compact: Whether to write the short prompt; None is what the model's own attribute ``compact`` says,
            where it has one, else False. A model is asked as it was trained.

    Raises:
        InvalidInput: no agents, two of one name, or a setting below 1; nothing was asked.
        BackendError: the model cannot be reached or refuses.
        LimitExceeded: a limit leaves no room for a call.

    >>> from decimal import Decimal
    >>> class Fixed:
    ...     name = "fixed"
    ...     async def complete(self, messages, *, max_tokens, json_schema=None):
    ...         return Completion(text='{"reason": "A lost card.", "ids": ["A1"]}', cost=Decimal("0.001"))
    >>> asked = consult_sync(Task("I lost my card"), [Agent(name="cards"), Agent(name="loans")], Fixed())
    >>> asked.agents, asked.reason, asked.attempts, asked.cost
    (('cards',), 'A lost card.', 1, Decimal('0.001'))
    """
    how = _Settings(most, max_tokens, attempts, constrained, form, compact)
    return await _consult(task, agents, model, how, [])


def consult_sync(task: Task, agents: Sequence[Agent], model: RouterModel, **settings: Any) -> Consultation:
    """Does as `consult`, blocking; also where an event loop is running, which it blocks meanwhile.

    The model is called on an event loop of this call's own, so it must not be bound to another.
    """
    return _run(consult(task, agents, model, **settings))


async def consult_many(
    tasks: Sequence[Task],
    agents: Sequence[Sequence[Agent]],
    model: RouterModel,
    *,
    concurrency: int = 8,
    most: int = MOST_AGENTS,
    max_tokens: int = MAX_TOKENS,
    attempts: int = 2,
    constrained: bool = True,
    form: Form | None = None,
    compact: bool | None = None,
) -> list[Consultation]:
    """Does as `consult` for each task; a task whose model call fails is told of in its ``failed``.

    Args:
        tasks: n tasks.
        agents: The candidates of each task, n lists.
        model: Answers.
        concurrency: Most tasks at once.
        most: As in `consult`.
        max_tokens: As in `consult`.
        attempts: As in `consult`.
        constrained: As in `consult`.
        form: As in `consult`.
        compact: As in `consult`.

    Raises:
        InvalidInput: as in `consult`, or the lists differ in length; nothing was asked.
    """
    if len(tasks) != len(agents):
        raise InvalidInput(f"{len(tasks)} tasks need as many lists of agents; got {len(agents)}.")
    if concurrency < 1:
        raise InvalidInput(f"concurrency is a whole number from 1; got {concurrency!r}.")
    how = _Settings(most, max_tokens, attempts, constrained, form, compact)
    for shown in agents:
        _check(shown, how)
    found: list[Consultation | None] = [None] * len(tasks)
    waiting = iter(range(len(tasks)))

    async def work() -> None:
        for i in waiting:
            calls: list[Completion] = []
            try:
                found[i] = await _consult(tasks[i], agents[i], model, how, calls)
            except AgentnetError as error:
                found[i] = failed_consultation(agents[i], model, calls, error)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(concurrency, len(tasks))):
                group.create_task(work())
    except ExceptionGroup as defects:
        raise defects.exceptions[0] from None
    return [item for item in found if item is not None]


def consult_many_sync(
    tasks: Sequence[Task], agents: Sequence[Sequence[Agent]], model: RouterModel, **settings: Any
) -> list[Consultation]:
    """Does as `consult_many`, blocking; see `consult_sync`."""
    return _run(consult_many(tasks, agents, model, **settings))


async def _consult(
    task: Task,
    agents: Sequence[Agent],
    model: RouterModel,
    how: _Settings,
    calls: list[Completion],
) -> Consultation:
    """Consults and puts every answer into ``calls``, so that they are known when a later call fails."""
    _check(agents, how)
    compact = getattr(model, "compact", False) if how.compact is None else how.compact
    wanted: Form | None = getattr(model, "form", None) if how.form is None else how.form
    reply = Reply()
    ids: dict[str, str] = {}
    for attempt in range(how.attempts):
        strict = how.constrained == (attempt % 2 == 0)
        form: Form = wanted or ("json" if strict and not compact else "xml")
        prompt = make_prompt(task, agents, most=how.most, form=form, compact=compact)
        ids = prompt.ids
        messages = prompt.messages if attempt == 0 else _reminded(prompt.messages, form, len(agents))
        schema = reply_schema(tuple(ids), most=how.most) if strict else None
        try:
            answer = await model.complete(messages, max_tokens=how.max_tokens, json_schema=schema)
        except EmptyResponse as empty:
            answer = _spent(empty)
        calls.append(answer)
        reply = parse_reply(answer.text, ids, most=how.most)
        if reply.readable:
            break
    failed = None
    if not reply.readable:
        failed = f"{model.name} named no agent in {len(calls)} answers; the last: {calls[-1].text[:200]!r}"
    named = named_agents(reply.reason, ids, task.text)
    others = tuple(name for name in named if name not in reply.agents)
    return Consultation(
        agents=reply.agents,
        out_of_scope=reply.out_of_scope,
        reason=reply.reason,
        shown=tuple(ids.values()),
        unknown=reply.unknown,
        cut=reply.cut,
        reason_names=others,
        contradicts=bool(reply.agents) and bool(named) and len(others) == len(named),
        completions=tuple(calls),
        model=model.name,
        failed=failed,
    )


def _check(agents: Sequence[Agent], how: _Settings) -> None:
    for name in ("most", "max_tokens", "attempts"):
        value = getattr(how, name)
        if not isinstance(value, int) or value < 1:
            raise InvalidInput(f"{name} is a whole number from 1; got {value!r}.")
    names = {agent.name for agent in agents}
    if not names:
        raise InvalidInput("a model can choose only among agents that it is shown; show at least one.")
    if len(names) < len(agents):
        raise InvalidInput("two of the agents shown have the same name; show each once.")


def _reminded(messages: tuple[Message, ...], form: Form, shown: int) -> tuple[Message, ...]:
    """Returns the prompt with a reminder at its end: the roles still alternate, as some templates need."""
    last = messages[-1]
    wanted = "the JSON object" if form == "json" else "the Reason and ID lines"
    ids = "A1" if shown == 1 else f"A1 to A{shown}"
    reminder = (
        f"\n\nAn earlier answer could not be read. Write {wanted} described above and nothing else; "
        f"the ids are {ids}, and {OUT_OF_SCOPE} if no agent fits."
    )
    return (*messages[:-1], replace(last, content=last.content + reminder))


def _spent(error: BackendError) -> Completion:
    """Returns the call that a failure stands for: what it used is known only where that is nothing."""
    tokens = 0 if error.spent_tokens == 0 and not error.lost_attempts else None
    cost = None if error.lost_attempts else error.spent_usd
    return Completion(text="", prompt_tokens=tokens, completion_tokens=tokens, cost=cost)


def failed_consultation(
    agents: Sequence[Agent], model: RouterModel, calls: list[Completion], error: AgentnetError
) -> Consultation:
    """Returns what stands for a consultation whose model call failed.

    Args:
        agents: Those that were shown.
        model: Which was asked.
        calls: Its answers before.
        error: Why it failed.
    """
    if isinstance(error, BackendError):
        calls = [*calls, _spent(error)]
    elif getattr(error, "sent", False):  # a deadline cut it off: nobody knows what it used
        calls = [*calls, Completion(text="")]
    return Consultation(
        shown=tuple(agent.name for agent in agents),
        completions=tuple(calls),
        model=model.name,
        failed=f"{type(error).__name__}: {error}",
    )


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine to its end, in a thread of its own where this one has a running event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    box: Future[T] = Future()
    context = contextvars.copy_context()

    def target() -> None:
        try:
            box.set_result(context.run(asyncio.run, work))
        except BaseException as error:
            box.set_exception(error)

    thread = threading.Thread(target=target, name="agentnet-consult", daemon=True)
    thread.start()
    thread.join()
    return box.result()
