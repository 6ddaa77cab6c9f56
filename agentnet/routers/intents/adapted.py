"""`AdaptedModel`: a language model that is loaded when first needed, with the adapters it was saved with."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.routers.intents.backbone import AdapterShape, Backbone

CONFIG, ADAPTER = "config.json", "adapter.safetensors"
FORMAT = 1

Arrays = dict[str, NDArray[Any]]


class AdaptedModel:
    """A `Backbone` by name, and the adapters that it gets once it is loaded.

    Args:
        base: A model's name, see `Backbone.load`, or a loaded one, which is then this object's own.
        device: A torch device; ``auto`` is CUDA where there is one.
    """

    def __init__(self, base: str | Backbone, *, device: str = "auto") -> None:
        self.base = base.name if isinstance(base, Backbone) else base
        self.lock = threading.RLock()
        """Held while the model is loaded or runs."""
        self._device = device
        self._loaded = base if isinstance(base, Backbone) else None
        self._adapter: tuple[AdapterShape, Arrays] | None = None

    @property
    def tuned(self) -> bool:
        """Whether the model has adapters."""
        return self._adapter is not None or (self._loaded is not None and self._loaded.shape is not None)

    def backbone(self) -> Backbone:
        """Returns the model, loaded and with its adapters.

        Raises:
            MissingDependency: a package of the extra ``sft`` or the model's weights are missing.
        """
        with self.lock:
            if self._loaded is None:
                self._loaded = Backbone.load(self.base, device=self._device)
            if self._adapter is not None:
                shape, arrays = self._adapter
                self._loaded.adapt(shape)
                self._loaded.set_adapters(arrays)
                self._adapter = None
            return self._loaded

    def state(self, prefix: str) -> tuple[dict[str, int] | None, Arrays]:
        """Returns the adapters' shape, None without any, and their arrays by prefixed names."""
        with self.lock:
            shape: AdapterShape | None = None
            arrays: Arrays = {}
            if self._adapter is not None:
                shape, arrays = self._adapter
            elif self._loaded is not None and self._loaded.shape is not None:
                shape, found = self._loaded.shape, self._loaded.adapters()
                arrays = {name: p.detach().cpu().numpy().copy() for name, p in found.items()}
            told = None if shape is None else asdict(shape)
            return told, {prefix + name: array for name, array in arrays.items()}

    def restore(
        self, shape: Mapping[str, int] | None, arrays: Mapping[str, NDArray[Any]], prefix: str
    ) -> None:
        """Takes back what `state` gave; arrays of other names are ignored."""
        if shape is not None:
            own = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
            self._adapter = AdapterShape(**shape), own


def write_adapted(folder: str | Path, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Writes ``config.json`` and ``adapter.safetensors`` into a folder; an older pair is replaced."""
    from safetensors.numpy import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: np.ascontiguousarray(a) for name, a in arrays.items()}, folder / ADAPTER)
    (folder / CONFIG).write_text(json.dumps({"format": FORMAT, **config}, indent=2) + "\n", "utf-8")
