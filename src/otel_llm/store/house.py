"""Room store: keeps the files within their bounds while calls are written. Runs on the writer's thread.

The database has at most the quota, by SQLite's own bound of pages; the write-ahead log is copied and cut when it is
longer than `log_limit`, and while a reader stands in the way nothing is written that would make it longer than
`log_bound`. Both together stay below 1.2 times the quota at every moment.
"""

import os
import sqlite3
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from otel_llm.store import retention, rollup
from otel_llm.store.clock import Clock
from otel_llm.store.connection import Connection

LINGER: Final = 0.05
"""[s] How long the thread waits for company before it writes."""

_LONG_LINGER: Final = 0.12
"""[s] The same while the log cannot be cut: each write makes it longer by whole pages, however little it says."""

_LONGEST_LOG: Final = 60_000_000
_LEAST_LOG: Final = 450_000
"""[byte] What log and index take in one transaction however small the quota is: there the database has less of it."""

_TICK: Final = 30.0
_TICK_ROWS: Final = 2000
_SWEEP: Final = 6 * 3600.0
_RESERVED_FROM: Final = 8
"""A database so many times as large as its log may be has a reserve."""

_FEW: Final = 10
"""Rows whose deletion takes little room."""

_AGAIN: Final = 1.0
"""[s] After which the log is tried again."""


class LogFullError(Exception):
    """The write-ahead log is as long as it may be, and a reader keeps it from being cut."""


class House:
    """The quota of one store, as one writer keeps it.

    Args:
        max_size: Quota of database and write-ahead log [byte].
        max_age: Older rows are deleted [s].

    Attributes:
        log_limit: How long the log may be before it is copied [byte].
        log_bound: How long it may be at all [byte].
        rows: Written since the last look.
    """

    def __init__(self, *, max_size: int, max_age: float) -> None:
        self._quota = int(max_size)
        self._max_size = self._quota - min(self._quota // 2, max(0, _LEAST_LOG - self._quota // 5))
        self._max_age = max_age
        self._clock = Clock()
        self._tick_at = 0.0
        self._sweep_at = 0.0
        self._prune_at = 0.0
        self._relief_at = 0.0
        self._is_pressed = False
        self._log_at: float | None = None
        self.rows = 0
        self.log_limit = retention.wal_limit(self._max_size)
        self.log_bound = max(self.log_limit, min(_LONGEST_LOG, self._max_size * 3 // 16))

    @property
    def due(self) -> float | None:
        """When to look again by itself, on the monotonic clock [s]; ``None`` for not at all."""
        dues = [self._tick_at] if self.rows else []
        return min((*dues, self._log_at), default=None) if self._log_at is not None else next(iter(dues), None)

    @property
    def linger(self) -> float:
        """How long to wait for company [s]."""
        return LINGER if self._log_at is None else _LONG_LINGER

    def enter(self, sqlite: sqlite3.Connection) -> None:
        """Bound the database, and tell readers the quotas, for they do not know this process's configuration."""
        size = sqlite.execute("PRAGMA page_size").fetchone()[0]
        sqlite.execute(f"PRAGMA max_page_count = {max(64, self._max_size // size)}")
        limits = {"max_size": self._quota, "max_age": int(self._max_age)}
        known = dict(sqlite.execute("SELECT key, value FROM meta").fetchall())
        if limits.items() - known.items():
            sqlite.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", list(limits.items()))

    def checkpoint(self, connection: Connection) -> None:
        """Cut the log if it is too long; where that cannot be, it is tried again in a while."""
        connection.checkpoint(limit=self.log_limit)
        is_long = connection.wal_size() > self.log_limit
        self._log_at = time.monotonic() + _AGAIN if is_long else None

    def admit(self, connection: Connection) -> None:
        """Let a batch in.

        Raises:
            LogFullError: Not now.
        """
        if self._is_pressed:  # before new rows take the room that the deletes want
            self._is_pressed = False
            self.relieve(connection)
        if connection.wal_size() > self.log_bound:
            self.checkpoint(connection)
            if connection.wal_size() > self.log_bound:
                message = f"the log is at its bound of {self.log_bound} bytes, and a reader keeps it from being cut"
                raise LogFullError(message)

    def keep(self, connection: Connection) -> bool:
        """Age, size and orphans, once in a while and after writing.

        Returns:
            Whether rows that others share are gone, so that their ids must be forgotten.
        """
        now = time.monotonic()
        if self._log_at is not None and now >= self._log_at:
            self.checkpoint(connection)
        if not self.rows or (self._log_at is not None and connection.wal_size() > self.log_bound):
            return False
        is_large = connection.size() > self._max_size - self.log_limit
        if now < self._tick_at and self.rows < _TICK_ROWS and not is_large:
            return False
        self.rows = 0
        self._tick_at = now + _TICK
        return self._look(connection, now)

    def _look(self, connection: Connection, now: float) -> bool:
        sqlite = connection.sqlite
        wall = self._clock.now(sqlite)
        if rollup.fold(sqlite) or now >= self._prune_at:
            self._prune_at = now + _SWEEP
            rollup.prune(sqlite, max_size=self._max_size, now=wall)
        gone = retention.expire(connection, max_age=self._max_age, now=wall, limit=self.log_limit)
        gone += retention.shrink(connection, max_size=self._max_size)
        swept = False
        if gone and now >= self._sweep_at:
            self._sweep_at = now + _SWEEP
            swept = bool(retention.sweep(connection))
        self.checkpoint(connection)
        self._hold_reserve(connection)
        return swept

    def is_filled(self, connection: Connection) -> bool:
        """After SQLite said that there is no room: whether the quota is the reason, and not the disk."""
        size, most = (
            connection.sqlite.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_size", "max_page_count")
        )
        return bool(most >= self._max_size // size and _room(connection.path) > 2 * self.log_limit)

    def make_room(self, connection: Connection) -> int:
        """Delete the oldest rows until a sixteenth of the quota is free; returns the number of rows."""
        self.checkpoint(connection)
        return retention.shrink(connection, max_size=self._max_size, least=self._max_size // 16)

    def _hold_reserve(self, connection: Connection) -> None:
        """Keep room for the log of the deletes that a full disk will ask for, once there is something to delete."""
        reserve = _reserve(connection.path)
        if connection.size() < _RESERVED_FROM * self.log_limit or reserve.exists():
            return
        if _room(connection.path) > 4 * self.log_limit:
            with suppress(OSError):
                reserve.touch(mode=0o600)
                reserve.write_bytes(bytes(self.log_limit))  # not a hole: it must take its room

    def give_reserve(self, path: Path) -> bool:
        """Whether the disk is full and there was a reserve, which is room now."""
        with suppress(OSError):
            if _room(path.parent) < self.log_limit:
                _reserve(path).unlink()
                self._is_pressed = True
                return True
        return False

    def relieve(self, connection: Connection) -> None:
        """On a full disk: give the reserve to the log, copy and cut it, delete what is over age or quota. Not often.

        Raises:
            sqlite3.Error: Not even that can be written.
        """
        now = time.monotonic()
        if now >= self._relief_at:
            self._relief_at = now + _AGAIN  # unless it succeeds
            self.give_reserve(connection.path)
            connection.checkpoint(limit=0)
            wall = self._clock.now(connection.sqlite)
            retention.expire(connection, max_age=self._max_age, now=wall, limit=0, rows=_FEW)
            self._look(connection, now)
            self._relief_at = now + _TICK


def _reserve(path: Path) -> Path:
    return path.with_name(path.name + ".reserve")


def _room(path: Path) -> int:
    """What the disk has left [byte]."""
    disk = os.statvfs(path)
    return disk.f_bavail * disk.f_frsize
