"""Spans and events out of OpenTelemetry's JSON forms, as plain values.

Read are OTLP JSON (documents of ``resourceSpans`` and ``resourceLogs``, as collectors' file exporters write
them; ids in hexadecimal, or base64 where a tool wrote protobuf's own JSON; snake_case names too) and
single spans as the SDKs' console exporters print them.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agentnet.traces.importers.litellm import to_seconds

_HEX = re.compile(r"(?:0x)?([0-9a-fA-F]{32}|[0-9a-fA-F]{16})")
_DEEP = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened in a span: of its own list, or a log record that names it."""

    name: str
    at: float | None
    values: Mapping[str, Any]
    """Attributes, and ``body`` where there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A span as far as it matters here."""

    trace: str
    span: str
    parent: str = ""
    name: str = ""
    start: float | None = None
    end: float | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None
    events: tuple[Event, ...] = ()


def items_of(value: Mapping[str, Any]) -> Iterator[Span | tuple[str, str, Event] | str]:
    """Yields a JSON value's spans, log records' events as (trace, span, event), and why one is unusable."""
    if isinstance(inner := value.get("trace"), Mapping):
        value = inner
    groups = [*_list(value, "resourceSpans"), *_list(value, "batches")]
    logs = _list(value, "resourceLogs")
    if not groups and not logs:
        groups = [value] if _list(value, "scopeSpans") else []
        if not groups:
            yield _guarded(value)
            return
    for group in groups:
        scopes = [*_list(group, "scopeSpans"), *_list(group, "instrumentationLibrarySpans")]
        for scope in scopes:
            for item in _list(scope, "spans"):
                yield _guarded(item)
    for group in logs:
        for scope in _list(group, "scopeLogs"):
            for item in _list(scope, "logRecords"):
                found = _log(item)
                if found is not None:
                    yield found


def _guarded(item: Any) -> Span | str:
    try:
        return _span(item)
    except (ValueError, TypeError, KeyError, OverflowError, AttributeError) as error:
        return f"a span: {type(error).__name__}: {error}"


def _span(item: Mapping[str, Any]) -> Span:
    context = item.get("context") if isinstance(item.get("context"), Mapping) else item
    assert isinstance(context, Mapping)
    trace, span = _id(_get(context, "traceId")), _id(_get(context, "spanId"))
    if not trace or not span:
        raise ValueError("it has no trace id or no span id")
    return Span(
        trace=trace,
        span=span,
        parent=_id(_get(item, "parentSpanId") or item.get("parent_id") or ""),
        name=str(item.get("name") or ""),
        start=_time(item, "start"),
        end=_time(item, "end"),
        values=attributes(item.get("attributes")),
        error=_error(item),
        events=tuple(_event(event) for event in _list(item, "events")),
    )


def _error(item: Mapping[str, Any]) -> str | None:
    status = item.get("status")
    status = status if isinstance(status, Mapping) else {"code": status}
    code = status.get("code", status.get("status_code"))
    if str(code).upper().rsplit("_", 1)[-1].rsplit(".", 1)[-1] not in ("2", "ERROR"):
        return None
    told = status.get("message") or status.get("description")
    return str(told or attributes(item.get("attributes")).get("error.type") or "error")


def _event(item: Mapping[str, Any]) -> Event:
    at = _nanos(_get(item, "timeUnixNano"))
    return Event(
        name=str(item.get("name") or ""),
        at=at if at is not None else to_seconds(item.get("timestamp")),
        values=attributes(item.get("attributes")),
    )


def _log(item: Any) -> tuple[str, str, Event] | None:
    """A log record that names its span; None for any other."""
    if not isinstance(item, Mapping):
        return None
    trace, span = _id(_get(item, "traceId") or ""), _id(_get(item, "spanId") or "")
    values = attributes(item.get("attributes"))
    name = _get(item, "eventName") or values.get("event.name")
    if not trace or not span or not name:
        return None
    body = any_value(item.get("body"))
    at = _nanos(_get(item, "timeUnixNano")) or _nanos(_get(item, "observedTimeUnixNano"))
    return trace, span, Event(name=str(name), at=at, values={**values, "body": body})


def attributes(value: Any) -> dict[str, Any]:
    """Returns attributes by key, from OTLP's list or a plain mapping."""
    if isinstance(value, Mapping):
        return {str(key): any_value(item) for key, item in value.items()}
    pairs = value if isinstance(value, Sequence) and not isinstance(value, str) else ()
    return {
        str(pair["key"]): any_value(pair.get("value"))
        for pair in pairs
        if isinstance(pair, Mapping) and "key" in pair
    }


def any_value(value: Any, depth: int = 0) -> Any:
    """Returns the plain value of OTLP's ``AnyValue``; other values as they are."""
    if depth > _DEEP:
        return None
    if isinstance(value, list):
        return [any_value(item, depth + 1) for item in value]
    if not isinstance(value, Mapping):
        return value
    if len(value) == 1:
        (key, inner), *_ = value.items()
        kind = key.replace("_v", "V")
        if kind in ("stringValue", "boolValue", "bytesValue"):
            return inner
        if kind == "intValue":
            return int(inner)
        if kind == "doubleValue":
            return float(inner)
        if kind in ("arrayValue", "kvlistValue"):
            parts = inner.get("values") if isinstance(inner, Mapping) else None
            if kind == "arrayValue":
                return [any_value(item, depth + 1) for item in parts or ()]
            return {
                str(pair.get("key")): any_value(pair.get("value"), depth + 1)
                for pair in parts or ()
                if isinstance(pair, Mapping)
            }
    return {str(key): any_value(inner, depth + 1) for key, inner in value.items()}


def _get(item: Mapping[str, Any], name: str) -> Any:
    """A field by its camelCase or its snake_case name."""
    if name in item:
        return item[name]
    return item.get(re.sub(r"(?<!^)([A-Z])", lambda m: "_" + m[1].lower(), name))


def _list(item: Any, name: str) -> list[Any]:
    found = _get(item, name) if isinstance(item, Mapping) else None
    return found if isinstance(found, list) else []


def _id(value: Any) -> str:
    """An id in lower-case hexadecimal; other texts as they are."""
    text = str(value or "").strip()
    if match := _HEX.fullmatch(text):
        return match[1].lower()
    if len(text) in (12, 24):  # base64 of 8 or 16 bytes
        try:
            return base64.b64decode(text, validate=True).hex()
        except (binascii.Error, ValueError):
            return text
    return text


def _time(item: Mapping[str, Any], which: str) -> float | None:
    nanos = _nanos(_get(item, f"{which}TimeUnixNano"))
    return nanos if nanos is not None else to_seconds(_get(item, f"{which}Time"))


def _nanos(value: Any) -> float | None:
    if value is None or value == "":
        return None
    number = int(value) / 1e9
    if not 0 <= number < 1e11:
        raise ValueError(f"a time of {value!r} nanoseconds")
    return number or None
