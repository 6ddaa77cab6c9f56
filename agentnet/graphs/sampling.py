"""Sampling of DAGs from edge probabilities, with their log-probability (soft pruning).

Both samplers draw every edge they may draw independently and leave out the rest, so no sample ever has
a cycle. `Sample.open` says which pairs were open to choice: a learner that holds the probabilities in a
tensor computes a differentiable log-probability over exactly those.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentnet.errors import GraphError

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Pairs = Sequence[tuple[int, int]] | NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A sampled DAG.

    Attributes:
        edges: [N, N] bool; ``edges[i, j]`` is the edge i -> j.
        open: [N, N] bool; pairs that were drawn, whether or not the edge stands.
        log_prob: Natural logarithm of the probability of this sample, given what was open.
    """

    edges: Bools
    open: Bools
    log_prob: float


def sample_ordered(
    probabilities: ArrayLike,
    rng: np.random.Generator,
    *,
    order: Sequence[int] | NDArray[np.integer[Any]] | Literal["random"] | None = None,
    keep: ArrayLike | None = None,
) -> Sample:
    """Draws edges that go forward in an order of the nodes: acyclic by construction, one array operation.

    Args:
        probabilities: [N, N] edge probabilities in [0, 1]; the diagonal is ignored.
        rng: Source of randomness.
        order: A permutation of the nodes, ``"random"`` for a uniform one, None for 0, 1, ..., N - 1.
        keep: [N] bool; nodes that may have edges.

    Raises:
        GraphError: a probability, the order or the mask cannot be used.

    >>> sample_ordered([[0, 1], [1, 0]], np.random.default_rng(0)).edges.tolist()
    [[False, True], [False, False]]
    """
    matrix, kept = _checked(probabilities, keep)
    n = len(matrix)
    if isinstance(order, str):
        if order != "random":
            raise GraphError(f'order is a permutation, "random" or None; got {order!r}.')
        order = rng.permutation(n)
    sequence = np.arange(n) if order is None else np.asarray(order)
    if sorted(sequence.tolist()) != list(range(n)):
        raise GraphError(f"order must be a permutation of 0 to {n - 1}; got {sequence.tolist()}.")
    rank = np.empty(n, int)
    rank[sequence] = np.arange(n)
    is_open = (rank[:, None] < rank[None, :]) & kept[:, None] & kept[None, :]
    edges = is_open & (rng.random((n, n)) < matrix)
    return Sample(edges, is_open, log_probability(matrix, edges, is_open))


def sample_visit(
    probabilities: ArrayLike,
    rng: np.random.Generator,
    *,
    visit: Pairs | Literal["random"] | None = None,
    keep: ArrayLike | None = None,
) -> Sample:
    """Visits ordered pairs one by one and skips those that would close a cycle with the edges so far.

    Row-major visiting is the rule of the released code of Adaptive Graph Pruning (arXiv:2506.02951); it
    favours edges from low to high indices. A random visit has no such favourites.

    Args:
        probabilities: [N, N] edge probabilities in [0, 1]; the diagonal is ignored.
        rng: Source of randomness.
        visit: Pairs (i, j) in the order of their visit, ``"random"`` for all in a uniform order, None
            for all row by row.
        keep: [N] bool; nodes that may have edges.

    Raises:
        GraphError: a probability, a pair or the mask cannot be used.

    >>> s = sample_visit(np.ones((3, 3)), np.random.default_rng(0))
    >>> s.edges.astype(int).tolist(), s.log_prob
    ([[0, 1, 1], [0, 0, 1], [0, 0, 0]], 0.0)
    """
    matrix, kept = _checked(probabilities, keep)
    n = len(matrix)
    pairs = _visit_pairs(n, visit, rng)
    edges, is_open = np.zeros((n, n), bool), np.zeros((n, n), bool)
    above = [1 << i for i in range(n)]  # bit set of the nodes from which i is reached, i itself included
    draws = rng.random(len(pairs))
    for (i, j), draw in zip(pairs, draws, strict=True):
        if not (kept[i] and kept[j]) or above[i] >> j & 1:
            continue
        is_open[i, j] = True
        if draw < matrix[i, j]:
            edges[i, j] = True
            bit = 1 << j
            above = [up | above[i] if up & bit else up for up in above]
    return Sample(edges, is_open, log_probability(matrix, edges, is_open))


def log_probability(probabilities: ArrayLike, edges: Bools, is_open: Bools) -> float:
    """Returns the sum of log p over open pairs with an edge and of log(1 - p) over those without.

    >>> pair = np.array([[False, True], [False, False]])
    >>> round(log_probability([[0, .25], [.5, 0]], pair, pair), 3)
    -1.386
    """
    matrix = np.asarray(probabilities, float)
    chance = np.where(edges, matrix, 1 - matrix)[is_open]
    if (chance <= 0).any():
        return float("-inf")
    return float(np.log(chance).sum())


def _checked(probabilities: ArrayLike, keep: ArrayLike | None) -> tuple[Floats, Bools]:
    matrix = np.asarray(probabilities, float)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not len(matrix):
        raise GraphError(f"edge probabilities are a square [N, N] matrix; got shape {matrix.shape}.")
    off_diagonal = matrix[~np.eye(len(matrix), dtype=bool)]
    if not ((off_diagonal >= 0) & (off_diagonal <= 1)).all():
        raise GraphError("edge probabilities must be numbers from 0 to 1.")
    kept = np.ones(len(matrix), bool) if keep is None else np.asarray(keep)
    if kept.shape != (len(matrix),) or kept.dtype != bool:
        raise GraphError(f"keep is a [N] array of booleans with N = {len(matrix)}; got {kept!r}.")
    return matrix, kept


def _visit_pairs(
    n: int, visit: Pairs | Literal["random"] | None, rng: np.random.Generator
) -> list[tuple[int, int]]:
    everyone = [(i, j) for i in range(n) for j in range(n) if i != j]
    if visit is None:
        return everyone
    if isinstance(visit, str):
        if visit != "random":
            raise GraphError(f'visit is a list of pairs, "random" or None; got {visit!r}.')
        return [everyone[k] for k in rng.permutation(len(everyone))]
    pairs = [(int(i), int(j)) for i, j in visit]
    if len(set(pairs)) < len(pairs) or not set(pairs) <= set(everyone):
        raise GraphError(f"visit holds each pair (i, j) of different nodes from 0 to {n - 1} at most once.")
    return pairs
