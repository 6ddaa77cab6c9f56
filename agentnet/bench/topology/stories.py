"""Generated arithmetic: bare calculations and short stories, each with its own answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

Made = tuple[str, str]
"""Text and gold."""
Maker = Callable[[np.random.Generator, "Cast"], Made]

NAMES = {
    "train": ("Anna", "Bert", "Clara", "David", "Ella", "Frank", "Greta", "Henry", "Ida", "Jonas"),
    "test": ("Karl", "Lena", "Martin", "Nora", "Oscar", "Paula", "Robert", "Sofia", "Theo", "Vera"),
}
THINGS = {
    "train": ("apples", "stamps", "shells", "beads", "coins", "books", "bottles", "pencils", "roses"),
    "test": ("pears", "cards", "stones", "buttons", "tickets", "plates", "candles", "brushes", "tulips"),
}
HOLDERS = {"train": ("boxes", "shelves", "crates"), "test": ("baskets", "drawers", "chests")}


class Cast:
    """Draws the names and things of one split."""

    def __init__(self, split: str) -> None:
        self._split = split

    def name(self, rng: np.random.Generator) -> str:
        """Returns a person's name."""
        return str(rng.choice(NAMES[self._split]))

    def thing(self, rng: np.random.Generator) -> str:
        """Returns a thing that can be counted, in the plural."""
        return str(rng.choice(THINGS[self._split]))

    def holder(self, rng: np.random.Generator) -> str:
        """Returns what things are kept in, in the plural."""
        return str(rng.choice(HOLDERS[self._split]))


def _n(rng: np.random.Generator, low: int, high: int) -> int:
    return int(rng.integers(low, high + 1))


def _pick(rng: np.random.Generator, *wordings: str) -> str:
    return wordings[int(rng.integers(len(wordings)))]


def calculation(rng: np.random.Generator, cast: Cast) -> Made:
    """A bare chain of sums, or a product, of numbers with two to four digits."""
    a, b, c = _n(rng, 300, 2000), _n(rng, 100, 900), _n(rng, 11, 99)
    formula, gold = (
        (f"{a} + {b} - {c}", a + b - c),
        (f"{a} - {b // 2} + {c}", a - b // 2 + c),
        (f"{b} * {c}", b * c),
    )[_n(rng, 0, 2)]
    return _pick(rng, "Calculate {}.", "Work out {}.", "What is {}?").format(formula), str(gold)


def taken_away(rng: np.random.Generator, cast: Cast) -> Made:
    """Something is given away or lost."""
    a, b = _n(rng, 120, 900), _n(rng, 11, 110)
    who, what, other = cast.name(rng), cast.thing(rng), cast.name(rng)
    text = _pick(
        rng,
        f"{who} had {a} {what}. {who} gave {b} {what} to {other}. How many {what} does {who} have now?",
        f"There were {a} {what} in the shop. {who} bought {b} of them. How many {what} are left in the shop?",
    )
    return text, str(a - b)


def put_together(rng: np.random.Generator, cast: Cast) -> Made:
    """Two amounts are added."""
    a, b = _n(rng, 110, 900), _n(rng, 110, 900)
    who, what, other = cast.name(rng), cast.thing(rng), cast.name(rng)
    text = _pick(
        rng,
        f"{who} has {a} {what} and {other} has {b} {what}. How many {what} do they have together?",
        f"{who} had {a} {what}. {other} brought {b} more {what}. How many {what} are there in total?",
    )
    return text, str(a + b)


def equal_groups(rng: np.random.Generator, cast: Cast) -> Made:
    """Groups of one size are multiplied."""
    a, b = _n(rng, 12, 60), _n(rng, 12, 90)
    who, what, holder = cast.name(rng), cast.thing(rng), cast.holder(rng)
    text = _pick(
        rng,
        f"{who} has {a} {holder}. There are {b} {what} in each of them. How many {what} does {who} have?",
        f"Each pack holds {b} {what}. {who} bought {a} packs. How many {what} did {who} buy?",
    )
    return text, str(a * b)


def shared_out(rng: np.random.Generator, cast: Cast) -> Made:
    """An amount is divided evenly."""
    b, each = _n(rng, 3, 19), _n(rng, 12, 70)
    who, what, holder = cast.name(rng), cast.thing(rng), cast.holder(rng)
    text = _pick(
        rng,
        f"{who} puts {b * each} {what} into {b} {holder}, the same number in each. "
        f"How many {what} are in each?",
        f"{b} friends share {b * each} {what} equally. How many {what} does each friend get?",
    )
    return text, str(each)


def two_steps(rng: np.random.Generator, cast: Cast) -> Made:
    """Something goes and something comes, or groups lose a part."""
    a, b, c = _n(rng, 200, 900), _n(rng, 20, 150), _n(rng, 20, 400)
    who, what = cast.name(rng), cast.thing(rng)
    if rng.random() < 0.5:
        text = f"{who} had {a} {what}. {who} sold {b} of them and then bought {c} more. "
        return f"{text}How many {what} does {who} have now?", str(a - b + c)
    k, size, gone = _n(rng, 12, 40), _n(rng, 12, 40), _n(rng, 11, 99)
    text = f"{who} filled {k} bags with {size} {what} each and then lost {gone} {what}. "
    return f"{text}How many {what} are left?", str(k * size - gone)


MATH_FAMILIES: Mapping[str, Maker] = MappingProxyType(
    {
        "calculation": calculation,
        "taken_away": taken_away,
        "put_together": put_together,
        "equal_groups": equal_groups,
        "shared_out": shared_out,
        "two_steps": two_steps,
    }
)
"""Makers of arithmetic by family."""
