from __future__ import annotations

import asyncio
import random
from decimal import Decimal

import pytest

from agentnet.errors import (
    BackendError,
    BackendUnreachable,
    ContextTooLong,
    EmptyResponse,
    PoolError,
)
from agentnet.runtime.client import ModelClient
from agentnet.runtime.clients.clock import VirtualClock
from agentnet.runtime.clients.reliable import ReliableClient, RetryPolicy
from agentnet.runtime.clients.transport import Failure

from .helpers import HANG, ScriptedTransport, Step, backend, request

DOWN = Failure("connection refused", "unreachable")
BUSY = Failure("too many requests", "rate_limit", 3.0)
BROKEN = Failure("internal error", "server")
REFUSED = Failure("bad key", "refused")


def client(
    transport: ScriptedTransport, *fallbacks: str, **settings: object
) -> tuple[ReliableClient, VirtualClock]:
    clock = VirtualClock()
    known = {name: backend(name) for name in fallbacks}
    return ReliableClient(transport, backends=known, clock=clock, seed=0, **settings), clock  # type: ignore[arg-type]


def test_is_a_model_client() -> None:
    assert isinstance(ReliableClient(ScriptedTransport()), ModelClient)


async def test_failures_that_may_pass_are_tried_again_with_growing_waits() -> None:
    transport = ScriptedTransport(a=[DOWN, BROKEN, "4"])
    subject, clock = client(transport)
    response = await subject.complete(request())
    assert (response.text, response.attempts, response.backend) == ("4", 3, "a")
    assert 0.25 <= clock.slept[0] <= 0.5 and 0.5 <= clock.slept[1] <= 1.0
    assert response.latency_s == pytest.approx(sum(clock.slept))


@pytest.mark.parametrize("failure", [REFUSED, Failure("too long", "context")])
async def test_other_failures_are_never_tried_again(failure: Failure) -> None:
    transport = ScriptedTransport(a=[failure, "never"])
    subject, clock = client(transport)
    with pytest.raises(BackendError, match=failure.text):
        await subject.complete(request())
    assert transport.sent == ["a"] and clock.slept == []


async def test_retry_after_is_waited_for_but_not_when_it_is_long() -> None:
    subject, clock = client(ScriptedTransport(a=[BUSY, "4"]))
    await subject.complete(request())
    assert clock.slept == [3.0]
    transport = ScriptedTransport(a=[Failure("busy", "rate_limit", 3600.0)], b=["4"])
    subject, clock = client(transport, "b")
    assert (await subject.complete(request(backend(fallbacks=("b",))))).backend == "b"
    assert clock.slept == []


def test_waits_are_capped_and_jittered() -> None:
    policy = RetryPolicy(base_s=1.0, cap_s=8.0)
    waits = [policy.wait(10, None, random.Random(seed)) for seed in range(50)]
    assert all(4.0 <= wait <= 8.0 for wait in waits) and len(set(waits)) > 40


async def test_fallbacks_follow_in_order_with_their_own_retries() -> None:
    transport = ScriptedTransport(a=[DOWN, DOWN, DOWN], b=[REFUSED], c=[BROKEN, "4"])
    subject, _ = client(transport, "b", "c")
    response = await subject.complete(request(backend(fallbacks=("b", "c"))))
    assert transport.sent == ["a", "a", "a", "b", "c", "c"]
    assert (response.backend, response.attempts) == ("c", 6)


async def test_an_unknown_fallback_is_an_error_before_anything_is_sent() -> None:
    transport = ScriptedTransport(a=["4"])
    subject, _ = client(transport)
    with pytest.raises(PoolError, match=r"falls back to \['x'\].*backends=pool.backends"):
        await subject.complete(request(backend(fallbacks=("x",))))
    assert transport.sent == []


async def test_backends_may_be_a_function_so_that_a_swapped_pool_counts() -> None:
    known = {"b": backend("b")}
    subject = ReliableClient(
        ScriptedTransport(b=["1"], c=["2"], a=[REFUSED, REFUSED]), backends=lambda: known
    )
    assert (await subject.complete(request(backend(fallbacks=("b",))))).text == "1"
    known["c"] = backend("c")
    assert (await subject.complete(request(backend(fallbacks=("c",))))).text == "2"


async def test_the_total_deadline_bounds_retries_and_fallbacks_together() -> None:
    transport = ScriptedTransport(a=[DOWN] * 3, b=[DOWN] * 3)
    subject, clock = client(transport, "b", policy=RetryPolicy(base_s=10.0, cap_s=10.0))
    with pytest.raises(BackendUnreachable):
        await subject.complete(request(backend(fallbacks=("b",)), timeout_s=12.0))
    assert clock.now() < 12.0, "a wait that ends after the deadline is not begun"
    assert transport.sent == ["a", "a", "b"]
    assert transport.timeouts[0] == 12.0 and transport.timeouts[1] < 7.1


async def test_no_attempt_is_made_after_the_deadline() -> None:
    transport = ScriptedTransport(a=[HANG, "late"], b=["late"])
    subject, _ = client(transport, "b")
    with pytest.raises(BackendUnreachable):
        await subject.complete(request(backend(fallbacks=("b",)), timeout_s=-1.0))
    assert transport.sent == []


async def test_an_attempt_that_takes_too_long_is_cut_off_and_tried_again() -> None:
    transport = ScriptedTransport(a=[HANG, "4"])
    subject, _ = client(transport)
    response = await subject.complete(request(backend(timeout_s=0.01)))
    assert (response.text, response.attempts, transport.in_flight) == ("4", 2, 0)


async def test_timeouts_only_are_unreachable_and_mixed_failures_a_backend_error() -> None:
    subject, _ = client(ScriptedTransport(a=[HANG]))
    with pytest.raises(BackendUnreachable, match=r"no answer within 0.01 s.*server runs"):
        await subject.complete(request(backend(timeout_s=0.01, retries=0)))
    subject, _ = client(ScriptedTransport(a=[DOWN], b=[REFUSED]), "b")
    with pytest.raises(BackendError, match=r"connection refused; then 'b'.*bad key") as caught:
        await subject.complete(request(backend(retries=0, fallbacks=("b",))))
    assert type(caught.value) is BackendError


async def test_empty_answers_are_tried_again_and_paid_for() -> None:
    priced = backend(price_in_per_mtok=1, price_out_per_mtok=10)
    subject, _ = client(ScriptedTransport(a=["", " \n", "4"]))
    response = await subject.complete(request(priced))
    assert (response.text, response.prompt_tokens, response.cost) == ("4", 300, Decimal("0.0006"))
    subject, _ = client(ScriptedTransport(a=["", "", ""]))
    with pytest.raises(EmptyResponse, match="3 attempts") as caught:
        await subject.complete(request(priced))
    assert (caught.value.spent_tokens, caught.value.spent_usd) == (330, Decimal("0.0006"))


async def test_an_unpriced_empty_attempt_makes_the_cost_unknown() -> None:
    subject, _ = client(ScriptedTransport(a=["", "", ""], b=["4"]), "b")
    response = await subject.complete(request(backend(fallbacks=("b",))))
    assert response.cost is None and response.prompt_tokens == 400


@pytest.mark.parametrize(
    ("failure", "price", "cost", "lost"),
    [
        (HANG, 1, None, 1),
        (Failure("reset", "unreachable", lost=True), 1, None, 1),
        (HANG, 0, Decimal(0), 1),
        (DOWN, 1, Decimal("0.00011"), 0),
    ],
)
async def test_what_an_attempt_cost_that_was_cut_off_is_unknown(
    failure: Step, price: int, cost: Decimal | None, lost: int
) -> None:
    item = backend(timeout_s=0.01, price_in_per_mtok=price, price_out_per_mtok=price)
    subject, _ = client(ScriptedTransport(a=[failure, "4"]))
    response = await subject.complete(request(item))
    assert (response.text, response.cost, response.lost_attempts) == ("4", cost, lost)
    assert (response.prompt_tokens is None) == bool(lost)
    subject, _ = client(ScriptedTransport(a=[failure] * 3))
    with pytest.raises(BackendUnreachable) as caught:
        await subject.complete(request(item))
    assert caught.value.spent_usd == (None if cost is None else 0)
    assert (caught.value.spent_tokens, caught.value.lost_attempts) == ((None, 3) if lost else (0, 0))


async def test_max_parallel_holds_and_waiters_get_their_turn() -> None:
    transport = ScriptedTransport(a=["4"] * 8)
    transport.release = asyncio.Event()
    subject, _ = client(transport)
    tasks = [asyncio.create_task(subject.complete(request(backend(max_parallel=3)))) for _ in range(8)]
    for _ in range(20):
        await asyncio.sleep(0)
    assert transport.in_flight == 3
    tasks[5].cancel()
    transport.release.set()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert transport.most_in_flight == 3
    assert sum(isinstance(item, asyncio.CancelledError) for item in done) == 1 and len(transport.sent) == 7


async def test_waiting_for_a_place_counts_towards_the_deadline() -> None:
    transport = ScriptedTransport(a=["4", "4"])
    transport.release = asyncio.Event()
    subject, _ = client(transport)
    one = backend(max_parallel=1)
    first = asyncio.create_task(subject.complete(request(one)))
    await asyncio.sleep(0)
    with pytest.raises(BackendUnreachable, match="max_parallel"):
        await subject.complete(request(one, timeout_s=0.01))
    transport.release.set()
    assert (await first).text == "4"


@pytest.mark.parametrize("fits", [True, False])
async def test_a_prompt_over_the_context_window_is_not_sent(fits: bool) -> None:
    transport = ScriptedTransport(a=["4"])
    subject, _ = client(transport)
    asked = request(backend(context_window=100), "word " * (82 if fits else 83), max_tokens=10)
    if fits:  # 82 words, 8 around the message, 10 for the answer
        assert (await subject.complete(asked)).text == "4"
    else:
        with pytest.raises(ContextTooLong, match=r"about 91 tokens and 10 for the answer.*100"):
            await subject.complete(asked)
        assert transport.sent == []


async def test_a_megabyte_prompt_is_refused_without_counting() -> None:
    class Counting(ScriptedTransport):
        def count_tokens(self, item: object, text: str) -> int:
            raise AssertionError("counted")

    subject, _ = client(Counting(a=["4"]))
    with pytest.raises(ContextTooLong, match="1,000,000 characters"):
        await subject.complete(request(backend(context_window=8192), "x" * 1_000_000))


async def test_a_fallback_with_a_larger_window_takes_a_long_prompt() -> None:
    transport = ScriptedTransport(b=["4"])
    subject, _ = client(transport, "b")
    asked = request(backend(context_window=10, fallbacks=("b",)), "word " * 50)
    assert (await subject.complete(asked)).backend == "b"
    assert transport.sent == ["b"]


async def test_a_stream_gives_pieces_and_last_the_response() -> None:
    subject, _ = client(ScriptedTransport(a=[["two", " two"]]))
    chunks = [chunk async for chunk in subject.stream(request())]
    assert [chunk.text for chunk in chunks[:-1]] == ["two", " two"]
    assert chunks[-1].response is not None and chunks[-1].response.text == "two two"


async def test_a_stream_is_tried_again_only_before_its_first_piece() -> None:
    subject, _ = client(ScriptedTransport(a=[[DOWN], ["fo", "ur"]]))
    assert [c.text async for c in subject.stream(request())] == ["fo", "ur", ""]
    transport = ScriptedTransport(a=[["fo", DOWN], ["four"]], b=["four"])
    subject, _ = client(transport, "b")
    seen: list[str] = []
    with pytest.raises(BackendError, match="broke off") as caught:
        async for chunk in subject.stream(request(backend(fallbacks=("b",)))):
            seen.append(chunk.text)
    assert seen == ["fo"] and transport.sent == ["a"]
    assert caught.value.spent_tokens == 101, "what was delivered is known to have been used"


async def test_a_stream_that_stalls_is_cut_off() -> None:
    subject, _ = client(ScriptedTransport(a=[["fo", HANG]]))
    with pytest.raises(BackendError, match="broke off"):
        async for _ in subject.stream(request(backend(timeout_s=0.01))):
            pass


async def test_a_stream_that_is_no_longer_read_gives_its_place_back() -> None:
    subject, _ = client(ScriptedTransport(a=[["a", "b"], "4"]))
    one = backend(max_parallel=1)
    stream = subject.stream(request(one))
    await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined]
    assert (await subject.complete(request(one, timeout_s=5.0))).text == "4"


async def test_a_failed_call_gives_its_place_back() -> None:
    subject, _ = client(ScriptedTransport(a=[REFUSED, "4"]))
    one = backend(max_parallel=1)
    with pytest.raises(BackendError):
        await subject.complete(request(one))
    assert (await subject.complete(request(one, timeout_s=5.0))).text == "4"


def test_the_price_is_that_of_the_dearest_fallback_and_none_if_one_is_unknown() -> None:
    cheap = backend("b", price_in_per_mtok=1, price_out_per_mtok=9)
    known = {"b": cheap, "c": backend("c")}
    subject = ReliableClient(ScriptedTransport(), backends=known)
    asked = backend(price_in_per_mtok=2, price_out_per_mtok=3, fallbacks=("b",))
    price = subject.price(asked)
    assert price is not None and (price.in_per_mtok, price.out_per_mtok) == (2, 9)
    assert subject.price(backend(price_in_per_mtok=2, price_out_per_mtok=3, fallbacks=("c",))) is None
