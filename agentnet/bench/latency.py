"""How long single decisions take, with the text to encode and with it encoded already."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Task
from agentnet.outcomes.encoders import Encoder
from agentnet.routers.base import RouteOptions, Router

SAMPLE = 200
"""Single ``route`` calls that are timed, spread over the rows."""
WARM_UP = 3
"""Calls before the clock runs: models are loaded and views of the pool made in the first."""


def time_routes(
    router: Router,
    tasks: Sequence[Task],
    pool: Pool,
    *,
    options: RouteOptions,
    vectors: NDArray[np.float32] | None,
    encoder: Encoder | None = None,
) -> tuple[dict[str, float], dict[str, float]]:
    """Returns milliseconds of ``route`` at p50 and p99: with encoding, and with encoded texts.

    Args:
        router: A fitted router.
        tasks: n tasks.
        pool: The agents to choose from.
        options: Options of the calls.
        vectors: [n, d] their encodings; None for routers that encode nothing.
        encoder: An encoder without a cache, for a router whose own remembers texts between processes.
    """
    timed = router.with_options()
    if encoder is not None:
        timed.use_encoder(encoder)
    full, encoded = [], []
    step = max(1, len(tasks) // SAMPLE)
    rows = list(range(0, len(tasks), step))
    warm = len(rows[:WARM_UP])
    for number, i in enumerate([*rows[:WARM_UP], *rows]):
        # The encoder may remember the text: ask about one it has never seen.
        fresh = replace(tasks[i], text=tasks[i].text + (" " if number < warm else "  "))
        start = time.perf_counter()
        timed.route(fresh, pool, options=options)
        full.append(time.perf_counter() - start)
        one = None if vectors is None else vectors[i : i + 1]
        start = time.perf_counter()
        timed.route_batch([tasks[i]], pool, options=options, vectors=one)
        encoded.append(time.perf_counter() - start)
    return _percentiles(full[warm:]), _percentiles(encoded[warm:])


def _percentiles(seconds: list[float]) -> dict[str, float]:
    p50, p99 = np.percentile(np.array(seconds) * 1000, [50, 99])
    return {"p50": round(float(p50), 4), "p99": round(float(p99), 4)}
