"""What users do with an answer, as outcomes: thumbs, ratings, edits, asking again.

Signals are weak and one-sided: few users press a thumb, and those who do are not a random sample. They are
stored with low weights, each kind under a name of its own, so that a judgement by a verifier or a person on
the same run outweighs them and `agentnet traces agreement` can tell what they are worth.

| signal | outcome | judge | weight |
|---|---|---|---|
| thumbs up, down | 1, 0 | ``user:thumbs`` | 0.5 |
| rating of n stars in 5 | (n - 1) / 4 | ``user:rating`` | 0.5 |
| the text finally sent | share of words that were kept | ``user:edit`` | 0.5 |
| the same task again in the same session, soon after | 0 for the earlier run | ``user:retry`` | 0.2 |

The weights are conventions, not measurements; give your own where you have measured.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sqlalchemy import select

from agentnet.errors import DataError, InvalidInput
from agentnet.graphs.normalise import normalise_text
from agentnet.learning.scoring.labels import read_score, read_time
from agentnet.learning.scoring.run import write_outcomes
from agentnet.traces.models import RunRow
from agentnet.traces.reader import RunFilter
from agentnet.traces.records import OutcomeRecord
from agentnet.traces.store import TraceStore

THUMBS, RATING, EDIT, RETRY = "user:thumbs", "user:rating", "user:edit", "user:retry"
WEIGHTS: Mapping[str, float] = MappingProxyType({THUMBS: 0.5, RATING: 0.5, EDIT: 0.5, RETRY: 0.2})
RETRY_WITHIN_S = 600.0
RETRY_ALIKE = 0.8
"""Share of words in common from which another task counts as the same, asked again."""
_WORDS_COMPARED = 2_000
_SESSION_TURNS = 8
_SESSIONS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals:
    """Which weights signals have, and what counts as asking again."""

    weights: Mapping[str, float] = field(default_factory=lambda: dict(WEIGHTS))
    retry_within_s: float = RETRY_WITHIN_S
    retry_alike: float = RETRY_ALIKE

    def outcome(self, run_id: str, judge: str, score: float, at: float, note: str = "") -> OutcomeRecord:
        """Returns a signal as an outcome."""
        if judge not in self.weights:
            raise InvalidInput(f"no weight for the signal {judge!r}; there are {sorted(self.weights)}.")
        return OutcomeRecord(
            run_id=run_id,
            score=score,
            judge=judge,
            judged_at=at,
            weight=self.weights[judge],
            note=note or None,
        )

    def thumbs(self, run_id: str, *, up: bool, at: float) -> OutcomeRecord:
        """Returns the outcome of a thumb.

        >>> Signals().thumbs("0" * 32, up=False, at=1.0).score
        0.0
        """
        return self.outcome(run_id, THUMBS, float(up), at)

    def rating(self, run_id: str, stars: float, *, at: float, most: float = 5) -> OutcomeRecord:
        """Returns the outcome of a rating from 1 to ``most``."""
        if not 1 <= stars <= most:
            raise InvalidInput(f"a rating lies between 1 and {most:g}; got {stars!r}.")
        return self.outcome(run_id, RATING, (stars - 1) / (most - 1), at)

    def edit(self, run_id: str, answer: str, sent: str, *, at: float) -> OutcomeRecord:
        """Returns the outcome of what a user made of an answer before using it.

        >>> Signals().edit("0" * 32, "Dear Ann, see you soon", "Dear Ann, see you Monday", at=1.0).score
        0.8
        """
        return self.outcome(run_id, EDIT, similarity(answer, sent), at)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalReport:
    """Signals stored, by judge's name; and lines that could not be used."""

    stored: Mapping[str, int]
    bad: int = 0
    first_bad: str = ""


def similarity(answer: str, sent: str) -> float:
    """Returns the share of words that two texts have in common, in order, in [0, 1].

    Twice the words kept over the words of both (Ratcliff and Obershelp 1988); texts of more than 2,000 words
    are compared without their order.

    >>> similarity("a b c d", "a b c d"), similarity("a b", "c d"), similarity("", "")
    (1.0, 0.0, 1.0)
    """
    mine, theirs = answer.split(), sent.split()
    if not mine or not theirs:
        return float(mine == theirs)
    if max(len(mine), len(theirs)) > _WORDS_COMPARED:
        kept = (Counter(mine) & Counter(theirs)).total()
    else:
        blocks = SequenceMatcher(None, mine, theirs, autojunk=False).get_matching_blocks()
        kept = sum(block.size for block in blocks)
    return 2 * kept / (len(mine) + len(theirs))


def store_signals(
    store: TraceStore, events: str | Path | None = None, *, signals: Signals | None = None, **where: Any
) -> SignalReport:
    """Stores the signals of recorded runs, and of a file of events, as outcomes.

    From the runs: a retry is the same task (or one of much the same words) in the same session within ten
    minutes; the tags ``thumbs`` (up or down), ``rating`` (1 to 5) and ``sent`` (the text finally sent)
    are read too. From the file: JSON lines with ``run_id``, ``kind`` (thumbs, rating, edit), ``value``
    and ``at`` (seconds or ISO time). The same signals stored twice change nothing.

    Args:
        store: Where the runs are.
        events: JSON lines; None reads the runs alone.
        signals: Weights and bounds.
        **where: Fields of `RunFilter`.

    Raises:
        DataError: there is no such file.
    """
    reading = _Reading(store, signals or Signals(), RunFilter(**where))
    write_outcomes(store, reading.from_runs())
    if events is not None:
        write_outcomes(store, reading.from_file(Path(events)))
    return SignalReport(stored=dict(reading.stored), bad=reading.bad, first_bad=reading.first_bad)


@dataclass(frozen=True, slots=True)
class _Turn:
    run_id: str
    at: float
    task_hash: str
    words: frozenset[str]


class _Reading:
    def __init__(self, store: TraceStore, signals: Signals, where: RunFilter) -> None:
        self._store, self._signals, self._where = store, signals, where
        self.stored: Counter[str] = Counter()
        self.bad = 0
        self.first_bad = ""

    def from_runs(self) -> Iterator[OutcomeRecord]:
        """Yields what sessions and tags tell, reading runs as a stream."""
        sessions: dict[str, deque[_Turn]] = {}
        for run in self._rows():
            tags = run.tags if isinstance(run.tags, Mapping) else {}
            for kind, tag in (("thumbs", "thumbs"), ("rating", "rating"), ("edit", "sent")):
                if tag in tags:
                    yield from self._event(run.run_id, kind, tags[tag], run.started_at, run.answer)
            if run.session_id is None or run.task_text is None:
                continue
            turns = sessions.pop(run.session_id, None) or deque(maxlen=_SESSION_TURNS)
            sessions[run.session_id] = turns  # the session heard of last stands last
            if len(sessions) > _SESSIONS:
                sessions.pop(next(iter(sessions)))
            words = frozenset(normalise_text(run.task_text).split())
            turn = _Turn(run.run_id, run.started_at, run.task_hash, words)
            before = self._retried(turns, turn)
            turns.append(turn)
            if before is not None:
                self.stored[RETRY] += 1
                note = f"asked again in run {run.run_id}"
                yield self._signals.outcome(before.run_id, RETRY, 0.0, run.started_at, note)

    def _rows(self) -> Iterator[Any]:
        names = ("run_id", "started_at", "session_id", "task_text", "task_hash", "answer", "tags")
        query = self._where.apply(select(*(getattr(RunRow, name) for name in names)))
        query = query.where(RunRow.status != "running").order_by(RunRow.started_at, RunRow.run_id)
        engine = self._store.engine
        self._store.flush()
        with engine.connect().execution_options(yield_per=1000) as connection:
            yield from connection.execute(query)

    def _retried(self, turns: deque[_Turn], now: _Turn) -> _Turn | None:
        for turn in reversed(turns):
            if now.at - turn.at > self._signals.retry_within_s:
                return None
            both = len(turn.words & now.words)
            alike = 2 * both / max(len(turn.words) + len(now.words), 1)
            if turn.task_hash == now.task_hash or alike >= self._signals.retry_alike:
                return turn
        return None

    def from_file(self, path: Path) -> Iterator[OutcomeRecord]:
        """Yields the signals of a file; what cannot be read is counted."""
        if not path.is_file():
            raise DataError(f"there is no file {path}; signals are JSON lines with run_id, kind, value, at.")
        with path.open(encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                try:
                    event = json.loads(line)
                    run_id, kind, at = str(event["run_id"]), str(event["kind"]), read_time(event["at"])
                    if at is None:
                        raise ValueError("no time")
                    answer = self._answer(run_id) if kind == "edit" else None
                    yield from self._event(run_id, kind, event["value"], at, answer)
                except (ValueError, TypeError, KeyError, RecursionError) as error:
                    self._refuse(f"line {number}: {type(error).__name__}: {error}")

    def _answer(self, run_id: str) -> str | None:
        found = self._store.traces([run_id])
        return found[0].run.answer if found else None

    def _event(
        self, run_id: str, kind: str, value: Any, at: float, answer: str | None
    ) -> Iterator[OutcomeRecord]:
        try:
            if kind == "thumbs":
                record = self._signals.thumbs(run_id, up=read_score(value) >= 0.5, at=at)
            elif kind == "rating":
                record = self._signals.rating(run_id, float(value), at=at)
            elif kind == "edit" and answer is not None:
                record = self._signals.edit(run_id, answer, str(value), at=at)
            else:
                why = "its answer is not stored" if kind == "edit" else f"no signal {kind!r}"
                raise InvalidInput(why)
        except (ValueError, TypeError) as error:
            self._refuse(f"run {run_id}: {error}")
            return
        self.stored[record.judge] += 1
        yield record

    def _refuse(self, why: str) -> None:
        self.bad += 1
        self.first_bad = self.first_bad or why
