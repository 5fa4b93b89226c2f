"""Room probe: which of a host's processes reports what they share. The lock is the kernel's, so death lets go of it.

A record lock (`fcntl.lockf`), not `flock`: a forked child does not inherit it, so a worker's death frees it even while
its own children live.
"""

import contextlib
import os
import socket
import tempfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: each process reports
    fcntl = None  # type: ignore[assignment]


class Reporter:
    """One seat among the processes of a user on a host that report to the same place.

    Args:
        place: What the readings go to, e.g. the store's path: processes with different ones do not share a seat.
        folder: Where the lock file stands; the user's folder for what runs now where ``None``.
    """

    def __init__(self, place: str, folder: Path | None = None) -> None:
        self._place = place
        self._folder = folder
        self._held: dict[int, int | None] = {}

    def holds(self) -> bool:
        """Whether this process has the seat; takes it where it is free. Never waits, never raises.

        Where no lock is to be had (no writable folder) each process believes that it has the seat: series that come
        twice are better than none.
        """
        pid = os.getpid()
        if pid in self._held:
            return True
        handle = None
        for file in self._files():
            try:
                handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError:
                continue
            try:
                _seize(handle)
            except (BlockingIOError, PermissionError):  # POSIX lets systems say either
                os.close(handle)
                return False
            except OSError:  # a file system without locks
                os.close(handle)
                handle = None
                continue
            break
        self._held[pid] = handle
        return True

    def release(self) -> None:
        """Leave the seat to another process."""
        handle = self._held.pop(os.getpid(), None)
        if handle is not None:
            with contextlib.suppress(OSError):
                os.close(handle)

    def _files(self) -> Iterator[Path]:
        """Where the lock may stand, the best place first; one that cannot be made is left out."""
        if fcntl is None:
            return
        name = sha256(f"{socket.gethostname()}\0{self._place}".encode()).hexdigest()[:16]
        for folder in (self._folder,) if self._folder else _folders():
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                mine = folder.stat().st_uid == os.getuid()
            except OSError:
                continue
            if mine:  # in a shared folder somebody else may have made it first
                yield folder / f"reporter-{name}.lock"


def _seize(handle: int) -> None:
    """Lock an open file, or raise at once."""
    if fcntl is not None:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _folders() -> Iterator[Path]:
    """Folders of this user's that every process of theirs finds alike, whatever its environment says."""
    yield Path("/run/user") / str(os.getuid()) / "otel-llm"
    yield Path("/dev/shm") / f"otel-llm-{os.getuid()}"  # noqa: S108 - its owner is checked
    yield Path(tempfile.gettempdir()) / f"otel-llm-{os.getuid()}"
