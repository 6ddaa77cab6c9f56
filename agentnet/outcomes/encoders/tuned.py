"""`TunedEncoder`: all-MiniLM-L6-v2 whose last layers have learned."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import DataError
from agentnet.outcomes.encoders.minilm import MiniLMEncoder

if TYPE_CHECKING:
    import torch


class TunedEncoder(MiniLMEncoder):
    """The encoder with some weights replaced; its name holds a hash of them.

    The replaced weights are kept as float16, rounded once after training, so that an encoder read from a
    file gives the same vectors as the one that was written.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]], **settings: Any) -> None:
        """Takes the replaced weights.

        Args:
            arrays: By name, as float16 or as what is to be rounded to it.
            **settings: Those of `MiniLMEncoder`.
        """
        super().__init__(**settings)
        self.arrays: dict[str, NDArray[np.float16]] = {
            name: np.ascontiguousarray(array, np.float16) for name, array in sorted(arrays.items())
        }
        digest = hashlib.blake2b(digest_size=6)
        for name, array in self.arrays.items():
            digest.update(name.encode())
            digest.update(array.tobytes())
        self._digest = digest.hexdigest()
        self._merged: Mapping[str, torch.Tensor] | None = None
        self._merging = threading.Lock()

    @classmethod
    def of(cls, base: MiniLMEncoder, arrays: Mapping[str, NDArray[Any]]) -> TunedEncoder:
        """Returns the encoder that ``base`` is with these weights: same folder, same token limit."""
        return cls(arrays, folder=base._folder, max_tokens=base._max_tokens)

    @property
    def name(self) -> str:
        """``minilm+`` and a hash of the learned weights."""
        return f"{super().name}+{self._digest}"

    def weights(self) -> Mapping[str, torch.Tensor]:
        """Returns the weights by name, the learned ones in their places.

        Raises:
            DataError: a learned weight is not one of the encoder's, or has another shape.
        """
        import torch

        with self._merging:
            if self._merged is None:
                base = super().weights()
                for name, array in self.arrays.items():
                    if name not in base or tuple(base[name].shape) != array.shape:
                        raise DataError(f"the learned weight {name!r} does not fit the encoder minilm.")
                own = {
                    name: torch.from_numpy(array.astype(np.float32)).to(self._device)
                    for name, array in self.arrays.items()
                }
                self._merged = {**base, **own}
            return self._merged
