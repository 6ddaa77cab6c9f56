"""Scores by people and by what users did."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentnet.errors import DataError, InvalidInput
from agentnet.learning.scoring.labels import apply_labels, read_score
from agentnet.learning.scoring.signals import RETRY_WITHIN_S, Signals, similarity, store_signals
from agentnet.traces.export import to_outcomes
from agentnet.traces.records import OutcomeRecord
from agentnet.traces.store import TraceStore

from .runs import fill, run_id


def outcomes(store: TraceStore) -> list[OutcomeRecord]:
    return [record for _, record in store.outcomes_after()]


def test_a_csv_of_labels_by_run_and_by_task(store: TraceStore, tmp_path: Path) -> None:
    fill(store, ["4", "5", "6"])
    file = tmp_path / "labels.csv"
    file.write_text(
        "run_id,task,score,judge,at,weight,note\n"
        f"{run_id(0)},,yes,,,,fine\n"
        ',"What is 2 + 2, the 1th time?",0,ann,2026-01-01T00:00:00Z,2,\n'
        f"{run_id(2)},,,,,,\n"
        f"{'f' * 32},,1,,,,\n"
        f"{run_id(2)},,7,,,,\n"
    )
    report = apply_labels(file, store)
    assert (report.stored, report.empty, report.unmatched, report.bad) == (2, 1, 1, 1)
    assert report.first_bad.startswith("line 6")
    first, second = outcomes(store)
    assert (first.judge, first.score, first.weight, first.note) == ("human", 1.0, 1.0, "fine")
    assert (second.run_id, second.judge, second.weight, second.judged_at) == (
        run_id(1),
        "ann",
        2.0,
        1767225600.0,
    )


def test_the_same_file_twice_changes_nothing_and_a_later_one_overrules(
    store: TraceStore, tmp_path: Path
) -> None:
    fill(store, ["5"])
    file = tmp_path / "labels.jsonl"
    for when, score in ((100, 1), (100, 1), (200, 0)):
        file.write_text(json.dumps({"run_id": run_id(0), "score": score}) + "\n")
        os.utime(file, (when, when))
        apply_labels(file, store)
    assert [(item.score, item.judged_at) for item in outcomes(store)] == [(1.0, 100.0), (0.0, 200.0)]
    assert to_outcomes(store).score.tolist() == [[0.0]]


def test_a_task_whose_runs_differ_needs_the_answer_or_the_agent(store: TraceStore, tmp_path: Path) -> None:
    fill(store, ["4", "5"], agents=["a", "b"], task_text="2 + 2?")
    file = tmp_path / "labels.jsonl"
    rows = [
        {"task": "2 + 2?", "score": 1},
        {"task": "2 + 2?", "answer": "4", "score": 1},
        {"task": "2 + 2?", "agent": "b", "score": 0},
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = apply_labels(file, store)
    assert (report.stored, report.ambiguous) == (2, 1)
    assert [(item.run_id, item.step_seq, item.score) for item in outcomes(store)] == [
        (run_id(0), None, 1.0),
        (run_id(1), 0, 0.0),
    ]


def test_files_that_are_no_labels_are_refused(store: TraceStore, tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text("question,grade\nx,1\n")
    with pytest.raises(DataError, match="need 'score'"):
        apply_labels(file, store)
    with pytest.raises(DataError, match="no file"):
        apply_labels(tmp_path / "none.csv", store)


@given(st.text(max_size=60))
def test_no_text_whatever_stops_the_reading(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.mktemp("labels")
    (folder / "a.csv").write_text("run_id,score,at,weight,step\n" + text, errors="replace")
    (folder / "a.jsonl").write_text(text + "\n" + '{"run_id": "1", "score": ' + text + "}", errors="replace")
    with TraceStore.open(folder / "t.db") as store:
        for name in ("a.csv", "a.jsonl"):
            apply_labels(folder / name, store)


def test_scores_in_words() -> None:
    assert [read_score(v) for v in ("Right", "down", 1, "0.5")] == [1.0, 0.0, 1.0, 0.5]
    for wrong in ("perhaps", "nan", "-0.1", 2, None):
        with pytest.raises((ValueError, TypeError)):
            read_score(wrong)


# -- signals -------------------------------------------------------------------------------------
def test_asking_again_soon_in_the_same_session_speaks_against_the_first_answer(store: TraceStore) -> None:
    fill(store, ["4"] * 2, session_id="s", task_text="How do I reset my password?")
    report = store_signals(store)
    (record,) = outcomes(store)
    assert (record.run_id, record.judge, record.score, record.weight) == (run_id(0), "user:retry", 0.0, 0.2)
    assert record.judged_at == 1_001.0 and report.stored == {"user:retry": 1}
    store_signals(store)
    assert len(outcomes(store)) == 1


@pytest.mark.parametrize(
    ("changes", "retried"),
    [
        ({"text": "How do I reset my password please?"}, True),
        ({"text": "What is the capital of France?"}, False),
        ({"session": "other"}, False),
        ({"after": RETRY_WITHIN_S + 1}, False),
    ],
)
def test_what_counts_as_asking_again(store: TraceStore, changes: dict, retried: bool) -> None:
    from agentnet.traces.records import RunRecord

    first = RunRecord(
        run_id=run_id(0),
        started_at=10.0,
        status="ok",
        session_id="s",
        task_text="How do I reset my password?",
    )
    second = RunRecord(
        run_id=run_id(1),
        started_at=10.0 + changes.get("after", 5.0),
        status="ok",
        session_id=changes.get("session", "s"),
        task_text=changes.get("text", first.task_text),
    )
    store.write(first, second)
    assert store_signals(store).stored == ({"user:retry": 1} if retried else {})


def test_thumbs_ratings_and_edits_from_tags_and_from_a_file(store: TraceStore, tmp_path: Path) -> None:
    fill(
        store,
        ["Dear Ann, see you soon"],
        tags={"thumbs": "up", "rating": 2, "sent": "Dear Ann, see you Monday"},
    )
    file = tmp_path / "events.jsonl"
    events = [
        {"run_id": run_id(0), "kind": "thumbs", "value": "down", "at": 2_000},
        {
            "run_id": run_id(0),
            "kind": "edit",
            "value": "Dear Ann, see you soon",
            "at": "2026-01-01T00:00:00Z",
        },
        {"run_id": "f" * 32, "kind": "edit", "value": "x", "at": 1},
        {"run_id": run_id(0), "kind": "wink", "value": 1, "at": 1},
        {"run_id": run_id(0), "kind": "thumbs", "value": "up"},
    ]
    file.write_text("".join(json.dumps(item) + "\n" for item in events) + "{broken\n")
    report = store_signals(store, file)
    found = {(item.judge, item.judged_at): item.score for item in outcomes(store)}
    assert found == {
        ("user:thumbs", 1_000.0): 1.0,
        ("user:rating", 1_000.0): 0.25,
        ("user:edit", 1_000.0): pytest.approx(0.8),
        ("user:thumbs", 2_000.0): 0.0,
        ("user:edit", 1767225600.0): 1.0,
    }
    assert report.bad == 4 and "not stored" in report.first_bad
    assert {item.weight for item in outcomes(store)} == {0.5}


def test_a_verifier_outweighs_a_thumb(store: TraceStore) -> None:
    fill(store, ["5"])
    store.add_outcomes(
        Signals().thumbs(run_id(0), up=True, at=1.0),
        OutcomeRecord(run_id=run_id(0), score=0.0, judge="verifier:gold", judged_at=2.0),
    )
    assert to_outcomes(store).score[0, 0] == pytest.approx(1 / 3)


@given(st.text(max_size=80), st.text(max_size=80))
def test_similarity_is_symmetric_and_bounded(a: str, b: str) -> None:
    assert 0 <= similarity(a, b) <= 1 and similarity(a, a) == 1
    assert similarity(a, b) == 1 or a.split() != b.split()


def test_long_texts_are_compared_quickly() -> None:
    long = " ".join(str(i % 50) for i in range(50_000))
    assert similarity(long, long + " more") > 0.99


def test_weights_of_ones_own(store: TraceStore) -> None:
    own = Signals(weights={"user:thumbs": 0.9})
    assert own.thumbs(run_id(0), up=True, at=1.0).weight == 0.9
    with pytest.raises(InvalidInput, match="no weight"):
        own.rating(run_id(0), 3, at=1.0)
    with pytest.raises(InvalidInput, match="between 1 and 5"):
        Signals().rating(run_id(0), 9, at=1.0)
