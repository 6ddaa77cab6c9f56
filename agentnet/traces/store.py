"""`TraceStore`: where runs are recorded and read back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from sqlalchemy import URL, Engine, delete, select, update
from sqlalchemy.exc import SQLAlchemyError

from agentnet.errors import StoreError
from agentnet.traces.engine import make_engine, parse_url, store_error
from agentnet.traces.models import DecisionRow, MessageRow, OutcomeRow, PoolChangeRow, RunRow, StepRow
from agentnet.traces.reader import Reader, RunFilter, RunTrace
from agentnet.traces.records import OutcomeRecord, PoolChangeRecord, Record, RunRecord
from agentnet.traces.redact import environment_secrets
from agentnet.traces.rows import Capture
from agentnet.traces.schema import migrate
from agentnet.traces.sink import Sink, check, table_of
from agentnet.traces.stats import Stats, stats
from agentnet.traces.values import Cleaner
from agentnet.traces.writer import Writer

T = TypeVar("T")


class TraceStore:
    """Records runs in SQLite or PostgreSQL, off the serving path, and reads them back.

    Open one with `open`. A store may be used from several threads and tasks; several processes may each
    open the same database. Reading sees everything this store was given before.

    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> with TraceStore.open(f"sqlite:///{folder.name}/traces.db") as store:
    ...     store.write(RunRecord(run_id="0" * 32, started_at=1.0, status="ok", task_text="2 + 2?"))
    ...     store.run("0" * 32).run.status
    'ok'
    >>> folder.cleanup()
    """

    def __init__(self, engine: Engine, url: URL, capture: Capture, **writing: Any) -> None:
        self._engine = engine
        self._url = url
        self._reader = Reader(engine)
        self._capture = capture
        self._sink = Sink(engine, capture)
        self._writer = Writer(self._write, lambda error: self._error(error, "writing to"), **writing)

    @classmethod
    def open(
        cls,
        url: str | Path = "sqlite:///agentnet.db",
        *,
        capture: Literal["full", "redacted", "off"] = "full",
        redact: Callable[[str], str] | None = None,
        flush_s: float = 0.2,
        batch: int = 512,
        queue: int = 100_000,
        block_s: float = 1.0,
        busy_timeout_s: float = 10.0,
        create: bool = True,
    ) -> Self:
        """Opens a store; a new database gets its tables, an older one is brought up to date.

        Args:
            url: ``sqlite:///FILE``, ``postgresql://USER@HOST/DATABASE`` or a file's path.
            capture: ``"full"`` keeps the texts of tasks, answers and messages; ``"redacted"`` passes them
                through ``redact``; ``"off"`` keeps none of them, only hashes, numbers and names. Secrets
                are replaced in every mode.
            redact: For ``"redacted"``; default: `agentnet.traces.redact.redact_personal`.
            flush_s: The flush window in seconds: a record is committed at most this long after `write`
                (plus the time the transaction takes). A process that is killed loses at most this.
            batch: Records that are committed at once, without waiting for the window's end.
            queue: Most records that wait for the database.
            block_s: Seconds that `write` waits for room when the queue is full, before it raises.
            busy_timeout_s: Seconds to wait for another process's lock (SQLite).
            create: Whether to make a SQLite file that is not there.

        Raises:
            StoreError: the database cannot be opened, or a newer agentnet has written it.
        """
        parsed = parse_url(url)
        if not create and parsed.drivername == "sqlite" and not Path(parsed.database or "").is_file():
            raise StoreError(f"there is no trace database {parsed.database}.")
        cleaner = Cleaner(environment_secrets())
        capturing = Capture(capture, redact, cleaner)
        engine = make_engine(parsed, serializer=cleaner, busy_timeout_s=busy_timeout_s)
        try:
            migrate(engine)
            return cls(engine, parsed, capturing, flush_s=flush_s, batch=batch, queue=queue, block_s=block_s)
        except SQLAlchemyError as error:
            engine.dispose()
            raise store_error(error, parsed, "opening") from None
        except BaseException:
            engine.dispose()
            raise

    @property
    def url(self) -> str:
        """The database's address, without its password."""
        return self._url.render_as_string(hide_password=True)

    @property
    def engine(self) -> Engine:
        """The SQLAlchemy engine, for queries of your own on `agentnet.traces.models`."""
        self._check_fork()
        return self._engine

    @property
    def capture(self) -> str:
        """What of the texts is stored: ``"full"``, ``"redacted"`` or ``"off"``."""
        return self._capture.mode

    # -- writing -------------------------------------------------------------------------------
    def write(self, *records: Record) -> None:
        """Queues records; never waits for the database.

        Writing a record of the same key again (a run when it starts and when it ends) replaces it. The
        records' mappings must not be changed afterwards.

        Raises:
            StoreError: a record is malformed; or the queue stayed full (these records were not taken); or an
                earlier write failed (said once a failure; these records were taken, and all are kept and
                tried again).
        """
        for record in records:
            check(record)
        self._check_fork()
        if records:
            self._writer.submit(records)

    async def awrite(self, *records: Record) -> None:
        """Queues records as `write` does, without blocking the event loop when the queue is full."""
        if self._writer.room >= len(records):
            self.write(*records)
        else:
            await asyncio.to_thread(self.write, *records)

    def flush(self) -> None:
        """Waits until everything written before is committed.

        Raises:
            StoreError: it could not be committed; it is kept and tried again, also by another `flush`.
        """
        self._check_fork()
        self._writer.flush()

    async def aflush(self) -> None:
        """`flush` without blocking the event loop."""
        await asyncio.to_thread(self.flush)

    def add_outcomes(self, *outcomes: OutcomeRecord) -> None:
        """Adds judgements, however late; the same judge at the same moment replaces its own."""
        self.write(*outcomes)
        self.flush()

    def _write(self, records: Sequence[Record]) -> list[str]:
        return self._sink.write(records)

    # -- reading -------------------------------------------------------------------------------
    def run(self, run_id: str) -> RunTrace:
        """Returns everything of a run, by its id or the id's first characters.

        Raises:
            StoreError: there is none of this id, or several start so.
        """
        with self._reading():
            return self._reader.run(run_id)

    def traces(self, run_ids: Sequence[str]) -> list[RunTrace]:
        """Returns these runs with decisions, steps and judgements; ids that are not there are left out."""
        with self._reading():
            return self._reader.traces(run_ids)

    def runs(self, limit: int = 100, **where: Any) -> list[RunRecord]:
        """Returns runs, the latest first.

        Args:
            limit: Most runs.
            **where: Fields of `RunFilter`: since, until, router, router_version, status, batch_id,
                task_hash, session_id, kind.
        """
        with self._reading():
            return self._reader.runs(limit, RunFilter(**where))

    def routers(self, run_ids: Sequence[str]) -> dict[str, str]:
        """Returns ``{run_id: router}``: the router that served each run first, where there was one."""
        with self._reading():
            return self._reader.routers(run_ids)

    def iter_runs(self, **where: Any) -> Iterator[RunRecord]:
        """Yields runs, the earliest first, as a stream: millions need no more memory than one."""
        with self._reading():
            yield from self._reader.iter_runs(RunFilter(**where))

    def iter_traces(self, *, messages: bool = False, **where: Any) -> Iterator[RunTrace]:
        """Yields runs with decisions, steps and judgements (and messages if asked) as a stream."""
        with self._reading():
            yield from self._reader.iter_traces(RunFilter(**where), messages=messages)

    def finished(self, batch_id: str, *, statuses: Sequence[str] = ("ok", "abstained")) -> dict[str, str]:
        """Returns ``{task_id: run_id}`` of the tasks of a batch that need not run again."""
        with self._reading():
            return self._reader.finished(batch_id, statuses)

    def outcomes_after(self, after: int = 0, limit: int = 10_000) -> list[tuple[int, OutcomeRecord]]:
        """Returns judgements with their numbers, for learners that go on where they stopped.

        Args:
            after: The number of the last judgement seen.
            limit: Most judgements.
        """
        with self._reading():
            return self._reader.outcomes_after(after, limit)

    def pools(self) -> dict[str, tuple[dict[str, Any], ...]]:
        """Returns the agents' definitions by pool version, the oldest first."""
        with self._reading():
            return self._reader.pools()

    def pool_changes(
        self, limit: int = 100, *, since: float | None = None, agent: str | None = None
    ) -> list[PoolChangeRecord]:
        """Returns the swaps of served pools, the latest first.

        Args:
            limit: Most swaps.
            since: Only swaps at this time or later, seconds since the epoch.
            agent: Only swaps that added, removed or changed this agent.
        """
        with self._reading():
            return self._reader.pool_changes(limit, since, agent)

    def stats(self, **where: Any) -> Stats:
        """Returns totals: runs, costs known and unknown, tokens, by agent and by router."""
        with self._reading():
            return stats(self._engine, RunFilter(**where))

    def read(self, query: Callable[[Engine], T]) -> T:
        """Returns what a query of your own gives, after own writes are committed."""
        with self._reading():
            return query(self._engine)

    # -- upkeep --------------------------------------------------------------------------------
    def recover(self, *, older_than_s: float = 3600.0, batch_id: str | None = None) -> int:
        """Marks runs that still say "running" as failed: their process died.

        A run that is alive after all overwrites the mark when it ends.

        Args:
            older_than_s: Only runs that started longer ago than this.
            batch_id: Only runs of this batch.

        Returns:
            How many runs were marked.
        """
        change = update(table_of(RunRow)).where(
            RunRow.status == "running", RunRow.started_at <= time.time() - older_than_s
        )
        if batch_id is not None:
            change = change.where(RunRow.batch_id == batch_id)
        with self._reading(), self._engine.connect().execution_options(writes=True) as connection:
            with connection.begin():
                done = connection.execute(change.values(status="error", error="process died"))
            return int(done.rowcount)

    def purge(self, *, before: float) -> int:
        """Deletes runs that started before a time, with everything of theirs, and older pool changes.

        Returns:
            How many runs were deleted.
        """
        old = select(RunRow.run_id).where(RunRow.started_at < before)
        with self._reading(), self._engine.connect().execution_options(writes=True) as connection:
            with connection.begin():
                for model in (DecisionRow, StepRow, MessageRow, OutcomeRow):
                    table = table_of(model)
                    connection.execute(delete(table).where(table.c.run_id.in_(old)))
                connection.execute(delete(table_of(PoolChangeRow)).where(PoolChangeRow.changed_at < before))
                done = connection.execute(delete(table_of(RunRow)).where(RunRow.started_at < before))
            return int(done.rowcount)

    def close(self) -> None:
        """Writes what waits and closes the database; on StoreError it stays open, with what waits."""
        self._check_fork()
        try:
            self._writer.close()
        finally:
            if not self._writer.waiting:
                self._engine.dispose()

    async def aclose(self) -> None:
        """`close` without blocking the event loop."""
        await asyncio.to_thread(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"TraceStore({self.url!r}, capture={self.capture!r})"

    # ------------------------------------------------------------------------------------------
    def _check_fork(self) -> None:
        if self._writer.forked():
            # The parent's connections must not be used or closed here: keep them, make new ones.
            self._parents_pool = self._engine.pool
            self._engine.dispose(close=False)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Makes own writes visible, and turns database errors into StoreError."""
        self._check_fork()
        if self._writer.waiting:
            self._writer.flush()
        try:
            yield
        except SQLAlchemyError as error:
            raise self._error(error, "reading from") from None

    def _error(self, error: Exception, doing: str) -> StoreError:
        return store_error(error, self._url, doing)
