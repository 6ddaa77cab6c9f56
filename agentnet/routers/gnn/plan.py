"""Value objects of a training: `TrainingOptions`, `Plan` and `History`; torch is not needed for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agentnet.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """What a training tells and keeps while it runs; nothing of it changes the result.

    Attributes:
        progress: Called after every epoch with (label, done, total).
        log_dir: Folder for ``metrics.jsonl`` and, where the package ``tensorboard`` is installed, for its
            event files; None logs nothing.
        checkpoint: Folder from which an interrupted training goes on, and to which it is written; None
            keeps nothing. Each training has a folder of its own in it, named after its label.
        checkpoint_seconds: Least time between two checkpoints; 0 writes one after every epoch.
    """

    progress: Callable[[str, int, int], None] | None = None
    log_dir: Path | None = None
    checkpoint: Path | None = None
    checkpoint_seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how fast a network learns.

    Attributes:
        epochs: Most epochs.
        patience: Validations without a new best after which it stops; None never stops early.
        lr: Learning rate of AdamW at the start.
        weight_decay: Of AdamW.
        schedule: ``constant``, or ``linear``: falling to 0 over ``epochs``, an epoch at a time.
        clip: Largest norm of the gradient; None does not clip.
        validate_every: Epochs between validations; the last epoch is always validated.
        threads: Of torch, while it trains; None leaves them alone. With a number, the result on a CPU does
            not depend on the process's setting.

    Raises:
        InvalidInput: a value is out of its range.

    >>> Plan(epochs=4, patience=None, lr=0.1, schedule="linear").rate(3)
    0.025
    """

    epochs: int
    patience: int | None
    lr: float
    weight_decay: float = 0.0
    schedule: Literal["constant", "linear"] = "constant"
    clip: float | None = None
    validate_every: int = 1
    threads: int | None = 1

    def __post_init__(self) -> None:
        least = {"epochs": self.epochs, "patience": self.patience, "validate_every": self.validate_every}
        for name, value in least.items():
            if value is not None and value < 1:
                raise InvalidInput(f"{name} of a training plan is at least 1; got {value!r}.")
        if not self.lr > 0 or not self.weight_decay >= 0 or (self.clip is not None and not self.clip > 0):
            raise InvalidInput("a training plan's lr and clip are above 0, and its weight_decay at least 0.")
        if self.schedule not in ("constant", "linear"):
            raise InvalidInput(f"schedule is constant or linear; got {self.schedule!r}.")

    def rate(self, epoch: int) -> float:
        """Returns the learning rate of an epoch, counted from 0."""
        return self.lr if self.schedule == "constant" else self.lr * (1 - epoch / self.epochs)

    def validates(self, epoch: int) -> bool:
        """Returns whether an epoch, counted from 0, is followed by a validation."""
        return (epoch + 1) % self.validate_every == 0 or epoch + 1 == self.epochs


@dataclass(frozen=True, slots=True)
class History:
    """What a training did.

    Attributes:
        losses: Mean loss of every epoch.
        values: (epoch, value) of every validation, epochs counted from 0.
        best: The epoch whose weights were kept; the last one without validation.
    """

    losses: tuple[float, ...] = ()
    values: tuple[tuple[int, float], ...] = ()
    best: int = 0

    @property
    def epochs(self) -> int:
        """Epochs trained."""
        return len(self.losses)

    @property
    def value(self) -> float | None:
        """The validation's value of the weights kept; None without validation."""
        return dict(self.values).get(self.best)
