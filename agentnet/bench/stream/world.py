"""`World` and `Stream`: a simulated world of paths with a known optimum, and a stream of queries in it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import InvalidInput

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
TYPES = ("math", "code", "general")
BACKBONES = ("small", "medium", "large", "expert")
STRATEGIES = ("direct", "chain_of_thought", "decompose", "critique")
AGENTS = tuple(f"{backbone}-{strategy}" for backbone in BACKBONES for strategy in STRATEGIES)
LAYERS = 3
_PRICE = np.array([1.0, 1.5, 2.5, 4.0]) * 1e-3
_LENGTH = np.array([1.0, 1.6, 2.2, 1.8])
_PACE = np.array([1.0, 1.3, 1.8, 2.4])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class World:
    """Simulated: 16 nodes a layer (4 backbones x 4 strategies), 3 layers, and how well every path does.

    Attributes:
        success: [T, A, A, A] probability that a path answers a query of the type correctly.
        usd: [A] USD a call.
        latency_s: [A] seconds a call of an idle node.
        capacity: [A] calls that a node answers at once.
        ability: [T, A] what is known beforehand: a noisy mean success of the paths through a node.
    """

    success: Floats
    usd: Floats
    latency_s: Floats
    capacity: Floats
    ability: Floats

    @classmethod
    def of(cls, seed: int, *, conflict: float = 1.0, capacity: float = 6.0) -> World:
        """Draws a world.

        The logit of a path's success is -0.4 + z, z being the standardised sum of a backbone's effect, a
        strategy's effect by layer, a node's own and one for every two nodes in a row, so that the path
        matters and not single nodes alone. All effects are drawn for every type anew, but for the share
        ``1 - conflict`` of the variance, which the types have in common.

        Args:
            seed: The same seed, the same world.
            conflict: 0: what is best for one type is best for all; 1: types have nothing in common.
            capacity: Calls that a node answers at once.
        """
        if not 0 <= conflict <= 1:
            raise InvalidInput(f"conflict is a number from 0 to 1; got {conflict!r}.")
        rng = np.random.default_rng([seed, 11])
        common = _quality(rng)
        own = np.stack([_quality(rng) for _ in TYPES])
        mixed = np.sqrt(1 - conflict) * common + np.sqrt(conflict) * own
        flat = mixed.reshape(len(TYPES), -1)
        z = (flat - flat.mean(1, keepdims=True)) / flat.std(1, keepdims=True)
        success = (1 / (1 + np.exp(0.4 - z))).reshape(mixed.shape)
        through = np.stack([success.mean(tuple(k for k in (1, 2, 3) if k != a)) for a in (1, 2, 3)]).mean(0)
        spread = through.std()
        ability = np.clip(through + rng.normal(0, spread, through.shape), 0.0, 1.0)
        return cls(
            success=success,
            usd=np.outer(_PRICE, _LENGTH).ravel(),
            latency_s=np.outer(_PACE, _LENGTH).ravel(),
            capacity=np.full(len(AGENTS), capacity),
            ability=ability,
        )

    @property
    def most_usd(self) -> float:
        """USD of the dearest path."""
        return float(LAYERS * self.usd.max())

    @property
    def most_latency_s(self) -> float:
        """Seconds of the slowest path while all is idle."""
        return float(LAYERS * self.latency_s.max())

    def best(self) -> Floats:
        """Returns [T] the success probability of each type's best path, by enumeration."""
        best: Floats = self.success.reshape(len(self.success), -1).max(1)
        return best

    def best_shared(self) -> float:
        """Returns the mean success, over types in equal parts, of the best path that all types share."""
        return float(self.success.mean(0).max())

    def crossed(self) -> float:
        """Returns the mean success of one type's best path on the other types: how much paths conflict."""
        flat = self.success.reshape(len(self.success), -1)
        across = flat[:, flat.argmax(1)]
        others = ~np.eye(len(flat), dtype=bool)
        return float(across[others].mean())

    def swapped(self) -> World:
        """Returns the world after the drift: two nodes have exchanged their qualities, in every layer.

        They are the node that stands most often on the types' best paths (the better one of several) and
        the node of the least mean success. What is known beforehand stays as it was: nobody is told.
        """
        flat = self.success.reshape(len(self.success), -1)
        best = np.array(np.unravel_index(flat.argmax(1), self.success.shape[1:]))
        mean = self.success.mean((0, 2, 3)) + self.success.mean((0, 1, 3)) + self.success.mean((0, 1, 2))
        often = np.bincount(best.ravel(), minlength=len(mean)) + mean / mean.sum()
        first, second = int(often.argmax()), int(mean.argmin())
        order = np.arange(len(mean))
        order[[first, second]] = second, first
        return replace(self, success=self.success[:, order][:, :, order][:, :, :, order])


def _quality(rng: np.random.Generator) -> Floats:
    """[A, A, A] what is added up along every path."""
    size, layers = len(AGENTS), LAYERS
    backbone = np.repeat(rng.normal(0, 0.5, len(BACKBONES)), len(STRATEGIES))
    strategy = np.tile(rng.normal(0, 0.6, (layers, len(STRATEGIES))), (1, len(BACKBONES)))
    node = backbone + strategy + rng.normal(0, 0.4, (layers, size))
    pair = rng.normal(0, 0.6, (layers - 1, size, size))
    quality: Floats = (
        node[0][:, None, None]
        + node[1][None, :, None]
        + node[2][None, None, :]
        + pair[0][:, :, None]
        + pair[1][None, :, :]
    )
    return quality


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stream:
    """Simulated: n queries in the order of their arrival, with all the luck they will ever need.

    The luck (uniform numbers) belongs to the query and not to the router, so that two routers that send a
    query down the same path get the same outcome: comparisons are paired.

    Attributes:
        types: [n] true type.
        weights: [n, T] what the intent model says: 98 % of the largest are the true type.
        draws: [n, 3] luck of the walk.
        answer: [n] luck of the answer.
        logged: [n] luck of the sampling for learning.
        judged: [n] luck of the judge.
        ticks: [m + 1] where each moment's queries start; those of a moment see the same load.
    """

    types: Ints
    weights: Floats
    draws: Floats
    answer: Floats
    logged: Floats
    judged: Floats
    ticks: Ints

    def __len__(self) -> int:
        return len(self.types)

    @classmethod
    def of(
        cls, seed: int, queries: int, *, tick: int = 160, bursts: bool = False, intent: float = 0.98
    ) -> Stream:
        """Draws a stream with all types in equal parts.

        Args:
            seed: The same seed, the same stream.
            queries: n.
            tick: Queries a moment, without bursts.
            bursts: Arrivals are Poisson, 8 a moment, and 32 during bursts, which last 10 moments and
                come every 40.
            intent: Accuracy of the intent model (0.98, near the 97.93 % that AMRO-S reports).
        """
        rng = np.random.default_rng([seed, 23])
        types = rng.integers(len(TYPES), size=queries)
        return cls(
            types=types,
            weights=_intents(types, intent, rng),
            draws=rng.random((queries, LAYERS)),
            answer=rng.random(queries),
            logged=rng.random(queries),
            judged=rng.random(queries),
            ticks=_arrivals(queries, rng) if bursts else _even(queries, tick),
        )


def _intents(types: Ints, accuracy: float, rng: np.random.Generator) -> Floats:
    """[n, T] soft weights with a floor of 0.01: surer where they are right than where they are wrong."""
    n, size = len(types), len(TYPES)
    right = rng.random(n) < accuracy
    said = np.where(right, types, (types + rng.integers(1, size, n)) % size)
    sure = np.where(right, rng.beta(8, 1, n), rng.beta(3, 3, n))
    top = 1 / size + (1 - 1 / size) * sure
    rest = rng.dirichlet(np.ones(size - 1), n) * (1 - top)[:, None]
    # No other type may exceed the one that was said.
    rest = np.minimum(rest, top[:, None] - 1e-9)
    weights = np.empty((n, size))
    others = np.array([[k for k in range(size) if k != t] for t in range(size)])
    weights[np.arange(n), said] = top
    weights[np.arange(n)[:, None], others[said]] = rest
    weights = np.maximum(weights, 0.01)
    normalised: Floats = weights / weights.sum(1, keepdims=True)
    return normalised


def _even(queries: int, tick: int) -> Ints:
    return np.append(np.arange(0, queries, tick), queries)


def _arrivals(queries: int, rng: np.random.Generator) -> Ints:
    moments = queries  # more than are needed
    rate = np.where(np.arange(moments) % 40 < 30, 8.0, 32.0)
    ends = np.cumsum(rng.poisson(rate))
    ticks: Ints = np.unique(np.append([0, queries], ends[ends < queries]))
    return ticks
