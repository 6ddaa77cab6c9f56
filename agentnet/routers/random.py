"""`random`: any agent, all equally likely."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Task
from agentnet.outcomes.table import Outcomes
from agentnet.routers.base import FitReport, RouteOptions
from agentnet.routers.constant import ConstantRouter
from agentnet.routers.decision import Evidence, NoteEvidence, Scores
from agentnet.routers.single import Choice


class RandomRouter(ConstantRouter):
    """Draws an agent with probability 1/A. It needs no `fit`, so a first log can be made with it.

    With ``options.rng`` every call draws afresh. Without it the draw is a hash of the seed and the task's
    text: the same task gets the same agent in any order and in any process, which keeps batches
    repeatable and resumable.

    Args:
        seed: Seed of the draws; None takes the seed of ``fit``.
    """

    name = "random"
    needs_fit = False

    def __init__(self, *, seed: int | None = None) -> None:
        super().__init__()
        self.seed = seed
        self._seed = seed or 0

    def _learn(self, outcomes: Outcomes, *, seed: int, device: str) -> FitReport:
        self._seed = seed if self.seed is None else self.seed
        return super()._learn(outcomes, seed=seed, device=device)

    def _pick(
        self, tasks: Sequence[Task], pool: Pool, scores: Scores, options: RouteOptions
    ) -> tuple[NDArray[np.intp], float]:
        order = np.argsort(np.array(pool.names), kind="stable")
        if options.rng is not None:
            drawn = options.rng.integers(len(pool), size=len(tasks))
        else:
            drawn = np.array([self._hash(task) % len(pool) for task in tasks], np.intp)
        return order[drawn], 1 / len(pool)

    def chances(
        self, tasks: Sequence[Task], pool: Pool, scores: Scores, options: RouteOptions
    ) -> NDArray[np.float64]:
        """Returns [n, A] 1/A; see `Router.chances`."""
        return np.full((len(tasks), len(pool)), 1 / len(pool))

    def _hash(self, task: Task) -> int:
        digest = hashlib.blake2b(task.text.encode(), digest_size=8, key=str(self._seed).encode())
        return int.from_bytes(digest.digest(), "big")

    def _explain(self, choice: Choice) -> Evidence:
        return NoteEvidence(f"drawn from {len(choice.pool)} agents, all equally likely")

    def _state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        state, arrays = super()._state()
        return state | {"seed": self._seed}, arrays

    def _restore(self, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        super()._restore(config, arrays)
        self._seed = int(config["seed"])
