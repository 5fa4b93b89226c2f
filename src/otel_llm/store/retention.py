"""Room store: keeps the file within its age and size, oldest first. Runs on the writer's thread.

Small batches, so that the write lock is never held for long; a tick that is not done goes on at the next one.
"""

import sqlite3
import time
from typing import Final

from otel_llm.store import rollup
from otel_llm.store.connection import Connection

BATCH: Final = 2000
_MAX_BATCHES: Final = 20
_FREE_PAGES: Final = 2000
_AIM: Final = 0.9
_MUCH_FREE: Final = 8
"""Less than this part of the pages is left free: what is written next takes them again."""

_LOG_LIMIT: Final = 4_000_000
_TABLES: Final = {"spans": "start_time", "logs": "time", "points": "time"}
_OWNED: Final = {
    "series": ("SELECT series FROM spans",),
    "kinds": ("SELECT kind FROM rollups",),
    "parameters": ("SELECT parameters FROM spans WHERE parameters IS NOT NULL",),
    "streams": ("SELECT stream FROM points",),
    "scopes": (
        "SELECT scope FROM series WHERE scope IS NOT NULL",
        "SELECT scope FROM logs WHERE scope IS NOT NULL",
        "SELECT scope FROM streams WHERE scope IS NOT NULL",
    ),
    "resources": ("SELECT resource FROM spans", "SELECT resource FROM logs", "SELECT resource FROM streams"),
}

_DELETED: Final = (
    "INSERT INTO meta VALUES ('deleted', ?) ON CONFLICT (key) DO UPDATE SET value = max(value, excluded.value)"
)
_REUSABLE: Final = (  # SQLite gives the greatest ids again once their rows are gone
    "UPDATE meta SET value = min(value, (SELECT coalesce(max(id), 0) FROM spans)) WHERE key = 'folded'"
)


def expire(
    connection: Connection, *, max_age: float, now: float | None = None, limit: int = _LOG_LIMIT, rows: int = BATCH
) -> int:
    """Delete what is older than ``max_age`` [s]; returns the number of rows.

    Args:
        connection: The open database.
        max_age: [s]
        now: Since the epoch [s].
        limit: Beyond which the write-ahead log is copied between two batches [byte].
        rows: How many a batch deletes.
    """
    sqlite = connection.sqlite
    horizon = int(((time.time() if now is None else now) - max_age) * 1e9)
    gone = 0
    for table, column in _TABLES.items():
        if table == "spans" and (_oldest(sqlite, table) or 0) < horizon:
            rollup.fold(sqlite, least=1)
            connection.checkpoint(limit=limit)  # the log has its room again for what is deleted
        for _ in range(_MAX_BATCHES):
            deleted = _delete(sqlite, table, f"{column} < ?", (horizon,), rows)
            gone += deleted
            if deleted < rows or not _has_log(connection, limit):
                break
    return gone


def shrink(connection: Connection, *, max_size: int, least: int = 0) -> int:
    """Delete the oldest rows until the database fits ``max_size`` [byte]; returns the number of rows.

    The write-ahead log is kept short by checkpoints, so the database gets what remains of the quota after it.

    Args:
        connection: The open database.
        max_size: Quota [byte].
        least: How much room there must be afterwards in any case [byte].
    """
    sqlite, limit = connection.sqlite, wal_limit(max_size)
    most = max_size - limit
    aim = min(int(_AIM * most), max_size - least) if used(sqlite) > most else max_size - least
    gone = 0
    for _ in range(_MAX_BATCHES):
        excess = used(sqlite) - aim
        deleted = _delete_oldest(sqlite, excess) if excess > 0 else 0
        gone += deleted
        if not deleted or not _has_log(connection, limit):
            break
    vacuum(connection, most=most, limit=limit)
    return gone


def vacuum(connection: Connection, *, most: int, limit: int) -> None:
    """Give free pages back, step by step, while they are many or the database is larger than ``most`` [byte]."""
    sqlite = connection.sqlite
    size = sqlite.execute("PRAGMA page_size").fetchone()[0]
    step = max(16, limit // size // 2)
    for _ in range(-(-_FREE_PAGES // step)):
        pages = sqlite.execute("PRAGMA page_count").fetchone()[0]
        free = sqlite.execute("PRAGMA freelist_count").fetchone()[0]
        if not free or (free < pages // _MUCH_FREE and pages * size <= most):
            break
        sqlite.executescript(f"PRAGMA incremental_vacuum({step})")  # execute() would free a single page
        if not _has_log(connection, limit):
            break


def _has_log(connection: Connection, limit: int) -> bool:
    """Whether the write-ahead log, copied if that is due, has room for more."""
    connection.checkpoint(limit=limit)
    return connection.wal_size() <= 2 * limit


def wal_limit(max_size: int) -> int:
    """How long the write-ahead log may grow [byte]."""
    return min(_LOG_LIMIT, max(100_000, max_size // 16))


def used(sqlite: sqlite3.Connection) -> int:
    """Size of the pages that hold something [byte]."""
    pages = sqlite.execute("PRAGMA page_count").fetchone()[0]
    free = sqlite.execute("PRAGMA freelist_count").fetchone()[0]
    return int((pages - free) * sqlite.execute("PRAGMA page_size").fetchone()[0])


def sweep(connection: Connection) -> int:
    """Delete interned rows that nothing points at any more; returns their number.

    Writers learn of it through ``meta.generation`` and forget the ids they remember.
    """
    sqlite = connection.sqlite
    gone = 0
    sqlite.execute("BEGIN IMMEDIATE")
    try:
        for table, users in _OWNED.items():
            query = f"DELETE FROM {table} WHERE id NOT IN ({' UNION '.join(users)})"  # noqa: S608
            gone += sqlite.execute(query).rowcount
        if gone:
            sqlite.execute("UPDATE meta SET value = value + 1 WHERE key = 'generation'")
        sqlite.execute("COMMIT")
    except BaseException:
        sqlite.execute("ROLLBACK")
        raise
    return gone


def _delete_oldest(sqlite: sqlite3.Connection, excess: int) -> int:
    """One batch from the table whose oldest row is the oldest of all, of as many rows as ``excess`` [byte] may be."""
    oldest = {table: found for table in _TABLES if (found := _oldest(sqlite, table)) is not None}
    if not oldest:
        return 0
    table = min(oldest, key=oldest.__getitem__)
    if table == "spans":
        rollup.fold(sqlite, least=1)
    rows = sum(_span_of_ids(sqlite, table) for table in oldest)
    return _delete(sqlite, table, "1", (), max(1, min(BATCH, -(-excess * rows // used(sqlite)))))


def _span_of_ids(sqlite: sqlite3.Connection, table: str) -> int:
    """How many rows a table has, roughly and at once: they are written and deleted in the order of their ids."""
    return int(sqlite.execute(f"SELECT max(id) - min(id) + 1 FROM {table}").fetchone()[0])  # noqa: S608


def _oldest(sqlite: sqlite3.Connection, table: str) -> int | None:
    found: int | None = sqlite.execute(f"SELECT min({_TABLES[table]}) FROM {table}").fetchone()[0]  # noqa: S608
    return found


def _delete(sqlite: sqlite3.Connection, table: str, condition: str, values: tuple[object, ...], most: int) -> int:
    """Delete one batch, the oldest first; of spans only those that roll-ups count."""
    column = _TABLES[table]
    if table != "spans":
        chosen = f"SELECT id FROM {table} WHERE {condition} ORDER BY {column} LIMIT {most}"  # noqa: S608
        return int(sqlite.execute(f"DELETE FROM {table} WHERE id IN ({chosen})", values).rowcount)  # noqa: S608
    sqlite.execute("BEGIN IMMEDIATE")
    try:
        folded = "id <= (SELECT value FROM meta WHERE key = 'folded')"
        chosen = f"FROM spans WHERE {condition} AND {folded} ORDER BY start_time LIMIT {most}"
        latest = sqlite.execute(f"SELECT max(start_time) FROM (SELECT start_time {chosen})", values).fetchone()[0]  # noqa: S608
        gone = 0
        if latest is not None:
            gone = sqlite.execute(f"DELETE FROM spans WHERE id IN (SELECT id {chosen})", values).rowcount  # noqa: S608
            sqlite.execute(_DELETED, (latest,))
            sqlite.execute(_REUSABLE)
        sqlite.execute("COMMIT")
    except BaseException:
        if sqlite.in_transaction:
            sqlite.execute("ROLLBACK")
        raise
    return int(gone)
