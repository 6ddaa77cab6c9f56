"""Stores with runs to score."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agentnet.traces.store import TraceStore


@pytest.fixture
def store(store_url: str) -> Iterator[TraceStore]:
    """An empty store, on SQLite and PostgreSQL in turn."""
    with TraceStore.open(store_url) as opened:
        yield opened
