from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentnet.registry.base import Registry, open_registry
from agentnet.traces.store import TraceStore

from .world import write_log


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of 2,500 runs from which two agents' strengths can be learned; copied, never changed."""
    path = tmp_path_factory.mktemp("written") / "traces.db"
    with TraceStore.open(path) as opened:
        write_log(opened, 2500)
    return path


@pytest.fixture
def logged(written: Path, tmp_path: Path) -> Iterator[TraceStore]:
    """A store of one's own that holds these runs."""
    shutil.copy(written, tmp_path / "logged.db")
    with TraceStore.open(tmp_path / "logged.db") as opened:
        yield opened


@pytest.fixture
def store(tmp_path: Path) -> Iterator[TraceStore]:
    with TraceStore.open(tmp_path / "traces.db") as opened:
        yield opened


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    opened = open_registry(str(tmp_path / "registry"))
    yield opened
    opened.close()


@pytest.fixture(params=["folder", "database"])
def each_registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Registry]:
    where = tmp_path / "registry" if request.param == "folder" else f"sqlite:///{tmp_path}/registry.db"
    opened = open_registry(str(where))
    yield opened
    opened.close()
