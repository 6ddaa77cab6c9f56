"""Which judged answers to label by hand, so that few gold labels say most."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import InvalidInput
from agentnet.learning.scoring.table import Floats, Judgements


def allocate(
    counts: NDArray[np.intp], total: int, *, had: NDArray[np.intp] | None = None, floor: int = 2
) -> NDArray[np.intp]:
    """Returns how many labels to take from each stratum of agent and verdict.

    With one group, labels go where the answers are: in proportion to the strata (all are about equally
    uncertain before any label is there). With several, what is asked for is their order, so labels go
    where the groups *differ*: in proportion to the standard deviation over groups of a stratum's share.
    An agent that every policy asks equally often cannot change their order, however it is misjudged. Truth
    is never looked at.

    Args:
        counts: [G, A, 2] judged answers by group, agent and verdict.
        total: Labels to take.
        had: [A, 2] labels that are there already; they count towards a stratum's part.
        floor: Least labels of a stratum, as far as it has answers.

    Returns:
        [A, 2] labels to take; fewer than ``total`` in all only where there are no more answers.

    >>> counts = np.array([[[50, 50], [10, 90]]])
    >>> allocate(counts, 20, floor=2).tolist()
    [[5, 5], [2, 8]]
    """
    if total < 0:
        raise InvalidInput(f"a number of labels is at least 0; got {total}.")
    size = counts.sum(axis=(1, 2), keepdims=True)
    share = counts / np.maximum(size, 1)
    pull = share.std(axis=0) if len(counts) > 1 else share[0]
    if not pull.any():
        pull = share.mean(axis=0)
    there = counts.sum(axis=0)
    had = np.zeros_like(there) if had is None else had
    room = np.maximum(there - had, 0)
    least = np.minimum(np.maximum(floor - had, 0), room)
    total = min(total, int(room.sum()))
    if least.sum() >= total:
        return _whole(least.astype(np.float64), np.minimum(least, room), total)
    low, high = 0.0, float(there.sum() + had.sum() + total) / max(float(pull[pull > 0].min()), 1e-9)
    for _ in range(100):  # the level at which all strata together take what there is to give
        level = (low + high) / 2
        taken = np.clip(level * pull - had, least, room).sum()
        low, high = (level, high) if taken <= total else (low, level)
    return _whole(np.clip(low * pull - had, least, room), room, total)


def _whole(wanted: Floats, room: NDArray[np.intp], total: int) -> NDArray[np.intp]:
    """Whole numbers with a given sum, by largest remainders, and on to strata with room."""
    taken = np.minimum(np.floor(wanted + 1e-9).astype(np.intp), room)
    while taken.sum() > total:
        taken.flat[int(taken.argmax())] -= 1
    rest = np.where(taken < room, wanted - taken, -np.inf)
    while taken.sum() < total and np.isfinite(rest).any():
        at = int(rest.argmax())
        taken.flat[at] += 1
        rest.flat[at] = rest.flat[at] - 1 if taken.flat[at] < room.flat[at] else -np.inf
    return taken


def pick(table: Judgements, n: int, rng: np.random.Generator, *, floor: int = 2) -> NDArray[np.intp]:
    """Returns rows to label: at random within each agent and verdict; labelled rows are left out.

    Args:
        table: Judgements; labels that are there count towards each stratum's part.
        n: How many.
        rng: Draws them.
        floor: Least labels of a stratum.
    """
    if not len(table):
        return np.zeros(0, np.intp)
    share = allocate(table.counts(), n, had=table.labels().sum(2), floor=floor)
    stratum = table.agent * 2 + table.accepted
    open_ = ~table.labelled
    found = []
    for at, count in enumerate(share.ravel().tolist()):
        if count:
            rows = np.flatnonzero(open_ & (stratum == at))
            found.append(rng.choice(rows, count, replace=False))
    return np.sort(np.concatenate(found)) if found else np.zeros(0, np.intp)
