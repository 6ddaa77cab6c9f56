"""DAPO for a reasoning router: reward on the chosen set, groups of rollouts, token-level clipped objective.

TCAR, stage 2 (arXiv 2601.04544); DAPO is Yu et al., arXiv 2503.14476. For the G answers o_i to a prompt with
rewards r_i::

    A_i = (r_i - mean r) / std r        rho_it = pi(o_it | ...) / pi_old(o_it | ...)
    J   = 1 / (sum_i |o_i|) sum_i sum_t min(rho_it A_i, clip(rho_it, 1 - low, 1 + high) A_i)

Groups whose answers are all right or all wrong are left out (dynamic sampling), and before training so are
the prompts on which the model's answers agree already.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import InvalidInput
from agentnet.outcomes.encoders.threads import torch_threads
from agentnet.routers.gnn.checkpoint import Checkpoint
from agentnet.routers.reasoning.data import Example
from agentnet.routers.reasoning.learner import Learner
from agentnet.routers.reasoning.local import LocalModel
from agentnet.routers.reasoning.packing import pack
from agentnet.routers.reasoning.rollouts import DapoRecipe, Group, draw_seed, roll_out
from agentnet.routers.reasoning.sft import fingerprint, restore

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class DapoStep:
    """What a step saw: groups rolled out and learned from, mean reward and exact share of all rollouts."""

    step: int
    rolled: int
    kept: int
    reward: float
    exact: float
    loss: float | None
    seconds: float


@dataclass(frozen=True, slots=True)
class DapoRun:
    """What a call of `dapo` reached: steps in all, whether these are all, and each step so far."""

    step: int
    done: bool
    history: tuple[DapoStep, ...]


def advantages(rewards: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns (r - mean) / std over the last axis; 0 where all are equal.

    >>> advantages(np.array([[1.0, 0.0, 1.0, 0.0], [1.0, 1.0, 1.0, 1.0]])).tolist()
    [[1.0, -1.0, 1.0, -1.0], [0.0, 0.0, 0.0, 0.0]]
    """
    spread = rewards.std(-1, keepdims=True)
    centred = rewards - rewards.mean(-1, keepdims=True)
    # Equal rewards may differ from their mean in the last bit.
    return np.where(spread > 1e-9, centred / np.maximum(spread, 1e-9), 0.0)


def dapo_loss(
    logs: torch.Tensor, old: torch.Tensor, advantage: torch.Tensor, *, low: float = 0.2, high: float = 0.28
) -> torch.Tensor:
    """Returns -J over the m tokens of all groups: each token weighs the same, however long its answer.

    Args:
        logs: [m] log-probability of each token under the model.
        old: [m] the same under the model that wrote it.
        advantage: [m] of the token's answer.
        low: Clip below 1 - low.
        high: Clip above 1 + high.
    """
    import torch

    ratio = (logs - old).exp()
    clipped = ratio.clamp(1 - low, 1 + high)
    return -torch.minimum(ratio * advantage, clipped * advantage).mean()


def dapo(
    model: LocalModel,
    examples: Sequence[Example],
    folder: str | Path | None = None,
    *,
    recipe: DapoRecipe | None = None,
    seconds: float = 1500,
    progress: Callable[[DapoStep], None] | None = None,
) -> DapoRun:
    """Trains a model in place on its own rollouts; goes on where a checkpoint of the same run stands.

    There is no KL term [default, not in paper]. On one kind of machine with the same number of threads, a
    run that was interrupted ends with the same bits as one that was not.

    Args:
        model: As SFT left it.
        examples: Prompts with their right agents; their reasons are not read.
        folder: Of the checkpoint; None has none.
        recipe: How; None is the default recipe.
        seconds: After these it saves and stops early.
        progress: Called after every step.

    Raises:
        InvalidInput: there are no examples.
        RouterError: the folder holds a checkpoint of another run.
        RouterLoadError: the checkpoint is corrupt.
    """
    if not examples:
        raise InvalidInput("there are no prompts to train on.")
    recipe, start = recipe or DapoRecipe(), time.monotonic()
    learner = Learner(model.backbone(), recipe.shape, seed=recipe.seed, clip=recipe.clip)
    run = {
        "stage": "dapo",
        "base": model.base,
        "recipe": asdict(recipe),
        "data": fingerprint(lambda number: examples[number : number + 1]),
        "prompts": len(examples),
    }
    checkpoint = None if folder is None else Checkpoint(Path(folder), run)
    history: list[DapoStep] = []
    cursor = 0
    if checkpoint is not None and (found := checkpoint.read()) is not None:
        history = [DapoStep(**step) for step in found[0]["history"]]
        cursor = int(found[0]["cursor"])
        restore(learner, found[1], folder)

    def write() -> None:
        if checkpoint is not None and history:
            told = {"history": [asdict(step) for step in history], "cursor": cursor}
            checkpoint.write(len(history), told, learner.tensors())

    with torch_threads(model.threads):
        while len(history) < recipe.steps and time.monotonic() - start < seconds:
            groups, cursor = _sample(model, examples, recipe, cursor)
            kept = [group for group in groups if group.informative][: recipe.prompts]
            rate = recipe.learning_rate * min(1.0, (len(history) + 1) / max(1, recipe.warmup))
            history.append(
                DapoStep(
                    step=len(history) + 1,
                    rolled=len(groups),
                    kept=len(kept),
                    reward=float(np.mean([group.rewards for group in groups])),
                    exact=float(np.mean([group.right / recipe.rollouts for group in groups])),
                    loss=_learn(learner, kept, recipe, rate) if kept else None,
                    seconds=round(time.monotonic() - start, 2),
                )
            )
            if len(history) % recipe.checkpoint_every == 0:
                write()
            if progress is not None:
                progress(history[-1])
    write()
    return DapoRun(len(history), len(history) >= recipe.steps, tuple(history))


def _sample(
    model: LocalModel, examples: Sequence[Example], recipe: DapoRecipe, cursor: int
) -> tuple[list[Group], int]:
    """Rolls out until enough groups are informative; returns all groups, and the next place."""
    groups: list[Group] = []
    for _ in range(recipe.tries):
        numbers = []
        for place in range(cursor, cursor + recipe.prompts):
            order = np.random.default_rng([recipe.seed, place // len(examples)]).permutation(len(examples))
            numbers.append(int(order[place % len(examples)]))
        chunk = [examples[number] for number in numbers]
        groups += roll_out(model, chunk, recipe, seed=draw_seed(recipe.seed, 2, cursor))
        cursor += recipe.prompts
        if sum(group.informative for group in groups) >= recipe.prompts:
            break
    return groups, cursor


def _learn(learner: Learner, groups: Sequence[Group], recipe: DapoRecipe, rate: float) -> float:
    """The passes over some groups; returns the first loss."""
    import torch

    device = learner.backbone.device
    packed = pack([[(group.prompt, one.tokens) for one in group.written] for group in groups], device)
    each = advantages(np.array([group.rewards for group in groups], dtype=np.float64)).ravel()
    advantage = torch.tensor(each, dtype=torch.float32, device=device)[packed.sequence]
    old, losses = None, []
    for _ in range(recipe.passes):
        logs = learner.log_probabilities(packed)
        if old is None:
            old = logs.detach()  # the weights are still those that wrote the rollouts
        loss = dapo_loss(logs, old, advantage, low=recipe.low, high=recipe.high)
        learner.follow(loss, rate)
        losses.append(float(loss.detach()))
    return losses[0]
