"""Room store: everything of a signal, page by page, for exports. Each page is a short transaction of its own.

So a long export holds neither much memory nor the write-ahead log of those who write meanwhile.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final

from otel_llm.store import otlp
from otel_llm.store.filter import Filter
from otel_llm.store.otlp_signals import LOGS, POINTS, logs_request, metrics_request
from otel_llm.store.signals import LOG_COLUMNS
from otel_llm.store.stored import JOINS
from otel_llm.store.values import presentable, unpack, unpack_value

PAGE: Final = 500

_KEY: Final = "(spans.start_time, spans.trace_id, spans.span_id)"
_ORDER: Final = "ORDER BY spans.start_time{0}, spans.trace_id{0}, spans.span_id{0}"
_POINT_TABLES: Final = (
    "points CROSS JOIN streams ON streams.id = points.stream LEFT JOIN resources ON resources.id = streams.resource"
)
_LOG_TABLES: Final = "logs LEFT JOIN resources ON resources.id = logs.resource"
_SIGNALS: Final = {
    "logs": (LOGS, _LOG_TABLES, "logs.time", "logs.id"),
    "metrics": (POINTS, _POINT_TABLES, "points.time", "points.id"),
}


def span_rows(
    sqlite: sqlite3.Connection,
    columns: str,
    filter: Filter,  # noqa: A002 - the word for it
    *,
    every: bool,
) -> Iterator[Sequence[Any]]:
    """Rows of ``columns``, which begin with id, start, duration, trace and span id, oldest first."""
    where, values = filter.where(every=every)
    tables = f"FROM {JOINS} WHERE {where}"
    if filter.limit is not None:
        query = f"SELECT spans.start_time, spans.trace_id, spans.span_id {tables} {_ORDER.format(' DESC')}"
        first = sqlite.execute(f"{query} LIMIT 1 OFFSET ?", (*values, filter.limit - 1)).fetchone()
        if first is not None:
            tables, values = f"{tables} AND {_KEY} >= (?, ?, ?)", [*values, *first]
    last: tuple[Any, ...] = (-1, b"", b"")
    query = f"SELECT {columns} {tables} AND {_KEY} > (?, ?, ?) {_ORDER.format('')} LIMIT {PAGE}"
    while page := sqlite.execute(query, (*values, *last)).fetchall():
        yield from page
        last = (page[-1][1], page[-1][3], page[-1][4])


def requests(sqlite: sqlite3.Connection, signal: str, filter: Filter) -> Iterator[bytes]:  # noqa: A002 - see above
    """OTLP requests of at most `PAGE` items of a signal."""
    if signal == "spans":
        encoder = otlp.SpanEncoder(sqlite)
        every = span_rows(sqlite, otlp.COLUMNS, filter, every=True)
        while page := list(islice(every, PAGE)):
            yield encoder.request(page)
        return
    encode = logs_request if signal == "logs" else metrics_request
    for page in _pages(sqlite, signal, filter):
        yield encode(sqlite, page)


def rows(sqlite: sqlite3.Connection, signal: str, filter: Filter) -> Iterator[dict[str, Any]]:  # noqa: A002 - see above
    """Flat rows of ``logs`` or ``metrics``; nested values are plain JSON."""
    for page in _pages(sqlite, signal, filter):
        owners = {row[_owner(signal)] for row in page}
        services = {
            number: sqlite.execute("SELECT service FROM resources WHERE id = ?", (number,)).fetchone()
            for number in owners
        }
        for row in page:
            service = services[row[_owner(signal)]]
            flat = _log(row) if signal == "logs" else _point(row)
            yield {"service": service[0] if service else None, **flat}


def _owner(signal: str) -> int:
    return 4 if signal == "logs" else 6


def _pages(sqlite: sqlite3.Connection, signal: str, filter: Filter) -> Iterator[list[Any]]:  # noqa: A002 - see above
    columns, tables, moment, number = _SIGNALS[signal]
    asked = [
        (f"{moment} >= ?", filter.since),
        (f"{moment} < ?", filter.until),
        ("resources.service = ?", filter.service),
    ]
    said = [(condition, value) for condition, value in asked if value is not None]
    tables = f"FROM {tables} WHERE {' AND '.join(['1', *(condition for condition, _ in said)])}"
    values: list[Any] = [value for _, value in said]
    if filter.limit is not None:
        query = f"SELECT {number} {tables} ORDER BY {number} DESC LIMIT 1 OFFSET ?"
        first = sqlite.execute(query, (*values, filter.limit - 1)).fetchone()
        if first is not None:
            tables, values = f"{tables} AND {number} >= ?", [*values, *first]
    last = -1
    query = f"SELECT {columns} {tables} AND {number} > ? ORDER BY {number} LIMIT {PAGE}"
    while page := sqlite.execute(query, (*values, last)).fetchall():
        yield page
        last = page[-1][0]


def _log(row: Sequence[Any]) -> dict[str, Any]:
    said = dict(zip(LOG_COLUMNS, row[1:], strict=True))
    return {
        "time_unix_nano": said["time"],
        "severity_number": said["severity_number"],
        "severity_text": said["severity_text"],
        "event_name": said["event_name"],
        "trace_id": said["trace_id"] and said["trace_id"].hex(),
        "span_id": said["span_id"] and said["span_id"].hex(),
        "body": presentable(unpack_value(said["body"])),
        "attributes": presentable(unpack(said["attributes"])),
    }


def _point(row: Sequence[Any]) -> dict[str, Any]:
    _, time, start, value, data, _, _, _, name, unit, description, kind, temporality, monotonic, own, bounds = row
    content = presentable(unpack(data))
    return {
        "time_unix_nano": time,
        "start_time_unix_nano": start,
        "name": name,
        "unit": unit,
        "description": description,
        "type": kind,
        "temporality": {1: "delta", 2: "cumulative"}.get(temporality),
        "monotonic": None if monotonic is None else bool(monotonic),
        "value": content.pop("value", value),
        **{key: content.pop(key, None) for key in ("count", "sum", "min", "max")},
        "attributes": presentable(unpack(own)),
        "bounds": presentable(unpack_value(bounds)),
        "data": content or None,
    }
