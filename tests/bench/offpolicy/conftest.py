"""Logs of which it is known what every policy is worth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.outcomes.choices import ChoiceLog, draw_log
from agentnet.outcomes.table import Outcomes, Queries

M = 300


def make_full(seed: int = 0) -> Outcomes:
    """`maths` is good at the first kind of task, `words` at the second, `weak` at none; `words` is dear."""
    rng = np.random.default_rng(seed)
    kind = np.arange(M) % 2
    chance = np.array([[0.8, 0.4, 0.2], [0.3, 0.9, 0.2]])[kind]
    queries = Queries(
        query_id=np.arange(M).astype(str),
        text=tuple(f"{('integral', 'onion')[k]} {i}" for i, k in enumerate(kind)),
        split=np.full(M, "train"),
    )
    return Outcomes(
        queries=queries,
        pool=Pool(Agent(name=name) for name in ("maths", "words", "weak")),
        score=(rng.random((M, 3)) < chance).astype(np.float32),
        cost=np.tile([0.001, 0.01, 0.0001], (M, 1)) * (0.5 + rng.random((M, 1))),
    )


def chances(*shares: float) -> np.ndarray:
    """The same probabilities for every query."""
    return np.tile(np.array(shares), (M, 1))


def by_kind() -> np.ndarray:
    """The right agent for every kind of task."""
    return np.eye(3)[np.arange(M) % 2]


def make_log(full: Outcomes, policy: np.ndarray, n: int = 1500, seed: int = 0, **changes: Any) -> ChoiceLog:
    """A log of a policy, with columns changed."""
    from dataclasses import replace

    return replace(draw_log(full, policy, n, np.random.default_rng(seed)), **changes)


def truth(full: Outcomes, policy: np.ndarray, what: str = "score") -> float:
    """The policy's true mean."""
    return float((policy * getattr(full, what)).sum(1).mean())


@pytest.fixture
def full() -> Outcomes:
    return make_full()
