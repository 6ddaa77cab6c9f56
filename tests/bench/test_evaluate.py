from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from agentnet.bench.evaluate import evaluate
from agentnet.errors import DataError, RouterError
from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.outcomes.encoders import CachedEncoder, HashingEncoder
from agentnet.outcomes.table import Outcomes
from agentnet.routers.base import RouteOptions, Router
from agentnet.routers.registry import make_router

KEYS = {
    "schema_version", "router", "router_version", "command", "seed", "split", "cost_weight", "n", "score",
    "score_ci", "cost_usd", "best_single", "oracle", "gap_closed", "selection", "entropy",
    "calibration_error", "latency_ms", "latency_encoded_ms", "replay", "per_query",
}  # fmt: skip
LABEL_KEYS = {"hit", "exact_set", "set_size", "oos_recall", "false_alarms", "abstained"}
ROW_KEYS = {
    "query_id", "agents", "weights", "stopped_after", "answer_from", "abstained", "score", "cost_usd",
}  # fmt: skip


def fitted(name: str, outcomes: Outcomes, **settings: Any) -> Router:
    if name in ("knn", "kmeans", "task_best"):
        settings.setdefault("encoder", "hash:128")
    router = make_router(name, **settings)
    router.fit(outcomes, outcomes.pool, seed=0)
    return router


def blank(outcomes: Outcomes, split: str) -> Outcomes:
    """The rows of a split with everything gone that a router must not see."""
    rows = outcomes.split(split)
    n = len(rows)
    queries = replace(
        rows.queries,
        query_id=np.array([f"blank{i}" for i in range(n)]),
        split=np.array(["train"] * n),
        task=("",) * n,
        gold=(None,) * n,
        metric=("",) * n,
    )
    zeros = np.zeros_like(rows.score)
    return replace(
        rows, queries=queries, score=zeros, cost=np.full(zeros.shape, np.nan), response=None, kind="outcomes"
    )


@pytest.mark.parametrize("name", ["random", "best_single", "knn", "kmeans", "task_best", "cascade", "vote"])
def test_decisions_do_not_depend_on_what_only_the_scorer_may_see(table: Outcomes, name: str) -> None:
    router = fitted(name, table)
    seen = evaluate(router, table, split="test", time_decisions=False)
    unseen = evaluate(router, blank(table, "test"), split="all", time_decisions=False)
    assert [row.chosen for row in seen.rows] == [row.chosen for row in unseen.rows]
    assert [row.predicted for row in seen.rows] == [row.predicted for row in unseen.rows]
    assert unseen.score == 0 and seen.score > 0.3


def test_the_json_has_the_keys_and_types_that_are_promised(table: Outcomes) -> None:
    data = evaluate(fitted("knn", table), table).to_dict(command="agentnet evaluate r")
    assert set(data) >= KEYS
    assert all(set(row) >= ROW_KEYS for row in data["per_query"])
    text = json.dumps(data, allow_nan=False)
    assert json.loads(text)["command"] == "agentnet evaluate r"
    assert data["n"] == len(data["per_query"]) == len(table.split("test"))
    assert data["score"] == pytest.approx(np.mean([row["score"] for row in data["per_query"]]))
    assert data["cost_usd"] == pytest.approx(np.mean([row["cost_usd"] for row in data["per_query"]]))
    low, high = data["score_ci"]
    assert low <= data["score"] <= high
    assert data["best_single"]["agent"] == "large"
    best = data["best_single"]["score"]
    assert data["gap_closed"] == pytest.approx((data["score"] - best) / (data["oracle"] - best))
    assert set(data["latency_ms"]) == {"p50", "p99"} == set(data["latency_encoded_ms"])


def test_selection_is_the_share_of_all_agent_runs(table: Outcomes) -> None:
    result = evaluate(fitted("cascade", table, aim="quality"), table, time_decisions=False)
    ran = [name for row in result.rows for name in row.agents]
    assert len(ran) > len(result.rows)
    data = result.to_dict()
    assert sum(data["selection"].values()) == pytest.approx(1)
    assert data["selection"] == pytest.approx({name: ran.count(name) / len(ran) for name in set(ran)})
    assert data["entropy"] == pytest.approx(-sum(p * np.log2(p) for p in data["selection"].values()))


def test_a_set_scores_as_the_first_agent_of_the_winning_group_and_costs_what_ran(table: Outcomes) -> None:
    result = evaluate(fitted("cascade", table, aim="quality"), table, time_decisions=False)
    rows = table.split("test")
    assert result.to_dict()["replay"] == "exact"
    for i, row in enumerate(result.rows):
        columns = [rows.pool.index(name) for name in row.agents]
        assert row.cost_usd == pytest.approx(rows.cost[i, columns].sum())
        assert row.answer_from in row.agents
        right = [name for name in row.agents if rows.score[i, rows.pool.index(name)] == 1]
        if len(right) > len(row.agents) / 2:
            assert row.score == 1 and row.answer_from == right[0]


def test_without_text_a_set_is_scored_by_its_heaviest_agent_and_the_replay_says_so(table: Outcomes) -> None:
    router = fitted("cascade", table, aim="quality")
    result = evaluate(router, replace(table, response=None), time_decisions=False)
    assert result.to_dict()["replay"] == "top1"
    for row in result.rows:
        assert len(row.agents) == 1 and row.answer_from == row.agents[0] and len(row.chosen) > 1


def test_a_text_missing_among_those_that_ran_is_not_replayed(table: Outcomes) -> None:
    router = fitted("cascade", table, aim="quality")
    test = table.split("test")
    assert test.response is not None
    response = test.response.copy()
    response[0, 0] = None
    result = evaluate(router, replace(test, response=response), time_decisions=False)
    assert result.rows[0].replay == "top1" and result.rows[1].replay == "exact"


def test_unknown_costs_make_the_mean_unknown_and_no_nan(table: Outcomes) -> None:
    cost = table.cost.copy()
    cost[:, 2] = np.nan
    data = evaluate(fitted("best_single", table), replace(table, cost=cost), time_decisions=False).to_dict()
    assert data["cost_usd"] is None and data["best_single"]["cost_usd"] is None
    json.dumps(data, allow_nan=False)


def test_an_agent_without_outcomes_is_refused_by_name(table: Outcomes) -> None:
    pool = table.pool.add(Agent(name="stranger", description="new"))
    with pytest.raises(DataError, match="no outcomes of stranger"):
        evaluate(fitted("knn", table), table, pool=pool)
    score = table.score.copy()
    score[:, 1] = np.nan
    with pytest.raises(DataError, match="no outcomes of medium"):
        evaluate(fitted("best_single", table), replace(table, score=score))


def test_agents_never_seen_in_training_can_be_chosen_and_the_reference_leaves_them_out(
    table: Outcomes,
) -> None:
    few = table.pool.subset(["small", "medium"])
    router = fitted("knn", table.for_pool(few))
    result = evaluate(router, table, time_decisions=False)
    assert result.best_single is not None and result.best_single.agent in few
    only = evaluate(router, table, pool=Pool([table.pool["large"]]), time_decisions=False)
    assert only.best_single is None and only.to_dict()["gap_closed"] is None
    assert {row.agents for row in only.rows} == {("large",)}


@pytest.mark.parametrize("split", ["nonsense", "val2"])
def test_an_unknown_or_empty_split_is_refused(table: Outcomes, split: str) -> None:
    router = fitted("best_single", table)
    with pytest.raises(DataError, match="no split"):
        evaluate(router, table, split=split)
    with pytest.raises(DataError, match="no rows in split 'val'"):
        evaluate(router, table.split("train", "test"), split="val")


def test_probes_must_be_other_queries_of_agents_in_the_pool(table: Outcomes) -> None:
    router = fitted("knn", table)
    with pytest.raises(DataError, match="30 probe queries are in the evaluated split"):
        evaluate(router, table, probes=table)
    strangers = Outcomes(
        queries=table.split("val").queries,
        pool=Pool([Agent(name="other")]),
        score=table.split("val").score[:, :1],
        cost=table.split("val").cost[:, :1],
    )
    with pytest.raises(DataError, match="no agent of the evaluated pool"):
        evaluate(router, table, probes=strangers)
    with pytest.raises(RouterError, match="takes no probes"):
        evaluate(fitted("oracle", table), table, probes=table.split("val"))


def test_probes_make_a_new_agent_known_and_agents_outside_the_pool_do_not_count(table: Outcomes) -> None:
    few = table.pool.subset(["small", "medium"])
    router = fitted("knn", table.for_pool(few))
    probes = table.split("train")
    pool = table.pool.subset(["small", "large"])
    without = evaluate(router, table, pool=pool, time_decisions=False)
    known = evaluate(router, table, pool=pool, probes=probes, time_decisions=False)
    other = probes.score.copy()
    other[:, probes.pool.index("medium")] = 1.0
    same = evaluate(router, table, pool=pool, probes=replace(probes, score=other), time_decisions=False)
    assert known.selection.get("large", 0) > without.selection.get("large", 0)
    assert [row.predicted for row in known.rows] == [row.predicted for row in same.rows]


def test_labels_hits_abstentions_and_rows_out_of_scope(labels: Outcomes) -> None:
    router = fitted("task_best", labels)
    data = evaluate(router, labels, options=RouteOptions(abstain_below=0.0), time_decisions=False).to_dict()
    assert set(data) >= KEYS | LABEL_KEYS
    assert data["hit"] == data["exact_set"] > 0.9 and data["set_size"] == 1
    assert data["oos_recall"] == data["false_alarms"] == data["abstained"] == 0
    assert data["cost_usd"] is None
    scope = 1 - labels.split("test").out_of_scope.mean()
    assert data["score"] == pytest.approx(data["hit"] * scope)
    silent = evaluate(router, labels, options=RouteOptions(abstain_below=1.0), time_decisions=False).to_dict()
    assert silent["oos_recall"] == silent["false_alarms"] == silent["abstained"] == 1
    assert silent["score"] == pytest.approx(1 - scope)
    assert silent["hit"] == 0 and silent["set_size"] is None and silent["selection"] == {}


def test_a_fallback_answers_abstentions_in_scope(labels: Outcomes) -> None:
    router = fitted("task_best", labels)
    rows = labels.split("test")
    result = evaluate(
        router, labels, options=RouteOptions(abstain_below=1.0), fallback="maths", time_decisions=False
    )
    inside = [row for row, oos in zip(result.rows, rows.out_of_scope, strict=True) if not oos]
    assert all(row.abstained and row.agents == ("maths",) for row in inside)
    gold = [g for g, oos in zip(rows.queries.gold, rows.out_of_scope, strict=True) if not oos]
    assert [row.score for row in inside] == [float(g == "maths") for g in gold]
    with pytest.raises(DataError, match="fallback 'nobody'"):
        evaluate(router, labels, fallback="nobody", time_decisions=False)


def test_a_label_whose_agent_is_not_in_the_pool_is_out_of_scope(labels: Outcomes) -> None:
    router = fitted("task_best", labels)
    pool = labels.pool.subset(["maths"])
    result = evaluate(router, labels, pool=pool, time_decisions=False)
    rows = labels.split("test")
    for row, gold in zip(result.rows, rows.queries.gold, strict=True):
        assert row.score == float(row.abstained if gold != "maths" else row.agents == ("maths",))


class Counting:
    """An encoder that counts its texts."""

    name = "hash:128"
    dim = 128

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._inner = HashingEncoder(128)

    def encode(self, texts: Sequence[str]) -> Any:
        self.texts += texts
        return self._inner.encode(texts)


def test_latency_is_timed_without_the_cache(table: Outcomes) -> None:
    plain = Counting()
    cached = CachedEncoder(plain)
    router = fitted("knn", table)
    router.use_encoder(cached)
    n = len(table.split("test"))
    evaluate(router, table, uncached=plain)
    first = len(plain.texts)
    evaluate(router, table, uncached=plain)
    assert cached.misses == n
    assert first - n == len(plain.texts) - first >= n
