"""A script in place of the model, behind the remembering client, and a store."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agentnet.bench.topology.pools import math_pool
from agentnet.bench.topology.remember import RememberingClient
from agentnet.bench.topology.strategies import STRATEGIES
from agentnet.runtime.client import Request
from agentnet.runtime.clients.scripted import ScriptedClient
from agentnet.runtime.runtime import Runtime
from agentnet.traces.store import TraceStore


def answer(request: Request) -> str:
    """The analyst knows the calculation of a question, the programmer copies one, others guess 1."""
    asked = request.messages[-1].content
    if request.agent == "analyst":
        return " + ".join(re.findall(r"\d+", asked.partition("\n")[0])) or "0"
    found = re.search(r"Analyst: (.*)", asked)
    if request.agent == "programmer":
        return f"{found[1] if found else '1'})"
    return "1"


@pytest.fixture
def script() -> ScriptedClient:
    return ScriptedClient(answer)


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    return tmp_path / "calls.jsonl"


@pytest.fixture
async def runtime(tmp_path: Path, script: ScriptedClient, calls: Path) -> AsyncIterator[Runtime]:
    """The four math agents over the script, with a store."""
    client = RememberingClient(script, calls)
    with TraceStore.open(f"sqlite:///{tmp_path / 'traces.db'}") as store:
        async with Runtime(math_pool(), client=client, store=store, strategies=STRATEGIES) as made:
            yield made
