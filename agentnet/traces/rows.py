"""Records to rows and back, and what of a record is captured."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from operator import attrgetter
from typing import Any, Literal

from agentnet.errors import StoreError
from agentnet.graphs.agent import content_hash
from agentnet.traces.models import (
    RUN_ITSELF,
    Base,
    DecisionRow,
    MessageRow,
    OutcomeRow,
    PoolChangeRow,
    RunRow,
    StepRow,
)
from agentnet.traces.records import (
    DecisionRecord,
    MessageRecord,
    OutcomeRecord,
    PoolChangeRecord,
    Record,
    RunRecord,
    StepRecord,
    task_hash,
)
from agentnet.traces.redact import redact_personal
from agentnet.traces.values import Cleaner

CaptureMode = Literal["full", "redacted", "off"]
Row = dict[str, Any]

TABLES: Mapping[type[Any], type[Base]] = {
    RunRecord: RunRow,
    DecisionRecord: DecisionRow,
    StepRecord: StepRow,
    MessageRecord: MessageRow,
    OutcomeRecord: OutcomeRow,
    PoolChangeRecord: PoolChangeRow,
}
KEYS: Mapping[type[Any], tuple[str, ...]] = {
    RunRecord: ("run_id",),
    DecisionRecord: ("run_id", "turn", "role", "router", "router_version"),
    StepRecord: ("run_id", "seq"),
    MessageRecord: ("run_id", "step_seq", "seq"),
    OutcomeRecord: ("run_id", "step_seq", "judge", "judged_at"),
    PoolChangeRecord: ("change_id",),
}
"""What names a row: writing a record of the same key again replaces it."""

_CONTENT: Mapping[type[Any], tuple[str, ...]] = {
    RunRecord: ("task_text", "task_context", "answer", "gold"),
    DecisionRecord: (),
    StepRecord: ("answer",),
    MessageRecord: ("content",),
    OutcomeRecord: ("note",),
    PoolChangeRecord: (),
}
"""Texts that come from users or models: left out when capture is off, redacted when it is redacted."""

_LISTS = ("added", "removed", "changed")
_ERROR_NAME = re.compile(r"[A-Za-z_][\w.]{0,80}(?=:|\()")


class Capture:
    """Turns records into rows as the capture mode says.

    Args:
        mode: ``"full"`` keeps texts, ``"redacted"`` passes them through ``redact``, ``"off"`` drops them.
            Secrets are replaced in every mode.
        redact: The function for ``"redacted"``; default `redact_personal`.
        cleaner: Takes secrets out.
    """

    def __init__(
        self,
        mode: CaptureMode = "full",
        redact: Callable[[str], str] | None = None,
        cleaner: Cleaner | None = None,
    ) -> None:
        if mode not in ("full", "redacted", "off"):
            raise StoreError(f"capture is 'full', 'redacted' or 'off'; got {mode!r}.")
        self.mode = mode
        self._redact = redact or redact_personal
        self._clean = (cleaner or Cleaner()).text

    def _content(self, text: str) -> str | None:
        if self.mode == "off":
            return None
        if self.mode == "redacted":
            text = self._redact(text)
            if not isinstance(text, str):
                raise StoreError("the redact function must return text.")
        return self._clean(text)

    def _json(self, value: Any) -> Any:
        """A JSON value whose strings are content, such as evidence that quotes a task."""
        if self.mode == "full":
            return value
        if isinstance(value, str):
            return self._content(value)
        if isinstance(value, Mapping):
            return {key: self._json(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._json(item) for item in value]
        return value

    def _error(self, text: str) -> str:
        if self.mode == "off":  # what went wrong stays countable, without the words
            name = _ERROR_NAME.match(text)
            return name[0] if name else "(not captured)"
        return self._content(text) or ""

    def row(self, record: Record) -> Row:
        """Returns a record's columns, cleaned and captured."""
        kind = type(record)
        names, get = _GETTERS[kind]
        row: Row = dict(zip(names, get(record), strict=True))
        if kind is RunRecord:
            self._run(row)
        for name in _CONTENT[kind]:
            if row[name] is not None:
                row[name] = self._content(row[name])
        if row.get("error") is not None:
            row["error"] = self._error(row["error"])
        if kind is DecisionRecord:
            row["evidence"] = self._json(row["evidence"])
            row["candidates"] = list(row["candidates"])
        elif kind is OutcomeRecord and row["step_seq"] is None:
            row["step_seq"] = RUN_ITSELF
        elif kind is PoolChangeRecord:
            row |= {name: list(row[name]) for name in _LISTS}
            row["agents"] = [dict(agent) for agent in row["agents"]]
        return row

    def _run(self, row: Row) -> None:
        history = row["task_history"]
        if not row["task_hash"] and row["task_text"] is not None:
            row["task_hash"] = task_hash(row["task_text"], row["task_context"], history)
        pool = row.pop("pool")
        if pool and not row["pool_version"]:
            row["pool_version"] = content_hash([dict(agent) for agent in pool])
        row["task_history"] = [] if self.mode == "off" else self._turns(history)

    def _turns(self, history: Iterable[Mapping[str, str]]) -> list[dict[str, Any]]:
        return [
            {key: self._content(item) if key == "content" else item for key, item in turn.items()}
            for turn in history
        ]


def _getter(kind: type[Any]) -> tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]]:
    names = tuple(item.name for item in fields(kind))
    return names, attrgetter(*names)


_GETTERS = {kind: _getter(kind) for kind in TABLES}


def run_from_row(row: Mapping[str, Any], pool: tuple[Mapping[str, Any], ...]) -> RunRecord:
    """Builds a run from its columns and its pool's agents."""
    values = {**row, "task_history": tuple(row["task_history"]), "pool": pool}
    return RunRecord(**values)


def decision_from_row(row: Mapping[str, Any]) -> DecisionRecord:
    """Builds a decision from its columns."""
    return DecisionRecord(**{**row, "candidates": tuple(row["candidates"])})


def pool_change_from_row(row: Mapping[str, Any]) -> PoolChangeRecord:
    """Builds a pool's change from its columns."""
    return PoolChangeRecord(**{**row, **{name: tuple(row[name]) for name in (*_LISTS, "agents")}})


def outcome_from_row(row: Mapping[str, Any]) -> OutcomeRecord:
    """Builds a judgement from its columns."""
    values = {key: value for key, value in row.items() if key != "id"}
    if values["step_seq"] == RUN_ITSELF:
        values["step_seq"] = None
    return OutcomeRecord(**values)
