"""LiteLLM spend logs: rows of the proxy's table ``LiteLLM_SpendLogs``, as JSON, JSON lines or CSV.

What stands in a row, as of LiteLLM 1.106 (``litellm/proxy/schema.prisma``): ``request_id``, ``call_type``,
``spend``, ``prompt_tokens``, ``completion_tokens``, ``startTime``, ``endTime``, ``request_duration_ms``,
``model``, ``model_group``, ``custom_llm_provider``, ``metadata``, ``cache_hit``, ``request_tags``,
``messages``, ``response``, ``proxy_server_request``, ``session_id``, ``status``. The proxy keeps prompts in
``proxy_server_request`` (in ``messages`` for realtime calls and by older versions), and only where
``general_settings: store_prompts_in_spend_logs`` is true. ``api_key``, ``user``, ``end_user``, ``team_id``,
``requester_ip_address`` and ``api_base`` are never read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from agentnet.traces.importers.base import (
    PROPENSITY,
    ROUTER,
    ImportReport,
    clean_name,
    decision,
    rows_of,
    run_id_of,
    to_propensity,
)
from agentnet.traces.importers.chat import answer_of, asked, loaded, turns_of
from agentnet.traces.records import Record, RunRecord, StepRecord, task_hash

_TALK = ("completion", "responses", "anthropic_messages", "generate_content", "realtime")
"""What the call types that ask a language model have in their names."""
AGENT_TAG = "agent:"
"""Begins a request tag that names the agent, for callers who have several on one model."""


def litellm_records(path: Path, report: ImportReport) -> Iterator[list[Record]]:
    """Yields the records of each call of a language model; the rest is counted.

    Args:
        path: The file.
        report: Where counts go.
    """
    for row in rows_of(path, report.refuse):
        try:
            found = _records(row, report)
        except (ValueError, TypeError, OverflowError, InvalidOperation, KeyError) as error:
            report.refuse(f"request {str(row.get('request_id'))[:60]}: {type(error).__name__}: {error}")
            continue
        if found is None:
            report.other += 1
        else:
            yield found


def _records(row: Mapping[str, Any], report: ImportReport) -> list[Record] | None:
    call = str(row.get("call_type") or "completion").lower()
    if not any(word in call for word in _TALK):
        return None
    request = str(row["request_id"])
    if not request:
        raise ValueError("it has no request_id")
    start, end = to_seconds(row["startTime"]), to_seconds(row.get("endTime"))
    if start is None:
        raise ValueError("it has no startTime")
    metadata = _mapping(row.get("metadata"))
    tags = _texts(row.get("request_tags"))
    failed = str(row.get("status") or metadata.get("status") or "success").lower() == "failure"
    model = clean_name(row.get("model"))
    agent = _tagged(tags, AGENT_TAG) or clean_name(row.get("model_group")) or model
    if not agent:
        raise ValueError("it names neither model nor model_group")
    prompt, history = _asked(row)
    answer = None if failed else answer_of(_stored(row.get("response")))
    tokens = (to_count(row.get("prompt_tokens")), to_count(row.get("completion_tokens")))
    cost = _cost(row, tokens)
    milliseconds = to_number(row.get("request_duration_ms"))
    latency = (
        milliseconds / 1000 if milliseconds is not None else None if end is None else max(end - start, 0)
    )
    error = _error(metadata) if failed else None
    run_id = run_id_of("litellm", request)
    extra = _mapping(metadata.get("spend_logs_metadata"))
    propensity = to_propensity(_given(PROPENSITY, tags, metadata, extra))
    report.saw(agent, _with_provider(model, row.get("custom_llm_provider")))
    report.without_text += prompt is None or (answer is None and not failed)
    report.with_propensity += propensity is not None
    run = RunRecord(
        run_id=run_id,
        started_at=start,
        ended_at=end,
        status="error" if failed else "ok",
        task_text=prompt,
        task_history=history,
        task_hash=task_hash(prompt, None, history) if prompt is not None else run_id,
        task_id=request,
        session_id=str(row.get("session_id") or "") or None,
        answer=answer,
        cost_usd=cost,
        prompt_tokens=tokens[0],
        completion_tokens=tokens[1],
        calls=1,
        latency_s=latency,
        error=error,
        tags={"imported": "litellm"},
    )
    step = StepRecord(
        run_id=run_id,
        seq=0,
        node=agent,
        agent=agent,
        backend=model or None,
        strategy="imported",
        answer=answer,
        error=error,
        prompt_tokens=tokens[0],
        completion_tokens=tokens[1],
        calls=1,
        cost_usd=cost,
        cost_source=None if cost is None else "litellm spend log",
        started_at=start,
        latency_s=latency,
    )
    router = clean_name(_given(ROUTER, tags, metadata, extra)) or "litellm"
    chosen = decision(run_id, [agent], propensity, router)
    return [run, step, *([chosen] if chosen is not None else [])]


def _asked(row: Mapping[str, Any]) -> tuple[str | None, tuple[Mapping[str, str], ...]]:
    """The task of a row: from ``messages``, else from the body of the request."""
    turns = turns_of(_stored(row.get("messages")))
    body = _mapping(row.get("proxy_server_request"))
    body = _mapping(body.get("body")) or body
    for key in ("messages", "input", "prompt", "contents"):
        turns = turns or turns_of(body.get(key))
    found = asked(turns)
    return found.text, found.history


def _stored(value: Any) -> Any:
    """A JSON column; an empty object stands for nothing."""
    value = loaded(value)
    return None if value in ({}, [], "") else value


def _mapping(value: Any) -> Mapping[str, Any]:
    value = loaded(value)
    return value if isinstance(value, Mapping) else {}


def _texts(value: Any) -> list[str]:
    value = loaded(value)
    if isinstance(value, str):  # PostgreSQL's form of an array
        value = value.strip("{}").split(",")
    return [str(item).strip().strip('"') for item in value] if isinstance(value, Sequence) else []


def _tagged(tags: Sequence[str], start: str) -> str:
    return next((clean_name(tag[len(start) :]) for tag in tags if tag.startswith(start)), "")


def _given(name: str, tags: Sequence[str], *places: Mapping[str, Any]) -> Any:
    """What a log says under a name: as a tag ``NAME:VALUE`` or as a key of metadata."""
    return _tagged(tags, f"{name}:") or next((place[name] for place in places if name in place), None)


def _cost(row: Mapping[str, Any], tokens: tuple[int | None, int | None]) -> Decimal | None:
    """USD; LiteLLM writes 0 for models whose price it does not know, and unknown is not zero."""
    value = row.get("spend")
    if value is None or value == "":
        return None
    cost = Decimal(str(value))
    if not cost.is_finite() or cost < 0:
        raise ValueError(f"spend is {value!r}")
    cached = str(row.get("cache_hit") or "").lower() == "true"
    return None if cost == 0 and any(tokens) and not cached else cost


def _with_provider(model: str, provider: Any) -> str:
    name = clean_name(provider)
    return f"{name}/{model}" if name and model and not model.startswith(f"{name}/") else model


def _error(metadata: Mapping[str, Any]) -> str:
    found = _mapping(metadata.get("error_information"))
    kind, message = found.get("error_class"), found.get("error_message")
    return ": ".join(str(part)[:500] for part in (kind, message) if part) or "the call failed"


def to_seconds(value: Any) -> float | None:
    """Returns seconds since the epoch from an ISO time (UTC where it names no zone) or a number.

    >>> to_seconds("1970-01-01 00:01:00.5"), to_seconds("1970-01-01T00:01:00Z"), to_seconds(None)
    (60.5, 60.0, None)
    """
    if value is None or value == "":
        return None
    if isinstance(value, (int, float)):
        return _plausible(float(value))
    text = str(value).strip()
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return _plausible(float(text))
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()


def _plausible(number: float) -> float:
    if not -1e11 < number < 1e11:
        raise ValueError(f"a time of {number} seconds")
    return number


def to_number(value: Any) -> float | None:
    """Returns a finite number that is at least 0, or None."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if 0 <= number < 1e15 else None


def to_count(value: Any) -> int | None:
    """Returns a whole number that is at least 0, or None."""
    number = None if isinstance(value, bool) else to_number(value)
    return None if number is None else int(number)
