"""The learner with a store: verdicts, one shared state, and what is taken up after a crash."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentnet import Agent, Edge, Node, Pool, RunResult, Runtime, StopCondition, TaskGraph, TraceStore
from agentnet.errors import RouterError, StoreError
from agentnet.learning.learner import GatedLearner
from agentnet.learning.samples import from_result, from_trace, sampled
from agentnet.routers.decision import Decision
from agentnet.traces.records import DecisionRecord, OutcomeRecord, RunRecord
from agentnet.traces.shared_state import SharedState

from .doubles import CountingRouter, Script, run

POOL = Pool([Agent(name="a", call=lambda text: text.split()[-1])])
"""Answers with the task's last word: "q1 good" is a good run, "q2 bad" a bad one."""


@pytest.fixture
def store(store_url: str) -> Iterator[TraceStore]:
    with TraceStore.open(store_url) as opened:
        yield opened


def learner(store: TraceStore, router: CountingRouter, judge: Any = None, **settings: Any) -> GatedLearner:
    settings = {"rate": 1.0, "every_s": 3600.0, **settings}
    return GatedLearner(router, judge or Script(), store=store, **settings)


def serve(store: TraceStore, *texts: str, **settings: Any) -> list[RunResult]:
    """Serves tasks in a process that learns nothing: as one that died before it came to it."""
    with Runtime(POOL, CountingRouter(), store=store, **settings) as runtime:
        results = [runtime.run(text) for text in texts]
    store.flush()
    return results


# -- verdicts and the state ----------------------------------------------------------------------
def test_every_verdict_is_stored_rejections_too(store: TraceStore) -> None:
    router = CountingRouter()
    with learner(store, router) as taught, Runtime(POOL, router, store=store, observers=[taught]) as runtime:
        good, bad, unread = (runtime.run(text) for text in ("q1 good", "q2 bad", "q3 unreadable"))
        taught.drain()
        assert taught.stats().shared_version == 1
    for result, scores in ((good, [1.0]), (bad, [0.0]), (unread, [])):
        outcomes = store.run(result.run_id).outcomes
        assert [outcome.score for outcome in outcomes] == scores
        assert {outcome.judge for outcome in outcomes} <= {"verifier:script"}
    assert router.counts == {"q1 good": 1}


def test_the_next_learner_starts_where_the_last_one_stopped(store: TraceStore) -> None:
    one, two, other = CountingRouter(), CountingRouter(), CountingRouter()
    with learner(store, one, batch=2) as taught:
        for i in range(5):
            taught.offer(run(f"q{i}"))
    with learner(store, two) as taught:
        assert two.state == one.state and two.snapshot_number == 3
        assert taught.stats().shared_version == 3
    with learner(store, other, name="another"):
        assert other.counts == {}


def test_a_run_offered_twice_is_learned_once(store: TraceStore) -> None:
    router = CountingRouter()
    with learner(store, router, batch=1) as taught:
        for _ in range(3):
            taught.offer(run("q"))
        taught.drain()
        assert (taught.stats().judged, taught.stats().learned) == (3, 1)
    assert router.counts == {"q": 1}


def test_two_learners_share_one_state(store: TraceStore) -> None:
    one, two, served = CountingRouter(), CountingRouter(), CountingRouter()
    follower = GatedLearner(served, None, store=store, rate=0.0, every_s=3600.0)
    with learner(store, one, batch=1) as first, learner(store, two, batch=1) as second, follower:
        assert not second.refresh()
        for i in range(10):
            taught = (first, second)[i % 2]
            taught.offer(run(f"q{i}"))
            taught.drain()
        assert (one.snapshot_number, two.snapshot_number) == (9, 10), "the last to learn is ahead"
        assert first.refresh() and not first.refresh()
        assert one.state == two.state
        assert served.counts == {} and follower.refresh() and served.state == one.state
    assert one.counts == {f"q{i}": 1 for i in range(10)}


def test_a_follower_adopts_by_itself(store: TraceStore) -> None:
    one, two = CountingRouter(), CountingRouter()
    with GatedLearner(two, None, store=store, rate=0.0, every_s=0.01):
        with learner(store, one) as taught:
            taught.offer(run("q"))
        deadline = time.monotonic() + 30
        while not two.counts and time.monotonic() < deadline:
            time.sleep(0.005)
    assert two.counts == {"q": 1}


def test_a_state_of_another_router_is_refused_at_the_start(store: TraceStore) -> None:
    SharedState(store, "colony").apply({"k": 1}, lambda payload, items: b"something else")
    with pytest.raises(RouterError, match="no state of a counting router"):
        learner(store, CountingRouter())


def test_evidence_the_router_cannot_use_teaches_nothing_and_does_not_come_again(store: TraceStore) -> None:
    strange = Decision(
        graph=TaskGraph.of(["a"]), candidates=("a",), raw=[0], calibrated=[0], cost=[0], propensity=1.0,
        router="counting", version="1",
    )  # fmt: skip
    router, judge = CountingRouter(), Script()
    with learner(store, router, judge) as taught:
        taught.offer(run("q", decisions=(strange,)))
        taught.drain()
        assert (taught.stats().accepted, taught.stats().learned, taught.stats().errors) == (1, 0, 0)
        taught.offer(run("q2"))
        taught.drain()
    assert (router.counts, router.snapshot_number) == ({"q2": 1}, 1)


# -- a store that fails --------------------------------------------------------------------------
def test_a_store_that_fails_loses_and_doubles_nothing(tmp_path: Path) -> None:
    file = tmp_path / "t.db"
    router = CountingRouter()
    with TraceStore.open(file, busy_timeout_s=0.01) as store, learner(store, router, batch=2) as taught:
        taught.offer(run("q0"))
        taught.drain()
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        taught.offer(run("q1"))
        taught.offer(run("q2"))
        with pytest.raises(StoreError, match="lock"):
            taught.drain()
        assert router.counts == {"q0": 1}, "what is not committed is not served"
        assert taught.stats().errors >= 1 and taught.stats().waiting == 2
        other.execute("ROLLBACK")
        other.close()
        taught.drain()
        assert router.counts == {"q0": 1, "q1": 1, "q2": 1}
    assert len(router.batches) >= 2


def test_a_change_that_breaks_after_learning_is_forgotten(store: TraceStore) -> None:
    """The copy had learned when it broke; the next try starts from what is stored."""
    router = CountingRouter()
    with learner(store, router, batch=2) as taught:
        for i in (1, 2):  # at first there is no stored state
            taught.pause()
            taught.offer(run(f"q{i}a"))
            taught.offer(run(f"q{i}b"))
            with _Refusing(store), pytest.raises(StoreError, match="not now"):
                taught.drain()
            assert len(router.batches) >= 1 and f"q{i}a" not in router.counts
            taught.drain()
    assert router.counts == {"q1a": 1, "q1b": 1, "q2a": 1, "q2b": 1}


class _Refusing:
    """Makes the database refuse keys, the last thing of a change."""

    def __init__(self, store: TraceStore) -> None:
        self._store = store
        if store.engine.dialect.name == "sqlite":
            body = "BEFORE INSERT ON applied_keys BEGIN SELECT RAISE(ABORT, 'not now'); END"
            self._make, self._drop = [f"CREATE TRIGGER refuse {body}"], "DROP TRIGGER refuse"
        else:
            function = "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
            self._make = [
                function + "$$ BEGIN RAISE EXCEPTION 'not now'; END $$",
                "CREATE TRIGGER refuse BEFORE INSERT ON applied_keys EXECUTE FUNCTION refuse()",
            ]
            self._drop = "DROP TRIGGER refuse ON applied_keys"

    def _execute(self, *statements: str) -> None:
        with self._store.engine.connect().execution_options(writes=True) as connection, connection.begin():
            for statement in statements:
                connection.exec_driver_sql(statement)

    def __enter__(self) -> None:
        self._execute(*self._make)

    def __exit__(self, *_: object) -> None:
        self._execute(self._drop)


# -- taking up -----------------------------------------------------------------------------------
@pytest.mark.parametrize("tell", [True, False])
def test_runs_without_a_verdict_are_judged_and_learned_at_the_next_start(
    store: TraceStore, tell: bool
) -> None:
    results = serve(store, "q1 good", "q2 bad", "q3 good")
    router, judge = CountingRouter(), Script()
    with learner(store, router, judge, tell_rejected=tell) as taught:
        taught.drain()
        assert (taught.stats().recovered, taught.stats().offered) == (3, 0)
    assert len(router.batches[0]) == 2 + tell
    assert router.counts == {"q1 good": 1, "q3 good": 1}
    assert [store.run(result.run_id).outcomes[0].score for result in results] == [1.0, 0.0, 1.0]
    again, silent = CountingRouter(), Script()
    with learner(store, again, silent, tell_rejected=tell) as taught:
        taught.drain()
        assert taught.stats().recovered == 0
    assert (again.counts, silent.seen) == (router.counts, []), "nothing is judged or learned twice"


def test_stored_verdicts_are_used_and_only_those_of_this_judge(store: TraceStore) -> None:
    accepted, rejected, elsewhere = serve(store, "q1 bad", "q2 good", "q3 bad")

    def verdict(result: RunResult, score: float, judge: str) -> OutcomeRecord:
        return OutcomeRecord(run_id=result.run_id, score=score, judge=judge, judged_at=time.time())

    store.add_outcomes(
        verdict(accepted, 1.0, "verifier:script"),
        verdict(rejected, 0.0, "verifier:script"),
        verdict(elsewhere, 1.0, "human"),
    )
    router, judge = CountingRouter(), Script()
    with learner(store, router, judge) as taught:
        taught.drain()
    assert router.counts == {"q1 bad": 1}, "accepted once, so learned, whatever the judge would say now"
    assert judge.seen == ["q3 bad"]


def test_an_unreadable_verdict_is_not_asked_for_again(store: TraceStore) -> None:
    serve(store, "q1 unreadable", "q2 raise")
    for asked in (["q1 unreadable", "q2 raise"], ["q2 raise"]):
        judge = Script()
        with learner(store, CountingRouter(), judge) as taught:
            taught.drain()
        assert judge.seen == asked, "a judge that failed is asked again, one that cannot tell is not"


def test_only_sampled_runs_of_this_router_in_the_window_are_taken_up(store: TraceStore) -> None:
    results = serve(store, *(f"q{i} good" for i in range(60)))
    now = time.time()
    graph = TaskGraph.of(["a"]).to_dict()

    def record(run_id: str, age: float, router: str = "counting", status: Any = "ok") -> None:
        text = f"{run_id} good"
        store.write(
            RunRecord(run_id=run_id, started_at=now - age, status=status, task_text=text, answer="good"),
            DecisionRecord(run_id=run_id, router=router, graph=graph, evidence={"task": text}),
        )

    record("old", 500.0)
    record("recent", 50.0)
    record("other", 1.0, router="knn")
    record("failed", 1.0, status="error")
    router = CountingRouter()
    with learner(store, router, recover_s=100.0) as taught:
        taught.drain()
    assert set(router.counts) == {f"q{i} good" for i in range(60)} | {"recent good"}

    expected = {r.task.text for r in results if sampled(r.run_id, rate=0.3)}
    if sampled("recent", rate=0.3):
        expected.add("recent good")
    part = CountingRouter()
    with learner(store, part, name="part", rate=0.3, recover_s=100.0) as taught:
        taught.drain()
        assert set(part.counts) == expected and 0 < len(expected) < 50
        for result in results:
            taught.offer(result)
        taught.drain()
    assert part.counts == dict.fromkeys(expected, 1), "live, the same runs are sampled, and learned already"
    none = CountingRouter()
    with learner(store, none, name="none", recover_s=0.0) as taught:
        taught.drain()
    assert none.counts == {}


def test_more_runs_than_a_page_are_taken_up_whole(store: TraceStore) -> None:
    graph = TaskGraph.of(["a"]).to_dict()
    now = time.time()
    for i in range(1203):  # many that started at the very same moment, so that pages end among them
        run_id, text = f"{i:032x}", f"q{i} good"
        store.write(
            RunRecord(
                run_id=run_id, started_at=now - 10 + i // 700, status="ok", task_text=text, answer="good"
            ),
            DecisionRecord(run_id=run_id, router="counting", graph=graph, evidence={"task": text}),
        )
    router = CountingRouter()
    with learner(store, router, batch=100) as taught:
        taught.drain()
        assert taught.stats().recovered == 1203
    assert router.counts == {f"q{i} good": 1 for i in range(1203)}


def test_traces_come_in_the_order_asked_and_strangers_are_left_out(store: TraceStore) -> None:
    one, two = (result.run_id for result in serve(store, "q1 good", "q2 bad"))
    traces = store.traces([two, "nobody", one])
    assert [trace.run.run_id for trace in traces] == [two, one]
    assert traces[0] == replace(store.run(two), messages=())
    assert store.traces([]) == []


def test_close_leaves_to_the_next_learner_what_it_has_not_taken_up(store: TraceStore) -> None:
    serve(store, *(f"q{i} good" for i in range(30)))
    router = CountingRouter()
    taught = learner(store, router, batch=1)
    taught.pause()
    taught.offer(run("live"))
    taught.close()
    assert router.counts["live"] == 1, "what was offered is learned"
    again = CountingRouter()
    with learner(store, again, concurrency=1) as taught:
        taught.drain()
    assert again.counts == {"live": 1, **{f"q{i} good": 1 for i in range(30)}}


def test_without_captured_texts_nothing_can_be_taken_up_and_nothing_breaks(store_url: str) -> None:
    with TraceStore.open(store_url, capture="off") as store:
        serve(store, "q1 good")
        with learner(store, CountingRouter()) as taught:
            taught.drain()
            assert (taught.stats().recovered, taught.stats().errors) == (0, 0)


def test_a_store_that_cannot_be_searched_is_an_error_told_and_counted(
    store: TraceStore, caplog: pytest.LogCaptureFixture
) -> None:
    with store.engine.connect().execution_options(writes=True) as connection, connection.begin():
        connection.exec_driver_sql("DROP TABLE applied_keys")
    with learner(store, CountingRouter()) as taught:
        taught.drain()
        assert taught.stats().errors == 1
    assert "could not all be taken up" in caplog.text


# -- live and from the trace ---------------------------------------------------------------------
class FixedRouter(CountingRouter):
    """Serves one graph in which a node is skipped."""

    graph = TaskGraph(
        nodes=(Node("n1", "a"), Node("n2", "a")),
        edges=(Edge("n1", "n2", stop=StopCondition("answered")),),
        outputs=("n1", "n2"),
    )

    def _decide(self, tasks: Any, pool: Pool, scores: Any, options: Any, **_: Any) -> list[Decision]:
        decisions = super()._decide(tasks, pool, scores, options)
        for decision in decisions:
            decision._graph = self.graph
        return decisions


def test_a_run_read_back_teaches_what_it_taught_live(store: TraceStore) -> None:
    with Runtime(POOL, FixedRouter(), store=store) as runtime:
        result = runtime.run("q1 good")
    live = from_result(result)
    stored = from_trace(store.run(result.run_id), "counting")
    assert stored is not None
    assert (stored.run_id, stored.task, stored.answer) == (live.run_id, live.task, live.answer)
    assert stored.served(1.0) == live.served(1.0)
    assert live.served(1.0).ran == ("n1",), "the second node was skipped"
    assert live.served(1.0).cost is None, "a function's cost is unknown, and not zero"
    assert from_trace(store.run(result.run_id), "knn") is None
