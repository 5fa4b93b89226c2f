"""Room store: reads the database, for the commands and the dashboard. Opens it read-only and never writes.

A reader may run beside any number of writers, in another process or in theirs.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

from otel_llm import semconv
from otel_llm.store import forwarded, points
from otel_llm.store.errors import AmbiguousError, NotFoundError, StoreError
from otel_llm.store.filter import Filter
from otel_llm.store.machine import Machine, machine
from otel_llm.store.migration import schema_steps
from otel_llm.store.older import bridge
from otel_llm.store.points import Point
from otel_llm.store.stored import COLUMNS, JOINS, StoredSpan, stored_span
from otel_llm.store.stream import requests, rows, span_rows
from otel_llm.store.summary import GROUPINGS, summarize

__all__ = ["AmbiguousError", "Filter", "NotFoundError", "Point", "Reader", "StoreError", "StoredSpan"]

_TABLES: Final = ("spans", "logs", "points", "series", "resources", "scopes", "parameters", "streams", "rollups")
_DELIVERIES: Final = 4
"""The schema since which a store knows what it sent."""

_LEAST_PREFIX: Final = 4
_TRACE_DIGITS: Final = 32
_SPAN_DIGITS: Final = 16
_BUSY_TIMEOUT: Final = 5.0


class Reader:
    """A read-only look at a database. A context manager.

    Args:
        path: The file.

    Raises:
        NotFoundError: There is no such file.
        StoreError: It is no store.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            raise NotFoundError(
                str(path), expected="a store", found="no file", hint="run an app under opentelemetry-instrument first"
            )
        try:
            self._sqlite = sqlite3.connect(
                f"file:{quote(str(path))}?mode=ro", uri=True, isolation_level=None, timeout=_BUSY_TIMEOUT
            )
            self.schema_version = int(self._sqlite.execute("PRAGMA user_version").fetchone()[0])
            self._sqlite.execute("SELECT 1 FROM spans LIMIT 1")
            if self.schema_version < len(schema_steps()):
                bridge(self._sqlite)
        except sqlite3.Error as error:
            raise StoreError(str(path), expected="a store of otel-llm", found=str(error)) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._sqlite.close()

    def calls(self, filter: Filter) -> list[StoredSpan]:  # noqa: A002 - the word for it
        """The inference spans that fit, newest first."""
        where, values = filter.where()
        limit = -1 if filter.limit is None else filter.limit
        return list(
            self._spans(f"WHERE {where} ORDER BY spans.start_time DESC, spans.id DESC LIMIT ?", (*values, limit))
        )

    def after(self, cursor: int, filter: Filter) -> tuple[list[StoredSpan], int]:  # noqa: A002 - see above
        """The inference spans written after ``cursor``, oldest first, and the next cursor.

        Args:
            cursor: 0 for the beginning; -1 gives no spans, only the cursor of now.
            filter: Which ones.
        """
        newest = int(self._sqlite.execute("SELECT coalesce(max(id), 0) FROM spans").fetchone()[0])
        if cursor < 0:
            return [], newest
        where, values = filter.where()
        limit = -1 if filter.limit is None else filter.limit
        tail = f"WHERE spans.id > ? AND spans.id <= ? AND {where} ORDER BY spans.id LIMIT ?"
        query = f"SELECT {COLUMNS} FROM {JOINS} {tail}"  # noqa: S608 - constants and placeholders
        rows = self._sqlite.execute(query, (cursor, newest, *values, limit)).fetchall()
        reached = newest if filter.limit is None or len(rows) < filter.limit else int(rows[-1][0])
        return sorted(map(stored_span, rows), key=lambda span: span.start_time_unix_nano), reached

    def stream(self, filter: Filter, *, every: bool = False) -> Iterator[StoredSpan]:  # noqa: A002 - see above
        """The calls that fit, or ``every`` span, oldest first, read page by page; a limit takes the newest."""
        return map(stored_span, span_rows(self._sqlite, COLUMNS, filter, every=every))

    def requests(self, signal: str, filter: Filter) -> Iterator[bytes]:  # noqa: A002 - see above
        """OTLP requests with everything of ``spans``, ``logs`` or ``metrics`` that fits, oldest first."""
        return requests(self._sqlite, signal, filter)

    def rows(self, signal: str, filter: Filter) -> Iterator[dict[str, Any]]:  # noqa: A002 - see above
        """The ``logs`` or ``metrics`` that fit as flat rows, oldest first."""
        return rows(self._sqlite, signal, filter)

    def trace(self, trace_id: str) -> list[StoredSpan]:
        """Every span of a trace, inference or not, in order of start."""
        key = _bytes(trace_id, _TRACE_DIGITS)
        return list(self._by_ids("SELECT id FROM main.spans INDEXED BY spans_identity WHERE trace_id = ?", (key,)))

    def show(self, identifier: str) -> StoredSpan:
        """The span with this span id, or the one call of the trace with this trace id.

        Args:
            identifier: Hexadecimal, whole or the first 4 digits at least.

        Raises:
            NotFoundError: Nothing fits.
            AmbiguousError: Several do.
            StoreError: It is no id.
        """
        digits = identifier.strip().lower().removeprefix("0x")
        if not (_LEAST_PREFIX <= len(digits) <= _TRACE_DIGITS) or set(digits) - set("0123456789abcdef"):
            wanted = f"a span or trace id of {_LEAST_PREFIX} to {_TRACE_DIGITS} hexadecimal digits"
            raise StoreError("ID", expected=wanted, found=repr(identifier), hint="see otel-llm calls")  # noqa: EM101 - the place
        found = list(self._by_ids(*_range("span_id", digits, _SPAN_DIGITS))) if len(digits) <= _SPAN_DIGITS else []
        if not found:
            found = list(self._by_ids(*_range("trace_id", digits, _TRACE_DIGITS)))
            calls = [
                span for span in found if span.attributes.get(semconv.OPERATION_NAME) in semconv.INFERENCE_OPERATIONS
            ]
            found = calls or found
        if not found:
            raise NotFoundError(
                identifier, expected="a stored span", found="none with this id", hint="see otel-llm calls"
            )
        if len(found) > 1:
            ids = [span.span_id for span in found]
            hint = f"say which: {', '.join(ids[:8])}"
            raise AmbiguousError(identifier, expected="one span", found=str(len(ids)), hint=hint, candidates=ids)
        return found[0]

    def summary(self, filter: Filter, by: tuple[str, ...] = ()) -> dict[str, Any]:  # noqa: A002 - see above
        """Counts, tokens and percentiles of the calls that fit; `summarize` says what each number means.

        Args:
            filter: Which calls; its limit is not looked at.
            by: Any of ``model``, ``provider``, ``service``, ``operation``, ``hour``.

        Raises:
            StoreError: ``by`` names something else.
        """
        unknown = [word for word in by if word not in GROUPINGS]
        if unknown:
            where = "by"
            raise StoreError(where, expected=f"any of {', '.join(GROUPINGS)}", found=repr(unknown[0]))
        return summarize(self._sqlite, filter, by)

    def machine(self, since: int | None = None, until: int | None = None, *, slices: int = 0) -> Machine | None:
        """Host, cards and servers as of the newest reading in the range, and their courses over it.

        Args:
            since: Earliest time [ns since the epoch].
            until: Latest time, exclusive.
            slices: Into how many parts the range is cut for courses; 0 for none.
        """
        return machine(self._sqlite, since, until, slices=slices)

    def points(self, prefix: str, seconds: float) -> list[Point]:
        """Numbers of the metrics that begin with ``prefix``, of the last ``seconds`` up to the newest, oldest first."""
        return points.read(self._sqlite, prefix, seconds)

    def forwarding(self) -> list[forwarded.Standing]:
        """Every backend that is or was forwarded to, and how that stands."""
        return forwarded.standing(self._sqlite) if self.schema_version >= _DELIVERIES else []

    def info(self) -> dict[str, Any]:
        """What the file is and holds.

        ``max_size`` [byte] and ``max_age`` [s] are the quotas of the last writer, ``None`` before there was one.
        Sizes are bytes, times nanoseconds since the epoch.
        """
        oldest, newest = self._row("SELECT min(start_time), max(start_time) FROM spans")
        wal = self.path.with_name(self.path.name + "-wal")
        limits = dict(self._sqlite.execute("SELECT key, value FROM meta").fetchall())
        return {
            "path": str(self.path),
            "size": self.path.stat().st_size,
            "wal_size": wal.stat().st_size if wal.exists() else 0,
            "max_size": limits.get("max_size"),
            "max_age": limits.get("max_age"),
            "schema_version": self.schema_version,
            "sqlite_version": sqlite3.sqlite_version,
            "journal_mode": self._row("PRAGMA journal_mode")[0],
            "rows": {table: self._row(f"SELECT count(*) FROM {table}")[0] for table in _TABLES},  # noqa: S608
            "oldest": oldest,
            "newest": newest,
        }

    def _row(self, query: str) -> tuple[Any, ...]:
        found: tuple[Any, ...] = self._sqlite.execute(query).fetchone()
        return found

    def _spans(self, tail: str, values: Sequence[object]) -> Iterator[StoredSpan]:
        for row in self._sqlite.execute(f"SELECT {COLUMNS} FROM {JOINS} {tail}", values):  # noqa: S608
            yield stored_span(row)

    def _by_ids(self, query: str, values: Sequence[object]) -> Iterator[StoredSpan]:
        return self._spans(f"WHERE spans.id IN ({query}) ORDER BY spans.start_time, spans.id", values)


def _range(column: str, digits: str, whole: int) -> tuple[str, tuple[bytes, bytes]]:
    """Ids that begin with ``digits``: a scan of the identity index, which is far smaller than the rows."""
    query = f"SELECT id FROM main.spans INDEXED BY spans_identity WHERE {column} BETWEEN ? AND ?"  # noqa: S608
    return query, (bytes.fromhex(digits.ljust(whole, "0")), bytes.fromhex(digits.ljust(whole, "f")))


def _bytes(digits: str, whole: int) -> bytes:
    try:
        key = bytes.fromhex(digits)
    except ValueError:
        key = b""
    if len(key) * 2 != whole:
        raise StoreError(repr(digits), expected=f"{whole} hexadecimal digits", found=f"{len(digits)} characters")
    return key
