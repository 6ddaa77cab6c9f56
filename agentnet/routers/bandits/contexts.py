"""`Contexts`: the vector that a bandit's agents are linear in, learned from tasks seen, without labels.

Two kinds. ``agentnet`` (ours): a constant, soft memberships of 16 clusters over text and form together,
and the first principal components of the text and of its form. ``greenserv`` (arXiv:2601.17551): task type,
semantic cluster and bin of complexity, each one-hot.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.routers.bandits.looks import Features, measures

Floats = NDArray[np.float64]

CLUSTERS = 16
"""Clusters of ``agentnet``'s features."""
PARTS = 16
"""Principal components of the text, and as many of the form."""
SHARPNESS = 0.05
"""Temperature of the memberships, in cosine."""
SCALE = 2.0
"""Components count this much more than a membership: they are parts of vectors of length 1."""
TYPES, TOPICS = 5, 3
"""Task types and semantic clusters of ``greenserv``."""
DIGITS = 6
"""Decimals that a context is kept with: a trace holds the very numbers that were decided on."""


@dataclass(frozen=True, slots=True, eq=False)
class Contexts:
    """Turns looks into contexts.

    Attributes:
        features: Which kind.
        arrays: What was learned; empty: nothing was yet, and a context is the constant alone.
        id: Names the content; contexts of different ids do not go together.
    """

    features: Features
    arrays: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    id: str = field(init=False)

    def __post_init__(self) -> None:
        digest = hashlib.sha256(self.features.encode())
        for name in sorted(self.arrays):
            digest.update(name.encode() + np.ascontiguousarray(self.arrays[name]).tobytes())
        object.__setattr__(self, "id", digest.hexdigest()[:12] if self.arrays else "")

    @property
    def dim(self) -> int:
        """Numbers in a context."""
        if not self.arrays:
            return 1
        if self.features == "greenserv":
            return len(self.arrays["types"]) + len(self.arrays["topics"]) + measures("greenserv")
        return 1 + len(self.arrays["centres"]) + len(self.arrays["text"]) + len(self.arrays["form"])

    def of(self, looks: NDArray[np.float32]) -> Floats:
        """Returns [n, dim] the contexts of [n, d + m] looks."""
        if not self.arrays:
            return np.ones((len(looks), 1))
        made = self._ours(looks) if self.features == "agentnet" else self._greenserv(looks)
        return np.asarray(np.round(np.asarray(made, np.float64), DIGITS), np.float64)

    def _ours(self, looks: NDArray[np.float32]) -> NDArray[Any]:
        centred = looks - self.arrays["mean"]
        d = self.arrays["text"].shape[1]
        near = _unit(centred) @ self.arrays["centres"].T / SHARPNESS
        near = np.exp(near - near.max(1, keepdims=True))
        return np.concatenate(
            (
                np.ones((len(looks), 1), np.float32),
                near / near.sum(1, keepdims=True),
                SCALE * centred[:, :d] @ self.arrays["text"].T,
                SCALE * centred[:, d:] @ self.arrays["form"].T,
            ),
            axis=1,
        )

    def _greenserv(self, looks: NDArray[np.float32]) -> NDArray[Any]:
        d = looks.shape[1] - measures("greenserv")
        vectors = looks[:, :d]
        parts = [
            _one_hot(vectors @ self.arrays["types"].T + self.arrays["offset"]),
            _one_hot(vectors @ self.arrays["topics"].T),
            looks[:, d:],
        ]
        return np.concatenate(parts, axis=1)


def learn_contexts(
    features: Features, looks: NDArray[np.float32], labels: NDArray[np.intp] | None = None
) -> Contexts:
    """Learns the contexts from tasks seen.

    Args:
        features: Which kind.
        looks: [n, d + m] what was seen of n tasks; their order plays no part for ``agentnet``.
        labels: [n] task types from 0, where they are known: only ``greenserv`` looks at them. Without, its
            task types are clusters.
    """
    if features == "none" or not len(looks):
        return Contexts(features)
    d = looks.shape[1] - measures(features)
    if features == "greenserv":
        return Contexts(features, _learn_greenserv(looks[:, :d], labels))
    looks = looks[np.lexsort(looks.T[::-1])]
    mean = looks.mean(0)
    centred = looks - mean
    return Contexts(
        features,
        {
            "mean": mean,
            "centres": _cluster(_unit(centred), CLUSTERS),
            "text": _components(centred[:, :d], PARTS),
            "form": _components(centred[:, d:], PARTS),
        },
    )


def _learn_greenserv(
    vectors: NDArray[np.float32], labels: NDArray[np.intp] | None
) -> dict[str, NDArray[np.float32]]:
    """Types by a softmax head where labels are known; topics by k-means online, in the order of the tasks."""
    topics: list[NDArray[np.float32]] = []
    sizes: list[int] = []
    for vector in vectors:
        if len(topics) < TOPICS:
            if not any(np.array_equal(vector, topic) for topic in topics):
                topics.append(vector.copy())
                sizes.append(1)
            continue
        at = int(np.argmax([vector @ topic / max(float(np.linalg.norm(topic)), 1e-9) for topic in topics]))
        topics[at] = topics[at] + (vector - topics[at]) / (sizes[at] + 1)
        sizes[at] += 1
    found = {"topics": _unit(np.stack(topics))}
    if labels is None or len(np.unique(labels)) < 2:
        types = _cluster(vectors[np.lexsort(vectors.T[::-1])], TYPES)
        return found | {"types": types, "offset": np.zeros(len(types), np.float32)}
    from agentnet.routers.heads import fit_head

    head = fit_head(vectors, labels, int(labels.max()) + 1, strength=1.0)
    return found | {"types": np.ascontiguousarray(head.weight.T), "offset": head.bias}


def _cluster(vectors: NDArray[np.float32], clusters: int) -> NDArray[np.float32]:
    """[at most clusters, d] unit centroids."""
    import torch

    from agentnet.routers.clustering import spherical_kmeans

    given = torch.from_numpy(np.ascontiguousarray(vectors, np.float32))
    centres: NDArray[np.float32] = spherical_kmeans(given, min(clusters, len(given)), seed=0).numpy()
    return centres


def _components(centred: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """[count, d] directions of most variance; zeros where there are fewer."""
    values, vectors = np.linalg.eigh((centred.T @ centred).astype(np.float64))
    order = np.argsort(-values)[:count]
    real = values[order] > 1e-9 * max(float(values.max()), 1e-12)
    found = np.where(real[:, None], vectors[:, order].T, 0.0)
    # An eigenvector's sign is arbitrary: the largest part is made positive.
    largest = np.take_along_axis(found, np.abs(found).argmax(1)[:, None], 1)
    found = found * np.where(largest < 0, -1, 1)
    padded = np.zeros((count, centred.shape[1]), np.float32)
    padded[: len(found)] = found
    return padded


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(norms > 0, norms, 1), np.float32)


def _one_hot(values: NDArray[Any]) -> NDArray[np.float32]:
    hot: NDArray[np.float32] = np.eye(values.shape[1], dtype=np.float32)[values.argmax(1)]
    return hot
