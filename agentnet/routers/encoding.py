"""`Encodes`: what routers that look at a task's encoding share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import InvalidInput
from agentnet.graphs.task import Task
from agentnet.outcomes.encoders import CachedEncoder, Encoder, make_encoder, task_text

Vectors = NDArray[np.float32]
"""[n, d] unit vectors."""


class Encodes:
    """Mixed into routers with a setting ``encoder``: makes the encoder when it is first needed."""

    encoder: str
    """Name of the text encoder."""
    _encoder: Encoder | None = None

    def use_encoder(self, encoder: Encoder) -> None:
        """Takes this encoder, for example one with a cache that several routers share."""
        self._encoder = encoder
        self.encoder = encoder.name

    def _encode(self, tasks: Sequence[Task], vectors: Vectors | None) -> Vectors:
        if vectors is not None:
            if vectors.ndim != 2 or len(vectors) != len(tasks):
                raise InvalidInput(f"vectors must be [{len(tasks)}, d]; got shape {vectors.shape}.")
            return np.asarray(vectors, np.float32)
        return self._texts([task_text(task) for task in tasks])

    def _texts(self, texts: Sequence[str]) -> Vectors:
        return self._made_encoder().encode(texts)

    def _made_encoder(self) -> Encoder:
        """The encoder; made at the first call."""
        if self._encoder is None:
            self._encoder = CachedEncoder(make_encoder(self.encoder))
        return self._encoder
