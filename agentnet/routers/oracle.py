"""`oracle`: the best agent of every recorded task, read off its outcomes; an upper bound, not a router."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import RouterError
from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Task
from agentnet.outcomes.table import Outcomes
from agentnet.routers.base import FitReport
from agentnet.routers.constant import ConstantRouter
from agentnet.routers.decision import Evidence, Floats, NoteEvidence
from agentnet.routers.single import Choice


def task_key(task: Task) -> str:
    """Returns a hash of what a router may see of a task.

    >>> task_key(Task("a")) == task_key(Task("a", task_id="7")), task_key(Task("a")) == task_key(Task("b"))
    (True, False)
    """
    seen = [task.text, task.context, [turn.to_dict() for turn in task.history]]
    return hashlib.blake2b(json.dumps(seen).encode(), digest_size=16).hexdigest()


class OracleRouter(ConstantRouter):
    """Knows the outcomes of the tasks it was fitted on, and takes the best agent, the cheapest of ties.

    Not a router to serve: unlike all others it learns from **every** split, so that it can be fitted on
    the rows it is measured on and give the upper bound of any choice of one agent. Tasks it has never
    seen get the best single agent. Tasks out of scope are abstained on.
    """

    name = "oracle"

    def _visible(self, outcomes: Outcomes) -> Outcomes:
        return outcomes  # of all splits: it is no router but an upper bound

    def _learn(self, outcomes: Outcomes, *, seed: int, device: str) -> FitReport:
        self._score, self._cost = outcomes.score, outcomes.cost
        self._index([task_key(task) for task in outcomes.tasks()])
        if outcomes.out_of_scope.any():
            self.threshold = 0.5
        return super()._learn(outcomes, seed=seed, device=device)

    def _index(self, keys: Sequence[str]) -> None:
        self._keys = list(keys)
        self._rows = {key: row for row, key in enumerate(keys)}

    def _predict(
        self, tasks: Sequence[Task], pool: Pool, vectors: NDArray[np.float32] | None
    ) -> tuple[Floats, Floats]:
        rows = np.array([self._rows.get(task_key(task), -1) for task in tasks], np.intp)
        columns = self.stats.columns(pool)
        recorded = (rows >= 0)[:, None] & (columns >= 0)[None, :]
        # A recorded task's agent without a score ranks last; an unseen task gets the means.
        raw = np.where((rows >= 0)[:, None], 0.0, self.stats.mean(pool)[None, :])
        cost = np.broadcast_to(self.stats.cost(pool), raw.shape).copy()
        score = np.nan_to_num(self._score[rows][:, columns], nan=0.0)
        known_cost = recorded & ~np.isnan(self._cost[rows][:, columns])
        raw = np.where(recorded, score, raw)
        cost = np.where(known_cost, self._cost[rows][:, columns], cost)
        return raw, cost

    def _explain(self, choice: Choice) -> Evidence:
        if task_key(choice.task) in self._rows:
            return NoteEvidence("read off this task's recorded outcomes: an upper bound, not a prediction")
        return NoteEvidence("this task has no recorded outcome: mean scores")

    def with_probes(self, probes: Outcomes) -> OracleRouter:
        """Not supported: an oracle is fitted on the rows it is measured on."""
        raise RouterError(f"the router {self.name!r} takes no probes; leave them out.")

    def _state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        state, arrays = super()._state()
        return state | {"keys": self._keys}, arrays | {"score": self._score, "cost": self._cost}

    def _restore(self, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        super()._restore(config, arrays)
        self._score, self._cost = arrays["score"], arrays["cost"]
        self._index(config["keys"])
