"""Room store: one batch of items, one short transaction. Runs on the writer's thread."""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from otel_llm import boundary
from otel_llm.store.rows import SPAN_COLUMNS, Encoder
from otel_llm.store.signals import LOG_COLUMNS, POINT_COLUMNS, PointEncoder, log_row

_UNWRITABLE_VALUE: Final = (
    UnicodeError,
    OverflowError,
    sqlite3.ProgrammingError,
    sqlite3.InterfaceError,
    sqlite3.DataError,
)


@dataclass(slots=True)
class Done:
    """What became of a batch.

    Attributes:
        stored: Items that are on disk now.
        lost: Items that are not, by reason.
    """

    stored: int = 0
    lost: Counter[str] = field(default_factory=Counter[str])


class Batches:
    """Writes batches; remembers what was interned."""

    def __init__(self) -> None:
        self._spans = Encoder()
        self._points = PointEncoder()
        self._generation: int | None = None

    def forget(self) -> None:
        """Forget what was interned: another file, or rows deleted."""
        self._spans.forget()
        self._points.forget()
        self._generation = None

    def write(self, sqlite: sqlite3.Connection, items: Sequence[tuple[int, Any]]) -> Done:
        """Write ``items`` in one transaction: all of it, less what can never be written, or nothing.

        Args:
            sqlite: The open connection.
            items: Kind and content: 0 a span, 1 log records, 2 metrics; others are passed over.

        Raises:
            sqlite3.Error: Nothing was written.
        """
        done = Done()
        sqlite.execute("BEGIN IMMEDIATE")
        try:
            self._check_generation(sqlite)
            self._write_spans(sqlite, [item for kind, item in items if kind == 0], done)
            for kind, item in items:
                if kind == 1:
                    self._write_logs(sqlite, item, done)
                elif kind == 2:  # noqa: PLR2004 - see the docstring
                    self._write_points(sqlite, item, done)
            sqlite.execute("COMMIT")
        except BaseException:
            self.forget()
            if sqlite.in_transaction:
                sqlite.execute("ROLLBACK")
            raise
        return done

    def _check_generation(self, sqlite: sqlite3.Connection) -> None:
        found = sqlite.execute("SELECT value FROM meta WHERE key = 'generation'").fetchone()[0]
        if found != self._generation:
            self.forget()
            self._generation = found

    def _write_spans(self, sqlite: sqlite3.Connection, spans: Iterable[Any], done: Done) -> None:
        rows: list[tuple[object, ...]] = []
        for span in spans:
            try:
                rows.append(self._spans.span(sqlite, span))
            except sqlite3.Error:
                raise
            except Exception as error:  # noqa: BLE001 - one strange span must not cost the others
                boundary.swallow("store.span", error)
                done.lost["invalid"] += 1
        if rows:
            _insert(sqlite, "spans", SPAN_COLUMNS, rows, done)

    def _write_logs(self, sqlite: sqlite3.Connection, records: Iterable[Any], done: Done) -> None:
        rows: list[tuple[object, ...]] = []
        for record in records:
            try:
                resource = self._spans.resource(sqlite, record.resource)
                scope = self._spans.scope(sqlite, record.instrumentation_scope)
                rows.append(log_row(record, resource, scope))
            except sqlite3.Error:
                raise
            except Exception as error:  # noqa: BLE001 - see above
                boundary.swallow("store.log", error)
                done.lost["invalid"] += 1
        if rows:
            _insert(sqlite, "logs", LOG_COLUMNS, rows, done)

    def _write_points(self, sqlite: sqlite3.Connection, metrics: Any, done: Done) -> None:
        rows: list[tuple[object, ...]] = []
        try:
            rows.extend(self._points.rows(sqlite, metrics, self._spans))
        except sqlite3.Error:
            raise
        except Exception as error:  # noqa: BLE001 - see above
            boundary.swallow("store.point", error)
            done.lost["invalid"] += 1
        if rows:
            _insert(sqlite, "points", POINT_COLUMNS, rows, done)


def _insert(
    sqlite: sqlite3.Connection, table: str, columns: Sequence[str], rows: list[tuple[object, ...]], done: Done
) -> None:
    """Insert ``rows``; one that SQLite cannot take is left out and counted."""
    marks = ",".join("?" * len(columns))
    statement = f"INSERT OR IGNORE INTO {table} ({','.join(columns)}) VALUES ({marks})"  # noqa: S608
    sqlite.execute("SAVEPOINT rows")
    try:
        inserted = sqlite.executemany(statement, rows).rowcount
    except _UNWRITABLE_VALUE:
        sqlite.execute("ROLLBACK TO rows")
        inserted = 0
        for row in rows:
            try:
                inserted += sqlite.execute(statement, row).rowcount
            except _UNWRITABLE_VALUE:
                done.lost["invalid"] += 1
                done.lost["duplicate"] -= 1
    sqlite.execute("RELEASE rows")
    done.stored += inserted
    if inserted < len(rows):
        done.lost["duplicate"] += len(rows) - inserted
