"""Routing, growing graphs, limits, events and results of single runs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import pytest

from agentnet import (
    Agent,
    Aggregation,
    Backend,
    Decision,
    Edge,
    Limits,
    Node,
    Pool,
    PoolHandle,
    Router,
    RunResult,
    Runtime,
    StopCondition,
    Task,
    TaskGraph,
)
from agentnet.errors import (
    Abstained,
    BackendError,
    InvalidInput,
    LimitError,
    LimitExceeded,
    PoolError,
    RouterError,
    RunError,
    TaskError,
)
from agentnet.graphs.live import LiveState, PartialRun
from agentnet.routers.base import RouteOptions
from agentnet.runtime.call import Answer
from agentnet.runtime.client import Request
from agentnet.runtime.clients.reliable import ReliableClient
from agentnet.runtime.clients.scripted import ScriptedClient
from agentnet.runtime.clients.transport import Failure
from agentnet.runtime.engine import Engine
from agentnet.runtime.events import NodeFinished, NodeStarted, Routed, RunFinished, Token
from agentnet.runtime.strategies import BUILT_IN

from .clients.helpers import ScriptedTransport

PRICED = Backend(name="b", model="m", price_in_per_mtok="1000", price_out_per_mtok="1000")
UNPRICED = Backend(name="free?", model="m")
POOL = Pool(Agent(name=name, backend=PRICED) for name in "abc")

Choice = Callable[[Task, LiveState | None, PartialRun | None], TaskGraph | None]


class Dummy(Router):
    """Decides by a function, and remembers what it was told."""

    name = "dummy"

    def __init__(self, choose: Choice, *, cost: Decimal | None = Decimal(0)) -> None:
        super().__init__()
        self.choose = choose
        self.cost = cost
        self.seen: list[PartialRun | None] = []
        self.live: list[LiveState | None] = []
        self.given: list[RouteOptions | None] = []
        self.threads: set[str] = set()

    def route(
        self,
        task: Task | str,
        pool: Pool,
        *,
        live: LiveState | None = None,
        seen: PartialRun | None = None,
        options: RouteOptions | None = None,
    ) -> Decision:
        self.seen.append(seen)
        self.live.append(live)
        self.given.append(options)
        self.threads.add(threading.current_thread().name)
        return Decision(
            graph=self.choose(Task.of(task), live, seen),
            candidates=pool.names,
            raw=[0.5] * len(pool),
            calibrated=[0.5] * len(pool),
            cost=[float("nan")] * len(pool),
            propensity=0.25,
            router=self.name,
            version="v1",
            latency_s=0.001,
            router_cost=self.cost,
        )

    def _fit(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    def score_batch(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    def _decide(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    def _state(self) -> Any:
        raise NotImplementedError

    def _restore(self, config: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
        raise NotImplementedError


def always(graph: TaskGraph | None) -> Dummy:
    return Dummy(lambda task, live, seen: graph)


class TestRouting:
    async def test_the_routers_graph_is_run_and_its_decision_kept(self) -> None:
        router = always(TaskGraph.of("b"))
        client = ScriptedClient({"b": "hello"})
        options = RouteOptions(cost_weight=0.5)
        result = await Runtime(POOL, router, client=client, route_options=options).arun("Q")
        assert (result.answer, result.status, result.winner) == ("hello", "ok", "b")
        assert [d.propensity for d in result.decisions] == [0.25]
        assert router.given == [options]

    async def test_the_router_does_not_hold_up_the_event_loop(self) -> None:
        inside, go = threading.Event(), threading.Event()

        def wait(task: Task, live: Any, seen: Any) -> TaskGraph:
            inside.set()
            assert go.wait(20)
            return TaskGraph.of("a")

        runtime = Runtime(POOL, Dummy(wait), client=ScriptedClient({"*": "x"}))
        run = asyncio.create_task(runtime.arun("Q"))
        while not inside.is_set():
            await asyncio.sleep(0.001)
        go.set()  # the loop is here while the router decides
        assert (await run).ok

    async def test_the_routers_own_cost_and_time_are_part_of_the_total(self) -> None:
        client = ScriptedClient({"*": "x"})
        result = await Runtime(POOL, always(TaskGraph.of("a")), client=client).arun("Q")
        router = always(TaskGraph.of("a"))
        router.cost = Decimal("0.5")
        dearer = await Runtime(POOL, router, client=client).arun("Q")
        assert result.cost is not None and dearer.cost == result.cost + Decimal("0.5")
        router.cost = None
        assert (await Runtime(POOL, router, client=client).arun("Q")).cost is None

    async def test_live_state_is_passed_to_every_route(self) -> None:
        gate, routed = asyncio.Event(), asyncio.Event()

        async def held(request: Request) -> str:
            routed.set()
            await gate.wait()
            return "x"

        router = always(TaskGraph.of("a"))
        runtime = Runtime(POOL, router, client=ScriptedClient(held))
        first = asyncio.create_task(runtime.arun("one"))
        await routed.wait()
        second = asyncio.create_task(runtime.arun("two"))
        while len(router.live) < 2:
            await asyncio.sleep(0.001)
        gate.set()
        await asyncio.gather(first, second)
        assert router.live[0] is not None and router.live[0].of("b").in_flight == 0
        assert router.live[1] is not None and router.live[1].of("b").in_flight == 1

    async def test_an_abstention_without_fallback_is_told(self) -> None:
        client = ScriptedClient([])
        result = await Runtime(POOL, always(None), client=client).arun("Q")
        assert (result.status, result.abstained, client.calls) == ("abstained", True, [])
        with pytest.raises(Abstained, match="fallback"):
            result.raise_for_status()

    async def test_an_abstention_runs_the_fallback(self) -> None:
        runtime = Runtime(POOL, always(None), client=ScriptedClient({"c": "saved"}), fallback="c")
        result = await runtime.arun("Q")
        assert (result.status, result.abstained, result.answer) == ("ok", True, "saved")
        assert [d.router for d in result.decisions] == ["dummy", "fallback"]

    async def test_a_pool_can_be_swapped_while_serving(self) -> None:
        handle = PoolHandle(POOL)
        graph = TaskGraph.of(["new"])
        runtime = Runtime(handle, client=ScriptedClient({"*": "x"}))
        with pytest.raises(PoolError, match="not in the pool: new"):
            await runtime.arun("Q", graph)
        handle.add(Agent(name="new", call=lambda text: "first"))
        assert (await runtime.arun("Q", graph)).answer == "first"
        handle.swap(lambda pool: pool.remove("new").add(Agent(name="new", call=lambda text: "second")))
        assert (await runtime.arun("Q", graph)).answer == "second"

    async def test_a_fallback_agent_that_was_swapped_out_is_told(self) -> None:
        handle = PoolHandle(POOL)
        runtime = Runtime(handle, always(None), client=ScriptedClient([]), fallback="c")
        handle.swap(lambda pool: pool.remove("c"))
        result = await runtime.arun("Q")
        assert (result.status, result.abstained) == ("abstained", True)
        assert "fallback 'c' is no longer in the pool" in str(result.error)

    @pytest.mark.parametrize("limits", [None, Limits(usd=Decimal(1))])
    async def test_a_run_keeps_the_fallbacks_of_its_pool(self, limits: Limits | None) -> None:
        second = Backend(name="second", model="m", price_in_per_mtok=1, price_out_per_mtok=1)
        first = Backend(
            name="first",
            model="m",
            fallbacks=("second",),
            retries=0,
            price_in_per_mtok=1,
            price_out_per_mtok=1,
        )

        def swap(text: str) -> Answer:
            handle.swap(POOL)
            return Answer(text="swapped", cost=Decimal(0))

        agents = [
            Agent(name="swap", call=swap),
            Agent(name="x", backend=first),
            Agent(name="y", backend=second),
        ]
        handle = PoolHandle(Pool(agents))
        transport = ScriptedTransport(first=[Failure("down", "server")], second=["4"])
        client = ReliableClient(transport, backends=lambda: handle.current.backends)
        graph = TaskGraph.of(["swap", "x"], edges=[("swap", "x")])
        result = await Runtime(handle, client=client).arun("Q", graph, limits=limits)
        assert (result.answer, result.steps[1].backend) == ("4", "second")


class TestGrowing:
    async def test_the_router_is_asked_again_with_what_was_seen(self) -> None:
        def choose(task: Task, live: Any, seen: PartialRun | None) -> TaskGraph | None:
            if seen is None:
                return TaskGraph.of("a", grow=True)
            if seen.turn == 1:
                nodes = (Node("b", "b", prompt=f"Before: {seen.answer}"),)
                return TaskGraph(nodes=nodes, grow=True)
            return TaskGraph.of("c")

        router = Dummy(choose)
        client = ScriptedClient(lambda request: f"from {request.agent}")
        result = await Runtime(POOL, router, client=client).arun("Q")
        assert result.answer == "from c"
        assert [seen.turn if seen else 0 for seen in router.seen] == [0, 1, 2]
        last = router.seen[2]
        assert last is not None and (last.agents, last.answer) == (("a", "b"), "from b")
        assert last.cost is not None and last.cost > 0
        assert client.calls[1].messages[-1].content == "Q\n\nBefore: from a"
        assert len(result.decisions) == 3

    async def test_growing_ends_when_the_router_abstains_and_keeps_the_answer(self) -> None:
        router = Dummy(lambda task, live, seen: None if seen else TaskGraph.of("a", grow=True))
        result = await Runtime(POOL, router, client=ScriptedClient({"*": "x"})).arun("Q")
        assert (result.status, result.answer, result.calls) == ("ok", "x", 1)

    async def test_growing_is_bounded(self) -> None:
        client = ScriptedClient({"*": "x"})
        router = always(TaskGraph.of("a", grow=True))
        result = await Runtime(POOL, router, client=client, max_turns=3).arun("Q")
        assert (len(client.calls), result.ok) == (3, True)


class TestTotals:
    async def test_cost_tokens_and_calls_are_summed(self) -> None:
        result = await Runtime(POOL, client=ScriptedClient({"*": "one two"})).arun("Q", TaskGraph.of("abc"))
        assert (result.calls, result.tokens, result.cost) == (3, 9, Decimal("0.009"))

    async def test_an_unknown_part_makes_the_sum_unknown(self) -> None:
        pool = POOL.add(Agent(name="d", backend=UNPRICED))
        runtime = Runtime(pool, client=ScriptedClient({"*": "x"}))
        assert (await runtime.arun("Q", TaskGraph.of("ad"))).cost is None

    async def test_a_skipped_node_is_no_unknown_part(self) -> None:
        pool = POOL.add(Agent(name="d", backend=UNPRICED))
        graph = TaskGraph(
            nodes=(Node("a", "a"), Node("d", "d")),
            edges=(Edge("a", "d", stop=StopCondition("answered")),),
            outputs=("a", "d"),
        )
        result = await Runtime(pool, client=ScriptedClient({"*": "x"})).arun("Q", graph)
        assert (result.cost, result.calls) == (Decimal("0.002"), 1)

    def test_sync_and_async_give_the_same(self) -> None:
        graph = TaskGraph.of("abc", edges=[("a", "c")], rounds=2, aggregation=Aggregation("concat"))
        runtime = Runtime(POOL, client=ScriptedClient(lambda r: f"{r.agent}{len(r.messages[-1].content)}"))
        sync, other = runtime.run("Q", graph), asyncio.run(runtime.arun("Q", graph))

        def shape(result: RunResult) -> list[tuple[str, int, str]]:
            return sorted((step.node, step.round, step.answer) for step in result.steps)

        assert (sync.answer, sync.cost, shape(sync)) == (other.answer, other.cost, shape(other))


class TestFailure:
    async def test_a_run_fails_only_if_no_output_answers(self) -> None:
        client = ScriptedClient({"a": BackendError("x"), "b": "fine"})
        runtime = Runtime(POOL, client=client)
        assert (await runtime.arun("Q", TaskGraph.of("ab"))).ok
        result = await runtime.arun("Q", TaskGraph.of("a"))
        assert (result.status, result.answer) == ("error", "")
        with pytest.raises(RunError, match="BackendError: x"):
            result.raise_for_status()

    @pytest.mark.parametrize(
        ("task", "error"),
        [
            ("", TaskError),
            (" \n", TaskError),
            ("\udcff", TaskError),
            ("x" * 1_000_000, TaskError),
            (7, TaskError),
        ],
    )
    async def test_a_task_that_cannot_be_used(self, task: Any, error: type[Exception]) -> None:
        client = ScriptedClient([])
        with pytest.raises(error):
            await Runtime(POOL, client=client).arun(task, TaskGraph.of("a"))

    async def test_bad_settings_are_told_before_money_is_spent(self) -> None:
        client = ScriptedClient([])
        for settings in ({"sandbox": "loose"}, {"concurrency": 0}, {"max_turns": 0}, {"fallback": "z"}):
            with pytest.raises(InvalidInput):
                Runtime(POOL, client=client, **settings)  # type: ignore[arg-type]
        with pytest.raises(InvalidInput, match="Pool"):
            Runtime([Agent(name="a")], client=client)  # type: ignore[arg-type]
        with pytest.raises(InvalidInput, match="a router, or this run a graph"):
            await Runtime(POOL, client=client).arun("Q")
        with pytest.raises(PoolError, match="nobody"):
            await Runtime(POOL, always(TaskGraph.of(["nobody"])), client=client).arun("Q")
        with pytest.raises(LimitError):
            await Runtime(POOL, client=client).arun("Q", TaskGraph.of("a"), limits=Limits(usd=Decimal(0)))
        other = POOL.add(Agent(name="d", backend=Backend(name="b", model="another")))
        with pytest.raises(PoolError, match="two different backends"):
            Runtime(other, client=client)

    async def test_a_router_that_cannot_decide_is_an_error(self) -> None:
        def broken(task: Task, live: Any, seen: Any) -> TaskGraph:
            raise RouterError("not fitted")

        with pytest.raises(RouterError, match="not fitted"):
            await Runtime(POOL, Dummy(broken), client=ScriptedClient([])).arun("Q")


class TestLimits:
    async def test_a_limit_ends_the_run_and_keeps_what_is_finished(self) -> None:
        client = ScriptedClient(lambda request: f"from {request.agent}")
        graph = TaskGraph.of("abc", edges=[("a", "b"), ("b", "c")], outputs=("a", "b", "c"))
        result = await Runtime(POOL, client=client).arun("Q", graph, limits=Limits(calls=1))
        assert (result.status, result.limit, len(client.calls)) == ("limit", "calls", 1)
        assert result.answer == "from a"
        assert [(s.node, s.skipped) for s in result.steps] == [("a", False), ("b", False), ("c", True)]
        with pytest.raises(LimitExceeded) as caught:
            result.raise_for_status()
        assert caught.value.kind == "calls"

    async def test_a_graphs_own_limits_hold(self) -> None:
        client = ScriptedClient({"*": "x"})
        graph = TaskGraph.of("ab", edges=[("a", "b")], limits=Limits(calls=1))
        result = await Runtime(POOL, client=client).arun("Q", graph)
        assert (result.status, len(client.calls)) == ("limit", 1)

    async def test_refining_is_left_out_when_nothing_is_left_to_spend(self) -> None:
        client = ScriptedClient({"*": "x"})
        graph = TaskGraph.of("ab", aggregation=Aggregation("refine", agent="c"))
        result = await Runtime(POOL, client=client).arun("Q", graph, limits=Limits(calls=1))
        assert (result.answer, result.status, len(client.calls)) == ("x", "limit", 1)

    async def test_an_unpriced_call_is_refused_under_a_money_limit(self) -> None:
        client = ScriptedClient({"*": "x"})
        pool = Pool([Agent(name="d", backend=UNPRICED)])
        result = await Runtime(pool, client=client).arun(
            "Q", TaskGraph.of("d"), limits=Limits(usd=Decimal(1))
        )
        assert (result.status, result.limit, client.calls) == ("limit", "usd", [])

    async def test_time_runs_out_for_code_that_calls_no_model(self) -> None:
        async def forever(text: str) -> str:
            await asyncio.Event().wait()
            return text

        pool = Pool([Agent(name="quick", call=str.upper), Agent(name="slow", call=forever)])
        graph = TaskGraph.of(["quick", "slow"])
        runtime = Runtime(pool, client=ScriptedClient([]))
        result = await runtime.arun("Q", graph, limits=Limits(seconds=0.5))
        assert (result.status, result.limit) == ("limit", "seconds")
        assert [(step.answer, step.error) for step in result.steps] == [("Q", None), ("", "cancelled")]
        assert (result.answer, result.winner, result.cost) == ("Q", "quick", None)

    async def test_limits_hold_under_a_hundred_concurrent_runs(self) -> None:
        client = ScriptedClient({"*": "one two"}, latency_s=0.001)
        runtime = Runtime(POOL, client=client, limits=Limits(calls=120), concurrency=100)
        results = await runtime.abatch([f"Q{i}" for i in range(100)], TaskGraph.of("abc"))
        assert len(client.calls) == 120
        assert client.most_in_flight > 50
        assert sum(result.calls for result in results) == 120
        assert {result.status for result in results} <= {"ok", "limit"}
        assert sum(result.status == "limit" for result in results) >= 60

    async def test_money_holds_under_a_hundred_concurrent_runs(self) -> None:
        options = {"max_tokens": 10}
        pool = Pool([Agent(name="a", backend=PRICED, options=options)])
        client = ScriptedClient({"*": "one two"}, latency_s=0.001)
        runtime = Runtime(pool, client=client, limits=Limits(usd=Decimal("0.2")), concurrency=100)
        results = await runtime.abatch(["Q"] * 100, TaskGraph.of("a"))
        spent = [result.cost for result in results]
        assert None not in spent and 0 < sum(cost or 0 for cost in spent) <= Decimal("0.2")
        assert any(result.status == "limit" for result in results)


class TestEvents:
    async def test_events_come_in_order_with_tokens(self) -> None:
        runtime = Runtime(POOL, always(TaskGraph.of("a")), client=ScriptedClient({"*": "one two"}))
        events = [event async for event in runtime.astream("Q")]
        kinds = [Routed, NodeStarted, Token, Token, NodeFinished, RunFinished]
        assert [type(event) for event in events] == kinds
        assert "".join(event.text for event in events if isinstance(event, Token)) == "one two"
        last = events[-1]
        assert isinstance(last, RunFinished) and last.result.answer == "one two"
        assert last.result.cost == Decimal("0.003")
        assert [event.to_dict()["type"] for event in events] == [
            "routed", "node_started", "token", "token", "node_finished", "run_finished",
        ]  # fmt: skip

    def test_the_sync_twin(self) -> None:
        runtime = Runtime(POOL, client=ScriptedClient({"*": "one two"}))
        events = list(runtime.stream("Q", TaskGraph.of("a"), tokens=False))
        assert [type(event) for event in events] == [Routed, NodeStarted, NodeFinished, RunFinished]

    async def test_bad_input_is_raised_and_leaving_early_cancels(self) -> None:
        started, ended = asyncio.Event(), asyncio.Event()

        async def hang(request: Request) -> str:
            started.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()
            return ""

        runtime = Runtime(POOL, client=ScriptedClient(hang))
        with pytest.raises(PoolError):
            [event async for event in runtime.astream("Q", TaskGraph.of("z"))]
        stream = runtime.astream("Q", TaskGraph.of("a"))
        await anext(stream)
        await started.wait()
        await stream.aclose()
        assert ended.is_set()


def test_the_same_graph_is_compiled_once() -> None:
    engine = Engine(
        client=ScriptedClient([]),
        router=None,
        route_options=None,
        ledger=None,
        strategies=BUILT_IN,
        aggregations={},
        sandbox="strict",
        checkpointer=None,
    )
    first = engine.compiled(TaskGraph.of("ab"), POOL)
    assert engine.compiled(TaskGraph.of("ab"), POOL) is first
    assert engine.compiled(TaskGraph.of("ab"), POOL.remove("c")) is first
    assert engine.compiled(TaskGraph.of("ba"), POOL) is not first
    changed = Pool([Agent(name="a", backend=PRICED, system="new"), POOL["b"]])
    assert engine.compiled(TaskGraph.of("ab"), changed) is not first


def test_results_are_json() -> None:
    import json

    runtime = Runtime(POOL, always(TaskGraph.of("a")), client=ScriptedClient({"*": "x"}))
    data = runtime.run(Task("Q", task_id="t")).to_dict()
    assert json.loads(json.dumps(data, allow_nan=False))["task_id"] == "t"
