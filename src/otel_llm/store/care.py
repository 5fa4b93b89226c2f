"""Room store: what people do to a store by hand: prune it, give space back, look whether it is sound.

Each works beside applications that write, in short transactions, and leaves a store in order when it is stopped.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from otel_llm.store import retention, rollup
from otel_llm.store.connection import BusyError, Connection, NewerSchemaError
from otel_llm.store.errors import StoreError

_MOST_PROBLEMS: Final = 20
_LOG: Final = 1_000_000
"""[byte] How long the write-ahead log may grow between two steps."""

_ORPHANS: Final = {
    "calls without a series": "SELECT count(*) FROM spans WHERE series NOT IN (SELECT id FROM series)",
    "calls without a resource": "SELECT count(*) FROM spans WHERE resource NOT IN (SELECT id FROM resources)",
    "points without a stream": "SELECT count(*) FROM points WHERE stream NOT IN (SELECT id FROM streams)",
    "roll-ups without a kind": "SELECT count(*) FROM rollups WHERE kind NOT IN (SELECT id FROM kinds)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What became of a store.

    Attributes:
        rows: Deleted calls and other spans, log records and points.
        before: Size of database and log [byte].
        after: The same.
    """

    rows: int
    before: int
    after: int


def prune(path: Path, *, max_age: float | None = None, max_size: int | None = None) -> Change:
    """Delete what is older than ``max_age`` [s] and the oldest beyond ``max_size`` [byte]; give the space back.

    Calls go into roll-ups first, so that summaries still count them.

    Raises:
        StoreError: It cannot be written.
    """
    with _opened(path) as connection:
        before = connection.size() + connection.wal_size()
        gone = 0
        while max_age is not None and (deleted := retention.expire(connection, max_age=max_age, limit=_LOG)):
            gone += deleted
        while max_size is not None and (deleted := retention.shrink(connection, max_size=max_size)):
            gone += deleted
        if max_size is not None:
            rollup.prune(connection.sqlite, max_size=max_size)
        if gone:
            retention.sweep(connection)
        _give_back(connection)
        return Change(rows=gone, before=before, after=connection.size() + connection.wal_size())


def vacuum(path: Path) -> Change:
    """Give back every page that holds nothing.

    Raises:
        StoreError: It cannot be written.
    """
    with _opened(path) as connection:
        before = connection.size() + connection.wal_size()
        _give_back(connection)
        return Change(rows=0, before=before, after=connection.size() + connection.wal_size())


def problems(path: Path) -> list[str]:
    """What is wrong with the file, at most twenty lines; empty where it is sound. Reads only.

    Raises:
        StoreError: It is no file that SQLite knows.
    """
    try:
        sqlite = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, isolation_level=None)
        try:
            found = [row[0] for row in sqlite.execute(f"PRAGMA integrity_check({_MOST_PROBLEMS})")]
            if found != ["ok"]:
                return found
            counts = {what: sqlite.execute(query).fetchone()[0] for what, query in _ORPHANS.items()}
        finally:
            sqlite.close()
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_CORRUPT:
            return [str(error)]
        raise StoreError(str(path), expected="a store of otel-llm", found=str(error)) from error
    return [f"{count} {what}" for what, count in counts.items() if count]


@contextmanager
def _opened(path: Path) -> Iterator[Connection]:
    try:
        connection = Connection(path)
    except NewerSchemaError as error:
        hint = "upgrade otel-llm, or use the version that wrote it"
        raise StoreError(str(path), expected="a schema of this version", found=str(error), hint=hint) from error
    except (sqlite3.Error, OSError, BusyError) as error:
        raise StoreError(str(path), expected="a store that can be written", found=str(error)) from error
    try:
        yield connection
    except (sqlite3.Error, OSError) as error:
        raise StoreError(str(path), expected="a store that can be written", found=str(error)) from error
    finally:
        connection.close()


def _give_back(connection: Connection) -> None:
    """All free pages, in steps; those that a reader still needs stay for the next time."""
    connection.checkpoint(limit=0)
    left = -1
    while (free := connection.sqlite.execute("PRAGMA freelist_count").fetchone()[0]) and free != left:
        left = free
        retention.vacuum(connection, most=0, limit=_LOG)
    connection.checkpoint(limit=0)
