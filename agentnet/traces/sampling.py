"""`Sample`: at most k of any number of items, chosen by the hash of their keys, in memory for k."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from hashlib import blake2b
from typing import Generic, TypeVar

T = TypeVar("T")


class Sample(Generic[T]):
    """Keeps the k items whose keys have the smallest hashes: a uniform sample that everybody agrees on.

    The same items in another order, or in several passes, give the same sample.

    >>> sample = Sample[int](2)
    >>> for i in range(100):
    ...     _ = sample.add(str(i), i)
    >>> len(sample), sample.offered
    (2, 100)
    """

    def __init__(self, most: int, *, seed: int = 0) -> None:
        self._most = most
        self._salt = str(seed).encode()
        self._heap: list[tuple[int, int, T]] = []  # the largest hash first; the number breaks ties
        self.offered = 0

    def add(self, key: str, item: T) -> bool:
        """Offers an item; returns whether it is in the sample now."""
        self.offered += 1
        rank = -int.from_bytes(blake2b(key.encode(), digest_size=8, key=self._salt).digest())
        if len(self._heap) == self._most and rank <= self._heap[0][0]:
            return False
        if len(self._heap) < self._most:
            heapq.heappush(self._heap, (rank, self.offered, item))
            return True
        heapq.heapreplace(self._heap, (rank, self.offered, item))
        return True

    def __len__(self) -> int:
        return len(self._heap)

    def __iter__(self) -> Iterator[T]:
        """Yields the sample in the order in which it was offered."""
        return (item for _, _, item in sorted(self._heap, key=lambda entry: entry[1]))
