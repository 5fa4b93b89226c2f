"""Room store: the writer's connection to the file. Opens, migrates, guards the file's identity, checkpoints.

Only the writer's thread uses it. Four laws of SQLite shape it: a process that opens and closes the database file by
hand loses its locks, so the file is only looked at with `os.stat`; a file that was replaced goes on "accepting" writes,
so its identity is compared around each batch; and old SQLite may lose commits when two connections checkpoint at once,
so checkpoints happen only here, under a lock on a file of its own; and a log index (``-shm``) that is cut while it is
mapped kills the process that looks at it, so its length is looked at before.
"""

import contextlib
import errno
import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from otel_llm.store.migration import NewerSchemaError, migrate

__all__ = ["BusyError", "Connection", "NewerSchemaError", "is_corrupt", "quarantine"]

BUSY_TIMEOUT: Final = 2.0
"""[s] How long one statement waits for another process's write."""

CACHE: Final = "PRAGMA cache_size = -512"
"""[KiB] What a connection holds of the file. Where many rows are read it fills, by SQLite's default to 2,000; the next
write of another process empties it, but the heap of the thread that filled it stays as large."""

_CORRUPT: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_INDEX_HEADER: Final = 136
"""Bytes at the start of the log's index that say what the log holds; without them it is read anew."""

_MOST_KEPT_OPEN: Final = 16
_kept_open: Final[dict[tuple[int, int], int]] = {}
"""Descriptors of indices that were written to, by device and inode: closing one would drop this process's locks."""


class BusyError(Exception):
    """Another process holds the lock file."""


class DamageError(Exception):
    """What was written cannot be read again."""


Identity = tuple[int, int, int, int, int, int]


class Connection:
    """An open database and the identity of its files.

    Attributes:
        aside: Where a damaged file that stood at the path is now.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock_path = path.with_name(path.name + ".lock")
        self.wal_path = path.with_name(path.name + "-wal")
        self.index_path = path.with_name(path.name + "-shm")
        self._index_size = 0
        self.aside: Path | None = None
        self._make_files()
        with self.locked(timeout=BUSY_TIMEOUT):
            try:
                self.sqlite = self._open()
            except sqlite3.DatabaseError as error:
                if not is_corrupt(error):
                    raise
                self.aside = quarantine(path)
                self._make_files()
                self.sqlite = self._open()
        self._identity = self._look()

    def _make_files(self) -> None:
        """Folder 0700 and file 0600; SQLite gives ``-wal`` and ``-shm`` the mode of the database."""
        missing = [folder for folder in (self.path.parent, *self.path.parent.parents) if not folder.exists()]
        for folder in reversed(missing):
            with contextlib.suppress(FileExistsError):
                folder.mkdir(mode=0o700)
        # Only ever a new file: closing one that SQLite has open would drop this process's locks on it.
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.Connection(  # not connect(), which other instrumentations wrap
            self.path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        try:
            connection.execute(CACHE)
            migrate(connection, self.path)
        except BaseException:
            connection.close()
            raise
        return connection

    def _look(self) -> Identity:
        """Which files stand at the path now; zeros for a missing one."""
        identity: list[int] = []
        size = 0
        for path in (self.path, self.wal_path, self.index_path):
            try:
                found = os.stat(path)  # noqa: PTH116 - per batch, and Path.stat costs twice as much
                identity += (found.st_dev, found.st_ino)
                size = found.st_size
            except FileNotFoundError:
                identity += (0, 0)
                size = self._index_size
        if size < self._index_size:
            self._mend_index()
        self._index_size = max(size, self._index_size)
        return identity[0], identity[1], identity[2], identity[3], identity[4], identity[5]

    def _mend_index(self) -> None:
        """Give an index that was cut its length again, before SQLite looks at it; its zeros have the log read anew.

        By the path, not by a descriptor, whose closing would drop this process's locks on the file.
        """
        with contextlib.suppress(FileNotFoundError):
            os.truncate(self.index_path, self._index_size)

    def is_current(self) -> bool:
        """Whether the path still names the files that were opened.

        A write-ahead log and its index that were missing at the start appear with the first write; they must not vanish
        again.
        """
        now = self._look()
        if now == self._identity:
            return True
        if now[:2] == self._identity[:2] and self._identity[2:] == (0, 0, 0, 0):
            self._identity = now
            return True
        return False

    def prove(self) -> None:
        """Read with fresh eyes, as a reader would: the beginning of the file and what was written last.

        Raises:
            DamageError: It cannot be read, or not all of it is there.
            BusyError: It cannot be told now.
        """
        newest = "SELECT max(id) FROM spans"
        try:
            own = self.sqlite.execute(newest).fetchone()[0] or 0
            fresh = sqlite3.Connection(f"{self.path.absolute().as_uri()}?mode=ro", uri=True, timeout=0.1)
            try:
                fresh.execute("SELECT value FROM meta WHERE key = 'generation'").fetchone()
                found = fresh.execute(newest).fetchone()[0] or 0
                fresh.execute("SELECT trace_id FROM spans WHERE id = ?", (found,)).fetchone()
            finally:
                fresh.close()
        except sqlite3.Error as error:
            if (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
                raise BusyError(str(self.path)) from None
            raise DamageError(str(error)) from error
        if found < own:
            message = f"the newest row is {found}, where {own} was written"
            raise DamageError(message)

    def read_log_anew(self) -> None:
        """Have every connection of every process forget what it knows of the write-ahead log, and read it again.

        What of the log can still be read is so kept, with all that was copied into the database before.
        """
        with contextlib.suppress(sqlite3.Error):
            self.sqlite.execute("BEGIN IMMEDIATE")  # nobody writes meanwhile
        try:
            found = os.stat(self.index_path)  # noqa: PTH116 - as everywhere here
            place = found.st_dev, found.st_ino
            if place not in _kept_open and len(_kept_open) < _MOST_KEPT_OPEN:
                _kept_open[place] = os.open(self.index_path, os.O_RDWR | os.O_CLOEXEC)
            if place in _kept_open:
                os.pwrite(_kept_open[place], bytes(_INDEX_HEADER), 0)
        finally:
            with contextlib.suppress(sqlite3.Error):
                if self.sqlite.in_transaction:
                    self.sqlite.execute("ROLLBACK")

    @contextlib.contextmanager
    def locked(self, timeout: float) -> Iterator[None]:
        """Hold the cross-process lock.

        Raises:
            BusyError: Another process held it for ``timeout`` [s].
        """
        descriptor = os.open(self.lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            deadline = time.monotonic() + timeout
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError as error:
                    if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                        raise
                    if time.monotonic() >= deadline:
                        raise BusyError(str(self.lock_path)) from None
                    time.sleep(0.01)
            yield
        finally:
            with contextlib.suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_UN)  # a child forked meanwhile holds the same lock open
            os.close(descriptor)

    def size(self) -> int:
        """Size of the database without its log [byte]."""
        return os.stat(self.path).st_size  # noqa: PTH116 - per batch

    def wal_size(self) -> int:
        """Size of the write-ahead log [byte]."""
        try:
            return os.stat(self.wal_path).st_size  # noqa: PTH116 - per batch
        except FileNotFoundError:
            return 0

    def checkpoint(self, *, limit: int) -> None:
        """Copy the write-ahead log into the database once it is longer than ``limit`` [byte]; cut it when it is empty.

        Does nothing while another process is at it. A reader that is in the way leaves work for the next time.
        """
        if self.wal_size() <= limit:
            return
        with contextlib.suppress(BusyError), self.locked(timeout=0.0):
            busy, pages, copied = self.sqlite.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            if not busy and pages == copied and self.wal_size() > limit:
                self.sqlite.execute("PRAGMA busy_timeout = 50")
                try:
                    self.sqlite.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                finally:
                    self.sqlite.execute(f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT * 1000)}")

    def set_aside(self) -> Path | None:
        """Close, and quarantine the damaged file; ``None`` when another process did so before."""
        self._look()
        with contextlib.suppress(sqlite3.Error):
            self.sqlite.close()
        with self.locked(timeout=BUSY_TIMEOUT):
            return quarantine(self.path) if self._look()[:2] == self._identity[:2] else None  # closing took the log

    def close(self) -> None:
        """Close, under the lock where it can be had: the last one to close checkpoints.

        Where another database took the path, the log that this one left there goes: it must not be taken for the
        other's.
        """
        with contextlib.suppress(sqlite3.Error, OSError), contextlib.ExitStack() as stack:
            with contextlib.suppress(BusyError):
                stack.enter_context(self.locked(timeout=BUSY_TIMEOUT))
            self._look()
            self.sqlite.close()
            now = self._look()
            if now[:2] != self._identity[:2] and now[2:4] == self._identity[2:4] != (0, 0):
                for suffix in ("-wal", "-shm"):
                    self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)


def is_corrupt(error: sqlite3.Error) -> bool:
    """Whether SQLite says that the file is damaged, or none of its own."""
    return (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF in _CORRUPT


def quarantine(path: Path) -> Path:
    """Set a damaged database aside under a name that says when; returns the name."""
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    aside = path.with_name(f"{path.name}.corrupt-{stamp}")
    for suffix in ("-wal", "-shm", ""):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
    return aside
