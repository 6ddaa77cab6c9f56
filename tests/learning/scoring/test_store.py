"""Judgements out of a store, gold samples, and corrected scores back into it."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from agentnet.errors import DataError, NotEnoughEvidence
from agentnet.learning.scoring.corrected import correct_outcomes
from agentnet.learning.scoring.gold_sample import sample_gold
from agentnet.learning.scoring.labels import apply_labels
from agentnet.learning.scoring.read import read_judgements
from agentnet.traces.export import to_outcomes
from agentnet.traces.records import OutcomeRecord, RunRecord, StepRecord
from agentnet.traces.store import TraceStore

from .runs import fill, run_id

JUDGE = "judge:test/m"
N = 1_200


def judged(
    run: str, score: float, at: float = 1.0, judge: str = JUDGE, step: int | None = None
) -> OutcomeRecord:
    return OutcomeRecord(run_id=run, score=score, judge=judge, judged_at=at, step_seq=step)


def simulate(store: TraceStore, labels: int = 0) -> np.ndarray:
    """1,200 runs of two agents of quality 0.3 and 0.6; the judge is kind to the first."""
    rng = np.random.default_rng(0)
    ids = fill(store, ["x"] * N, agents=["kindly", "harshly"], routers=["old", "old", "new", "new"])
    first = np.arange(N) % 2 == 0
    truth = rng.random(N) < np.where(first, 0.3, 0.6)
    errs = rng.random(N) < np.where(truth, np.where(first, 0.1, 0.3), np.where(first, 0.3, 0.1))
    store.add_outcomes(*(judged(i, float(z)) for i, z in zip(ids, truth ^ errs, strict=True)))
    rows = rng.choice(N, labels, replace=False)
    store.add_outcomes(*(judged(ids[r], float(truth[r]), judge="human") for r in rows))
    return truth


def test_the_latest_judgement_and_the_most_trusted_gold_count(store: TraceStore) -> None:
    fill(store, ["4"] * 3, agents=["a", "b"], routers=["r"])
    store.add_outcomes(
        judged(run_id(0), 0.0, at=1.0),
        judged(run_id(0), 1.0, at=5.0),
        judged(run_id(0), 0.5, at=3.0),
        judged(run_id(0), 0.0, judge="verifier:gold"),
        judged(run_id(0), 1.0, judge="human", step=0),  # the only step's answer is the run's
        judged(run_id(1), 0.0, step=0),
        judged(run_id(1), 1.0, judge="human"),
        judged(run_id(2), 1.0, judge="human"),
    )
    table = read_judgements(store, JUDGE, ["human", "verifier:gold"])
    assert table.ids == (f"{run_id(0)}:-1", f"{run_id(1)}:0")
    assert (table.agents, table.groups) == (("a", "b"), ("r",))
    assert table.judge.tolist() == [1.0, 0.0] and table.gold.tolist() == [1.0, 1.0]
    by_trust = read_judgements(store, JUDGE, ["verifier:gold", "human"])
    assert by_trust.gold.tolist() == [0.0, 1.0]


def test_several_agents_answers_are_theirs_together(store: TraceStore) -> None:
    store.write(RunRecord(run_id=run_id(0), started_at=1.0, status="ok", task_text="?", answer="4"))
    for seq, agent in enumerate(("b", "a")):
        store.write(StepRecord(run_id=run_id(0), seq=seq, node=agent, agent=agent, answer="4"))
    store.add_outcomes(judged(run_id(0), 1.0), judged(run_id(0), 0.0, step=0))
    table = read_judgements(store, JUDGE, "human")
    assert sorted(table.agents[a] for a in table.agent) == ["a + b", "b"]


def test_a_judge_that_nobody_knows_is_refused_by_name(store: TraceStore) -> None:
    fill(store, ["4"])
    store.add_outcomes(judged(run_id(0), 1.0))
    with pytest.raises(NotEnoughEvidence, match="judge:test/m"):
        read_judgements(store, "judge:other", "human")


def test_a_gold_sample_is_filled_in_and_read_back(store: TraceStore, tmp_path: Path) -> None:
    truth = simulate(store)
    file = tmp_path / "labels.csv"
    assert sample_gold(store, JUDGE, file, n=60) == 60
    with pytest.raises(DataError, match="another name"):
        sample_gold(store, JUDGE, file, n=60)
    with file.open() as opened:
        rows = list(csv.DictReader(opened))
    assert len({row["run_id"] for row in rows}) == 60
    assert set(rows[0]) == {"run_id", "step", "score", "task", "context", "answer"}  # no verdict, no agent
    assert rows[0]["answer"] == "x" and rows[0]["task"].startswith("What is")
    for row in rows:
        row["score"] = "yes" if truth[int(row["run_id"], 16)] else "no"
    with file.open("w", newline="") as opened:
        writer = csv.DictWriter(opened, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    assert apply_labels(file, store).stored == 60
    assert read_judgements(store, JUDGE, "human").labelled.sum() == 60
    more = tmp_path / "more.csv"
    sample_gold(store, JUDGE, more, n=60)
    with more.open() as opened:
        assert not {row["run_id"] for row in csv.DictReader(opened)} & {row["run_id"] for row in rows}


def test_corrected_scores_take_the_place_of_raw_ones(store: TraceStore) -> None:
    truth = simulate(store, labels=300)
    raw = np.nanmean(to_outcomes(store).score, axis=0)
    report = correct_outcomes(store, JUDGE, "human", clock=lambda: 9.0)
    assert (report.corrected, report.gold, report.silenced) == (900, 300, N)
    found = to_outcomes(store)
    order = [found.agents.index(name) for name in ("kindly", "harshly")]
    true = np.array([truth[0::2].mean(), truth[1::2].mean()])
    corrected = np.nanmean(found.score, axis=0)[order]
    assert np.abs(corrected - true).max() < 0.05 < np.abs(raw[order] - true).max()
    kind, known = np.isin(found.score, (0.0, 1.0)), ~np.isnan(found.score)
    (of_gold,) = set(found.weight[kind & known].tolist())
    share = found.weight[known & ~kind] / of_gold
    assert ((share > 0.1) & (share < 0.6)).all()
    raw_rows = [r for _, r in store.outcomes_after(limit=10_000) if r.judge == JUDGE]
    assert {r.weight for r in raw_rows} == {0.0} and {r.score for r in raw_rows} == {0.0, 1.0}


def test_correcting_again_after_more_labels_overrules(store: TraceStore) -> None:
    truth = simulate(store, labels=100)
    correct_outcomes(store, JUDGE, "human", clock=lambda: 9.0)
    unlabelled = [i for i in range(N) if i < 50]
    store.add_outcomes(*(judged(run_id(i), float(truth[i]), judge="human", at=10.0) for i in unlabelled))
    again = correct_outcomes(store, JUDGE, "human", clock=lambda: 11.0)
    assert again.gold >= 140
    found = to_outcomes(store, runs=False)
    # What has gold now counts its gold alone.
    texts = {text: i for i, text in enumerate(found.queries.text)}
    for i in unlabelled:
        row = found.score[texts[f"What is 2 + 2, the {i}th time?"]]
        assert np.nanmax(row) == float(truth[i])


def test_without_labels_nothing_is_corrected_and_nothing_changed(store: TraceStore) -> None:
    simulate(store)
    before = to_outcomes(store).fingerprint
    with pytest.raises(NotEnoughEvidence):
        correct_outcomes(store, JUDGE, "human")
    assert to_outcomes(store).fingerprint == before
