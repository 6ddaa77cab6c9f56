"""The tasks of the two pools: generated ones, and questions of the pack ``topology`` where it is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from agentnet.bench.topology.stories import MATH_FAMILIES, Cast, Made
from agentnet.bench.topology.strings import STRING_FAMILIES
from agentnet.errors import InvalidInput
from agentnet.graphs.answers import normalise
from agentnet.graphs.task import Task
from agentnet.outcomes.packs import load_queries

POOLS = ("math", "strings")
SPLITS = ("train", "test")
PACK_SHARE = {"svamp": 0.15, "multiarith": 0.1}
"""Share of the math items that each of the pack's tasks gets, where there is a pack."""
SEED = 5
_TRIES = 200
"""Draws for one new text before a family counts as exhausted."""


@dataclass(frozen=True, slots=True)
class Item:
    """One task with what is known of it."""

    query_id: str
    text: str
    gold: str
    family: str
    pool: str
    """``"math"`` or ``"strings"``: the agents that get it."""
    split: str
    """``"train"`` (rollouts) or ``"test"``."""

    def task(self) -> Task:
        """Returns what the agents are given."""
        return Task(self.text, task_id=self.query_id)


def exact(answer: str, gold: str) -> float:
    """Returns 1.0 where answer and gold are equal after the normalisation that votes use, else 0.0.

    >>> exact("The answer is 1,200.0", "1200"), exact("8 - 3", "5")
    (1.0, 0.0)
    """
    key = normalise(answer)
    return float(bool(key) and key == normalise(gold))


def make_items(
    pool: str, split: str, n: int, *, pack: str | Path | None = None, seed: int = SEED
) -> list[Item]:
    """Returns ``n`` different tasks, families in turn: any first part of them is a fair sample.

    Train and test share no name, thing or word, and of the pack they are its official parts.

    Args:
        pool: ``"math"`` or ``"strings"``.
        split: ``"train"`` or ``"test"``.
        n: How many.
        pack: Folder of the pack ``topology``; None leaves its questions out.
        seed: Another seed gives other tasks.

    Raises:
        InvalidInput: there is no such pool or split, or not so many different tasks.

    >>> [item.family for item in make_items("strings", "train", 3)]
    ['backward', 'count', 'length']
    """
    if pool not in POOLS or split not in SPLITS:
        raise InvalidInput(f"pools are {POOLS} and splits {SPLITS}; got {pool!r} and {split!r}.")
    rng = np.random.default_rng([seed, POOLS.index(pool), SPLITS.index(split)])
    makers = _makers(pool, split)
    groups: dict[str, list[Item]] = {}
    if pack is not None and pool == "math":
        groups = {name: _from_pack(pack, name, split, round(share * n), rng)
                  for name, share in PACK_SHARE.items()}  # fmt: skip
    left = n - sum(map(len, groups.values()))
    sizes = {name: left // len(makers) + (i < left % len(makers)) for i, name in enumerate(makers)}
    made = {name: _generated(makers[name], name, pool, split, size, rng) for name, size in sizes.items()}
    return in_turn({**made, **groups})


def _makers(pool: str, split: str) -> dict[str, Callable[[np.random.Generator], Made]]:
    if pool == "math":
        cast = Cast(split)
        return {name: partial(_with, maker, cast) for name, maker in MATH_FAMILIES.items()}
    return {name: partial(_with, maker, split) for name, maker in STRING_FAMILIES.items()}


def _with(maker: Callable[[np.random.Generator, Any], Made], setting: Any, rng: np.random.Generator) -> Made:
    return maker(rng, setting)


def _generated(
    maker: Callable[[np.random.Generator], Made],
    family: str,
    pool: str,
    split: str,
    n: int,
    rng: np.random.Generator,
) -> list[Item]:
    found: dict[str, str] = {}
    for _ in range(_TRIES + n * 10):
        if len(found) == n:
            break
        text, gold = maker(rng)
        found.setdefault(text, gold)
    if len(found) < n:
        raise InvalidInput(f"family {family!r} has only {len(found)} different {split} tasks; {n} wanted.")
    return [
        Item(f"{pool}-{family}-{split}-{i:03}", text, gold, family, pool, split)
        for i, (text, gold) in enumerate(found.items())
    ]


def _from_pack(folder: str | Path, family: str, split: str, n: int, rng: np.random.Generator) -> list[Item]:
    queries = load_queries(folder)
    rows = zip(queries.query_id, queries.text, queries.gold, queries.task, queries.split, strict=True)
    items = [
        Item(str(query_id), text, gold, family, "math", split)
        for query_id, text, gold, task, part in rows
        if task == family and part == split and gold
    ]
    if len(items) < n:
        raise InvalidInput(f"{folder} has {len(items)} {split} questions of {family!r}; {n} are wanted.")
    items.sort(key=lambda item: item.query_id)
    return [items[i] for i in rng.permutation(len(items))[:n]]


def in_turn(groups: dict[str, list[Item]]) -> list[Item]:
    """Returns the items of all groups, the groups in proportion from the first item on.

    >>> a = [Item(f"a{i}", "?", "1", "a", "math", "train") for i in range(4)]
    >>> b = [Item("b", "?", "1", "b", "math", "train")]
    >>> [item.query_id for item in in_turn({"a": a, "b": b})]
    ['a0', 'a1', 'b', 'a2', 'a3']
    """
    placed = [
        ((k + 0.5) / len(items), at, item)
        for at, items in enumerate(groups.values())
        for k, item in enumerate(items)
    ]
    return [item for _, _, item in sorted(placed, key=lambda entry: entry[:2])]


def families(items: Sequence[Item]) -> dict[str, int]:
    """Returns how many items each family has."""
    found: dict[str, int] = {}
    for item in items:
        found[item.family] = found.get(item.family, 0) + 1
    return found
