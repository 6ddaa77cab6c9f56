"""What is told of failures: no secrets, no lost answers, and no unknown cost that passes for zero."""

from __future__ import annotations

import asyncio
import logging
from decimal import Decimal
from typing import Any

import pytest

from agentnet import Agent, Aggregation, Backend, Limits, Pool, Router, Runtime, TaskGraph
from agentnet.errors import RouterError
from agentnet.graphs.task import Task
from agentnet.runtime.client import Request
from agentnet.runtime.clients.scripted import ScriptedClient
from agentnet.runtime.events import NodeFinished, RunFinished
from agentnet.traces.records import Record

SECRETS = ("sk-abcdefgh12345678", "pa55word", "environment-value-1")
LEAK = f"401 for {SECRETS[0]} at https://me:{SECRETS[1]}@host/v1 and {SECRETS[2]}"
PRICED = Backend(name="b", model="m", price_in_per_mtok="1000", price_out_per_mtok="1000")
POOL = Pool(Agent(name=name, backend=PRICED) for name in ("fast", "slow"))


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_API_KEY", SECRETS[2])


def leak(*_: Any) -> str:
    raise RuntimeError(LEAK)


def hidden(text: object) -> bool:
    return "401 for" in str(text) and not any(secret in str(text) for secret in SECRETS)


async def slow(request: Request) -> str:
    if request.agent == "slow":
        await asyncio.Event().wait()
    return "42"


class TestSecrets:
    async def test_of_agents_stay_out_of_steps_results_and_events(self) -> None:
        runtime = Runtime(Pool([Agent(name="a", call=leak)]), client=ScriptedClient([]))
        events = [event async for event in runtime.astream("q", TaskGraph.of(["a"]))]
        finished, last = events[-2], events[-1]
        assert isinstance(finished, NodeFinished) and isinstance(last, RunFinished)
        assert hidden(finished.step.error) and hidden(last.result.error)

    async def test_of_custom_joins(self) -> None:
        how = Aggregation("custom", options={"name": "leak"})
        pool = Pool([Agent(name="a", call=str.upper)])
        runtime = Runtime(pool, client=ScriptedClient([]), aggregations={"leak": leak})
        assert hidden((await runtime.arun("q", TaskGraph.of(["a"], aggregation=how))).error)

    async def test_of_stores_and_in_the_log(self, caplog: pytest.LogCaptureFixture) -> None:
        class Broken:
            write = staticmethod(leak)

        runtime = Runtime(POOL, client=ScriptedClient({"*": "x"}), store=Broken())
        with caplog.at_level(logging.WARNING):
            result = await runtime.arun("q", TaskGraph.of(["fast"]))
        assert result.ok and hidden(result.trace_error) and hidden(caplog.text)

    async def test_of_routers_in_the_record_the_error_and_the_batch(self) -> None:
        records: list[Any] = []

        class Watch:
            def write(self, *new: Record) -> None:
                records.extend(new)

        runtime = Runtime(POOL, Leaking(), client=ScriptedClient({"*": "x"}), store=Watch())
        with pytest.raises(RouterError) as caught:
            await runtime.arun("bad")
        assert hidden(caught.value) and hidden(records[-1].error)
        results = await runtime.abatch(["good", "bad", "good too"])
        assert [result.status for result in results] == ["abstained", "error", "abstained"]
        assert hidden(results[1].error)


class Leaking(Router):
    """Has a defect for one task."""

    name = "leaking"

    def route(self, task: Task | str, pool: Pool, **_: Any) -> Any:
        from agentnet import Decision

        if Task.of(task).text == "bad":
            leak()
        return Decision(
            graph=None, candidates=(), raw=(), calibrated=(), cost=(), propensity=1.0, router="r", version="1"
        )

    def _fit(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    score_batch = _decide = _state = _restore = _fit


class TestTimeLimits:
    @pytest.mark.parametrize("tokens", [False, True])
    @pytest.mark.parametrize("where", ["run", "graph"])
    async def test_the_answer_is_kept_and_what_was_sent_is_counted(self, where: str, tokens: bool) -> None:
        limits = Limits(seconds=0.2)
        graph = TaskGraph.of(["fast", "slow"], limits=limits if where == "graph" else None)
        runtime = Runtime(POOL, client=ScriptedClient(slow))
        run_limits = limits if where == "run" else None
        if tokens:
            events = [event async for event in runtime.astream("q", graph, limits=run_limits)]
            assert isinstance(events[-1], RunFinished)
            result = events[-1].result
        else:
            result = await runtime.arun("q", graph, limits=run_limits)
        assert (result.status, result.limit, result.answer, result.winner) == (
            "limit",
            "seconds",
            "42",
            "fast",
        )
        assert (result.calls, result.cost, result.prompt_tokens) == (2, None, None)
        steps = {step.node: step for step in result.steps}
        assert (steps["slow"].calls, steps["slow"].cost, steps["fast"].cost) == (1, None, Decimal("0.002"))
        assert steps["slow"].error is not None

    async def test_a_cancelled_run_leaves_the_step_that_was_cut_off(self) -> None:
        started = asyncio.Event()
        records: list[Any] = []

        class Watch:
            def write(self, *new: Record) -> None:
                records.extend(new)

        async def hang(request: Request) -> str:
            started.set()
            await asyncio.Event().wait()
            return ""

        runtime = Runtime(POOL, client=ScriptedClient(hang), store=Watch())
        task = asyncio.create_task(runtime.arun("q", TaskGraph.of(["slow"])))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        step, run = records[-2:]
        assert (step.error, step.calls, step.cost_usd) == ("cancelled", 1, None)
        assert (run.status, run.calls, run.cost_usd) == ("cancelled", 1, None)

    async def test_a_refine_that_takes_too_long_leaves_the_vote(self) -> None:
        pool = POOL.add(Agent(name="other", backend=PRICED))
        graph = TaskGraph.of(["fast", "other"], aggregation=Aggregation("refine", agent="slow"))

        async def late(text: str) -> str:
            await asyncio.Event().wait()
            return text

        pool = Pool([pool["fast"], pool["other"], Agent(name="slow", call=late)])
        result = await Runtime(pool, client=ScriptedClient(slow)).arun("q", graph, limits=Limits(seconds=0.2))
        assert (result.status, result.answer, result.winner) == ("limit", "42", "fast")


class TestLimitsOfRuntimes:
    async def test_the_error_names_whose_limit_it_is(self) -> None:
        client = ScriptedClient({"*": "x"})
        graph = TaskGraph.of(["fast", "slow"], edges=[("fast", "slow")])
        result = await Runtime(POOL, client=client, limits=Limits(calls=1)).arun("q", graph)
        assert str(result.error).startswith("the runtime's limit of 1 calls")
        result = await Runtime(POOL, client=client).arun("q", graph, limits=Limits(calls=1))
        assert str(result.error).startswith("the run's limit of 1 calls")

    async def test_samples_that_were_paid_for_still_vote(self) -> None:
        options = {"n": 4}
        pool = Pool([Agent(name="s", backend=PRICED, strategy="self_consistency", options=options), *POOL])
        graph = TaskGraph.of(["s", "fast"], edges=[("s", "fast")], outputs=("s", "fast"))
        client = ScriptedClient({"*": "Answer: 7"})
        result = await Runtime(pool, client=client).arun("q", graph, limits=Limits(calls=2))
        assert (result.answer, result.status, result.limit, result.calls) == ("7", "limit", "calls", 2)
        assert [step.skipped for step in result.steps] == [False, True]

    async def test_without_any_sample_the_limit_is_the_error(self) -> None:
        pool = Pool([Agent(name="s", backend=PRICED, strategy="self_consistency"), *POOL])
        runtime = Runtime(pool, client=ScriptedClient({"*": "7"}), limits=Limits(calls=1))
        await runtime.arun("q", TaskGraph.of(["fast"]))
        result = await runtime.arun("q", TaskGraph.of(["s"]))
        assert (result.status, result.answer) == ("limit", "")
        assert str(result.error).startswith("the runtime's limit")


class TestUnknownCost:
    @pytest.mark.parametrize("result", [RuntimeError("x"), {"odd": 1}])
    async def test_a_callable_that_fails_may_have_cost_something(self, result: Any) -> None:
        def work(text: str) -> Any:
            if isinstance(result, Exception):
                raise result
            return result

        for prices, cost in (({}, None), ({"price_in_per_mtok": 0, "price_out_per_mtok": 0}, Decimal(0))):
            pool = Pool([Agent(name="a", call=work, **prices)])  # type: ignore[arg-type]
            found = await Runtime(pool, client=ScriptedClient([])).arun("q", TaskGraph.of(["a"]))
            assert (found.status, found.cost) == ("error", cost)


async def test_an_answer_is_valid_unicode() -> None:
    pool = Pool([Agent(name="a", call=lambda text: "\udc80bad \u00fc")])
    result = await Runtime(pool, client=ScriptedClient([])).arun("q", TaskGraph.of(["a"]))
    assert result.answer == "?bad \u00fc"
