"""Stores on both databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agentnet.traces.store import TraceStore


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database, SQLite and PostgreSQL in turn."""
    if request.param == "postgres":
        url: str = request.getfixturevalue("postgres_url")
        return url
    return f"sqlite:///{tmp_path / 'traces.db'}"


@pytest.fixture
def open_store(store_url: str) -> Iterator[Callable[..., TraceStore]]:
    """Opens stores on the database, and closes them when the test is over."""
    opened: list[TraceStore] = []

    def open_(**settings: Any) -> TraceStore:
        opened.append(TraceStore.open(store_url, **settings))
        return opened[-1]

    yield open_
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: Callable[..., TraceStore]) -> TraceStore:
    """An empty store."""
    return open_store()
