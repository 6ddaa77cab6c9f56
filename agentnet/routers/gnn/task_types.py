"""`TaskTypes`: which type of task a query is of, read off its text alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.outcomes.table import OUT_OF_SCOPE, Outcomes
from agentnet.routers.clustering import cluster_of
from agentnet.routers.heads import SoftmaxHead, fit_head

CLUSTERS = 8
_STRENGTH = 10.0
_ROWS_PER_TYPE = 4


@dataclass(frozen=True, slots=True, eq=False)
class TaskTypes:
    """Types of tasks, and a linear classifier that recognises them.

    The types are the task labels of the training outcomes; in a label pack the right agents; where there are
    none, clusters of the queries. A routed query's own label is never looked at: its type is predicted.

    Attributes:
        names: The T types.
        head: The classifier.
        centres: [T, d] mean encoding of each type's queries, which stands for the description of the task.
    """

    names: tuple[str, ...]
    head: SoftmaxHead
    centres: NDArray[np.float32]

    @classmethod
    def of(cls, outcomes: Outcomes, vectors: NDArray[np.float32], *, seed: int) -> TaskTypes:
        """Fits the classifier on all rows given.

        Args:
            outcomes: n rows.
            vectors: [n, d] their encodings.
            seed: Of the clusters.
        """
        names, labels = _labels(outcomes, vectors, seed)
        head = fit_head(vectors, labels, len(names), strength=_STRENGTH)
        onto = np.zeros((len(names), len(vectors)), np.float32)
        onto[labels, np.arange(len(vectors))] = 1
        centres = onto @ vectors / np.maximum(onto.sum(1, keepdims=True), 1)
        return cls(names, head, centres.astype(np.float32))

    def embed(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns [n, d]: the mean of the types' centres, weighted by each query's predicted types."""
        embedded: NDArray[np.float32] = self.head.predict(vectors) @ self.centres
        return embedded

    def state(self) -> tuple[list[str], dict[str, NDArray[Any]]]:
        """Returns names and arrays; the inverse of `restore`."""
        arrays = {
            "type_weight": self.head.weight, "type_bias": self.head.bias, "type_centres": self.centres
        }  # fmt: skip
        return list(self.names), arrays

    @classmethod
    def restore(cls, names: list[str], arrays: dict[str, NDArray[Any]]) -> TaskTypes:
        """Builds the types from what `state` returned."""
        head = SoftmaxHead(arrays["type_weight"], arrays["type_bias"])
        return cls(tuple(names), head, arrays["type_centres"])


def _labels(
    outcomes: Outcomes, vectors: NDArray[np.float32], seed: int
) -> tuple[tuple[str, ...], NDArray[np.intp]]:
    column = outcomes.queries.task
    if outcomes.kind == "label":
        column = tuple(gold or OUT_OF_SCOPE for gold in outcomes.queries.gold)
    named, labels = np.unique(np.array(column), return_inverse=True)
    if 1 < len(named) <= max(2, len(outcomes) // _ROWS_PER_TYPE):
        return tuple(name or "(no label)" for name in named.tolist()), labels
    count = max(1, min(CLUSTERS, len(outcomes) // _ROWS_PER_TYPE))
    return tuple(f"cluster {i}" for i in range(count)), cluster_of(vectors, count, seed=seed)
