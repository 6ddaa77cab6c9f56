"""Synthetic outcomes in which it is known which agent is best at what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.outcomes.table import Outcomes, Queries
from agentnet.routers.base import Router
from agentnet.routers.registry import make_router, router_class
from agentnet.routers.settings import setting_types

TOPICS = {
    "algebra": [
        "equation",
        "variable",
        "solve",
        "polynomial",
        "root",
        "factor",
        "quadratic",
        "linear",
        "unknown",
        "coefficient",
    ],
    "cooking": ["recipe", "oven", "flour", "butter", "simmer", "boil", "pan", "salt", "onion", "garlic"],
    "travel": [
        "flight",
        "hotel",
        "airport",
        "visa",
        "luggage",
        "ticket",
        "beach",
        "train",
        "passport",
        "island",
    ],
    "law": [
        "contract",
        "court",
        "judge",
        "plaintiff",
        "statute",
        "appeal",
        "verdict",
        "clause",
        "tort",
        "liability",
    ],
}
COSTS = np.array([1.0, 2.0, 4.0, 8.0]) * 1e-4


def make_text(rng: np.random.Generator, topic: str) -> str:
    return " ".join(rng.choice(TOPICS[topic], 6))


def make_planted(n: int = 320, *, seed: int = 0, shuffle: bool = False) -> Outcomes:
    """Each agent is right on 90% of its own topic and 35% elsewhere; responses tell who was right."""
    rng = np.random.default_rng(seed)
    names = tuple(TOPICS)
    topic = np.arange(n) % len(names)
    own = topic[:, None] == np.arange(len(names))[None, :]
    score = (rng.random((n, len(names))) < np.where(own, 0.9, 0.35)).astype(np.float32)
    texts = [f"{make_text(rng, names[t])} {i}" for i, t in enumerate(topic)]
    if shuffle:
        score = score[rng.permutation(n)]
    split = np.array(["train"] * n)
    split[rng.permutation(n)[: n // 2]] = "test"
    split[np.flatnonzero(split == "train")[::5]] = "val"
    response = np.where(score > 0, "right", "wrong").astype(object)
    queries = Queries(
        query_id=np.array([f"q{i}" for i in range(n)]),
        text=tuple(texts),
        split=split,
        task=tuple(names[t] for t in topic),
        gold=("right",) * n,
        metric=("exact_match",) * n,
    )
    pool = Pool(Agent(name=f"{name}_agent", description=" ".join(TOPICS[name][:4])) for name in names)
    cost = np.tile(COSTS, (n, 1)) * (1 + rng.random((n, 1)))
    return Outcomes(queries=queries, pool=pool, score=score, cost=cost, response=response)


def make_labels(n: int = 320, *, seed: int = 0, out_of_scope: int = 40) -> Outcomes:
    """A label pack: the topic's agent is right; gibberish is out of scope, in train and val only."""
    rng = np.random.default_rng(seed)
    names = tuple(TOPICS)
    golds = [names[i % len(names)] for i in range(n)] + ["oos"] * out_of_scope
    texts = [f"{make_text(rng, gold)} {i}" for i, gold in enumerate(golds[:n])]
    texts += ["".join(rng.choice(list("qxzjvkw"), 9)) + f" {i}" for i in range(out_of_scope)]
    split = np.array(["train"] * len(golds))
    split[rng.permutation(n)[: n // 2]] = "test"
    split[np.flatnonzero(split == "train")[::4]] = "val"
    queries = Queries(
        query_id=np.array([f"q{i}" for i in range(len(golds))]),
        text=tuple(texts),
        split=split,
        task=tuple("oos" if gold == "oos" else "domain" for gold in golds),
        gold=tuple(golds),
        metric=("label",) * len(golds),
    )
    pool = Pool(Agent(name=name, description=" ".join(TOPICS[name][:3])) for name in names)
    return Outcomes.from_labels(queries, pool)


def make_partial(outcomes: Outcomes, *, keep: float = 0.5, seed: int = 0) -> Outcomes:
    """Hides outcomes, as a log does in which only some agents ran."""
    hidden = np.random.default_rng(seed).random(outcomes.score.shape) > keep
    score = np.where(hidden, np.nan, outcomes.score).astype(np.float32)
    return replace(outcomes, score=score, cost=np.where(hidden, np.nan, outcomes.cost))


def make(name: str, **settings: Any) -> Router:
    """A router with the hashing encoder, where it encodes."""
    if "encoder" in setting_types(router_class(name)):
        settings.setdefault("encoder", "hash:256")
    return make_router(name, **settings)


def routed_score(router: Router, outcomes: Outcomes, **options: Any) -> float:
    """Mean recorded score of the agents chosen; an abstention is right only out of scope."""
    router = router.with_options(**options)
    decisions = router.route_batch(outcomes.tasks(), outcomes.pool)
    got = [
        float(outcome[outcomes.pool.index(d.agents[0])]) if d.agents else float(away)
        for d, outcome, away in zip(decisions, outcomes.score, outcomes.out_of_scope, strict=True)
    ]
    return float(np.mean(got))


class Kit:
    """What the tests of routers share."""

    planted = staticmethod(make_planted)
    labels = staticmethod(make_labels)
    partial = staticmethod(make_partial)
    make = staticmethod(make)
    score = staticmethod(routed_score)
    text = staticmethod(make_text)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def kit() -> Kit:
    """Makers of synthetic data and of routers."""
    return Kit()


@pytest.fixture(scope="session")
def fitted(kit: Kit) -> Callable[..., Router]:
    """Fitted routers by name and kind of data; each is fitted once."""
    made: dict[tuple[str, str], Router] = {}

    def get(name: str, kind: str = "planted") -> Router:
        if (name, kind) not in made:
            data = {"planted": kit.planted, "labels": kit.labels}[kind]()
            router = kit.make(name)
            router.fit(data, data.pool, seed=0)
            made[name, kind] = router
        return made[name, kind]

    return get
