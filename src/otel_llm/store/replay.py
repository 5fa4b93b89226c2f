"""Room store: sends what the store holds to an OTLP backend and keeps how far it came in the store itself.

After each batch that was taken the place reached is written down, so a process that is killed goes on where it was, and
at most the batch that was under way is sent twice. The rows are read by a read-only connection, in short transactions.
"""

import json
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

from otel_llm.store.connection import CACHE, BusyError, Connection, NewerSchemaError
from otel_llm.store.delivered import FOREVER, Progress, packed, unpacked
from otel_llm.store.errors import InUseError, NotFoundError, StoreError
from otel_llm.store.gate import gate
from otel_llm.store.origin import origin
from otel_llm.store.otlp import COLUMNS, SpanEncoder
from otel_llm.store.otlp_signals import LOGS, POINTS, logs_request, metrics_request
from otel_llm.store.seat import Seat
from otel_llm.store.sender import SIGNALS, Answer, Destination, Sender, Verdict, connect

BATCH: Final = 512
MOST_BYTES: Final = 2 * 1024 * 1024
"""[byte] Of rows in one request: the Collector takes 4 MiB by gRPC."""

_FIRST_WAIT: Final = 1.0
_LONGEST_WAIT: Final = 30.0
_BUSY: Final = 30.0
_WAL_LIMIT: Final = 4 * 1024 * 1024
_SOURCES: Final = {
    "spans": (COLUMNS, "spans", "spans.id", "spans.start_time"),
    "logs": (LOGS, "logs", "logs.id", "logs.time"),
    "metrics": (POINTS, "points CROSS JOIN streams ON streams.id = points.stream", "points.id", "points.time"),
}


class GaveUpError(Exception):
    """The backend would not take what it was sent; the text is its last word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What to send, and how.

    Attributes:
        since: Earliest start, inclusive [ns since the epoch].
        until: Latest start, exclusive [ns since the epoch].
        signals: Of `SIGNALS`.
        rate: Items a second at most; ``None`` is no bound.
        patience: How long a backend may fail without a break [s].
        again: Send what was sent before, too.
    """

    since: int = 0
    until: int = FOREVER
    signals: tuple[str, ...] = SIGNALS
    rate: float | None = None
    patience: float = 300.0
    again: bool = False


@dataclass(slots=True)
class Tally:
    """What was done so far, for whoever watches.

    Attributes:
        sent: Items taken, by signal.
        refused: Items that the backend will not take, one by one or by partial success.
        lost: Items that were not sent, by signal and reason: those refused, and, about, those that the store let go of
            before their time came (``expired``).
        left_out: Signals that it does not know.
        trouble: Its last complaint; empty once it takes something.
    """

    sent: dict[str, int] = field(default_factory=dict[str, int])
    refused: int = 0
    lost: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    left_out: set[str] = field(default_factory=set[str])
    trouble: str = ""


class Replay:
    """One store and one backend. A context manager.

    Attributes:
        tally: What was done so far.
        connection: To the store, for writing.

    Args:
        path: The store.
        destination: The backend.
        wish: What to send.
        wait: Sleeps so long [s]; true when it is time to stop.
        sender: Takes the requests, and is left open; otherwise one is made, and closed in the end.

    Raises:
        NotFoundError: There is no store.
        InUseError: Somebody else sends one of the signals from it to the same backend.
        StoreError: It cannot be read or written.
        ValueError: The destination's address cannot be one.
    """

    def __init__(
        self,
        path: Path,
        destination: Destination,
        wish: Wish,
        wait: Callable[[float], object] = time.sleep,
        sender: Sender | None = None,
    ) -> None:
        if not path.exists():
            raise NotFoundError(str(path), expected="a store", found="no file")
        self.tally = Tally()
        self._path, self._wish, self._wait = path, wish, wait
        self._identity = destination.identity
        self._sender: Sender = sender or connect(destination, origin(path))
        self._lent = sender is not None
        self._gone: dict[str, int] = {}
        self._began = time.monotonic()
        self._seats = _seats(path, self._identity, wish.signals)
        try:
            with gate.lock:
                self.connection = Connection(path)
                self._reader = sqlite3.Connection(
                    f"file:{quote(str(path))}?mode=ro",
                    uri=True,
                    isolation_level=None,
                    timeout=5,
                    check_same_thread=False,
                )
                self._reader.execute(CACHE)
        except (sqlite3.Error, OSError, NewerSchemaError, BusyError) as error:
            _leave(self._seats)
            raise StoreError(str(path), expected="a store that can be written", found=str(error)) from error
        self._encode: dict[str, Callable[[Sequence[Sequence[Any]]], bytes]] = {
            "spans": SpanEncoder(self._reader).request,
            "logs": lambda rows: logs_request(self._reader, rows),
            "metrics": lambda rows: metrics_request(self._reader, rows),
        }
        try:
            with gate.lock:
                self._progress = {signal: self._resumed(signal) for signal in wish.signals}
        except sqlite3.Error:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close connection and files."""
        if not self._lent:
            self._sender.close()
        with gate.lock:
            self._reader.close()
            self.connection.close()
        _leave(self._seats)

    def waiting(self) -> int:
        """How many items are still to be sent."""
        total = 0
        for signal, progress in self._progress.items():
            _, tables, number, moment = _SOURCES[signal]
            condition, values = progress.where(number, moment)
            query = f"SELECT count(*) FROM {tables} WHERE {condition}"  # noqa: S608 - constants and placeholders
            total += self._reader.execute(query, values).fetchone()[0]
        return total

    def run(self) -> Iterator[int]:
        """Send everything that is there now; yields how many items each batch took care of.

        Raises:
            GaveUpError: The backend will take nothing, or has failed for longer than the wish's patience.
            StoreError: The file was replaced meanwhile, or cannot be written.
        """
        open_ones = [signal for signal in self._wish.signals if signal not in self.tally.left_out]
        while open_ones:
            if not self.connection.is_current():
                raise StoreError(str(self._path), expected="the store that was opened", found="another file")
            for signal in tuple(open_ones):
                with gate.lock:
                    rows, reached = self._next(signal)
                if rows and not self._deliver(signal, rows):
                    self.tally.left_out.add(signal)
                    open_ones.remove(signal)
                    continue
                if reached > self._progress[signal].asked.reached:
                    self._keep(signal, reached)
                if rows:
                    yield len(rows)
                    self._pace()
                else:
                    open_ones.remove(signal)

    def _next(self, signal: str) -> tuple[list[Sequence[Any]], int]:
        """The next rows, and the id that is reached once they are sent."""
        columns, tables, number, moment = _SOURCES[signal]
        table = number.partition(".")[0]
        newest = self._newest(table)
        oldest = self._reader.execute(f"SELECT min(id) FROM {table}").fetchone()[0]  # noqa: S608 - one of three
        self._gone[signal] = max(0, (oldest or 0) - 1 - self._progress[signal].asked.reached)
        condition, values = self._progress[signal].where(number, moment)
        rate = self._wish.rate
        most = BATCH if rate is None else max(1, min(BATCH, int(rate / 2)))
        query = f"SELECT {columns} FROM {tables} WHERE {condition} AND {number} <= ? ORDER BY {number} LIMIT ?"  # noqa: S608
        cursor = self._reader.execute(query, (*values, newest, most))
        rows: list[Sequence[Any]] = []
        size = 0
        for row in cursor:
            rows.append(row)
            size += sum(len(value) for value in row if isinstance(value, (str, bytes)))
            if size > MOST_BYTES or len(rows) == most:
                cursor.close()
                return rows, rows[-1][0]
        return rows, newest

    def _deliver(self, signal: str, rows: Sequence[Sequence[Any]]) -> bool:
        """Send ``rows``, in parts if they are refused together; false when the backend does not know the signal."""
        with gate.lock:
            request = self._encode[signal](rows)
        answer = self._insist(signal, request)
        if answer.verdict is Verdict.UNKNOWN:
            if signal == "spans" or len(self._wish.signals) == 1:
                raise GaveUpError(answer.reason)
            return False
        if answer.verdict is Verdict.STOP:
            raise GaveUpError(answer.reason)
        if answer.verdict is Verdict.REFUSED:
            if len(rows) > 1:
                middle = len(rows) // 2
                return self._deliver(signal, rows[:middle]) and self._deliver(signal, rows[middle:])
            self._refuse(signal, 1)
            self.tally.trouble = answer.reason
            return True
        self.tally.sent[signal] = self.tally.sent.get(signal, 0) + len(rows)
        self._refuse(signal, answer.rejected)
        self.tally.trouble = answer.reason
        return True

    def _refuse(self, signal: str, count: int) -> None:
        self.tally.refused += count
        self.tally.lost[signal, "refused"] += count

    def _insist(self, signal: str, request: bytes) -> Answer:
        """Send until the backend says yes or no."""
        deadline, pause = time.monotonic() + self._wish.patience, _FIRST_WAIT
        while True:
            answer = self._sender.send(signal, request)
            if answer.verdict is not Verdict.AGAIN:
                return answer
            self.tally.trouble = answer.reason
            rest = answer.wait if answer.wait is not None else pause * random.uniform(0.8, 1.2)  # noqa: S311 - no secret
            if time.monotonic() + rest > deadline or self._wait(rest):
                raise GaveUpError(answer.reason)
            pause = min(pause * 2, _LONGEST_WAIT)

    def _pace(self) -> None:
        if self._wish.rate is not None:
            ahead = sum(self.tally.sent.values()) / self._wish.rate - (time.monotonic() - self._began)
            if ahead > 0:
                self._wait(ahead)

    def _newest(self, table: str) -> int:
        query = f"SELECT coalesce(max(id), 0) FROM {table}"  # noqa: S608 - one of three
        return int(self._reader.execute(query).fetchone()[0])

    def _resumed(self, signal: str) -> Progress:
        newest = self._newest(_SOURCES[signal][2].partition(".")[0])
        row = self.connection.sqlite.execute(
            "SELECT content FROM deliveries WHERE destination = ? AND signal = ?", (self._identity, signal)
        ).fetchone()
        before = unpacked(json.loads(row[0])) if row and not self._wish.again else ()
        return Progress.resume(self._wish.since, self._wish.until, before, newest)

    def _keep(self, signal: str, reached: int) -> None:
        """Write down how far it came.

        Raises:
            StoreError: Another process was in the way for half a minute, or the file cannot be written.
        """
        progress = self._progress[signal] = self._progress[signal].on(reached)
        content = json.dumps(packed(progress.ranges()))
        deadline = time.monotonic() + _BUSY
        while True:
            try:
                with gate.lock:
                    self.connection.sqlite.execute(
                        "INSERT OR REPLACE INTO deliveries VALUES (?, ?, ?)", (self._identity, signal, content)
                    )
                    self.connection.checkpoint(limit=_WAL_LIMIT)
            except sqlite3.Error as error:
                busy = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
                if not busy or time.monotonic() > deadline:
                    raise StoreError(
                        str(self._path), expected="a store that can be written", found=str(error)
                    ) from error
            else:
                self.tally.lost[signal, "expired"] += self._gone.pop(signal, 0)
                return


def _seats(path: Path, identity: str, signals: Sequence[str]) -> list[Seat]:
    """The seat of each signal of one store and one backend, all of them or none."""
    seats = [Seat(path, "sending", f"{identity} {signal}") for signal in signals]
    try:
        for seat in seats:
            if not seat.take():
                _leave(seats)
                found = "another process that does so"
                hint = "forwarding does while the backend is away"
                raise InUseError(str(path), expected=f"nobody else sending to {identity}", found=found, hint=hint)
    except OSError as error:
        _leave(seats)
        raise StoreError(str(path), expected="a folder that can be written", found=str(error)) from error
    return seats


def _leave(seats: Sequence[Seat]) -> None:
    for seat in seats:
        seat.leave()
