"""The likeliest of many agents without looking at all: an approximate index, and what it leaves out.

Agents without logged queries that follow one rule (`agentnet.routers.sets.strangers`) differ by the direction
of their column only, so that the nearest prototypes are the highest logits and the rule's offset needs no
dimension of its own. Each rule has an index, a hierarchical navigable small world graph (Malkov & Yashunin,
2016, arXiv 1603.09320) by the library ``usearch``; its finds are scored exactly. What the others would add to
the softmax is estimated from a fixed uniform sample of them, after Mussmann & Ermon, "Learning and inference
via maximum inner product search", ICML 2016: without it, probabilities and familiarity would not be those
that were calibrated.
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.routers.encoding import Vectors
from agentnet.routers.sets.linear import Prediction

LARGE = 4096
"""Agents of one rule from which on they are indexed: fewer are multiplied as fast."""
CANDIDATES = 64
"""Agents that are looked up for each query and rule."""
SAMPLE = 512
"""Further agents that stand for all others in the softmax."""
_BREADTH = 128
"""Entries that a search keeps in hand; it finds 99.6% of the 10 nearest of 10,000 descriptions."""
_LINKS = 16
_BLOCK = 256
"""Queries at a time: their candidates' columns are copied."""


def index_available() -> bool:
    """Returns whether ``usearch`` is installed (``pip install 'agentnet-routing[large]'``)."""
    return importlib.util.find_spec("usearch") is not None


class NearIndex:
    """The nearest of many directions, found approximately; directions can be added at any time.

    The same additions in the same order give the same finds. It may be used by several threads.

    >>> if index_available():
    ...     index = NearIndex(2)
    ...     index.add(np.array([7, 9]), np.eye(2, dtype=np.float32))
    ...     assert index.search(np.array([[0.9, 0.1]], np.float32), 3).tolist() == [[7, 9, -1]]
    """

    def __init__(self, dim: int) -> None:
        """Makes an empty index of ``dim`` numbers a direction."""
        from usearch.index import Index

        self._index: Any = Index(
            ndim=dim, metric="ip", dtype="bf16", connectivity=_LINKS,
            expansion_add=_BREADTH, expansion_search=_BREADTH, enable_key_lookups=False,
        )  # fmt: skip
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._index)

    def add(self, keys: NDArray[np.integer[Any]], directions: Vectors) -> None:
        """Adds [m, d] unit vectors under [m] keys from 0 on."""
        with self._lock:
            self._index.add(keys.astype(np.uint64), np.ascontiguousarray(directions, np.float32), threads=1)

    def search(self, vectors: Vectors, count: int) -> NDArray[np.int64]:
        """Returns [n, count] keys of the nearest, best first; -1 where there are no more."""
        with self._lock:
            matches = self._index.search(np.ascontiguousarray(vectors, np.float32), count, threads=1)
        # For one query the library gives a row of its own, and leaves out what it has not found.
        keys: NDArray[np.int64] = np.asarray(matches.keys).astype(np.int64).reshape(len(vectors), -1)
        width = np.size(keys, 1)
        counts = np.reshape(getattr(matches, "counts", width), (-1, 1))
        found = np.full((len(vectors), count), -1, np.int64)
        found[:, :width] = np.where(np.arange(width) < counts, keys, -1)
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """The agents of a pool that follow one rule.

    Attributes:
        index: Finds them by row; it may hold rows of agents that are not in the pool.
        columns: [G] their positions in the pool.
        place: Position in the pool by row, -1 for rows that are not in it.
        sample: [S] some of the positions, drawn evenly.
    """

    index: NearIndex
    columns: NDArray[np.intp]
    place: NDArray[np.intp]
    sample: NDArray[np.intp]

    @classmethod
    def of(cls, index: NearIndex, columns: NDArray[np.intp], rows: NDArray[np.intp]) -> Group:
        """Makes a group of [G] positions in the pool and the row of each."""
        place = np.full(int(rows.max()) + 2, -1, np.intp)
        place[rows] = columns
        draw = np.random.default_rng(0).permutation(len(columns))[:SAMPLE]
        return cls(index, columns, place, columns[np.sort(draw)])

    def find(self, vectors: Vectors) -> NDArray[np.intp]:
        """Returns [n, k] positions in the pool; -1 for finds that are not in it."""
        stale = len(self.index) / len(self.columns)
        keys = self.index.search(vectors, round(CANDIDATES * max(1.0, stale)))
        # The last place is nobody's: it answers for rows that came after this pool, and for -1.
        return self.place[np.minimum(keys, len(self.place) - 1)]


@dataclass(frozen=True, slots=True, eq=False)
class _Some:
    """Some agents of a pool: their positions [m] and columns [m, d], [m]."""

    columns: NDArray[np.intp]
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]

    @classmethod
    def of(
        cls,
        weight: NDArray[np.float32],
        bias: NDArray[np.float32],
        rows: NDArray[np.intp],
        columns: NDArray[np.intp],
    ) -> _Some:
        return cls(columns, weight[rows[columns]], bias[rows[columns]])

    def logits(self, vectors: Vectors) -> NDArray[np.float32]:
        """Returns [n, m]."""
        found: NDArray[np.float32] = vectors @ self.weight.T + self.bias
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Shortlist:
    """Scores a large pool by looking at the likeliest agents only.

    Attributes:
        weight: [R, d] columns by row; rows never change once they are used.
        bias: [R].
        rows: [P] row of each agent of the pool.
        always: Those agents that are always scored, as positions and columns: agents with logged queries,
            and those of rules that few follow.
        groups: All others.
        samples: Each group's sample, as columns.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    rows: NDArray[np.intp]
    always: _Some
    groups: tuple[Group, ...]
    samples: tuple[_Some, ...]

    @classmethod
    def of(
        cls,
        weight: NDArray[np.float32],
        bias: NDArray[np.float32],
        rows: NDArray[np.intp],
        groups: Sequence[Group],
    ) -> Shortlist:
        """Makes a shortlist; agents that are in no group are always scored."""
        grouped = np.zeros(len(rows), bool)
        for group in groups:
            grouped[group.columns] = True
        some = [
            _Some.of(weight, bias, rows, at) for at in (np.flatnonzero(~grouped), *(g.sample for g in groups))
        ]
        return cls(weight, bias, rows, some[0], tuple(groups), tuple(some[1:]))

    def predict(self, vectors: Vectors, temperature: float) -> Prediction:
        """Returns what `agentnet.routers.sets.linear.predict` would, nearly.

        Agents that were not looked at have probability 0, and as logit the lowest of those looked up.
        """
        shape = (len(vectors), len(self.rows))
        raw, share = np.empty(shape, np.float32), np.zeros(shape, np.float32)
        familiarity = np.empty(len(vectors), np.float32)
        for start in range(0, len(vectors), _BLOCK):
            part = slice(start, start + _BLOCK)
            familiarity[part] = self._fill(vectors[part], np.float32(temperature), raw[part], share[part])
        return Prediction(raw, share, familiarity)

    def _fill(
        self, vectors: Vectors, temperature: np.float32, raw: NDArray[np.float32], share: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Fills in a block's logits and probabilities, and returns its familiarity."""
        listed = np.zeros(raw.shape, bool)
        raw[:] = np.inf
        raw[:, self.always.columns] = self.always.logits(vectors)
        listed[:, self.always.columns] = True
        counts = [self._look_up(group, vectors, raw, listed) for group in self.groups]
        np.copyto(raw, raw.min(1, keepdims=True), where=~listed)
        top = raw.max(1, keepdims=True)
        np.exp((raw - top) / temperature, out=share, where=listed)
        total = share.sum(1)
        for group, sample, count in zip(self.groups, self.samples, counts, strict=True):
            rest = ~listed[:, group.sample]
            terms = np.exp((sample.logits(vectors) - top) / temperature)
            mean = (terms * rest).sum(1) / np.maximum(rest.sum(1), 1)
            total += mean * (len(group.columns) - count).astype(np.float32)
        share /= total[:, None]
        found: NDArray[np.float32] = top[:, 0] / temperature + np.log(total)
        return found

    def _look_up(
        self, group: Group, vectors: Vectors, raw: NDArray[np.float32], listed: NDArray[np.bool_]
    ) -> NDArray[np.intp]:
        """Fills in the logits of a group's likeliest agents, and returns how many there are by query."""
        found = group.find(vectors)
        there = found >= 0
        at = self.rows[found]
        logits = np.matmul(self.weight[at], vectors[:, :, None])[:, :, 0] + self.bias[at]
        query, place = np.nonzero(there)
        raw[query, found[query, place]] = logits[query, place]
        listed[query, found[query, place]] = True
        counts: NDArray[np.intp] = there.sum(1)
        # Agents that are no longer in the pool can stand in front of the others: look at all, then.
        for i in np.flatnonzero(counts < CANDIDATES // 2):
            everyone = _Some.of(self.weight, self.bias, self.rows, group.columns)
            scores = everyone.logits(vectors[i : i + 1])[0]
            best = np.argsort(-scores, kind="stable")[:CANDIDATES]
            raw[i, group.columns[best]] = scores[best]
            listed[i, group.columns[best]] = True
            counts[i] = int(listed[i, group.columns].sum())
        return counts
