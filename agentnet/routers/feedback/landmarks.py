"""`Landmarks`: a task as its likeness to typical tasks, which are found by clustering.

Linear regression on these features is Gaussian process regression with the kernel
exp(sharpness * (cos(x, y) - 1)), restricted to functions that the landmarks span (Williams and Seeger,
"Using the Nystrom method to speed up kernel machines", NIPS 2001).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from agentnet.outcomes.encoders.base import unit_rows
from agentnet.routers.tuning import sample_rows

Floats = NDArray[np.float64]
_JITTER = 1e-3
_MOST_ROWS = 1000
"""Landmarks are found among so many tasks: they need to lie among the tasks, not to be the best clusters."""


@dataclass(frozen=True, slots=True, eq=False)
class Landmarks:
    """K typical tasks.

    Attributes:
        centres: [K, d] float32 unit vectors.
        whiten: [K, K] turns likenesses into features of unit prior variance.
        sharpness: How fast likeness falls with distance.
    """

    centres: NDArray[np.float32]
    whiten: Floats
    sharpness: float

    @classmethod
    def of(cls, vectors: NDArray[np.float32], count: int, sharpness: float, *, seed: int) -> Self:
        """Finds landmarks by spherical k-means.

        Args:
            vectors: [n, d] unit vectors of known tasks, n >= count.
            count: K.
            sharpness: See above.
            seed: Makes it deterministic.
        """
        import torch

        from agentnet.outcomes.encoders.threads import torch_threads
        from agentnet.routers.clustering import spherical_kmeans

        sample = vectors[sample_rows(len(vectors), _MOST_ROWS, seed)]
        stored = torch.from_numpy(np.ascontiguousarray(sample, np.float32))
        with torch_threads(1):
            found = spherical_kmeans(stored, count, seed=seed).numpy()
        # A centre of vectors that cancel out, or of empty texts, has no direction.
        centres = unit_rows(found)
        among = np.exp(sharpness * (centres @ centres.T - 1.0)).astype(np.float64)
        among += _JITTER * np.eye(len(centres))
        return cls(centres, np.linalg.cholesky(np.linalg.inv(among)), sharpness)

    def features(self, vectors: NDArray[np.float32]) -> Floats:
        """Returns [n, K] features of tasks given as [n, d] unit vectors."""
        alike = np.exp(self.sharpness * (vectors @ self.centres.T - 1.0)).astype(np.float64)
        features: Floats = alike @ self.whiten
        return features

    def state(self, name: str) -> dict[str, NDArray[Any]]:
        """Returns the arrays under names that start with ``name``; the inverse of `restore`."""
        return {
            f"{name}_centres": self.centres,
            f"{name}_whiten": self.whiten,
            f"{name}_sharpness": np.array([self.sharpness]),
        }

    @classmethod
    def restore(cls, name: str, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Makes landmarks from what `state` returned."""
        sharpness = float(arrays[f"{name}_sharpness"][0])
        return cls(arrays[f"{name}_centres"], arrays[f"{name}_whiten"], sharpness)
