"""`torch_threads`: bounds torch's threads for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    """Sets torch's number of threads inside the block and puts it back; None leaves it alone.

    Many small operations on several threads collapse when another process wants one of the cores: they
    wait for each other at every step. The number belongs to the process, not to the calling thread.

    >>> with torch_threads(1):
    ...     import torch; torch.get_num_threads()
    1
    """
    import torch

    before = torch.get_num_threads()
    if count is not None and count != before:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)
