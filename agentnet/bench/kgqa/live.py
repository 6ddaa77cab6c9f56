"""Records with the embedded model: starts the engine, serves it, and asks what is missing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from agentnet.bench.kgqa.layout import PassagesFirst
from agentnet.bench.kgqa.pool import make_pool
from agentnet.bench.kgqa.record import Item, Progress, record, recorded
from agentnet.bench.kgqa.strategies import STRATEGIES
from agentnet.traces.store import TraceStore

SLOTS = 2
"""Prompt beginnings kept at a time: one for the question at hand suffices, and one is for what never
comes again."""


def record_live(
    store: TraceStore,
    items: Sequence[Item],
    *,
    model: str | Path | None = None,
    progress: Progress | None = None,
) -> int:
    """Asks the six agents, on the embedded model, every question that the store does not hold yet.

    Args:
        store: Where the runs go; a recording that was cut off goes on.
        items: The questions.
        model: A GGUF file; None looks for the embedded model.
        progress: Called after every question.

    Returns:
        Runs made now; the model is not loaded where nothing is missing.
    """
    known = recorded(store, make_pool())
    if all(item.query_id in done for item in items for done in known.values()):
        return 0
    return asyncio.run(_record(store, items, model, progress))


async def _record(
    store: TraceStore, items: Sequence[Item], model: str | Path | None, progress: Progress | None
) -> int:
    from agentnet.runtime.embedded.engine import EmbeddedEngine
    from agentnet.runtime.embedded.provider import serving
    from agentnet.runtime.runtime import Runtime

    with EmbeddedEngine(model, slots=SLOTS) as engine, serving(engine, layout=PassagesFirst()):
        async with Runtime(make_pool(), store=store, strategies=STRATEGIES) as runtime:
            return await record(runtime, store, items, progress=progress)
