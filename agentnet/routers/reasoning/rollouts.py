"""Rollouts of a reasoning router: answers drawn from the model itself, with their rewards."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from agentnet.errors import InvalidInput
from agentnet.routers.intents.backbone import AdapterShape
from agentnet.routers.reasoning.data import Example
from agentnet.routers.reasoning.generate import Decoding, Written
from agentnet.routers.reasoning.local import LocalModel
from agentnet.routers.reasoning.prompt import MOST_AGENTS, Prompt
from agentnet.routers.reasoning.reply import parse_reply
from agentnet.routers.reasoning.reward import reward


@dataclass(frozen=True, slots=True, kw_only=True)
class DapoRecipe:
    """How to train.

    Attributes:
        rollouts: G, answers to a prompt, drawn at temperature 1; 8 in the paper.
        consistency: tau: a prompt on whose rollouts a larger share agrees is left out; 0.6 in the paper.
        low: The ratio is clipped below 1 - low; 0.2 [default, not in paper].
        high: And above 1 + high; 0.28 [default, not in paper].
        precision: a of the reward; 0.5 [default, not in paper].
        over: b of the reward; 0.1 [default, not in paper].
        strict: Whether R2 pays only for all of the right set, as the paper's prose has it.
        learning_rate: Of AdamW, after ``warmup`` steps on which it rises. Not known; the spec's 1e-6 is for
            all weights of a 4B model, this default for LoRA is ours.
        steps: Steps in all.
        prompts: Groups with something to learn from that a step wants.
        tries: A step rolls out at most so many times ``prompts`` prompts for them.
        passes: Times a step goes over its groups; only from the second on can a ratio be clipped.
        max_tokens: Most tokens of a rollout.
        warmup: Steps.
        clip: Longest gradient.
        seed: Of the order of the prompts and the draws.
        checkpoint_every: Steps between checkpoints.
        shape: Of the adapters, for a model that has none.
    """

    rollouts: int = 8
    consistency: float = 0.6
    low: float = 0.2
    high: float = 0.28
    precision: float = 0.5
    over: float = 0.1
    strict: bool = False
    learning_rate: float = 1e-4
    steps: int = 60
    prompts: int = 4
    tries: int = 2
    passes: int = 2
    max_tokens: int = 40
    warmup: int = 3
    clip: float = 1.0
    seed: int = 0
    checkpoint_every: int = 5
    shape: AdapterShape = field(default_factory=lambda: AdapterShape(blocks=20))

    def __post_init__(self) -> None:
        counts = (self.steps, self.prompts, self.tries, self.passes, self.checkpoint_every, self.max_tokens)
        if self.rollouts < 2 or min(counts) < 1 or self.learning_rate <= 0:
            raise InvalidInput(
                "a recipe needs at least 2 rollouts, 1 of each other count, and a rate above 0."
            )
        if not (0 <= self.low < 1 and self.high >= 0 and 0 <= self.consistency <= 1):
            raise InvalidInput("low lies in [0, 1), high is at least 0, consistency lies in [0, 1].")


@dataclass(frozen=True, slots=True)
class Group:
    """A prompt's rollouts.

    Attributes:
        example: The prompt and its right agents.
        prompt: [p] token ids.
        written: [G] answers.
        chosen: [G] sets of names; None where nothing could be read.
        rewards: [G] reward of each.
    """

    example: Example
    prompt: tuple[int, ...]
    written: tuple[Written, ...]
    chosen: tuple[frozenset[str] | None, ...]
    rewards: tuple[float, ...]

    @property
    def right(self) -> int:
        """How many answers are exactly right."""
        return sum(chosen == frozenset(self.example.gold) for chosen in self.chosen)

    @property
    def informative(self) -> bool:
        """DAPO's condition: neither all right nor all wrong."""
        return 0 < self.right < len(self.chosen)

    @property
    def consistency(self) -> float:
        """Share of the answers that name the set named most often; unreadable ones count as one set.

        TCAR does not define its consistency; this is our reading.
        """
        return max(Counter(self.chosen).values()) / len(self.chosen)


def score(
    text: str, prompt: Prompt, gold: Sequence[str], recipe: DapoRecipe
) -> tuple[float, frozenset[str] | None]:
    """Returns an answer's reward and the set it names; 0 and None where nothing can be read.

    Without that rule of ours, an unreadable answer would earn all where nobody is right.
    """
    reply = parse_reply(text, prompt.ids, most=MOST_AGENTS)
    if not reply.readable:
        return 0.0, None
    earned = reward(reply.agents, gold, precision=recipe.precision, over=recipe.over, strict=recipe.strict)
    return earned, frozenset(reply.agents)


def roll_out(model: LocalModel, examples: Sequence[Example], recipe: DapoRecipe, *, seed: int) -> list[Group]:
    """Returns the groups of rollouts of some prompts."""
    prompts = [example.prompt(compact=model.compact) for example in examples]
    decoding = Decoding(
        max_tokens=recipe.max_tokens,
        temperature=1.0,
        batch=max(32, recipe.rollouts),
    )
    answers = model.answer(prompts, decoding, repeats=recipe.rollouts, seed=seed)
    groups = []
    for example, prompt, written in zip(examples, prompts, answers, strict=True):
        scored = [score(one.text, prompt, example.gold, recipe) for one in written]
        groups.append(
            Group(
                example,
                tuple(model.encode(prompt.messages)),
                tuple(written),
                tuple(chosen for _, chosen in scored),
                tuple(earned for earned, _ in scored),
            )
        )
    return groups


def prefilter(
    model: LocalModel,
    examples: Sequence[Example],
    *,
    recipe: DapoRecipe | None = None,
    seconds: float = 600,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[list[int], list[Group]]:
    """Rolls prompts out before training, to leave out those that are learned already.

    Args:
        model: As SFT left it.
        examples: Candidates.
        recipe: Rollouts and tau.
        seconds: After these the rest of the candidates is left out as well.
        progress: Called with candidates done and kept.

    Returns:
        Numbers of the examples kept, and the groups of all that were rolled out.
    """
    recipe = recipe or DapoRecipe()
    start, groups = time.monotonic(), list[Group]()
    kept: list[int] = []
    for first in range(0, len(examples), recipe.prompts):
        if time.monotonic() - start >= seconds:
            break
        chunk = examples[first : first + recipe.prompts]
        for at, group in enumerate(roll_out(model, chunk, recipe, seed=draw_seed(recipe.seed, 1, first))):
            groups.append(group)
            if group.consistency <= recipe.consistency:
                kept.append(first + at)
        if progress is not None:
            progress(len(groups), len(kept))
    return kept, groups


def draw_seed(*parts: int) -> int:
    """Returns a seed that is a function of some numbers."""
    return int(np.random.default_rng(list(parts)).integers(2**62))
