"""The corrections are right on average where the truth is known, and say how unsure they are."""

from __future__ import annotations

import numpy as np
import pytest

from agentnet.errors import DataError, InvalidInput, NotEnoughEvidence
from agentnet.learning.scoring.agreement import agreement
from agentnet.learning.scoring.correct import corrected_values, ppi, rogan_gladen, stratified
from agentnet.learning.scoring.pick import allocate, pick
from agentnet.learning.scoring.rates import fit_rates
from agentnet.learning.scoring.table import Judgements

AGENTS = 5
FALSE_ACCEPT = np.array([0.3, 0.1, 0.2, 0.15, 0.25])
FALSE_REJECT = np.array([0.1, 0.3, 0.2, 0.25, 0.12])
QUALITY = np.array([0.3, 0.7, 0.5, 0.4, 0.6])
SHARES = np.array([[0.6, 0.1, 0.1, 0.1, 0.1], [0.2, 0.2, 0.2, 0.2, 0.2], [0.05, 0.75, 0.1, 0.05, 0.05]])


def world(seed: int, labels: int = 200, n: int = 1500) -> tuple[Judgements, np.ndarray]:
    """Three policies over five agents, a judge that favours the first agent, and some labels."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(3), n)
    agent = np.concatenate([rng.choice(AGENTS, n, p=share) for share in SHARES])
    truth = rng.random(len(agent)) < QUALITY[agent]
    errs = rng.random(len(agent)) < np.where(truth, FALSE_REJECT[agent], FALSE_ACCEPT[agent])
    names = [f"a{i}" for i in agent]
    table = Judgements.of(agent=names, judge=(truth ^ errs).astype(float), group=[f"p{g}" for g in group])
    gold = np.full(len(agent), np.nan)
    rows = pick(table, labels, rng)
    gold[rows] = truth[rows]
    known = [None if np.isnan(value) else value for value in gold]
    return Judgements.of(agent=names, judge=table.judge, gold=known, group=[f"p{g}" for g in group]), truth


@pytest.fixture(scope="module")
def draws() -> list[tuple[Judgements, np.ndarray]]:
    return [world(seed) for seed in range(100)]


def test_corrected_values_are_unbiased_and_their_intervals_hold(draws: list) -> None:
    true = SHARES @ QUALITY
    found = [corrected_values(table) for table, _ in draws]
    values = np.array([[item.corrected.value for item in groups] for groups in found])
    raw = np.array([[item.raw for item in groups] for groups in found])
    error = values.mean(0) - true
    noise = values.std(0) / np.sqrt(len(draws))
    assert (np.abs(error) < np.maximum(4 * noise, 0.015)).all()
    assert np.abs(raw.mean(0) - true).max() > 0.08  # what there was to correct
    assert np.sqrt(((values - true) ** 2).mean()) < 0.6 * np.sqrt(((raw - true) ** 2).mean())
    inside = [[i.corrected.low <= t <= i.corrected.high for i, t in zip(g, true, strict=True)] for g in found]
    assert 0.88 <= np.mean(inside) <= 1.0


def test_stratified_picks_do_not_bias_the_rates(draws: list) -> None:
    """Labels picked by verdict: the shares among the labels are not those among all answers."""
    rates = [fit_rates(table) for table, _ in draws]
    for found, true in (("false_accept", FALSE_ACCEPT), ("false_reject", FALSE_REJECT)):
        order = [int(name[1:]) for name in rates[0].agents]
        mean = np.mean([getattr(r, found)[np.argsort([int(n[1:]) for n in r.agents])] for r in rates], axis=0)
        assert np.abs(mean - true).max() < 0.07, (found, order)
        assert np.corrcoef(mean, true)[0, 1] > 0.9
    inside = [
        (r.false_accept_ci[:, 0] <= FALSE_ACCEPT[[int(n[1:]) for n in r.agents]])
        & (FALSE_ACCEPT[[int(n[1:]) for n in r.agents]] <= r.false_accept_ci[:, 1])
        for r in rates
    ]
    assert np.mean(inside) > 0.88


def test_agents_borrow_from_each_other() -> None:
    """An agent without labels gets the others' rates, with a wide interval, instead of none."""
    table, _ = world(1)
    gold = np.where(table.agent == table.agents.index("a0"), np.nan, table.gold)
    without = fit_rates(
        Judgements(
            agents=table.agents,
            groups=table.groups,
            agent=table.agent,
            group=table.group,
            judge=table.judge,
            gold=gold,
        )
    )
    at = without.agents.index("a0")
    assert without.labelled[at] == 0 and 0.08 < without.false_accept[at] < 0.35
    low, high = without.false_accept_ci.T
    assert (high - low)[at] == (high - low).max()


def test_the_probability_of_being_right_averages_to_the_quality() -> None:
    """What `right_if` says, weighted by verdicts, is the corrected quality: corrected scores are unbiased."""
    rates = fit_rates(world(2)[0])
    mean = rates.accept * rates.right_if[:, 1] + (1 - rates.accept) * rates.right_if[:, 0]
    np.testing.assert_allclose(mean, rates.quality, atol=5e-3)
    assert (rates.right_if[:, 1] > rates.right_if[:, 0]).all() and (
        (rates.worth > 0) & (rates.worth < 1)
    ).all()


def test_intervals_are_as_narrow_as_the_labels_allow() -> None:
    """With most answers labelled, the interval is about that of the labels alone, and it holds."""
    inside, width = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        right = rng.random(400) < 0.3
        judged = right ^ (rng.random(400) < np.where(right, 0.1, 0.3))
        gold = [float(value) if i < 260 else None for i, value in enumerate(right)]
        low, high = fit_rates(
            Judgements.of(agent=["a"] * 400, judge=judged.astype(float), gold=gold)
        ).quality_ci[0]
        inside.append(low <= 0.3 <= high)
        width.append(high - low)
    labels_alone = 2 * 1.96 * (0.3 * 0.7 / 260) ** 0.5
    assert np.mean(width) < 1.1 * labels_alone
    assert np.mean(inside) >= 0.88


def test_ppi_is_unbiased_without_any_model_and_beats_the_labels_alone() -> None:
    found, alone, covered = [], [], []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        hard = rng.random(2000)
        gold = (rng.random(2000) < hard).astype(float)
        judge = np.clip(0.6 * gold + 0.5 * hard * rng.random(2000), 0, 1)  # errs by difficulty, not binary
        rows = rng.choice(2000, 150, replace=False)
        estimate = ppi(judge, judge[rows], gold[rows])
        found.append(estimate.value - gold.mean())
        alone.append(gold[rows].mean() - gold.mean())
        covered.append(estimate.low <= gold.mean() <= estimate.high)
    assert abs(np.mean(found)) < 4 * np.std(found) / np.sqrt(300)
    assert np.std(found) < 0.8 * np.std(alone)
    assert np.mean(covered) > 0.9


def test_ppi_takes_unequal_picks_into_account() -> None:
    found = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        judge = (rng.random(3000) < 0.5).astype(float)
        gold = (rng.random(3000) < np.where(judge > 0, 0.8, 0.3)).astype(float)
        chance = np.where(judge > 0, 0.02, 0.1)
        rows = np.flatnonzero(rng.random(3000) < chance)
        found.append(ppi(judge, judge[rows], gold[rows], weight=1 / chance[rows]).value - gold.mean())
    assert abs(np.mean(found)) < 4 * np.std(found) / np.sqrt(200)


def test_a_stratified_value_is_unbiased(draws: list) -> None:
    true = SHARES @ QUALITY
    values = np.array([[stratified(t, t.group == g).value for g in range(3)] for t, _ in draws])
    assert np.abs(values.mean(0) - true).max() < 0.03


def test_a_judge_of_no_skill_is_refused() -> None:
    with pytest.raises(InvalidInput, match="ask another judge"):
        rogan_gladen(0.5, 0.6, 0.4)


def test_too_few_labels_are_refused_with_advice() -> None:
    table = Judgements.of(agent=["a"] * 50, judge=[1.0] * 50, gold=[1.0] * 9 + [None] * 41)
    for estimate in (fit_rates, corrected_values, stratified, agreement):
        with pytest.raises(NotEnoughEvidence, match="sample-gold"):
            estimate(table)


def test_scores_out_of_range_are_refused() -> None:
    with pytest.raises(DataError, match="lie in"):
        Judgements.of(agent=["a"], judge=[5.0])


def test_kappa_and_accuracy_against_hand_counted_ones() -> None:
    """20 answers: 9 right and accepted, 1 right and rejected, 3 wrong and accepted, 7 wrong and rejected."""
    judge = [1.0] * 9 + [0.0] + [1.0] * 3 + [0.0] * 7
    gold = [1.0] * 10 + [0.0] * 10
    found = agreement(Judgements.of(agent=["a"] * 20, judge=judge, gold=gold))
    (row,) = found.agents
    assert row.accuracy is not None and row.false_accept is not None and row.false_reject is not None
    assert row.accuracy.value == pytest.approx(0.8) and row.kappa == pytest.approx(0.6)
    assert row.false_accept.value == pytest.approx(0.3) and row.false_reject.value == pytest.approx(0.1)
    assert row.false_accept.low == pytest.approx(0.1078, abs=1e-3)  # Wilson, 3 of 10
    assert row.false_accept.high == pytest.approx(0.6032, abs=1e-3)


def test_verdicts_without_labels_leave_rates_unknown() -> None:
    judge, gold = [1.0] * 30 + [0.0] * 30, [1.0] * 15 + [None] * 45
    (row,) = agreement(Judgements.of(agent=["a"] * 60, judge=judge, gold=gold)).agents
    assert row.accuracy is None and row.kappa is None and row.false_reject is None


def test_labels_go_where_the_policies_differ() -> None:
    counts = np.array([[[50, 50], [50, 50], [90, 10]], [[50, 50], [50, 50], [10, 90]]])
    share = allocate(counts, 40, floor=1)
    assert share.sum() == 40
    assert share[2].sum() == 36 and (share[:2] == 1).all()


def test_labels_that_are_there_count_and_are_not_asked_for_again() -> None:
    rng = np.random.default_rng(0)
    judge = (rng.random(400) < 0.5).astype(float)
    gold = [1.0 if i < 40 else None for i in range(400)]
    table = Judgements.of(agent=["a", "b"] * 200, judge=judge, gold=gold)
    rows = pick(table, 100, rng)
    assert len(rows) == len(set(rows.tolist())) == 100 and (rows >= 40).all()
    everything = pick(table, 10_000, rng)
    assert len(everything) == 360
