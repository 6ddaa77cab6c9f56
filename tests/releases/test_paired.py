"""Paired runs: both choices are run, equal ones once, and only whole pairs count."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from agentnet.errors import InvalidInput
from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.outcomes.table import Outcomes, Queries
from agentnet.releases.gates import Gates
from agentnet.releases.paired import PAIR, read_pairs, run_pairs
from agentnet.routers.base import Router
from agentnet.routers.registry import make_router
from agentnet.runtime.runtime import Runtime
from agentnet.traces.records import OutcomeRecord
from agentnet.traces.store import TraceStore

POOL = Pool([Agent(name="up", call=str.upper), Agent(name="down", call=str.lower)])


def always(best: int) -> Router:
    queries = Queries(query_id=np.array(["0"]), text=("x",), split=np.array(["train"]))
    score = np.zeros((1, 2), np.float32)
    score[:, best] = 1
    router = make_router("best_single")
    router.fit(Outcomes(queries=queries, pool=POOL, score=score, cost=np.full((1, 2), np.nan)), POOL)
    return router


def test_pairs_are_run_scored_and_compared(store: TraceStore) -> None:
    old, new = always(0), always(1)
    with Runtime(POOL, store=store) as runtime:
        results = run_pairs(runtime, [f"Task {i}" for i in range(6)], old=old, new=new)
        same = run_pairs(runtime, ["Same"], old=old, new=old)
    assert [result.tags[PAIR]["arm"] for result in same] == ["both"]
    assert len(results) == 12
    for i, result in enumerate(results[:-1]):  # the last one stays without a score: its pair does not count
        right = result.answer == result.answer.lower()
        store.add_outcomes(
            OutcomeRecord(run_id=result.run_id, score=float(right), judge="v", judged_at=time.time() + i)
        )
    pairs = read_pairs(store, old=old.version, new=new.version)
    assert pairs is not None
    assert (pairs.new.tolist(), pairs.old.tolist()) == ([1.0] * 5, [0.0] * 5)
    assert pairs.gain(Gates()).gain == 1.0
    assert read_pairs(store, old=new.version, new=old.version) is None


def test_pairs_need_a_store(tmp_path: Path) -> None:
    with Runtime(POOL) as runtime, pytest.raises(InvalidInput, match="store"):
        run_pairs(runtime, ["x"], old=always(0), new=always(1))
