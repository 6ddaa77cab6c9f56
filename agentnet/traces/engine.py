"""Engines for SQLite and PostgreSQL, set up so that several processes can write."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError

from agentnet.errors import MissingDependency, StoreError


def parse_url(url: str | Path) -> URL:
    """Returns a database's address; a path, or text without ``://``, is a SQLite file.

    Raises:
        StoreError: it is neither a SQLite file nor a PostgreSQL address.

    >>> parse_url("traces.db").render_as_string(), parse_url("postgres://me@host/db").drivername
    ('sqlite:///traces.db', 'postgresql+psycopg')
    """
    if isinstance(url, Path) or "://" not in url:
        return URL.create("sqlite", database=str(url))
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise StoreError(
            "this is not a database address; use sqlite:///FILE or postgresql://USER@HOST/DATABASE."
        ) from None
    kind = parsed.drivername.split("+")[0]
    if kind in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    if kind != "sqlite":
        raise StoreError(f"traces are stored in SQLite or PostgreSQL, not in {kind!r}.")
    if parsed.database in (None, "", ":memory:"):
        raise StoreError(
            "a trace store needs a file, for its writer has a connection of its own: use sqlite:///FILE."
        )
    return parsed.set(drivername="sqlite")


def make_engine(url: URL, *, serializer: Callable[[Any], str], busy_timeout_s: float) -> Engine:
    """Returns an engine.

    SQLite files are in WAL mode with ``synchronous=NORMAL``: a killed process loses nothing that was
    committed, a power cut may lose the last commits but corrupts nothing. Transactions begin when asked
    to, and those that write begin at once as writers (``BEGIN IMMEDIATE``), so that two of them wait for
    each other instead of failing half-way.

    Args:
        url: From `parse_url`.
        serializer: Writes JSON text.
        busy_timeout_s: Seconds a writer waits for another process's lock.
    """
    if url.drivername != "sqlite":
        try:
            return create_engine(url, json_serializer=serializer, pool_pre_ping=True)
        except (ImportError, NoSuchModuleError):
            raise MissingDependency(
                "PostgreSQL needs psycopg: pip install 'agentnet-routing[postgres]'"
            ) from None
    folder = Path(url.database or ".").expanduser().parent
    if not folder.is_dir():
        raise StoreError(f"cannot open {url.database}: there is no folder {folder}. Make it first.")
    engine = create_engine(url, json_serializer=serializer, connect_args={"timeout": busy_timeout_s})

    @event.listens_for(engine, "connect")
    def _set_up(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions are begun below, DDL included
        _to_wal(connection, busy_timeout_s)
        connection.execute("PRAGMA synchronous=NORMAL")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _to_wal(connection: Any, timeout_s: float) -> None:
    """Switches a file to WAL; SQLite does not wait for locks here, so this does."""
    import sqlite3

    deadline = time.monotonic() + timeout_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.005)


def store_error(error: Exception, url: URL, doing: str) -> StoreError:
    """Returns a StoreError that names the database, without its password, and the cause in a line."""
    where = url.render_as_string(hide_password=True)
    cause = getattr(error, "orig", None) or error
    lines = str(cause).strip().splitlines()
    text = lines[0] if lines else type(cause).__name__
    if url.password:
        text = text.replace(str(url.password), "***")
    advice = ""
    if isinstance(error, OperationalError) and url.drivername != "sqlite":
        advice = " Is the server running, and may this user connect?"
    elif "locked" in text:
        advice = " Another process holds the database's write lock."
    elif "full" in text:
        advice = " Make room on the disk."
    elif "not a database" in text:
        advice = " The file is something else, or is damaged."
    return StoreError(f"{doing} {where} failed: {text.rstrip('.')}.{advice}")
