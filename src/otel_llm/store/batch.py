"""Room store: one batch of items, one short transaction. Runs on the writer's thread."""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain, islice
from typing import Any, Final

import msgspec
from opentelemetry.sdk.trace import ReadableSpan

from otel_llm import boundary
from otel_llm.store.errors import is_about_file
from otel_llm.store.rows import TOGETHER, Encoder, Insert, insert_into
from otel_llm.store.signals import LOG_COLUMNS, POINT_COLUMNS, PointEncoder, log_row
from otel_llm.store.written import Written

_INSERT_LOG: Final = insert_into("logs", LOG_COLUMNS)
_INSERT_POINT: Final = insert_into("points", POINT_COLUMNS)


class Done(msgspec.Struct):
    """What became of a batch.

    Attributes:
        stored: Items that are on disk now.
        lost: Items that are not, by reason.
        spans: Of those on disk, spans.
        lost_spans: Of those that are not.
        kept: What the batch's spans can be written again from.
    """

    stored: int = 0
    lost: Counter[str] = msgspec.field(default_factory=Counter[str])
    spans: int = 0
    lost_spans: Counter[str] = msgspec.field(default_factory=Counter[str])
    kept: list[ReadableSpan | Written] = msgspec.field(default_factory=list[ReadableSpan | Written])


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

    def _write_spans(self, sqlite: sqlite3.Connection, spans: Sequence[Any], done: Done) -> None:
        """All at once; when one of them is odd, one by one and with care."""
        if not spans:
            return
        sqlite.execute("SAVEPOINT spans")
        try:
            alike = self._spans.rows(sqlite, spans, done.kept)
            inserted = sum(_insert(sqlite, *those) for those in alike)
        except Exception as error:
            if is_about_file(error):
                raise
            sqlite.execute("ROLLBACK TO spans")
            self._spans.forget()
            done.kept = [*spans]
            inserted = sum(self._write_span(sqlite, span, done) for span in spans)
        sqlite.execute("RELEASE spans")
        done.stored += inserted
        done.lost["duplicate"] += len(spans) - inserted - done.lost["invalid"]
        done.spans += inserted
        done.lost_spans.update(done.lost)  # spans are written first

    def _write_span(self, sqlite: sqlite3.Connection, span: Any, done: Done) -> int:
        try:
            (statement, _), row = self._spans.span(sqlite, span, careful=True)
            return sqlite.execute(statement, row).rowcount
        except Exception as error:  # noqa: BLE001 - one strange span must not cost the others
            _lose("store.span", error, done)
        return 0

    def _write_logs(self, sqlite: sqlite3.Connection, records: Iterable[Any], done: Done) -> None:
        for record in records:
            try:
                resource = self._spans.resource(sqlite, record.resource)
                scope = self._spans.scope(sqlite, record.instrumentation_scope)
                sqlite.execute(_INSERT_LOG, log_row(record, resource, scope))
                done.stored += 1
            except Exception as error:  # noqa: BLE001 - one strange record must not cost the others
                _lose("store.log", error, done)

    def _write_points(self, sqlite: sqlite3.Connection, metrics: Any, done: Done) -> None:
        for draft in self._points.drafts(sqlite, metrics, self._spans):
            try:
                sqlite.execute(_INSERT_POINT, self._points.row(sqlite, *draft))
                done.stored += 1
            except Exception as error:  # noqa: BLE001 - one strange point must not cost the others
                _lose("store.point", error, done)


def _insert(sqlite: sqlite3.Connection, statements: Insert, rows: Iterable[Sequence[object]]) -> int:
    """Insert ``rows``, many by one statement while there are enough; returns how many were not there yet."""
    one, many = statements
    rest = iter(rows)
    inserted = 0
    while len(some := [*islice(rest, TOGETHER)]) == TOGETHER:
        inserted += sqlite.execute(many, [*chain.from_iterable(some)]).rowcount
    return inserted + sqlite.executemany(one, some).rowcount if some else inserted


def _lose(where: str, error: Exception, done: Done) -> None:
    """Count what can never be written; an error of the file goes on its way."""
    if is_about_file(error):
        raise error
    boundary.swallow(where, error)
    done.lost["invalid"] += 1
