"""Spherical k-means in torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

_STEPS = 30


def spherical_kmeans(vectors: torch.Tensor, clusters: int, *, seed: int) -> torch.Tensor:
    """Returns [clusters, d] unit centroids that maximise the mean cosine to the nearest one.

    Lloyd's iterations from a k-means++ start; an empty cluster takes the vector that fits worst.
    Source: Dhillon and Modha, "Concept decompositions for large sparse text data", 2001.

    Args:
        vectors: [n, d] unit vectors, n >= clusters.
        clusters: How many centroids.
        seed: Makes the start deterministic.
    """
    centroids = _plus_plus(vectors, clusters, np.random.default_rng(seed))
    labels = torch.full((len(vectors),), -1)
    for _ in range(_STEPS):
        similar, found = (vectors @ centroids.T).max(1)
        if torch.equal(found, labels):
            break
        labels = found
        sums = torch.zeros_like(centroids).index_add_(0, labels, vectors)
        sizes = torch.bincount(labels, minlength=clusters)
        empty = torch.nonzero(sizes == 0).flatten()
        if len(empty):
            sums[empty] = vectors[torch.argsort(similar)[: len(empty)]]
        centroids = torch.nn.functional.normalize(sums, dim=1)
    return centroids


def cluster_of(vectors: NDArray[np.floating[Any]], clusters: int, *, seed: int) -> NDArray[np.intp]:
    """Returns [n] the nearest centroid of each of [n, d] unit vectors; see `spherical_kmeans`."""
    x = torch.from_numpy(np.ascontiguousarray(vectors, np.float32))
    nearest: NDArray[np.intp] = (x @ spherical_kmeans(x, clusters, seed=seed).T).argmax(1).numpy()
    return nearest


def _plus_plus(vectors: torch.Tensor, clusters: int, rng: np.random.Generator) -> torch.Tensor:
    """Start of k-means++: each next centroid is drawn in proportion to its distance to the chosen."""
    chosen = [int(rng.integers(len(vectors)))]
    distance = 1 - vectors @ vectors[chosen[0]]
    for _ in range(clusters - 1):
        weights = distance.clamp_min(0).double().numpy()
        total = weights.sum()
        if total <= 0:
            chosen.append(int(rng.integers(len(vectors))))
        else:
            chosen.append(
                int(np.searchsorted(weights.cumsum(), rng.random() * total).clip(0, len(vectors) - 1))
            )
        distance = torch.minimum(distance, 1 - vectors @ vectors[chosen[-1]])
    return vectors[torch.tensor(chosen)].clone()
