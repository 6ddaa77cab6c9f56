"""Spans grouped by trace, on disk: a log names a trace's spans in any order, far apart."""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Self

from agentnet.traces.importers.otel_spans import Event, Span

_AT_ONCE = 2_000


@dataclass(frozen=True, slots=True)
class Trace:
    """All that a log holds of a trace."""

    trace: str
    spans: tuple[Span, ...]
    """Those about language models and agents, in the order of their start."""
    parents: dict[str, str]
    """Of every span: its parent, "" for none."""
    events: dict[str, list[Event]]
    """Of log records, by span."""


class Spool:
    """A temporary database of spans; memory holds one trace at a time."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="agentnet-import-")
        self._db = sqlite3.connect(Path(self._folder.name) / "spans.db", isolation_level=None)
        self._db.execute("PRAGMA journal_mode=OFF")
        self._db.execute("PRAGMA synchronous=OFF")
        self._db.execute(
            "CREATE TABLE items (trace TEXT, span TEXT, parent TEXT, start REAL, event INT, data TEXT)"
        )
        self._waiting: list[tuple[str, str, str, float, int, str | None]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._db.close()
        self._folder.cleanup()

    def add_span(self, span: Span, *, whole: bool) -> None:
        """Adds a span: with all it holds, or only where it stands."""
        data = json.dumps(asdict(span), ensure_ascii=True, default=str) if whole else None
        self._add((span.trace, span.span, span.parent, span.start or 0.0, 0, data))

    def add_event(self, trace: str, span: str, event: Event) -> None:
        """Adds an event of a log record."""
        data = json.dumps(asdict(event), ensure_ascii=True, default=str)
        self._add((trace, span, "", event.at or 0.0, 1, data))

    def _add(self, row: tuple[str, str, str, float, int, str | None]) -> None:
        self._waiting.append(row)
        if len(self._waiting) >= _AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        self._db.execute("BEGIN")
        self._db.executemany("INSERT INTO items VALUES (?, ?, ?, ?, ?, ?)", self._waiting)
        self._db.execute("COMMIT")
        self._waiting = []

    def traces(self) -> Iterator[Trace]:
        """Yields the traces that have a span about a language model, in the order of their ids."""
        self._flush()
        self._db.execute("CREATE INDEX by_trace ON items (trace, event, start, span)")
        rows = self._db.execute(
            "SELECT trace, span, parent, event, data FROM items ORDER BY trace, event, start, span"
        )
        for trace, group in groupby(rows, key=lambda row: row[0]):
            spans: dict[str, Span] = {}
            parents: dict[str, str] = {}
            events: dict[str, list[Event]] = {}
            for _, span, parent, event, data in group:
                if event:
                    events.setdefault(span, []).append(Event(**json.loads(data)))
                    continue
                parents[span] = parent
                if data is not None:  # a span that was exported twice counts once
                    values = json.loads(data)
                    values["events"] = tuple(Event(**item) for item in values["events"])
                    spans[span] = Span(**values)
            if spans:
                yield Trace(trace, tuple(spans.values()), parents, events)
