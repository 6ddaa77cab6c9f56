"""Evidence of paired and held-out runs, calibration of weighted rows, and what a log says of slices."""

from __future__ import annotations

import numpy as np
import pytest

from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.graphs.task_graph import TaskGraph
from agentnet.outcomes.choices import ChoiceLog, draw_log
from agentnet.outcomes.table import Outcomes, Queries
from agentnet.releases.evidence import (
    Judged,
    Pairs,
    held_out_pairs,
    paired_facts,
    weighted_calibration_error,
)
from agentnet.releases.gates import Gates
from agentnet.releases.logged import logged_facts, slices_of, tied
from agentnet.routers.policy import Policy
from agentnet.routers.registry import make_router

POOL = Pool([Agent(name="a"), Agent(name="b")])
GATES = Gates()


def world(m: int = 400, seed: int = 0) -> Outcomes:
    """Agent a is right on the first slice, b on the second; b costs twice as much."""
    rng = np.random.default_rng(seed)
    label = np.arange(m) % 2
    right = np.where(label[:, None] == [0, 1], 0.8, 0.3)
    return Outcomes(
        queries=Queries(
            query_id=np.arange(m).astype(str), text=tuple(f"query {i}" for i in range(m)),
            split=np.where(np.arange(m) % 4 == 0, "test", "train"), task=tuple(f"slice {i}" for i in label),
        ),
        pool=POOL,
        score=(rng.random((m, 2)) < right).astype(np.float32),
        cost=np.tile([0.001, 0.002], (m, 1)),
    )  # fmt: skip


def policy(chance: np.ndarray) -> Policy:
    unknown = np.full(len(chance), np.nan)
    plans = tuple(TaskGraph.of([name]) for name in POOL.names)
    return Policy(plans=plans, chance=chance, cost=unknown, expected=unknown)


def test_pairs_give_gain_cost_and_slices() -> None:
    rng = np.random.default_rng(0)
    old = (rng.random(1000) < 0.5).astype(float)
    new = np.where(rng.random(1000) < 0.1, 1.0, old)
    slices = tuple("even" if i % 2 else "odd" for i in range(1000))
    facts = paired_facts(
        Pairs(new=new, old=old, new_cost=np.full(1000, 3.0), old_cost=np.full(1000, 2.0), slices=slices),
        GATES,
    )
    assert facts.gain is not None
    assert facts.gain.gain == pytest.approx((new - old).mean())
    assert facts.gain.low < facts.gain.gain < facts.gain.high
    assert facts.gain.error == pytest.approx((new - old).std(ddof=1) / np.sqrt(1000))
    assert facts.cost_rise is not None
    assert facts.cost_rise[0] == pytest.approx(0.5)
    assert set(facts.slices) == {"even", "odd"}


def test_an_unknown_cost_of_one_run_leaves_the_rise_unknown() -> None:
    cost = np.array([1.0, np.nan])
    ones = np.ones(2)
    assert paired_facts(Pairs(new=ones, old=ones, new_cost=cost, old_cost=ones), GATES).cost_rise is None


def test_held_out_outcomes_are_looked_at_on_the_test_split_alone() -> None:
    outcomes = world()
    dear, cheap = make_router("best_single"), make_router("cheapest")
    for router in (dear, cheap):
        router.fit(outcomes, POOL)
    pairs = held_out_pairs(dear, cheap, outcomes)
    assert len(pairs.new) == 100


def test_what_a_log_says_lies_around_the_truth_and_names_the_slice_that_loses() -> None:
    outcomes, rng = world(), np.random.default_rng(1)
    uniform = np.full((400, 2), 0.5)
    all_b, all_a = np.tile([0.0, 1.0], (400, 1)), np.tile([1.0, 0.0], (400, 1))
    log = draw_log(outcomes, uniform, 4000, rng)
    facts = logged_facts(Judged(log=log, new=policy(all_b), old=policy(all_a)), GATES)
    truth = float((outcomes.score[:, 1] - outcomes.score[:, 0]).mean())
    assert facts.gain is not None
    assert facts.gain.low - 0.03 < truth < facts.gain.high + 0.03
    assert facts.slices["slice 0"].high < -0.3
    assert facts.slices["slice 1"].low > 0.3
    assert facts.cost_rise == pytest.approx((1.0, 1.0, 1.0), abs=0.1)


def test_a_log_of_one_certain_router_cannot_tell_of_another() -> None:
    outcomes, rng = world(), np.random.default_rng(1)
    all_b, all_a = np.tile([0.0, 1.0], (400, 1)), np.tile([1.0, 0.0], (400, 1))
    log = draw_log(outcomes, all_a, 2000, rng)
    facts = logged_facts(Judged(log=log, new=policy(all_b), old=policy(all_a)), GATES)
    assert facts.gain is None
    assert facts.refused


def test_weighted_calibration_counts_rows_by_their_weight() -> None:
    predicted = np.tile([0.2, 0.8], 500)
    score = np.tile([0.0, 1.0], 500)
    ones = np.ones(1000)
    assert weighted_calibration_error(predicted, score, ones) == pytest.approx(0.2)
    only_high = np.tile([0.0, 1.0], 500)
    assert weighted_calibration_error(predicted, np.tile([0.0, 0.8], 500), only_high) == pytest.approx(0)
    assert weighted_calibration_error(predicted[:50], score[:50], ones[:50]) is None


def test_slices_without_labels_come_from_the_encodings() -> None:
    m = 200
    vectors = np.zeros((m, 8), np.float32)
    vectors[np.arange(m), np.arange(m) % 6] = 1
    log = ChoiceLog.of(
        Queries(
            query_id=np.arange(m).astype(str), text=tuple(map(str, range(m))), split=np.full(m, "test")
        ),
        POOL, plans=[TaskGraph.of(["a"])], query=np.arange(m), plan=np.zeros(m),
    )  # fmt: skip
    found = slices_of(log, vectors)
    assert len(found) == 6
    assert sum(found.values()).tolist() == [1] * m  # type: ignore[attr-defined]
    assert slices_of(log, None) == {}


@pytest.mark.parametrize("tie", [False, True])
def test_questions_that_always_get_the_same_agent_are_noticed(tie: bool) -> None:
    rng = np.random.default_rng(0)
    query = rng.integers(50, size=1000)
    drawn = rng.random(50)[query] if tie else rng.random(1000)
    ids = np.arange(50).astype(str)
    log = ChoiceLog.of(
        Queries(query_id=ids, text=tuple(ids), split=np.full(50, "test")), POOL,
        plans=[TaskGraph.of([name]) for name in POOL.names], query=query, plan=drawn < 0.3,
        propensity=np.where(drawn < 0.3, 0.3, 0.7), score=np.ones(1000), at=np.arange(1000),
    )  # fmt: skip
    assert tied(log) is tie
