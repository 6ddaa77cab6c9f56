"""Writes batches of records, each in one transaction; writing a record again replaces it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Engine, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError, SQLAlchemyError

from agentnet.errors import StoreError
from agentnet.traces.models import Base, PoolRow
from agentnet.traces.records import Record, RunRecord
from agentnet.traces.redact import scrub
from agentnet.traces.rows import KEYS, TABLES, Capture, Row

Batch = dict[type[Any], dict[tuple[Any, ...], Row]]
"""Rows by kind of record and by key: a key that stands twice in a batch is written once, as last given."""


def table_of(model: type[Base]) -> Table:
    """Returns a model's table."""
    table = model.__table__
    assert isinstance(table, Table)
    return table


class _Upsert:
    """An insert that replaces rows of equal keys, compiled once.

    SQLAlchemy's own execution looks up every parameter of every row by name, which takes as long as
    SQLite takes to write the row; here only the columns that need it are converted, by the same types.
    """

    def __init__(self, engine: Engine, table: Table, key: tuple[str, ...]) -> None:
        names = [column.name for column in table.columns if column.name != "id"]
        insert = insert_into(engine, table)
        statement = insert.on_conflict_do_update(
            index_elements=list(key),
            set_={name: insert.excluded[name] for name in names if name not in key},
        )
        compiled = statement.compile(dialect=engine.dialect, column_keys=names)
        self._sql = str(compiled)
        self._order = compiled.positiontup  # None where the driver takes parameters by name
        self._convert: list[tuple[str, Callable[[Any], Any]]] = []
        for name in names:
            kind = table.columns[name].type.dialect_impl(engine.dialect)
            if processor := kind.bind_processor(engine.dialect):
                self._convert.append((name, processor))

    def execute(self, connection: Connection, rows: Iterable[Row]) -> None:
        """Writes rows."""
        converted: list[Any] = [self._converted(row) for row in rows]
        if self._order is not None:
            get = itemgetter(*self._order)
            converted = [get(row) for row in converted]
        connection.exec_driver_sql(self._sql, converted)

    def _converted(self, row: Row) -> Row:
        row = dict(row)  # a row may be written again, by itself
        for name, processor in self._convert:
            row[name] = processor(row[name])
        return row


def insert_into(engine: Engine, table: Table) -> postgresql.Insert | sqlite.Insert:
    """Returns an insert that can say what to do on a conflict."""
    return postgresql.insert(table) if engine.dialect.name == "postgresql" else sqlite.insert(table)


class Sink:
    """Turns records into rows and writes them.

    Args:
        engine: The database.
        capture: What of the texts is stored.
    """

    def __init__(self, engine: Engine, capture: Capture) -> None:
        self._engine = engine
        self._capture = capture
        self._pools: set[str] = set()
        self._upserts = {kind: _Upsert(engine, table_of(TABLES[kind]), KEYS[kind]) for kind in TABLES}
        self._add_pool = insert_into(engine, table_of(PoolRow)).on_conflict_do_nothing()

    def write(self, records: Sequence[Record]) -> list[str]:
        """Writes records in one transaction.

        Returns:
            Why records could not be stored at all, a line each; the others are stored.

        Raises:
            SQLAlchemyError: nothing was written, for now: locked, full, unreachable.
        """
        batch, pools, refused = self._rows(records)
        try:
            self._write(batch, pools)
        except Exception as error:
            if not _of_the_rows(error):
                raise
            refused += self._one_by_one(batch, pools)
        self._pools.update(row["pool_version"] for row in pools)
        return refused

    def _rows(self, records: Iterable[Record]) -> tuple[Batch, list[Row], list[str]]:
        batch: Batch = {kind: {} for kind in TABLES}
        pools: dict[str, Row] = {}
        refused: list[str] = []
        for record in records:
            kind = type(record)
            try:
                row = self._capture.row(record)
            except Exception as error:  # whatever a redact function or a wrong value raises
                refused.append(self._why(kind.__name__, record.run_id, error))
                continue
            batch[kind][tuple([row[name] for name in KEYS[kind]])] = row
            version = row.get("pool_version")
            if isinstance(record, RunRecord) and record.pool and version not in self._pools:
                agents = [dict(agent) for agent in record.pool]
                pools[str(version)] = {
                    "pool_version": version,
                    "agents": agents,
                    "first_seen": record.started_at or time.time(),
                }
        return batch, list(pools.values()), refused

    def _write(self, batch: Batch, pools: list[Row]) -> None:
        with self._begin() as connection:
            if pools:
                connection.execute(self._add_pool, pools)
            for kind, rows in batch.items():
                if rows:
                    self._upserts[kind].execute(connection, rows.values())

    def _one_by_one(self, batch: Batch, pools: list[Row]) -> list[str]:
        """Writes each row in its own transaction, so that one bad row does not hold up the others."""
        refused: list[str] = []
        parts: list[tuple[str, Batch, list[Row]]] = [(row["pool_version"], {}, [row]) for row in pools]
        for kind, rows in batch.items():
            parts += [(str(key[0]), {kind: {key: row}}, []) for key, row in rows.items()]
        for name, part, pool in parts:
            try:
                self._write(part, pool)
            except Exception as error:
                if not _of_the_rows(error):
                    raise
                what = next(iter(part)).__name__ if part else "pool"
                refused.append(self._why(what, name, error))
        return refused

    def _why(self, kind: str, name: object, error: Exception) -> str:
        cause = getattr(error, "orig", None) or error
        reason = type(cause).__name__
        if self._capture.mode == "full":  # else a value in the message would be content in a log
            reason = scrub((str(cause).splitlines() or [reason])[0][:300])
        return f"{kind} of run {name}: {reason}"

    def _begin(self) -> _Transaction:
        return _Transaction(self._engine)


class _Transaction:
    """A transaction that takes the write lock at its start."""

    def __init__(self, engine: Engine) -> None:
        self._connection = engine.connect().execution_options(writes=True)

    def __enter__(self) -> Connection:
        try:
            self._transaction = self._connection.begin()
        except BaseException:
            self._connection.close()
            raise
        return self._connection

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        try:
            if kind is None:
                self._transaction.commit()
            else:
                self._transaction.rollback()
        finally:
            self._connection.close()


def _of_the_rows(error: Exception) -> bool:
    """Whether the values are at fault, so that trying again can never help."""
    if isinstance(error, DBAPIError):
        return isinstance(error, IntegrityError | DataError | ProgrammingError)
    return isinstance(error, SQLAlchemyError | TypeError | ValueError | OverflowError | KeyError)


def check(record: Record) -> None:
    """Refuses what can be seen to be wrong at once.

    Raises:
        StoreError: it is no record, has no run id, or is a judgement outside [0, 1].
    """
    kind = type(record)
    if kind not in TABLES:
        raise StoreError(f"a trace store writes records; got {kind.__name__}.")
    if not record.run_id or not isinstance(record.run_id, str):
        raise StoreError(f"a {kind.__name__} needs the run_id of its run.")
    score: Any = getattr(record, "score", None)
    if score is not None and not 0 <= score <= 1:  # also refuses NaN
        raise StoreError(f"scores lie in [0, 1]; got {score!r} for run {record.run_id}.")
    weight: Any = getattr(record, "weight", 1.0)
    if not 0 <= weight < float("inf"):
        raise StoreError(f"a judgement's weight is finite and not negative; got {weight!r}.")
