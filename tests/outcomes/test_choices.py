"""Logs of choices: drawn from a full matrix, cut by query, and turned into tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentnet.errors import DataError
from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.graphs.task_graph import TaskGraph
from agentnet.outcomes.choices import ChoiceLog, draw_log
from agentnet.outcomes.table import Outcomes, Queries

POOL = Pool([Agent(name="a"), Agent(name="b"), Agent(name="c")])


def full(m: int = 30, seed: int = 0) -> Outcomes:
    rng = np.random.default_rng(seed)
    queries = Queries(
        query_id=np.arange(m).astype(str),
        text=tuple(f"q {i}" for i in range(m)),
        split=np.where(np.arange(m) % 3 == 0, "test", "train"),
    )
    score = rng.random((m, 3)).astype(np.float32)
    return Outcomes(queries=queries, pool=POOL, score=score, cost=rng.random((m, 3)))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 200))
def test_a_drawn_log_shows_the_truth_of_what_was_chosen(seed: int, n: int) -> None:
    outcomes, rng = full(), np.random.default_rng(seed)
    policy = rng.dirichlet([0.3] * 3, size=30)
    log = draw_log(outcomes, policy, n, rng)
    assert len(log) == n
    np.testing.assert_allclose(log.propensity, policy[log.query, log.agent])
    np.testing.assert_allclose(log.score, outcomes.score[log.query, log.agent])
    table = log.to_outcomes()
    seen = table.observed
    np.testing.assert_allclose(table.score[seen], outcomes.score[seen], rtol=1e-5)
    assert seen[log.query, log.agent].all()


def test_a_policy_is_followed_in_the_long_run() -> None:
    policy = np.tile([0.1, 0.0, 0.9], (30, 1))
    log = draw_log(full(), policy, 20_000, np.random.default_rng(0))
    share = np.bincount(log.agent, minlength=3) / len(log)
    np.testing.assert_allclose(share, [0.1, 0.0, 0.9], atol=0.01)


def test_parts_of_a_log_keep_their_queries_and_nothing_else() -> None:
    log = draw_log(full(), np.full((30, 3), 1 / 3), 500, np.random.default_rng(0))
    train, test = log.split("train", "val"), log.split("test")
    assert len(train) + len(test) == 500
    assert not set(train.queries.query_id.tolist()) & set(test.queries.query_id.tolist())
    for part in (train, test):
        where = [part.queries.query_id[i] for i in part.query]
        rows = np.isin(log.queries.query_id[log.query], part.queries.query_id)
        assert where == log.queries.query_id[log.query[rows]].tolist()
        assert part.score.tolist() == log.score[rows].tolist()


def test_plans_of_several_agents_stay_out_of_the_table_of_single_ones() -> None:
    plans = [TaskGraph.of(["a"]), TaskGraph.of(["a", "b"])]
    log = ChoiceLog.of(full().queries, POOL, plans=plans, query=[0, 0], plan=[0, 1], score=[0.5, 1.0])
    assert log.agent.tolist() == [0, -1]
    assert np.nansum(log.to_outcomes().score) == 0.5


def test_weights_count_in_the_mean_of_a_cell() -> None:
    plans = [TaskGraph.of(["a"])]
    log = ChoiceLog.of(
        full().queries, POOL, plans=plans, query=[0, 0], plan=[0, 0], score=[1, 0], weight=[3, 1]
    )
    assert log.to_outcomes().score[0, 0] == 0.75


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"propensity": [0.0]}, "above 0"),
        ({"propensity": [1.5]}, "at most 1"),
        ({"score": [2.0]}, "lie in"),
        ({"query": [99]}, "query points outside"),
        ({"plan": [1]}, "plan points outside"),
        ({"score": [0.5, 0.5]}, "score has shape"),
    ],
)
def test_what_cannot_be_is_refused(change: dict[str, Any], said: str) -> None:
    given: dict[str, Any] = {"query": [0], "plan": [0], "propensity": [0.5], "score": [0.5]} | change
    with pytest.raises(DataError, match=said):
        ChoiceLog.of(full().queries, POOL, plans=[TaskGraph.of(["a"])], **given)


def test_a_policy_that_is_none_is_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(DataError, match="add up to 1"):
        draw_log(full(), np.full((30, 3), 0.5), 5, rng)
    with pytest.raises(DataError, match="has shape"):
        draw_log(full(), np.full((3, 3), 1 / 3), 5, rng)


def test_the_fingerprint_tells_logs_apart() -> None:
    one = draw_log(full(), np.full((30, 3), 1 / 3), 50, np.random.default_rng(0))
    two = draw_log(full(), np.full((30, 3), 1 / 3), 50, np.random.default_rng(1))
    assert one.fingerprint != two.fingerprint
    assert one.fingerprint == one.take(np.arange(50)).fingerprint
