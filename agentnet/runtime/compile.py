"""Compiles a `TaskGraph` to a LangGraph ``CompiledStateGraph``.

Every node of every round becomes one LangGraph node, and one more joins the answers. A node starts when
its spatial predecessors are done; the nodes of a layer run at once. The result is an ordinary LangGraph
graph: checkpointers, interrupts, streaming and use as a sub-graph work as in any LangGraph program.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import get_runtime

from agentnet.errors import GraphError, PoolError
from agentnet.graphs.answers import NORMALISERS
from agentnet.graphs.pool import Pool
from agentnet.graphs.task_graph import TaskGraph
from agentnet.runtime.aggregate import AggregationFunction, Join, run_join
from agentnet.runtime.client import ModelClient
from agentnet.runtime.nodes import Place, run_place
from agentnet.runtime.scope import Context, Scope
from agentnet.runtime.state import GraphInput, GraphOutput, GraphState, TaskOnly
from agentnet.runtime.strategies import StrategyLike, check_agent, with_own
from agentnet.runtime.strategies.refining import CONFLICTS
from agentnet.runtime.sync import run_sync

JOIN = "join"
_TAKEN = frozenset({*GraphState.__annotations__, JOIN, START, END})

Compiled = CompiledStateGraph[GraphState, Context, GraphInput, GraphOutput]
Work = Callable[[Mapping[str, Any], Scope], Awaitable[dict[str, Any]]]


class _Worker(Runnable[Any, Any]):
    """A node for LangGraph: the same work in async and sync programs, under the run's scope."""

    def __init__(self, name: str, work: Work, scope: Scope) -> None:
        self.name = name
        self._work = work
        self._scope = scope

    def _find_scope(self) -> Scope:
        runtime: Any = get_runtime()
        context = runtime.context
        # A graph that an agent runs is given the context of the run around it, which is not its own.
        if isinstance(context, Scope) and context.owner is self._scope.owner:
            return context
        return self._scope.to_stream(runtime.stream_writer)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Runs the node on the running loop."""
        return await self._work(input, self._find_scope())

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Runs the node on agentnet's own loop and waits for it."""

        async def work() -> dict[str, Any]:
            return await self._work(input, self._find_scope())

        return run_sync(work())


def compile_graph(
    graph: TaskGraph,
    pool: Pool,
    client: ModelClient,
    *,
    aggregations: Mapping[str, AggregationFunction] | None = None,
    strategies: Mapping[str, StrategyLike] | None = None,
    sandbox: str = "strict",
    tokens: bool = False,
    checkpointer: Any = None,
    interrupt_before: Sequence[str] = (),
    interrupt_after: Sequence[str] = (),
    name: str = "agentnet",
) -> Compiled:
    """Compiles a graph; everything that can be wrong is told here, before any money is spent.

    Args:
        graph: What to run.
        pool: Holds the graph's agents.
        client: Calls the models.
        aggregations: Functions of ``custom`` aggregations, by name.
        strategies: Further strategies, by name.
        sandbox: ``"strict"``, or ``"unsafe"`` to run written programs without confinement.
        tokens: Whether models are streamed, so that ``stream_mode="custom"`` carries their tokens.
        checkpointer: A LangGraph checkpointer.
        interrupt_before: Node ids before which the run stops until it is resumed.
        interrupt_after: Node ids after which it stops.
        name: The graph's name in LangGraph.

    Raises:
        PoolError: the graph names an unknown agent, or an agent cannot be run as it is defined.
        GraphError: a custom aggregation or a normaliser is unknown.
    """
    table = with_own(strategies)
    join = _make_join(graph, pool, table, aggregations or {})
    builder: StateGraph[GraphState, Context, GraphInput, GraphOutput] = StateGraph(
        GraphState, input_schema=GraphInput, output_schema=GraphOutput
    )
    scope = Scope(client=client, owner=builder, backends=pool.backends, sandbox=sandbox, tokens=tokens)
    labels = node_labels(graph)
    targets = {edge.target for edge in graph.spatial}
    for round_ in range(graph.rounds):
        for node in graph.nodes:
            agent = pool[node.agent]
            alone = round_ == 0 and node.id not in targets
            place = Place(graph, node, round_, agent, check_agent(agent, table), alone)
            label = labels[round_, node.id]
            worker = _Worker(label, _place_work(place), scope)
            builder.add_node(label, worker, input_schema=TaskOnly if alone else GraphState)
    builder.add_node(JOIN, _Worker(JOIN, _join_work(join), scope))
    _add_edges(builder, graph, labels)
    return builder.compile(
        checkpointer=checkpointer,
        interrupt_before=_stops(interrupt_before, graph, labels),
        interrupt_after=_stops(interrupt_after, graph, labels),
        name=name,
    )


def node_labels(graph: TaskGraph) -> dict[tuple[int, str], str]:
    """Returns the LangGraph name of each (round, node): the id, with ``#round`` from the second round on.

    >>> node_labels(TaskGraph.of(["a:b", "task"]))
    {(0, 'a:b'): 'a_b', (0, 'task'): 'task#0'}
    """
    labels: dict[tuple[int, str], str] = {}
    used = set(_TAKEN)
    for round_ in range(graph.rounds):
        for node in graph.nodes:
            # LangGraph keeps these two characters for itself.
            base = node.id.replace("|", "_").replace(":", "_")
            label = base if round_ == 0 and base not in used else f"{base}#{round_}"
            while label in used:
                label += "_"
            used.add(label)
            labels[round_, node.id] = label
    return labels


def _place_work(place: Place) -> Work:
    async def work(state: Mapping[str, Any], scope: Scope) -> dict[str, Any]:
        return await run_place(place, state, scope)

    return work


def _join_work(join: Join) -> Work:
    async def work(state: Mapping[str, Any], scope: Scope) -> dict[str, Any]:
        return await run_join(join, state, scope)

    return work


def _make_join(
    graph: TaskGraph, pool: Pool, table: Any, aggregations: Mapping[str, AggregationFunction]
) -> Join:
    how = graph.aggregation
    missing = [name for name in graph.agents if name not in pool]
    if missing:
        raise PoolError(
            f"the graph names agents that are not in the pool: {', '.join(missing)}; the pool has "
            f"{', '.join(pool.names)}."
        )
    if how.normalise not in NORMALISERS:
        raise GraphError(f"no answer normaliser {how.normalise!r}; there are {', '.join(NORMALISERS)}.")
    if how.kind == "custom":
        name = how.options["name"]
        if name not in aggregations:
            raise GraphError(
                f"no custom aggregation {name!r} is registered: pass "
                f"Runtime(aggregations={{{name!r}: function}})."
            )
        return Join(graph, custom=aggregations[name])
    if how.kind == "refine" and how.agent is not None:
        agent = pool[how.agent]
        if CONFLICTS in how.options:
            agent = agent.with_(options={**agent.options, CONFLICTS: how.options[CONFLICTS]})
        return Join(graph, agent=agent, strategy=check_agent(agent, table))
    return Join(graph)


def _add_edges(builder: Any, graph: TaskGraph, labels: Mapping[tuple[int, str], str]) -> None:
    before: dict[str, list[str]] = {node.id: [] for node in graph.nodes}
    sources = set()
    for edge in graph.spatial:
        before[edge.target].append(edge.source)
        sources.add(edge.source)
    sinks = [node.id for node in graph.nodes if node.id not in sources]
    for round_ in range(graph.rounds):
        for name, predecessors in before.items():
            label = labels[round_, name]
            if predecessors:
                _wait(builder, [labels[round_, source] for source in predecessors], label)
            elif round_ == 0:
                builder.add_edge(START, label)
            else:
                # A round begins when the one before is over: its sinks are what ends last.
                _wait(builder, [labels[round_ - 1, sink] for sink in sinks], label)
    _wait(builder, [labels[graph.rounds - 1, sink] for sink in sinks], JOIN)
    builder.add_edge(JOIN, END)


def _wait(builder: Any, sources: list[str], target: str) -> None:
    builder.add_edge(sources[0] if len(sources) == 1 else sources, target)


def _stops(names: Sequence[str], graph: TaskGraph, labels: Mapping[tuple[int, str], str]) -> list[str]:
    found = []
    for name in names:
        if name == JOIN:
            found.append(JOIN)
            continue
        graph.node(name)
        found.extend(labels[round_, name] for round_ in range(graph.rounds))
    return found
