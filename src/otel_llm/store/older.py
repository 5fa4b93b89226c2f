"""Room store: lets a reader read a file of an older schema as if it were of the newest. Nothing is written to the file.

What the newest schema adds is put before the reader as temporary tables and views of its own connection, which SQLite
finds before those of the file: an absent table is empty, an absent column is ``NULL``, which means nobody said it.
"""

import re
import sqlite3
from contextlib import closing

from otel_llm.store.migration import schema_steps


def bridge(sqlite: sqlite3.Connection) -> None:
    """Add what the file lacks, for this connection.

    Raises:
        sqlite3.Error: The file is no store.
    """
    with closing(sqlite3.connect(":memory:")) as newest:
        for step in schema_steps():
            newest.executescript(step)
        query = "SELECT name, sql FROM sqlite_master WHERE type = ? AND name NOT LIKE 'sqlite_%'"
        tables, views = (newest.execute(query, (kind,)).fetchall() for kind in ("table", "view"))
        wanted = {name: _columns(newest, name) for name, _ in tables}
    for name, told in tables:
        there = _columns(sqlite, name)
        absent = [column for column in wanted[name] if column not in there]
        if not there:
            sqlite.execute(re.sub("^CREATE TABLE", "CREATE TEMP TABLE", told))
        elif absent:
            nothing = ", ".join(f"NULL AS {column}" for column in absent)
            sqlite.execute(f"CREATE TEMP VIEW {name} AS SELECT *, {nothing} FROM main.{name}")  # noqa: S608
    for _, told in views:
        sqlite.execute(re.sub("^CREATE VIEW", "CREATE TEMP VIEW", told))


def _columns(sqlite: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in sqlite.execute(f"PRAGMA main.table_info({table})")]
