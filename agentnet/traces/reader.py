"""Reads traces back: one run whole, many runs as a stream, and what is needed to go on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from itertools import groupby
from typing import Any

from sqlalchemy import ColumnElement, Engine, Select, and_, select

from agentnet.errors import StoreError
from agentnet.traces.models import (
    Base,
    DecisionRow,
    MessageRow,
    OutcomeRow,
    PoolChangeRow,
    PoolRow,
    RunRow,
    StepRow,
)
from agentnet.traces.records import (
    DecisionRecord,
    MessageRecord,
    OutcomeRecord,
    PoolChangeRecord,
    RunRecord,
    StepRecord,
)
from agentnet.traces.rows import decision_from_row, outcome_from_row, pool_change_from_row, run_from_row
from agentnet.traces.sink import table_of

_CHUNK = 500  # runs whose parts are fetched together; SQLite takes at most 32,766 bound values


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """Which runs to read; fields that are None do not restrict.

    Attributes:
        since: Started at this time or later, seconds since the epoch.
        until: Started before this time.
        router: With a decision of this router.
        router_version: With a decision of this version.
        status: One of the statuses of a `RunRecord`.
        batch_id: Of this batch.
        task_hash: Of this task.
        session_id: Of this conversation.
        kind: ``"live"``, ``"replayed"`` or ``"simulated"``.
    """

    since: float | None = None
    until: float | None = None
    router: str | None = None
    router_version: str | None = None
    status: str | None = None
    batch_id: str | None = None
    task_hash: str | None = None
    session_id: str | None = None
    kind: str | None = None

    def apply(self, query: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
        """Returns a query on runs, restricted."""
        if self.since is not None:
            query = query.where(RunRow.started_at >= self.since)
        if self.until is not None:
            query = query.where(RunRow.started_at < self.until)
        for name in ("status", "batch_id", "task_hash", "session_id", "kind"):
            if (value := getattr(self, name)) is not None:
                query = query.where(getattr(RunRow, name) == value)
        if self.router is not None or self.router_version is not None:
            wanted = [DecisionRow.run_id == RunRow.run_id]
            if self.router is not None:
                wanted.append(DecisionRow.router == self.router)
            if self.router_version is not None:
                wanted.append(DecisionRow.router_version == self.router_version)
            query = query.where(select(DecisionRow.run_id).where(and_(*wanted)).exists())
        return query


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTrace:
    """Everything that is stored of a run, in order."""

    run: RunRecord
    decisions: tuple[DecisionRecord, ...] = ()
    steps: tuple[StepRecord, ...] = ()
    messages: tuple[MessageRecord, ...] = ()
    outcomes: tuple[OutcomeRecord, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Returns everything as JSON values; money as text."""
        values: dict[str, Any] = plain(asdict(self))
        return values


def plain(value: Any) -> Any:
    """Returns JSON values: Decimals as text, tuples as lists."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Decimal) else value


class Reader:
    """Reads from a database that is up to date."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._pools: dict[str, tuple[dict[str, Any], ...]] = {}

    def pools(self) -> dict[str, tuple[dict[str, Any], ...]]:
        """Returns the agents' definitions by pool version, oldest first."""
        table = table_of(PoolRow)
        query = select(table.c.pool_version, table.c.agents).order_by(table.c.first_seen)
        with self._engine.connect() as connection:
            return {version: tuple(agents) for version, agents in connection.execute(query)}

    def _pool(self, version: str) -> tuple[dict[str, Any], ...]:
        if version not in self._pools:
            self._pools = self.pools()
            self._pools.setdefault(version, ())
        return self._pools[version]

    def _run(self, row: Mapping[str, Any]) -> RunRecord:
        version = row["pool_version"]
        return run_from_row(row, self._pool(version) if version else ())

    def run(self, run_id: str) -> RunTrace:
        """Returns everything of a run, by its id or the id's first characters.

        Raises:
            StoreError: there is none of this id, or several start so.
        """
        found = self._runs_where(RunRow.run_id == run_id)
        if not found and run_id:  # not at once: SQLite reads the whole table for a prefix
            found = self._runs_where(RunRow.run_id.startswith(run_id, autoescape=True))
        if not found:
            raise StoreError(f"no run {run_id!r} in this store; `agentnet traces ls` lists them.")
        if len(found) > 1:
            raise StoreError(f"several runs start with {run_id!r}; give more characters.")
        return self._traces([self._run(found[0])], messages=True)[0]

    def traces(self, run_ids: Sequence[str]) -> list[RunTrace]:
        """Returns runs with all their parts but messages, in the order asked; unknown ids are left out."""
        found: list[RunTrace] = []
        table = table_of(RunRow)
        for at in range(0, len(run_ids), _CHUNK):
            chunk = run_ids[at : at + _CHUNK]
            with self._engine.connect() as connection:
                rows = connection.execute(select(table).where(table.c.run_id.in_(chunk))).mappings()
                by_id = {row["run_id"]: dict(row) for row in rows}
            runs = [self._run(by_id[run_id]) for run_id in chunk if run_id in by_id]
            found += self._traces(runs, messages=False)
        return found

    def _runs_where(self, condition: ColumnElement[bool]) -> list[dict[str, Any]]:
        query = select(table_of(RunRow)).where(condition).limit(2)
        with self._engine.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def routers(self, run_ids: Sequence[str]) -> dict[str, str]:
        """Returns the router that served each run first, where there was one."""
        found: dict[str, str] = {}
        for at in range(0, len(run_ids), _CHUNK):
            query = select(DecisionRow.run_id, DecisionRow.router).where(
                DecisionRow.run_id.in_(run_ids[at : at + _CHUNK]),
                DecisionRow.turn == 0,
                DecisionRow.role != "shadow",
            )
            with self._engine.connect() as connection:
                found.update({run_id: router for run_id, router in connection.execute(query)})
        return found

    def runs(self, limit: int, where: RunFilter) -> list[RunRecord]:
        """Returns the latest runs first."""
        query = where.apply(select(table_of(RunRow)))
        query = query.order_by(RunRow.started_at.desc(), RunRow.run_id.desc()).limit(limit)
        with self._engine.connect() as connection:
            rows = [dict(row) for row in connection.execute(query).mappings()]
        return [self._run(row) for row in rows]

    def iter_runs(self, where: RunFilter) -> Iterator[RunRecord]:
        """Yields runs, the earliest first, without holding them in memory."""
        query = where.apply(select(table_of(RunRow))).order_by(RunRow.started_at, RunRow.run_id)
        with self._engine.connect().execution_options(yield_per=1000) as connection:
            for row in connection.execute(query).mappings():
                yield self._run(dict(row))

    def iter_traces(self, where: RunFilter, *, messages: bool) -> Iterator[RunTrace]:
        """Yields runs with all their parts, the earliest first, a bounded number at a time in memory."""
        chunk: list[RunRecord] = []
        for run in self.iter_runs(where):
            chunk.append(run)
            if len(chunk) == _CHUNK:
                yield from self._traces(chunk, messages=messages)
                chunk = []
        if chunk:
            yield from self._traces(chunk, messages=messages)

    def _traces(self, runs: Sequence[RunRecord], *, messages: bool) -> list[RunTrace]:
        ids = [run.run_id for run in runs]
        decisions = self._parts(DecisionRow, ids, ("run_id", "turn", "role"))
        steps = self._parts(StepRow, ids, ("run_id", "seq"))
        said = self._parts(MessageRow, ids, ("run_id", "step_seq", "seq")) if messages else {}
        judged = self._parts(OutcomeRow, ids, ("run_id", "judged_at", "id"))
        return [
            RunTrace(
                run=run,
                decisions=tuple(decision_from_row(row) for row in decisions.get(run.run_id, ())),
                steps=tuple(StepRecord(**row) for row in steps.get(run.run_id, ())),
                messages=tuple(MessageRecord(**row) for row in said.get(run.run_id, ())),
                outcomes=tuple(outcome_from_row(row) for row in judged.get(run.run_id, ())),
            )
            for run in runs
        ]

    def _parts(
        self, model: type[Base], ids: list[str], order: tuple[str, ...]
    ) -> dict[str, list[dict[str, Any]]]:
        table = table_of(model)
        query = select(table).where(table.c.run_id.in_(ids)).order_by(*(table.c[name] for name in order))
        with self._engine.connect() as connection:
            rows = [dict(row) for row in connection.execute(query).mappings()]
        return {run_id: list(group) for run_id, group in groupby(rows, key=lambda row: row["run_id"])}

    def finished(self, batch_id: str, statuses: Sequence[str]) -> dict[str, str]:
        """Returns the latest finished run of each task of a batch: ``{task_id: run_id}``."""
        query = (
            select(RunRow.task_id, RunRow.run_id)
            .where(RunRow.batch_id == batch_id, RunRow.task_id.is_not(None), RunRow.status.in_(statuses))
            .order_by(RunRow.started_at)
        )
        with self._engine.connect() as connection:
            return {str(task): run for task, run in connection.execute(query)}

    def outcomes_after(self, after: int, limit: int) -> list[tuple[int, OutcomeRecord]]:
        """Returns judgements first stored after one, with their numbers, in the order stored."""
        table = table_of(OutcomeRow)
        query = select(table).where(table.c.id > after).order_by(table.c.id).limit(limit)
        with self._engine.connect() as connection:
            rows = [dict(row) for row in connection.execute(query).mappings()]
        return [(row["id"], outcome_from_row(row)) for row in rows]

    def pool_changes(self, limit: int, since: float | None, agent: str | None) -> list[PoolChangeRecord]:
        """Returns the latest swaps first; of one agent only if asked."""
        table = table_of(PoolChangeRow)
        query = select(table).order_by(table.c.changed_at.desc(), table.c.revision.desc())
        if since is not None:
            query = query.where(table.c.changed_at >= since)
        found: list[PoolChangeRecord] = []
        streaming = self._engine.connect().execution_options(yield_per=200)
        # The result is closed here, for a reader that has enough leaves rows behind.
        with streaming as connection, connection.execute(query) as result:
            for row in result.mappings():
                record = pool_change_from_row(dict(row))
                if agent is None or agent in {*record.added, *record.removed, *record.changed}:
                    found.append(record)
                if len(found) == limit:
                    break
        return found
