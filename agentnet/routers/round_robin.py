"""`round_robin`: one agent after the other."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

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


class RoundRobinRouter(ConstantRouter):
    """Takes the agents in turn, by name; the first task after making or loading gets the first.

    The turn is not part of the saved state. Safe to call from several threads.
    """

    name = "round_robin"
    needs_fit = False

    def __init__(self) -> None:
        super().__init__()
        self._turn = _Counter()

    def _pick(
        self, tasks: Sequence[Task], pool: Pool, scores: Scores, options: RouteOptions
    ) -> tuple[NDArray[np.intp], float]:
        order = np.argsort(np.array(pool.names), kind="stable")
        first = self._turn.take(len(tasks))
        return order[(first + np.arange(len(tasks))) % len(pool)], 1.0

    def _explain(self, choice: Choice) -> Evidence:
        return NoteEvidence(f"its turn among {len(choice.pool)} agents")
