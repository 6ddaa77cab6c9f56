"""`GraphModel`: what the recipes of the graph router have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.outcomes.table import Outcomes
from agentnet.routers.decision import Floats
from agentnet.routers.gnn.plan import TrainingOptions
from agentnet.routers.gnn.task_types import TaskTypes
from agentnet.routers.heads import folds
from agentnet.routers.rows import Rows

_SHARE = 5


@dataclass(frozen=True, slots=True, eq=False)
class Learning:
    """What a model learns from.

    Attributes:
        outcomes: n queries of splits train and val, M agents.
        vectors: [n, d] their encodings.
        profiles: [M, d] encodings of the agents' descriptions.
        types: Types of tasks.
        mean: [M] mean score of each agent.
        seed: Makes it deterministic.
        device: ``auto``, ``cpu`` or ``cuda``.
        options: Progress, log and checkpoints.
    """

    outcomes: Outcomes
    vectors: NDArray[np.float32]
    profiles: NDArray[np.float32]
    types: TaskTypes
    mean: NDArray[np.float64]
    seed: int
    device: str
    options: TrainingOptions | None

    def held_out(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Returns rows to learn from and rows to judge by: the splits train and val.

        Where one of them is empty, a fifth of the rows is held out at random; a single row is in both.
        """
        val = self.outcomes.queries.split == "val"
        if not val.any() or val.all():
            val = folds(np.zeros(len(val), int), _SHARE, seed=self.seed) == 0
        if val.all():
            return np.arange(len(val)), np.arange(len(val))
        return np.flatnonzero(~val), np.flatnonzero(val)


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """What a model learned, for the router's report and calibration.

    Attributes:
        rows: [m] positions of rows whose own outcomes were not used for ``raw``.
        raw: [m, M] scores predicted for them.
        chosen: What was chosen on rows held out.
        notes: Sentences for the report.
    """

    rows: NDArray[np.intp]
    raw: Floats
    chosen: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Predictor(ABC):
    """A model with the graph of one pool: everything that does not depend on the query is computed."""

    @abstractmethod
    def __call__(self, vectors: NDArray[np.float32]) -> tuple[Floats, Floats]:
        """Returns raw scores [n, M] and costs in USD, [n, M] or [M]."""


class GraphModel(ABC):
    """A network over queries and agents; its weights know no agent by name or position."""

    @abstractmethod
    def learn(self, data: Learning) -> Learned:
        """Trains the network."""

    @abstractmethod
    def predictor(
        self,
        rows: Rows,
        types: TaskTypes,
        profiles: NDArray[np.float32],
        mean: NDArray[np.float64],
        cost: NDArray[np.float64],
    ) -> Predictor:
        """Runs the network over a pool's graph.

        Args:
            rows: Known queries with the outcomes of the pool's M agents as columns: the visible edges.
            types: Types of tasks.
            profiles: [M, d] encodings of the agents' descriptions.
            mean: [M] mean score of each agent.
            cost: [M] mean USD of each agent; NaN unknown.
        """

    @abstractmethod
    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Returns the learned state as JSON values and arrays."""

    @abstractmethod
    def restore(self, state: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Takes over what `state` returned."""
