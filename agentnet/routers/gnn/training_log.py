"""`TrainingLog`: a training's curves as ``metrics.jsonl`` and as TensorBoard's event files."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

from agentnet.errors import RouterError
from agentnet.routers.gnn.checkpoint import folder_of

METRICS = "metrics.jsonl"


class TrainingLog:
    """Writes one line an epoch; a context manager.

    Lines of this label from ``start`` on are dropped first: a resumed training writes them again.

    Args:
        folder: None writes nothing.
        label: Of the training; event files get a subfolder of this name.
        start: First epoch that will be written.

    Raises:
        RouterError: the folder cannot be written.
    """

    def __init__(self, folder: Path | None, label: str, start: int) -> None:
        self._file: Any = None
        self._writer: Any = None
        self._label = label
        if folder is None:
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _drop(folder / METRICS, label, start)
            self._file = (folder / METRICS).open("a", encoding="utf-8")
        except OSError as error:
            raise RouterError(f"cannot write the training's log to {folder}: {error.strerror}.") from None
        if find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            where = str(folder / folder_of(label))
            self._writer = SummaryWriter(where, purge_step=start)

    def write(self, epoch: int, values: dict[str, float]) -> None:
        """Writes an epoch's values, by name."""
        if self._file is not None:
            self._file.write(json.dumps({"label": self._label, "epoch": epoch, **values}) + "\n")
            self._file.flush()
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, epoch)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
        if self._writer is not None:
            self._writer.close()


def _drop(file: Path, label: str, start: int) -> None:
    if not file.exists():
        return
    kept = []
    for line in file.read_text("utf-8").splitlines():
        try:
            row = json.loads(line)
        except ValueError:  # cut short when the process was killed
            continue
        if row.get("label") != label or row.get("epoch", 0) < start:
            kept.append(line + "\n")
    file.write_text("".join(kept), "utf-8")
