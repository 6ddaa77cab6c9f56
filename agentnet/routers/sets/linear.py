"""Agents with logged queries as columns of one matrix: multinomial logistic regression on unit vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.routers.encoding import Vectors
from agentnet.routers.heads import fit_head
from agentnet.routers.intents.head import log_loss

STRENGTHS = (10.0, 30.0)
"""Inverse penalties that are tried on held-back rows."""
_STEPS = 120


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Logits of A agents: vectors @ weight + bias.

    Attributes:
        names: The A agents.
        weight: [d, A] float32.
        bias: [A] float32.
    """

    names: tuple[str, ...]
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]

    def logits(self, vectors: Vectors) -> NDArray[np.float32]:
        """Returns [n, A]."""
        found: NDArray[np.float32] = vectors @ self.weight
        found += self.bias
        return found

    def take(self, keep: NDArray[np.intp]) -> Columns:
        """Returns some of the columns."""
        return Columns(tuple(self.names[i] for i in keep), self.weight[:, keep], self.bias[keep])


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What is predicted of n queries and A agents.

    Attributes:
        logits: [n, A].
        chances: [n, A] probabilities, given that one of the agents fits.
        familiarity: [n] as of `chances`.
    """

    logits: NDArray[np.float32]
    chances: NDArray[np.float32]
    familiarity: NDArray[np.float32]


def fit_columns(
    vectors: Vectors, labels: NDArray[np.integer[Any]], names: Sequence[str], *, strength: float
) -> Columns:
    """Fits the columns.

    Args:
        vectors: [n, d] unit vectors.
        labels: [n] agent of each, a position in ``names``.
        names: The A agents.
        strength: Inverse of the L2 penalty.
    """
    # Centred, the optimiser needs a third of the steps; the mean goes into the bias afterwards.
    mean = vectors.mean(0, dtype=np.float64).astype(np.float32)
    head = fit_head(vectors - mean, labels, len(names), strength=strength, steps=_STEPS)
    return Columns(tuple(names), head.weight, head.bias - mean @ head.weight)


def choose_strength(
    vectors: Vectors,
    labels: NDArray[np.integer[Any]],
    names: Sequence[str],
    held: tuple[Vectors, NDArray[np.integer[Any]]],
) -> tuple[Columns, float]:
    """Fits with each strength and keeps the columns with the least log loss on held-back rows."""
    best: tuple[float, float, Columns] | None = None
    for strength in STRENGTHS:
        columns = fit_columns(vectors, labels, names, strength=strength)
        loss = log_loss(columns.logits(held[0]), held[1])
        if best is None or loss < best[0]:
            best = (loss, strength, columns)
    assert best is not None
    return best[2], best[1]


def chances(
    logits: NDArray[np.floating[Any]], temperature: float = 1.0
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Returns the softmax of logits / temperature, and how familiar each row is.

    Returns:
        [n, A] probabilities, given that one of the agents fits; [n] log-sum-exp of the divided logits: low
        where no agent has anything to say. It is the negative free energy of Liu et al., "Energy-based
        out-of-distribution detection", NeurIPS 2020.

    >>> shares, known = chances(np.zeros((1, 2)))
    >>> shares.tolist(), known.round(3).tolist()
    ([[0.5, 0.5]], [0.6930000185966492])
    """
    scaled = np.asarray(logits, np.float32) / np.float32(temperature)
    top = scaled.max(1, keepdims=True)
    scaled -= top
    np.exp(scaled, out=scaled)
    total = scaled.sum(1, keepdims=True)
    scaled /= total
    return scaled, (top + np.log(total))[:, 0]


def likeliest(chances: NDArray[np.floating[Any]], names: Sequence[str], count: int) -> list[int]:
    """Returns the ``count`` likeliest of A agents, best first; of equals the first by name.

    Args:
        chances: [A].
        names: The A agents.
        count: How many; fewer where there are fewer.

    >>> likeliest(np.array([0.2, 0.6, 0.2]), ("b", "c", "a"), 2)
    [1, 2]
    """
    if count < len(chances):
        # Only those that reach the count-th value are sorted: of ten thousand agents, a handful.
        least = np.partition(chances, len(chances) - count)[len(chances) - count]
        among = np.flatnonzero(chances >= least).tolist()
    else:
        among = list(range(len(chances)))
    values = chances.tolist()
    return sorted(among, key=lambda i: (-values[i], names[i]))[:count]
