"""The world of suite ``offpolicy``: a pack cut in two, and the policies that log on it or are judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentnet.bench.protocol import Lab
from agentnet.outcomes.table import Outcomes
from agentnet.routers.base import RouteOptions
from agentnet.routers.policy import policy_of

Floats = NDArray[np.float64]
EPSILONS = (0.1, 0.2, 0.5)
TEMPERATURES = (0.05, 0.2)
DIALS = (0.1, 0.3, 0.5)
STRATA = (0.0, 0.02, 0.1, 0.3, 1.0)
"""Bounds of the share of a log that counts for a target, from poor overlap to nearly the same policy."""
PAIRS = 40


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class World:
    """Half of a pack as the queries of logs; everything learned comes from the other half.

    Attributes:
        name: The pack.
        outcomes: The m queries that logs are drawn from, with all agents' scores: the truth.
        predicted: [m, A] scores that a router fitted on the other half predicts: an outside reward model.
        vectors: [m, d] encodings of the queries.
        logging: [m, A] probabilities by name of the policies that write logs.
        targets: [m, A] probabilities by name of the policies that are judged.
    """

    name: str
    outcomes: Outcomes
    predicted: Floats
    vectors: NDArray[np.float32]
    logging: Mapping[str, Floats]
    targets: Mapping[str, Floats]

    def truth(self, target: str) -> float:
        """Mean true score of a target over the queries that logs are drawn from."""
        return float((self.targets[target] * self.outcomes.score).sum(1).mean())

    def overlap(self, logging: str, target: str) -> float:
        """Share of a log that counts for a target: 1 over the expected squared weight; no score is seen."""
        squares = self.targets[target] ** 2 / np.maximum(self.logging[logging], 1e-12)
        return float(1 / squares.sum(1).mean())


def make_world(name: str, outcomes: Outcomes, lab: Lab, *, seed: int) -> World:
    """Cuts a pack in two by a seeded deal and fits routers on one half.

    Args:
        name: Of the pack.
        outcomes: The whole pack; its own splits are set aside.
        lab: Fits the routers with its encoder.
        seed: Of the deal and of the fits.
    """
    lab.encode(outcomes)
    first, second = _halves(outcomes, seed)
    tasks, pool = second.tasks(), second.pool
    chances: dict[str, Floats] = {}
    for router_name in ("knn", "kmeans", "best_single", "cheapest"):
        router, _ = lab.fit(router_name, first, seed=seed)
        vectors = router.encode(tasks)
        chances[router_name] = policy_of(router, tasks, pool, vectors=vectors).agents(pool)
        if router_name == "knn":
            assert vectors is not None
            encoded = vectors
            predicted = router.score_batch(tasks, pool, vectors=vectors).calibrated.astype(np.float64)
            for dial in DIALS:
                options = RouteOptions(cost_weight=dial)
                found = policy_of(router, tasks, pool, options=options, vectors=vectors)
                chances[f"knn, dial {dial:g}"] = found.agents(pool)
    order = np.argsort(-first.mean_score)
    for rank, label in (
        (1, "second best single"),
        (len(order) // 2, "middling single"),
        (-1, "worst single"),
    ):
        chances[label] = np.tile(np.eye(len(order))[order[rank]], (len(second), 1))
    return World(
        name=name,
        outcomes=second,
        predicted=predicted,
        vectors=encoded,
        logging=_logging(chances, predicted),
        targets=_targets(chances, predicted),
    )


def _halves(outcomes: Outcomes, seed: int) -> tuple[Outcomes, Outcomes]:
    """Deals queries into two halves; the first is cut once more, for what routers tune on."""
    order = np.random.default_rng([seed, 7]).permutation(len(outcomes))
    half = len(order) // 2
    first = outcomes.take(np.sort(order[:half]))
    second = outcomes.take(np.sort(order[half:]))
    split = np.where(np.arange(half) % 5 == 4, "val", "train")
    return first.with_split(split), second.with_split(np.full(len(second), "test"))


def epsilon_greedy(chance: Floats, epsilon: float) -> Floats:
    """Mixes a policy with the uniform one.

    >>> epsilon_greedy(np.array([[1.0, 0.0]]), 0.5).tolist()
    [[0.75, 0.25]]
    """
    mixed: Floats = (1 - epsilon) * chance + epsilon / chance.shape[1]
    return mixed


def softmax(score: Floats, temperature: float) -> Floats:
    """Probabilities in proportion to exp(score / temperature).

    >>> softmax(np.array([[1.0, 1.0]]), 0.1).tolist()
    [[0.5, 0.5]]
    """
    raised = np.exp((score - score.max(1, keepdims=True)) / temperature)
    shares: Floats = raised / raised.sum(1, keepdims=True)
    return shares


def _logging(chances: Mapping[str, Floats], predicted: Floats) -> dict[str, Floats]:
    found = {"uniform": np.full(predicted.shape, 1 / predicted.shape[1])}
    for name in ("best_single", "knn", "kmeans", "middling single"):
        for epsilon in EPSILONS:
            found[f"{name}, eps {epsilon:g}"] = epsilon_greedy(chances[name], epsilon)
    for temperature in TEMPERATURES:
        found[f"softmax {temperature:g}"] = softmax(predicted, temperature)
    return found


def _targets(chances: Mapping[str, Floats], predicted: Floats) -> dict[str, Floats]:
    found = dict(chances)
    found["softmax 0.1"] = softmax(predicted, 0.1)
    found["kmeans, eps 0.1"] = epsilon_greedy(chances["kmeans"], 0.1)
    return found


def choose_pairs(world: World, *, seed: int) -> list[tuple[str, str]]:
    """Draws `PAIRS` pairs of logging and target policy, equally many of each stratum of overlap.

    Policies alone are looked at, never scores. Where a stratum has too few pairs, the others give more.
    """
    every = [(a, b) for a in world.logging for b in world.targets]
    overlap = np.array([world.overlap(*pair) for pair in every])
    stratum = np.digitize(overlap, STRATA[1:-1])
    order = np.random.default_rng([seed, 11]).permutation(len(every))
    # The r-th of every stratum before the next of any: the first PAIRS are spread evenly.
    place = {k: np.flatnonzero(stratum[order] == k) for k in range(len(STRATA) - 1)}
    rank = np.zeros(len(every), np.intp)
    for where in place.values():
        rank[where] = np.arange(len(where))
    chosen = order[np.argsort(rank, kind="stable")[:PAIRS]]
    return [every[i] for i in np.sort(chosen)]
