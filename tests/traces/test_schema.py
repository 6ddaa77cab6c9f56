"""Migrations make what the models say, and old, new and foreign databases are told apart."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

import agentnet.traces.migrations.versions as versions
from agentnet.errors import StoreError
from agentnet.traces.engine import make_engine, parse_url
from agentnet.traces.models import Base
from agentnet.traces.records import RunRecord
from agentnet.traces.schema import (
    HEAD,
    VERSION_TABLE,
    alembic_config,
    current_version,
    ignore_others,
    migrate,
)
from agentnet.traces.store import TraceStore
from agentnet.traces.values import Cleaner


def test_migrations_make_what_the_models_say(store_url: str) -> None:
    with TraceStore.open(store_url) as store, store.engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "version_table": VERSION_TABLE,
                "compare_type": True,
                "compare_server_default": True,
                "include_object": ignore_others,
            },
        )
        assert compare_metadata(context, Base.metadata) == []
        assert set(Base.metadata.tables) | {VERSION_TABLE} == set(inspect(connection).get_table_names())


def test_head_is_the_last_migration_and_all_are_packaged() -> None:
    script = ScriptDirectory.from_config(alembic_config())
    assert script.get_heads() == [HEAD]
    assert versions.__file__ is not None
    folder = Path(versions.__file__).parent
    assert {Path(item.path).parent for item in script.walk_revisions()} == {folder}


def test_down_and_up_again(store_url: str) -> None:
    with TraceStore.open(store_url) as store:
        with store.engine.connect().execution_options(writes=True) as connection, connection.begin():
            command.downgrade(alembic_config(connection), "base")
        assert set(inspect(store.engine).get_table_names()) == {VERSION_TABLE}
        migrate(store.engine)  # an older database is brought up to date
        store.write(RunRecord(run_id="r", started_at=1.0, task_hash="h"))
        assert store.run("r").run.run_id == "r"


def test_a_newer_database_is_refused(store_url: str) -> None:
    with TraceStore.open(store_url) as store, store.engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    with pytest.raises(StoreError, match=r"version 9999, newer .* upgrade agentnet"):
        TraceStore.open(store_url)


def test_tables_of_others_are_left_alone(store_url: str) -> None:
    engine = make_engine(parse_url(store_url), serializer=Cleaner(), busy_timeout_s=1)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('theirs')"))
    with TraceStore.open(store_url):
        pass
    with engine.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == "theirs"
        assert current_version(connection) == HEAD
    engine.dispose()


def test_a_table_of_the_same_name_is_a_clear_error(store_url: str) -> None:
    engine = make_engine(parse_url(store_url), serializer=Cleaner(), busy_timeout_s=1)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE runs (theirs VARCHAR)"))
    with pytest.raises(StoreError, match=r"runs.*already exists"):
        TraceStore.open(store_url)
    with engine.connect() as connection:  # nothing was half made
        assert inspect(connection).get_table_names() == ["runs"]
    engine.dispose()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("mysql://me@host/db", "not in 'mysql'"),
        ("sqlite://", "needs a file"),
        ("sqlite:///:memory:", "needs a file"),
        ("://", "not a database address"),
        ("sqlite:////no/such/folder/x.db", "there is no folder"),
    ],
)
def test_bad_addresses(url: str, says: str) -> None:
    with pytest.raises(StoreError, match=says):
        TraceStore.open(url)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    file = tmp_path / "x.db"
    file.write_bytes(b"certainly not a database" * 100)
    with pytest.raises(StoreError, match="not a database"):
        TraceStore.open(file)
    assert file.read_bytes().startswith(b"certainly")


def test_not_made_when_not_asked(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no trace database"):
        TraceStore.open(tmp_path / "x.db", create=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.postgres
def test_an_unreachable_server_is_a_clear_error_without_the_password() -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(StoreError, match="Is the server running") as caught:
        TraceStore.open("postgresql://me:hunter2secret@127.0.0.1:1/nothing")
    assert "hunter2secret" not in str(caught.value)
