"""Room store: how forwarding to a backend stands, kept in the store itself, so that any process and command sees it."""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

from otel_llm.store.delivered import FOREVER, Range, packed, unpacked

_MARK: Final = "forwarding "
"""Before the signals, in the column of the signal."""

_TABLES: Final = {"spans": ("spans", "start_time"), "logs": ("logs", "time"), "metrics": ("points", "time")}


@dataclass(slots=True, kw_only=True)
class State:
    """What became of forwarding so far, over all processes that did it.

    Attributes:
        since: When it was switched on [ns since the epoch]; what began before is left to ``otel-llm replay``.
        delivered_at: When something was taken last [ns since the epoch].
        delivered: Items taken.
        refused: Items that the backend will not take.
        expired: Items, about, that age or quota took before they were sent.
        error: What stands in the way now; empty where nothing does.
        error_at: When that was said last [ns since the epoch].
    """

    since: int
    delivered_at: int | None = None
    delivered: int = 0
    refused: int = 0
    expired: int = 0
    error: str = ""
    error_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One backend and how forwarding to it stands.

    Attributes:
        destination: Protocol and address.
        signals: What it is sent.
        waiting: Items, about, that are still to be sent.
    """

    destination: str
    signals: tuple[str, ...]
    state: State
    waiting: int


def begin(sqlite: sqlite3.Connection, identity: str, signals: Sequence[str], since: int) -> State:
    """The state that is kept; the first time it is made, and what is older than ``since`` is none of its business.

    Args:
        sqlite: A connection that may write.
        identity: Protocol and address of the backend.
        signals: What it is sent.
        since: When this process switched it on [ns since the epoch].

    Raises:
        sqlite3.Error: The store cannot be written now.
    """
    found = _load(sqlite, identity, signals)
    if found is None:
        found = State(since=since)
        rows = [(identity, signal, json.dumps(packed([_floor(sqlite, signal, since)]))) for signal in signals]
        sqlite.execute("BEGIN IMMEDIATE")
        try:
            sqlite.executemany("INSERT OR IGNORE INTO deliveries VALUES (?, ?, ?)", rows)
            keep(sqlite, identity, signals, found)
        finally:
            sqlite.execute("COMMIT")
    return found


def keep(sqlite: sqlite3.Connection, identity: str, signals: Sequence[str], state: State) -> None:
    """Write ``state`` down.

    Raises:
        sqlite3.Error: The store cannot be written now.
    """
    row = (identity, _MARK + ",".join(signals), json.dumps(asdict(state)))
    sqlite.execute("INSERT OR REPLACE INTO deliveries VALUES (?, ?, ?)", row)


def newest(sqlite: sqlite3.Connection, signals: Sequence[str]) -> tuple[int | None, ...]:
    """What a store that has nothing new has in common with itself: its newest rows, and what it knows of sending.

    The latter tells a new file from the old one, whose place and numbers it may have.
    """
    query = ", ".join(f"(SELECT max(id) FROM {_TABLES[signal][0]})" for signal in signals)  # noqa: S608 - of three
    found: tuple[int | None, ...] = sqlite.execute(
        f"SELECT (SELECT count(*) FROM deliveries), {query}"  # noqa: S608 - as above
    ).fetchone()
    return found


def waiting(sqlite: sqlite3.Connection, identity: str, signals: Sequence[str]) -> int:
    """Items, about, that are still to be sent: told from row numbers, not counted."""
    total = 0
    for signal in signals:
        row = sqlite.execute(
            "SELECT content FROM deliveries WHERE destination = ? AND signal = ?", (identity, signal)
        ).fetchone()
        reached = max((one.reached for one in unpacked(json.loads(row[0]))), default=0) if row else 0
        table = _TABLES[signal][0]
        least, most = sqlite.execute(f"SELECT min(id), max(id) FROM {table}").fetchone()  # noqa: S608 - one of three
        if most is not None:
            total += max(0, most - max(reached, least - 1))
    return total


def standing(sqlite: sqlite3.Connection) -> list[Standing]:
    """Every backend that is or was forwarded to."""
    found = []
    query = "SELECT destination, signal FROM deliveries WHERE signal LIKE ? ORDER BY 1, 2"
    for identity, mark in sqlite.execute(query, (_MARK + "%",)).fetchall():
        signals = tuple(mark.removeprefix(_MARK).split(","))
        state = _load(sqlite, identity, signals)
        if state is not None:
            left = waiting(sqlite, identity, signals)
            found.append(Standing(destination=identity, signals=signals, state=state, waiting=left))
    return found


def _load(sqlite: sqlite3.Connection, identity: str, signals: Sequence[str]) -> State | None:
    row = sqlite.execute(
        "SELECT content FROM deliveries WHERE destination = ? AND signal = ?", (identity, _MARK + ",".join(signals))
    ).fetchone()
    return State(**json.loads(row[0])) if row else None


def _floor(sqlite: sqlite3.Connection, signal: str, since: int) -> Range:
    """Of a signal, everything up to the first row that began at ``since`` or later, as if it had been sent."""
    table, moment = _TABLES[signal]
    first, newest = sqlite.execute(
        f"SELECT (SELECT min(id) FROM {table} WHERE {moment} >= ?), max(id) FROM {table}",  # noqa: S608 - one of three
        (since,),
    ).fetchone()
    reached = newest or 0 if first is None else first - 1
    return Range(since=since, until=FOREVER, reached=reached)
