"""Room store: the numbers of inference spans, together with what the spans have in common. Reads only."""

import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, Final, TypeAlias

from otel_llm import semconv
from otel_llm.store.filter import Filter
from otel_llm.store.group import NUMBERS, Kind, kind
from otel_llm.store.values import unpack

HOUR: Final = 3_600_000_000_000
"""[ns]"""

Some: TypeAlias = tuple[Kind, int | None, Sequence[Sequence[Any]]]
"""Spans of one kind and hour."""

_CHUNK: Final = 50_000
"""Rows that are in memory at once, unless fewer are asked for."""

_SAID: Final = {
    semconv.REQUEST_MODEL: "request_model",
    semconv.RESPONSE_MODEL: "response_model",
    semconv.PROVIDER_NAME: "provider",
    semconv.OUTCOME: "outcome",
    semconv.USAGE_SOURCE: "usage_source",
    semconv.COST_CURRENCY: "cost_currency",
}
_NUMBERS: Final = ", ".join(f"spans.{name}" for name in NUMBERS)


def scan(
    sqlite: sqlite3.Connection,
    asked: Filter,
    *,
    hourly: bool,
    after: int | None = None,
    last: int | None = None,
    at_once: int = _CHUNK,
) -> Iterator[Some]:
    """Inference spans that fit, many at a time.

    Args:
        sqlite: A connection, in a transaction.
        asked: Which calls; its limit is not looked at.
        hourly: Whether spans of different hours come apart, and the hour [h since the epoch] with them.
        after: Only rows with a greater id.
        last: Only rows with this id or a smaller one.
        at_once: So many are in memory at most; fewer at once take longer.
    """
    services: dict[int, str | None] = dict(sqlite.execute("SELECT id, service FROM resources").fetchall())
    hour = f"spans.start_time / {HOUR}" if hourly else "NULL"
    ids = [("spans.id > ?", after), ("spans.id <= ?", last)]
    bounds = [(condition, value) for condition, value in ids if value is not None]
    return chain(
        _usual(sqlite, asked, hour, bounds, services, at_once), _overflown(sqlite, asked, hour, bounds, services)
    )


def _usual(
    sqlite: sqlite3.Connection,
    asked: Filter,
    hour: str,
    bounds: Sequence[tuple[str, int]],
    services: dict[int, str | None],
    at_once: int,
) -> Iterator[Some]:
    """Spans whose series says what they have in common."""
    condition, values = Filter(model=asked.model, provider=asked.provider).where()
    query = (
        f"SELECT id, operation, status, {', '.join(_SAID.values())} FROM series,"  # noqa: S608
        f" (SELECT NULL AS attributes) AS spans WHERE name IS NOT NULL AND {condition}"
    )
    series = {
        number: (operation, status, dict(zip(_SAID, said, strict=True)))
        for number, operation, status, *said in sqlite.execute(query, values)
    }
    if not series:
        return
    where, limits = _where(sqlite, asked, bounds, list(series))
    kinds: dict[tuple[int, int], Kind] = {}
    cursor = sqlite.execute(f"SELECT spans.series, spans.resource, {hour}, {_NUMBERS} FROM spans WHERE {where}", limits)  # noqa: S608
    while chunk := cursor.fetchmany(at_once):
        buckets: defaultdict[tuple[int, int, int | None], list[Any]] = defaultdict(list)
        for row in chunk:
            buckets[row[:3]].append(row)
        for (number, resource, when), rows in buckets.items():
            known = kinds.get((number, resource))
            if known is None:
                known = kinds[number, resource] = kind(*series[number], services.get(resource))
            yield known, when, rows


def _where(
    sqlite: sqlite3.Connection, asked: Filter, bounds: Sequence[tuple[str, int]], series: list[int]
) -> tuple[str, list[Any]]:
    """Condition on ``spans`` alone, so that the scan joins nothing; conditions that all rows meet are left out."""
    plain = "+" if bounds else ""  # ids say best where to look
    times = [(f"{plain}spans.start_time >= ?", asked.since), (f"{plain}spans.start_time < ?", asked.until)]
    said: list[tuple[str, Any]] = [*bounds, *((condition, value) for condition, value in times if value is not None)]
    if asked.service is not None:
        said.append(("spans.resource IN (SELECT id FROM resources WHERE service = ?)", asked.service))
    conditions, values = ["1", *(condition for condition, _ in said)], [value for _, value in said]
    if len(series) < sqlite.execute("SELECT count(*) FROM series").fetchone()[0]:
        conditions.append(f"spans.series IN ({','.join(map(str, series))})")
    return " AND ".join(conditions), values


def _overflown(
    sqlite: sqlite3.Connection,
    asked: Filter,
    hour: str,
    bounds: Sequence[tuple[str, int]],
    services: dict[int, str | None],
) -> Iterator[Some]:
    """Spans whose series was one too many: each says for itself."""
    if not sqlite.execute("SELECT count(*) FROM series WHERE name IS NULL").fetchone()[0]:
        return
    where, values = asked.where()
    query = (
        f"SELECT series.operation, series.status, spans.attributes, spans.resource, {hour}, {_NUMBERS}"  # noqa: S608
        " FROM spans CROSS JOIN series ON series.id = spans.series"
        " CROSS JOIN resources ON resources.id = spans.resource"
        f" WHERE series.name IS NULL AND {' AND '.join([*(condition for condition, _ in bounds), where])}"
    )
    for operation, status, text, resource, when, *row in sqlite.execute(query, [*(v for _, v in bounds), *values]):
        yield kind(operation, status, unpack(text), services.get(resource)), when, [row]
