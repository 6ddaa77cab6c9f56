"""PlanBank and Log: what sets did, and the queries that are remembered."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.outcomes.table import Outcomes, Queries
from agentnet.routers.council.bank import PlanBank, exchange_rates
from agentnet.routers.council.log import Log, typed_means
from agentnet.routers.plans import AnswerTable


def drawn(n: int = 80, agents: int = 4) -> AnswerTable:
    rng = np.random.default_rng(0)
    right = rng.random((n, agents)) < 0.65
    key = np.where(right, 0, 1 + np.arange(agents)).astype(np.int32)
    cost = np.tile(0.001 * np.arange(1, agents + 1), (n, 1))
    return AnswerTable(tuple("abcdefgh"[:agents]), key, right.astype(float), cost)


# -- the bank --------------------------------------------------------------------------------------
def test_a_bank_holds_every_agent_and_the_exact_outcomes_of_each_plan() -> None:
    table = drawn()
    bank = PlanBank.of(table, np.arange(80), 0.004)
    singles = [plan.agents for plan in bank.plans if len(plan.agents) == 1]
    assert singles == [("a",), ("b",), ("c",), ("d",)]
    assert any(plan.needed for plan in bank.plans) and len({repr(p) for p in bank.plans}) == len(bank.plans)
    for j, plan in enumerate(bank.plans):
        score, cost, _ = table.replay(plan)
        np.testing.assert_array_equal(bank.score[:, j], score)
        np.testing.assert_array_equal(bank.cost[:, j], cost)
        assert plan.score == pytest.approx(score.mean()) and plan.cost == pytest.approx(cost.mean())


def test_plans_of_agents_that_are_gone_are_not_there() -> None:
    bank = PlanBank.of(drawn(), np.arange(80), 0.004)
    there = [bank.plans[i] for i in bank.available(["d", "b", "unknown"])]
    assert there and all(set(plan.agents) <= {"b", "d"} for plan in there)
    assert len(bank.available("abcd")) == len(bank.plans)
    assert bank.available([]).size == 0


def test_a_bank_survives_the_disk() -> None:
    bank = PlanBank.of(drawn(), np.arange(5, 85), 0.004)
    config, arrays = bank.state()
    again = PlanBank.restore(json.loads(json.dumps(config, allow_nan=False)), arrays)
    assert again.plans == bank.plans
    for name in ("rows", "score", "cost"):
        np.testing.assert_array_equal(getattr(again, name), getattr(bank, name))


def test_without_costs_quality_alone_counts() -> None:
    table = replace(drawn(), cost=np.full((80, 4), np.nan))
    bank = PlanBank.of(table, np.arange(80), 0.0)
    assert np.isnan(bank.cost).all()
    sets = [plan for plan in bank.plans if len(plan.agents) > 1]
    assert max(plan.score for plan in sets) > table.score.mean(0).max()
    config, _ = bank.state()
    assert repr(PlanBank.restore(config, bank.state()[1]).plans) == repr(bank.plans)


def test_exchange_rates_go_from_nothing_to_ten() -> None:
    rates = exchange_rates()
    assert rates[0] == 0 and rates.max() <= 10 and (np.diff(rates) > 0).all()


# -- the log ---------------------------------------------------------------------------------------
def outcomes(names: str, ids: list[str], score: list[list[float]]) -> Outcomes:
    queries = Queries(
        query_id=np.array(ids), text=tuple(f"text of {i}" for i in ids), split=np.full(len(ids), "train")
    )
    values = np.array(score, np.float32)
    return Outcomes(
        queries=queries, pool=Pool(Agent(name=name) for name in names), score=values,
        cost=np.where(np.isnan(values), np.nan, 0.5 + values),
    )  # fmt: skip


def logged(data: Outcomes, mark: float, *, keep_texts: bool = True) -> Log:
    n = len(data)
    return Log.of(data, np.full((n, 3), mark, np.float32), np.full((n, 2), 0.5), keep_texts=keep_texts)


def test_a_probe_on_a_known_query_joins_its_row() -> None:
    nan = float("nan")
    log = logged(outcomes("ab", ["q1", "q2"], [[1, 0], [nan, 1]]), 1.0)
    probes = logged(outcomes("cb", ["q2", "q9"], [[0.5, 0], [1, nan]]), 2.0)
    both = log.join(probes)
    assert both.names == ("a", "b", "c") and both.ids == ("q1", "q2", "q9")
    wanted = [[1, 0, nan], [nan, 1, 0.5], [nan, nan, 1]]  # what was observed before stays: b on q2
    np.testing.assert_array_equal(both.score, np.array(wanted, np.float32))
    np.testing.assert_array_equal(np.isnan(both.cost), np.isnan(both.score))
    assert both.cost[1, 2] == 1.0 and both.cost[1, 1] == 1.5
    assert both.relations[:, 0].tolist() == [1, 1, 2], "a known query keeps its views"
    assert both.texts[2] == "text of q9" and len(both) == 3
    assert (both.trust > 0).all()
    np.testing.assert_array_equal(
        log.score, np.array([[1, 0], [nan, 1]], np.float32), "the old log is as it was"
    )


def test_a_probe_fills_what_was_not_observed() -> None:
    log = logged(outcomes("ab", ["q1"], [[1, float("nan")]]), 1.0)
    both = log.join(logged(outcomes("b", ["q1"], [[0.25]]), 2.0))
    assert both.names == ("a", "b") and both.score.tolist() == [[1, 0.25]]


def test_columns_of_unknown_agents_are_empty() -> None:
    log = logged(outcomes("ab", ["q1", "q2"], [[1, 0], [0, 1]]), 1.0)
    some = log.columns(["x", "b"])
    assert np.isnan(some.score[:, 0]).all() and np.isnan(some.cost[:, 0]).all()
    assert some.score[:, 1].tolist() == [0, 1]


def test_a_log_survives_the_disk_and_may_forget_its_texts() -> None:
    data = outcomes("ab", ["q1", "q2"], [[1, 0], [0, float("nan")]])
    log = logged(data, 1.0)
    config, arrays = log.state()
    again = Log.restore(json.loads(json.dumps(config, allow_nan=False)), arrays)
    assert (again.names, again.ids, again.texts) == (log.names, log.ids, log.texts)
    np.testing.assert_array_equal(again.score, log.score)
    assert logged(data, 1.0, keep_texts=False).texts == ("", "")


def test_means_by_type_are_drawn_to_the_mean() -> None:
    kind = np.eye(2)[np.arange(200) % 2]
    values = np.where(np.arange(200) % 2 == 0, 1.0, 3.0)[:, None].repeat(3, 1)
    values[:, 1] = np.nan
    values[2:, 2] = np.nan
    means = typed_means(values, kind, np.array([9.0, 7.0, 9.0]))
    assert 1 < means[0, 0] < 1.1 and 2.9 < means[1, 0] < 3
    assert means[:, 1].tolist() == [7, 7]
    np.testing.assert_allclose(means[:, 2], [(1 + 5 * 2) / 6, (3 + 5 * 2) / 6])
