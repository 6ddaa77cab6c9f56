"""Swaps of served pools are stored, replaced, filtered and purged like other records, on both databases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from alembic import command
from sqlalchemy import inspect

from agentnet.errors import StoreError
from agentnet.traces.records import PoolChangeRecord, RunRecord
from agentnet.traces.schema import alembic_config, migrate
from agentnet.traces.store import TraceStore


def change(revision: int, **fields: Any) -> PoolChangeRecord:
    values: dict[str, Any] = {
        "change_id": f"p:{revision}",
        "pool_id": "p",
        "revision": revision,
        "changed_at": 1000.0 + revision,
        "pool_version": f"v{revision}",
        "size": 3,
        "process": "host:1",
    }
    return PoolChangeRecord(**{**values, **fields})


def test_what_is_written_comes_back_latest_first(store: TraceStore) -> None:
    agents = ({"name": "naïve 'x'", "options": {"n": 3}, "examples": ["a", "b"]},)
    first = change(1, added=("naïve 'x'",), agents=agents)
    second = change(2, removed=("a", "b"), changed=("c",))
    store.write(first, second)
    assert store.pool_changes() == [second, first]
    assert store.pool_changes(1) == [second]
    assert store.pool_changes(since=1001.5) == [second]
    assert store.pool_changes(agent="naïve 'x'") == [first] and store.pool_changes(agent="b") == [second]
    assert store.pool_changes(agent="nobody") == []


def test_the_same_swap_is_one_record(store: TraceStore) -> None:
    store.write(change(1), change(1, added=("a",)))
    store.flush()
    store.write(change(1, added=("a", "b")))
    assert [found.added for found in store.pool_changes()] == [("a", "b")]


def test_retention_takes_old_ones_with_old_runs(store: TraceStore) -> None:
    store.write(change(1), change(9), RunRecord(run_id="r", started_at=1001.0, task_hash="h"))
    assert store.purge(before=1005.0) == 1
    assert [found.revision for found in store.pool_changes()] == [9]


def test_secrets_in_definitions_are_replaced(
    open_store: Callable[..., TraceStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_API_KEY", "sk-very-secret-value-123456")
    store = open_store(capture="off")
    store.write(change(1, added=("a",), agents=({"name": "a", "system": "use sk-very-secret-value-123456"},)))
    [found] = store.pool_changes()
    assert found.added == ("a",) and "very-secret" not in str(found.agents)


def test_a_change_without_an_id_is_refused_and_a_bad_one_costs_itself_only(store: TraceStore) -> None:
    with pytest.raises(StoreError, match="PoolChangeRecord needs"):
        store.write(replace(change(1), change_id=""))
    bad: Any = change(2, size=object())
    store.write(bad, change(3))
    with pytest.raises(StoreError, match="p:2"):
        store.flush()
    assert [found.revision for found in store.pool_changes() if found.size == 3] == [3]


def test_an_older_database_is_brought_up_to_date_and_keeps_its_runs(store: TraceStore) -> None:
    store.write(RunRecord(run_id="r", started_at=1.0, task_hash="h"))
    store.flush()
    with store.engine.connect().execution_options(writes=True) as connection, connection.begin():
        command.downgrade(alembic_config(connection), "0002")
    assert "pool_changes" not in inspect(store.engine).get_table_names()
    migrate(store.engine)
    store.write(change(1))
    assert store.pool_changes() == [change(1)] and store.run("r").run.run_id == "r"
