"""LiteLLM's spend logs become runs, without anybody's key."""

from __future__ import annotations

import csv
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentnet.traces.choices import read_choices
from agentnet.traces.importers.base import ImportReport, import_log
from agentnet.traces.importers.litellm import litellm_records
from agentnet.traces.records import OutcomeRecord
from agentnet.traces.store import TraceStore

KEY_HASH = "88dc28d0f030c55ed4ab77ed8faf098196cb1c05df778539800c9f1243fe6b4b"
SECRET_KEY = "sk-abcdefghijklmnop1234567890"


def row(number: int = 1, **changes: Any) -> dict[str, Any]:
    """A row as the proxy's API gives it."""
    return {
        "request_id": f"chatcmpl-{number}",
        "call_type": "acompletion",
        "api_key": KEY_HASH,
        "spend": 0.000125,
        "total_tokens": 30,
        "prompt_tokens": 20,
        "completion_tokens": 10,
        "startTime": f"2026-03-01T12:00:{number:02d}.000Z",
        "endTime": f"2026-03-01T12:00:{number:02d}.750Z",
        "model": "gpt-4o-mini",
        "model_group": "fast",
        "custom_llm_provider": "openai",
        "api_base": "https://api.openai.com/v1",
        "user": "ann@example.org",
        "end_user": "customer-17",
        "requester_ip_address": "203.0.113.9",
        "metadata": {"user_api_key": KEY_HASH, "user_api_key_alias": "ann-laptop", "status": "success"},
        "cache_hit": "False",
        "request_tags": ["production"],
        "messages": {},
        "response": {"choices": [{"message": {"role": "assistant", "content": "4"}}]},
        "proxy_server_request": {"messages": [{"role": "user", "content": "2 + 2?"}], "model": "fast"},
        "session_id": "talk-1",
        "status": "success",
        **changes,
    }


def lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(item) + "\n" for item in rows))
    return path


def only(store: TraceStore) -> Any:
    (trace,) = store.iter_traces()
    return trace


def test_a_row_is_a_run_of_its_model_group(store: TraceStore, tmp_path: Path) -> None:
    report = import_log(lines(tmp_path / "spend.jsonl", row()), store)
    assert (report.format, report.runs, report.bad, report.without_text) == ("litellm", 1, 0, 0)
    trace = only(store)
    assert (trace.run.task_text, trace.run.answer, trace.run.session_id) == ("2 + 2?", "4", "talk-1")
    assert trace.run.cost_usd == Decimal("0.000125") and trace.run.latency_s == pytest.approx(0.75)
    (step,) = trace.steps
    assert (step.agent, step.backend, step.prompt_tokens, step.completion_tokens) == (
        "fast",
        "gpt-4o-mini",
        20,
        10,
    )
    assert (
        trace.run.pool[0]["name"] == "fast" and trace.run.pool[0]["backend"]["model"] == "openai/gpt-4o-mini"
    )


def test_nobodys_key_name_or_address_is_kept(store: TraceStore, tmp_path: Path) -> None:
    failure = {
        "error_information": {"error_class": "AuthenticationError", "error_message": f"bad key {SECRET_KEY}"}
    }
    rows = (row(1), row(2, status="failure", metadata=failure, response={}))
    import_log(lines(tmp_path / "spend.jsonl", *rows), store)
    store.flush()
    kept = json.dumps([trace.to_dict() for trace in store.iter_traces(messages=True)])
    for private in (KEY_HASH, SECRET_KEY, "ann", "customer-17", "203.0.113.9", "api.openai.com"):
        assert private not in kept
    failed = list(store.iter_runs())[1]
    assert failed.status == "error" and "AuthenticationError" in (failed.error or "")


def test_the_same_calls_as_lines_array_and_csv(store: TraceStore, tmp_path: Path) -> None:
    rows = [row(number) for number in range(1, 6)]
    array = tmp_path / "spend.json"
    array.write_text(json.dumps(rows, indent=1))
    table = tmp_path / "spend.csv"
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        for item in rows:  # as PostgreSQL's COPY writes it
            times = {name: item[name].replace("T", " ").rstrip("Z") for name in ("startTime", "endTime")}
            texts = {key: json.dumps(v) if isinstance(v, (dict, list)) else v for key, v in item.items()}
            writer.writerow(texts | times)
    found = []
    for file_ in (lines(tmp_path / "spend.jsonl", *rows), array, table):
        report = import_log(file_, store)
        assert (report.runs, report.bad) == (5, 0)
        found.append(
            [{**t.to_dict(), "run": {**t.to_dict()["run"], "batch_id": None}} for t in store.iter_traces()]
        )
    assert found[0] == found[1] == found[2] and len(found[0]) == 5


def test_unknown_price_is_not_zero_but_a_cached_answer_is(store: TraceStore, tmp_path: Path) -> None:
    import_log(lines(tmp_path / "a.jsonl", row(1, spend=0.0), row(2, spend=0.0, cache_hit="True")), store)
    assert [run.cost_usd for run in store.iter_runs()] == [None, Decimal("0.0")]


@pytest.mark.parametrize(
    "changes",
    [
        {"request_tags": ["agentnet.propensity:0.25", "agent:billing"]},
        {
            "request_tags": ["agent:billing"],
            "metadata": {"spend_logs_metadata": {"agentnet.propensity": 0.25}},
        },
    ],
)
def test_agent_and_propensity_that_the_caller_noted(store: TraceStore, tmp_path: Path, changes: Any) -> None:
    report = import_log(lines(tmp_path / "spend.jsonl", row(**changes)), store)
    (decision,) = only(store).decisions
    assert decision.propensity == 0.25 and only(store).steps[0].agent == "billing"
    assert report.with_propensity == 1


def test_a_log_without_contents_says_so(store: TraceStore, tmp_path: Path) -> None:
    report = import_log(lines(tmp_path / "a.jsonl", row(response={}, proxy_server_request={})), store)
    assert report.without_text == 1 and only(store).run.task_text is None


def test_responses_and_anthropic_bodies(store: TraceStore, tmp_path: Path) -> None:
    responses = row(
        1,
        call_type="aresponses",
        proxy_server_request={
            "input": [{"role": "user", "content": [{"type": "input_text", "text": "Hi?"}]}]
        },
        response={
            "output": [
                {"type": "reasoning"},
                {"type": "message", "content": [{"type": "output_text", "text": "Yo"}]},
            ]
        },
    )
    anthropic = row(
        2,
        call_type="anthropic_messages",
        proxy_server_request=json.dumps(
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "Ho?"}]}]}
        ),
        response=json.dumps({"type": "message", "content": [{"type": "text", "text": "Ay"}]}),
    )
    import_log(lines(tmp_path / "a.jsonl", responses, anthropic), store)
    assert [(run.task_text, run.answer) for run in store.iter_runs()] == [("Hi?", "Yo"), ("Ho?", "Ay")]


def test_other_calls_and_broken_rows_are_counted(store: TraceStore, tmp_path: Path) -> None:
    rows = (
        row(1),
        row(2, call_type="aembedding"),
        row(3, startTime=None),
        row(4, startTime="soon"),
        row(5, model="", model_group=""),
        row(6, spend="NaN"),
    )
    report = import_log(lines(tmp_path / "a.jsonl", *rows), store)
    assert (report.runs, report.other, report.bad) == (1, 1, 4)
    assert "chatcmpl-3" in report.first_bad


def test_imported_runs_are_choices_to_learn_from(store: TraceStore, tmp_path: Path) -> None:
    rows = [
        row(
            i,
            model_group=("fast", "good")[i % 2],
            request_tags=["agentnet.propensity:0.5"],
            proxy_server_request={"messages": [{"role": "user", "content": f"{i} + 2?"}]},
        )
        for i in range(1, 9)
    ]
    import_log(lines(tmp_path / "a.jsonl", *rows), store)
    ids = [run.run_id for run in store.iter_runs()]
    store.add_outcomes(*(OutcomeRecord(run_id=i, score=1.0, judge="human", judged_at=1.0) for i in ids))
    log, _ = read_choices(store)
    assert len(log) == 8 and set(log.agents) == {"fast", "good"} and set(log.propensity) == {0.5}


@given(
    st.dictionaries(
        st.sampled_from(sorted(row())),
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(max_size=6)
        | st.lists(
            st.none()
            | st.text(max_size=4)
            | st.dictionaries(st.sampled_from(["role", "content", "type"]), st.text(max_size=4), max_size=2),
            max_size=3,
        )
        | st.dictionaries(
            st.sampled_from(["choices", "content", "messages", "body", "message"]),
            st.none() | st.text(max_size=4) | st.lists(st.integers(), max_size=2),
            max_size=2,
        ),
        max_size=5,
    )
)
def test_no_row_whatever_stops_the_reading(
    tmp_path_factory: pytest.TempPathFactory, changes: dict[str, Any]
) -> None:
    file = tmp_path_factory.mktemp("rows") / "a.jsonl"
    file.write_text(json.dumps(row(1) | changes) + "\n" + json.dumps(row(2)) + "\n")
    report = ImportReport()
    found = list(litellm_records(file, report))
    assert len(found) + report.other + report.bad == 2
