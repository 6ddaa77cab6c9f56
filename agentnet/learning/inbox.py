"""`Inbox`: a bounded queue that never makes its writers wait: when full, it drops the oldest."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Inbox(Generic[T]):
    """A queue for any number of writers; its lock is held for moments only.

    >>> box = Inbox[int](2)
    >>> [box.put(i) for i in (1, 2, 3)], box.take(), len(box)
    ([0, 0, 1], 2, 1)
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._items: deque[T] = deque()
        self._lock = threading.Lock()
        self._closed = False

    def put(self, item: T) -> int:
        """Adds an item; returns how many were dropped for it: 0 or 1."""
        with self._lock:
            if self._closed:
                return 1
            full = len(self._items) >= self._limit
            if full:
                self._items.popleft()
            self._items.append(item)
            return int(full)

    def take(self) -> T | None:
        """Returns the oldest item; None when there is none."""
        with self._lock:
            return self._items.popleft() if self._items else None

    def close(self) -> None:
        """Takes nothing more; what is in it stays."""
        with self._lock:
            self._closed = True

    def __len__(self) -> int:
        return len(self._items)
