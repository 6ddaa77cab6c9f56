"""Supervised fine-tuning of a small language model to name the type of a task: LoRA, resumable.

Only the last blocks learn. The blocks below never change, so each text goes through them once and their
output is kept (4 bytes x hidden size x tokens a text); the loss is on the label's token alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agentnet.errors import InvalidInput, RouterError, RouterLoadError
from agentnet.outcomes.encoders.threads import torch_threads
from agentnet.routers.intents.backbone import EMBEDDED, AdapterShape, Backbone, by_length
from agentnet.routers.intents.base import FLOOR
from agentnet.routers.intents.language_model import MAX_TOKENS, LanguageModelTypes, default_prompt

if TYPE_CHECKING:
    import torch

_CHUNK = 16
_STATE = ("exp_avg", "exp_avg_sq")
_CONFIG = "config.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How to fine-tune. AMRO-S's own recipe is not known.

    Attributes:
        shape: The adapters; rank 16 and alpha 32 are [default, not in paper], six blocks are ours.
        learning_rate: Highest rate of AdamW; 2e-4 is the [default, not in paper]. It rises over the first
            ``warmup`` steps and falls linearly to a tenth.
        steps: Steps in all.
        batch: Texts a step.
        warmup: Share of the steps on which the rate rises.
        clip: Longest gradient.
        seed: Of the adapters' start and the order of the texts.
        checkpoint_every: Steps between checkpoints.
    """

    shape: AdapterShape = field(default_factory=AdapterShape)
    learning_rate: float = 2e-4
    steps: int = 300
    batch: int = 16
    warmup: float = 0.05
    clip: float = 1.0
    seed: int = 0
    checkpoint_every: int = 25

    def __post_init__(self) -> None:
        if min(self.steps, self.batch, self.checkpoint_every) < 1 or self.learning_rate <= 0:
            raise InvalidInput(
                "steps, batch, checkpoint_every and learning_rate of a recipe must be above 0."
            )

    def rate(self, step: int) -> float:
        """Returns the learning rate of a step, counted from 0.

        >>> Recipe(steps=100, warmup=0.1, learning_rate=1.0).rate(9)
        1.0
        """
        rise = max(1, round(self.warmup * self.steps))
        if step < rise:
            return self.learning_rate * (step + 1) / rise
        return self.learning_rate * (1 - 0.9 * (step - rise) / max(1, self.steps - rise))


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the training is: steps done, steps in all, the batch's loss, seconds of this call."""

    step: int
    steps: int
    loss: float
    seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class Tuned:
    """What a call of `finetune` reached.

    Attributes:
        types: The task types, with the adapters as they are now.
        step: Steps done in all.
        done: Whether these are all; else call again with the same folder to go on.
        losses: Mean loss of each step of this call.
    """

    types: LanguageModelTypes
    step: int
    done: bool
    losses: tuple[float, ...]


def finetune(
    texts: Sequence[str],
    labels: Sequence[str],
    folder: str | Path,
    *,
    types: Sequence[str] | None = None,
    base: str | Backbone = EMBEDDED,
    recipe: Recipe | None = None,
    seconds: float = 1800,
    max_tokens: int = MAX_TOKENS,
    floor: float = FLOOR,
    device: str = "auto",
    threads: int | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Tuned:
    """Fine-tunes a language model on labelled texts; goes on where a checkpoint of the same run stands.

    On one kind of machine with the same number of threads, a run that was interrupted ends with the same
    bits as one that was not.

    Args:
        texts: [n] queries.
        labels: [n] type of each.
        folder: Keeps the checkpoint: adapters and optimiser (safetensors), step and recipe (JSON).
        types: Order of the types; None sorts the labels.
        base: See `Backbone.load`; a loaded one is changed in place.
        recipe: How; None is the default recipe.
        seconds: After these it saves and stops early.
        max_tokens: Tokens of a text that are read.
        floor: Least weight of a type.
        device: A torch device; ``auto`` is CUDA where there is one.
        threads: torch threads; None leaves the process's setting alone.
        progress: Called after every step.

    Raises:
        InvalidInput: no texts, not a label each, or a label that is not among the types.
        MissingDependency: a package of the extra ``sft`` or the model's weights are missing.
        RouterError: the folder holds a checkpoint of another run.
    """
    recipe = recipe or Recipe()
    names = tuple(sorted(set(labels))) if types is None else tuple(types)
    if not texts or len(texts) != len(labels) or not set(labels) <= set(names):
        raise InvalidInput(
            f"{len(texts)} texts, {len(labels)} labels: give each text one of {', '.join(names)}."
        )
    backbone = base if isinstance(base, Backbone) else Backbone.load(base, device=device)
    made = LanguageModelTypes(
        names, backbone, max_tokens=max_tokens, floor=floor, device=device, threads=threads
    )
    run = {
        "base": backbone.name,
        "recipe": asdict(recipe),
        "types": list(names),
        "prompt": made.prompt,
        "max_tokens": max_tokens,
        "data": hashlib.sha256(json.dumps([list(texts), list(labels)]).encode()).hexdigest(),
    }
    checkpoint = _Checkpoint(Path(folder), run)
    backbone.adapt(recipe.shape, seed=recipe.seed)
    ids = backbone.prompts(texts, default_prompt(names), max_tokens)
    tokens = backbone.label_tokens(names)
    with torch_threads(threads):
        loop = _Loop(backbone, recipe, ids, [tokens[names.index(label)] for label in labels])
        loop.step = checkpoint.read(loop)
        losses = loop.run(checkpoint, time.monotonic(), seconds, progress)
    return Tuned(made, loop.step, loop.step >= recipe.steps, tuple(losses))


class _Loop:
    """The training loop and all that changes in it."""

    def __init__(self, backbone: Backbone, recipe: Recipe, ids: list[list[int]], targets: list[int]) -> None:
        import torch

        self.backbone, self.recipe, self.ids = backbone, recipe, ids
        self.targets = torch.tensor(targets, device=backbone.device)
        self.parameters = backbone.adapters()
        self.optimiser = torch.optim.AdamW(self.parameters.values(), lr=recipe.learning_rate, weight_decay=0)
        self.lower, self.upper = backbone.halves(recipe.shape.blocks)
        # A text is always computed beside the same others: floats depend on a batch's shape.
        chunks = by_length([len(row) for row in ids], _CHUNK)
        self.chunk_of = {row: chunk for chunk in chunks for row in chunk}
        self.hidden: dict[int, torch.Tensor] = {}
        self.step = 0

    def run(
        self,
        checkpoint: _Checkpoint,
        start: float,
        seconds: float,
        progress: Callable[[Progress], None] | None,
    ) -> list[float]:
        """Trains until the end or until the time is up; returns the losses."""
        losses = []
        while self.step < self.recipe.steps and time.monotonic() - start < seconds:
            losses.append(self.learn(self.rows(self.step)))
            self.step += 1
            if self.step % self.recipe.checkpoint_every == 0 and self.step < self.recipe.steps:
                checkpoint.write(self)
            if progress is not None:
                progress(Progress(self.step, self.recipe.steps, losses[-1], time.monotonic() - start))
        if losses:
            checkpoint.write(self)
        return losses

    def rows(self, step: int) -> list[int]:
        """Texts of a step: every epoch has an order of its own, and batches run on over its end."""
        n, found = len(self.ids), []
        for place in range(step * self.recipe.batch, (step + 1) * self.recipe.batch):
            order = np.random.default_rng([self.recipe.seed, place // n]).permutation(n)
            found.append(int(order[place % n]))
        return found

    def learn(self, rows: list[int]) -> float:
        """One step of AdamW on these texts."""
        import torch

        lengths = [len(self.ids[row]) for row in rows]
        states = torch.nn.utils.rnn.pad_sequence([self.below(row) for row in rows], batch_first=True)
        last = self.backbone.last_hidden(self.upper, states, lengths)
        loss = torch.nn.functional.cross_entropy(self.backbone.logits(last), self.targets[rows])
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.rate(self.step)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.parameters.values(), self.recipe.clip)
        self.optimiser.step()
        return float(loss.detach())

    def below(self, row: int) -> torch.Tensor:
        """[t, d] output of the blocks that do not learn, computed once a text."""
        import torch

        if row not in self.hidden:
            chunk = self.chunk_of[row]
            with torch.no_grad():
                padded = self.backbone.padded([self.ids[other] for other in chunk])
                states = self.lower(input_ids=padded, use_cache=False).last_hidden_state
            for other, state in zip(chunk, states, strict=True):
                self.hidden[other] = state[: len(self.ids[other])].clone()
        return self.hidden[row]


class _Checkpoint:
    """A folder with one JSON file, which names the file of tensors that belongs to it."""

    def __init__(self, folder: Path, run: dict[str, Any]) -> None:
        self.folder, self.run = folder, run

    def read(self, loop: _Loop) -> int:
        """Puts the checkpoint's adapters and optimiser into the loop; returns its step, 0 without one."""
        import torch
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        file = self.folder / _CONFIG
        if not file.exists():
            return 0
        try:
            config = json.loads(file.read_text("utf-8"))
            if config["run"] != json.loads(json.dumps(self.run)):
                raise RouterError(
                    f"{self.folder} holds a checkpoint of another base model, recipe or data; "
                    f"choose another folder."
                )
            tensors = load_file(self.folder / config["tensors"])
            step = int(config["step"])
            for name, parameter in loop.parameters.items():
                with torch.no_grad():
                    parameter.copy_(tensors[f"adapter.{name}"])
                kept = {key: tensors[f"{key}.{name}"].to(parameter.device) for key in _STATE}
                loop.optimiser.state[parameter] = {"step": torch.tensor(float(step)), **kept}
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise RouterLoadError(f"the checkpoint in {self.folder} is corrupt: {error}") from error
        return step

    def write(self, loop: _Loop) -> None:
        """Writes the tensors, then the JSON file that names them; a crash between leaves the older pair."""
        from safetensors.torch import save_file

        self.folder.mkdir(parents=True, exist_ok=True)
        tensors = {}
        for name, parameter in loop.parameters.items():
            tensors[f"adapter.{name}"] = parameter.detach().cpu().contiguous()
            for key in _STATE:
                tensors[f"{key}.{name}"] = loop.optimiser.state[parameter][key].cpu().contiguous()
        name = f"step-{loop.step:06}.safetensors"
        save_file(tensors, self.folder / name)
        fresh = self.folder / f"{_CONFIG}.new"
        config = {"step": loop.step, "tensors": name, "run": self.run}
        fresh.write_text(json.dumps(config, indent=2) + "\n", "utf-8")
        os.replace(fresh, self.folder / _CONFIG)
        for old in self.folder.glob("step-*.safetensors"):
            if old.name != name:
                old.unlink()
