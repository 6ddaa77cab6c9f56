"""What all runs of a `Runtime` share: clients, compiled graphs and the router's thread."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from agentnet.errors import AgentnetError, InvalidInput, RouterError
from agentnet.graphs.agent import Agent
from agentnet.graphs.live import LiveState, PartialRun
from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Task
from agentnet.graphs.task_graph import TaskGraph
from agentnet.registry.follow import Follower, Release
from agentnet.routers.base import RouteOptions, Router
from agentnet.routers.decision import Decision, NoteEvidence
from agentnet.runtime.aggregate import AggregationFunction
from agentnet.runtime.call import Tally
from agentnet.runtime.client import ModelClient
from agentnet.runtime.clients.scrub import told
from agentnet.runtime.compile import Compiled, compile_graph
from agentnet.runtime.consult import ClientModel, charge, settled, wanted_backend
from agentnet.runtime.limits import Ledger, LimitedClient
from agentnet.runtime.live import LiveTracker
from agentnet.runtime.released import Acting, Shadows
from agentnet.runtime.result import Observer, RunResult
from agentnet.runtime.strategies import Strategy

_log = logging.getLogger(__name__)

CACHED_GRAPHS = 256
"""Compiled graphs that are kept; the same few graphs recur, and compiling one takes milliseconds."""


@dataclass(frozen=True, slots=True)
class _Entry:
    graph: TaskGraph
    agents: tuple[Agent, ...]
    compiled: Compiled


class Engine:
    """Compiles, routes and makes clients for one run at a time; safe to use from several threads."""

    def __init__(
        self,
        *,
        client: ModelClient,
        router: Router | None,
        route_options: RouteOptions | None,
        ledger: Ledger | None,
        strategies: Mapping[str, Strategy],
        aggregations: Mapping[str, AggregationFunction],
        sandbox: str,
        checkpointer: Any,
        observers: Sequence[Observer] = (),
    ) -> None:
        self._client = client
        self.tracker = client if isinstance(client, LiveTracker) else LiveTracker(client)
        self.release = Release(serving=router)
        self.follower: Follower | None = None
        self.shadows = Shadows()
        self.route_options = route_options
        self.ledger = ledger
        self.strategies = strategies
        self.aggregations = aggregations
        self.sandbox = sandbox
        self.checkpointer = checkpointer
        if not all(callable(observer) for observer in observers):
            raise InvalidInput("observers are functions of a RunResult.")
        self.observers = tuple(observers)
        self._by_content: OrderedDict[str, _Entry] = OrderedDict()
        self._by_identity: dict[int, _Entry] = {}
        self._packed: dict[int, tuple[TaskGraph, Mapping[str, Any]]] = {}
        self._lock = threading.Lock()
        self._threads: dict[str, ThreadPoolExecutor] = {}
        self._definitions: tuple[Pool, tuple[Mapping[str, Any], ...]] | None = None

    @property
    def router(self) -> Router | None:
        """The router that serves; the reference to the release is all that is swapped."""
        return self.release.serving

    def take(self, release: Release) -> None:
        """Lets other routers serve, from the next run on."""
        self.release = release

    def acting(self, task: Task, run_id: str, tags: Mapping[str, Any], *, resumed: bool) -> Acting:
        """Returns who decides for a run, whatever is promoted while it is under way."""
        if self.follower is not None:
            self.follower.awake()
        return Acting.of(self, self.release, task, run_id, tags, resumed=resumed)

    def live(self) -> LiveState:
        """Returns the backends' states now."""
        return self.tracker.state()

    def client(self, ledger: Ledger | None) -> ModelClient:
        """Returns the client of a run under a ledger; calls are watched where a router may ask."""
        client = self.tracker if self.router is not None else self._client
        return client if ledger is None else LimitedClient(client, ledger)

    def compiled(self, graph: TaskGraph, pool: Pool) -> Compiled:
        """Returns the compiled graph, from the cache where the same graph of the same agents is there."""
        entry = self._by_identity.get(id(graph))
        if entry is not None and entry.graph is graph and _same_agents(entry, pool):
            return entry.compiled
        key = graph.fingerprint
        with self._lock:
            entry = self._by_content.get(key)
            if entry is None or entry.graph != graph or not _same_agents(entry, pool):
                entry = self._compile(graph, pool)
            # The entry holds the graph, so that its id cannot be given to another one meanwhile.
            entry = _Entry(graph, entry.agents, entry.compiled)
            self._by_content[key] = entry
            self._by_content.move_to_end(key)
            self._by_identity[id(graph)] = entry
            while len(self._by_content) > CACHED_GRAPHS:
                self._by_content.popitem(last=False)
            if len(self._by_identity) > CACHED_GRAPHS:
                self._by_identity = {id(e.graph): e for e in self._by_content.values()}
        return entry.compiled

    def standalone(self, graph: TaskGraph, pool: Pool, **settings: Any) -> Compiled:
        """Returns the compiled graph for a program of the caller's own, under the runtime's limits."""
        return compile_graph(
            graph,
            pool,
            self.client(self.ledger),
            aggregations=self.aggregations,
            strategies=self.strategies,
            sandbox=self.sandbox,
            **settings,
        )

    def packed(self, graph: TaskGraph) -> Mapping[str, Any]:
        """Returns the graph's JSON values, made once per graph, for the trace."""
        known = self._packed.get(id(graph))
        if known is None or known[0] is not graph:
            if len(self._packed) >= CACHED_GRAPHS:
                self._packed = {}
            known = self._packed[id(graph)] = (graph, graph.to_dict())
        return known[1]

    def _compile(self, graph: TaskGraph, pool: Pool) -> _Entry:
        compiled = compile_graph(
            graph,
            pool,
            self.client(self.ledger),
            strategies=self.strategies,
            aggregations=self.aggregations,
            sandbox=self.sandbox,
            checkpointer=self.checkpointer,
        )
        return _Entry(graph, tuple(pool[name] for name in graph.agents), compiled)

    async def route(
        self,
        router: Router,
        task: Task,
        pool: Pool,
        seen: PartialRun | None,
        *,
        ledger: Ledger | None = None,
        used: Tally | None = None,
        role: str = "serving",
    ) -> Decision:
        """Asks a router: in a thread of its role's own, or on the event loop where it asks a model.

        One thread for all runs: routers that sample are then asked one at a time, as their random
        generators need it. Routers that ask a model wait for it most of the time, each run for itself.

        Args:
            router: Who is asked.
            task: What is asked.
            pool: The run's agents.
            seen: What a growing graph has produced so far.
            ledger: What the decision's cost is charged to; model calls are as they are made.
            used: Adds these calls up as they end; they are told in the decision as well.
            role: ``"serving"`` or ``"canary"``: a canary that is slow must not hold up the others.

        Raises:
            RouterError: the router cannot decide, or has a defect.
            BackendError: the router's model failed for good.
            LimitExceeded: a limit left no room for a call of the router's model.
        """
        if router.asks_model:
            return await self._consult(router, task, pool, seen, ledger, used)
        thread = self._threads.get(role)
        if thread is None:
            made = ThreadPoolExecutor(1, thread_name_prefix=f"agentnet-router-{role}")
            thread = self._threads.setdefault(role, made)

        def decide() -> Decision:
            try:
                # The state is taken when it is this task's turn: of a burst, all would see idle backends.
                live = self.live()
                return router.route(task, pool, live=live, seen=seen, options=self.route_options)
            except AgentnetError:
                raise
            except BaseException as failure:
                # Not chained: what others raise may hold secrets, and a future refuses StopIteration.
                raise RouterError(f"the router {router.name!r} failed: {told(failure)}") from None

        decision = await asyncio.get_running_loop().run_in_executor(thread, decide)
        if ledger is not None:
            charge(ledger, decision.router_cost)
        return decision

    async def _consult(
        self,
        router: Router,
        task: Task,
        pool: Pool,
        seen: PartialRun | None,
        ledger: Ledger | None,
        used: Tally | None,
    ) -> Decision:
        used = Tally() if used is None else used
        backend = wanted_backend(router, pool)
        model = None
        if backend is not None:
            model = ClientModel(self.client(ledger), backend, backends=pool.backends, used=used)
        try:
            decision = await router.aroute(
                task, pool, live=self.live(), seen=seen, options=self.route_options, model=model
            )
        except AgentnetError:
            raise
        except Exception as failure:
            raise RouterError(f"the router {router.name!r} failed: {told(failure)}") from None
        settled(decision, used, ledger)
        return decision

    def ended(self, result: RunResult) -> None:
        """Tells the observers of a run that ended; one that fails is logged and costs the run nothing."""
        for observer in self.observers:
            try:
                observer(result)
            except Exception as failure:
                _log.warning("an observer of run %s failed: %s", result.run_id, told(failure))

    def definitions(self, pool: Pool) -> tuple[Mapping[str, Any], ...]:
        """Returns the agents' definitions for the trace, made once per pool."""
        known = self._definitions
        if known is None or known[0] is not pool:
            known = self._definitions = (pool, tuple(pool.to_list()))
        return known[1]

    def close(self) -> None:
        """Ends the threads of routers, follower and shadow, after what the shadow has still to say."""
        if self.follower is not None:
            self.follower.close()
        self.shadows.close()
        while self._threads:
            self._threads.popitem()[1].shutdown(wait=False)


def _same_agents(entry: _Entry, pool: Pool) -> bool:
    return all(agent.name in pool and pool[agent.name] is agent for agent in entry.agents)


def given(graph: TaskGraph, router: str = "given", note: str = "the caller gave the graph") -> Decision:
    """Returns the decision that stands for a graph no router chose."""
    return Decision(
        graph=graph,
        candidates=(),
        raw=(),
        calibrated=(),
        cost=(),
        propensity=1.0,
        router=router,
        version="",
        evidence=NoteEvidence(note),
        latency_s=0.0,
    )
