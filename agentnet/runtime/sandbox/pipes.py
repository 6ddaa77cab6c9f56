"""The pipes of a sandbox process: what goes in, what comes out, how much, and until when."""

from __future__ import annotations

import contextlib
import os
import selectors
import time
from collections.abc import Callable
from typing import Literal

CHUNK = 1 << 16
#: The report is the supervisor's own, but a hostile program may write to it.
REPORT_SLACK = 1 << 14
#: How often a process without open pipes is looked after where the kernel cannot wake us (macOS).
POLL_S = 0.005

Stop = Literal["", "wall", "output"]


class Pipes:
    """Feeds one pipe and collects three, none of them without bound.

    Args:
        stdin: the file descriptor to write to.
        outputs: the file descriptors of stdout, stderr and the report, in this order.
        output_bytes: how much is kept of each; one byte more is a reason to stop.
    """

    def __init__(self, stdin: int, outputs: tuple[int, int, int], output_bytes: int) -> None:
        self._stdin = stdin
        bounds = (output_bytes, output_bytes, output_bytes + REPORT_SLACK)
        self._bounds = dict(zip(outputs, bounds, strict=True))
        self._captured = {fd: bytearray() for fd in outputs}
        self._open = {stdin, *outputs}
        for fd in self._open:
            os.set_blocking(fd, False)

    def captured(self) -> tuple[bytes, bytes, bytes]:
        """Return what came of stdout, stderr and the report."""
        stdout, stderr, report = (bytes(buffer) for buffer in self._captured.values())
        return stdout, stderr, report

    def pump(self, data: bytes, deadline: float, pidfd: int | None, ended: Callable[[], bool]) -> Stop:
        """Move bytes until the process has ended, a bound is reached, or ``deadline`` has passed.

        Args:
            data: what to write to stdin, which is then closed.
            deadline: in seconds of ``time.monotonic``.
            pidfd: becomes readable when the process ends; None where there is no such thing.
            ended: whether the process has ended; asked only without a ``pidfd``.

        Returns:
            Why it stopped: ``""`` if the process has ended.
        """
        pending = memoryview(data)
        with selectors.DefaultSelector() as selector:
            for fd in self._open:
                selector.register(fd, selectors.EVENT_WRITE if fd == self._stdin else selectors.EVENT_READ)
            if pidfd is not None:
                selector.register(pidfd, selectors.EVENT_READ)
            while True:
                left = deadline - time.monotonic()
                if left <= 0:
                    return "wall"
                if pidfd is None and self._open <= {self._stdin}:
                    if ended():
                        return ""
                    left = min(left, POLL_S)
                ready = {key.fd for key, _ in selector.select(left)}
                if self._stdin in ready:
                    pending = self._feed(selector, pending)
                for fd in ready & self._captured.keys():
                    if not self._collect(selector, fd):
                        return "output"
                if pidfd in ready:
                    return ""

    def _feed(self, selector: selectors.BaseSelector, pending: memoryview) -> memoryview:
        try:
            pending = pending[os.write(self._stdin, pending[:CHUNK]) :]
        except BlockingIOError:
            return pending
        except OSError:  # nobody reads any more
            pending = pending[:0]
        if not pending:
            self._finish(selector, self._stdin)
        return pending

    def _collect(self, selector: selectors.BaseSelector, fd: int) -> bool:
        """Read once; False if that went over the bound."""
        try:
            chunk = os.read(fd, CHUNK)
        except BlockingIOError:
            return True
        if not chunk:
            self._finish(selector, fd)
            return True
        buffer, bound = self._captured[fd], self._bounds[fd]
        fits = len(buffer) + len(chunk) <= bound
        buffer += chunk[: bound - len(buffer)]
        return fits

    def _finish(self, selector: selectors.BaseSelector, fd: int) -> None:
        selector.unregister(fd)
        os.close(fd)
        self._open.discard(fd)

    def close(self) -> bool:
        """Take what an ended process left behind and close; False if that went over a bound."""
        kept = True
        for fd in self._captured:
            # What a pipe holds is bounded, unless a process that outlived its group still writes.
            with contextlib.suppress(BlockingIOError):
                while fd in self._open and (chunk := os.read(fd, CHUNK)):
                    room = self._bounds[fd] - len(self._captured[fd])
                    self._captured[fd] += chunk[:room]
                    if len(chunk) > room:
                        kept = False
                        break
        while self._open:
            with contextlib.suppress(OSError):
                os.close(self._open.pop())
        return kept
