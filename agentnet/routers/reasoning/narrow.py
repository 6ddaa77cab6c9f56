"""Which agents of a large pool a reasoning router is shown: the k best of a score matrix.

A prompt that lists every agent grows with the pool (TCAR's has about 18,000 tokens for 150 agents), and the
time and price of a decision with it. A retriever that scores all agents first leaves k of them. What it
leaves out cannot be chosen, so its recall at k bounds what the router can reach.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import InvalidInput

Order = Literal["best", "shuffled"]
"""Best first, or in an order of chance that hides the retriever's opinion from the model."""
_ROWS = 512
"""Rows that are sorted at once, so that large pools need little memory."""


def narrow(
    scores: NDArray[np.floating[Any]],
    names: Sequence[str],
    k: int,
    *,
    order: Order = "best",
    seed: int = 0,
    texts: Sequence[str] | None = None,
) -> list[tuple[str, ...]]:
    """Returns the agents to show for each task: the k of highest score, equal scores by name.

    Models prefer what stands early in a list. Shown best first, that preference agrees with the retriever;
    ``shuffled`` takes it out of what is measured. The order of chance depends on the seed, the task's text
    and the chosen agents alone, not on the other tasks of the batch.

    Args:
        scores: [n, A]; NaN ranks last.
        names: The A agents.
        k: How many to show; all where there are fewer.
        order: Of the agents shown.
        seed: Of the order of chance.
        texts: The n tasks' texts; needed for ``shuffled``.

    Raises:
        InvalidInput: the sizes do not fit together, k is below 1, or texts are missing.

    >>> narrow(np.array([[0.1, 0.9, 0.9]]), ["c", "b", "a"], 2)
    [('a', 'b')]
    """
    if order not in ("best", "shuffled"):
        raise InvalidInput(f"order is 'best' or 'shuffled'; got {order!r}.")
    if k < 1:
        raise InvalidInput(f"k is a whole number from 1; got {k!r}.")
    if order == "shuffled" and (texts is None or len(texts) != len(scores)):
        raise InvalidInput("a shuffled order is drawn by task: give texts, one for each row of scores.")
    shown = [tuple(names[j] for j in row[:k]) for row in _ranked(scores, names)]
    if texts is None or order == "best":
        return shown
    return [_shuffled(row, seed, text) for row, text in zip(shown, texts, strict=True)]


def recall_at(
    scores: NDArray[np.floating[Any]],
    names: Sequence[str],
    gold: Sequence[Collection[str]],
    ks: Sequence[int],
) -> dict[int, float]:
    """Returns, for each k, the share of tasks whose gold agents are all among the k shown by `narrow`.

    Tasks without gold agents (out of scope) are left out; with none left the share is NaN. A gold agent
    that is not in the pool is never shown.

    Args:
        scores: [n, A].
        names: The A agents.
        gold: The right agents of each of the n tasks.
        ks: Numbers of agents shown.

    >>> recall_at(np.array([[0.9, 0.5, 0.1], [0.9, 0.5, 0.1]]), ["a", "b", "c"], [["a"], ["a", "c"]], [1, 3])
    {1: 0.5, 3: 1.0}
    """
    worst = needed(scores, names, gold)
    return {k: float(np.mean(worst <= k)) if len(worst) else float("nan") for k in ks}


def needed(
    scores: NDArray[np.floating[Any]], names: Sequence[str], gold: Sequence[Collection[str]]
) -> NDArray[np.float64]:
    """Returns how many agents must be shown until all gold ones are, for each task that has any.

    Infinite where a gold agent is not in the pool. Arguments as in `recall_at`.
    """
    if len(gold) != len(scores):
        raise InvalidInput(f"{len(scores)} rows of scores need as many sets of gold agents; got {len(gold)}.")
    column = {name: j for j, name in enumerate(names)}
    found = []
    for row, right in zip(_ranked(scores, names), gold, strict=True):
        if not right:
            continue
        if any(name not in column for name in right):
            found.append(np.inf)
            continue
        wanted = np.isin(row, [column[name] for name in right])
        found.append(float(np.flatnonzero(wanted)[-1]) + 1)
    return np.array(found, dtype=np.float64)


def _ranked(scores: NDArray[np.floating[Any]], names: Sequence[str]) -> Iterator[NDArray[np.intp]]:
    """Yields each row's columns, best first, equal scores by name."""
    if scores.ndim != 2 or scores.shape[1] != len(names) or not len(names):
        raise InvalidInput(f"scores are [n, A] for A agents; got {scores.shape} for {len(names)}.")
    by_name = np.array(sorted(range(len(names)), key=names.__getitem__), dtype=np.intp)
    for start in range(0, len(scores), _ROWS):
        block = scores[start : start + _ROWS][:, by_name]
        # NaN sorts last either way.
        yield from by_name[np.argsort(-block, axis=1, kind="stable")]


def _shuffled(shown: tuple[str, ...], seed: int, text: str) -> tuple[str, ...]:
    def key(name: str) -> bytes:
        return hashlib.blake2b(f"{seed}\0{text}\0{name}".encode("utf-8", "replace"), digest_size=16).digest()

    return tuple(sorted(shown, key=key))
