from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from agentnet.bench.files import strict
from agentnet.bench.offpolicy import Limits, compare_policies
from agentnet.errors import DataError, NotEnoughEvidence
from agentnet.outcomes.table import Outcomes

_spec = importlib.util.spec_from_file_location("offpolicy_conftest", Path(__file__).with_name("conftest.py"))
assert _spec is not None
assert _spec.loader is not None
logs = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(logs)
M, by_kind, chances, make_log, truth = logs.M, logs.by_kind, logs.chances, logs.make_log, logs.truth

UNIFORM = chances(1 / 3, 1 / 3, 1 / 3)
MATHS = chances(1.0, 0.0, 0.0)


def test_the_difference_and_its_interval_hold_the_truth(full: Outcomes) -> None:
    log = make_log(full, UNIFORM, n=3000)
    found = compare_policies(log, by_kind(), MATHS).require()
    gain = truth(full, by_kind()) - truth(full, MATHS)
    assert found.low < gain < found.high
    assert found.low > 0
    assert found.value == pytest.approx(found.new.value - found.old.value, abs=0.05)


def test_turned_around_it_is_the_same_with_the_other_sign(full: Outcomes) -> None:
    log = make_log(full, UNIFORM)
    one, two = compare_policies(log, by_kind(), MATHS), compare_policies(log, MATHS, by_kind())
    assert (one.value, one.low, one.high) == pytest.approx((-two.value, -two.high, -two.low))


def test_a_policy_is_exactly_as_good_as_itself(full: Outcomes) -> None:
    found = compare_policies(make_log(full, UNIFORM), by_kind(), by_kind())
    assert found.answered
    assert (found.value, found.low, found.high, found.detectable) == (0.0, 0.0, 0.0, 0.0)


def test_where_policies_agree_no_noise_is_added(full: Outcomes) -> None:
    log = make_log(full, UNIFORM, n=3000)
    near = MATHS.copy()
    near[:60] = [0.0, 1.0, 0.0]
    found = compare_policies(log, near, MATHS)
    assert found.se < 0.5 * np.hypot(found.new.se, found.old.se)
    agree = log.query >= 60
    assert found.differences[agree] == pytest.approx(np.zeros(agree.sum()))


def test_none_is_whatever_wrote_the_log(full: Outcomes) -> None:
    policy = chances(0.5, 0.3, 0.2)
    log = make_log(full, policy, n=3000)
    found = compare_policies(log, by_kind(), None)
    assert found.old.estimate("dr").value == pytest.approx(log.score.mean())
    assert found.low < truth(full, by_kind()) - truth(full, policy) < found.high
    told = compare_policies(log, by_kind(), policy)
    assert told.value == pytest.approx(found.value, abs=0.03)


def test_intervals_of_a_worse_policy_seldom_lie_above_zero(full: Outcomes) -> None:
    worse = chances(0.9, 0.0, 0.1)
    gain = truth(full, worse) - truth(full, MATHS)
    promoted = covered = 0
    for seed in range(150):
        found = compare_policies(make_log(full, UNIFORM, n=400, seed=seed), worse, MATHS)
        promoted += found.low > 0
        covered += found.low <= gain <= found.high
    assert gain < 0
    assert promoted <= 6
    assert covered >= 135


def test_a_gain_as_large_as_the_detectable_one_is_mostly_found(full: Outcomes) -> None:
    gain = truth(full, by_kind()) - truth(full, MATHS)
    found = [
        compare_policies(make_log(full, UNIFORM, n=500, seed=seed), by_kind(), MATHS) for seed in range(60)
    ]
    sizes = np.array([item.detectable for item in found])
    hits = np.array([item.low > 0 for item in found])
    assert gain > sizes.mean()  # so that a power of 80% is the least there should be
    assert hits.mean() >= 0.8


def test_cost_is_compared_likewise(full: Outcomes) -> None:
    log = make_log(full, UNIFORM, n=3000, seed=1)
    found = compare_policies(log, by_kind(), MATHS, metric="cost").require()
    gain = truth(full, by_kind(), "cost") - truth(full, MATHS, "cost")
    assert 0 < found.low < gain < found.high


def test_slices_add_up_to_the_doubly_robust_difference(full: Outcomes) -> None:
    log = make_log(full, UNIFORM, n=3000)
    found = compare_policies(log, by_kind(), MATHS)
    first = log.query % 2 == 0
    one, two = found.of(first), found.of(~first)
    total = (one.value * first.sum() + two.value * (~first).sum()) / len(log)
    assert total == pytest.approx(np.nanmean(found.differences))
    assert one.value == pytest.approx(0.0)
    assert two.low > 0.3
    assert np.isnan(found.of(np.zeros(len(log), bool)).value)
    with pytest.raises(DataError, match="mask"):
        found.of(np.ones(3, bool))


def test_copies_in_groups_widen_slices_too(full: Outcomes) -> None:
    log = make_log(full, UNIFORM, n=300)
    rows = np.tile(np.arange(300), 4)
    found = compare_policies(log.take(rows), by_kind(), MATHS, groups=rows)
    alone = compare_policies(log.take(rows), by_kind(), MATHS)
    every = np.ones(1200, bool)
    assert found.of(every).se == pytest.approx(2 * alone.of(every).se, rel=0.02)


def test_policies_that_differ_on_too_few_decisions_are_refused(full: Outcomes) -> None:
    near = MATHS.copy()
    near[0] = [0.0, 1.0, 0.0]
    found = compare_policies(make_log(full, UNIFORM), near, MATHS)
    with pytest.raises(NotEnoughEvidence, match="differ on decisions worth"):
        found.require()
    assert compare_policies(make_log(full, UNIFORM), near, MATHS, limits=Limits(min_ess=1)).answered


def test_a_log_that_cannot_answer_for_one_cannot_compare(full: Outcomes) -> None:
    log = make_log(full, chances(0.5, 0.0, 0.5))
    found = compare_policies(log, chances(0.0, 1.0, 0.0), MATHS)
    assert not found.answered
    assert found.refusals == found.new.refusals
    bare = make_log(full, UNIFORM, propensity=np.full(1500, np.nan))
    found = compare_policies(bare, by_kind(), None)
    assert len(found.refusals) == 1
    assert "propensity" in found.refusals[0]
    assert np.isnan(found.low)


def test_the_comparison_is_json_and_lines(full: Outcomes) -> None:
    found = compare_policies(make_log(full, UNIFORM), by_kind(), MATHS)
    read = json.loads(json.dumps(strict(found.to_dict()), allow_nan=False))
    assert read["detectable"] == found.detectable
    assert found.lines()[0].startswith("smallest gain this log can detect")
