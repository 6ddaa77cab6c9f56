"""`TypeHead`: the task nodes: how a query belongs to them, read off its views."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from agentnet.outcomes.encoders.form import MEASURES
from agentnet.outcomes.table import Outcomes
from agentnet.routers.council.views import Layout, Vectors
from agentnet.routers.heads import SoftmaxHead, fit_head, folds
from agentnet.routers.intents.head import fit_temperature, softmax

Posterior = NDArray[np.float64]
"""[n, T] share of a query in each type; rows sum to 1."""
FEWEST = 20
"""Fewest queries of a label that make a type of its own."""
MOST_TYPES = 24
_FOLDS = 3
_PENALTY = 1e-3
"""Weight of |W|^2 / 2 beside the mean log loss of a row."""
_STEPS = 25
_SCALE = 4.0
"""Of unit vectors beside measures of unit variance."""


@dataclass(frozen=True, slots=True, eq=False)
class TypeHead:
    """P(type | query) = softmax((z W + b) / temperature) with z the scaled views.

    Attributes:
        names: The T types; one alone has no head.
        centre: [d] subtracted from the views.
        scale: [d] multiplied with them.
        head: Multinomial logistic regression.
        temperature: Of the logits, fitted on rows left out.
        accuracy: Share of rows left out whose likeliest type is theirs.
    """

    names: tuple[str, ...] = ("all",)
    centre: Vectors = field(default_factory=lambda: np.zeros(0, np.float32))
    scale: Vectors = field(default_factory=lambda: np.zeros(0, np.float32))
    head: SoftmaxHead | None = None
    temperature: float = 1.0
    accuracy: float = 1.0

    @classmethod
    def fit(cls, vectors: Vectors, labels: list[str], layout: Layout, *, seed: int) -> tuple[Self, Posterior]:
        """Learns the types.

        Args:
            vectors: [n, width] the queries' views.
            labels: [n] type of each.
            layout: Of the views.
            seed: Divides the rows into folds.

        Returns:
            The head, and [n, T] the posterior of every row from a head that has not seen it.
        """
        names, y = np.unique(np.asarray(labels, dtype=str), return_inverse=True)
        if len(names) < 2:
            return cls(), np.ones((len(labels), 1))
        centre, scale = _scaling(vectors, layout)
        x = (vectors - centre) * scale
        fold = folds(y, _FOLDS, seed=seed)
        logits = np.zeros((len(y), len(names)))
        for part in range(_FOLDS):
            out = fold == part
            logits[out] = _logits(_head(x[~out], y[~out], len(names)), x[out])
        temperature = fit_temperature(logits, y)
        posterior = softmax(logits / temperature)
        right = float((posterior.argmax(1) == y).mean())
        head = _head(x, y, len(names))
        return cls(tuple(names.tolist()), centre, scale, head, temperature, right), posterior

    def predict(self, vectors: Vectors) -> Posterior:
        """Returns the [n, T] posterior of new queries."""
        if self.head is None:
            return np.ones((len(vectors), 1))
        x = (vectors - self.centre) * self.scale
        return softmax(_logits(self.head, x) / self.temperature)

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Returns JSON values and arrays; the inverse of `restore`."""
        config = {"types": list(self.names), "temperature": self.temperature, "accuracy": self.accuracy}
        if self.head is None:
            return config, {}
        return config, {
            "types_centre": self.centre,
            "types_scale": self.scale,
            "types_weight": self.head.weight,
            "types_bias": self.head.bias,
        }

    @classmethod
    def restore(cls, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Makes a head from what `state` returned."""
        if "types_weight" not in arrays:
            return cls()
        head = SoftmaxHead(arrays["types_weight"], arrays["types_bias"])
        return cls(
            tuple(config["types"]), arrays["types_centre"], arrays["types_scale"], head,
            float(config["temperature"]), float(config["accuracy"]),
        )  # fmt: skip


def labels_of(
    outcomes: Outcomes, vectors: Vectors, layout: Layout, wanted: int | None, seed: int
) -> list[str]:
    """Returns the type of each training row: its task label, or where there are none its cluster.

    Labels of fewer than `FEWEST` rows are one type together. A label pack's labels are its agents, which
    are no types.

    Args:
        outcomes: n rows.
        vectors: [n, width] their views.
        layout: Of the views.
        wanted: Number of clusters to make instead of using labels; None decides.
        seed: Makes it deterministic.
    """
    counts = Counter(outcomes.queries.task)
    common = {label for label, n in counts.most_common(MOST_TYPES) if label and n >= FEWEST}
    if wanted is None and outcomes.kind != "label" and len(common) > 1:
        rare = len(outcomes) - sum(counts[label] for label in common)
        rest = "other" if rare >= FEWEST else max(common, key=lambda label: (counts[label], label))
        return [label if label in common else rest for label in outcomes.queries.task]
    number = min(wanted or MOST_TYPES, len(outcomes) // (2 * FEWEST))
    if number < 2:
        return ["all"] * len(outcomes)
    return _clusters(vectors, layout, number, seed)


def _clusters(vectors: Vectors, layout: Layout, number: int, seed: int) -> list[str]:
    import torch

    from agentnet.routers.clustering import cluster_of

    text, form, _ = layout.parts(vectors)
    both = np.concatenate((text, form - form.mean(0)), axis=1)
    x = torch.nn.functional.normalize(torch.from_numpy(np.ascontiguousarray(both, np.float32)), dim=1)
    return [f"cluster {i + 1:02}" for i in cluster_of(x.numpy(), number, seed=seed).tolist()]


def _scaling(vectors: Vectors, layout: Layout) -> tuple[Vectors, Vectors]:
    """[d] centre and [d] scale: measures to unit variance, the other numbers to a common length."""
    centre = vectors.mean(0)
    scale = np.full(layout.width, _SCALE, np.float32)
    if not layout.form:
        return centre, scale
    measures = slice(layout.text + layout.form - MEASURES, layout.text + layout.form)
    # A measure that hardly varies says nothing, however much dividing by its deviation would raise it.
    scale[measures] = 1 / np.maximum(vectors[:, measures].std(0), 0.01)
    return centre, scale


def _head(x: Vectors, y: NDArray[np.intp], classes: int) -> SoftmaxHead:
    return fit_head(x, y, classes, strength=1 / (_PENALTY * len(x)), steps=_STEPS)


def _logits(head: SoftmaxHead, x: Vectors) -> Posterior:
    return np.asarray(x @ head.weight + head.bias, np.float64)
