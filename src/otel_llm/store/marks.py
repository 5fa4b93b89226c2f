"""Room store: what stands between the host's threads and the writer's: counts, markers, timers. No I/O."""

import itertools
import threading
from collections.abc import Callable
from typing import Final

SPAN: Final = 0
LOGS: Final = 1
METRICS: Final = 2
MARKER: Final = 3
"""Kinds of what stands in the queue."""


class Tally:
    """A counter that any thread may raise and read without a lock."""

    __slots__ = ("_count", "add")

    def __init__(self) -> None:
        self._count = itertools.count()
        self.add: Callable[[], int] = self._count.__next__

    def value(self) -> int:
        """How often `add` was called."""
        return int(repr(self._count)[len("count(") : -1])  # there is no other door that takes none out


class Marker:
    """A place in the queue; says once everything before it is on disk."""

    __slots__ = ("_done", "durable")

    def __init__(self) -> None:
        self.durable = False
        self._done = threading.Event()

    def finish(self, *, durable: bool) -> None:
        """Let the waiting one go; the first answer stands."""
        if not self._done.is_set():
            self.durable = durable
            self._done.set()

    def wait(self, timeout: float) -> bool:
        """Whether all before the marker is on disk within ``timeout`` [s]."""
        return self._done.wait(timeout) and self.durable


class Timer:
    """A function that runs on the writer's thread every so often."""

    __slots__ = ("cancelled", "due", "function", "interval")

    def __init__(self, interval: float, function: Callable[[], object]) -> None:
        self.interval = interval
        self.function = function
        self.due = 0.0
        self.cancelled = False
