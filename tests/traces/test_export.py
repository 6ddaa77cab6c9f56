"""Traces become outcomes and packs, and packs become traces, without loss."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentnet.errors import DataError, StoreError
from agentnet.graphs.agent import Agent
from agentnet.graphs.live import Step
from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Message
from agentnet.graphs.task_graph import Edge, Node, StopCondition, TaskGraph
from agentnet.outcomes.packs import load_outcomes, save_pack
from agentnet.outcomes.splits import hash_split
from agentnet.outcomes.table import LoggedRun, Outcomes, Queries
from agentnet.traces.export import export_pack, import_pack, to_outcomes
from agentnet.traces.records import DecisionRecord, OutcomeRecord, RunRecord, StepRecord
from agentnet.traces.store import TraceStore

POOL = Pool([Agent(name="a", price_in_per_mtok=Decimal("0.1")), Agent(name="b"), Agent(name="c")])


def served(
    store: TraceStore, name: str, graph: TaskGraph, *, text: str = "q", propensity: float | None = 1.0,
    ran: tuple[str, ...] | None = None, **run: Any,
) -> str:  # fmt: skip
    """Writes a run of a graph as the runtime would."""
    values: dict[str, Any] = {
        "started_at": 1.0, "status": "ok", "pool": tuple(POOL.to_list()), "pool_version": POOL.version,
        "cost_usd": Decimal("0.5"), "prompt_tokens": 3, "completion_tokens": 4, "latency_s": 2.0,
    }  # fmt: skip
    store.write(RunRecord(run_id=name, task_text=text, **{**values, **run}))
    store.write(DecisionRecord(run_id=name, router="knn", graph=graph.to_dict(), propensity=propensity))
    for seq, node in enumerate(graph.nodes):
        skipped = ran is not None and node.id not in ran
        store.write(
            StepRecord(
                run_id=name, seq=seq, node=node.id, agent=node.agent, skipped=skipped,
                answer=None if skipped else f"{node.agent}!",
                cost_usd=None if skipped else Decimal("0.25"), prompt_tokens=None if skipped else 10,
            )
        )  # fmt: skip
    return name


def judge(store: TraceStore, run: str, score: float, **fields: Any) -> None:
    values: dict[str, Any] = {"judge": "human", "judged_at": 1.0}
    store.write(OutcomeRecord(run_id=run, score=score, **{**values, **fields}))


def test_a_judged_run_of_one_agent(store: TraceStore) -> None:
    judge(store, served(store, "r", TaskGraph.of(["b"]), propensity=0.25, task_label="math", gold="4"), 0.5)
    table = to_outcomes(store)
    assert table.agents == ("a", "b", "c")
    assert table.pool["a"].price_in_per_mtok == Decimal("0.1")
    np.testing.assert_array_equal(table.score, [[math.nan, 0.5, math.nan]])
    np.testing.assert_array_equal(table.propensity, [[math.nan, 0.25, math.nan]])
    np.testing.assert_array_equal(table.cost, [[math.nan, 0.25, math.nan]])
    assert np.isnan(table.completion_tokens).all() and table.prompt_tokens[0, 1] == 10
    assert table.response is not None and table.response[0].tolist() == [None, "b!", None]
    assert table.queries.text == ("q",) and table.queries.gold == ("4",) and table.queries.task == ("math",)
    assert table.queries.split.tolist() == hash_split(["q"]).tolist()
    (run,) = table.runs
    assert (run.score, run.propensity, run.cost_usd, run.tokens, run.router) == (0.5, 0.25, 0.5, 7, "knn")
    assert run.graph == TaskGraph.of(["b"]) and run.steps[0].answer == "b!"


def test_a_judged_run_of_several_agents_is_nobodys_score(store: TraceStore) -> None:
    run = served(store, "r", TaskGraph.of(["a", "b"]))
    judge(store, run, 1.0)
    judge(store, run, 0.25, step_seq=1)
    table = to_outcomes(store)
    np.testing.assert_array_equal(table.score, [[math.nan, 0.25, math.nan]])
    assert table.runs[0].score == 1.0
    np.testing.assert_array_equal(table.propensity, [[1, 1, math.nan]])


def test_one_of_several_sampled_agents_has_no_propensity(store: TraceStore) -> None:
    served(store, "r", TaskGraph.of(["a", "b"]), propensity=0.5)
    assert np.isnan(to_outcomes(store).propensity).all()


def test_an_agent_behind_a_stop_condition_has_no_propensity(store: TraceStore) -> None:
    stop = Edge("a", "b", carries=False, stop=StopCondition("answered"))
    graph = TaskGraph(nodes=(Node("a", "a"), Node("b", "b"), Node("c", "c")), edges=(stop, Edge("b", "c")))
    served(store, "r", graph, ran=("a", "b", "c"))
    np.testing.assert_array_equal(to_outcomes(store).propensity, [[1, math.nan, math.nan]])
    judge(store, served(store, "s", graph, text="q2", ran=("a",)), 1.0)
    table = to_outcomes(store)
    assert table.score[1, 0] == 1.0, "only a ran, so the run's score is a's"
    assert np.isnan(table.cost[1, 1]) and [step.skipped for step in table.runs[1].steps] == [
        False,
        True,
        True,
    ]


def test_a_routers_own_propensities_count(store: TraceStore) -> None:
    run = served(store, "r", TaskGraph.of(["a", "b"]), propensity=0.5)
    scores = {"a": {"raw": 1.0, "propensity": 0.75}, "b": {"raw": 1.0, "propensity": None}}
    store.write(DecisionRecord(run_id=run, router="knn", graph=None, propensity=0.5, scores=scores))
    np.testing.assert_allclose(to_outcomes(store).propensity, [[0.75, math.nan, math.nan]])


def test_unknown_propensity_and_shadow_decisions(store: TraceStore) -> None:
    run = served(store, "r", TaskGraph.of(["a"]), propensity=None)
    shadow = TaskGraph.of(["a"]).to_dict()
    store.write(DecisionRecord(run_id=run, router="new", role="shadow", graph=shadow, propensity=1.0))
    table = to_outcomes(store)
    assert np.isnan(table.propensity).all()
    assert [run.router for run in table.runs] == ["knn"]


def test_judgements_are_weighted_and_the_latest_of_a_judge_counts(store: TraceStore) -> None:
    run = served(store, "r", TaskGraph.of(["a"]))
    judge(store, run, 0.0, judged_at=1.0)
    judge(store, run, 1.0, judged_at=2.0, weight=3.0)
    judge(store, run, 0.5, judged_at=1.5, judge="judge:m", weight=1.0)
    judge(store, run, 0.0, judged_at=9.0, judge="ignored", weight=0.0)
    table = to_outcomes(store)
    assert table.score[0, 0] == pytest.approx((3 * 1.0 + 0.5) / 4)
    assert table.weight[0, 0] == pytest.approx((3 + 1 + 0) / 3)


def test_runs_of_an_equal_task_are_one_query(store: TraceStore) -> None:
    for name, score, agent in [("r", 1.0, "a"), ("s", 0.0, "a"), ("t", 1.0, "b")]:
        judge(store, served(store, name, TaskGraph.of([agent]), propensity=0.5), score)
    judge(store, served(store, "u", TaskGraph.of(["a"]), task_context="other"), 1.0)
    table = to_outcomes(store)
    np.testing.assert_array_equal(table.score, [[0.5, 1, math.nan], [1, math.nan, math.nan]])
    assert len(table.runs) == 4
    assert table.queries.context == (None, "other")


def test_kinds_are_never_mixed(store: TraceStore) -> None:
    served(store, "live", TaskGraph.of(["a"]), text="live")
    served(store, "old", TaskGraph.of(["b"]), text="old", kind="replayed")
    assert to_outcomes(store).queries.text == ("live",)
    assert to_outcomes(store, kind="replayed").queries.text == ("old",)


def test_runs_that_go_on_or_have_no_text_are_left_out(store: TraceStore) -> None:
    served(store, "r", TaskGraph.of(["a"]), status="running")
    with pytest.raises(DataError, match="0 finished runs"):
        to_outcomes(store)
    store.write(RunRecord(run_id="x", started_at=1.0, status="ok", task_hash="h"))
    with pytest.raises(DataError, match="not captured"):
        to_outcomes(store)


def test_by_address(store: TraceStore, store_url: str, tmp_path: Path) -> None:
    judge(store, served(store, "r", TaskGraph.of(["a"])), 1.0)
    store.flush()
    assert load_outcomes(store_url).fingerprint == to_outcomes(store).fingerprint
    with pytest.raises(StoreError, match="no trace database"):
        to_outcomes(f"sqlite:///{tmp_path / 'none.db'}")


def _pack(seed: int = 0) -> Outcomes:
    """A pack with gaps: unknown costs, an agent that was not run, text, history, runs."""
    rng = np.random.default_rng(seed)
    n = 30
    queries = Queries(
        query_id=np.array([f"mine-{i:03d}" for i in range(n)]),
        text=tuple(f"question {i}?" for i in range(n)),
        split=np.array(["train", "val", "test"] * 10),
        context=tuple(None if i % 3 else f"context {i}" for i in range(n)),
        history=tuple((Message("user", "before"),) if i % 5 == 0 else () for i in range(n)),
        task=tuple(f"t{i % 2}" for i in range(n)),
        gold=tuple(None if i % 7 == 0 else str(i) for i in range(n)),
        metric=("exact_match",) * n,
    )
    shape = (n, len(POOL))
    score = rng.integers(0, 5, shape).astype(np.float32) / 4
    score[rng.random(shape) < 0.3] = np.nan
    cost = rng.random(shape) / 1000
    cost[rng.random(shape) < 0.3] = np.nan
    response = np.full(shape, None, object)
    response[0, 0] = "an answer"
    steps = (Step(node="a", agent="a", answer="x", cost=Decimal("0.1"), latency_s=0.5, score=0.25),)
    run = LoggedRun(
        query_id="mine-001", graph=TaskGraph.of(["a"]), score=0.5, steps=steps, propensity=0.5, cost_usd=0.1,
        tokens=12, latency_s=0.75, router="knn",
    )  # fmt: skip
    return Outcomes(
        queries=queries, pool=POOL, score=score, cost=cost, response=response, runs=(run,),
        latency_s=rng.random(shape).astype(np.float32),
        propensity=np.where(rng.random(shape) < 0.5, 0.5, np.nan).astype(np.float32),
        weight=np.where(np.isnan(score), 1, 0.5).astype(np.float32),
        prompt_tokens=np.floor(rng.random(shape) * 100),
    )  # fmt: skip


def _same(one: Outcomes, two: Outcomes) -> None:
    assert one.fingerprint == two.fingerprint
    assert one.pool == two.pool and one.kind == two.kind
    for name in ("text", "context", "history", "task", "gold", "metric"):
        assert getattr(one.queries, name) == getattr(two.queries, name), name
    for name in ("latency_s", "propensity", "weight", "prompt_tokens", "completion_tokens"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name), err_msg=name)
    assert (one.response is None) == (two.response is None)
    if one.response is not None and two.response is not None:
        assert one.response.tolist() == two.response.tolist()
    assert one.runs == two.runs


def test_a_pack_goes_through_a_store_without_loss(
    open_store: Callable[..., TraceStore], tmp_path: Path
) -> None:
    store = open_store()
    save_pack(_pack(), tmp_path / "mine")
    original = load_outcomes(tmp_path / "mine")
    assert import_pack(tmp_path / "mine", store) == 31
    assert import_pack(tmp_path / "mine", store) == 31, "again changes nothing"
    assert store.stats().runs.count == 31
    _same(to_outcomes(store), original)
    export_pack(store, tmp_path / "again")
    _same(load_outcomes(tmp_path / "again"), original)


def test_a_label_pack_goes_through_a_store(store: TraceStore, tmp_path: Path) -> None:
    queries = Queries(
        query_id=np.array(["1", "2"]), text=("hi", "ho"), split=np.array(["train", "test"]),
        gold=("b", "oos"), metric=("label", "label"),
    )  # fmt: skip
    save_pack(Outcomes.from_labels(queries, POOL), tmp_path / "labels")
    original = load_outcomes(tmp_path / "labels")
    import_pack(tmp_path / "labels", store)
    table = to_outcomes(store)
    _same(table, original)
    assert table.kind == "label" and table.score.tolist() == [[0, 1, 0], [0, 0, 0]]


def test_a_users_own_log_goes_through_a_pack(store: TraceStore, tmp_path: Path) -> None:
    for i in range(5):
        judge(store, served(store, f"r{i}", TaskGraph.of(["ab"[i % 2]]), text=f"q{i}", propensity=0.5), i / 4)
    exported = export_pack(store, tmp_path / "pack")
    _same(load_outcomes(tmp_path / "pack"), exported)


def test_import_needs_texts(tmp_path: Path) -> None:
    save_pack(_pack(), tmp_path / "mine")
    with (
        TraceStore.open(tmp_path / "x.db", capture="off") as store,
        pytest.raises(StoreError, match="capture off"),
    ):
        import_pack(tmp_path / "mine", store)


@pytest.mark.pack
@pytest.mark.parametrize("name", ["zeroeval", "ulab9"])
def test_a_public_pack_goes_through_a_store(data_dir: Path, tmp_path: Path, name: str) -> None:
    original = load_outcomes(data_dir / name)
    with TraceStore.open(tmp_path / "x.db") as store:
        import_pack(data_dir / name, store)
        table = to_outcomes(store)
    np.testing.assert_array_equal(table.score, original.score)
    np.testing.assert_array_equal(table.cost, original.cost)
    assert table.queries.query_id.tolist() == original.queries.query_id.tolist()
    assert table.agents == original.agents
