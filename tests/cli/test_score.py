"""`traces score`, `agreement`, `correct`, `sample-gold` and `traces import` of logs, as a user types them."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentnet.traces.records import OutcomeRecord, RunRecord, StepRecord
from agentnet.traces.store import TraceStore

N = 200


@pytest.fixture
def db(tmp_path: Path) -> str:
    """200 runs of two agents; one in two answers of the first is right, four in five of the second."""
    url = f"sqlite:///{tmp_path}/runs.db"
    with TraceStore.open(url) as store:
        for i in range(N):
            right = i % 4 < 2 if i % 2 else i % 10 < 8
            store.write(
                RunRecord(
                    run_id=f"{i:032x}",
                    started_at=1e9 + i,
                    status="ok",
                    task_text=f"{i} + 1?",
                    answer=str(i + 1) if right else "no idea",
                    gold=str(i + 1),
                    metric="exact_match",
                ),
                StepRecord(
                    run_id=f"{i:032x}", seq=0, node="n", agent=("adder", "guesser")[i % 2], answer="x"
                ),
            )
    return url


def judge(url: str, n: int = N) -> None:
    """A judge that accepts all of the guesser's answers with an even number."""
    rng = np.random.default_rng(0)
    with TraceStore.open(url) as store:
        store.add_outcomes(
            *(
                OutcomeRecord(
                    run_id=f"{i:032x}", score=float(rng.random() < 0.6), judge="judge:m", judged_at=1.0
                )
                for i in range(n)
            )
        )


def test_score_by_gold_then_only_what_is_new(cli: Any, db: str) -> None:
    done = cli("traces", "score", "--with", "gold", "--db", db, "--limit", "50")
    assert done.status == 0 and "verifier:gold: 50 scored" in done.out
    assert "verifier:gold: 150 scored" in cli("traces", "score", "--with", "gold", "--db", db).out
    assert "verifier:gold: 0 scored" in cli("traces", "score", "--with", "gold", "--db", db).out
    assert "200 scored" in cli("traces", "score", "--with", "gold", "--db", db, "--again").out


def test_score_by_a_verifier_of_ones_own(
    cli: Any, db: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_rules.py").write_text("def brief(task, answer):\n    return len(answer) < 4\n")
    monkeypatch.syspath_prepend(tmp_path)
    done = cli("traces", "score", "--with", "verifier:my_rules:brief", "--db", db, "--sample", "0.5")
    assert done.status == 0 and "verifier:my_rules:brief: " in done.out
    assert 70 < int(done.out.split(": ")[1].split()[0]) < 130


def test_a_language_model_judges_within_its_budget(cli: Any, db: str, tmp_path: Path) -> None:
    backend = {
        "name": "small",
        "model": "openai/small",
        "price_in_per_mtok": "1",
        "price_out_per_mtok": "1",
        "options": {"mock_response": "Yes."},
    }
    (tmp_path / "agents.json").write_text(json.dumps([{"name": "checker", "backend": backend}]))
    asked = ("traces", "score", "--with", "judge:small", "--agents", "agents.json", "--db", db)
    done = cli(*asked, "--budget", "0.002", "--max-tokens", "4", "--concurrency", "2")
    assert done.status == 0, done.err
    assert "judge:openai/small: " in done.out and "USD" in done.out and "stopped early" in done.err
    unpriced = [
        {
            "name": "checker",
            "backend": {"name": "free", "model": "openai/nobody-knows", "options": {"mock_response": "Yes."}},
        }
    ]
    (tmp_path / "agents.json").write_text(json.dumps(unpriced))
    refused = cli(*asked[:3], "judge:free", *asked[4:], "--budget", "1")
    assert refused.status == 1 and "nothing was sent" in refused.error


def test_labels_agreement_and_correction(cli: Any, db: str, tmp_path: Path) -> None:
    judge(db)
    done = cli("traces", "sample-gold", "--judge", "judge:m", "--n", "40", "--out", "labels.csv", "--db", db)
    assert done.status == 0 and "40 answers -> labels.csv" in done.out
    taken = cli("traces", "sample-gold", "--judge", "judge:m", "--out", "labels.csv", "--db", db)
    assert taken.status == 2 and "another name" in taken.error
    few = cli("traces", "agreement", "--judge", "judge:m", "--db", db)
    assert few.status == 1 and "at least 10" in few.error
    with (tmp_path / "labels.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["score"] = str(int(row["answer"] != "no idea"))
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    assert "labels: 40 stored" in cli("traces", "score", "--with", "labels:labels.csv", "--db", db).out
    shown = cli("traces", "agreement", "--judge", "judge:m", "--gold", "human", "--db", db)
    assert "40 of 200 judged answers labelled" in " ".join(shown.out.split())
    assert all(any(name in line for line in shown.out.splitlines()) for name in ("adder", "guesser"))
    assert max(map(len, shown.out.splitlines())) <= 110
    found = json.loads(cli("traces", "agreement", "--judge", "judge:m", "--json", "--db", db).out)
    assert {row["agent"]: row["judged"] for row in found["agents"]} == {"adder": 100, "guesser": 100}
    corrected = cli("traces", "correct", "--judge", "judge:m", "--db", db)
    assert "160 scores of judge:m+corrected, 40 answers keep their gold score" in corrected.out


def test_the_agreement_is_shown_after_scoring_where_there_is_gold(cli: Any, db: str, tmp_path: Path) -> None:
    cli("traces", "score", "--with", "gold", "--db", db)
    (tmp_path / "agents.json").write_text(
        json.dumps(
            [
                {
                    "name": "c",
                    "backend": {
                        "name": "small",
                        "model": "openai/small",
                        "options": {"mock_response": "Yes."},
                    },
                }
            ]
        )
    )
    done = cli(
        "traces",
        "score",
        "--with",
        "judge:small",
        "--agents",
        "agents.json",
        "--db",
        db,
        "--gold",
        "verifier:gold",
    )
    assert "judge:openai/small against verifier:gold: 200 of 200" in done.out


def test_signals_and_several_scorers_at_once(cli: Any, db: str, tmp_path: Path) -> None:
    event = {"run_id": f"{0:032x}", "kind": "thumbs", "value": "up", "at": 1}
    (tmp_path / "events.jsonl").write_text(json.dumps(event) + "\n{\n")
    done = cli("traces", "score", "--with", "signals:events.jsonl", "--with", "gold", "--db", db)
    assert "signals: 1 user:thumbs" in done.out and "verifier:gold: 200 scored" in done.out
    assert "1 cannot be used" in done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--with", "magic"), "--with takes gold"),
        (("--with", "verifier:no_such_module:f"), "PYTHONPATH"),
        (("--with", "labels:none.csv"), "no file none.csv"),
        (("--with", "gold", "--since", "yesterday"), "7d"),
        (("--with", "judge:m", "--budget", "much"), "number of USD"),
        (("--with", "gold", "--sample", "0"), "sample"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    cli: Any, db: str, arguments: tuple[str, ...], said: str
) -> None:
    done = cli("traces", "score", *arguments, "--db", db)
    assert done.status == 2 and said in done.error


def test_since_takes_spans_and_dates(cli: Any, db: str) -> None:
    assert "0 scored" in cli("traces", "score", "--with", "gold", "--since", "7d", "--db", db).out
    assert "200 scored" in cli("traces", "score", "--with", "gold", "--since", "2001-09-09", "--db", db).out


def test_import_says_what_it_found(cli: Any, tmp_path: Path) -> None:
    rows = [
        {
            "request_id": "r1",
            "call_type": "acompletion",
            "spend": 0.1,
            "prompt_tokens": 1,
            "completion_tokens": 1,
            "startTime": "2026-03-01T12:00:00Z",
            "endTime": "2026-03-01T12:00:01Z",
            "model": "m",
            "model_group": "fast",
            "messages": [{"role": "user", "content": "Hi?"}],
            "response": {"choices": [{"message": {"content": "Yo"}}]},
        },
        {"request_id": "r2", "call_type": "aembedding", "startTime": "2026-03-01T12:00:00Z", "spend": 0},
        {"request_id": "r3", "startTime": "never", "spend": 0},
    ]
    (tmp_path / "spend.json").write_text(json.dumps(rows))
    done = cli("traces", "import", "spend.json", "--db", f"sqlite:///{tmp_path}/new.db")
    assert done.status == 0 and done.out.splitlines()[0].startswith("1 runs -> ")
    assert "litellm, agents: fast" in done.out and "1 that cannot be read" in done.out
    assert "1 rows or spans about something else" in done.out and "no probabilities" in done.out
    wrong = cli("traces", "import", "spend.json", "--format", "otel", "--db", f"sqlite:///{tmp_path}/new.db")
    assert wrong.status == 0 and wrong.out.startswith("0 runs")


@pytest.mark.parametrize("command", ["score", "agreement", "correct", "sample-gold", "import"])
def test_help_shows_an_example(cli: Any, command: str) -> None:
    assert f"agentnet traces {command}" in " ".join(cli("traces", command, "--help").out.split())
