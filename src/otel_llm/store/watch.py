"""Room store: the bounds of those who send over HTTP: how many connections, how long each, how much of all at once.

Every connection has a deadline, told by a watch that cuts its socket: time-outs of single reads do not bound a peer
that drips. `otlp_server` asks here; nothing here knows of HTTP.
"""

import contextlib
import socket
import threading
import time
from typing import Any, Final

MOST_HELD: Final = 32 * 1024 * 1024
"""[byte] Of bodies, of all connections together; who wants more waits."""

MOST_CONNECTIONS: Final = 64
"""At most; then one that is idle goes."""

FIRST_WITHIN: Final = 10.0
"""[s] From the connection to the first byte."""

ROOM_WITHIN: Final = 5.0
"""[s] Until there is room for a body."""

_SWEEP: Final = 0.25


class Budget:
    """Bytes that all connections share."""

    def __init__(self, most: int) -> None:
        self._left = most
        self._freed = threading.Condition()

    def take(self, count: int) -> bool:
        """Whether ``count`` bytes were to be had within `ROOM_WITHIN`."""
        with self._freed:
            if not self._freed.wait_for(lambda: self._left >= count, ROOM_WITHIN):
                return False
            self._left -= count
        return True

    def give(self, count: int) -> None:
        """Give back what was taken."""
        with self._freed:
            self._left += count
            self._freed.notify_all()


class Watch:
    """Cuts connections that are beyond their deadline."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._deadlines: dict[Any, tuple[float, bool]] = {}
        self._closed = threading.Event()
        threading.Thread(target=self._run, name="otel-llm-receive-watch", daemon=True).start()

    def add(self, connection: Any) -> bool:
        """Watch over ``connection``; false where there are too many that are busy."""
        with self._lock:
            if len(self._deadlines) >= MOST_CONNECTIONS:
                idle = [(deadline, one) for one, (deadline, is_idle) in self._deadlines.items() if is_idle]
                if not idle:
                    return False
                _, oldest = min(idle, key=lambda pair: pair[0])
                del self._deadlines[oldest]
                _cut(oldest)
            self._deadlines[connection] = (time.monotonic() + FIRST_WITHIN, True)
        return True

    def expect(self, connection: Any, seconds: float, *, idle: bool = False) -> bool:
        """Give ``connection`` so long from now [s]; false if it was let go meanwhile."""
        with self._lock:
            if connection not in self._deadlines:
                return False
            self._deadlines[connection] = (time.monotonic() + seconds, idle)
        return True

    def remove(self, connection: Any) -> None:
        """Watch no more over ``connection``."""
        with self._lock:
            self._deadlines.pop(connection, None)

    def close(self) -> None:
        """Cut what is idle, and have the rest cut soon."""
        self._closed.set()
        with self._lock:
            for connection, (_, idle) in self._deadlines.items():
                if idle:
                    _cut(connection)

    def busy(self) -> int:
        """How many connections have a request under way."""
        with self._lock:
            return sum(not idle for _, idle in self._deadlines.values())

    def _run(self) -> None:
        while not self._closed.wait(_SWEEP):
            now = time.monotonic()
            with self._lock:
                for connection, (deadline, _) in self._deadlines.items():
                    if now > deadline:
                        _cut(connection)


def _cut(connection: Any) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
