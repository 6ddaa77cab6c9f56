"""Human labels from a file: CSV or JSON lines with a run's id or a task's text, and a score."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select

from agentnet.errors import DataError
from agentnet.learning.scoring.run import write_outcomes
from agentnet.traces.models import RunRow, StepRow
from agentnet.traces.records import OutcomeRecord, task_hash
from agentnet.traces.store import TraceStore

HUMAN = "human"
"""Judge's name of labels that name none."""
_WORDS = {
    1.0: {"yes", "true", "right", "correct", "good", "up", "y", "t", "pass", "+1"},
    0.0: {"no", "false", "wrong", "incorrect", "bad", "down", "n", "f", "fail", "-1"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One line of a file."""

    score: float
    run_id: str | None = None
    task: str | None = None
    answer: str | None = None
    agent: str | None = None
    step: int | None = None
    judge: str = HUMAN
    at: float | None = None
    weight: float | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelReport:
    """What came of a file of labels."""

    stored: int = 0
    empty: int = 0
    """Lines whose score is not filled in yet."""
    unmatched: int = 0
    """Lines about no run that is here."""
    ambiguous: int = 0
    """Lines with a task's text alone, where its runs gave different answers."""
    bad: int = 0
    """Lines that cannot be read."""
    first_bad: str = ""
    """The first of them, and why."""


def read_labels(path: str | Path) -> Iterator[Label | str | None]:
    """Yields the labels of a file: a text for a line that cannot be read, None for one without a score.

    Columns (or keys): ``score`` (0 to 1, or yes/no, right/wrong, up/down), ``run_id`` or ``task``;
    and where they help ``answer``, ``agent``, ``step``, ``judge``, ``at`` (ISO time or seconds), ``weight``,
    ``note``. Further columns are for people. Files that end in ``.jsonl`` or ``.json`` are read as JSON
    lines, all others as CSV with a head line.

    Raises:
        DataError: there is no such file, or it has no column that could name runs or scores.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"there is no file {path}.")
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        if path.suffix.lower() in (".jsonl", ".json", ".ndjson"):
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield _parsed(_json(line), number)
            return
        reader = csv.DictReader(file)
        names = {name.strip().lower() for name in reader.fieldnames or ()}
        if "score" not in names or not names & {"run_id", "task"}:
            raise DataError(
                f"{path} has the columns {sorted(names)}; labels need 'score', and 'run_id' or 'task'."
            )
        try:
            for row in reader:
                values = {str(k).strip().lower(): v for k, v in row.items() if k is not None}
                yield _parsed(values, reader.line_num)
        except csv.Error as error:
            yield f"line {reader.line_num}: {error}"


def apply_labels(
    path: str | Path, store: TraceStore, *, judge: str | None = None, weight: float = 1.0
) -> LabelReport:
    """Stores the labels of a file as outcomes.

    A label without a time is as old as the file, so that reading the same file twice changes nothing, and a
    file that was changed since overrules itself. A label by task's text counts for all runs of the task with
    the given ``answer`` or ``agent``; without either only if all its runs gave the same answer.

    Args:
        path: The file, see `read_labels`.
        store: Where the runs are.
        judge: Whose labels they are, where a line does not say; default ``"human"``.
        weight: Weight of labels that name none.
    """
    counts = dict.fromkeys(("empty", "unmatched", "ambiguous", "bad"), 0)
    first_bad = ""
    written = Path(path).stat().st_mtime if Path(path).is_file() else 0.0

    def records() -> Iterator[OutcomeRecord]:
        nonlocal first_bad
        for label in read_labels(path):
            if label is None:
                counts["empty"] += 1
                continue
            if isinstance(label, str):
                counts["bad"] += 1
                first_bad = first_bad or label
                continue
            found = _runs_of(store, label)
            if found is None:
                counts["ambiguous"] += 1
            elif not found:
                counts["unmatched"] += 1
            for run_id, step in found or ():
                yield OutcomeRecord(
                    run_id=run_id,
                    score=label.score,
                    judge=label.judge if label.judge != HUMAN else judge or HUMAN,
                    judged_at=written if label.at is None else label.at,
                    step_seq=step,
                    weight=weight if label.weight is None else label.weight,
                    note=label.note,
                )

    stored = write_outcomes(store, records())
    return LabelReport(stored=stored, first_bad=first_bad, **counts)


def _json(line: str) -> Any:
    try:
        return json.loads(line)
    except (json.JSONDecodeError, RecursionError):
        return None


def _parsed(values: Any, number: int) -> Label | str | None:
    if not isinstance(values, dict):
        return f"line {number}: no JSON object"
    score = values.get("score")
    if score is None or score == "":
        return None
    run_id, task = _text(values, "run_id"), _text(values, "task")
    if run_id is None and task is None:
        return f"line {number}: neither run_id nor task"
    try:
        step = values.get("step")
        weight = values.get("weight")
        return Label(
            score=read_score(score),
            run_id=run_id,
            task=task,
            answer=_text(values, "answer"),
            agent=_text(values, "agent"),
            step=None if step in (None, "") else int(step),
            judge=_text(values, "judge") or HUMAN,
            at=read_time(values.get("at")),
            weight=None if weight in (None, "") else _weight(weight),
            note=_text(values, "note"),
        )
    except (ValueError, TypeError, OverflowError) as error:
        return f"line {number}: {error}"


def read_score(value: Any) -> float:
    """Returns a score from a number in [0, 1] or a word.

    Raises:
        ValueError: it is neither.

    >>> [read_score(v) for v in ("yes", "0.25", True, "WRONG")]
    [1.0, 0.25, 1.0, 0.0]
    """
    if isinstance(value, str):
        for score, words in _WORDS.items():
            if value.strip().casefold() in words:
                return score
    number = float(value)
    if not 0 <= number <= 1:
        raise ValueError(f"a score lies in [0, 1] or is yes or no; got {value!r}")
    return number


def read_time(value: Any) -> float | None:
    """Returns seconds since the epoch from a number or an ISO time; None for nothing.

    Raises:
        ValueError: it is neither.

    >>> read_time("1970-01-01T00:01:00Z"), read_time("5"), read_time("")
    (60.0, 5.0, None)
    """
    if value is None or value == "":
        return None
    try:
        number = float(value)
    except ValueError:
        parsed = datetime.fromisoformat(str(value).strip())
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=_UTC)).timestamp()
    if not -1e11 < number < 1e11:
        raise ValueError(f"a time is in seconds since 1970; got {value!r}")
    return number


_UTC = datetime.fromisoformat("1970-01-01T00:00:00+00:00").tzinfo


def _weight(value: Any) -> float:
    number = float(value)
    if not 0 <= number < float("inf"):
        raise ValueError(f"a weight is at least 0; got {value!r}")
    return number


def _text(values: dict[str, Any], name: str) -> str | None:
    value = values.get(name)
    if value is None or not str(value).strip():
        return None
    return str(value).strip() if name != "task" else str(value)


def _runs_of(store: TraceStore, label: Label) -> list[tuple[str, int | None]] | None:
    """The runs, and steps, that a label is about; None where that cannot be told."""

    def find(engine: Engine) -> list[Any]:
        query = select(RunRow.run_id, RunRow.answer)
        if label.run_id is not None:
            query = query.where(RunRow.run_id == label.run_id)
        else:
            query = query.where(RunRow.task_hash == task_hash(label.task or ""))
        with engine.connect() as connection:
            return list(connection.execute(query))

    runs = store.read(find)
    if label.run_id is not None and label.agent is None:
        return [(row.run_id, label.step) for row in runs]
    if label.agent is not None and label.step is None:
        found = _steps_of(store, [row.run_id for row in runs], label.agent)
        return [(run_id, step) for run_id, step in found]
    if label.answer is not None:
        runs = [row for row in runs if row.answer is not None and row.answer.strip() == label.answer]
    elif len({row.answer for row in runs}) > 1:
        return None
    return [(row.run_id, label.step) for row in runs]


def _steps_of(store: TraceStore, run_ids: list[str], agent: str) -> list[tuple[str, int]]:
    def find(engine: Engine) -> list[Any]:
        found: list[Any] = []
        with engine.connect() as connection:
            for at in range(0, len(run_ids), _CHUNK):
                query = select(StepRow.run_id, StepRow.seq).where(
                    StepRow.run_id.in_(run_ids[at : at + _CHUNK]),
                    StepRow.agent == agent,
                    StepRow.skipped.is_(False),
                )
                found += connection.execute(query)
        return found

    return [(row.run_id, int(row.seq)) for row in store.read(find)]


_CHUNK = 500
