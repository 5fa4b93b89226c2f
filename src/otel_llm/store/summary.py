"""Room store: counts, tokens and percentiles of calls, in one pass over the spans. Reads only."""

import sqlite3
import time
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from typing import Any, Final, TypeAlias

from otel_llm import semconv
from otel_llm.store.filter import Filter
from otel_llm.store.values import unpack

GROUPINGS: Final = ("model", "provider", "service", "operation", "hour")
"""What a summary can be grouped by."""

_HOUR: Final = 3_600_000_000_000
_FEWEST_FOR_P99: Final = 100
_CHUNK: Final = 50_000
_ERROR: Final = 2
_MEASURES: Final = ("time_to_first_token", "time_per_output_token", "queue_wait")
_SAID: Final = {
    semconv.REQUEST_MODEL: "request_model",
    semconv.RESPONSE_MODEL: "response_model",
    semconv.PROVIDER_NAME: "provider",
    semconv.OUTCOME: "outcome",
    semconv.USAGE_SOURCE: "usage_source",
}
_NUMBERS: Final = (
    "spans.start_time, spans.duration, spans.resend_count, spans.input_tokens, spans.output_tokens,"
    "spans.cache_read_input_tokens," + ",".join(f"spans.{name}" for name in _MEASURES)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """What all spans of a series have in common; of an overflowed series, of one span."""

    model: str | None
    provider: str | None
    operation: str | None
    outcome: str
    reported: bool


_Some: TypeAlias = tuple[_Kind, int, int | None, Sequence[Sequence[Any]]]
"""Spans of one kind, resource and hour."""


def _doubles() -> "array[float]":
    return array("d")


@dataclass(slots=True, kw_only=True)
class _Group:
    """One line of a summary while it grows."""

    attempts: int = 0
    resends: int = 0
    failed: int = 0
    cancelled: int = 0
    abandoned: int = 0
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    start: int | None = None
    end: int | None = None
    duration: "array[float]" = field(default_factory=_doubles)
    measures: "tuple[array[float], ...]" = field(default_factory=lambda: tuple(_doubles() for _ in _MEASURES))

    @property
    def errors(self) -> int:
        """Failed calls: a failed attempt that was sent again is none."""
        return max(0, self.failed - self.resends)

    @property
    def calls(self) -> int:
        """Attempts less resends."""
        return self.attempts - self.resends

    def add(self, kind: _Kind, rows: Sequence[Sequence[Any]]) -> None:
        """Take in spans of one kind: series, resource, hour and then the columns of `_NUMBERS`."""
        _, _, _, starts, durations, resends, inputs, outputs, cached, *measured = zip(*rows, strict=True)
        count = len(rows)
        self.attempts += count
        self.resends += sum(1 for resend in resends if resend)
        self.failed += count if kind.outcome == semconv.OUTCOME_ERROR else 0
        self.cancelled += count if kind.outcome == semconv.OUTCOME_CANCELLED else 0
        self.abandoned += count if kind.outcome == semconv.OUTCOME_ABANDONED else 0
        if kind.outcome == semconv.OUTCOME_COMPLETED:
            self.duration.extend([duration / 1e9 for duration in durations])
        for values, column in zip(self.measures, measured, strict=True):
            values.extend([value for value in column if value is not None])
        if kind.reported:
            self.input_tokens = _plus(self.input_tokens, inputs)
            self.output_tokens = _plus(self.output_tokens, outputs)
            self.cache_read_input_tokens = _plus(self.cache_read_input_tokens, cached)
        first, last = min(starts), max(map(int.__add__, starts, durations))
        self.start = first if self.start is None else min(self.start, first)
        self.end = last if self.end is None else max(self.end, last)

    def merge(self, other: "_Group") -> None:
        """Take in another group."""
        for name in ("attempts", "resends", "failed", "cancelled", "abandoned"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("input_tokens", "output_tokens", "cache_read_input_tokens"):
            setattr(self, name, _plus(getattr(self, name), (getattr(other, name),)))
        self.start = min((time for time in (self.start, other.start) if time is not None), default=None)
        self.end = max((time for time in (self.end, other.end) if time is not None), default=None)

    def as_json(self, group: dict[str, str | None]) -> dict[str, Any]:
        """The group as the contract has it."""
        seconds = (self.end or 0) / 1e9 - (self.start or 0) / 1e9
        rate = self.output_tokens / seconds if self.output_tokens is not None and seconds > 0 else None
        return {
            "group": group,
            "calls": self.calls,
            "attempts": self.attempts,
            "errors": self.errors,
            "failed_attempts": self.failed,
            "cancelled": self.cancelled,
            "abandoned": self.abandoned,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cache_read_input_tokens": self.cache_read_input_tokens,
            "tokens_per_second": rate,
            "duration": percentiles(self.duration),
            **{name: percentiles(values) for name, values in zip(_MEASURES, self.measures, strict=True)},
            "cost": None,
            "energy": None,
        }


def summarize(sqlite: sqlite3.Connection, asked: Filter, by: tuple[str, ...]) -> dict[str, Any]:
    """The summary of the inference spans that fit, ready for JSON.

    A span is one attempt. ``attempts`` counts spans; a resend is one with ``http.request.resend_count`` > 0, and
    ``calls`` = attempts - resends. ``failed_attempts`` have outcome ``error`` or, where another instrumentation told no
    outcome, status ERROR; ``errors`` = failed attempts - resends, at least 0, for what was resent has not failed yet.
    ``error_rate`` = errors / calls.

    Percentiles are exact, linear between the two nearest ranks (as numpy does by default). ``duration`` is over
    attempts that completed: neither failed nor cancelled nor abandoned. ``p99`` needs 100 samples. Tokens are those
    that the provider reported; estimated ones are left out. ``tokens_per_second`` is throughput: output tokens divided
    by the time from the group's first start to its last end [token/s]. A span's model is the one asked for, else the
    one that answered.

    Args:
        sqlite: A connection to read with.
        asked: Which calls; its limit is not looked at.
        by: Any of `GROUPINGS`.
    """
    groups: defaultdict[tuple[str | None, ...], _Group] = defaultdict(_Group)
    sqlite.execute("BEGIN")  # one look for all that follows
    try:
        services = dict(sqlite.execute("SELECT id, service FROM resources").fetchall())
        for kind, resource, hour, rows in chain(_usual(sqlite, asked, by), _overflown(sqlite, asked, by)):
            said = {
                "model": kind.model,
                "provider": kind.provider,
                "operation": kind.operation,
                "service": services.get(resource),
                "hour": None if hour is None else _iso(hour * _HOUR),
            }
            groups[tuple(said[word] for word in by)].add(kind, rows)
    finally:
        sqlite.execute("COMMIT")
    total = _Group()
    for group in groups.values():
        total.merge(group)
    now = time.time_ns()
    return {
        "since": _iso(asked.since if asked.since is not None else total.start or now),
        "until": _iso(asked.until if asked.until is not None else total.end or now),
        "calls": total.calls,
        "attempts": total.attempts,
        "errors": total.errors,
        "error_rate": total.errors / total.calls if total.calls else None,
        "groups": [
            group.as_json(dict(zip(by, key, strict=True)))
            for key, group in sorted(groups.items(), key=lambda item: _order(by, *item))
        ],
    }


def percentiles(values: "array[float]") -> dict[str, float | int | None] | None:
    """p50, p90, p95, p99, max and count; ``None`` for no values, p99 ``None`` below 100 of them."""
    if not values:
        return None
    ranked = sorted(values)
    return {
        "p50": _quantile(ranked, 0.5),
        "p90": _quantile(ranked, 0.9),
        "p95": _quantile(ranked, 0.95),
        "p99": _quantile(ranked, 0.99) if len(ranked) >= _FEWEST_FOR_P99 else None,
        "max": ranked[-1],
        "count": len(ranked),
    }


def _quantile(ranked: list[float], fraction: float) -> float:
    place = (len(ranked) - 1) * fraction
    low = int(place)
    high = min(low + 1, len(ranked) - 1)
    return ranked[low] + (ranked[high] - ranked[low]) * (place - low)


def _usual(sqlite: sqlite3.Connection, asked: Filter, by: tuple[str, ...]) -> Iterator[_Some]:
    """Spans whose series says what they have in common, many at a time."""
    plain = Filter(model=asked.model, provider=asked.provider)
    condition, values = plain.where()
    query = (
        f"SELECT id, operation, status, {', '.join(_SAID.values())} FROM series,"  # noqa: S608
        f" (SELECT NULL AS attributes) AS spans WHERE name IS NOT NULL AND {condition}"
    )
    found = sqlite.execute(query, values).fetchall()
    if not found:
        return
    kinds = {
        number: _kind(operation, status, dict(zip(_SAID, said, strict=True)))
        for number, operation, status, *said in found
    }
    hour = f"spans.start_time / {_HOUR}" if "hour" in by else "NULL"
    where, limits = _scan(sqlite, asked, list(kinds))
    query = f"SELECT spans.series, spans.resource, {hour}, {_NUMBERS} FROM spans WHERE {where}"  # noqa: S608
    cursor = sqlite.execute(query, limits)
    while chunk := cursor.fetchmany(_CHUNK):
        buckets: defaultdict[tuple[int, int, int | None], list[Any]] = defaultdict(list)
        for row in chunk:
            buckets[row[:3]].append(row)
        for (series, resource, when), rows in buckets.items():
            yield kinds[series], resource, when, rows


def _scan(sqlite: sqlite3.Connection, asked: Filter, series: list[int]) -> tuple[str, list[Any]]:
    """Condition on ``spans`` alone, so that the scan joins nothing; conditions that all rows meet are left out."""
    conditions, values = ["1"], list[Any]()
    for condition, value in (("spans.start_time >= ?", asked.since), ("spans.start_time < ?", asked.until)):
        if value is not None:
            conditions.append(condition)
            values.append(value)
    if len(series) < sqlite.execute("SELECT count(*) FROM series").fetchone()[0]:
        conditions.append(f"spans.series IN ({','.join(map(str, series))})")
    if asked.service is not None:
        conditions.append("spans.resource IN (SELECT id FROM resources WHERE service = ?)")
        values.append(asked.service)
    return " AND ".join(conditions), values


def _overflown(sqlite: sqlite3.Connection, asked: Filter, by: tuple[str, ...]) -> Iterator[_Some]:
    """Spans whose series was one too many: each says for itself."""
    if not sqlite.execute("SELECT count(*) FROM series WHERE name IS NULL").fetchone()[0]:
        return
    where, values = asked.where()
    hour = f"spans.start_time / {_HOUR}" if "hour" in by else "NULL"
    query = (
        f"SELECT spans.series, spans.resource, {hour}, {_NUMBERS}, series.operation, series.status, spans.attributes"  # noqa: S608
        " FROM spans CROSS JOIN series ON series.id = spans.series"
        " CROSS JOIN resources ON resources.id = spans.resource"
        f" WHERE series.name IS NULL AND {where}"
    )
    for *row, operation, status, text in sqlite.execute(query, values):
        kind = _kind(operation, status, unpack(text))
        yield kind, row[1], row[2], [row]


def _kind(operation: str | None, status: int, said: Mapping[str, Any]) -> _Kind:
    """What the attributes ``said`` make of a span with this operation and status."""
    outcome = semconv.OUTCOME_ERROR if status == _ERROR else semconv.OUTCOME_COMPLETED
    return _Kind(
        model=said.get(semconv.REQUEST_MODEL) or said.get(semconv.RESPONSE_MODEL),
        provider=said.get(semconv.PROVIDER_NAME),
        operation=operation,
        outcome=said.get(semconv.OUTCOME) or outcome,
        reported=said.get(semconv.USAGE_SOURCE) != semconv.USAGE_SOURCE_ESTIMATED,
    )


def _plus(known: int | None, values: Iterable[int | None]) -> int | None:
    """The sum of what is known; ``None`` while nothing is."""
    numbers = [value for value in values if value is not None]
    return known if not numbers else (known or 0) + sum(numbers)


def _order(by: tuple[str, ...], key: tuple[str | None, ...], group: _Group) -> tuple[Any, ...]:
    """Hours in order of time, all else the busiest first."""
    hour = key[by.index("hour")] if "hour" in by else ""
    return hour, -group.attempts, [text or "" for text in key]


def _iso(nanoseconds: int) -> str:
    """ISO 8601 in UTC, to the microsecond."""
    return datetime.fromtimestamp(nanoseconds // 1000 / 1e6, UTC).isoformat().replace("+00:00", "Z")
