"""`Execution`: one task from routing to result."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from langgraph.types import Command

from agentnet.errors import BackendError, InvalidInput, LimitExceeded
from agentnet.graphs.live import PartialRun, Step
from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Task
from agentnet.graphs.task_graph import Limits, TaskGraph
from agentnet.routers.decision import Decision
from agentnet.runtime.aggregate import partial
from agentnet.runtime.call import Tally
from agentnet.runtime.clients.scrub import told
from agentnet.runtime.engine import Engine, given
from agentnet.runtime.events import Event, Routed
from agentnet.runtime.limits import Ledger
from agentnet.runtime.nodes import LIMIT_PREFIX
from agentnet.runtime.recording import Recorder
from agentnet.runtime.released import Acting
from agentnet.runtime.result import RunResult, Status, usage
from agentnet.runtime.scope import Scope, StepDetail


@dataclass(kw_only=True)
class Execution:
    """One run: routes, runs, routes again where the graph grows, and records it all."""

    engine: Engine
    recorder: Recorder
    run_id: str
    task: Task
    pool: Pool
    graph: TaskGraph | None
    limits: Limits | None
    fallback: str | None
    max_turns: int
    tokens: bool = False
    emit: Callable[[Event], None] | None = None
    batch_id: str | None = None
    tags: Mapping[str, Any] = field(default_factory=dict)

    decisions: list[Decision] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    answer: str = ""
    winner: str | None = None
    status: Status = "error"
    error: str | None = None
    limit: str | None = None
    abstained: bool = False
    interrupts: tuple[Any, ...] = ()
    turn: int = 0
    _clock: float = 0.0
    _open: tuple[TaskGraph, int] | None = None
    """The graph that is running and how many steps there were before it."""
    _ledger: Ledger | None = None
    _acting: Acting | None = None
    """Who decides for this run, from its start to its end."""
    _undecided: Tally | None = None
    """What the router's model calls of the turn used, until a decision tells it."""

    def take_up(self, result: RunResult) -> None:
        """Goes on from where an interrupted run stood."""
        self.decisions, self.steps = list(result.decisions), list(result.steps)
        self.answer, self.abstained = result.answer, result.abstained
        self.turn = sum(decision.router != "fallback" for decision in result.decisions) - 1

    async def run(self, resume: Command[Any] | None = None) -> RunResult:
        """Runs to the end, or until an interrupt.

        Args:
            resume: Continues an interrupted turn instead of starting.

        Raises:
            InvalidInput: the router's graph cannot be run in this pool; nothing was spent on it.
            RouterError: the router cannot decide.
        """
        self._clock = time.perf_counter()
        acting = self.engine.acting(self.task, self.run_id, self.tags, resumed=bool(self.decisions))
        self._acting = acting
        if self.graph is None:
            self.tags = acting.tags
        self._ledger = self.engine.ledger
        if self.limits is not None:
            self._ledger = Ledger(self.limits, parent=self.engine.ledger)
        definitions = self.engine.definitions(self.pool) if self.recorder.records else ()
        self.recorder.start(self.task, self.pool, definitions, batch_id=self.batch_id, tags=self.tags)
        try:
            await self._in_time(self.limits, self._turns(resume))
        except BaseException as failure:
            self.status = "cancelled" if isinstance(failure, asyncio.CancelledError) else "error"
            self.error = told(failure)
            self._finish()
            raise
        return self._finish()

    async def _in_time(self, limits: Limits | None, work: Any) -> None:
        """Awaits work within the seconds of a limit; running out of time is a limit like the others."""
        seconds = limits.seconds if limits else None
        if seconds is None:
            await work
            return
        clock = asyncio.timeout(seconds)
        try:
            async with clock:
                await work
        except TimeoutError:
            if not clock.expired():
                raise
            self.status, self.limit = "limit", "seconds"
            self.error = f"the run took longer than its limit of {seconds:g} s; its finished steps are kept."
            self._take_finished()

    async def _turns(self, resume: Command[Any] | None) -> None:
        while True:
            if resume is not None:
                graph = self.decisions[-1].graph
                assert graph is not None
            elif (chosen := await self._decide()) is None:
                return
            else:
                graph = chosen
            await self._in_time(graph.limits, self._run_graph(graph, resume))
            resume = None
            self.turn += 1
            if self.status in ("limit", "interrupted") or not graph.grow or self.turn >= self.max_turns:
                return

    async def _decide(self) -> TaskGraph | None:
        """Returns the graph to run next; None ends the run."""
        try:
            decision, role = await self._next_decision()
        except LimitExceeded as limit:
            self.status, self.limit, self.error = "limit", limit.kind, str(limit)
            return None
        except BackendError as failure:
            # As for an agent's model, so for the router's: told in the result, not raised.
            self.status, self.error = "error", f"the router's model failed: {told(failure)}"
            return None
        self._note(decision, role)
        if decision.graph is not None:
            return decision.graph
        self.abstained = True
        if self.turn:
            return None
        if self.fallback is not None and self.fallback in self.pool:
            graph = TaskGraph.of([self.fallback])
            self._note(given(graph, "fallback", f"the router {decision.router!r} abstained"))
            return graph
        self.status = "abstained"
        missing = "no fallback is set"
        if self.fallback is not None:
            missing = f"the fallback {self.fallback!r} is no longer in the pool"
        self.error = (
            f"the router {decision.router!r} found no fitting agent and {missing}: add a fitting "
            "agent, or pass Runtime(fallback=AGENT)."
        )
        return None

    def _note(self, decision: Decision, role: str = "serving") -> None:
        self.decisions.append(decision)
        if self.recorder.records:
            graph = self.engine.packed(decision.graph) if decision.graph is not None else None
            self.recorder.decision(decision, self.turn, graph, role=role)
        if self.emit is not None:
            self.emit(Routed(turn=self.turn, decision=decision))

    async def _next_decision(self) -> tuple[Decision, str]:
        """Returns the decision and the role of who made it."""
        acting = self._acting
        assert acting is not None
        if self.graph is not None and (self.turn == 0 or acting.router is None):
            return given(self.graph), "serving"
        if acting.router is None:
            raise InvalidInput("give the runtime a router, or this run a graph.")
        seen = None
        if self.turn:
            cost = usage(self.steps, self.decisions).cost
            seen = PartialRun(tuple(self.steps), self.turn, cost, self.answer)
        self._undecided = used = Tally()
        decided = await acting.decide(self.task, self.pool, seen, ledger=self._ledger, used=used)
        self._undecided = None
        return decided

    async def _run_graph(self, graph: TaskGraph, resume: Command[Any] | None) -> None:
        compiled = self.engine.compiled(graph, self.pool)
        ledger = self._ledger
        if graph.limits is not None:
            ledger = Ledger(graph.limits, parent=ledger, name="graph")
        turn = self.turn
        self._open = (graph, len(self.steps) if turn else 0)

        def on_step(step: Step, detail: StepDetail | None) -> None:
            self.steps.append(step)
            if detail is not None:
                self.recorder.step(step, detail, turn)

        scope = Scope(
            client=self.engine.client(ledger),
            owner=compiled.builder,
            backends=self.pool.backends,
            sandbox=self.engine.sandbox,
            tokens=self.tokens,
            keep=self.recorder.keeps_messages,
            turn=turn,
            task=self.task,
            emit=self.emit,
            on_step=on_step,
            details=self.recorder.records,
        )
        config: Any = {"run_name": "agentnet"}
        if self.engine.checkpointer is not None:
            config["configurable"] = {"thread_id": f"{self.run_id}:{turn}"}
        start: Any = {"task": self.task.to_dict()} if resume is None else resume
        state = await compiled.ainvoke(start, config, context=scope)
        self._take(state, scope)

    def _take_finished(self) -> None:
        """Takes the answer of what had finished when time ran out."""
        if self._open is None:
            return
        graph, before = self._open
        standing = partial(graph, {(step.round, step.node): step for step in self.steps[before:]})
        if standing.answer:
            self.answer, self.winner = standing.answer, standing.winner

    def _take(self, state: Mapping[str, Any], scope: Scope) -> None:
        """Takes over what a graph left behind."""
        self._open = None
        if state.get("__interrupt__"):
            self.status = "interrupted"
            self.interrupts = tuple(item.value for item in state["__interrupt__"])
            return
        if state["error"] is None:
            self.status, self.error = "ok", None
            self.answer, self.winner = state["answer"], state["winner"]
        elif not self.answer:
            self.status, self.error = "error", state["error"]
        if scope.limit is not None:
            self.status, self.limit = "limit", scope.limit
            mark = f"{LIMIT_PREFIX}{scope.limit}: "
            refused = [step.error for step in self.steps if step.error and step.error.startswith(mark)]
            self.error = f"the limit on {scope.limit} is used up."
            if refused:
                self.error = refused[-1].removeprefix(mark)

    def _finish(self) -> RunResult:
        used = usage(self.steps, self.decisions, self._undecided)
        result = RunResult(
            run_id=self.run_id,
            task=self.task,
            status=self.status,
            answer=self.answer,
            winner=self.winner,
            decisions=tuple(self.decisions),
            steps=tuple(self.steps),
            cost=used.cost,
            prompt_tokens=used.prompt_tokens,
            completion_tokens=used.completion_tokens,
            calls=used.calls,
            latency_s=time.perf_counter() - self._clock,
            error=self.error,
            limit=self.limit,
            abstained=self.abstained,
            tags=self.tags,
            interrupts=self.interrupts,
        )
        self.recorder.end(result)
        if self.recorder.error is not None:
            result = replace(result, trace_error=self.recorder.error)
        if self._acting is not None:
            self._acting.watched(self.recorder, self.task, self.pool)
        if result.status != "interrupted":
            self.engine.ended(result)
        return result
