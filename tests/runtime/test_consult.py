"""Routers that ask a language model: through the run's client, under its limits, in its totals, once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from agentnet import (
    Agent,
    Backend,
    Decision,
    Limits,
    Pool,
    Router,
    Runtime,
    Task,
    TaskGraph,
    TraceStore,
)
from agentnet.errors import (
    BackendUnreachable,
    InvalidInput,
    LimitExceeded,
    RouterError,
    RunError,
)
from agentnet.graphs.live import LiveState, PartialRun
from agentnet.graphs.task import Message
from agentnet.routers.base import RouteOptions
from agentnet.routers.decision import NoteEvidence
from agentnet.routers.reasoning.consult import Consultation, consult, consult_sync
from agentnet.routers.reasoning.model import Completion, RouterModel
from agentnet.runtime.client import Request, Response
from agentnet.runtime.clients.clock import VirtualClock
from agentnet.runtime.clients.scripted import ScriptedClient
from agentnet.runtime.consult import ClientModel, wanted_backend
from agentnet.runtime.events import NodeFinished, Routed, RunFinished

# One USD per token makes the sums easy.
ASKED = Backend(name="judge", model="x/judge", price_in_per_mtok=1_000_000, price_out_per_mtok=1_000_000)
WORKER = Backend(name="worker", model="x/worker", price_in_per_mtok=1_000_000, price_out_per_mtok=1_000_000)
POOL = Pool(
    [
        Agent(name="cards", description="Lost cards.", backend=WORKER),
        Agent(name="loans", description="Loans.", backend=ASKED),
        Agent(name="plain", call=lambda text: text.upper()),
    ]
)
CHOICE = "<Reason>A card.</Reason><ID>A1</ID>"


class Asking(Router):
    """Asks the model which agents to take; ``tells`` says what it claims the decision cost."""

    name = "asking"

    def __init__(
        self,
        model: Any = "judge",
        *,
        tells: Callable[[Consultation], dict[str, Any]] = lambda asked: {"router_cost": asked.cost},
        grows: int = 1,
        **settings: Any,
    ) -> None:
        super().__init__()
        self.model = model
        self.tells = tells
        self.grows = grows
        self.settings_of_consult = settings
        self.given: list[RouterModel | None] = []
        self.seen: list[PartialRun | None] = []
        self.live: list[LiveState | None] = []
        self.options_given: list[RouteOptions | None] = []

    @property
    def asks_model(self) -> bool:
        return True

    async def aroute(
        self,
        task: Task | str,
        pool: Pool,
        *,
        live: LiveState | None = None,
        seen: PartialRun | None = None,
        options: RouteOptions | None = None,
        model: RouterModel | None = None,
    ) -> Decision:
        self.given.append(model)
        self.seen.append(seen)
        self.live.append(live)
        self.options_given.append(options)
        if model is None:
            raise RouterError("no model to ask")
        asked = await consult(Task.of(task), list(pool), model, **self.settings_of_consult)
        return self.decided(asked, pool, turn=0 if seen is None else seen.turn)

    def decided(self, asked: Consultation, pool: Pool, turn: int) -> Decision:
        graph = None
        if asked.agents and turn < self.grows:
            graph = TaskGraph.of(list(asked.agents), grow=turn + 1 < self.grows)
        return Decision(
            graph=graph,
            candidates=pool.names,
            raw=[0.0] * len(pool),
            calibrated=[0.0] * len(pool),
            cost=[float("nan")] * len(pool),
            propensity=1.0,
            router=self.name,
            version="v1",
            evidence=NoteEvidence(asked.reason),
            **self.tells(asked),
        )

    def _fit(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    score_batch = _decide = _state = _restore = _fit


def spent(text: str, prompt: int, completion: int) -> Response:
    return Response(text=text, prompt_tokens=prompt, completion_tokens=completion)


def answers(request: Request) -> Response:
    if request.backend == ASKED:
        return spent(CHOICE, 100, 10)
    return spent("done", 20, 3)


def total(result: Any) -> tuple[Any, ...]:
    return result.calls, result.prompt_tokens, result.completion_tokens, result.cost


async def test_the_model_decides_through_the_runs_own_client() -> None:
    client = ScriptedClient(answers)
    router, options = Asking(), RouteOptions(cost_weight=0.5)
    result = await Runtime(POOL, router, client=client, route_options=options).arun("I lost my card")
    assert (result.status, result.answer, result.winner) == ("ok", "done", "cards")
    asked, worked = client.calls
    assert (asked.backend, worked.backend) == (ASKED, WORKER)
    assert (asked.temperature, asked.max_tokens) == (0.0, 300) and asked.json_schema is not None
    assert asked.messages[1].content.endswith("<Query>I lost my card</Query>")
    assert router.options_given == [options] and router.live[0] is not None
    assert isinstance(router.given[0], RouterModel) and router.given[0].name == "x/judge"


async def test_its_calls_tokens_and_cost_are_in_the_runs_totals() -> None:
    result = await Runtime(POOL, Asking(), client=ScriptedClient(answers)).arun("Q")
    assert total(result) == (2, 120, 13, Decimal(133))
    [decision] = result.decisions
    assert (decision.router_calls, decision.router_prompt_tokens) == (1, 100)
    assert (decision.router_completion_tokens, decision.router_cost) == (10, Decimal(110))
    told = decision.to_dict()
    assert (told["router_calls"], told["router_prompt_tokens"], told["router_cost"]) == (1, 100, "110")


@pytest.mark.parametrize(
    ("tells", "cost"),
    [
        (lambda asked: {"router_cost": asked.cost}, Decimal(133)),
        (lambda asked: {}, Decimal(133)),
        (lambda asked: {"router_cost": asked.cost + Decimal(7)}, Decimal(140)),
        (lambda asked: {"router_cost": None}, None),
        (
            lambda asked: {
                "router_cost": asked.cost,
                "router_calls": asked.attempts,
                "router_prompt_tokens": asked.prompt_tokens,
                "router_completion_tokens": asked.completion_tokens,
            },
            Decimal(133),
        ),
    ],
    ids=["its cost", "nothing", "more", "unknown", "all"],
)
async def test_whatever_the_router_tells_nothing_counts_twice(tells: Any, cost: Decimal | None) -> None:
    runtime = Runtime(
        POOL, Asking(tells=tells), client=ScriptedClient(answers), limits=Limits(calls=50, tokens=10_000)
    )
    result = await runtime.arun("Q", limits=Limits(calls=5))
    assert total(result) == (2, 120, 13, cost)
    assert runtime.ledger is not None
    used = runtime.ledger.used
    assert (used.calls, used.tokens, used.usd) == (2, 133, cost), "ledger and result tell the same"


async def test_a_router_that_asks_none_is_charged_for_what_it_tells() -> None:
    class Dear(Asking):
        @property
        def asks_model(self) -> bool:
            return False

        def route(self, task: Task | str, pool: Pool, **_: Any) -> Decision:
            return self.decided(Consultation(agents=("cards",)), pool, turn=0)

    router = Dear(tells=lambda asked: {"router_cost": Decimal(7)})
    runtime = Runtime(POOL, router, client=ScriptedClient(answers), limits=Limits(usd=1000))
    result = await runtime.arun("Q")
    assert runtime.ledger is not None and runtime.ledger.used.usd == result.cost == Decimal(30)
    assert result.calls == 1


async def test_an_unreadable_answer_is_paid_as_well() -> None:
    replies = iter(["Hm.", CHOICE])

    def script(request: Request) -> Response:
        return spent(next(replies), 100, 10) if request.backend == ASKED else spent("done", 20, 3)

    result = await Runtime(POOL, Asking(), client=ScriptedClient(script)).arun("Q")
    assert (result.answer, total(result)) == ("done", (3, 220, 23, Decimal(243)))


async def test_unknown_usage_of_the_router_makes_the_totals_unknown() -> None:
    pool = Pool([POOL["cards"], Agent(name="b", backend=Backend(name="judge", model="x/judge"))])
    client = ScriptedClient(lambda r: CHOICE if r.backend.name == "judge" else "done", usage=False)
    result = await Runtime(pool, Asking(), client=client).arun("Q")
    assert result.ok and total(result) == (2, None, None, None)


# -- many at once ----------------------------------------------------------------------------------
async def test_many_runs_wait_for_the_model_at_once() -> None:
    gate = asyncio.Event()

    async def held(request: Request) -> Response:
        if request.backend == ASKED:
            await gate.wait()
        return answers(request)

    client = ScriptedClient(held)
    runtime = Runtime(POOL, Asking(), client=client)
    runs = [asyncio.create_task(runtime.arun(f"Q{i}")) for i in range(50)]
    while client.in_flight < 50:  # one router thread would let one wait at a time, and this never end
        await asyncio.sleep(0)
    gate.set()
    assert all(result.ok for result in await asyncio.gather(*runs))


@pytest.mark.parametrize("limit", [1, 30, 75, 99, 100])
async def test_fifty_runs_at_once_share_a_limit_of_calls_exactly(limit: int) -> None:
    client = ScriptedClient(answers, latency_s=1.0, clock=VirtualClock())
    runtime = Runtime(POOL, Asking(), client=client, limits=Limits(calls=limit))
    results = await asyncio.gather(*(runtime.arun(f"Q{i}") for i in range(50)))
    assert len(client.calls) == limit == sum(result.calls for result in results)
    assert runtime.ledger is not None and runtime.ledger.used.calls == limit
    assert runtime.ledger.used.usd == sum(result.cost or 0 for result in results)
    assert sum(result.ok for result in results) == max(limit - 50, 0)
    assert all((result.status, result.limit) == ("limit", "calls") for result in results if not result.ok)


@pytest.mark.parametrize("kind", ["usd", "tokens"])
async def test_limits_of_money_and_tokens_hold_for_routers_too(kind: str) -> None:
    client = ScriptedClient(answers, latency_s=1.0, clock=VirtualClock())
    runtime = Runtime(POOL, Asking(max_tokens=10), client=client, limits=Limits(**{kind: 2000}))
    results = await asyncio.gather(*(runtime.arun(f"Q{i}") for i in range(50)))
    assert runtime.ledger is not None
    used = runtime.ledger.used
    assert used.usd is not None and used.tokens == used.usd <= 2000
    assert {result.status for result in results} >= {"limit"} and len(client.calls) < 100
    assert used.usd == sum(result.cost or 0 for result in results)


# -- ends ------------------------------------------------------------------------------------------
async def test_a_limit_on_the_routers_call_ends_the_run_like_any_limit() -> None:
    client = ScriptedClient(lambda request: spent("Hm.", 100, 10))
    result = await Runtime(POOL, Asking(), client=client).arun("Q", limits=Limits(calls=1))
    assert (result.status, result.limit, result.decisions) == ("limit", "calls", ())
    assert "limit of 1 calls" in (result.error or "")
    assert total(result) == (1, 100, 10, Decimal(110)), "the first answer was paid"
    with pytest.raises(LimitExceeded):
        result.raise_for_status()


async def test_a_model_without_a_price_is_not_asked_under_a_limit_of_money() -> None:
    client = ScriptedClient(answers)
    runtime = Runtime(POOL, Asking("openai/some-model"), client=client)
    result = await runtime.arun("Q", limits=Limits(usd=5))
    assert (result.status, result.limit, client.calls) == ("limit", "usd", [])
    assert "price of this call is unknown" in (result.error or "") and result.cost == 0


async def test_a_model_that_fails_is_told_in_the_result() -> None:
    failure = BackendUnreachable("no server for key sk-abcdef123456")
    failure.spent_usd = Decimal(3)
    runtime = Runtime(POOL, Asking(), client=ScriptedClient([failure]), fallback="cards")
    result = await runtime.arun("Q")
    assert (result.status, result.decisions, result.calls, result.cost) == ("error", (), 1, Decimal(3))
    assert result.error == "the router's model failed: BackendUnreachable: no server for key [secret]"
    with pytest.raises(RunError, match="router's model failed"):
        result.raise_for_status()


async def test_seconds_end_a_run_that_waits_for_the_model() -> None:
    async def never(request: Request) -> str:
        await asyncio.Event().wait()
        return ""

    client = ScriptedClient(never)
    result = await Runtime(POOL, Asking(), client=client).arun("Q", limits=Limits(seconds=0.02))
    assert (result.status, result.limit, result.calls) == ("limit", "seconds", 1)
    assert result.cost is result.tokens is None, "what a call that was cut off used is unknown"
    assert client.in_flight == 0


async def test_a_cancelled_run_cancels_the_call() -> None:
    client = ScriptedClient(lambda request: asyncio.Event().wait())  # type: ignore[arg-type, return-value]
    run = asyncio.create_task(Runtime(POOL, Asking(), client=client).arun("Q"))
    while not client.in_flight:
        await asyncio.sleep(0)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert client.in_flight == 0


@pytest.mark.parametrize("defect", [RouterError("not fitted"), ZeroDivisionError("sk-abcdef123456")])
async def test_a_router_that_cannot_decide_is_an_error(defect: Exception) -> None:
    def broken(asked: Consultation) -> dict[str, Any]:
        raise defect

    with pytest.raises(RouterError, match=r"not fitted|ZeroDivisionError: \[secret\]"):
        await Runtime(POOL, Asking(tells=broken), client=ScriptedClient(answers)).arun("Q")


@pytest.mark.parametrize("fallback", [None, "loans"])
async def test_out_of_scope_is_an_abstention(fallback: str | None) -> None:
    client = ScriptedClient([spent("<ID>oos</ID>", 100, 10), spent("I can try.", 20, 3)])
    result = await Runtime(POOL, Asking(), client=client, fallback=fallback).arun("Sing!")
    assert result.abstained
    if fallback is None:
        assert (result.status, total(result)) == ("abstained", (1, 100, 10, Decimal(110)))
    else:
        assert (result.answer, total(result)) == ("I can try.", (2, 120, 13, Decimal(133)))


# -- which model -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("model", "backend"),
    [
        ("judge", ASKED),
        ("cards", WORKER),
        ("openai/gpt-x", Backend(name="openai/gpt-x", model="openai/gpt-x")),
        (None, None),
        ("", None),
    ],
)
def test_the_router_names_a_backend_an_agent_or_a_model(model: Any, backend: Backend | None) -> None:
    assert wanted_backend(Asking(model), POOL) == backend


def test_a_backends_name_goes_before_an_agents() -> None:
    pool = Pool([Agent(name="judge", backend=WORKER), Agent(name="b", backend=ASKED)])
    assert wanted_backend(Asking("judge"), pool) == ASKED


@pytest.mark.parametrize(
    ("model", "match"), [("plain", "has no backend"), (7, "must be a name"), ("a\nb", "no line breaks")]
)
async def test_a_name_that_cannot_be_asked_is_told(model: Any, match: str) -> None:
    with pytest.raises((RouterError, InvalidInput), match=match):
        await Runtime(POOL, Asking(model), client=ScriptedClient([])).arun("Q")


async def test_without_a_name_the_router_asks_its_own_model() -> None:
    router = Asking(None)
    with pytest.raises(RouterError, match="no model to ask"):
        await Runtime(POOL, router, client=ScriptedClient([])).arun("Q")
    assert router.given == [None]


async def test_fallbacks_of_the_backend_are_found_in_the_pool() -> None:
    first = Backend(name="first", model="x/first", fallbacks=("judge",))
    pool = POOL.add(Agent(name="d", backend=first))
    client = ScriptedClient(answers)
    model = ClientModel(client, first, backends=pool.backends)
    await model.complete((Message("user", "Q"),), max_tokens=5)
    assert client.calls[0].backends == pool.backends


# -- the other ways in -----------------------------------------------------------------------------
async def test_streaming_tells_the_decision_before_the_nodes() -> None:
    runtime = Runtime(POOL, Asking(), client=ScriptedClient(answers))
    events = [event async for event in runtime.astream("Q")]
    assert isinstance(events[0], Routed) and events[0].decision.agents == ("cards",)
    assert events[0].decision.router_calls == 1
    assert isinstance(events[-1], RunFinished) and total(events[-1].result) == (2, 120, 13, Decimal(133))
    assert sum(isinstance(event, NodeFinished) for event in events) == 1


async def test_streaming_a_run_whose_router_model_fails_ends_with_its_result() -> None:
    runtime = Runtime(POOL, Asking(), client=ScriptedClient([BackendUnreachable("no server")]))
    [event] = [event async for event in runtime.astream("Q")]
    assert isinstance(event, RunFinished) and event.result.status == "error"


def test_blocking_calls_do_the_same() -> None:
    runtime = Runtime(POOL, Asking(), client=ScriptedClient(answers))
    assert total(runtime.run("Q")) == (2, 120, 13, Decimal(133))
    assert [result.answer for result in runtime.batch(["P", "Q"])] == ["done", "done"]


async def test_a_growing_graph_asks_at_every_turn() -> None:
    router = Asking(grows=3)
    result = await Runtime(POOL, router, client=ScriptedClient(answers)).arun("Q")
    assert total(result) == (6, 360, 39, Decimal(399)) and len(result.decisions) == 3
    costs = [seen.cost if seen else None for seen in router.seen]
    assert costs == [None, Decimal(133), Decimal(266)], "the router sees what its own calls cost"


async def test_a_growing_run_keeps_what_it_has_when_the_model_fails_later() -> None:
    def script(request: Request) -> Any:
        if request.backend == ASKED and len(client.calls) > 1:
            return BackendUnreachable("no server")
        return answers(request)

    client = ScriptedClient(script)
    result = await Runtime(POOL, Asking(grows=2), client=client).arun("Q")
    assert (result.status, result.answer) == ("error", "done")
    assert (result.calls, result.cost) == (3, Decimal(133))


async def test_the_trace_holds_the_routers_part(tmp_path: Path) -> None:
    with TraceStore.open(tmp_path / "t.db") as store:
        runtime = Runtime(POOL, Asking(), client=ScriptedClient(answers), store=store)
        [result] = await runtime.abatch(["Q"], batch_id="b")
        trace = store.run(result.run_id)
        assert (trace.run.calls, trace.run.prompt_tokens, trace.run.completion_tokens) == (2, 120, 13)
        assert (trace.run.cost_usd, trace.decisions[0].router_cost_usd) == (Decimal(133), Decimal(110))
        assert trace.decisions[0].evidence == {"note": "A card."}
        [again] = await runtime.abatch(["Q"], batch_id="b")
        assert again.loaded and total(again) == total(result)


async def test_a_run_that_found_no_decision_is_traced(tmp_path: Path) -> None:
    client = ScriptedClient(lambda request: spent("Hm.", 100, 10))
    with TraceStore.open(tmp_path / "t.db") as store:
        result = await Runtime(POOL, Asking(), client=client, store=store).arun("Q", limits=Limits(calls=1))
        store.flush()
        trace = store.run(result.run_id)
        assert (trace.run.status, trace.run.calls, trace.run.cost_usd) == ("limit", 1, Decimal(110))
        assert trace.decisions == ()


# -- the model itself ------------------------------------------------------------------------------
async def test_the_model_adds_up_what_its_calls_used() -> None:
    lost = BackendUnreachable("cut off")
    lost.spent_tokens = lost.spent_usd = None
    model = ClientModel(ScriptedClient([spent("x", 5, 1), spent("y", 7, 2), lost]), ASKED)
    told = await model.complete((Message("user", "Q"),), max_tokens=5)
    assert told == Completion(text="x", prompt_tokens=5, completion_tokens=1, cost=Decimal(6))
    await model.complete((Message("user", "Q"),), max_tokens=5)
    assert (model.used.calls, model.used.prompt_tokens, model.used.cost) == (2, 12, Decimal(15))
    with pytest.raises(BackendUnreachable):
        await model.complete((Message("user", "Q"),), max_tokens=5)
    assert (model.used.calls, model.used.prompt_tokens, model.used.cost) == (3, None, None)


async def test_a_synchronous_router_may_consult_from_inside_a_loop() -> None:
    model = ClientModel(ScriptedClient(answers), ASKED)
    assert consult_sync(Task("Q"), list(POOL), model).agents == ("cards",)
