"""Queries that join two requests, made from single ones: what a router learns to take apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

TEMPLATES = (
    "{a} and {b}",
    "{a}. {b}",
    "{a}, and also {b}",
    "{a}? {b}",
    "first {a}, then {b}",
    "{a}, plus {b}",
    "i have two things: {a}; {b}",
    "{a} and could you also tell me {b}",
)
"""Ways of joining two requests."""


@dataclass(frozen=True, slots=True)
class Join:
    """A joined query.

    Attributes:
        text: What is asked.
        rows: The two queries it is made of.
    """

    text: str
    rows: tuple[int, int]


def make_joins(
    texts: Sequence[str],
    labels: NDArray[np.integer[Any]],
    count: int,
    *,
    seed: int = 0,
    templates: Sequence[str] = TEMPLATES,
) -> tuple[Join, ...]:
    """Joins pairs of queries of different agents.

    Args:
        texts: [n] single queries.
        labels: [n] agent of each.
        count: How many; fewer where no two agents differ.
        seed: Draws pairs and templates.
        templates: Each holds ``{a}`` and ``{b}``.

    >>> make_joins(["hi", "bye"], np.array([0, 1]), 1, templates=["{a} and {b}"])[0].text
    'bye and hi'
    """
    labels = np.asarray(labels)
    if len(np.unique(labels)) < 2:
        return ()
    rng = np.random.default_rng([seed, 77])
    made: list[Join] = []
    while len(made) < count:
        a, b = (int(row) for row in rng.integers(len(texts), size=2))
        if labels[a] != labels[b]:
            template = templates[int(rng.integers(len(templates)))]
            first = texts[a].rstrip(" .?!")
            made.append(Join(template.format(a=first, b=texts[b]), (a, b)))
    return tuple(made)
