"""Labelled instructions of AMRO-S's three types: templated ones of our own, and a pack's queries.

The paper fine-tunes its router on about 3,000 instructions written by GPT-4o [digest]; those are not
public. Ours come from templates, and whole templates are held out, so that what is measured on the
held-out side was not seen with other numbers and names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from agentnet.errors import InvalidInput
from agentnet.outcomes.packs import load_queries
from agentnet.routers.intents.templates import code, general, math
from agentnet.routers.intents.templates.slots import NUMBERS, WORDS

LABELS = ("math", "code", "general")
"""The paper's task types [digest], in the order of its table."""

TEMPLATES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"math": math.TEMPLATES, "code": code.TEMPLATES, "general": general.TEMPLATES}
)

_GENERAL = (
    "arc_challenge", "biology", "commongen", "commonsense_qa", "health", "history", "law", "mmlu",
    "natural_qa", "openbook_qa", "other", "philosophy", "psychology", "trivia_qa",
)  # fmt: skip
TASKS: Mapping[str, str] = MappingProxyType(
    {"gsm": "math", "gsm8k": "math", "math": "math", "math-l5": "math", "human_eval": "code", "mbpp": "code"}
    | dict.fromkeys(_GENERAL, "general")
)
"""Task of a pack -> label. Tasks between two labels (physics, computer science, logic grids) have none."""

_SLOT = re.compile(r"\{([a-z]+)(\d?)\}")
_OPENINGS = (
    "Please help: ",
    "Hi! ",
    "Quick question. ",
    "Could you help me with this? ",
    "Task: ",
    "Hello, ",
)
_ENDINGS = (
    " Thanks!",
    " Keep it short.",
    " Explain your answer.",
    "\nAnswer:",
    " Be precise.",
    " I am in a hurry.",
)
_TRIES = 20


@dataclass(frozen=True, slots=True)
class Instruction:
    """A query with its type.

    Attributes:
        text: What is asked.
        label: Its task type.
        source: ``template:LABEL:NUMBER``, or the name of the pack's task.
        split: ``train`` or ``test`` (a pack also has ``val``).
    """

    text: str
    label: str
    source: str
    split: str


def templated(count: int = 3000, *, seed: int = 0, held_out: float = 0.2) -> tuple[Instruction, ...]:
    """Returns templated instructions, as many of each type; the same seed gives the same ones.

    A template is wholly on the side of ``train`` or of ``test``. Every text is there once, so that a type
    whose templates have too few fillings gives fewer.

    Args:
        count: How many in all, a third of each type.
        seed: Chooses which templates are held out, the fillings and the order.
        held_out: Share of each type's templates that are for testing.

    Raises:
        InvalidInput: fewer than one a type, or no template left for one of the sides.

    >>> len(templated(30)), templated(30) == templated(30)
    (30, True)
    """
    if count < len(LABELS) or not 0 < held_out < 1:
        raise InvalidInput(f"count {count} must be at least {len(LABELS)} and 0 < held_out ({held_out}) < 1.")
    rng = np.random.default_rng(seed)
    made: list[Instruction] = []
    for position, label in enumerate(LABELS):
        templates = TEMPLATES[label]
        tests = round(held_out * len(templates))
        if not 0 < tests < len(templates):
            raise InvalidInput(f"held_out {held_out} leaves no template of {label!r} for one of the sides.")
        held = set(rng.permutation(len(templates))[:tests].tolist())
        share = count // len(LABELS) + (position < count % len(LABELS))
        seen: set[str] = set()
        for number in _spread(len(templates), share, rng):
            text = _fresh(templates[number], seen, rng)
            if text is not None:
                seen.add(text)
                side = "test" if number in held else "train"
                made.append(Instruction(text, label, f"template:{label}:{number}", side))
    return tuple(made[i] for i in rng.permutation(len(made)))


def from_pack(folder: str | Path) -> tuple[Instruction, ...]:
    """Returns the queries of a pack whose task has a label in `TASKS`, on the pack's own splits.

    Raises:
        DataError: the pack cannot be read.
    """
    queries = load_queries(folder)
    rows = zip(queries.text, queries.task or (), queries.split.tolist(), strict=True)
    return tuple(Instruction(text, TASKS[task], task, split) for text, task, split in rows if task in TASKS)


def balanced(
    instructions: tuple[Instruction, ...], per_label: int, *, seed: int = 0
) -> tuple[Instruction, ...]:
    """Returns at most ``per_label`` of every label, drawn evenly over their sources where it can be.

    Args:
        instructions: What to draw from.
        per_label: Most of one label.
        seed: Makes the draw deterministic.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(instructions)).tolist()
    turn: dict[tuple[str, str], int] = {}
    ranked = []
    for i in order:
        key = (instructions[i].label, instructions[i].source)
        turn[key] = turn.get(key, 0) + 1
        ranked.append((turn[key], i))
    taken: dict[str, int] = {}
    chosen = []
    for _, i in sorted(ranked, key=lambda pair: pair[0]):  # stable: the random order within a turn
        label = instructions[i].label
        if taken.get(label, 0) < per_label:
            taken[label] = taken.get(label, 0) + 1
            chosen.append(i)
    return tuple(instructions[i] for i in sorted(chosen))


def _spread(templates: int, share: int, rng: np.random.Generator) -> Iterator[int]:
    """``share`` numbers of templates, each as often as the others give or take one."""
    while share > 0:
        yield from rng.permutation(templates)[:share].tolist()
        share -= templates


def _fresh(template: str, seen: set[str], rng: np.random.Generator) -> str | None:
    """A filling not seen yet; None where the tries are used up."""
    for _ in range(_TRIES):
        text = _dressed(_filled(template, rng), rng)
        if text not in seen:
            return text
    return None


def _filled(template: str, rng: np.random.Generator) -> str:
    same: dict[str, str] = {}

    def draw(match: re.Match[str]) -> str:
        slot, number = match.groups()
        if number and match.group() in same:
            return same[match.group()]
        if slot in NUMBERS:
            low, high = NUMBERS[slot]
            word = str(int(rng.integers(low, high + 1)))
        else:
            word = WORDS[slot][int(rng.integers(len(WORDS[slot])))]
        same[match.group()] = word
        return word

    return _SLOT.sub(draw, template).replace("{{", "{").replace("}}", "}")


def _dressed(text: str, rng: np.random.Generator) -> str:
    """With an opening, an ending or in lower case, now and then; the same for every type."""
    chance = rng.random(3)
    if chance[0] < 0.2:
        text = _OPENINGS[int(rng.integers(len(_OPENINGS)))] + text
    if chance[1] < 0.2:
        text = text + _ENDINGS[int(rng.integers(len(_ENDINGS)))]
    return text.lower() if chance[2] < 0.1 else text
