"""Room store: what calls add up to, by the hour and kind. Written on the writer's thread, in transactions of its own.

Rows go into roll-ups in order of their ids, some thousands at a time, and ``meta.folded`` is the id of the last that
did, kept in the same transaction. So each row that was really inserted counts once, whoever wrote it, however late and
however often it was sent; and a reader adds up the roll-ups and the rows after that id. Rows are deleted only after
they were folded (`retention`), and roll-ups outlive them.
"""

import sqlite3
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Final, TypeAlias

from otel_llm import boundary, semconv
from otel_llm.store.errors import is_about_file
from otel_llm.store.filter import Filter
from otel_llm.store.group import FIGURES, Group, Kind
from otel_llm.store.interning import Table
from otel_llm.store.scan import HOUR, scan

FOLD: Final = 10_000
"""Rows that a summary may have to read besides the roll-ups."""

_AT_ONCE: Final = 2000
"""Rows that one transaction folds: more would hold others up for longer."""

_IN_MEMORY: Final = 100
"""Rows that are in memory while they are folded: they leave the heap of the application larger for ever."""

Hours: TypeAlias = tuple[int | None, int | None]
"""The first hour and the one after the last [h since the epoch]; ``None`` is no limit."""

MAX_AGE: Final = 400 * 86_400
"""[s] How long roll-ups are kept."""

KIND_COLUMNS: Final = (
    *("operation", "provider", "request_model", "response_model", "service", "outcome", "currency", "reported"),
)
_FIGURES: Final = ", ".join(FIGURES)
_OUTCOMES: Final = frozenset(
    {
        semconv.OUTCOME_COMPLETED,
        semconv.OUTCOME_ERROR,
        semconv.OUTCOME_CANCELLED,
        semconv.OUTCOME_ABANDONED,
    }
)
_NEVER: Final = 2**62
_BYTES_PER_ROW: Final = 1024
_SHARE: Final = 4
_SELECT: Final = f"SELECT {_FIGURES} FROM rollups WHERE hour = ? AND kind = ?"  # noqa: S608 - constants
_INSERT: Final = (
    f"INSERT OR REPLACE INTO rollups (hour, kind, {_FIGURES}) VALUES ({','.join('?' * (len(FIGURES) + 2))})"  # noqa: S608
)

_PRUNED: Final = (
    "INSERT INTO meta VALUES ('pruned', ?) ON CONFLICT (key) DO UPDATE SET value = max(value, excluded.value)"
)


def fold(sqlite: sqlite3.Connection, *, least: int = FOLD) -> int:
    """Fold the rows that wait, unless they are fewer than ``least``; returns how many rows that were.

    Raises:
        sqlite3.Error: The rows that are not folded yet can be tried again.
    """
    gone = 0
    while True:
        begin, newest = _waiting(sqlite)
        if newest - begin < max(1, least - gone):
            return gone
        sqlite.execute("BEGIN IMMEDIATE")
        try:
            begin, newest = _waiting(sqlite)
            last = min(newest, begin + _AT_ONCE)
            _fold(sqlite, begin, last)
            sqlite.execute("UPDATE meta SET value = ? WHERE key = 'folded'", (last,))
            sqlite.execute("COMMIT")
        except BaseException:
            if sqlite.in_transaction:
                sqlite.execute("ROLLBACK")
            raise
        gone += last - begin


def prune(sqlite: sqlite3.Connection, *, max_size: int, now: float | None = None) -> int:
    """Delete roll-ups older than `MAX_AGE`, and the oldest hours beyond a quarter of ``max_size`` [byte].

    ``meta.pruned`` is the hour before which there are none.

    Returns:
        How many rows are gone.
    """
    horizon = int((time.time() if now is None else now) - MAX_AGE) * 1_000_000_000 // HOUR
    sqlite.execute("BEGIN IMMEDIATE")
    try:
        excess = sqlite.execute("SELECT count(*) FROM rollups").fetchone()[0] - max_size // _SHARE // _BYTES_PER_ROW
        if excess > 0:
            query = "SELECT hour FROM rollups ORDER BY hour LIMIT 1 OFFSET ?"
            horizon = max(horizon, sqlite.execute(query, (excess - 1,)).fetchone()[0] + 1)
        gone = sqlite.execute("DELETE FROM rollups WHERE hour < ?", (horizon,)).rowcount
        if gone:
            sqlite.execute(_PRUNED, (horizon,))
        sqlite.execute("COMMIT")
    except BaseException:
        if sqlite.in_transaction:
            sqlite.execute("ROLLBACK")
        raise
    return int(gone)


def rolled_up(sqlite: sqlite3.Connection, asked: Filter, hours: Hours) -> Iterator[tuple[Kind, int, tuple[Any, ...]]]:
    """The roll-ups that fit: kind, hour, and `FIGURES`.

    Args:
        sqlite: A connection, in a transaction.
        asked: Which calls; neither its times nor its limit are looked at.
        hours: Which hours.
    """
    columns = ", ".join(KIND_COLUMNS)
    kinds = {
        number: Kind(**{**dict(zip(KIND_COLUMNS, said, strict=True)), "reported": bool(said[-1])})
        for number, *said in sqlite.execute(f"SELECT id, {columns} FROM kinds")  # noqa: S608
    }
    kinds = {number: kind for number, kind in kinds.items() if _fits(kind, asked)}
    query = f"SELECT kind, hour, {_FIGURES} FROM rollups WHERE hour >= ? AND hour < ?"  # noqa: S608
    first, end = hours
    limits = (-_NEVER if first is None else first, _NEVER if end is None else end)
    for number, hour, *figures in sqlite.execute(query, limits):
        if number in kinds:
            yield kinds[number], hour, tuple(figures)


def _fits(kind: Kind, asked: Filter) -> bool:
    return (
        (asked.model is None or asked.model in {kind.request_model, kind.response_model})
        and asked.provider in {None, kind.provider}
        and asked.service in {None, kind.service}
    )


def _waiting(sqlite: sqlite3.Connection) -> tuple[int, int]:
    """The id of the last row that was folded, and of the last row."""
    folded, newest = sqlite.execute(
        "SELECT value, (SELECT coalesce(max(id), 0) FROM spans) FROM meta WHERE key = 'folded'"
    ).fetchone()
    return min(folded, newest), newest


def _fold(sqlite: sqlite3.Connection, begin: int, last: int) -> None:
    """Add the rows after ``begin`` up to ``last`` to the roll-ups; what cannot be added must not stop the rest."""
    sqlite.execute("SAVEPOINT fold")
    try:
        groups: defaultdict[tuple[int, Kind], Group] = defaultdict(Group)
        for kind, hour, rows in scan(sqlite, Filter(), hourly=True, after=begin, last=last, at_once=_IN_MEMORY):
            groups[hour or 0, kind].add(kind, rows)
        kinds = Table("kinds", KIND_COLUMNS)
        unnamed = Table("kinds", KIND_COLUMNS, limit=None)  # few: operations x outcomes
        for (hour, kind), group in groups.items():
            number = _kind_id(sqlite, kind, kinds, unnamed)
            known = sqlite.execute(_SELECT, (hour, number)).fetchone()
            if known is not None:
                group.unpack(kind, known)
            sqlite.execute(_INSERT, (hour, number, *group.pack()))
    except Exception as error:
        if is_about_file(error):
            raise
        boundary.swallow("store.rollup", error)
        sqlite.execute("ROLLBACK TO fold")
    sqlite.execute("RELEASE fold")


def _kind_id(sqlite: sqlite3.Connection, kind: Kind, kinds: Table, unnamed: Table) -> int:
    """The id of ``kind``; beyond the limit, of a kind that names neither models nor provider nor service."""
    row = tuple(getattr(kind, name) for name in KIND_COLUMNS)
    number = kinds.known(kind) or kinds.id(sqlite, kind, row)
    if number is None:
        bare = (kind.operation, None, None, None, None, _outcome(kind), kind.currency, kind.reported)
        number = unnamed.known(bare) or unnamed.id(sqlite, bare, bare)
    return number or 0


def _outcome(kind: Kind) -> str:
    return kind.outcome if kind.outcome in _OUTCOMES else "other"
