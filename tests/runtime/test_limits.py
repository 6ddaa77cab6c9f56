from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentnet.errors import (
    BackendError,
    BackendUnreachable,
    ContextTooLong,
    LimitExceeded,
    PoolError,
    UnpricedCall,
)
from agentnet.graphs.agent import Backend
from agentnet.graphs.task import Message
from agentnet.graphs.task_graph import Limits
from agentnet.runtime.client import Chunk, ModelClient, Request, Response
from agentnet.runtime.clients.clock import VirtualClock
from agentnet.runtime.clients.scripted import ScriptedClient
from agentnet.runtime.limits import Ledger, LimitedClient, Usage, prompt_tokens

# One USD per token makes the sums easy: a prompt of four characters is estimated at 8 + 1 tokens.
PRICED = Backend(name="b", model="m", price_in_per_mtok=1_000_000, price_out_per_mtok=1_000_000)
UNPRICED = Backend(name="u", model="m")


def ask(backend: Backend = PRICED, **settings: object) -> Request:
    return Request(backend=backend, messages=(Message("user", "four"),), **settings)  # type: ignore[arg-type]


def spends(tokens: int, usd: str | None = "0") -> Response:
    cost = None if usd is None else Decimal(usd)
    return Response(text="ok", prompt_tokens=tokens, completion_tokens=0, cost=cost)


def limited(
    client: ModelClient, parent: Ledger | None = None, **limits: object
) -> tuple[LimitedClient, Ledger]:
    ledger = Ledger(Limits(**limits) if limits else None, parent)  # type: ignore[arg-type]
    return LimitedClient(client, ledger), ledger


async def test_calls_are_strict_and_the_error_says_what_to_do() -> None:
    inner = ScriptedClient(lambda _: "ok")
    client, ledger = limited(inner, calls=2)
    await client.complete(ask())
    await client.complete(ask())
    with pytest.raises(LimitExceeded, match=r"limit of 2 calls.*2 used.*Limits\(calls=...\)") as caught:
        await client.complete(ask())
    assert caught.value.kind == "calls" and len(inner.calls) == 2 and ledger.used.calls == 2


@pytest.mark.parametrize(("limit", "kind"), [({"usd": 100}, "usd"), ({"tokens": 100}, "tokens")])
async def test_what_was_spent_counts_and_the_next_call_must_fit(limit: dict[str, int], kind: str) -> None:
    inner = ScriptedClient(lambda _: spends(46, "46"))
    client, ledger = limited(inner, **limit)
    await client.complete(ask())
    await client.complete(ask(max_tokens=45))  # 46 + 9 + 45 = 100: just fits
    with pytest.raises(LimitExceeded) as caught:
        await client.complete(ask())  # 92 + 9
    assert caught.value.kind == kind and len(inner.calls) == 2
    assert (ledger.used.tokens, ledger.used.usd) == (92, Decimal(92))


async def test_reservations_of_calls_in_flight_count() -> None:
    inner = ScriptedClient(lambda _: spends(1, "1"), latency_s=1.0, clock=VirtualClock())
    client, ledger = limited(inner, usd=100)
    outcomes = await asyncio.gather(
        *(client.complete(ask(max_tokens=24)) for _ in range(5)), return_exceptions=True
    )
    assert sum(isinstance(item, Response) for item in outcomes) == 3, "3 * (9 + 24) = 99"
    assert ledger.used.usd == 3 and ledger.reserved == Usage()
    await client.complete(ask(max_tokens=24))  # what was set aside and not used is free again


async def test_a_money_limit_refuses_unpriced_calls_before_sending() -> None:
    inner = ScriptedClient(lambda _: "ok")
    client, _ = limited(inner, usd=1)
    with pytest.raises(UnpricedCall, match=r"price of this call is unknown.*price_in_per_mtok"):
        await client.complete(ask(UNPRICED))
    assert inner.calls == []
    free, ledger = limited(inner, calls=5)
    await free.complete(ask(UNPRICED))
    assert ledger.used.usd is None, "unknown is not zero"


async def test_a_parents_money_limit_refuses_unpriced_calls_too() -> None:
    runtime = Ledger(Limits(usd=1), name="runtime")
    client, ledger = limited(ScriptedClient(lambda _: "ok"), runtime, calls=5)
    with pytest.raises(UnpricedCall, match="the runtime has a limit"):
        await client.complete(ask(UNPRICED))
    assert ledger.reserved == Usage() and ledger.used == Usage()


async def test_an_answer_of_unknown_cost_stops_all_further_calls_under_a_money_limit() -> None:
    class Unpriced:
        async def complete(self, request: Request) -> Response:
            return Response(text="ok", prompt_tokens=1, completion_tokens=1, cost=None)

        def stream(self, request: Request) -> AsyncIterator[Chunk]:
            raise NotImplementedError

    client, _ = limited(Unpriced(), usd=1000)
    assert (await client.complete(ask())).cost is None
    with pytest.raises(UnpricedCall, match="cost of an earlier answer is unknown"):
        await client.complete(ask())


async def test_a_run_is_bound_by_the_ledger_above_it() -> None:
    runtime = Ledger(Limits(calls=3), name="runtime")
    inner = ScriptedClient(lambda _: "ok")
    first, ours = limited(inner, runtime, calls=2)
    second, _ = limited(inner, runtime)
    await first.complete(ask())
    await second.complete(ask())
    await second.complete(ask())
    with pytest.raises(LimitExceeded, match="the runtime's limit of 3 calls"):
        await first.complete(ask())
    assert ours.used.calls == 1 and ours.reserved == Usage() and runtime.used.calls == 3


async def test_a_hundred_runs_at_once_share_one_limit_exactly() -> None:
    inner = ScriptedClient(lambda _: spends(10, "10"), latency_s=1.0, clock=VirtualClock())
    runtime = Ledger(Limits(calls=37, usd=1000), name="runtime")
    clients = [LimitedClient(inner, Ledger(Limits(calls=5), runtime)) for _ in range(100)]
    calls = [client.complete(ask(max_tokens=1)) for client in clients for _ in range(3)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(item, Response) for item in outcomes) == 37 == len(inner.calls)
    assert all(isinstance(item, (Response, LimitExceeded)) for item in outcomes)
    assert runtime.used == Usage(calls=37, tokens=370, usd=Decimal(370)) and runtime.reserved == Usage()


def test_threads_share_a_ledger() -> None:
    ledger = Ledger(Limits(calls=100))
    granted: list[int] = []

    def work() -> None:
        for _ in range(50):
            try:
                ledger.reserve(Usage(calls=1)).settle(Usage(calls=1, tokens=1))
                granted.append(1)
            except LimitExceeded:
                pass

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(granted) == 100 == ledger.used.calls == ledger.used.tokens


@given(
    limit=st.integers(20, 300),
    costs=st.lists(st.integers(0, 60), min_size=1, max_size=30),
    max_tokens=st.lists(st.none() | st.integers(1, 40), min_size=30, max_size=30),
    delays=st.lists(st.integers(1, 5), min_size=30, max_size=30),
    starts=st.lists(st.integers(0, 12), min_size=30, max_size=30),
)
def test_no_limit_is_passed_by_more_than_what_calls_in_flight_use_over_their_estimates(
    limit: int, costs: list[int], max_tokens: list[int | None], delays: list[int], starts: list[int]
) -> None:
    async def play() -> None:
        clock = VirtualClock()
        by_seed = dict(enumerate(costs))
        inner = ScriptedClient(
            lambda r: spends(by_seed[r.seed], str(by_seed[r.seed])),
            latency_s=lambda r: float(delays[r.seed]),
            clock=clock,
        )
        client, ledger = limited(inner, usd=limit, tokens=limit)
        over: dict[int, int] = {}
        worst = 0

        async def one(i: int) -> None:
            nonlocal worst
            await clock.sleep(starts[i])
            request = ask(seed=i, max_tokens=max_tokens[i])
            estimate = prompt_tokens(request) + (max_tokens[i] or 0)
            try:
                task = asyncio.ensure_future(client.complete(request))
                await asyncio.sleep(0)
                if not task.done():
                    over[i] = max(costs[i] - estimate, 0)
                    worst = max(worst, sum(over.values()))
                await task
            except LimitExceeded:
                pass
            finally:
                over.pop(i, None)

        await asyncio.gather(*(one(i) for i in range(len(costs))))
        assert ledger.used.usd is not None
        assert ledger.used.usd <= limit + worst and ledger.used.tokens <= limit + worst
        assert ledger.reserved == Usage()

    asyncio.run(play())


async def test_with_max_tokens_kept_the_limit_is_never_passed() -> None:
    inner = ScriptedClient(lambda r: spends(9 + (r.max_tokens or 0), str(9 + (r.max_tokens or 0))))
    client, ledger = limited(inner, usd=100)
    await asyncio.gather(*(client.complete(ask(max_tokens=7)) for _ in range(20)), return_exceptions=True)
    assert ledger.used.usd == 96


async def test_a_failed_call_is_charged_what_it_is_known_to_have_used() -> None:
    error = BackendError("empty three times")
    error.spent_tokens, error.spent_usd = 30, Decimal(3)
    client, ledger = limited(
        ScriptedClient([error, BackendUnreachable("down"), ContextTooLong("long"), PoolError("x")])
    )
    for kind in (BackendError, BackendUnreachable, ContextTooLong, PoolError):
        with pytest.raises(kind):
            await client.complete(ask())
    assert ledger.used == Usage(calls=2, tokens=30, usd=Decimal(3)), "the last two sent nothing"
    assert ledger.reserved == Usage()


async def test_attempts_that_were_lost_are_charged_with_estimates() -> None:
    error = BackendUnreachable("timed out")
    error.spent_tokens, error.spent_usd, error.lost_attempts = None, None, 3
    client, ledger = limited(
        ScriptedClient([Response(text="four", lost_attempts=2), error], usage=False), usd=99
    )
    await client.complete(ask(max_tokens=1))
    assert ledger.used == Usage(calls=1, tokens=30, usd=Decimal(30)), "three times the estimate"
    with pytest.raises(BackendUnreachable):
        await client.complete(ask(max_tokens=1))
    assert ledger.used == Usage(calls=2, tokens=60, usd=Decimal(60)), "known, so that calls may follow"


async def test_a_cancelled_call_is_charged_with_its_estimate() -> None:
    started = asyncio.Event()

    async def never(_: Request) -> str:
        started.set()
        await asyncio.Event().wait()
        return ""

    client, ledger = limited(ScriptedClient(never), usd=100)
    task = asyncio.create_task(client.complete(ask(max_tokens=10)))
    await asyncio.wait_for(started.wait(), 5)
    assert ledger.reserved.usd == 19
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert ledger.used == Usage(calls=1, tokens=19, usd=Decimal(19)) and ledger.reserved == Usage()


async def test_a_stream_is_settled_by_its_response_or_when_it_is_no_longer_read() -> None:
    client, ledger = limited(ScriptedClient(lambda _: "one two three"), tokens=1000)
    assert "".join([chunk.text async for chunk in client.stream(ask())]) == "one two three"
    assert ledger.used == Usage(calls=1, tokens=4, usd=Decimal(4))
    stream = client.stream(ask())
    await anext(stream)
    assert ledger.reserved.calls == 1
    await stream.aclose()  # type: ignore[attr-defined]
    assert ledger.reserved == Usage() and ledger.used.calls == 2
    assert ledger.used.tokens == 4 + 10, "the prompt's nine and one for the piece that came"


async def test_streams_are_limited_like_calls() -> None:
    client, _ = limited(ScriptedClient(lambda _: "ok"), calls=1)
    assert [chunk async for chunk in client.stream(ask())][-1].response is not None
    with pytest.raises(LimitExceeded):
        await anext(client.stream(ask()))


async def test_seconds_are_passed_down_and_refuse_calls_when_over() -> None:
    clock = VirtualClock()
    inner = ScriptedClient(lambda _: "ok")
    runtime = Ledger(Limits(seconds=8), clock=clock, name="runtime")
    client = LimitedClient(inner, Ledger(Limits(seconds=10), runtime, clock=clock))
    await client.complete(ask(timeout_s=60.0))
    clock.advance(5)
    await client.complete(ask(timeout_s=2.0))
    await client.complete(ask())
    assert [call.timeout_s for call in inner.calls] == [8.0, 2.0, 3.0]
    clock.advance(3)
    with pytest.raises(LimitExceeded, match="the runtime's limit of 8 seconds") as caught:
        await client.complete(ask())
    assert caught.value.kind == "seconds" and len(inner.calls) == 3 and not caught.value.sent


async def test_seconds_cut_off_a_call_in_flight() -> None:
    async def never(_: Request) -> str:
        await asyncio.Event().wait()
        return ""

    client, ledger = limited(ScriptedClient(never), seconds=0.02)
    with pytest.raises(LimitExceeded) as caught:
        await client.complete(ask())
    assert caught.value.kind == "seconds" and caught.value.sent
    assert ledger.used.calls == 1 and ledger.reserved == Usage()


async def test_what_was_not_reserved_can_be_charged() -> None:
    runtime = Ledger(Limits(usd=1))
    run = Ledger(None, runtime)
    run.charge(Usage(tokens=5, usd=Decimal("0.9999999")))
    assert runtime.used.tokens == 5
    with pytest.raises(LimitExceeded):
        await LimitedClient(ScriptedClient(["x"]), run).complete(ask())
    run.charge(Usage(usd=None))
    with pytest.raises(UnpricedCall):
        run.reserve(Usage(calls=1))


def test_a_reservation_is_closed_once() -> None:
    ledger = Ledger()
    held = ledger.reserve(Usage(calls=1, tokens=5))
    held.settle(Usage(calls=1, tokens=3))
    held.settle(Usage(calls=1, tokens=3))
    held.release()
    assert ledger.used == Usage(calls=1, tokens=3) and ledger.reserved == Usage()
