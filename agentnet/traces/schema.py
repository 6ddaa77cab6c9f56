"""The schema's version: brings a database up to date, and refuses one from a newer agentnet."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, inspect, text

from agentnet.errors import StoreError

HEAD = "0004"
"""The schema version that this code reads and writes."""

VERSION_TABLE = "agentnet_schema"
"""Own name, so that a database that another application migrates with Alembic can be shared."""

_LOCK = 0x61676E74  # any number that no other application uses for its advisory locks


def alembic_config(connection: Connection | None = None) -> Any:
    """Returns an Alembic configuration of the migrations inside this package."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "agentnet.traces:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def ignore_others(
    item: object, name: str | None, kind: str, reflected: bool, compare_to: object | None
) -> bool:
    """Alembic's ``include_object``: leaves tables of other applications alone."""
    return not (kind == "table" and reflected and compare_to is None)


def current_version(connection: Connection) -> str | None:
    """Returns the database's schema version; None when it has no tables of ours."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    version: str | None = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()
    return version


def migrate(engine: Engine) -> None:
    """Brings the database to `HEAD`; safe when several processes do it at once.

    Raises:
        StoreError: the database was written by a newer agentnet.
    """
    with engine.connect() as connection:
        if current_version(connection) == HEAD:
            return
    from alembic import command
    from alembic.script import ScriptDirectory

    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        # Everything below happens under one lock, and so do others' migrations: SQLite's write lock was
        # taken by BEGIN IMMEDIATE, PostgreSQL's ends with the transaction.
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        config = alembic_config(connection)
        version = current_version(connection)
        known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
        if version is not None and version not in known:
            raise StoreError(
                f"this trace database has schema version {version}, newer than this agentnet knows "
                f"({HEAD}): upgrade agentnet to open it."
            )
        command.upgrade(config, "head")
