"""A tiny pack of multi-hop questions, and a script in place of the model."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pytest import FixtureRequest

from agentnet.bench.kgqa.pool import make_pool
from agentnet.bench.kgqa.strategies import STRATEGIES
from agentnet.runtime.client import Request
from agentnet.runtime.clients.scripted import ScriptedClient
from agentnet.runtime.runtime import Runtime
from agentnet.traces.store import TraceStore

RIGHT = {"film": "summarise", "river": "extractive"}
"""By the topic of a question, the one agent that the script lets answer right."""


def write_pack(folder: Path, n: int) -> Path:
    """Writes n questions, films and rivers in turn, and one without gold."""
    rows = []
    for i in range(n):
        topic = ("film", "river")[i % 2]
        passages = [
            {"title": f"The {topic} {i}", "text": f"The {topic} {i} is by Maker {i}. It is long."},
            {"title": f"Maker {i}", "text": f"Maker {i} was born in Town{i}."},
            {"title": "Elsewhere", "text": "Nothing of this is asked. " * 5},
        ]
        rows.append(
            (f"q{i:03}", f"Where was the maker of the {topic} {i} born?", passages, f"Town{i}", topic)
        )
    rows.append(("q-open", "Who knows?", [{"title": "A", "text": "B."}], None, "open"))
    columns = {
        "query_id": [row[0] for row in rows],
        "text": [row[1] for row in rows],
        "context": [json.dumps(row[2]) for row in rows],
        "gold": [row[3] for row in rows],
        "task": [row[4] for row in rows],
        "split": ["train" for _ in rows],
        "metric": ["f1" for _ in rows],
    }
    folder.mkdir(parents=True)
    pq.write_table(pa.table(columns), folder / "queries.parquet")
    (folder / "agents.json").write_text("[]")
    return folder


def answer(request: Request) -> str:
    """Right in whole for the topic's agent, right in half for `direct`, wrong for the others."""
    question = next(m.content for m in request.messages if m.role == "user").rpartition("\n\n")[2]
    words = question.rstrip("?").split()
    topic, number = words[-3], words[-2]
    if request.agent == RIGHT[topic]:
        return f"Town{number}"
    return f"Town{number} Hall" if request.agent == "direct" else f"Wrong{len(request.agent or '')}"


@pytest.fixture
def pack(tmp_path: Path, request: FixtureRequest) -> Path:
    """A pack of as many questions as the test's parameter says, 6 without one."""
    return write_pack(tmp_path / "tiny", getattr(request, "param", 6))


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'traces.db'}"


@pytest.fixture
def client() -> ScriptedClient:
    return ScriptedClient(answer)


@pytest.fixture
async def runtime(url: str, client: ScriptedClient) -> AsyncIterator[Runtime]:
    """The six agents over the script, with a store."""
    with TraceStore.open(url) as store:
        async with Runtime(make_pool(), client=client, store=store, strategies=STRATEGIES) as made:
            yield made
