from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from agentnet.bench.kgqa.layout import PassagesFirst
from agentnet.bench.kgqa.pool import make_pool
from agentnet.bench.kgqa.record import Item, batch_of, interleave, load_items, record
from agentnet.bench.kgqa.strategies import STRATEGIES
from agentnet.bench.kgqa.tables import load_tables
from agentnet.errors import DataError
from agentnet.runtime.clients.scripted import ScriptedClient
from agentnet.runtime.embedded.provider import arguments
from agentnet.runtime.runtime import Runtime
from agentnet.traces.records import RunRecord
from agentnet.traces.store import TraceStore


def call_of(request: Any) -> dict[str, Any]:
    """The engine's arguments for a request, as the provider makes them."""
    options = {"max_tokens": request.max_tokens, "stop": list(request.stop)}
    messages = [message.to_dict() for message in request.messages]
    return arguments(PassagesFirst(), messages, {"optional_params": options})


async def test_all_agents_prompts_for_a_question_begin_with_the_same_passages(
    pack: Path, runtime: Runtime, client: ScriptedClient
) -> None:
    [item, *_] = load_items(pack)
    await record(runtime, runtime.store, [item])
    calls = [call_of(request) for request in client.calls]
    assert {request.agent for request in client.calls} == set(make_pool().names)
    assert len({call["prefix"] for call in calls}) == 1
    prefix = calls[0]["prefix"]
    assert item.question in prefix and "Maker" in prefix
    assert all(call["prompt"].startswith(prefix) for call in calls)
    # What differs between agents is a small part of the prompt, and it does differ.
    assert len({call["prompt"] for call in calls}) >= 6
    assert "The answer is \"" in calls[0]["prompt"][len(prefix):]  # fmt: skip


async def test_a_later_step_goes_on_with_the_reply_so_far(
    pack: Path, runtime: Runtime, client: ScriptedClient
) -> None:
    await record(runtime, runtime.store, load_items(pack)[:1])
    steps = [call_of(r)["prompt"] for r in client.calls if r.agent == "decompose"]
    assert len(steps) == 3 and all(b.startswith(a) for a, b in pairwise(steps))


async def test_a_recording_that_is_taken_up_again_asks_only_what_is_missing(
    pack: Path, runtime: Runtime, client: ScriptedClient
) -> None:
    items = load_items(pack)
    assert await record(runtime, runtime.store, items[:2]) == 12
    asked = len(client.calls)
    assert await record(runtime, runtime.store, items[:2]) == 0
    assert len(client.calls) == asked
    seen: list[tuple[int, int]] = []
    assert await record(runtime, runtime.store, items, progress=lambda *at: seen.append(at)) == 24
    assert len(client.calls) == 3 * asked and seen[-1] == (6, 6)


async def test_the_tables_hold_what_was_answered_under_both_scores(pack: Path, runtime: Runtime) -> None:
    items = load_items(pack)
    await record(runtime, runtime.store, items[:4])
    runtime.store.flush()
    tables = load_tables(runtime.store, make_pool(), items)
    assert len(tables) == 4 and tables.missing == 2
    assert tables.f1.queries.query_id.tolist() == [item.query_id for item in items[:4]]
    assert set(tables.f1.queries.task) == {"film", "river"} and tables.f1.queries.gold[0]
    at = {name: j for j, name in enumerate(tables.f1.agents)}
    direct = at["direct"]
    assert tables.f1.score[:, direct] == pytest.approx([2 / 3] * 4)  # half right
    assert tables.em.score[:, direct].tolist() == [0, 0, 0, 0]
    for i, topic in enumerate(tables.f1.queries.task):
        assert tables.em.score[i, at["summarise"]] == (topic == "film")
        assert tables.em.score[i, at["extractive"]] == (topic == "river")
    assert (tables.f1.prompt_tokens > 0).all()


async def test_a_step_that_says_nothing_leaves_the_step_before(pack: Path, url: str) -> None:
    def mute(request: Any) -> str:
        return "" if request.messages[-1].content.endswith('answer is "') else "Oslo"

    [item, *_] = load_items(pack)
    with TraceStore.open(url) as store:
        async with Runtime(
            make_pool(), client=ScriptedClient(mute), store=store, strategies=STRATEGIES
        ) as made:
            await record(made, store, [item])
        tables = load_tables(store, made.pool, [item])
    assert tables.f1.response is not None
    assert dict(zip(tables.f1.agents, tables.f1.response[0], strict=True))["summarise"] == "Oslo"


async def test_a_run_that_was_cut_off_is_no_answer(pack: Path, runtime: Runtime) -> None:
    items, pool = load_items(pack), runtime.pool
    await record(runtime, runtime.store, items[:2])
    late = items[2]
    for number, name in enumerate(pool.names):
        cut_off = RunRecord(
            run_id=f"{number:032x}", started_at=1.0, ended_at=2.0, status="cancelled", task_text="?",
            task_id=late.query_id, batch_id=batch_of(pool, name), tags={"query_id": late.query_id},
        )  # fmt: skip
        runtime.store.write(cut_off)
    runtime.store.flush()
    assert len(load_tables(runtime.store, pool, items)) == 2
    assert await record(runtime, runtime.store, items[:3]) == 6
    runtime.store.flush()
    assert len(load_tables(runtime.store, pool, items)) == 3


def test_an_empty_recording_says_so(pack: Path, url: str) -> None:
    with TraceStore.open(url) as store, pytest.raises(DataError, match="0 finished runs"):
        load_tables(store, make_pool(), load_items(pack))


def test_questions_without_gold_are_left_out_and_the_order_is_fixed(pack: Path) -> None:
    items = load_items(pack)
    assert [item.query_id for item in items] == [item.query_id for item in load_items(pack)]
    assert sorted(item.query_id for item in items) == [f"q{i:03}" for i in range(6)]


def test_any_beginning_of_the_order_is_a_fair_sample() -> None:
    items = [Item(f"{i:04}", "?", "[]", "g", "big" if i % 5 else "small", "train") for i in range(1000)]
    order = interleave(items)
    assert sorted(item.query_id for item in order) == [item.query_id for item in items]
    for n in (10, 100, 333):
        assert sum(item.dataset == "small" for item in order[:n]) == pytest.approx(n / 5, abs=1)
    positions = [int(item.query_id) for item in order[:100]]
    assert 400 < sum(positions) / 100 < 600  # not the first rows of the pack
