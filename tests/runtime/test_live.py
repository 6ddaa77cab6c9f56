from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from agentnet.errors import BackendError, BackendUnreachable, ContextTooLong
from agentnet.graphs.agent import Backend
from agentnet.graphs.task import Message
from agentnet.runtime.client import ModelClient, Request, Response
from agentnet.runtime.clients.clock import VirtualClock
from agentnet.runtime.clients.prices import Prices
from agentnet.runtime.clients.scripted import ScriptedClient
from agentnet.runtime.live import Average, LiveTracker

BACKEND = Backend(name="b", model="m", max_parallel=4, price_in_per_mtok=1, price_out_per_mtok=1)
DOWN = BackendUnreachable("down")


def ask(session: str | None = None, backend: Backend = BACKEND) -> Request:
    return Request(backend=backend, messages=(Message("user", "hi"),), session_id=session)


async def fails(tracker: LiveTracker, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(BackendError):
            await tracker.complete(ask())


async def test_calls_in_flight_and_capacity() -> None:
    release = asyncio.Event()

    async def wait(_: Request) -> str:
        await release.wait()
        return "ok"

    tracker = LiveTracker(ScriptedClient(wait), backends=[BACKEND])
    assert isinstance(tracker, ModelClient) and isinstance(tracker, Prices)
    assert tracker.state().of("b").capacity == 4 and tracker.state().of("b").latency_s is None
    tasks = [asyncio.create_task(tracker.complete(ask())) for _ in range(3)]
    await asyncio.sleep(0)
    state = tracker.state().of("b")
    assert state.in_flight == 3 and state.load == 0.75
    tasks[0].cancel()
    release.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    after = tracker.state().of("b")
    assert after.in_flight == 0 and after.error_rate == 0.0, "a cancelled call is nobody's failure"
    assert state.in_flight == 3, "a snapshot does not change"


async def test_latency_is_a_moving_average_with_its_half_life() -> None:
    clock = VirtualClock()
    latency = 1.0
    tracker = LiveTracker(
        ScriptedClient(lambda _: "ok", latency_s=lambda _: latency, clock=clock), clock=clock
    )
    await tracker.complete(ask())
    assert tracker.state().of("b").latency_s == pytest.approx(1.0), "right from the first call"
    for _ in range(300):
        await tracker.complete(ask())
    latency = 10.0
    for _ in range(32):
        await tracker.complete(ask())
    assert tracker.state().of("b").latency_s == pytest.approx(5.5, abs=0.05)


async def test_the_usual_latency_lags_far_behind_the_recent_one() -> None:
    clock = VirtualClock()
    latency = 1.0
    client = ScriptedClient(lambda _: "ok", latency_s=lambda _: latency, clock=clock)
    tracker = LiveTracker(client, clock=clock, half_life=4)
    assert tracker.state().of("b").usual_latency_s is None
    for _ in range(100):
        await tracker.complete(ask())
    latency = 10.0
    for _ in range(8):
        await tracker.complete(ask())
    state = tracker.state().of("b")
    assert state.latency_s == pytest.approx(7.75, abs=0.05)
    assert state.usual_latency_s is not None and 1.0 < state.usual_latency_s < 3.0
    clock.advance(600)
    assert tracker.state().of("b").usual_latency_s == state.usual_latency_s, "silence changes it not"


def test_average_without_values_is_unknown() -> None:
    assert Average(4).value is None


async def test_unhealthy_after_failures_in_a_row_probed_after_the_cooldown() -> None:
    clock = VirtualClock()
    failures = [DOWN, DOWN, None, DOWN, DOWN, DOWN, DOWN, None]
    client = ScriptedClient(lambda _: "ok", failures=failures)
    tracker = LiveTracker(client, clock=clock, cooldown_s=30, forget_s=None)

    def healthy() -> bool:
        return tracker.state().of("b").healthy

    await fails(tracker, 2)
    await tracker.complete(ask())
    await fails(tracker, 2)
    assert healthy(), "a success in between starts the count again"
    await fails(tracker)
    assert not healthy()
    clock.advance(29)
    assert not healthy()
    clock.advance(1)
    assert healthy(), "tried again"
    await fails(tracker)
    assert not healthy(), "one failure is enough now"
    clock.advance(30)
    await tracker.complete(ask())
    assert healthy()
    assert tracker.state().of("b").error_rate == pytest.approx(6 / 8, abs=0.05)


async def test_attempts_that_failed_before_an_answer_count_as_errors() -> None:
    tracker = LiveTracker(ScriptedClient(lambda _: Response(text="ok", attempts=4)))
    await tracker.complete(ask())
    state = tracker.state().of("b")
    assert state.error_rate == pytest.approx(0.75, abs=0.02) and state.healthy


async def test_a_fallbacks_answer_is_the_asked_backends_failure() -> None:
    tracker = LiveTracker(ScriptedClient(lambda _: Response(text="ok", backend="other", attempts=2)))
    for _ in range(3):
        await tracker.complete(ask("s"))
    state = tracker.state()
    assert not state.of("b").healthy and state.of("other").healthy
    assert state.of("b").error_rate == pytest.approx(1.0) and state.of("other").error_rate == 0.0
    assert state.of("other").warm_sessions == {"s"} and state.of("b").warm_sessions == frozenset()


async def test_a_prompt_that_is_too_long_is_not_the_backends_failure() -> None:
    tracker = LiveTracker(ScriptedClient([ContextTooLong("long")] * 5))
    await fails(tracker, 5)
    assert tracker.state().of("b").healthy and tracker.state().of("b").error_rate == 0.0


async def test_warm_sessions_are_bounded_and_expire() -> None:
    clock = VirtualClock()
    tracker = LiveTracker(ScriptedClient(lambda _: "ok"), clock=clock, warm_s=100, warm_sessions=2)

    def warm() -> set[str]:
        return set(tracker.state().of("b").warm_sessions)

    for session in ("one", "two", "one", "three"):
        await tracker.complete(ask(session))
        clock.advance(10)
    assert warm() == {"one", "three"}, "the longest unused went"
    clock.advance(85)
    assert warm() == {"three"}
    clock.advance(10)
    assert warm() == set()
    await tracker.complete(ask())
    assert warm() == set(), "a call without a session warms nothing"


async def test_streams_are_tracked_to_their_end() -> None:
    tracker = LiveTracker(ScriptedClient(["one two", "three four", DOWN]))
    stream = tracker.stream(ask())
    await anext(stream)
    assert tracker.state().of("b").in_flight == 1
    assert [chunk.text async for chunk in stream] == [" two", ""]
    left = tracker.stream(ask())
    await anext(left)
    await left.aclose()  # type: ignore[attr-defined]
    assert tracker.state().of("b").in_flight == 0
    with pytest.raises(BackendUnreachable):
        await anext(tracker.stream(ask()))
    assert tracker.state().of("b").error_rate > 0.4


def test_prices_are_passed_on() -> None:
    price = LiveTracker(ScriptedClient(["x"])).price(BACKEND)
    assert price is not None and price.in_per_mtok == Decimal(1)


async def test_an_unhealthy_backend_gets_one_trial_at_a_time() -> None:
    clock = VirtualClock()
    release = asyncio.Event()

    async def wait(_: Request) -> str:
        await release.wait()
        return "ok"

    client = ScriptedClient(wait, failures=[DOWN] * 3)
    tracker = LiveTracker(client, clock=clock, cooldown_s=30)
    release.set()
    await fails(tracker, 3)
    release.clear()
    clock.advance(30)
    assert tracker.state().of("b").healthy
    trial = asyncio.create_task(tracker.complete(ask()))
    await asyncio.sleep(0)
    assert not tracker.state().of("b").healthy, "its one trial is on its way"
    release.set()
    await trial
    assert tracker.state().of("b").healthy


async def test_a_backend_without_calls_is_forgotten_half_by_half() -> None:
    clock = VirtualClock()
    script = ScriptedClient(lambda _: "ok", latency_s=8.0, clock=clock, failures=[DOWN])
    tracker = LiveTracker(script, clock=clock, forget_s=10)
    lasting = LiveTracker(
        ScriptedClient(lambda _: "ok", latency_s=8.0, clock=clock), clock=clock, forget_s=None
    )
    await fails(tracker)
    await asyncio.gather(tracker.complete(ask()), lasting.complete(ask()))
    before = tracker.state().of("b")
    assert before.latency_s == pytest.approx(8.0) and 0.2 < before.error_rate < 0.5
    clock.advance(10)
    after = tracker.state().of("b")
    assert after.latency_s == pytest.approx(4.0)
    assert after.error_rate == pytest.approx(before.error_rate / 2)
    assert lasting.state().of("b").latency_s == pytest.approx(8.0)


async def test_calls_on_their_way_keep_what_is_known() -> None:
    clock = VirtualClock()
    release = asyncio.Event()

    async def wait(_: Request) -> str:
        await release.wait()
        return "ok"

    client = ScriptedClient(wait, failures=[DOWN])
    tracker = LiveTracker(client, clock=clock, forget_s=10)
    await fails(tracker)
    call = asyncio.create_task(tracker.complete(ask()))
    await asyncio.sleep(0)
    clock.advance(100)
    assert tracker.state().of("b").error_rate == 1.0
    release.set()
    await call


async def test_after_a_silence_a_new_measurement_outweighs_the_old_ones() -> None:
    clock = VirtualClock()
    latency = 10.0
    client = ScriptedClient(lambda _: "ok", latency_s=lambda _: latency, clock=clock)
    tracker = LiveTracker(client, clock=clock, forget_s=10)
    for _ in range(100):
        await tracker.complete(ask())
    latency = 1.0
    clock.advance(80)
    await tracker.complete(ask())
    assert tracker.state().of("b").latency_s == pytest.approx(2.3, abs=0.2)
