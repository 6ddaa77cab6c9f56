"""`round_robin`: one agent after the other, or each as often as its weight says."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import InvalidInput
from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Task
from agentnet.routers.base import RouteOptions
from agentnet.routers.constant import ConstantRouter
from agentnet.routers.decision import Evidence, NoteEvidence, Scores
from agentnet.routers.single import Choice


class _Counter:
    """Hands out consecutive numbers to any number of threads."""

    def __init__(self) -> None:
        self._next = 0
        self._lock = threading.Lock()

    def take(self, n: int) -> int:
        with self._lock:
            first = self._next
            self._next += n
        return first


class _SmoothTurn:
    """Smooth weighted round robin over names; safe to use from several threads.

    At each turn every name gains its weight, the one with most is taken, and pays the sum of all weights.
    The credits of the names present add up to zero again after every turn.
    """

    def __init__(self) -> None:
        self._credit: dict[str, float] = {}
        self._lock = threading.Lock()

    def take(self, names: Sequence[str], weights: Sequence[float], n: int) -> list[int]:
        """Returns the positions of the next n turns; ties go to the first."""
        total = sum(weights)
        with self._lock:
            # Whoever left the pool loses its credit; whoever comes starts at none.
            credit = [self._credit.get(name, 0.0) for name in names]
            turns = []
            for _ in range(n):
                credit = [have + weight for have, weight in zip(credit, weights, strict=True)]
                best = credit.index(max(credit))
                credit[best] -= total
                turns.append(best)
            self._credit = dict(zip(names, credit, strict=True))
        return turns


class RoundRobinRouter(ConstantRouter):
    """Takes the agents in turn, by name; the first task after making or loading gets the first.

    With ``weights`` it is the smooth weighted round robin of nginx (``ngx_http_upstream_round_robin.c``,
    since version 1.3.1): over any stretch of turns as long as the sum of whole weights, each agent gets
    as many as its weight, spread out instead of in one run. It looks at no load and no health.

    The turn is not part of the saved state. Safe to call from several threads.

    Args:
        weights: ``"AGENT=WEIGHT"`` for each agent that has a weight other than 1; names that are not in the
            pool do nothing. None takes all agents equally often.

    >>> from agentnet.graphs.agent import Agent
    >>> pool = Pool([Agent(name="large"), Agent(name="small")])
    >>> router = RoundRobinRouter(weights=("large=3",))
    >>> [router.route("x", pool).agents[0] for _ in range(4)]
    ['large', 'large', 'small', 'large']
    """

    name = "round_robin"
    needs_fit = False

    def __init__(self, *, weights: tuple[str, ...] | None = None) -> None:
        super().__init__()
        self.weights = None if weights is None else tuple(weights)
        self._weight = _parsed(self.weights or ())
        self._turn = _Counter()
        self._smooth = _SmoothTurn()

    def _pick(
        self, tasks: Sequence[Task], pool: Pool, scores: Scores, options: RouteOptions
    ) -> tuple[NDArray[np.intp], float]:
        order = np.argsort(np.array(pool.names), kind="stable")
        if self._weight:
            names = [pool.names[i] for i in order]
            weights = [self._weight.get(name, 1.0) for name in names]
            return order[self._smooth.take(names, weights, len(tasks))], 1.0
        first = self._turn.take(len(tasks))
        return order[(first + np.arange(len(tasks))) % len(pool)], 1.0

    def _explain(self, choice: Choice) -> Evidence:
        if not self._weight:
            return NoteEvidence(f"its turn among {len(choice.pool)} agents")
        weights = {name: self._weight.get(name, 1.0) for name in choice.pool.names}
        own = 0.0 if choice.agent is None else weights[choice.pool.names[choice.agent]]
        return NoteEvidence(
            f"its turn among {len(choice.pool)} agents, with {own:g} of {sum(weights.values()):g} turns"
        )


def _parsed(weights: Sequence[str]) -> Mapping[str, float]:
    found: dict[str, float] = {}
    for item in weights:
        name, _, number = item.rpartition("=")
        try:
            weight = float(number)
        except ValueError:
            weight = math.nan
        if not name or not 0 < weight < math.inf:
            raise InvalidInput(
                f"a weight of round_robin is AGENT=NUMBER, above 0, such as 'large=4'; got {item!r}."
            )
        if name in found:
            raise InvalidInput(f"round_robin has two weights for agent {name!r}; give one.")
        found[name] = weight
    return found
