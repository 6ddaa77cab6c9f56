"""`Checkpoint`: an interrupted training on disk, as safetensors and JSON."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentnet.errors import RouterError, RouterLoadError

if TYPE_CHECKING:
    import torch

_CONFIG = "checkpoint.json"


def folder_of(label: str) -> str:
    """Returns a folder's name for the training of this label.

    >>> folder_of("seed 2 of 5")
    'seed-2-of-5'
    """
    return re.sub(r"[^\w.-]+", "-", label).strip(".-") or "training"


class Checkpoint:
    """A folder with one JSON file, which names the file of tensors that belongs to it.

    Args:
        folder: Made when it is first written to.
        run: What the training is of, as JSON values; a checkpoint of anything else is refused.
    """

    def __init__(self, folder: Path, run: Mapping[str, Any]) -> None:
        self._folder = folder
        self._run = json.loads(json.dumps(run))

    def read(self) -> tuple[dict[str, Any], dict[str, torch.Tensor]] | None:
        """Returns the state as JSON values and tensors; None where there is no checkpoint yet.

        Raises:
            RouterError: it is of another training.
            RouterLoadError: it is corrupt.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load

        file = self._folder / _CONFIG
        if not file.exists():
            return None
        try:
            config = json.loads(file.read_text("utf-8"))
            if config["run"] != self._run:
                raise RouterError(
                    f"{self._folder} holds a checkpoint of another training (other data, settings or seed); "
                    f"choose another folder."
                )
            return dict(config["state"]), load((self._folder / config["tensors"]).read_bytes())
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise RouterLoadError(
                f"the checkpoint in {self._folder} is corrupt ({error}); remove the folder to start afresh."
            ) from error

    def write(self, step: int, state: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> None:
        """Writes the tensors, then the JSON file that names them: a crash between leaves the older pair.

        Args:
            step: Number for the name of the tensors' file; grows from call to call.
            state: JSON values.
            tensors: Copied to the CPU.

        Raises:
            RouterError: the folder cannot be written.
        """
        from safetensors.torch import save

        # Clones: safetensors refuses tensors that share memory, as tied weights do.
        plain = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
        name = f"step-{step:06}.safetensors"
        config = {"state": dict(state), "tensors": name, "run": self._run}
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            _write(self._folder / name, save(plain))
            _write(self._folder / _CONFIG, (json.dumps(config, indent=1) + "\n").encode())
            for old in self._folder.glob("step-*.safetensors"):
                if old.name != name:
                    old.unlink()
        except OSError as error:
            raise RouterError(f"cannot write a checkpoint to {self._folder}: {error.strerror}.") from None


def _write(path: Path, data: bytes) -> None:
    fresh = path.with_name(f"{path.name}.new")
    with fresh.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, path)
