"""`Runtime`: routes a task, runs the graph and records what happened."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, Self

from agentnet.errors import InvalidInput
from agentnet.graphs.pool import Pool, PoolHandle
from agentnet.graphs.task import Task
from agentnet.graphs.task_graph import Limits, TaskGraph
from agentnet.registry.base import Registry
from agentnet.registry.follow import Release
from agentnet.routers.base import RouteOptions, Router
from agentnet.runtime.aggregate import AggregationFunction
from agentnet.runtime.batch import Progress, finished_before, identified, reporting, run_all
from agentnet.runtime.checks import checked, current
from agentnet.runtime.client import ModelClient
from agentnet.runtime.compile import Compiled
from agentnet.runtime.engine import Engine
from agentnet.runtime.events import Event
from agentnet.runtime.execution import Execution
from agentnet.runtime.limits import Ledger
from agentnet.runtime.pool_log import PoolLog
from agentnet.runtime.recording import Recorder, flush
from agentnet.runtime.released import follow
from agentnet.runtime.result import Observer, RunResult
from agentnet.runtime.strategies import StrategyLike
from agentnet.runtime.streaming import blocking, events_of
from agentnet.runtime.sync import run_sync

__all__ = ["RunResult", "Runtime"]

TaskLike = Task | str | Mapping[str, Any]


class Runtime:
    """Runs tasks over a pool: with a router, or with graphs the caller gives.

    All methods come in two forms: ``arun`` for async programs and ``run`` for the others, and so on;
    they give the same answers. A runtime may serve any number of tasks at once.

    >>> from agentnet.graphs.agent import Agent
    >>> pool = Pool([Agent(name="shout", call=lambda text: text.upper())])
    >>> with Runtime(pool) as runtime:
    ...     runtime.run("hello", TaskGraph.of(["shout"])).answer
    'HELLO'
    """

    def __init__(
        self,
        pool: Pool | PoolHandle,
        router: Router | None = None,
        *,
        client: ModelClient | None = None,
        store: Any = None,
        limits: Limits | None = None,
        fallback: str | None = None,
        sandbox: str = "strict",
        checkpointer: Any = None,
        aggregations: Mapping[str, AggregationFunction] | None = None,
        strategies: Mapping[str, StrategyLike] | None = None,
        route_options: RouteOptions | None = None,
        concurrency: int = 8,
        max_turns: int = 8,
        observers: Sequence[Observer] = (),
        registry: Registry | str | Path | None = None,
        refresh_s: float = 5.0,
    ) -> None:
        """Checks everything that can be checked before money is spent.

        Args:
            pool: The agents, or a handle on a pool that may be swapped while serving.
            router: Decides for tasks that come without a graph.
            client: Calls the models; default `LiteLLMClient`.
            store: A `TraceStore`; None records nothing.
            limits: What all runs together may use.
            fallback: Agent that answers when the router abstains.
            sandbox: ``"strict"`` confines programs that models write, or refuses to run them;
                ``"unsafe"`` runs them without confinement.
            checkpointer: A LangGraph checkpointer; runs can then be interrupted and resumed.
            aggregations: Functions of ``custom`` aggregations by name.
            strategies: Further strategies by name.
            route_options: Passed to the router, for example the quality-cost dial.
            concurrency: Tasks of a batch that run at once.
            max_turns: Most graphs of one growing run.
            observers: Called with the result of every run that ended, failed ones too, on the run's own
                thread: quick functions that never wait. What they raise is logged, and changes nothing.
            registry: Where the router comes from, instead of ``router``: a `Registry`, its folder or its URL.
                What is promoted there serves here without a restart.
            refresh_s: Seconds between two looks at the registry, in a thread of its own.

        Raises:
            InvalidInput: a setting cannot be used (`PoolError` where an agent cannot be run).
            RegistryError: nothing was promoted in the registry yet, or what serves there cannot be loaded.
        """
        table = checked(pool, strategies, fallback, sandbox, concurrency=concurrency, max_turns=max_turns)
        self._pool = pool
        if client is None:
            from agentnet.runtime.clients.litellm_client import LiteLLMClient

            client = LiteLLMClient(backends=lambda: self.pool.backends)
        self.store = store
        self._pool_log = PoolLog(pool, store)
        self.fallback = fallback
        self.concurrency = concurrency
        self.max_turns = max_turns
        self.ledger = Ledger(limits, name="runtime") if limits is not None else None
        self._engine = Engine(
            client=client,
            router=router,
            route_options=route_options,
            ledger=self.ledger,
            strategies=table,
            aggregations=aggregations or {},
            sandbox=sandbox,
            checkpointer=checkpointer,
            observers=observers,
        )
        follow(registry, self._engine, lambda: self.pool, refresh_s)

    @property
    def pool(self) -> Pool:
        """The pool that is served now."""
        return current(self._pool)

    @property
    def router(self) -> Router | None:
        """The router that decides now; assign another to swap it while serving, for runs that start then."""
        return self._engine.router

    @router.setter
    def router(self, router: Router | None) -> None:
        if self._engine.follower is not None:
            raise InvalidInput("this runtime serves what its registry says: promote a version there.")
        self._engine.take(Release(serving=router))

    @property
    def router_version(self) -> str | None:
        """The version of the router that decides now; None without a router."""
        return None if self.router is None else self.router.version

    @property
    def release(self) -> Release:
        """The routers that serve now: with a registry, canary and shadow among them."""
        return self._engine.release

    # -- one task ------------------------------------------------------------------------------
    async def arun(
        self,
        task: TaskLike,
        graph: TaskGraph | None = None,
        *,
        limits: Limits | None = None,
        tags: Mapping[str, Any] | None = None,
    ) -> RunResult:
        """Runs one task.

        Args:
            task: The task, its text or its JSON form.
            graph: What to run; None asks the router.
            limits: What this run may use, within the runtime's own limits.
            tags: JSON values that are stored with the run.

        Raises:
            InvalidInput: the task, the graph or a limit cannot be used; nothing was spent.
            RouterError: the router cannot decide. All else is told in the result.
        """
        return await self._execution(Task.of(task), graph, limits, tags).run()

    def run(
        self,
        task: TaskLike,
        graph: TaskGraph | None = None,
        *,
        limits: Limits | None = None,
        tags: Mapping[str, Any] | None = None,
    ) -> RunResult:
        """Does as `arun`, blocking."""
        return run_sync(self.arun(task, graph, limits=limits, tags=tags))

    async def aresume(
        self, result: RunResult, value: Any = None, *, limits: Limits | None = None
    ) -> RunResult:
        """Continues a run that an agent interrupted (LangGraph's ``interrupt``).

        Nodes that had finished are not run again; the interrupted agent starts anew and its
        ``interrupt`` returns ``value``. ``limits`` hold for the rest of the run.

        Raises:
            InvalidInput: the run was not interrupted, or the runtime has no checkpointer.
        """
        if result.status != "interrupted":
            raise InvalidInput(f"only an interrupted run can be resumed; this one is {result.status!r}.")
        if self._engine.checkpointer is None:
            raise InvalidInput("resuming needs Runtime(checkpointer=...).")
        from langgraph.types import Command

        seq = len(result.steps)
        run = self._execution(result.task, None, limits, result.tags, run_id=result.run_id, seq=seq)
        run.take_up(result)
        return await run.run(Command(resume=value))

    def resume(self, result: RunResult, value: Any = None, *, limits: Limits | None = None) -> RunResult:
        """Does as `aresume`, blocking."""
        return run_sync(self.aresume(result, value, limits=limits))

    # -- events --------------------------------------------------------------------------------
    async def astream(
        self,
        task: TaskLike,
        graph: TaskGraph | None = None,
        *,
        limits: Limits | None = None,
        tags: Mapping[str, Any] | None = None,
        tokens: bool = True,
    ) -> AsyncGenerator[Event, None]:
        """Yields the run's events as they happen; the last one, `RunFinished`, has the result.

        Arguments are those of `arun`; ``tokens=False`` leaves out the models' tokens. Closing the iterator
        cancels the run.
        """
        run = self._execution(Task.of(task), graph, limits, tags)
        run.tokens = tokens
        async with aclosing(events_of(run)) as events:
            async for event in events:
                yield event

    def stream(
        self,
        task: TaskLike,
        graph: TaskGraph | None = None,
        *,
        limits: Limits | None = None,
        tags: Mapping[str, Any] | None = None,
        tokens: bool = True,
    ) -> Iterator[Event]:
        """Does as `astream`, blocking."""
        yield from blocking(self.astream(task, graph, limits=limits, tags=tags, tokens=tokens))

    # -- many tasks ----------------------------------------------------------------------------
    async def abatch_iter(
        self,
        tasks: Iterable[TaskLike],
        graph: TaskGraph | None = None,
        *,
        concurrency: int | None = None,
        batch_id: str | None = None,
        limits: Limits | None = None,
        tags: Mapping[str, Any] | None = None,
    ) -> AsyncGenerator[tuple[int, RunResult], None]:
        """Yields (position, result) as tasks finish.

        Args:
            tasks: The tasks; all are checked before the first is run.
            graph: What to run for each; None asks the router.
            concurrency: Tasks that run at once; default the runtime's.
            batch_id: Names the batch in the store. Tasks the store holds as finished under this name (by
                ``task_id``, else by content) are loaded instead of run again; one whose content has
                changed under its ``task_id`` is run again.
            limits: What each run may use.
            tags: JSON values that are stored with each run.

        Raises:
            InvalidInput: a task cannot be used, or ``batch_id`` is given without a store.
        """
        most = self.concurrency if concurrency is None else concurrency
        if most < 1:
            raise InvalidInput(f"concurrency must be a whole number from 1; got {most!r}.")
        items = [Task.of(task) for task in tasks]
        if graph is not None:
            self._engine.compiled(graph, self.pool)
        done: dict[int, RunResult] = {}
        if batch_id is not None:
            if self.store is None:
                raise InvalidInput("a batch is resumed from the trace store: pass Runtime(store=...).")
            items = identified(items)
            done = await finished_before(self.store, batch_id, items)

        async def run(task: Task) -> RunResult:
            return await self._execution(task, graph, limits, tags, batch_id=batch_id).run()

        async with aclosing(run_all(items, run, concurrency=most, done=done)) as results:
            async for item in results:
                yield item

    async def abatch(
        self,
        tasks: Iterable[TaskLike],
        graph: TaskGraph | None = None,
        *,
        concurrency: int | None = None,
        batch_id: str | None = None,
        limits: Limits | None = None,
        tags: Mapping[str, Any] | None = None,
        progress: bool | Progress = False,
    ) -> list[RunResult]:
        """Runs tasks and returns their results in the tasks' order; arguments as of `abatch_iter`.

        Cancelling (Ctrl-C) stops what is running; what had finished is in the store, so that calling again
        with the same ``batch_id`` goes on from there.

        Args:
            tasks: The tasks.
            graph: What to run for each.
            concurrency: Tasks that run at once.
            batch_id: Names the batch.
            limits: What each run may use.
            tags: Stored with each run.
            progress: True shows a bar; a function is called with (done, total, result).
        """
        items = [Task.of(task) for task in tasks]
        found: dict[int, RunResult] = {}
        results = self.abatch_iter(
            items, graph, concurrency=concurrency, batch_id=batch_id, limits=limits, tags=tags
        )
        try:
            with reporting(progress, len(items)) as report:
                async with aclosing(results) as stream:
                    async for i, result in stream:
                        found[i] = result
                        report(len(found), len(items), result)
        finally:
            await flush(self.store)
        return [found[i] for i in range(len(items))]

    def batch(
        self, tasks: Iterable[TaskLike], graph: TaskGraph | None = None, **settings: Any
    ) -> list[RunResult]:
        """Does as `abatch`, blocking; Ctrl-C cancels what is running, waits for it and is raised."""
        return run_sync(self.abatch(tasks, graph, **settings))

    def batch_iter(
        self, tasks: Iterable[TaskLike], graph: TaskGraph | None = None, **settings: Any
    ) -> Iterator[tuple[int, RunResult]]:
        """Does as `abatch_iter`, blocking."""
        yield from blocking(self.abatch_iter(tasks, graph, **settings))

    # -- the graph itself ----------------------------------------------------------------------
    def compile(self, graph: TaskGraph, **settings: Any) -> Compiled:
        """Returns the graph as a LangGraph ``CompiledStateGraph`` for a program of your own.

        It takes ``{"task": text}`` and gives ``{"answer": ..., "steps": [...]}``. Settings are those of
        `compile_graph`: ``checkpointer``, ``interrupt_before``, ``interrupt_after``, ``tokens``, ``name``.
        It runs under the runtime's limits; it is not recorded in the store.
        """
        return self._engine.standalone(graph, self.pool, **settings)

    # -- end -----------------------------------------------------------------------------------
    async def aclose(self) -> None:
        """Writes what the store still holds and ends the runtime's threads; the store stays open."""
        await self._pool_log.aclose()
        await asyncio.to_thread(self._engine.close)
        await flush(self.store)

    def close(self) -> None:
        """Does as `aclose`, blocking."""
        run_sync(self.aclose())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def _execution(
        self,
        task: Task,
        graph: TaskGraph | None,
        limits: Limits | None,
        tags: Mapping[str, Any] | None,
        *,
        batch_id: str | None = None,
        run_id: str | None = None,
        seq: int = 0,
    ) -> Execution:
        run_id = run_id or uuid.uuid4().hex
        return Execution(
            engine=self._engine,
            recorder=Recorder(self.store, run_id, seq=seq),
            run_id=run_id,
            task=task,
            pool=self.pool,
            graph=graph,
            limits=limits,
            fallback=self.fallback,
            max_turns=self.max_turns,
            batch_id=batch_id,
            tags=tags or {},
        )
