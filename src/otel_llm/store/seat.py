"""Room store: what one process at a time may do with a store. The lock is the kernel's, so death lets go of it.

A record lock (`fcntl.lockf`), not `flock`: a forked child does not inherit it, so that the death of who holds it frees
it even while children of its own live. Closing any descriptor of the file lets go of it, so this process opens each
such file once.
"""

import errno
import fcntl
import os
from hashlib import sha256
from pathlib import Path
from typing import Final

_TAKEN: Final = frozenset({errno.EAGAIN, errno.EACCES})
_held: Final[dict[str, int]] = {}
"""By path of the lock file, the process that holds it: a forked child finds its parent's."""


class Seat:
    """One seat, beside the store.

    Args:
        store: The store's path.
        purpose: One word, which the file's name ends with.
        about: What the seat is one of: others about something else have a seat of their own.
    """

    def __init__(self, store: Path, purpose: str, about: str) -> None:
        self.path = f"{store}.{purpose}-{sha256(about.encode()).hexdigest()[:8]}"
        self._descriptor: tuple[int, int] | None = None

    def take(self) -> bool:
        """Whether this object has the seat now; never waits.

        Raises:
            OSError: No lock file can be made there.
        """
        pid = os.getpid()
        if self._descriptor is not None and self._descriptor[0] == pid:
            return True
        if _held.get(self.path) == pid:
            return False
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if error.errno in _TAKEN:
                return False
            raise
        self._descriptor = (pid, descriptor)
        _held[self.path] = pid
        return True

    def leave(self) -> None:
        """Let go of the seat, where this object has it."""
        if self._descriptor is not None and self._descriptor[0] == os.getpid():
            os.close(self._descriptor[1])
            _held.pop(self.path, None)
        self._descriptor = None
