"""Drift is found where there is some, is not where there is none, and nobody is accused of other tasks."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from agentnet.cli.main import app
from agentnet.errors import DataError, InvalidInput
from agentnet.outcomes.choices import ChoiceLog
from agentnet.releases.drift import drift_of, drift_of_log, drift_sections
from agentnet.releases.drift_tests import change_point, energy_test, share_test, stratified_difference, t_tail
from agentnet.releases.windows import split_log
from agentnet.traces.records import DecisionRecord, OutcomeRecord, RunRecord, StepRecord
from agentnet.traces.store import TraceStore
from tests.releases.simulated import TopicEncoder, simulate


# -- the tests by themselves -------------------------------------------------------------------
def test_the_stratified_comparison_keeps_its_level() -> None:
    rng = np.random.default_rng(0)
    p = []
    for _ in range(1000):
        stratum = rng.integers(4, size=300)
        recent = rng.random(300) < np.array([0.1, 0.2, 0.3, 0.6])[stratum]  # the mix moves
        score = (rng.random(300) < np.array([0.2, 0.5, 0.7, 0.9])[stratum]).astype(float)  # with the score
        weight = np.where(rng.random(300) < 0.2, 5.0, 1.0)
        p.append(stratified_difference(score, recent, stratum, weight).p)
    for level in (0.01, 0.05, 0.2):
        share = np.mean(np.array(p) <= level)
        assert share <= level + 3 * np.sqrt(level * (1 - level) / 1000)
    assert np.mean(np.array(p) <= 0.2) > 0.1  # and is not deaf


def test_the_energy_test_keeps_its_level_and_sees_a_move() -> None:
    rng = np.random.default_rng(1)
    p = [
        energy_test(*(rng.normal(size=(n, 3)).astype(np.float32) for n in (60, 30)), rng)[1]
        for _ in range(300)
    ]
    assert np.mean(np.array(p) <= 0.05) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)
    assert 0.35 < np.mean(np.array(p) <= 0.5) < 0.65
    moved = rng.normal(size=(60, 3)).astype(np.float32) + 1
    distance, sure = energy_test(rng.normal(size=(60, 3)).astype(np.float32), moved, rng)
    assert distance > 0 and sure <= 1e-3
    same = np.ones((40, 3), np.float32)
    assert energy_test(same, same, rng)[1] == 1.0


def test_tails_are_those_of_the_tables() -> None:
    assert t_tail(12.706, 1) == pytest.approx(0.05, abs=1e-4)
    assert t_tail(2.042, 30) == pytest.approx(0.05, abs=2e-4)
    assert t_tail(3.291, 1e7) == pytest.approx(0.001, abs=1e-5)
    assert share_test(8, 10, 1, 10) == pytest.approx(0.0027, abs=1e-4)  # of a table of Fisher's test


def test_the_interval_of_the_change_point_holds_the_truth() -> None:
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(200):
        chance = np.where(np.arange(400) < 250, 0.8, 0.5)
        found = change_point((rng.random(400) < chance).astype(float), np.arange(400.0))
        assert found is not None
        held += found.low <= 250 <= found.high
    assert held >= 184  # 95% of 200, less three standard errors


# -- reports -----------------------------------------------------------------------------------
def test_without_drift_there_are_no_more_alarms_than_the_level() -> None:
    level = 0.1  # high, so that 200 logs can tell a rate above it
    logs = (simulate(480, seed, epsilon=0.9) for seed in range(200))
    reports = [drift_of_log(log, encoder=TopicEncoder(), level=level) for log in logs]
    alarms = sum(report.drifted for report in reports)
    assert np.mean([len(report.findings) for report in reports]) > 7
    assert alarms <= 200 * level + 3 * np.sqrt(200 * level * (1 - level))


def test_a_broken_agent_is_found_with_its_time_and_alone() -> None:
    report = drift_of_log(simulate(4000, 1, broken=0))
    (finding,) = report.alarms
    assert (finding.kind, finding.name) == ("score", "ann")
    assert finding.low is not None and finding.high is not None and finding.since is not None
    assert finding.low < -0.3 < finding.high
    assert finding.since.low <= 3000 <= finding.since.high
    assert abs(finding.since.at - 3000) < 150
    assert "since about" in finding.line()


def test_other_tasks_and_another_router_accuse_no_agent() -> None:
    accused = []
    for seed in range(20):
        log = simulate(900, seed, mix=[0.1, 0.1, 0.6, 0.2], switch=True)
        report = drift_of_log(log, encoder=TopicEncoder())
        assert "tasks" in {finding.name for finding in report.alarms if finding.kind == "input"}
        accused += [finding.name for finding in report.alarms if finding.kind == "score"]
    assert accused == []


def test_plain_means_would_have_accused_one() -> None:
    # What the last test guards against is there: the same logs, without looking at the tasks.
    log = simulate(1500, 0, mix=[0.1, 0.1, 0.6, 0.2], switch=True)
    rows = log.plan == 0
    late = log.at[rows] >= 0.75 * 1500
    plain = stratified_difference(log.score[rows], late, np.zeros(rows.sum(), np.intp))
    assert plain.p < 1e-3


def test_a_dearer_agent_is_found_and_unknown_costs_are_not_nothing() -> None:
    log = simulate(4000, 3, dear=1, unknown=0.1)
    (finding,) = drift_of_log(log, encoder=TopicEncoder()).alarms
    assert (finding.kind, finding.name, finding.unit) == ("price", "bob", "USD a call")
    assert finding.low is not None and finding.high is not None and 0 < finding.low < 0.55 < finding.high
    # Half of the recent costs unknown: as zeros they would halve the price.
    hidden = log.cost.copy()
    hidden[3000::2] = np.nan
    half = drift_of_log(replace(log, cost=hidden), encoder=TopicEncoder())
    price = next(f for f in half.findings if f.kind == "price" and f.name == "ann")
    assert not price.drifted and abs(price.change) < 0.15
    assert any("unknown in" in note for note in half.notes)


def test_prices_by_token_know_prompt_from_completion() -> None:
    log = simulate(2000, 4)
    windows = []
    rng = np.random.default_rng(0)
    for k, window in enumerate(split_log(log)):
        n = len(window.charges.cost)
        prompt = rng.integers(20, 50, n) * (1.0 if k == 0 else 4.0)  # longer prompts, the same prices
        completion = rng.integers(20, 50, n).astype(float)
        cost = np.round((1.0 * prompt + 5.0 * completion) * 1e-6, 9)
        rise = np.where(window.charges.agent == "cy", 1.02 if k else 1.0, 1.0)
        charges = replace(window.charges, prompt=prompt, completion=completion, cost=cost * rise)
        windows.append(replace(window, charges=charges))
    from agentnet.releases.drift import find_drift

    by_token = {
        f.name: f
        for f in find_drift(*windows, encoder=TopicEncoder()).findings
        if f.unit == "USD a million tokens"
    }
    assert set(by_token) == {"ann", "bob", "cy"}
    assert by_token["cy"].drifted
    assert not by_token["ann"].drifted and not by_token["bob"].drifted


def test_a_log_without_judgements_is_compared_by_the_rest() -> None:
    log = simulate(800, 5)
    report = drift_of_log(replace(log, score=np.full(800, np.nan)), encoder=TopicEncoder())
    assert {finding.kind for finding in report.findings} == {"input", "price"}
    assert any("judged" in note for note in report.notes)
    with pytest.raises(InvalidInput, match="level"):
        drift_of_log(log, level=0.0)


def test_the_page_and_the_values_say_the_same() -> None:
    report = drift_of_log(simulate(2000, 6, broken=1), encoder=TopicEncoder())
    (section,) = drift_sections(report)
    assert "Drift was found" in section and "score bob" in section
    values = json.loads(json.dumps(report.to_dict()))
    assert values["drifted"] and values["findings"][0]["name"] == "bob"
    assert drift_of_log(simulate(2000, 6, broken=1), encoder=TopicEncoder()) == report


# -- from a database ---------------------------------------------------------------------------
def fill(url: str, log: ChoiceLog, start: float = 1.7e9) -> None:
    """Writes a log as simulated runs, a minute apart; costs stand at the steps, as the runtime has them."""
    with TraceStore.open(url) as store:
        for i in range(len(log)):
            run_id, name = f"{i:032x}", log.agents[log.agent[i]]
            at = start + 60 * i
            cost = None if np.isnan(log.cost[i]) else Decimal(f"{log.cost[i]:.9f}")
            graph = log.plans[log.plan[i]].to_dict()
            store.write(
                RunRecord(
                    run_id=run_id, started_at=at, status="ok", task_text=log.queries.text[log.query[i]],
                    cost_usd=cost, kind="simulated", task_hash=run_id, pool_version=log.pool.version,
                    pool=tuple(log.pool.to_list()),
                ),
                DecisionRecord(
                    run_id=run_id, router="eps", router_version="1", graph=graph, propensity=log.propensity[i]
                ),
                StepRecord(
                    run_id=run_id, seq=0, node=name, agent=name, cost_usd=cost, prompt_tokens=40,
                    completion_tokens=20,
                ),
                OutcomeRecord(run_id=run_id, score=log.score[i], judge="verifier:t", judged_at=at),
            )  # fmt: skip


@pytest.fixture
def broken(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/traces.db"
    fill(url, simulate(1600, 7, broken=0, loss=0.45))
    return url


def test_a_database_is_read_in_two_bounded_windows(broken: str) -> None:
    with TraceStore.open(broken, create=False) as store:
        report = drift_of(store)
        few = drift_of(store, most=200)
        with pytest.raises(DataError, match="before the recent window"):
            drift_of(store, recent_from=1.0)
        with pytest.raises(DataError, match="after the recent window"):
            drift_of(store, recent_from=1.8e9)
    assert (report.reference["runs"], report.recent["runs"]) == (1200, 400)
    assert [finding.name for finding in report.alarms] == ["ann"]
    since = report.alarms[0].since
    assert since is not None and since.low <= 1.7e9 + 60 * 1200 <= since.high
    assert (few.reference["drawn"], few.recent["drawn"]) == (200, 200)
    assert (few.reference["judged"], few.recent["judged"]) == (200, 200)
    assert few.reference["runs"] == 1200


def test_the_command_prints_and_writes(broken: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = CliRunner().invoke(app, ["drift", "--db", broken, "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "DRIFT score ann" in done.output
    assert json.loads((out / "drift.json").read_text())["drifted"] is True
    assert "Drift was found" in (out / "drift.html").read_text()
    told = CliRunner().invoke(app, ["drift", "--db", broken, "--json"])
    assert json.loads(told.output)["drifted"] is True
    wrong = CliRunner().invoke(app, ["drift", "--db", broken, "--recent", "soon"])
    assert isinstance(wrong.exception, InvalidInput)


def test_learn_does_nothing_unless_something_drifted(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/calm.db"
    fill(url, simulate(400, 8))
    registry = tmp_path / "registry"
    done = CliRunner().invoke(app, ["learn", "--db", url, "--registry", str(registry), "--if-drift"])
    assert done.exit_code == 0, done.output
    assert "nothing has drifted" in done.output
    assert not registry.exists()


@pytest.mark.postgres
def test_postgresql_tells_the_same(broken: str, postgres_url: str) -> None:
    fill(postgres_url, simulate(1600, 7, broken=0, loss=0.45))
    reports = []
    for url in (broken, postgres_url):
        with TraceStore.open(url, create=False) as store:
            reports.append(drift_of(store))
    assert reports[0].to_dict() == reports[1].to_dict()
