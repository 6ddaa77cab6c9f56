"""A folder as a reader of the docs has it: a trace database, a pack of it, trained routers, a pipeline."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest

from agentnet.graphs.agent import Agent, Backend
from agentnet.graphs.builders import vote
from agentnet.graphs.pool import Pool
from agentnet.outcomes.packs import save_pack
from agentnet.routers.registry import make_router
from agentnet.runtime.client import Request
from agentnet.runtime.runtime import Runtime
from agentnet.testing import ScriptedClient
from agentnet.traces.export import export_pack, to_outcomes
from agentnet.traces.records import OutcomeRecord
from agentnet.traces.store import TraceStore

REPOSITORY = Path(__file__).parents[2]
OWN = {"adder": "plus", "speller": "backwards", "counter": "letters"}


def _answer(request: Request) -> str:
    own = OWN[request.agent or ""] in request.messages[-1].content
    return "right" if own else f"no idea, says {request.agent}"


def _fill(store: TraceStore, pool: Pool, texts: list[str]) -> None:
    with Runtime(pool, client=ScriptedClient(_answer), store=store) as runtime:
        for result in runtime.batch(texts, vote(pool.names)):
            for step in store.run(result.run_id).steps:
                score = float(step.answer == "right")
                store.write(
                    OutcomeRecord(
                        run_id=result.run_id,
                        step_seq=step.seq,
                        score=score,
                        judge="verifier:test",
                        judged_at=time.time(),
                    )
                )


def _texts(start: int, stop: int) -> list[str]:
    kinds = ("What is {0} plus 7?", "Spell number {0} backwards.", "How many letters has number {0}?")
    return [kind.format(i) for i in range(start, stop) for kind in kinds]


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder itself; tests work in copies of it."""
    import torch

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("prepared")
    backend = Backend(name="small", model="test/small", price_in_per_mtok="0.1", price_out_per_mtok="0.4")
    pool = Pool(
        Agent(name=name, backend=backend, description=f"Questions with {word}.") for name, word in OWN.items()
    )
    with TraceStore.open(folder / "agentnet.db") as store:
        _fill(store, pool, _texts(0, 40))
        outcomes = export_pack(store, folder / "pack")
    with TraceStore.open(folder / "probes.db") as store:
        _fill(store, pool, _texts(100, 104))
    save_pack(to_outcomes(folder / "probes.db"), folder / "probes")
    (folder / "agents.json").write_text(json.dumps(outcomes.pool.to_list()))
    for name in ("knn", "kmeans"):
        router = make_router(name, encoder="hash")
        router.fit(outcomes, outcomes.pool)
        router.save(folder / "routers" / name)
    shutil.copy(REPOSITORY / "examples" / "pipeline.yaml", folder)
    return folder


@pytest.fixture
def user_folder(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the prepared folder, which is also the working folder."""
    folder = tmp_path / "user"
    shutil.copytree(prepared, folder)
    monkeypatch.chdir(folder)
    return folder
