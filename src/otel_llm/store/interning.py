"""Room store: rows that many rows share, kept once. Runs on the writer's thread, inside its transaction.

An id is remembered in memory; a table that outgrew its limit gives none, and the writer then keeps the values in the
row itself. Ids of a transaction that was rolled back must be forgotten (`Interner.forget`).
"""

import hashlib
import json
import sqlite3
from collections.abc import Hashable, Sequence
from typing import Final

LIMIT: Final = 10_000


class Table:
    """One interned table: contents in, ids out.

    Args:
        name: The table; its first column after ``id`` is ``digest``.
        columns: The other columns.
        limit: Rows beyond which no new one is made; ``None`` for tables that stay small by nature.
    """

    def __init__(self, name: str, columns: Sequence[str], limit: int | None = LIMIT) -> None:
        self._limit = limit
        self._ids: dict[Hashable, int] = {}
        self._count: int | None = None
        marks = ",".join("?" * (len(columns) + 1))
        self._insert = f"INSERT OR IGNORE INTO {name} (digest,{','.join(columns)}) VALUES ({marks})"  # noqa: S608
        self._select = f"SELECT id FROM {name} WHERE digest = ?"  # noqa: S608
        self._size = f"SELECT count(*) FROM {name}"  # noqa: S608

    def known(self, key: Hashable) -> int | None:
        """The remembered id."""
        return self._ids.get(key)

    def id(self, connection: sqlite3.Connection, key: Hashable, row: Sequence[object]) -> int | None:
        """The id of the row for ``key``, made if new; ``None`` when the table is full.

        Args:
            connection: Inside a write transaction.
            key: What tells two rows apart in memory.
            row: The columns' values; what tells two rows apart on disk.
        """
        digest = hashlib.blake2b(json.dumps(row, default=repr).encode(), digest_size=16).digest()
        found = connection.execute(self._select, (digest,)).fetchone()
        if found is None:
            count = int(connection.execute(self._size).fetchone()[0]) if self._count is None else self._count
            if self._limit is not None and count >= self._limit:
                return None
            connection.execute(self._insert, (digest, *row))
            found = connection.execute(self._select, (digest,)).fetchone()
            self._count = count + 1
        if len(self._ids) >= 2 * LIMIT:
            self._ids.clear()
        self._ids[key] = found[0]
        return int(found[0])

    def forget(self) -> None:
        """Forget every id."""
        self._ids.clear()
        self._count = None
