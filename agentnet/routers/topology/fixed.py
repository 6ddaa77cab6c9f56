"""Topologies that nobody learned: chain, star, complete and random graphs."""

from __future__ import annotations

import hashlib
from typing import Literal

import numpy as np
import torch
from torch import Tensor

Fixed = Literal["chain", "star", "complete", "random"]
FIXED: tuple[str, ...] = ("chain", "star", "complete", "random")


def fixed_edges(kind: Fixed, n: int, *, density: float = 0.5, noise: Tensor | None = None) -> Tensor:
    """[N, N] bool: the edges of a fixed topology.

    ``chain``: each agent sends to the next. ``star``: all others send to the last. ``complete``: each sends
    to all after it. ``random``: agents stand in a random order, and each pair has an edge with a probability.

    Args:
        kind: Which.
        n: Agents, the one that should have the last word last.
        density: Of ``random``: share of the complete graph's edges, on average.
        noise: Of ``random``: [N, N + 1] numbers in [0, 1), see `task_noise`.

    >>> fixed_edges("star", 3).int().tolist()
    [[0, 0, 1], [0, 0, 1], [0, 0, 0]]
    """
    if kind == "chain":
        return torch.eye(n, dtype=torch.bool).roll(1, 1).triu(1)
    complete = torch.ones((n, n), dtype=torch.bool).triu(1)
    if kind == "complete":
        return complete
    if kind == "star":
        return complete & (torch.arange(n) == n - 1)
    if noise is None:
        raise ValueError("a random topology needs noise.")
    rank = noise[:, n].argsort().argsort()
    return (rank[:, None] < rank[None, :]) & (noise[:, :n] < density)


def task_noise(text: str, seed: int, shape: tuple[int, ...]) -> Tensor:
    """Numbers in [0, 1) that are the same for the same text and seed, on every machine.

    >>> bool((task_noise("x", 0, (2, 3)) == task_noise("x", 0, (2, 3))).all())
    True
    """
    digest = hashlib.sha256(f"{seed} {text}".encode("utf-8", "surrogatepass")).digest()
    drawn = np.random.default_rng(int.from_bytes(digest[:8], "big")).random(shape, np.float32)
    return torch.from_numpy(drawn)
