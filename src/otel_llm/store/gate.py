"""Room store: lets a fork of the process wait until the writer's thread is outside SQLite."""

import os
import threading
from typing import Final

_FORK_WAIT: Final = 0.25
"""[s] No fork waits longer."""


class Gate:
    """Held while a thread is inside SQLite, so that a fork does not copy its locks shut into the child."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._waited = False

    def wait(self) -> None:
        """Before a fork: until the thread is outside, at most `_FORK_WAIT`."""
        self._waited = self.lock.acquire(timeout=_FORK_WAIT)

    def go_on(self) -> None:
        """After the fork, in the parent."""
        if self._waited:
            self._waited = False
            self.lock.release()

    def renew(self) -> None:
        """After the fork, in the child: the thread that may hold the lock is not here."""
        self.lock = threading.Lock()


gate: Final = Gate()
os.register_at_fork(before=gate.wait, after_in_parent=gate.go_on, after_in_child=gate.renew)
