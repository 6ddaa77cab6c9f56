"""Small outcome tables in which it is known who is good at what."""

from __future__ import annotations

import numpy as np
import pytest

from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.outcomes.table import Outcomes, Queries

WORDS = {
    "maths": ["equation", "solve", "root", "factor", "integral", "sum", "prime", "matrix"],
    "cooking": ["oven", "flour", "butter", "simmer", "onion", "garlic", "dough", "salt"],
}
COSTS = {"small": 1e-4, "medium": 3e-4, "large": 2e-3}


def make_table(n: int = 150, *, seed: int = 0, text: bool = True) -> Outcomes:
    """`small` is good at cooking, `medium` at maths, `large` at both; wrong answers differ."""
    rng = np.random.default_rng(seed)
    topic = np.arange(n) % 2
    chance = np.array([[0.3, 0.7, 0.85], [0.85, 0.4, 0.8]])[topic]
    score = (rng.random((n, 3)) < chance).astype(np.float32)
    names = tuple(WORDS)
    response = np.full((n, 3), None, object)
    for i in range(n):
        for j in range(3):
            response[i, j] = "The answer is 7" if score[i, j] else f"The answer is {100 + 10 * i + j}"
    queries = Queries(
        query_id=np.array([f"q{i:03}" for i in range(n)]),
        text=tuple(f"{' '.join(rng.choice(WORDS[names[t]], 5))} {i}" for i, t in enumerate(topic)),
        split=np.array([("train", "train", "train", "val", "test")[i // 2 % 5] for i in range(n)]),
        task=tuple(names[t] for t in topic),
        gold=("7",) * n,
        metric=("exact_match",) * n,
    )
    pool = Pool(Agent(name=name, description=f"the {name} one") for name in COSTS)
    cost = np.tile(list(COSTS.values()), (n, 1)) * (1 + rng.random((n, 1)))
    return Outcomes(queries=queries, pool=pool, score=score, cost=cost, response=response if text else None)


def make_labels(n: int = 80) -> Outcomes:
    """The topic is the right agent's name; the last quarter of each split is out of scope."""
    rng = np.random.default_rng(1)
    names = tuple(WORDS)
    gold = [names[i % 2] if i % 8 < 6 else "oos" for i in range(n)]
    texts = [
        f"{' '.join(rng.choice(WORDS[g], 4))} {i}"
        if g in WORDS
        else f"{''.join(rng.choice(list('qxzjv'), 12))} {i}"
        for i, g in enumerate(gold)
    ]
    queries = Queries(
        query_id=np.array([f"l{i:03}" for i in range(n)]),
        text=tuple(texts),
        split=np.array([("train", "val", "test")[i // 8 % 3] for i in range(n)]),
        gold=tuple(gold),
        metric=("label",) * n,
    )
    return Outcomes.from_labels(queries, Pool(Agent(name=name, description=name) for name in names))


@pytest.fixture
def table() -> Outcomes:
    """Recorded outcomes with texts."""
    return make_table()


@pytest.fixture
def labels() -> Outcomes:
    """A label pack."""
    return make_labels()
