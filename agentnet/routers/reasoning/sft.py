"""Supervised fine-tuning of a reasoning router: next-token loss on the reason and the ids; resumable.

TCAR, stage 1 (arXiv 2601.04544): L = - sum_t log p(y_t | y_<t, q, A) over the answer's tokens. The paper
trains all of Qwen3-4B (Adam, batch 256, 1 epoch, learning rate 2e-5, warm-up 0.1); LoRA on the last blocks
of a 135M model, its higher rate and the small batch are ours.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from agentnet.errors import InvalidInput, RouterLoadError
from agentnet.outcomes.encoders.threads import torch_threads
from agentnet.routers.gnn.checkpoint import Checkpoint
from agentnet.routers.intents.backbone import AdapterShape
from agentnet.routers.intents.finetune import Progress
from agentnet.routers.reasoning.data import Example
from agentnet.routers.reasoning.learner import Learner
from agentnet.routers.reasoning.local import LocalModel
from agentnet.routers.reasoning.packing import Answered, pack

Source = Callable[[int], Sequence[Example]]
"""Gives the examples of a group, which are computed together; takes its number from 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SftRecipe:
    """How to fine-tune.

    Attributes:
        shape: The adapters.
        learning_rate: Highest rate of AdamW; it rises over the first ``warmup`` steps and falls linearly to
            a tenth.
        steps: Steps in all.
        groups: Groups of examples a step.
        warmup: Share of the steps on which the rate rises; 0.1 in the paper.
        clip: Longest gradient.
        seed: Of the adapters' start.
        checkpoint_every: Steps between checkpoints.
    """

    shape: AdapterShape = field(default_factory=lambda: AdapterShape(blocks=20))
    learning_rate: float = 5e-4
    steps: int = 150
    groups: int = 4
    warmup: float = 0.1
    clip: float = 1.0
    seed: int = 0
    checkpoint_every: int = 25

    def __post_init__(self) -> None:
        if min(self.steps, self.groups, self.checkpoint_every) < 1 or self.learning_rate <= 0:
            raise InvalidInput("steps, groups, checkpoint_every and learning_rate must be above 0.")

    def rate(self, step: int) -> float:
        """Returns the learning rate of a step, counted from 0.

        >>> SftRecipe(steps=100, learning_rate=1.0).rate(9)
        1.0
        """
        rise = max(1, round(self.warmup * self.steps))
        if step < rise:
            return self.learning_rate * (step + 1) / rise
        return self.learning_rate * (1 - 0.9 * (step - rise) / max(1, self.steps - rise))


@dataclass(frozen=True, slots=True)
class SftRun:
    """What a call of `sft` reached: steps in all, whether these are all, the losses of every step so far."""

    step: int
    done: bool
    losses: tuple[float, ...]


def sequence_of(model: LocalModel, example: Example) -> Answered:
    """Returns the tokens of an example's prompt and of its answer with the end of turn."""
    tokenizer = model.backbone().tokenizer
    prompt = model.encode(example.prompt(compact=model.compact).messages)
    answer: list[int] = tokenizer(example.answer, add_special_tokens=False)["input_ids"]
    return prompt, [*answer, tokenizer.eos_token_id]


def sft(
    model: LocalModel,
    source: Source,
    folder: str | Path | None = None,
    *,
    recipe: SftRecipe | None = None,
    seconds: float = 900,
    progress: Callable[[Progress], None] | None = None,
) -> SftRun:
    """Fine-tunes a model in place; goes on where a checkpoint of the same run stands.

    The loss is the mean over the answers' tokens of a step. On one kind of machine with the same number of
    threads, a run that was interrupted ends with the same bits as one that was not.

    Args:
        model: Gets adapters, where it has none.
        source: Examples; the same for the same number, always.
        folder: Of the checkpoint; None has none.
        recipe: How; None is the default recipe.
        seconds: After these it saves and stops early.
        progress: Called after every step.

    Raises:
        RouterError: the folder holds a checkpoint of another run.
        RouterLoadError: the checkpoint is corrupt.
    """
    recipe = recipe or SftRecipe()
    start, losses = time.monotonic(), list[float]()
    learner = Learner(model.backbone(), recipe.shape, seed=recipe.seed, clip=recipe.clip)
    run = {"stage": "sft", "base": model.base, "recipe": asdict(recipe), "data": fingerprint(source)}
    checkpoint = None if folder is None else Checkpoint(Path(folder), run)
    if checkpoint is not None and (found := checkpoint.read()) is not None:
        losses = [float(loss) for loss in found[0]["losses"]]
        restore(learner, found[1], folder)
    with torch_threads(model.threads):
        while len(losses) < recipe.steps and time.monotonic() - start < seconds:
            step = len(losses)
            numbers = range(step * recipe.groups, (step + 1) * recipe.groups)
            groups = [[sequence_of(model, example) for example in source(number)] for number in numbers]
            packed = pack(groups, learner.backbone.device)
            loss = -learner.log_probabilities(packed).mean()
            learner.follow(loss, recipe.rate(step))
            losses.append(float(loss.detach()))
            if checkpoint is not None and len(losses) % recipe.checkpoint_every == 0:
                checkpoint.write(len(losses), {"losses": losses}, learner.tensors())
            if progress is not None:
                progress(Progress(len(losses), recipe.steps, losses[-1], time.monotonic() - start))
    if checkpoint is not None and losses:
        checkpoint.write(len(losses), {"losses": losses}, learner.tensors())
    return SftRun(len(losses), len(losses) >= recipe.steps, tuple(losses))


def fingerprint(source: Source) -> str:
    """Returns a hash of a source's first examples: another seed, shape or pack gives another."""
    told = [
        (example.query, [agent.name for agent in example.agents], example.gold, example.reason)
        for number in range(4)
        for example in source(number)
    ]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def restore(learner: Learner, tensors: dict[str, Any], folder: str | Path | None) -> None:
    """Puts a checkpoint's tensors into a learner.

    Raises:
        RouterLoadError: tensors are missing or do not fit.
    """
    try:
        learner.restore(tensors)
    except (KeyError, RuntimeError) as error:
        raise RouterLoadError(f"the checkpoint in {folder} does not fit the model: {error}") from error
