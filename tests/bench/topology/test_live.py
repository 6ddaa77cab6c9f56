from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from agentnet.bench.topology import live
from agentnet.bench.topology.live import Recording, record_baselines, record_rollouts, run_graphs
from agentnet.bench.topology.pools import math_pool
from agentnet.bench.topology.strategies import STRATEGIES
from agentnet.bench.topology.tasks import make_items
from agentnet.errors import DataError
from agentnet.graphs.builders import single
from agentnet.graphs.pool import Pool
from agentnet.runtime.clients.scripted import ScriptedClient
from agentnet.runtime.runtime import Runtime
from agentnet.traces.store import TraceStore


@dataclass(frozen=True, slots=True)
class Scripted(Recording):
    """A recording whose model is a script; without one, asking is an error."""

    client: ScriptedClient | None = None

    @asynccontextmanager
    async def serving(self, pool: Pool, store: TraceStore) -> AsyncIterator[Runtime]:
        assert self.client is not None
        async with Runtime(pool, client=self.client, store=store, strategies=STRATEGIES) as runtime:
            yield runtime


def test_what_is_recorded_needs_no_model(tmp_path: Path, script: ScriptedClient) -> None:
    items = make_items("math", "test", 2)
    recording = Scripted(tmp_path / "math", client=script)
    assert record_rollouts(recording, math_pool(), items[:1], random=0) == 6
    first = run_graphs(recording, math_pool(), items, [single("analyst")])
    shut = Scripted(recording.folder)
    again = run_graphs(shut, math_pool(), items, [single("analyst")])
    assert again.tokens.tolist() == first.tokens.tolist() and again.answer == first.answer


def test_self_consistency_gets_the_complete_graphs_tokens(tmp_path: Path, script: ScriptedClient) -> None:
    lines: list[str] = []
    (tmp_path / "math").mkdir()
    recording = Scripted(tmp_path / "math", client=script)
    found = record_baselines(recording, "math", make_items("math", "test", 1), say=lines.append)
    equal = int(found["complete"].tokens[0] // found["chain_of_thought"].tokens[0])
    assert {"self_consistency_3", f"self_consistency_{equal}"} <= set(found)
    assert all(done.score.shape == (1,) for done in found.values()) and len(lines) == len(found)


def test_a_recording_says_what_it_was_made_with(tmp_path: Path) -> None:
    model = tmp_path / "tiny.gguf"
    model.write_bytes(b"GGUF....")
    live.write_about(Recording(tmp_path, model), "math", math_pool(), train=3)
    about = json.loads((tmp_path / "recording.json").read_text())
    assert about["weights"] == "tiny.gguf" and about["train"] == 3
    assert about["pool_version"] == math_pool().version and str(tmp_path) not in json.dumps(about)


def test_the_command_line_names_a_missing_model(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        live.main(["--out", str(tmp_path), "--model", str(tmp_path / "none.gguf"), "--items", "1"])
