"""OpenTelemetry GenAI spans become runs, whoever wrote them and however."""

from __future__ import annotations

import base64
import gzip
import json
import random
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentnet.errors import DataError, StoreError
from agentnet.traces.export import to_outcomes
from agentnet.traces.importers.base import import_log
from agentnet.traces.importers.otel_spans import items_of
from agentnet.traces.store import TraceStore

TRACE = "4bf92f3577b34da6a3ce929d0e0e47"
SECRET_KEY = "sk-abcdefghijklmnop1234567890"


def value(item: Any) -> dict[str, Any]:
    if isinstance(item, bool):
        return {"boolValue": item}
    if isinstance(item, int):
        return {"intValue": str(item)}
    if isinstance(item, float):
        return {"doubleValue": item}
    if isinstance(item, list):
        return {"arrayValue": {"values": [value(part) for part in item]}}
    if isinstance(item, dict):
        return {"kvlistValue": {"values": [{"key": k, "value": value(v)} for k, v in item.items()]}}
    return {"stringValue": item}


def attributes(values: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": value(item)} for key, item in values.items()]


def span(
    number: int, values: dict[str, Any], *, trace: str = "36", parent: int | None = None, **more: Any
) -> Any:
    start = 1_700_000_000_000_000_000 + number * 1_000_000_000
    return {
        "traceId": TRACE + trace,
        "spanId": f"{number:016x}",
        "parentSpanId": "" if parent is None else f"{parent:016x}",
        "name": f"chat {number}",
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(start + 500_000_000),
        "attributes": attributes(values),
        "status": {"code": 0},
        **more,
    }


def chat(
    model: str = "gpt-4o-mini", question: str = "2 + 2?", answer: str = "4", **more: Any
) -> dict[str, Any]:
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": model,
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.output_tokens": 3,
        "gen_ai.input.messages": json.dumps(
            [
                {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]},
                {"role": "user", "parts": [{"type": "text", "content": question}]},
            ]
        ),
        "gen_ai.output.messages": json.dumps(
            [{"role": "assistant", "parts": [{"type": "text", "content": answer}], "finish_reason": "stop"}]
        ),
        **more,
    }


def document(*spans: Any, logs: list[Any] | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "resourceSpans": [
            {
                "resource": {"attributes": attributes({"service.name": "shop"})},
                "scopeSpans": [{"spans": list(spans)}],
            }
        ]
    }
    if logs is not None:
        found["resourceLogs"] = [{"scopeLogs": [{"logRecords": logs}]}]
    return found


def write(path: Path, *documents: Any) -> Path:
    path.write_text("".join(json.dumps(item) + "\n" for item in documents))
    return path


def only(store: TraceStore) -> Any:
    (trace,) = store.iter_traces()
    return trace


def test_a_model_call_is_a_run_of_its_model(store: TraceStore, tmp_path: Path) -> None:
    values = chat(**{"gen_ai.conversation.id": "talk-1", "gen_ai.usage.cost": 0.25})
    report = import_log(write(tmp_path / "spans.jsonl", document(span(1, values))), store)
    assert (report.format, report.runs, report.bad, report.without_text) == ("otel", 1, 0, 0)
    trace = only(store)
    assert (trace.run.task_text, trace.run.answer, trace.run.session_id) == ("2 + 2?", "4", "talk-1")
    assert trace.run.started_at == pytest.approx(1_700_000_001) and trace.run.latency_s == pytest.approx(0.5)
    (step,) = trace.steps
    assert (step.agent, step.backend, step.prompt_tokens, step.completion_tokens) == ("gpt-4o-mini",) * 2 + (
        12,
        3,
    )
    assert step.cost_usd == Decimal("0.25")
    (decision,) = trace.decisions
    assert decision.propensity is None and decision.graph["nodes"][0]["agent"] == "gpt-4o-mini"
    assert to_outcomes(store).agents == ("gpt-4o-mini",)


def test_cost_that_nobody_noted_is_unknown(store: TraceStore, tmp_path: Path) -> None:
    import_log(write(tmp_path / "spans.jsonl", document(span(1, chat()))), store)
    assert only(store).run.cost_usd is None


def test_the_same_file_twice_changes_nothing(store: TraceStore, tmp_path: Path) -> None:
    scored = {
        "name": "gen_ai.evaluation.result",
        "timeUnixNano": "1700000009000000000",
        "attributes": attributes({"gen_ai.evaluation.name": "helpful", "gen_ai.evaluation.score.value": 0.5}),
    }
    file = write(
        tmp_path / "spans.jsonl",
        document(span(1, chat(), events=[scored])),
        document(span(2, chat(), trace="37")),
    )
    first = import_log(file, store)
    before = [trace.to_dict() for trace in store.iter_traces()]
    second = import_log(file, store)
    assert (first.runs, second.runs, first.judgements) == (2, 2, 1)
    assert [trace.to_dict() for trace in store.iter_traces()] == before
    assert before[0]["outcomes"][0]["judge"] == "otel:helpful" and before[0]["outcomes"][0]["score"] == 0.5


def test_an_agents_span_is_a_step_and_its_calls_are_its_own(store: TraceStore, tmp_path: Path) -> None:
    lead = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "lead"}
    tutor = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "Math Tutor"}
    spans = [
        span(1, lead),
        span(2, tutor, parent=1),
        span(3, {"http.method": "POST"}, parent=2),
        span(4, chat(answer="", question="Half of 8?"), parent=3),
        span(5, {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "halve"}, parent=2),
        span(6, chat(answer="4", question="Half of 8?"), parent=2),
        span(7, chat("gpt-4o", question="Half of 8?", answer="It is 4."), parent=1),
    ]
    random.Random(0).shuffle(spans)
    report = import_log(write(tmp_path / "spans.jsonl", *(document(item) for item in spans)), store)
    trace = only(store)
    assert [(step.agent, step.calls, step.answer) for step in trace.steps] == [
        ("Math Tutor", 2, "4"),
        ("lead", 1, "It is 4."),
    ]
    assert trace.steps[0].prompt_tokens == 24 and trace.run.calls == 3
    assert (trace.run.answer, report.other) == ("It is 4.", 2)
    assert trace.decisions == ()  # how several agents hung together is not told


def test_calls_that_ask_for_tools_are_one_step_with_the_answer(store: TraceStore, tmp_path: Path) -> None:
    spans = [span(1, chat(answer="")), span(2, chat(answer="4"))]
    import_log(write(tmp_path / "spans.jsonl", document(*spans)), store)
    (step,) = only(store).steps
    assert (step.calls, step.answer, step.prompt_tokens) == (2, "4", 24)


def test_messages_in_events_and_log_records(store: TraceStore, tmp_path: Path) -> None:
    bare = {"gen_ai.system": "openai", "gen_ai.request.model": "m", "gen_ai.usage.prompt_tokens": 5}
    events = [
        {"name": "gen_ai.user.message", "attributes": attributes({"content": "From an event?"})},
        {
            "name": "gen_ai.choice",
            "attributes": attributes({"message": json.dumps({"content": "yes"}), "index": 0}),
        },
    ]
    logs = [
        {
            "traceId": TRACE + "37",
            "spanId": f"{2:016x}",
            "eventName": "gen_ai.user.message",
            "body": value({"content": "From a log?"}),
        },
        {
            "traceId": TRACE + "37",
            "spanId": f"{2:016x}",
            "attributes": attributes({"event.name": "gen_ai.choice"}),
            "body": value({"index": 0, "message": {"content": "aye"}}),
        },
        {
            "traceId": TRACE + "38",
            "spanId": f"{3:016x}",
            "eventName": "gen_ai.client.inference.operation.details",
            "attributes": attributes(
                {
                    "gen_ai.input.messages": [
                        {"role": "user", "parts": [{"type": "text", "content": "Details?"}]}
                    ],
                    "gen_ai.output.messages": [
                        {"role": "assistant", "parts": [{"type": "text", "content": "given"}]}
                    ],
                }
            ),
        },
    ]
    numbered = {
        **bare,
        "gen_ai.prompt.0.role": "user",
        "gen_ai.prompt.0.content": "By number?",
        "gen_ai.completion.0.role": "assistant",
        "gen_ai.completion.0.content": "so be it",
    }
    spans = [
        span(1, bare, events=events),
        span(2, bare, trace="37"),
        span(3, bare, trace="38"),
        span(4, numbered, trace="39"),
    ]
    import_log(write(tmp_path / "spans.jsonl", document(*spans), document(logs=logs)), store)
    found = {run.task_text: (run.answer, run.prompt_tokens) for run in store.iter_runs()}
    assert found == {
        "From an event?": ("yes", 5),
        "From a log?": ("aye", 5),
        "Details?": ("given", 5),
        "By number?": ("so be it", 5),
    }


def test_a_failed_call_is_a_failed_run_and_a_retry_makes_it_good(store: TraceStore, tmp_path: Path) -> None:
    lost = {"status": {"code": 2, "message": f"401: bad key {SECRET_KEY}"}}
    file = write(
        tmp_path / "spans.jsonl",
        document(span(1, chat(answer=""), **lost)),
        document(
            span(2, chat(), trace="37", status={"code": "STATUS_CODE_ERROR"}), span(3, chat(), trace="37")
        ),
    )
    import_log(file, store)
    failed, mended = store.iter_traces()
    assert (failed.run.status, failed.run.answer) == ("error", None) and "401" in failed.run.error
    assert SECRET_KEY not in json.dumps(failed.to_dict())
    assert (mended.run.status, mended.run.answer) == ("ok", "4")


def test_a_propensity_that_the_log_holds_is_kept(store: TraceStore, tmp_path: Path) -> None:
    values = chat(**{"agentnet.propensity": 0.25, "agentnet.router": "by hand"})
    report = import_log(write(tmp_path / "spans.jsonl", document(span(1, values))), store)
    (decision,) = only(store).decisions
    assert (decision.propensity, decision.router, report.with_propensity) == (0.25, "by hand", 1)


def test_other_forms_of_the_same_span(store: TraceStore, tmp_path: Path) -> None:
    plain = span(1, chat())
    base64_ids = {
        **plain,
        "traceId": base64.b64encode(bytes.fromhex(TRACE + "36")).decode(),
        "spanId": base64.b64encode(bytes(7) + b"\x01").decode(),
    }
    snake = {
        "resource_spans": [
            {
                "scope_spans": [
                    {
                        "spans": [
                            {
                                "trace_id": TRACE + "36",
                                "span_id": f"{1:016x}",
                                "name": "chat",
                                "attributes": plain["attributes"],
                                "start_time_unix_nano": plain["startTimeUnixNano"],
                                "end_time_unix_nano": plain["endTimeUnixNano"],
                            }
                        ]
                    }
                ]
            }
        ]
    }
    console = {
        "name": "chat",
        "context": {"trace_id": "0x" + TRACE + "36", "span_id": f"0x{1:016x}"},
        "parent_id": None,
        "start_time": "2023-11-14T22:13:21.000000Z",
        "end_time": "2023-11-14T22:13:21.500000Z",
        "status": {"status_code": "UNSET"},
        "attributes": chat(),
        "events": [],
    }
    tempo = {"trace": document(base64_ids)}
    ids = set()
    for i, item in enumerate((document(plain), snake, console, tempo)):
        assert import_log(write(tmp_path / f"{i}.json", item), store).runs == 1
        ids.add(only(store).run.run_id)
        assert only(store).run.started_at == pytest.approx(1_700_000_001)
    assert len(ids) == 1


@pytest.mark.parametrize("indent", [None, 2])
def test_one_large_document_is_read_element_by_element(
    store: TraceStore, tmp_path: Path, indent: int | None
) -> None:
    one = document(*(span(i, chat(answer='a "quoted]" \\ {brace'), trace=f"{i:02x}") for i in range(1, 41)))
    one["resourceSpans"] = [
        {"scopeSpans": [{"spans": [item]}]} for item in one["resourceSpans"][0]["scopeSpans"][0]["spans"]
    ]
    file = tmp_path / "trace.json.gz"
    file.write_bytes(gzip.compress(json.dumps(one, indent=indent).encode()))
    report = import_log(file, store)
    assert (report.runs, report.bad) == (40, 0)
    assert {run.answer for run in store.iter_runs()} == {'a "quoted]" \\ {brace'}


def test_broken_lines_are_counted_and_the_rest_is_kept(store: TraceStore, tmp_path: Path) -> None:
    file = tmp_path / "spans.jsonl"
    good = json.dumps(document(span(1, chat())))
    no_id = json.dumps(document(span(2, chat(), trace="37") | {"spanId": ""}))
    no_time = json.dumps(document({**span(3, chat(), trace="38"), "startTimeUnixNano": "soon"}))
    file.write_bytes(f"{good}\n{good[:-9]}\n\n[1, 2]\nnull\n{no_id}\n{no_time}\n".encode() + b"\xff\xfe\n")
    report = import_log(file, store)
    assert (report.runs, report.bad) == (1, 5)
    assert report.first_bad.startswith("line 2")


def test_what_is_no_log_is_refused_with_advice(store: TraceStore, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--format otel"):
        import_log(write(tmp_path / "a.json", {"hello": 1}), store)
    with pytest.raises(DataError, match="no file"):
        import_log(tmp_path / "none.jsonl", store)


def test_a_store_without_texts_refuses(open_store: Callable[..., TraceStore], tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="texts are the data"):
        import_log(write(tmp_path / "spans.jsonl", document(span(1, chat()))), open_store(capture="off"))


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "resourceSpans",
                    "scopeSpans",
                    "spans",
                    "traceId",
                    "spanId",
                    "attributes",
                    "key",
                    "value",
                    "intValue",
                    "arrayValue",
                    "values",
                    "status",
                    "events",
                    "context",
                    "trace",
                    "resourceLogs",
                    "scopeLogs",
                    "logRecords",
                    "body",
                    "startTimeUnixNano",
                    "name",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=30,
)


@given(
    st.dictionaries(
        st.sampled_from(["resourceSpans", "resourceLogs", "trace", "traceId"]), json_like, max_size=3
    )
)
def test_no_json_whatever_stops_the_reading(document: dict[str, Any]) -> None:
    list(items_of(document))
