"""Lets a fork of the process wait until threads of ours are outside what must not be copied half done."""

import os
import threading
from typing import Any, Final


class Gate:
    """Held by a thread while it is inside, so that a fork does not copy what it holds shut into the child.

    Args:
        longest: No fork waits longer [s].
    """

    def __init__(self, longest: float) -> None:
        self.renew()
        self._longest = longest
        self._waited = False
        os.register_at_fork(before=self.wait, after_in_parent=self.go_on, after_in_child=self.renew)

    @property
    def lock(self) -> threading.Lock:
        """What to hold."""
        if self._kind is not threading.Lock:
            self.renew()  # gevent has exchanged it: who waits for one of the old kind stops every greenlet
        return self._lock

    def wait(self) -> None:
        """Before a fork: until the thread is outside, at most ``longest``."""
        self._waited = self.lock.acquire(timeout=self._longest)

    def go_on(self) -> None:
        """After the fork, in the parent."""
        if self._waited:
            self._waited = False
            self._lock.release()

    def renew(self) -> None:
        """After the fork, in the child: the thread that may hold the lock is not here."""
        self._kind: Any = threading.Lock
        self._lock: threading.Lock = threading.Lock()


importing: Final = Gate(1.0)
"""Held while a thread of ours imports modules: a child forked meanwhile would have them half made, for ever."""
