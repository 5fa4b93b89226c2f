"""Room store: counts, tokens and percentiles of calls, from roll-ups and spans. Reads only."""

import sqlite3
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from msgspec.structs import replace

from otel_llm.store.filter import Filter
from otel_llm.store.group import Group, Kind
from otel_llm.store.rollup import Hours, rolled_up
from otel_llm.store.scan import HOUR, scan

GROUPINGS: Final = ("model", "provider", "service", "operation", "hour")
"""What a summary can be grouped by."""

EXACT: Final = 20_000
"""Spans up to which a range is read span by span, and is exact."""


def summarize(
    sqlite: sqlite3.Connection, asked: Filter, by: tuple[str, ...], *, exact: int | None = None
) -> dict[str, Any]:
    """The summary of the inference spans that fit, ready for JSON.

    A span is one attempt. ``attempts`` counts spans; a resend is one with ``http.request.resend_count`` > 0, and
    ``calls`` = attempts - resends. ``failed_attempts`` have outcome ``error`` or, where another instrumentation told no
    outcome, status ERROR; ``errors`` = failed attempts - resends, at least 0, for what was resent has not failed yet.
    ``error_rate`` = errors / calls.

    Percentiles are linear between the two nearest ranks (as numpy does by default); where roll-ups stand in for spans,
    that is in whole hours of a range with more than ``exact`` spans and in hours that lost spans to age or quota, they
    are off by 2.2 % at most, and all else is exact. An hour that the range cuts counts the spans that are still there.
    ``duration`` is over attempts that completed: neither failed nor cancelled nor abandoned. ``p99`` needs 100 samples.
    Tokens are those that the provider reported; estimated ones are left out. ``tokens_per_second`` is throughput:
    output tokens divided by the time from the group's first start to its last end [token/s]. A span's model is the one
    asked for, else the one that answered.

    ``concurrency`` is of attempts: ``mean`` is all their durations together by the group's time, ``max`` is told where
    every span was read. ``cost`` adds up the ``priced`` attempts, by currency; ``energy_per_output_token`` [J] is over
    attempts that have an energy and reported tokens.

    Args:
        sqlite: A connection to read with.
        asked: Which calls; its limit is not looked at.
        by: Any of `GROUPINGS`.
        exact: How many spans are read rather than their roll-ups; `EXACT` by default.
    """
    groups: defaultdict[tuple[str | None, ...], Group] = defaultdict(lambda: Group(moments=([], [])))

    def group(kind: Kind, hour: int | None) -> Group:
        said = {
            "model": kind.model,
            "provider": kind.provider,
            "operation": kind.operation,
            "service": kind.service,
            "hour": None if hour is None or "hour" not in by else _iso(hour * HOUR),
        }
        return groups[tuple(said[word] for word in by)]

    sqlite.execute("BEGIN")  # one look for all that follows
    try:
        hours = _hours(sqlite, asked, EXACT if exact is None else exact)
        for part, after in _rows(sqlite, asked, hours):
            for kind, hour, rows in scan(sqlite, part, hourly="hour" in by, after=after):
                group(kind, hour).add(kind, rows)
        if hours is not None:
            for kind, hour, figures in rolled_up(sqlite, asked, hours):
                group(kind, hour).unpack(kind, figures)
    finally:
        sqlite.execute("COMMIT")
    return tell(groups, asked, by)


def tell(groups: dict[tuple[str | None, ...], Group], asked: Filter, by: tuple[str, ...]) -> dict[str, Any]:
    """The groups as the contract has them."""
    total = Group()
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


def _hours(sqlite: sqlite3.Connection, asked: Filter, exact: int) -> Hours | None:
    """The whole hours that roll-ups stand for; ``None`` for none."""
    first = None if asked.since is None else -(-asked.since // HOUR)
    end = None if asked.until is None else asked.until // HOUR
    known: dict[str, int] = dict(sqlite.execute("SELECT key, value FROM meta").fetchall())
    times = [("start_time >= ?", asked.since), ("start_time < ?", asked.until)]
    said = [(condition, value) for condition, value in times if value is not None]
    where = " AND ".join(["1", *(condition for condition, _ in said)])
    query = f"SELECT count(*) FROM (SELECT 1 FROM spans WHERE {where} LIMIT ?)"  # noqa: S608
    if sqlite.execute(query, [*(value for _, value in said), exact + 1]).fetchone()[0] <= exact:
        lost = known.get("deleted")
        if lost is None:
            return None
        settled = lost // HOUR + 1
        end = settled if end is None else min(end, settled)
    pruned = known.get("pruned")
    if pruned is not None:
        first = pruned if first is None else max(first, pruned)
    return None if first is not None and end is not None and first >= end else (first, end)


def _rows(sqlite: sqlite3.Connection, asked: Filter, hours: Hours | None) -> Iterator[tuple[Filter, int | None]]:
    """The spans that the roll-ups of these hours do not hold: parts of what was asked, and the id after which."""
    if hours is None:
        yield asked, None
        return
    since, until = (None if hour is None else hour * HOUR for hour in hours)
    if since is not None:
        yield replace(asked, until=since), None
    if until is not None:
        yield replace(asked, since=until), None
    folded = sqlite.execute("SELECT value FROM meta WHERE key = 'folded'").fetchone()[0]
    yield replace(asked, since=since, until=until), folded


def _order(by: tuple[str, ...], key: tuple[str | None, ...], group: Group) -> tuple[Any, ...]:
    """Hours in order of time, all else the busiest first."""
    hour = key[by.index("hour")] if "hour" in by else ""
    return hour, -group.attempts, [text or "" for text in key]


def _iso(nanoseconds: int) -> str:
    """ISO 8601 in UTC, to the microsecond."""
    return datetime.fromtimestamp(nanoseconds // 1000 / 1e6, UTC).isoformat().replace("+00:00", "Z")
