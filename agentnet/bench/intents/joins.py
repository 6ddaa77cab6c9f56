"""Queries that need two agents: two utterances of different intents, joined by a template.

The templates of val and test have no member in common, nor have their pairs of intents. They were written
before any result on them was looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from agentnet.bench.intents.data import Labels

TEST_TEMPLATES = (
    "{a}, {b}",
    "{a}, {b}, thanks",
    "ok, {a}, {b}",
    "{a}\n{b}",
    "1) {a} 2) {b}",
    "{a} + {b}",
    "sort two things out for me: {a}, {b}",
    "sort two things out for me. {a}. {b}.",
    "there are two matters today: {a}. {b}",
    "there are two matters today: {a} - {b}",
    "{a}. while you are at it: {b}",
    "{a}. once that is settled, {b}",
    "before i forget it: {a}. the other matter: {b}",
    "apart from this one ({a}) my question is: {b}",
    "{a}... oh wait, {b}",
    "someone at home asks: {a} whereas i ask: {b}",
)
"""Templates of the test queries: four with commas alone, two pairs that share a preamble."""
VAL_TEMPLATES = (
    "{a} / {b}",
    "{a} as well as {b}",
    "i need help with both of these: {a}; {b}",
    "{a}. besides, {b}",
    "{a}? and what about this: {b}",
    "on the one hand {a}, on the other hand {b}",
)
"""Templates of the queries on which rivals choose their size or their threshold."""
Side = Literal["val", "test"]


@dataclass(frozen=True, slots=True, eq=False)
class Mixed:
    """n queries, half of one utterance and half of two.

    Attributes:
        text: What is asked.
        gold: [n, 2] columns of the right agents; -1 in the second place where there is one utterance.
        template: [n] index of the template; -1 where there is one utterance.
    """

    text: tuple[str, ...]
    gold: NDArray[np.intp]
    template: NDArray[np.intp]

    @property
    def joined(self) -> NDArray[np.bool_]:
        """[n] where two utterances are joined."""
        return self.template >= 0

    def sets(self) -> list[frozenset[int]]:
        """The right agents of each query."""
        return [frozenset(int(j) for j in row if j >= 0) for row in self.gold]


def of_test(first: str, second: str) -> bool:
    """Returns whether a pair of intents is joined in test queries only; half of all pairs are.

    It depends on the two names alone, in either order, so that anybody who trains on joined queries can
    leave these pairs out.

    >>> of_test("alarm", "timer") == of_test("timer", "alarm")
    True
    """
    low, high = sorted((first, second))
    return blake2b(f"{low}\0{high}".encode(), digest_size=1).digest()[0] % 2 == 0


def templates_of(side: Side) -> tuple[str, ...]:
    """The templates of one side."""
    return TEST_TEMPLATES if side == "test" else VAL_TEMPLATES


def mixed(data: Labels, side: Side, *, count: int, seed: int = 0) -> Mixed:
    """Returns at most ``count`` single queries and as many joined ones, from the rows of one split.

    A joined query's two utterances have different intents, whose pair belongs to this side; every template
    is used about equally often.

    Args:
        data: The pack.
        side: Split of the rows, and whose templates and pairs of intents are used.
        count: Most queries of each half.
        seed: Draws rows and pairs.
    """
    rng = np.random.default_rng(seed)
    rows = data.rows(side, inside=True)
    count = min(count, len(rows))
    single = rng.permutation(rows)[:count]
    templates = templates_of(side)
    pairs = _pairs(data, rows, side, count, rng)
    which = rng.permutation(np.arange(len(pairs)) % len(templates))
    texts = [data.text(i) for i in single]
    for (i, j), t in zip(pairs, which, strict=True):
        texts.append(templates[t].format(a=_bare(data.text(i)), b=_bare(data.text(j))))
    gold = np.full((len(texts), 2), -1, np.intp)
    gold[: len(single), 0] = data.gold[single]
    for k, (i, j) in enumerate(pairs, len(single)):
        gold[k] = data.gold[i], data.gold[j]
    return Mixed(tuple(texts), gold, np.concatenate([np.full(len(single), -1, np.intp), which]))


def _pairs(
    data: Labels, rows: NDArray[np.intp], side: Side, count: int, rng: np.random.Generator
) -> Sequence[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for _ in range(50):  # half of the pairs belong to the other side: a few rounds are enough
        left, right = rng.permutation(rows), rng.permutation(rows)
        for i, j in zip(left.tolist(), right.tolist(), strict=True):
            a, b = int(data.gold[i]), int(data.gold[j])
            if a != b and of_test(data.names[a], data.names[b]) == (side == "test"):
                found.append((i, j))
                if len(found) == count:
                    return found
    return found


def _bare(text: str) -> str:
    """The utterance without the mark that ends it: the template has its own."""
    return text.strip().rstrip(".!?") or text
