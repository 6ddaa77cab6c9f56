"""`train`: the one training loop of the graph routers; deterministic, resumable, with early stopping."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from agentnet.errors import RouterError, RouterLoadError
from agentnet.outcomes.encoders.threads import torch_threads
from agentnet.routers.gnn.checkpoint import Checkpoint, folder_of
from agentnet.routers.gnn.plan import History, Plan, TrainingOptions
from agentnet.routers.gnn.training_log import TrainingLog

__all__ = [
    "History",
    "Plan",
    "TrainingOptions",
    "arrays_of",
    "load_arrays",
    "pick_device",
    "seeded",
    "train",
]

Epoch = Callable[[int, torch.Generator], Iterator[torch.Tensor]]
"""Gives an epoch's losses, one at a time; takes the epoch from 0, and a source of randomness on the CPU."""
_HOLDS_NOTHING = -math.inf


def pick_device(device: str) -> str:
    """Returns the torch device that ``auto`` stands for, or the given one.

    >>> pick_device("cpu")
    'cpu'
    """
    return device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"


@contextmanager
def seeded(seed: int, device: str = "cpu") -> Iterator[None]:
    """Seeds torch's global generators inside the block and puts them back; for making a module.

    >>> with seeded(0):
    ...     first = torch.rand(1)
    >>> with seeded(0):
    ...     bool(torch.rand(1) == first)
    True
    """
    cuda = torch.device(device).type == "cuda"
    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if cuda else []):
        torch.default_generator.manual_seed(seed)
        if cuda:
            torch.cuda.manual_seed(seed)
        yield


def arrays_of(module: torch.nn.Module) -> dict[str, NDArray[Any]]:
    """Returns a module's weights and buffers as arrays by name, for a router's folder."""
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in module.state_dict().items()}


def load_arrays(module: torch.nn.Module, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Overwrites a module's weights and buffers; the inverse of `arrays_of`.

    Raises:
        RouterLoadError: names or shapes are of another module.
    """
    own = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    if own != {name: tuple(array.shape) for name, array in arrays.items()}:
        raise RouterLoadError("the saved weights do not fit the network; train the router again.")
    module.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in arrays.items()})


def train(
    module: torch.nn.Module,
    *,
    epoch: Epoch,
    validate: Callable[[], float] | None,
    plan: Plan,
    seed: int,
    device: str,
    options: TrainingOptions | None,
    label: str,
    identity: str = "",
) -> History:
    """Trains a module with AdamW, one step per loss, and leaves the best weights in it.

    The weights with the highest value of ``validate`` are kept, the first ones where several are equal;
    without ``validate`` the last ones. On a CPU the result is a function of the arguments: interrupted and
    resumed from its checkpoint it is the same to the bit. torch's global generators are left as they were.

    Args:
        module: Moved to ``device``, where it stays, in evaluation mode.
        epoch: Gives the losses of an epoch; the module is in training mode.
        validate: Returns a value to be high; the module is in evaluation mode and no gradient is kept.
        plan: Length and learning rate.
        seed: Of the generator given to ``epoch``, and of dropout.
        device: ``auto``, ``cpu`` or ``cuda``.
        options: Progress, log and checkpoint; None has none of them.
        label: Names this training in progress, log and checkpoint.
        identity: What a checkpoint must also agree in, such as the data's fingerprint; the plan, the seed
            and the starting weights are compared anyway.

    Raises:
        RouterError: a loss is not finite, or there is a checkpoint of another training.
        RouterLoadError: the checkpoint is corrupt.

    >>> with seeded(0):
    ...     line = torch.nn.Linear(1, 1)
    >>> x = torch.linspace(-1, 1, 16)[:, None]
    >>> def epoch(number, generator):
    ...     yield ((line(x) - 3 * x) ** 2).mean()
    >>> done = train(line, epoch=epoch, validate=None, plan=Plan(epochs=200, patience=None, lr=0.1), seed=0,
    ...              device="cpu", options=None, label="line")
    >>> done.epochs, round(line.weight.item(), 1)
    (200, 3.0)
    """
    options = options or TrainingOptions()
    place = pick_device(device)
    run = {"plan": asdict(plan), "seed": seed, "label": label, "identity": identity, "start": _digest(module)}
    checkpoint = None
    if options.checkpoint is not None:
        checkpoint = Checkpoint(options.checkpoint / folder_of(label), run)
    with torch_threads(plan.threads), seeded(seed, place):
        loop = _Loop(module.to(place), plan, seed, place)
        loop.resume(checkpoint)
        with TrainingLog(options.log_dir, label, len(loop.losses)) as log:
            loop.run(epoch, validate, options, label, checkpoint, log)
        module.load_state_dict(loop.kept)
        module.eval()
    return History(tuple(loop.losses), tuple(loop.values), loop.best)


class _Loop:
    """The training loop and all that changes in it."""

    def __init__(self, module: torch.nn.Module, plan: Plan, seed: int, device: str) -> None:
        self.module, self.plan, self.cuda = module, plan, torch.device(device).type == "cuda"
        self.generator = torch.Generator().manual_seed(seed)
        parameters = [p for p in module.parameters() if p.requires_grad]
        self.optimiser = torch.optim.AdamW(parameters, lr=plan.lr, weight_decay=plan.weight_decay)
        self.kept = _copy(module)
        self.losses: list[float] = []
        self.values: list[tuple[int, float]] = []
        self.best = 0
        self.over = False

    def run(
        self,
        epoch: Epoch,
        validate: Callable[[], float] | None,
        options: TrainingOptions,
        label: str,
        checkpoint: Checkpoint | None,
        log: TrainingLog,
    ) -> None:
        """Trains until the end."""
        written = time.monotonic()
        while not self.over:
            number = len(self.losses)
            told = {"loss": self.learn(epoch, label), "lr": self.plan.rate(number)}
            if validate is None:
                self.best, self.over = number, number + 1 == self.plan.epochs
            elif self.plan.validates(number):
                told["value"] = self.judge(validate)
            log.write(number, told)
            if checkpoint and (self.over or time.monotonic() - written >= options.checkpoint_seconds):
                self.write(checkpoint)
                written = time.monotonic()
            if options.progress is not None:
                options.progress(label, self.plan.epochs if self.over else number + 1, self.plan.epochs)
        if validate is None:
            self.kept = _copy(self.module)

    def learn(self, epoch: Epoch, label: str) -> float:
        """One epoch; returns its mean loss."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.plan.rate(len(self.losses))
        self.module.train()
        found = []
        for loss in epoch(len(self.losses), self.generator):
            found.append(float(loss.detach()))
            if not math.isfinite(found[-1]):
                raise RouterError(f"the training {label!r} diverged (loss {found[-1]}); lower its lr.")
            self.optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            if self.plan.clip is not None:
                torch.nn.utils.clip_grad_norm_(self.module.parameters(), self.plan.clip)
            self.optimiser.step()
        self.losses.append(sum(found) / len(found) if found else 0.0)
        return self.losses[-1]

    def judge(self, validate: Callable[[], float]) -> float:
        """Validates, keeps the weights if they are the best so far, and stops where patience is out."""
        number = len(self.losses) - 1
        self.module.eval()
        with torch.no_grad():
            value = float(validate())
        if math.isnan(value):
            raise RouterError("a training's validation gave NaN; its data hold no score to judge by.")
        before = max((value for _, value in self.values), default=_HOLDS_NOTHING)
        self.values.append((number, value))
        if value > before or len(self.values) == 1:
            self.kept, self.best = _copy(self.module), number
        since = sum(1 for at, _ in self.values if at > self.best)
        patient = self.plan.patience is None or since < self.plan.patience
        self.over = not patient or number + 1 == self.plan.epochs
        return value

    # -- checkpoints -----------------------------------------------------------------------------
    def resume(self, checkpoint: Checkpoint | None) -> None:
        """Goes back to where the checkpoint was written; does nothing where there is none."""
        found = checkpoint.read() if checkpoint is not None else None
        if found is None:
            return
        state, tensors = found
        try:
            self.module.load_state_dict(_part(tensors, "now."))
            self.kept = {name: tensor.clone() for name, tensor in _part(tensors, "kept.").items()}
            self.generator.set_state(tensors["generator"])
            torch.set_rng_state(tensors["global"])
            if self.cuda:
                torch.cuda.set_rng_state(tensors["cuda"])
            plain = self.optimiser.state_dict()
            for name, tensor in _part(tensors, "optimiser.").items():
                index, _, key = name.partition(".")
                plain["state"].setdefault(int(index), {})[key] = tensor
            self.optimiser.load_state_dict(plain)
            self.losses = [float(loss) for loss in state["losses"]]
            self.values = [(int(at), float(value)) for at, value in state["values"]]
            self.best, self.over = int(state["best"]), bool(state["over"])
        except (KeyError, ValueError, RuntimeError) as error:
            raise RouterLoadError(f"the checkpoint does not fit the network: {error}") from error

    def write(self, checkpoint: Checkpoint) -> None:
        """Writes all that `resume` reads."""
        tensors = {f"now.{name}": tensor for name, tensor in self.module.state_dict().items()}
        kept = self.kept if self.values else self.module.state_dict()
        tensors |= {f"kept.{name}": tensor for name, tensor in kept.items()}
        for index, values in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{key}": torch.as_tensor(value) for key, value in values.items()}
        tensors |= {"generator": self.generator.get_state(), "global": torch.get_rng_state()}
        if self.cuda:
            tensors["cuda"] = torch.cuda.get_rng_state()
        state = {"losses": self.losses, "values": self.values, "best": self.best, "over": self.over}
        checkpoint.write(len(self.losses), state, tensors)


def _copy(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def _part(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def _digest(module: torch.nn.Module) -> str:
    """12 hexadecimal digits of a module's weights, names and shapes."""
    digest = hashlib.sha256()
    for name, array in arrays_of(module).items():
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:12]
