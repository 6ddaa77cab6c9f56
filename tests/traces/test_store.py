"""What is written comes back, whatever it holds, on both databases."""

from __future__ import annotations

import asyncio
import json
import math
import string
import threading
import uuid
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentnet.errors import StoreError
from agentnet.graphs.agent import content_hash
from agentnet.traces.records import (
    DecisionRecord,
    MessageRecord,
    OutcomeRecord,
    RunRecord,
    StepRecord,
    task_hash,
)
from agentnet.traces.store import TraceStore

Open = Callable[..., TraceStore]


def run_id() -> str:
    return uuid.uuid4().hex


def a_run(**fields: Any) -> RunRecord:
    values: dict[str, Any] = {"run_id": run_id(), "started_at": 1000.0, "status": "ok", "task_hash": "h"}
    return RunRecord(**{**values, **fields})


# Any text that UTF-8 can hold, without what is replaced on purpose: NUL, and anything like a secret.
TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=30)
NAME = st.text(string.ascii_letters + string.digits + "-_.:é漢", max_size=12)
MONEY = st.none() | st.decimals(min_value=0, max_value=10**12, allow_nan=False, allow_infinity=False)
COUNT = st.none() | st.integers(0, 2**62)
NUMBER = st.none() | st.floats(0, 1e12, allow_nan=False)
WHEN = st.floats(0, 4e9, allow_nan=False)
UNIT = st.floats(0, 1, allow_nan=False)
JSON_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e15, 1e15) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
OBJECT = st.dictionaries(TEXT, JSON_VALUE, max_size=3)
AGENTS = st.lists(st.fixed_dictionaries({"name": NAME, "description": TEXT}), max_size=3).map(tuple)
TURNS = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": TEXT}), max_size=3
).map(tuple)


@st.composite
def traces(draw: st.DrawFn) -> tuple[Any, ...]:
    run = run_id()
    pool = draw(AGENTS)
    runs = st.builds(
        RunRecord,
        run_id=st.just(run), started_at=WHEN, ended_at=st.none() | WHEN,
        status=st.sampled_from(["running", "ok", "abstained", "error", "cancelled", "limit"]),
        task_text=st.none() | TEXT, task_context=st.none() | TEXT, task_history=TURNS,
        task_hash=NAME.filter(bool), task_id=st.none() | NAME, session_id=st.none() | NAME,
        batch_id=st.none() | NAME, answer=st.none() | TEXT,
        pool=st.just(pool), pool_version=st.just(content_hash(list(pool)) if pool else ""),
        cost_usd=MONEY, prompt_tokens=COUNT, completion_tokens=COUNT, calls=st.integers(0, 10**6),
        latency_s=NUMBER, error=st.none() | TEXT, kind=st.sampled_from(["live", "replayed", "simulated"]),
        tags=OBJECT, gold=st.none() | TEXT, metric=st.none() | NAME, task_label=st.none() | NAME,
        split=st.none() | st.sampled_from(["train", "val", "test"]),
    )  # fmt: skip
    decisions = st.builds(
        DecisionRecord,
        run_id=st.just(run), turn=st.just(0), router=NAME, router_version=NAME, abstained=st.booleans(),
        graph=st.none() | OBJECT, candidates=st.lists(NAME, max_size=3).map(tuple), scores=OBJECT,
        calibration_id=st.none() | NAME, propensity=st.none() | UNIT, evidence=OBJECT, latency_s=NUMBER,
        router_cost_usd=MONEY,
    )  # fmt: skip
    steps = st.builds(
        StepRecord,
        run_id=st.just(run), seq=st.just(0), turn=st.integers(0, 9), round=st.integers(0, 9), node=NAME,
        agent=NAME, backend=st.none() | NAME, strategy=NAME, answer=st.none() | TEXT,
        score=st.none() | UNIT, skipped=st.booleans(), error=st.none() | TEXT, prompt_tokens=COUNT,
        completion_tokens=COUNT, cached_tokens=COUNT, calls=st.integers(0, 99), cost_usd=MONEY,
        cost_source=st.none() | NAME, started_at=st.none() | WHEN, latency_s=NUMBER,
    )  # fmt: skip
    messages = st.builds(
        MessageRecord, run_id=st.just(run), step_seq=st.just(0), seq=st.just(0), role=NAME,
        content=st.none() | TEXT,
    )  # fmt: skip
    outcomes = st.builds(
        OutcomeRecord, run_id=st.just(run), score=UNIT, judge=NAME, judged_at=WHEN,
        step_seq=st.none() | st.integers(0, 5), weight=st.floats(0, 100), note=st.none() | TEXT,
    )  # fmt: skip
    return tuple(draw(kind) for kind in (runs, decisions, steps, messages, outcomes))


@given(records=traces())
def test_records_come_back_equal(store: TraceStore, records: tuple[Any, ...]) -> None:
    run, decision, step, message, outcome = records
    store.write(*records)
    trace = store.run(run.run_id)
    assert trace.run == run
    assert trace.decisions == (decision,)
    assert trace.steps == (step,)
    assert trace.messages == (message,)
    assert trace.outcomes == (outcome,)


@pytest.mark.parametrize("cost", ["0.1", "1E-30", "123456789012345678901234.000000000000000001", "0", "0.10"])
def test_money_is_exact(store: TraceStore, cost: str) -> None:
    run = a_run(cost_usd=Decimal(cost))
    store.write(run)
    assert store.run(run.run_id).run.cost_usd == Decimal(cost)


def test_what_a_database_cannot_hold_is_replaced(store: TraceStore) -> None:
    tags = {"nan": math.nan, "text": "a\0b", "deep": [{"x": math.inf, "lone \udcff": Decimal("0.1")}]}
    run = a_run(task_text="nul \0 and \udcff", tags=tags)
    store.write(run)
    back = store.run(run.run_id).run
    assert back.task_text == "nul \ufffd and \ufffd"
    assert back.tags == {"nan": None, "text": "a\ufffdb", "deep": [{"x": None, "lone \ufffd": "0.1"}]}


def test_writing_again_replaces(open_store: Open) -> None:
    store = open_store(flush_s=0)
    start = a_run(status="running", task_text="q")
    end = replace(start, status="ok", ended_at=1001.0, answer="4")
    step = StepRecord(run_id=start.run_id, seq=0, agent="a")
    judged = OutcomeRecord(run_id=start.run_id, score=0.0, judge="human", judged_at=5.0)
    store.write(start, step)
    assert store.run(start.run_id).run.status == "running"
    for _ in range(2):
        store.write(end, replace(step, answer="4"), judged, replace(judged, score=1.0))
        store.flush()
    trace = store.run(start.run_id)
    assert trace.run.answer == "4" and trace.run.status == "ok"
    assert [step.answer for step in trace.steps] == ["4"]
    assert [outcome.score for outcome in trace.outcomes] == [1.0]


def test_a_start_and_an_end_in_one_batch(store: TraceStore) -> None:
    start = a_run(status="running")
    store.write(start, replace(start, status="ok"))
    assert store.run(start.run_id).run.status == "ok"


def test_several_late_judgements_of_run_and_step(store: TraceStore) -> None:
    run = a_run()
    store.write(run, StepRecord(run_id=run.run_id, seq=0, agent="a"))
    late = [
        OutcomeRecord(run_id=run.run_id, score=1.0, judge="verifier:x", judged_at=2.0),
        OutcomeRecord(run_id=run.run_id, score=0.0, judge="human", judged_at=3.0, weight=2.0, note="no"),
        OutcomeRecord(run_id=run.run_id, score=0.5, judge="human", judged_at=3.0, step_seq=0),
    ]
    store.add_outcomes(*late)
    assert set(store.run(run.run_id).outcomes) == set(late)
    numbered = store.outcomes_after(0)
    assert [number for number, _ in numbered] == sorted(number for number, _ in numbered)
    assert store.outcomes_after(numbered[0][0]) == numbered[1:]


def test_decisions_of_several_turns_and_roles(store: TraceStore) -> None:
    run = a_run()
    decisions = [
        DecisionRecord(run_id=run.run_id, turn=turn, role=role, router=router, router_version="1")
        for turn, role, router in [
            (0, "serving", "knn"), (0, "shadow", "amro_s"), (0, "shadow", "knn"), (1, "serving", "knn"),
        ]
    ]  # fmt: skip
    store.write(run, *decisions)
    assert set(map(repr, store.run(run.run_id).decisions)) == set(map(repr, decisions))


def test_runs_are_filtered_and_latest_first(store: TraceStore) -> None:
    runs = [
        a_run(started_at=float(i), batch_id=f"b{i % 2}", status="ok" if i < 4 else "error") for i in range(6)
    ]
    store.write(*runs, DecisionRecord(run_id=runs[2].run_id, router="knn", router_version="7"))
    ids = [run.run_id for run in runs]
    assert [run.run_id for run in store.runs(2)] == [ids[5], ids[4]]
    assert [run.run_id for run in store.runs(since=1, until=3)] == [ids[2], ids[1]]
    assert [run.run_id for run in store.runs(router="knn", router_version="7")] == [ids[2]]
    assert store.runs(router="knn", router_version="8") == []
    assert [run.run_id for run in store.runs(batch_id="b1", status="ok")] == [ids[3], ids[1]]
    assert [run.run_id for run in store.iter_runs()] == ids
    assert [trace.run.run_id for trace in store.iter_traces(status="error")] == ids[4:]


def test_traces_stream_whole_across_chunks(store: TraceStore) -> None:
    runs = [a_run(started_at=float(i)) for i in range(1201)]
    store.write(*runs, *(StepRecord(run_id=run.run_id, seq=seq, agent="a") for run in runs for seq in (1, 0)))
    seen = [(trace.run.started_at, [step.seq for step in trace.steps]) for trace in store.iter_traces()]
    assert seen == [(float(i), [0, 1]) for i in range(1201)]


def test_pools_are_stored_once_per_version(store: TraceStore) -> None:
    pool = ({"name": "a"}, {"name": "b", "options": {"n": 3}})
    runs = [a_run(pool=pool, pool_version="v1") for _ in range(3)]
    store.write(*runs)
    store.write(a_run(pool_version="v1"))
    assert store.pools() == {"v1": pool}
    assert all(run.pool == pool for run in store.runs())


def test_finished_tasks_of_a_batch(store: TraceStore) -> None:
    rows = [
        ("t1", "ok", 1.0),
        ("t1", "ok", 2.0),
        ("t2", "error", 1.0),
        ("t3", "abstained", 1.0),
        ("t4", "running", 1.0),
    ]
    runs = [a_run(batch_id="b", task_id=task, status=status, started_at=at) for task, status, at in rows]
    store.write(*runs, a_run(batch_id="other", task_id="t2"), a_run(batch_id="b"))
    assert store.finished("b") == {"t1": runs[1].run_id, "t3": runs[3].run_id}
    assert store.finished("b", statuses=["error"]) == {"t2": runs[2].run_id}
    assert store.finished("none") == {}


def test_stats_never_add_unknown_cost_as_zero(store: TraceStore) -> None:
    one = a_run(cost_usd=Decimal("0.1"), prompt_tokens=10, completion_tokens=1)
    two = a_run(cost_usd=Decimal("0.2"), status="error", error="boom")
    three = a_run(prompt_tokens=5)
    store.write(one, two, three)
    for run in (one, two):
        store.write(DecisionRecord(run_id=run.run_id, router="knn"))
    store.write(
        DecisionRecord(run_id=one.run_id, router="other", role="shadow"),
        StepRecord(run_id=one.run_id, seq=0, agent="a", cost_usd=Decimal("0.1")),
        StepRecord(run_id=one.run_id, seq=1, agent="a"),
        StepRecord(run_id=one.run_id, seq=2, agent="b", skipped=True),
        OutcomeRecord(run_id=one.run_id, score=1, judge="human", judged_at=1.0),
    )
    stats = store.stats()
    assert stats.runs.count == 3
    assert stats.runs.cost_usd == Decimal("0.3")  # floating point would give 0.30000000000000004
    assert stats.runs.cost_unknown == 1
    assert (stats.runs.prompt_tokens, stats.runs.errors, stats.judgements) == (15, 1, 1)
    assert stats.by_status == {"ok": 2, "error": 1}
    assert set(stats.by_agent) == {"a"}
    assert (stats.by_agent["a"].count, stats.by_agent["a"].cost_unknown) == (2, 1)
    assert {name: total.count for name, total in stats.by_router.items()} == {"knn": 2}
    assert store.stats(status="error").runs.count == 1
    assert store.stats(status="limit").runs.count == 0


def test_recover_marks_only_old_running_runs(store: TraceStore) -> None:
    old, new, done = a_run(status="running"), a_run(status="running", started_at=4e9), a_run()
    store.write(old, new, done)
    assert store.recover(older_than_s=60, batch_id="other") == 0
    assert store.recover(older_than_s=60) == 1
    assert store.run(old.run_id).run.error == "process died"
    assert store.run(new.run_id).run.status == "running"
    store.write(replace(old, status="ok"))  # it was alive after all
    assert store.run(old.run_id).run.status == "ok"


def test_purge_deletes_all_of_a_run(store: TraceStore) -> None:
    old, new = a_run(started_at=1.0), a_run(started_at=9.0)
    for run in (old, new):
        store.write(run, StepRecord(run_id=run.run_id, seq=0), DecisionRecord(run_id=run.run_id))
        store.write(OutcomeRecord(run_id=run.run_id, score=1, judge="human", judged_at=1.0))
        store.write(MessageRecord(run_id=run.run_id, step_seq=0, seq=0, role="user", content="x"))
    assert store.purge(before=5.0) == 1
    kept = store.run(new.run_id)
    assert len(kept.steps) == len(kept.outcomes) == len(kept.messages) == len(kept.decisions) == 1
    store.write(replace(old, status="ok"))
    trace = store.run(old.run_id)
    assert not (trace.steps or trace.outcomes or trace.messages or trace.decisions)


def test_an_unknown_run_is_a_clear_error(store: TraceStore) -> None:
    with pytest.raises(StoreError, match="no run 'x'"):
        store.run("x")


def test_a_run_is_found_by_the_start_of_its_id(store: TraceStore) -> None:
    store.write(a_run(run_id="abc1"), a_run(run_id="abc12"), a_run(run_id="xyz"), a_run(run_id="%_"))
    assert store.run("x").run.run_id == "xyz"
    assert store.run("abc1").run.run_id == "abc1"
    assert store.run("%").run.run_id == "%_"
    for wrong, says in [("ab", "several"), ("_", "no run"), ("", "no run")]:
        with pytest.raises(StoreError, match=says):
            store.run(wrong)


def test_plain_values_for_a_screen(store: TraceStore) -> None:
    run = a_run(cost_usd=Decimal("0.1"))
    store.write(run, StepRecord(run_id=run.run_id, seq=0, agent="a", cost_usd=Decimal("0.1")))
    store.write(DecisionRecord(run_id=run.run_id, router="knn", candidates=("a",)))
    store.write(DecisionRecord(run_id=run.run_id, router="new", role="shadow"))
    trace = json.loads(json.dumps(store.run(run.run_id).to_dict()))
    assert (trace["run"]["cost_usd"], trace["steps"][0]["agent"]) == ("0.1", "a")
    stats = json.loads(json.dumps(store.stats().to_dict()))
    assert stats["by_agent"]["a"]["cost_usd"] == "0.1"
    assert store.routers([run.run_id, "none"]) == {run.run_id: "knn"}


@pytest.mark.parametrize(
    "record",
    [
        OutcomeRecord(run_id="r", score=math.nan, judge="human", judged_at=1.0),
        OutcomeRecord(run_id="r", score=1.5, judge="human", judged_at=1.0),
        OutcomeRecord(run_id="r", score=1.0, judge="human", judged_at=1.0, weight=-1.0),
        RunRecord(run_id="", started_at=1.0),
        {"run_id": "r"},
    ],
)
def test_a_malformed_record_is_refused_at_once(store: TraceStore, record: Any) -> None:
    with pytest.raises(StoreError):
        store.write(record)


def test_a_record_that_cannot_be_stored_does_not_hold_up_others(store: TraceStore) -> None:
    good, huge, odd = a_run(), a_run(calls=2**70), a_run(tags={"x": object()})
    wrong = a_run(cost_usd=0.1)
    store.write(good, huge, odd, wrong, replace(good, run_id="0" * 32))
    with pytest.raises(StoreError, match="3 records cannot be stored") as caught:
        store.flush()
    for run in (huge, odd, wrong):
        assert run.run_id in str(caught.value)
    store.flush()  # said once
    assert {run.run_id for run in store.runs()} == {good.run_id, "0" * 32}


def test_equal_tasks_have_equal_hashes(store: TraceStore) -> None:
    run = a_run(task_hash="", task_text="q", task_history=({"role": "user", "content": "x"},))
    store.write(run)
    expected = task_hash("q", None, [{"role": "user", "content": "x"}])
    assert store.run(run.run_id).run.task_hash == expected
    assert (
        len(
            {
                expected,
                task_hash("q"),
                task_hash("q", "x"),
                task_hash("q", None, [{"role": "user", "content": "y"}]),
            }
        )
        == 4
    )


def test_many_threads_write(store: TraceStore) -> None:
    runs = [[a_run() for _ in range(50)] for _ in range(8)]
    threads = [threading.Thread(target=lambda mine=mine: [store.write(r) for r in mine]) for mine in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {run.run_id for run in store.runs(1000)} == {run.run_id for mine in runs for run in mine}


async def test_async_twins(open_store: Open, store_url: str) -> None:
    async with TraceStore.open(store_url, batch=1, queue=1) as store:
        runs = [a_run() for _ in range(20)]
        await asyncio.gather(*(store.awrite(run) for run in runs))
        await store.aflush()
    assert len(open_store().runs()) == 20
    with pytest.raises(StoreError, match="closed"):
        store.write(a_run())
