"""Secrets are never stored, and texts only as far as the capture mode allows."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentnet.errors import StoreError
from agentnet.traces.records import (
    DecisionRecord,
    MessageRecord,
    OutcomeRecord,
    Record,
    RunRecord,
    StepRecord,
    task_hash,
)
from agentnet.traces.redact import SECRET, redact_personal, scrub
from agentnet.traces.store import TraceStore
from agentnet.traces.values import Cleaner

# Put together here, so that no scanner takes this file for a leak.
SECRETS = [
    "sk-" + "proj-abcdefghijklmnop1234",
    "sk-" + "ant-api03-ABCDEFGHIJKLMNOP_-12",
    "AKIA" + "ABCDEFGHIJKLMNOP",
    "ghp_" + "a1" * 18,
    "github_pat_" + "a1" * 20,
    "glpat-" + "a1" * 10,
    "xoxb-" + "1234567890-abcdef",
    "AIza" + "a1" * 17,
    "hf_" + "aB" * 17,
    "gsk_" + "aB" * 20,
    "eyJ" + "hbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc_DEF-123",
]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("form", ["{}", "my key is {}.", '{{"k": "{}"}}', "a\n{}\nb", "url?x={}&y=1"])
def test_tokens_are_replaced(secret: str, form: str) -> None:
    cleaned = scrub(form.format(secret))
    assert secret not in cleaned
    assert SECRET in cleaned


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("https://me:pa55w0rd@host/x", "https://me:[secret]@host/x"),
        ("postgresql+psycopg://u:p%40ss@h:1/d", "postgresql+psycopg://u:[secret]@h:1/d"),
        ("Authorization: Bearer abcdefghijklmnop", "Authorization: Bearer [secret]"),
        ("authorization: basic dXNlcjpwYXNzd29yZA==", "authorization: basic [secret]"),
        ("OPENAI_API_KEY=abcdefgh12345", "OPENAI_API_KEY=[secret]"),
        ('{"client_secret": "abcdefgh12345"}', '{"client_secret": "[secret]"}'),
        ("-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----\nx", "[secret]\nx"),
    ],
)
def test_secrets_in_context_are_replaced(text: str, cleaned: str) -> None:
    assert scrub(text) == cleaned
    assert scrub(cleaned) == cleaned


@pytest.mark.parametrize(
    "text",
    [
        "How many tokens are in the key sentence? Bearer of bad news, basic arithmetic.",
        "risk-averse task-oriented agents; see https://example.org:8080/a@b",
        "password: ?",
        "The secret of max_tokens=512 and token = next(tokens)",
    ],
)
def test_ordinary_text_is_kept(text: str) -> None:
    assert scrub(text) == text


@given(
    st.recursive(st.text() | st.none() | st.integers(), lambda x: st.lists(x) | st.dictionaries(st.text(), x))
)
def test_json_stays_json_whatever_is_replaced(value: Any) -> None:
    json.loads(Cleaner()({"password": value, "x": [value, SECRETS[0], 'api_key="abcdefgh"']}))


def test_a_secret_under_its_name_is_replaced_in_json() -> None:
    written = Cleaner()({"options": {"api_key": "looks harmless", "n": 3}})
    assert json.loads(written) == {"options": {"api_key": SECRET, "n": 3}}


def test_personal_data() -> None:
    text = "ann@example.org, +49 151 2345678, 4111 1111 1111 1111, 10.0.0.1, 1234567890123 apples"
    assert redact_personal(text) == "[email], [phone], [card], [ip], 1234567890123 apples"


def _records(word: str) -> list[Record]:
    return [
        RunRecord(
            run_id="r", started_at=1.0, status="error", task_text=f"q {word}", task_context=f"c {word}",
            task_history=({"role": "user", "content": f"h {word}"},), answer=f"a {word}",
            error=f"BackendError: {word}", gold=word, task_label="math", tags={"team": "blue"},
        ),
        DecisionRecord(run_id="r", router="knn", evidence={"near": [f"n {word}"], "distance": 0.5}),
        StepRecord(run_id="r", seq=0, agent="a", answer=f"s {word}", error=word, prompt_tokens=3),
        MessageRecord(run_id="r", step_seq=0, seq=0, role="user", content=f"m {word}"),
        OutcomeRecord(run_id="r", score=1.0, judge="human", judged_at=1.0, note=f"o {word}"),
    ]  # fmt: skip


def _everything(file: Path) -> str:
    connection = sqlite3.connect(file)
    text = "\n".join(connection.iterdump())
    connection.close()
    return text


@pytest.mark.parametrize("capture", ["full", "redacted", "off"])
def test_no_secret_reaches_the_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capture: Any
) -> None:
    known = "only-known-by-its-value"
    monkeypatch.setenv("ACME_API_KEY", known)
    file = tmp_path / "traces.db"
    with TraceStore.open(file, capture=capture) as store:
        store.write(*_records(f"{SECRETS[0]} {known}"))
    dump = _everything(file)
    assert SECRETS[0] not in dump and known not in dump
    assert (SECRET in dump) == (capture != "off")


def test_capture_off_keeps_numbers_and_names_only(tmp_path: Path) -> None:
    file = tmp_path / "traces.db"
    with TraceStore.open(file, capture="off") as store:
        store.write(*_records("zebra"))
        trace = store.run("r")
    assert "zebra" not in _everything(file)
    assert trace.run.task_hash == task_hash("q zebra", "c zebra", [{"role": "user", "content": "h zebra"}])
    assert (trace.run.task_text, trace.run.answer, trace.run.task_history) == (None, None, ())
    assert trace.run.error == "BackendError" and trace.steps[0].error == "(not captured)"
    assert trace.run.tags == {"team": "blue"} and trace.steps[0].prompt_tokens == 3
    assert trace.decisions[0].evidence == {"near": [None], "distance": 0.5}
    assert trace.messages[0].content is None and trace.messages[0].role == "user"


def test_redaction_passes_every_text_through_the_function(tmp_path: Path) -> None:
    file = tmp_path / "traces.db"
    with TraceStore.open(file, capture="redacted", redact=lambda text: text.replace("zebra", "#")) as store:
        store.write(*_records("zebra"))
        assert store.run("r").run.task_text == "q #"
    assert "zebra" not in _everything(file)


def test_a_failing_redaction_stores_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def fail(text: str) -> str:
        raise ValueError(f"cannot redact {text}")

    file = tmp_path / "traces.db"
    store = TraceStore.open(file, capture="redacted", redact=fail)
    store.write(RunRecord(run_id="r", started_at=1.0, task_text="zebra"))
    with pytest.raises(StoreError, match="cannot be stored") as caught:
        store.close()
    assert "zebra" not in str(caught.value) + caplog.text
    assert "zebra" not in _everything(file)


def test_an_unknown_capture_mode(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="'full', 'redacted' or 'off'"):
        TraceStore.open(tmp_path / "x.db", capture="some")  # type: ignore[arg-type]
