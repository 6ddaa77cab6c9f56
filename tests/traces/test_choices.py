"""Traces as a log of choices: what is counted, what is kept, and in how much memory."""

from __future__ import annotations

import numpy as np
import pytest

from agentnet.errors import DataError, StoreError
from agentnet.graphs.task_graph import TaskGraph
from agentnet.traces.choices import newest_pool, read_choices
from agentnet.traces.export import to_outcomes
from agentnet.traces.records import DecisionRecord, OutcomeRecord, RunRecord, StepRecord, task_hash
from agentnet.traces.sampling import Sample
from agentnet.traces.store import TraceStore


def put(
    store: TraceStore,
    number: int,
    agents: tuple[str, ...] = ("a",),
    *,
    text: str | None = None,
    scores: tuple[tuple[str, float, float, float], ...] = (("v", 1.0, 1.0, 1.0),),
    propensity: float | None = 0.5,
    status: str = "ok",
    **more: object,
) -> str:
    run_id, asked = f"{number:032x}", text or f"task {number}"
    store.write(
        RunRecord(
            run_id=run_id, started_at=1e9 + number, status=status, task_text=asked,  # type: ignore[arg-type]
            task_hash=task_hash(asked), pool_version="p", pool=({"name": "a"}, {"name": "b"}), **more,  # type: ignore[arg-type]
        ),
        DecisionRecord(
            run_id=run_id, router="r", router_version="1", graph=TaskGraph.of(list(agents)).to_dict(),
            propensity=propensity,
        ),
        *(StepRecord(run_id=run_id, seq=i, node=name, agent=name) for i, name in enumerate(agents)),
        *(
            OutcomeRecord(run_id=run_id, judge=judge, judged_at=when, score=score, weight=weight)
            for judge, when, score, weight in scores
        ),
    )  # fmt: skip
    return run_id


def test_a_log_holds_what_was_chosen_how_likely_and_what_came_of_it(store: TraceStore) -> None:
    put(store, 1, text="same", cost_usd=None)
    put(store, 2, ("b",), text="same", scores=(("v", 1.0, 0.0, 1.0), ("w", 1.0, 1.0, 3.0)), tags={"x": 1})
    put(store, 3, ("a", "b"), propensity=None)
    put(store, 4, scores=())
    log, seen = read_choices(store)
    assert (len(log), len(log.queries), len(log.plans)) == (3, 2, 3)
    assert log.score.tolist() == [1.0, 0.75, 1.0]
    np.testing.assert_array_equal(log.propensity, [0.5, 0.5, np.nan])
    assert log.agent.tolist() == [0, 1, -1]
    assert [tags.get("x") for tags in seen.tags] == [None, 1, None]
    assert (seen.decisions, seen.judged, seen.usable) == (4, 3, 2)
    assert (seen.agents["a"].runs, seen.agents["a"].judged) == (2, 1)
    assert seen.routers == {"r 1": 4}


def test_the_latest_judgement_of_a_judge_counts_however_it_comes(store: TraceStore) -> None:
    put(store, 1, scores=(("v", 9.0, 0.0, 1.0), ("v", 3.0, 1.0, 1.0)))
    log, _ = read_choices(store)
    assert log.score.tolist() == [0.0]


def test_the_step_of_an_agent_alone_speaks_for_the_run_and_of_one_among_others_does_not(
    store: TraceStore,
) -> None:
    alone, among = put(store, 1, scores=()), put(store, 2, ("a", "b"), scores=())
    for run_id in (alone, among):
        store.add_outcomes(OutcomeRecord(run_id=run_id, step_seq=0, score=0.25, judge="v", judged_at=1.0))
    log, _ = read_choices(store)
    assert log.score.tolist() == [0.25]


def test_shadows_growing_runs_and_runs_under_way_are_left_out(store: TraceStore) -> None:
    watched, grown = put(store, 1), put(store, 2)
    graph = TaskGraph.of(["b"]).to_dict()
    store.write(DecisionRecord(run_id=watched, router="s", role="shadow", graph=graph, propensity=1.0))
    store.write(DecisionRecord(run_id=grown, turn=1, router="r", graph=graph, propensity=1.0))
    put(store, 3, status="running")
    log, seen = read_choices(store)
    assert (len(log), seen.decisions) == (1, 1)
    assert log.plans == (TaskGraph.of(["a"]),)


def test_a_sample_is_kept_while_sums_are_over_all(store: TraceStore) -> None:
    for number in range(300):
        put(store, number, scores=(("v", 1.0, float(number % 2), 1.0),))
    log, seen = read_choices(store, most=50)
    assert (len(log), seen.kept, seen.decisions) == (50, 50, 300)
    assert seen.agents["a"].score == 150
    again, _ = read_choices(store, most=50)
    other, _ = read_choices(store, most=50, seed=1)
    assert log.fingerprint == again.fingerprint != other.fingerprint
    assert (np.diff(log.at) > 0).all()
    whole, _ = read_choices(store)
    assert set(log.at.tolist()) <= set(whole.at.tolist())


def test_pages_neither_repeat_nor_leave_out(store: TraceStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(25):
        put(store, number)
    store.flush()
    monkeypatch.setattr("agentnet.traces.choices._PAGE", 4)
    log, seen = read_choices(store)
    assert (len(log), seen.decisions) == (25, 25)


def test_the_table_of_a_log_is_that_of_its_traces(store: TraceStore) -> None:
    rng = np.random.default_rng(0)
    for number in range(60):
        put(
            store, number, ("ab"[int(rng.integers(2))],), text=f"task {number % 20}",
            scores=(("v", 1.0, float(rng.random() < 0.5), 1.0),),
        )  # fmt: skip
    table, logged = to_outcomes(store, runs=False), read_choices(store)[0].to_outcomes()
    assert logged.queries.query_id.tolist() == table.queries.query_id.tolist()
    assert logged.queries.split.tolist() == table.queries.split.tolist()
    for name in ("score", "propensity", "weight", "cost"):
        np.testing.assert_allclose(
            getattr(logged.for_pool(table.pool), name), getattr(table, name), rtol=1e-6
        )


def test_kinds_are_never_mixed_and_live_runs_come_first(store: TraceStore) -> None:
    put(store, 1, kind="simulated")
    put(store, 2, kind="live")
    assert read_choices(store)[0].at.tolist() == [1e9 + 2]
    assert read_choices(store, kind="simulated")[0].at.tolist() == [1e9 + 1]


def test_nothing_judged_says_what_to_do(store: TraceStore) -> None:
    put(store, 1, scores=())
    with pytest.raises(DataError, match="agentnet traces score"):
        read_choices(store)
    with pytest.raises(StoreError, match="there is no trace database"):
        read_choices("sqlite:////nowhere/traces.db")


def test_the_newest_pool_is_that_of_the_latest_run(store: TraceStore) -> None:
    assert newest_pool(store) is None
    put(store, 1)
    store.write(
        RunRecord(
            run_id="f" * 32,
            started_at=2e9,
            status="ok",
            task_text="x",
            pool_version="q",
            pool=({"name": "c"},),
        )
    )
    store.flush()
    found = newest_pool(store)
    assert found is not None
    assert found.names == ("c",)


def test_a_sample_does_not_depend_on_the_order() -> None:
    keys = [str(i) for i in range(1000)]
    one, two = Sample[str](30), Sample[str](30)
    for key in keys:
        one.add(key, key)
    for key in reversed(keys):
        two.add(key, key)
    assert sorted(one) == sorted(two)
    assert len(one) == 30
