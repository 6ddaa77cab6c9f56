"""Registries of both kinds, on a folder, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agentnet import make_router
from agentnet.registry.base import Registry, open_registry
from agentnet.routers.base import Router

KINDS = ["folder", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]


@pytest.fixture(params=KINDS)
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty place of each kind."""
    if request.param == "postgres":
        url: str = request.getfixturevalue("postgres_url")
        return url
    return str(tmp_path / "registry") if request.param == "folder" else f"sqlite:///{tmp_path / 'traces.db'}"


@pytest.fixture
def open_at(where: str) -> Iterator[Callable[..., Registry]]:
    """Opens registries on the place, and closes them when the test is over."""
    opened: list[Registry] = []

    def open_(**settings: Any) -> Registry:
        if not settings:
            opened.append(open_registry(where))
        elif "://" in where:
            from agentnet.registry.database import DatabaseRegistry

            opened.append(DatabaseRegistry.open(where, **settings))
        else:
            from agentnet.registry.folder import FolderRegistry

            opened.append(FolderRegistry(where, **settings))
        return opened[-1]

    yield open_
    for registry in opened:
        registry.close()


@pytest.fixture
def registry(open_at: Callable[..., Registry]) -> Registry:
    """An empty registry."""
    return open_at()


def router(seed: int) -> Router:
    """A router that needs no fit; its version hangs on the seed."""
    return make_router("random", seed=seed)
