from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agentnet.bench.files import strict
from agentnet.bench.offpolicy import Limits, encode_queries, evaluate_policy
from agentnet.errors import DataError, InvalidInput, NotEnoughEvidence
from agentnet.graphs.task_graph import TaskGraph
from agentnet.outcomes.choices import ChoiceLog
from agentnet.outcomes.table import Outcomes
from agentnet.routers.policy import Policy, policy_of
from agentnet.routers.registry import make_router

_spec = importlib.util.spec_from_file_location("offpolicy_conftest", Path(__file__).with_name("conftest.py"))
assert _spec is not None
assert _spec.loader is not None
logs = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(logs)
M, by_kind, chances, make_log, truth = logs.M, logs.by_kind, logs.chances, logs.make_log, logs.truth

UNIFORM = chances(1 / 3, 1 / 3, 1 / 3)


def as_policy(log: ChoiceLog, chance: np.ndarray, *more: TaskGraph | None) -> Policy:
    """Chances as a policy, its plans in another order than the log's, with further plans."""
    n = len(chance)
    plans = (*log.plans[::-1], *more)
    wide = np.zeros((n, len(plans)))
    wide[:, : len(log.plans)] = chance[:, : len(log.plans)][:, ::-1]
    wide[:, len(log.plans) :] = chance[:, len(log.plans) :]
    return Policy(plans=plans, chance=wide, cost=np.full(n, np.nan), expected=np.full(n, np.nan))


# -- answers -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("model", ["none", "vectors", "given"])
def test_the_interval_holds_the_true_value(full: Outcomes, model: str) -> None:
    log = make_log(full, UNIFORM)
    further = {
        "none": {},
        "vectors": {"vectors": encode_queries(log.queries)},
        "given": {"reward_model": np.full((M, 3), 0.5)},
    }[model]
    report = evaluate_policy(log, by_kind(), **further).require()
    assert report.low < truth(full, by_kind()) < report.high
    assert report.value == pytest.approx(truth(full, by_kind()), abs=0.06)
    assert report.ess == pytest.approx(500, rel=0.2)
    names = [item.name for item in report.estimates]
    assert ("dm, recalibrated" in names) == (model == "given")
    assert {"ips", "snips", "dm", "dr", "switch-dr", "recommended"} <= set(names)


def test_a_model_that_sees_the_tasks_narrows_the_interval(full: Outcomes) -> None:
    log = make_log(full, UNIFORM, n=4000)
    blind = evaluate_policy(log, by_kind())
    seeing = evaluate_policy(log, by_kind(), vectors=(np.arange(M) % 2)[:, None].astype(float))
    assert seeing.se < 0.95 * blind.se


def test_a_given_model_is_the_direct_method_as_it_was_given(full: Outcomes) -> None:
    log = make_log(full, UNIFORM)
    report = evaluate_policy(log, by_kind(), reward_model=np.full((M, 3), 0.1))
    assert report.estimate("dm").value == pytest.approx(0.1)
    assert report.estimate("dm, recalibrated").value > 0.3


def test_a_policy_in_another_order_of_plans_is_the_same(full: Outcomes) -> None:
    log = make_log(full, UNIFORM)
    one = evaluate_policy(log, by_kind())
    two = evaluate_policy(log, as_policy(log, by_kind()))
    assert [item.value for item in one.estimates] == [item.value for item in two.estimates]


def test_a_router_is_judged_by_its_policy(full: Outcomes) -> None:
    log = make_log(full, chances(0.2, 0.3, 0.5), seed=1)
    router = make_router("random")
    report = evaluate_policy(log, policy_of(router, log.queries.tasks(), log.pool))
    assert report.low < truth(full, UNIFORM) < report.high


def test_the_cost_is_told_where_some_costs_are_unknown(full: Outcomes) -> None:
    log = make_log(full, UNIFORM, n=3000)
    cost = log.cost.copy()
    cost[::4] = np.nan
    report = evaluate_policy(replace(log, cost=cost), by_kind(), metric="cost").require()
    assert report.low < truth(full, by_kind(), "cost") < report.high
    assert report.overlap.rows == 2250
    assert any("known cost" in note for note in report.notes)
    assert "USD" in report.lines()[1]


def test_sets_are_single_actions(full: Outcomes) -> None:
    rng = np.random.default_rng(0)
    plans = [TaskGraph.of(["maths"]), TaskGraph.of(["maths", "words"])]
    n = 2000
    query, plan = rng.integers(M, size=n), rng.integers(2, size=n)
    value = np.where(plan == 0, full.score[query, 0], full.score[query, :2].max(1))
    log = ChoiceLog.of(
        full.queries, full.pool, plans=plans, query=query, plan=plan, propensity=np.full(n, 0.5), score=value
    )
    report = evaluate_policy(log, np.tile([0.0, 1.0], (M, 1))).require()
    assert report.low < full.score[:, :2].max(1).mean() < report.high
    assert report.overlap.plans[0]["plan"] == "maths + words"


def test_scores_stay_within_0_and_1(full: Outcomes) -> None:
    log = make_log(full, UNIFORM, n=150)
    report = evaluate_policy(replace(log, score=np.ones(150)), by_kind())
    assert report.high == 1.0
    assert 0 <= report.low <= report.value <= 1


def test_order_of_the_log_does_not_matter(full: Outcomes) -> None:
    log = make_log(full, UNIFORM)
    order = np.random.default_rng(1).permutation(len(log))
    one, two = evaluate_policy(log, by_kind()), evaluate_policy(log.take(order), by_kind())
    for a, b in zip(one.estimates, two.estimates, strict=True):
        assert (a.value, a.low, a.high) == pytest.approx((b.value, b.low, b.high))
    assert two.scores == pytest.approx(one.scores[order])


def test_decisions_that_depend_on_each_other_widen_the_interval(full: Outcomes) -> None:
    log = make_log(full, UNIFORM, n=300)
    copies = log.take(np.tile(np.arange(300), 5))
    alone = evaluate_policy(copies, by_kind())
    groups = evaluate_policy(copies, by_kind(), groups=np.tile(np.arange(300), 5).astype(str))
    assert groups.se == pytest.approx(alone.se * 5**0.5, rel=0.02)


def test_the_report_is_json_and_lines(full: Outcomes) -> None:
    report = evaluate_policy(make_log(full, UNIFORM), by_kind())
    found = json.loads(json.dumps(strict(report.to_dict()), allow_nan=False))
    assert found["recommended"]["value"] == report.value
    assert found["answered"] is True
    text = "\n".join(report.lines())
    assert "use this one" in text
    assert "% of the policy" in text


# -- refusals ----------------------------------------------------------------------------------------
def test_a_log_without_propensities_is_refused_with_advice(full: Outcomes) -> None:
    log = make_log(full, UNIFORM, propensity=np.full(1500, np.nan))
    report = evaluate_policy(log, by_kind())
    assert not report.answered
    assert np.isnan(report.value)
    with pytest.raises(NotEnoughEvidence, match=r"no propensity.*exploration.*held-out replay"):
        report.require()
    assert any("no answer" in line for line in report.lines())
    json.dumps(strict(report.to_dict()), allow_nan=False)


def test_a_few_unknown_propensities_are_left_out_and_said(full: Outcomes) -> None:
    log = make_log(full, UNIFORM)
    propensity = log.propensity.copy()
    propensity[:50] = np.nan
    report = evaluate_policy(replace(log, propensity=propensity), by_kind()).require()
    assert report.overlap.rows == 1450
    assert np.isnan(report.scores[:50]).all()
    assert any("50 decisions without a propensity" in note for note in report.notes)


def test_a_log_that_never_did_what_the_policy_does_is_refused(full: Outcomes) -> None:
    log = make_log(full, chances(1.0, 0.0, 0.0))
    report = evaluate_policy(log, chances(0.0, 1.0, 0.0))
    assert report.refusals[0].startswith("no overlap")
    assert report.overlap.never == pytest.approx(1.0)


def test_too_small_an_effective_sample_is_refused(full: Outcomes) -> None:
    log = make_log(full, chances(0.98, 0.01, 0.01))
    report = evaluate_policy(log, chances(0.0, 1.0, 0.0))
    assert any("effective sample size" in reason for reason in report.refusals)
    assert evaluate_policy(log, chances(0.0, 1.0, 0.0), limits=Limits(min_ess=2)).answered


def test_choices_beyond_the_log_are_refused_unless_few(full: Outcomes) -> None:
    log = make_log(full, UNIFORM)
    graph = TaskGraph.of(["maths", "words"])
    few = as_policy(log, np.c_[0.98 * by_kind(), chances(0.02)], graph)
    many = as_policy(log, np.c_[0.8 * by_kind(), chances(0.2)], graph)
    assert evaluate_policy(log, few).answered
    report = evaluate_policy(log, many)
    assert any("20% of the policy's choices" in reason for reason in report.refusals)


def test_abstaining_is_said(full: Outcomes) -> None:
    log = make_log(full, UNIFORM)
    report = evaluate_policy(log, as_policy(log, np.c_[0.7 * by_kind(), chances(0.3)], None))
    assert not report.answered
    assert any("abstains on 30.0%" in note for note in report.notes)


def test_wrong_propensities_are_found_by_the_mean_weight(full: Outcomes) -> None:
    log = make_log(full, UNIFORM)
    report = evaluate_policy(replace(log, propensity=np.full(1500, 0.9)), by_kind())
    assert any("weights' mean is 0.3" in reason for reason in report.refusals)


def test_choices_that_were_possible_but_never_came_are_found_by_the_mean_weight(full: Outcomes) -> None:
    # Half of the policy's choices had one chance in a million: all weights look harmless.
    policy = chances(1 - 2e-6, 1e-6, 1e-6)
    target = by_kind()
    report = evaluate_policy(make_log(full, policy), target, limits=Limits(max_never=1.0))
    assert report.overlap.max_weight < 1.01
    assert any("mean is 0.5" in reason for reason in report.refusals)


def test_too_few_judged_decisions_are_refused(full: Outcomes) -> None:
    log = make_log(full, UNIFORM)
    score = log.score.copy()
    score[60:] = np.nan
    report = evaluate_policy(replace(log, score=score), by_kind())
    assert any("60 decisions are judged" in reason for reason in report.refusals)


def test_mostly_unjudged_logs_are_refused_unless_it_is_said_that_they_are_a_random_part(
    full: Outcomes,
) -> None:
    log = make_log(full, UNIFORM)
    score = log.score.copy()
    score[600:] = np.nan
    part = replace(log, score=score)
    assert any(
        "900 of 1,500 decisions are not judged" in r for r in evaluate_policy(part, by_kind()).refusals
    )
    assert evaluate_policy(part, by_kind(), limits=Limits(max_unjudged=0.9)).answered


def test_plans_that_are_judged_unevenly_are_said(full: Outcomes) -> None:
    log = make_log(full, UNIFORM)
    score = np.where(log.plan == 2, np.nan, log.score)
    report = evaluate_policy(replace(log, score=score), by_kind())
    assert any("unevenly" in note for note in report.notes)


def test_an_empty_log_is_refused(full: Outcomes) -> None:
    log = make_log(full, UNIFORM).take(np.zeros(1500, bool))
    report = evaluate_policy(log, by_kind())
    assert report.refusals == ("the log is empty: serve some tasks first.",)


# -- mistakes ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("target", "said"),
    [
        (np.ones((2, 3)) / 3, "policy has shape"),
        (chances(0.9, 0.9, 0.0), "add up"),
        (chances(-0.1, 1.0, 0.1), "add up"),
        (chances(np.nan, 1.0, 0.0), "add up"),
    ],
)
def test_what_is_no_policy_on_this_log_is_an_error(full: Outcomes, target: np.ndarray, said: str) -> None:
    with pytest.raises(DataError, match=said):
        evaluate_policy(make_log(full, UNIFORM), target)


def test_arrays_that_do_not_fit_are_an_error(full: Outcomes) -> None:
    log = make_log(full, UNIFORM)
    with pytest.raises(DataError, match="reward_model has shape"):
        evaluate_policy(log, by_kind(), reward_model=np.ones((M, 2)))
    with pytest.raises(DataError, match="vectors has 5 rows"):
        evaluate_policy(log, by_kind(), vectors=np.ones((5, 2)))
    with pytest.raises(DataError, match="one label a decision"):
        evaluate_policy(log, by_kind(), groups=np.zeros(5))
    with pytest.raises(InvalidInput, match="'score' or 'cost'"):
        evaluate_policy(log, by_kind(), metric="speed")  # type: ignore[arg-type]
