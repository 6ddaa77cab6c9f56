"""What a learner has done so far, and how long it held the interpreter."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnerStats:
    """Counts since the learner was made, and where it stands."""

    offered: int
    """Runs that could teach the router; failed and abstained ones are not among them."""
    sampled: int
    """Offered runs that the sampling rate took."""
    dropped: int
    """Sampled runs that a full queue pushed out, the oldest first, or that came after `close`."""
    recovered: int
    """Runs of earlier processes taken up from their traces."""
    judged: int
    """Verdicts with a score that were given."""
    unreadable: int
    """Verdicts without a score."""
    accepted: int
    """Runs that passed the gate; those whose verdict stood in the trace are among them."""
    learned: int
    """Runs that the router used, rejected ones among them if it is told of them."""
    batches: int
    errors: int
    """Failures of judges, of the router and of the store; each was logged."""
    waiting: int
    """Runs that wait: to be judged, or to be learned from."""
    version: int
    """Number of the router's snapshot that is served."""
    shared_version: int | None
    """Version of the shared state it was taken from; None without a store."""
    judge_cost: Decimal
    """USD of the verdicts whose cost is known."""
    judge_cost_unknown: int
    """Verdicts whose cost is unknown."""
    longest_hold_s: float
    """Most CPU seconds the learning thread worked between two points where it gives way: an upper bound
    on what it kept other threads from the interpreter, apart from the operating system's pauses."""


COUNTED = (
    "offered",
    "sampled",
    "dropped",
    "recovered",
    "judged",
    "unreadable",
    "accepted",
    "learned",
    "batches",
    "errors",
    "judge_cost_unknown",
)
"""Fields of `LearnerStats` that a `Tally` counts."""


class Tally:
    """Counters that several threads add to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._cost = Decimal(0)

    def add(self, **counts: int) -> None:
        """Adds to counters by name."""
        with self._lock:
            self._counts.update(counts)

    def spend(self, cost: Decimal | None) -> None:
        """Adds what a verdict cost; an unknown cost is counted, never taken for zero."""
        with self._lock:
            if cost is None:
                self._counts["judge_cost_unknown"] += 1
            else:
                self._cost += cost

    def read(self) -> tuple[Counter[str], Decimal]:
        """Returns a copy of the counters, and the known cost."""
        with self._lock:
            return Counter(self._counts), self._cost


class Holds:
    """Measures the uninterrupted sections of one thread's work, and ends them.

    A section's length is the CPU time its thread used (`time.thread_time`), so that waiting for a database
    or a lock does not count; work in C that lets other threads run does, so it is an upper bound.
    """

    def __init__(self) -> None:
        self.longest_s = 0.0
        self._since = 0.0

    def begin(self) -> None:
        """Starts the first section."""
        self._since = time.thread_time()

    def end(self) -> None:
        """Ends a section and lets other threads run; the next begins."""
        self.longest_s = max(self.longest_s, time.thread_time() - self._since)
        # Longer than a waiting thread takes to wake up, or this one would have the interpreter back first.
        time.sleep(1e-4)
        self._since = time.thread_time()
