"""Records with the embedded model: training rollouts, then the fixed baselines on the test tasks.

    python -m agentnet.bench.topology.live --data PACKS/topology --out DIR --model FILE

A recording that was cut off goes on when it is started again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agentnet.bench.topology.evaluate import (
    Measured,
    arun_graphs,
    baselines,
    equal_samples,
    measured,
    missing,
)
from agentnet.bench.topology.layout import Conversation
from agentnet.bench.topology.pools import THINKER, make_pool
from agentnet.bench.topology.record import Progress, record
from agentnet.bench.topology.remember import RememberingClient
from agentnet.bench.topology.strategies import STRATEGIES
from agentnet.bench.topology.tasks import POOLS, Item, make_items
from agentnet.graphs.pool import Pool
from agentnet.graphs.task_graph import TaskGraph
from agentnet.runtime.runtime import Runtime
from agentnet.runtime.sync import run_sync
from agentnet.traces.store import TraceStore

SLOTS = 10
"""Prompt beginnings kept at a time: one per agent, of both pools' baselines too."""
TRAIN_ITEMS, TEST_ITEMS = 110, 120
"""Tasks of a pool in each split."""
RANDOM = 8
"""Random topologies per training task."""
FEW = 3
"""Samples of the small self-consistency baseline."""


@dataclass(frozen=True, slots=True)
class Recording:
    """Where a pool's recording lies, and how it is gone on with.

    Attributes:
        folder: Holds ``traces.db`` and ``calls.jsonl``, the model's answers by request.
        model: A GGUF file; None looks for the embedded model, and only where something must be asked.
    """

    folder: Path
    model: str | Path | None = None

    @property
    def url(self) -> str:
        """Address of the trace store."""
        return f"sqlite:///{self.folder / 'traces.db'}"

    @asynccontextmanager
    async def serving(self, pool: Pool, store: TraceStore) -> AsyncIterator[Runtime]:
        """Serves a pool with the embedded model behind the remembered answers."""
        from agentnet.runtime.clients.litellm_client import LiteLLMClient
        from agentnet.runtime.embedded.engine import EmbeddedEngine
        from agentnet.runtime.embedded.provider import serving

        with EmbeddedEngine(self.model, slots=SLOTS) as engine, serving(engine, layout=Conversation()):
            inner = LiteLLMClient(backends=lambda: pool.backends)
            client = RememberingClient(inner, self.folder / "calls.jsonl")
            async with Runtime(pool, client=client, store=store, strategies=STRATEGIES) as runtime:
                yield runtime


def run_graphs(
    recording: Recording,
    pool: Pool,
    items: Sequence[Item],
    graphs: Sequence[TaskGraph],
    *,
    progress: Progress | None = None,
) -> Measured:
    """Runs graph i on item i and measures; the model is loaded only where a run is missing.

    Args:
        recording: Where the runs are.
        pool: The agents.
        items: The tasks.
        graphs: A graph for each task, or one for all.
        progress: Called after every task.
    """
    with TraceStore.open(recording.url) as store:
        if not missing(store, pool, items, graphs):
            return measured(store, pool, items, graphs)

        async def run() -> Measured:
            async with recording.serving(pool, store) as runtime:
                return await arun_graphs(runtime, store, items, graphs, progress=progress)

        return run_sync(run())


def record_rollouts(
    recording: Recording,
    pool: Pool,
    items: Sequence[Item],
    *,
    random: int = RANDOM,
    progress: Progress | None = None,
) -> int:
    """Runs the training rollouts that are missing; returns how many were run now."""
    recording.folder.mkdir(parents=True, exist_ok=True)

    async def run() -> int:
        with TraceStore.open(recording.url) as store:
            async with recording.serving(pool, store) as runtime:
                return await record(runtime, store, items, random=random, progress=progress)

    return run_sync(run())


def record_baselines(
    recording: Recording, name: str, items: Sequence[Item], *, say: Callable[[str], None]
) -> dict[str, Measured]:
    """Runs the fixed methods on the test tasks; returns them by label.

    The larger self-consistency takes as many samples as the complete graph's tokens pay for.
    """
    found: dict[str, Measured] = {}

    def run(label: str, samples: Sequence[int]) -> None:
        pool, graph = baselines(name, samples)[label]
        done = found[label] = run_graphs(recording, pool, items, [graph])
        say(f"{name} {label}: accuracy {done.score.mean():.3f}, {np.nanmean(done.tokens):.0f} tokens a task")

    for label in baselines(name, ()):
        run(label, ())
    equal = equal_samples(
        float(np.nanmean(found["complete"].tokens)), float(np.nanmean(found[THINKER].tokens))
    )
    for label in list(baselines(name, [FEW, equal]))[len(found) :]:
        run(label, [FEW, equal])
    return found


def record_live(
    out: str | Path,
    *,
    pack: str | Path | None = None,
    model: str | Path | None = None,
    pools: Sequence[str] = POOLS,
    train: int = TRAIN_ITEMS,
    test: int = TEST_ITEMS,
    random: int = RANDOM,
    say: Callable[[str], None] = lambda line: None,
) -> None:
    """Records rollouts and baselines of the pools, one folder each, and what they were made with.

    Args:
        out: Folder; made if missing, gone on with if not.
        pack: Folder of the pack ``topology``; None takes generated tasks only.
        model: A GGUF file; None looks for the embedded model.
        pools: Names of pools.
        train: Training tasks per pool.
        test: Test tasks per pool.
        random: Random topologies per training task.
        say: Called with lines on the progress.
    """
    for name in pools:
        recording, pool = Recording(Path(out) / name, model), make_pool(name)
        start = time.perf_counter()

        def told(done: int, total: int, name: str = name, start: float = start) -> None:
            if done % 10 == 0 or done == total:
                say(f"{name} {done}/{total} tasks, {(time.perf_counter() - start) / done:.1f} s each")

        items = make_items(name, "train", train, pack=pack)
        record_rollouts(recording, pool, items, random=random, progress=told)
        write_about(recording, name, pool, train=train, test=test, random=random, pack=pack is not None)
        record_baselines(recording, name, make_items(name, "test", test, pack=pack), say=say)


def write_about(recording: Recording, name: str, pool: Pool, **settings: int | bool) -> None:
    """Writes ``recording.json``: what a recording was made with."""
    from agentnet.runtime.embedded.weights import find_model

    about = {
        "pool": name,
        "pool_version": pool.version,
        "weights": find_model(recording.model).name,
        "threads": 1,
        "temperature": 0.0,
        **settings,
    }
    (recording.folder / "recording.json").write_text(json.dumps(about, indent=1), encoding="utf-8")


def _to_stderr(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def main(arguments: Sequence[str] | None = None) -> None:
    """Records from the command line."""
    parser = argparse.ArgumentParser(prog="python -m agentnet.bench.topology.live", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of the pack topology; else generated tasks only")
    parser.add_argument("--out", type=Path, required=True, help="folder of the recording")
    parser.add_argument("--model", type=Path, help="a GGUF file; else the embedded model's")
    parser.add_argument("--items", type=int, default=TRAIN_ITEMS, help="training tasks per pool")
    parser.add_argument("--test-items", type=int, default=TEST_ITEMS, help="test tasks per pool")
    parser.add_argument("--random", type=int, default=RANDOM, help="random topologies per training task")
    parser.add_argument("--pool", choices=POOLS, action="append", help="only this pool; may be repeated")
    given = parser.parse_args(arguments)
    record_live(
        given.out,
        pack=given.data,
        model=given.model,
        pools=given.pool or POOLS,
        train=given.items,
        test=given.test_items,
        random=given.random,
        say=_to_stderr,
    )


if __name__ == "__main__":
    main()
