"""Encoders that other packages provide: sentence-transformers models and LiteLLM embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import BackendError, MissingDependency
from agentnet.outcomes.encoders.base import check_texts, unit_rows


class SentenceTransformerEncoder:
    """Any sentence-transformers model by name or folder; loaded at the first use."""

    def __init__(self, model: str, *, device: str = "cpu", batch_size: int = 32) -> None:
        """Makes an encoder; ``model`` is a name on the hub or a folder."""
        self._model_name = model
        self._device = device
        self._batch_size = batch_size
        self._model: Any = None

    @property
    def name(self) -> str:
        """``st:MODEL``."""
        return f"st:{self._model_name}"

    @property
    def dim(self) -> int:
        """Numbers in a vector; loads the model."""
        return int(self._loaded().get_sentence_embedding_dimension())

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Returns [n, dim] float32 unit vectors.

        Raises:
            MissingDependency: sentence-transformers is not installed.
        """
        items = check_texts(texts)
        model = self._loaded()
        if not items:
            return np.zeros((0, self.dim), np.float32)
        vectors = model.encode(items, batch_size=self._batch_size, show_progress_bar=False)
        return unit_rows(np.asarray(vectors))

    def _loaded(self) -> Any:
        if self._model is None:
            try:
                from sentence_transformers import SentenceTransformer
            except ImportError:
                raise MissingDependency(
                    f"the encoder {self.name!r} needs sentence-transformers: "
                    "`pip install sentence-transformers`."
                ) from None
            self._model = SentenceTransformer(self._model_name, device=self._device)
        return self._model


class LiteLLMEncoder:
    """Any embedding model that LiteLLM can call, for example ``text-embedding-3-small``.

    Calls cost money and leave the machine: put a `CachedEncoder` with a folder around it.
    """

    def __init__(self, model: str, *, dim: int | None = None, batch_size: int = 128, **options: Any) -> None:
        """Makes an encoder.

        Args:
            model: The model as LiteLLM names it.
            dim: Numbers in a vector; None asks the model once when it is needed.
            batch_size: Texts in one call.
            options: Further arguments of ``litellm.embedding``, for example ``api_base``.
        """
        self._model = model
        self._dim = dim
        self._batch_size = max(1, batch_size)
        self._options = options

    @property
    def name(self) -> str:
        """``litellm:MODEL``."""
        return f"litellm:{self._model}"

    @property
    def dim(self) -> int:
        """Numbers in a vector; makes a call if it is not known yet."""
        if self._dim is None:
            self.encode(["dimension"])
        assert self._dim is not None
        return self._dim

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Returns [n, dim] float32 unit vectors.

        Raises:
            BackendError: the call failed, or not every text got a vector.
            MissingDependency: litellm is not installed.
        """
        items = check_texts(texts)
        rows: list[list[float]] = []
        for start in range(0, len(items), self._batch_size):
            rows += self._call(items[start : start + self._batch_size])
        if not rows:
            return np.zeros((0, self.dim), np.float32)
        vectors = unit_rows(np.asarray(rows, dtype=np.float64))
        self._dim = vectors.shape[1]
        return vectors

    def _call(self, items: list[str]) -> list[list[float]]:
        try:
            from litellm import embedding
        except ImportError:
            raise MissingDependency(
                f"the encoder {self.name!r} needs litellm: `pip install litellm`."
            ) from None
        # An empty text is refused by several providers.
        inputs = [item if item.strip() else " ." for item in items]
        try:
            response = embedding(model=self._model, input=inputs, **self._options)
            data = sorted(response.data, key=lambda item: int(item["index"]))
            vectors = [list(item["embedding"]) for item in data]
        except Exception as error:  # litellm passes on the exceptions of many providers
            # The provider's text may quote the request with its headers; only the type is safe to show.
            raise BackendError(
                f"the embedding model {self._model!r} could not be called ({type(error).__name__}); "
                "check its name, address and key."
            ) from None
        if len(vectors) != len(items):
            raise BackendError(f"{self._model!r} gave {len(vectors)} vectors for {len(items)} texts.")
        return vectors
