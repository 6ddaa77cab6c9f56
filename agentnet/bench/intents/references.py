"""Plain classifiers on frozen vectors, which any router of intents should be compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agentnet.routers.heads import fit_head

Floats = NDArray[np.float32]
Columns = NDArray[np.intp]
STEPS = 100
"""Most iterations of the logistic regression."""
SCALES = tuple(float(s) for s in np.geomspace(0.25, 256, 41))
"""Factors before the softmax among which val chooses."""


class Scorer(Protocol):
    """A fitted reference."""

    def scores(self, vectors: Floats) -> Floats:
        """Returns [n, A] scores; more is better."""


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """scores = (x - centre) W + b.

    Attributes:
        weight: [d, A].
        bias: [A].
        centre: [d].
    """

    weight: Floats
    bias: Floats
    centre: Floats

    def scores(self, vectors: Floats) -> Floats:
        """Returns [n, A] scores."""
        return np.asarray((vectors - self.centre) @ self.weight + self.bias, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Nearest:
    """The cosine to the nearest known row of each class.

    Attributes:
        vectors: [m, d] known rows, those of a class together.
        starts: [A] where each class begins.
    """

    vectors: Floats
    starts: Columns

    def scores(self, vectors: Floats) -> Floats:
        """Returns [n, A] cosines."""
        found = [np.maximum.reduceat(part @ self.vectors.T, self.starts, axis=1) for part in _chunks(vectors)]
        return np.concatenate(found)


Fit = Callable[[Floats, Columns, Floats, float], Scorer]
"""Fits on vectors [m, d], classes [m], descriptions [A, d] and a strength."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A plain classifier.

    Attributes:
        label: Its name in tables.
        fit: Fits it.
        strengths: Settings among which val chooses.
        few: The setting where there is no val.
    """

    label: str
    fit: Fit
    strengths: tuple[float, ...] = (0.0,)
    few: float = 0.0


def logistic(x: Floats, y: Columns, described: Floats, strength: float) -> Scorer:
    """Multinomial logistic regression on centred vectors with an L2 penalty, by L-BFGS."""
    centre = x.mean(0)
    head = fit_head(x - centre, y, len(described), strength=strength, steps=STEPS)
    return Linear(head.weight, head.bias, centre)


def centroid(x: Floats, y: Columns, described: Floats, strength: float) -> Scorer:
    """Cosine to the mean of each class; a class without rows has its description."""
    means = _unit(_means(x, y, described))
    return Linear(means.T, np.zeros(len(means), np.float32), np.zeros(x.shape[1], np.float32))


def discriminant(x: Floats, y: Columns, described: Floats, strength: float) -> Scorer:
    """Linear discriminant analysis with equal priors; a class without rows has its description as mean.

    The shared covariance within classes is drawn to a multiple of the identity by ``strength``.
    """
    centre = x.mean(0)
    means = (_means(x, y, described) - centre).astype(np.float64)
    rest = (x - centre) - means[y]
    inside = rest.T @ rest / len(rest)
    d = len(inside)
    drawn = (1 - strength) * inside + strength * np.trace(inside) / d * np.eye(d)
    weight = np.linalg.solve(drawn, means.T)
    bias = -0.5 * np.einsum("ad,da->a", means, weight)
    return Linear(weight.astype(np.float32), bias.astype(np.float32), centre)


def nearest(x: Floats, y: Columns, described: Floats, strength: float) -> Scorer:
    """Cosine to the nearest row of each class; a class without rows has its description."""
    lacking = np.setdiff1d(np.arange(len(described)), y)
    rows = np.concatenate([x, described[lacking]])
    classes = np.concatenate([y, lacking])
    order = np.argsort(classes, kind="stable")
    starts = np.searchsorted(classes[order], np.arange(len(described)))
    return Nearest(rows[order], starts.astype(np.intp))


def words(x: Floats, y: Columns, described: Floats, strength: float) -> Scorer:
    """Cosine to each description; nothing is learned."""
    size = described.shape[1]
    return Linear(described.T, np.zeros(len(described), np.float32), np.zeros(size, np.float32))


LOGISTIC = Reference("logistic regression", logistic, (10.0, 30.0, 100.0), few=30.0)
CENTROID = Reference("class centroid", centroid)
NEAREST = Reference("1-NN", nearest)
WORDS = Reference("descriptions alone", words)
DISCRIMINANT = Reference("LDA", discriminant, (0.02, 0.1, 0.3), few=0.3)
FULL = (LOGISTIC, CENTROID, NEAREST, WORDS)
UNSEEN = (DISCRIMINANT, CENTROID, WORDS)


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """A reference with what val chose.

    Attributes:
        reference: Which.
        strength: Its setting.
        scale: Factor before the softmax.
        scorer: Fitted on train alone.
        val_hit: Share of val that it gets right.
        tried: That share by setting.
    """

    reference: Reference
    strength: float
    scale: float
    scorer: Scorer
    val_hit: float
    tried: Mapping[float, float]

    def probability(self, scorer: Scorer, vectors: Floats) -> Floats:
        """Returns [n, A] probabilities of a fit of this reference."""
        return softmax(scorer.scores(vectors) * self.scale)

    def again(self, x: Floats, y: Columns, described: Floats) -> Scorer:
        """Fits with the chosen setting on other rows."""
        return self.reference.fit(x, y, described, self.strength)


def choose(
    reference: Reference,
    train: tuple[Floats, Columns],
    val: tuple[Floats, Columns],
    described: Floats,
    classes: Sequence[int] | None = None,
) -> Chosen:
    """Fits on train under each setting and keeps the one that gets most of val right.

    Args:
        reference: What is fitted.
        train: Vectors and classes.
        val: Vectors and classes.
        described: [A, d] descriptions.
        classes: Classes that val's rows may be given to; None all.
    """
    kept = np.arange(len(described)) if classes is None else np.asarray(classes)
    tried: dict[float, float] = {}
    best: tuple[float, Scorer, Floats] | None = None
    for strength in reference.strengths:
        scorer = reference.fit(*train, described, strength)
        found = scorer.scores(val[0])[:, kept]
        tried[strength] = float((kept[found.argmax(1)] == val[1]).mean())
        if best is None or tried[strength] > tried[best[0]]:
            best = strength, scorer, found
    assert best is not None  # there is always a setting
    strength, scorer, found = best
    scale = fit_scale(found, np.searchsorted(kept, val[1]))
    return Chosen(reference, strength, scale, scorer, tried[strength], tried)


def fit_scale(scores: Floats, classes: Columns) -> float:
    """Returns the factor of `SCALES` under which the softmax gives the right classes most likelihood."""
    rows = np.arange(len(scores))
    loss = [-float(np.log(softmax(scores * s)[rows, classes] + 1e-12).mean()) for s in SCALES]
    return SCALES[int(np.argmin(loss))]


def softmax(scores: Floats) -> Floats:
    """Returns [n, A] probabilities.

    >>> softmax(np.zeros((1, 2), np.float32)).tolist()
    [[0.5, 0.5]]
    """
    powers = np.exp(scores - scores.max(1, keepdims=True))
    found: Floats = powers / powers.sum(1, keepdims=True)
    return found


def energy(scores: Floats) -> NDArray[np.float64]:
    """Returns [n] log-sum-exp of the scores, high in scope: the energy of Liu et al. 2020, sign turned."""
    top = scores.max(1)
    found: NDArray[np.float64] = top + np.log(np.exp(scores - top[:, None]).sum(1))
    return found


def _means(x: Floats, y: Columns, described: Floats) -> Floats:
    """[A, d] mean of each class; its description where it has no rows."""
    means = described.astype(np.float32).copy()
    for column in np.unique(y):
        means[column] = x[y == column].mean(0)
    return means


def _unit(x: Floats) -> Floats:
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    return np.asarray(x / np.where(norms > 0, norms, 1), np.float32)


def _chunks(vectors: Floats, size: int = 512) -> list[Floats]:
    return [vectors[start : start + size] for start in range(0, max(1, len(vectors)), size)]
