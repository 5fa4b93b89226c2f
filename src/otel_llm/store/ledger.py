"""Room store: what alerting keeps, in the same file as the spans. The engine's and the deliveries' threads write here.

Each call is one short transaction on a connection of its own, beside the writer's. What SQLite cannot do now becomes a
`LedgerError`, and the next call opens the file anew.
"""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from otel_llm.ledger import CLAIM, LEASE, MOST_ROWS, PAGE, Kept, LedgerError, Message, Outcome, Row, Shared, Silence
from otel_llm.store.connection import BusyError, Connection, NewerSchemaError
from otel_llm.store.gate import gate

_MOST_SLOTS: Final = 200_000
_MOST_HISTORY: Final = 50_000
_SETTLED_KEPT: Final = 7 * 86_400.0
"""A settled message is remembered this long, so that it is not queued again [s]."""

_WAITING_KEPT: Final = 2 * 86_400.0
"""A message waits this long for a receiver that is no longer there [s]; one that is there gives up before."""

_RESTING_KEPT: Final = 86_400.0
"""An alert at rest is remembered this long [s]."""

_LOG: Final = 4_000_000
"""A write-ahead log longer than this is copied into the database [byte]."""

KEPT: Final = "SELECT fingerprint, alert, digest, state, content, labels, at, wall, boot FROM alert_state"
"""Every alert as it was kept last, for `as_kept`."""

_COLUMNS: Final = "identity, receiver, message, attempts, next_at, created, boot"
"""Of a message."""

_CLEANED: Final = 60.0
"""Time between two cleanings [s]."""


class SqliteLedger:
    """Alerts, messages and the lease in the store's file.

    Args:
        path: The database; made at the first call.
        boot: Which boot of the machine times named ``at`` belong to.

    Attributes:
        stands_in: Never: this is the host's own.
        dropped: Messages that were one too many.
    """

    stands_in = False

    def __init__(self, path: Path, boot: str) -> None:
        self.dropped = 0
        self._path = path
        self._boot = boot
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._cleaned_at = 0.0

    # --- the judge ----------------------------------------------------------------------------------------------

    def lease(self, owner: str, now: float) -> int | None:
        """Become or stay the judge for `LEASE` seconds; the epoch while held, ``None`` while another one is."""
        with self._sqlite() as sqlite:
            found = sqlite.execute("SELECT owner, epoch, at, boot FROM alert_lease").fetchone()
        if found is not None and found[0] != owner and found[3] == self._boot and 0 <= now - found[2] <= LEASE:
            return None
        with self._transaction() as sqlite:
            found = sqlite.execute("SELECT owner, epoch, at, boot FROM alert_lease").fetchone()
            if found is None:
                epoch = 1
            elif found[0] == owner:
                epoch = found[1]
            elif found[3] == self._boot and 0 <= now - found[2] <= LEASE:
                return None
            else:
                epoch = found[1] + 1
            sqlite.execute("INSERT OR REPLACE INTO alert_lease VALUES (1, ?, ?, ?, ?)", (owner, epoch, now, self._boot))
            return int(epoch)

    def release(self, owner: str) -> None:
        """Stop being the judge."""
        with self._transaction() as sqlite:
            sqlite.execute("UPDATE alert_lease SET at = at - ? WHERE owner = ?", (2 * LEASE, owner))

    # --- slots --------------------------------------------------------------------------------------------------

    def share(self, slots: Sequence[Shared], now: float) -> None:
        """Tell the others what this worker counted, and forget what no window reaches."""
        cleaning = now - self._cleaned_at >= _CLEANED
        if not slots and not cleaning:
            return
        with self._transaction() as sqlite:
            sqlite.executemany(
                "INSERT OR REPLACE INTO alert_slots (worker, series, key, number, until, boot, content)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (one.worker, one.group, _json(one.key), one.number, one.until, one.boot, _json(one.content))
                    for one in slots
                ],
            )
            if cleaning:
                self._clean(sqlite, now)
        if cleaning:
            self._cleaned_at = now
            with self._lock, gate.lock, contextlib.suppress(sqlite3.Error, OSError):
                if self._connection is not None:  # an idle process's writer does not
                    self._connection.checkpoint(limit=_LOG)

    def shared(self, since: int, not_by: str) -> tuple[Iterable[Shared], int]:
        """A page of what others told after mark ``since``, and the next mark; 0 is the beginning."""
        with self._sqlite() as sqlite:
            rows = sqlite.execute(
                "SELECT id, worker, series, key, number, until, boot, content FROM alert_slots"
                " WHERE id > ? ORDER BY id LIMIT ?",
                (since, PAGE),
            ).fetchall()
        others = (
            Shared(
                worker=worker,
                group=series,
                key=tuple(msgspec.json.decode(key)),
                number=number,
                until=until,
                boot=boot,
                content=msgspec.json.decode(content),
            )
            for _, worker, series, key, number, until, boot, content in rows
            if worker != not_by
        )
        return others, rows[-1][0] if rows else max(since, 1)

    # --- alerts -------------------------------------------------------------------------------------------------

    def kept(self) -> Sequence[Kept]:
        """All alerts as they were kept."""
        with self._sqlite() as sqlite:
            rows = sqlite.execute(KEPT).fetchall()
        return [as_kept(row) for row in rows]

    def commit(self, epoch: int, kept: Sequence[Kept], rows: Sequence[Row]) -> bool:
        """Keep alerts and queue messages, both or neither; ``False`` when the epoch is over.

        A row is queued once. A repeat is not while an older word about its alert waits, and a resolve is not where the
        receiver was not to hear that it fires.
        """
        with self._transaction() as sqlite:
            found = sqlite.execute("SELECT epoch FROM alert_lease").fetchone()
            if found is None or found[0] != epoch:
                return False
            for one in kept:
                self._keep(sqlite, one)
            self._queue(sqlite, [row for row in rows if _is_wanted(sqlite, row)])
        return True

    def accept(self, rows: Sequence[Row]) -> None:
        """Queue what a ledger that stood in for this one held, whoever judges; a row that is known stays as it is."""
        with self._transaction() as sqlite:
            self._queue(sqlite, rows)

    def note(self, kept: Sequence[Kept], rows: Sequence[Row]) -> None:
        """Keep alerts and messages as a judge elsewhere decided; messages that are known stay as they are."""
        with self._transaction() as sqlite:
            for one in kept:
                self._keep(sqlite, one)
            self._queue(sqlite, rows)

    def written(self, most: int) -> tuple[Sequence[Row], Sequence[str]]:
        """The newest messages: those that wait, and the identities of those that do not."""
        with self._sqlite() as sqlite:
            waiting = sqlite.execute(
                f"SELECT {_COLUMNS} FROM alert_outbox WHERE state = 'pending' ORDER BY id DESC LIMIT ?",  # noqa: S608
                (most,),
            ).fetchall()
            told = sqlite.execute(
                "SELECT identity FROM alert_outbox WHERE state <> 'pending' ORDER BY id DESC LIMIT ?", (most,)
            ).fetchall()
        return [_row(row) for row in reversed(waiting)], [identity for (identity,) in told]

    def _queue(self, sqlite: sqlite3.Connection, rows: Sequence[Row]) -> None:
        sqlite.executemany(
            "INSERT OR IGNORE INTO alert_outbox"
            " (identity, receiver, fingerprint, repeat, message, state, attempts, next_at, boot, created)"
            " VALUES (?, ?, ?, ?, ?, 'pending', ?, ?, ?, ?)",
            [
                (
                    *(row.identity, row.receiver, row.message.fingerprint, row.message.repeat),
                    *(_json(row.message), row.attempts, row.next_at, self._boot, row.created),
                )
                for row in rows
            ],
        )
        if rows:
            self._shrink(sqlite)

    def _keep(self, sqlite: sqlite3.Connection, one: Kept) -> None:
        found = sqlite.execute("SELECT state FROM alert_state WHERE fingerprint = ?", (one.fingerprint,)).fetchone()
        before = found[0] if found else "inactive"
        labels = _json(one.labels)
        if before != one.state:
            content = one.content
            sqlite.execute(
                "INSERT INTO alert_history (time, alert, fingerprint, before, state, labels, value, samples, reason)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(one.wall, one.rule, one.fingerprint, before, one.state, labels),
                    *(content.get("value"), content.get("samples"), content.get("reason")),
                ),
            )
        sqlite.execute(
            "INSERT OR REPLACE INTO alert_state VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(one.fingerprint, one.rule, one.digest, one.state, _json(one.content), labels),
                *(one.at, one.wall, one.boot),
            ),
        )

    # --- messages -----------------------------------------------------------------------------------------------

    def due(self, receiver: str, now: float, most: int) -> Sequence[Row]:
        """Messages for ``receiver`` whose time has come, oldest first; of one alert only the oldest."""
        with self._sqlite() as sqlite:
            rows = sqlite.execute(
                f"SELECT {_COLUMNS} FROM alert_outbox WHERE id IN"  # noqa: S608
                " (SELECT min(id) FROM alert_outbox WHERE receiver = ? AND state = 'pending' GROUP BY fingerprint)"
                " AND (next_at <= ? OR boot <> ?) ORDER BY id LIMIT ?",
                (receiver, now, self._boot, most),
            ).fetchall()
        return [_row(row) for row in rows]

    def claim(self, epoch: int, rows: Sequence[Row], now: float) -> Sequence[Row]:
        """Those of ``rows`` that the judge of ``epoch`` alone may send for `CLAIM` seconds; none once its time is over.

        What a judge before it claimed is let go when that time is over: its process may be dead, or slow to answer.
        `settle` ends a claim.
        """
        with self._transaction() as sqlite:
            found = sqlite.execute("SELECT epoch FROM alert_lease").fetchone()
            if found is None or found[0] != epoch:
                return ()
            return [row for row in rows if self._claim_one(sqlite, epoch, row, now)]

    def _claim_one(self, sqlite: sqlite3.Connection, epoch: int, row: Row, now: float) -> bool:
        cursor = sqlite.execute(
            "UPDATE alert_outbox SET claimed_by = ?, claimed_until = ?, boot = ?,"
            " next_at = CASE WHEN boot = ? THEN next_at ELSE ? END WHERE identity = ? AND state = 'pending'"
            " AND (claimed_until IS NULL OR claimed_until <= ? OR claimed_by = ? OR boot <> ?)",
            (epoch, now + CLAIM, self._boot, self._boot, now, row.identity, now, epoch, self._boot),
        )
        return cursor.rowcount > 0

    def settle(self, row: Row, outcome: Outcome, next_at: float, error: str | None) -> None:
        """Say how a try went; a row that is ``withdrawn`` may be queued again."""
        if outcome == "withdrawn":
            with self._transaction() as sqlite:
                sqlite.execute("DELETE FROM alert_outbox WHERE identity = ? AND state = 'pending'", (row.identity,))
            return
        state = "pending" if outcome == "again" else outcome
        with self._transaction() as sqlite:
            sqlite.execute(
                "UPDATE alert_outbox SET state = ?, attempts = attempts + 1, next_at = ?, boot = ?, error = ?,"
                " settled = ?, claimed_by = NULL, claimed_until = NULL WHERE identity = ? AND state = 'pending'",
                (state, next_at, self._boot, error, None if outcome == "again" else time.time(), row.identity),
            )

    def silences(self, wall: float) -> Sequence[Silence]:
        """Silences that are not over at ``wall`` [s]."""
        with self._sqlite() as sqlite:
            rows = sqlite.execute(
                "SELECT matchers, starts, ends FROM alert_silences WHERE ends > ?", (wall,)
            ).fetchall()
        return [
            Silence(matchers=msgspec.json.decode(matchers, type=dict[str, str]), starts=starts, ends=ends)
            for matchers, starts, ends in rows
        ]

    def close(self) -> None:
        """Close the file; the next call opens it again."""
        with self._lock:
            self._drop()

    # --- the file -----------------------------------------------------------------------------------------------

    def _clean(self, sqlite: sqlite3.Connection, now: float) -> None:
        wall = time.time()
        sqlite.execute("DELETE FROM alert_slots WHERE until < ? OR boot <> ?", (int(now / 5), self._boot))
        sqlite.execute("DELETE FROM alert_slots WHERE id <= (SELECT max(id) FROM alert_slots) - ?", (_MOST_SLOTS,))
        sqlite.execute(
            "DELETE FROM alert_history WHERE id <= (SELECT max(id) FROM alert_history) - ?", (_MOST_HISTORY,)
        )
        sqlite.execute(
            "UPDATE alert_outbox SET state = 'dead', settled = ?, error = 'nobody delivers to this receiver'"
            " WHERE state = 'pending' AND created < ?",
            (wall, wall - _WAITING_KEPT),
        )
        sqlite.execute(
            "DELETE FROM alert_outbox WHERE state <> 'pending' AND settled < ?"
            " AND fingerprint NOT IN (SELECT fingerprint FROM alert_state WHERE state = 'firing')",
            (wall - _SETTLED_KEPT,),
        )
        sqlite.execute("DELETE FROM alert_state WHERE state = 'inactive' AND wall < ?", (wall - _RESTING_KEPT,))
        sqlite.execute("DELETE FROM alert_silences WHERE ends < ?", (wall - _SETTLED_KEPT,))

    def _shrink(self, sqlite: sqlite3.Connection) -> None:
        """Of too many messages that wait, drop the oldest repeats first."""
        (waiting,) = sqlite.execute("SELECT count(*) FROM alert_outbox WHERE state = 'pending'").fetchone()
        if waiting > MOST_ROWS:
            cursor = sqlite.execute(
                "DELETE FROM alert_outbox WHERE id IN (SELECT id FROM alert_outbox WHERE state = 'pending'"
                " ORDER BY repeat = 0, id LIMIT ?)",
                (waiting - MOST_ROWS,),
            )
            self.dropped += cursor.rowcount

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._sqlite() as sqlite:
            sqlite.execute("BEGIN IMMEDIATE")
            try:
                yield sqlite
                sqlite.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    sqlite.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _sqlite(self) -> Iterator[sqlite3.Connection]:
        with self._lock, gate.lock:
            try:
                if self._connection is not None and not self._connection.is_current():
                    self._drop()
                if self._connection is None:
                    self._connection = Connection(self._path)
                yield self._connection.sqlite
            except (sqlite3.Error, BusyError, NewerSchemaError, OSError) as error:
                self._drop()
                raise LedgerError(str(error)) from error

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def as_kept(row: Sequence[Any]) -> Kept:
    """The alert in a row of `KEPT`."""
    fingerprint, rule, digest, state, content, labels, at, wall, boot = row
    return Kept(
        fingerprint=fingerprint,
        rule=rule,
        digest=digest,
        state=state,
        content=msgspec.json.decode(content),
        labels=msgspec.json.decode(labels),
        at=at,
        wall=wall,
        boot=boot,
    )


def _is_wanted(sqlite: sqlite3.Connection, row: Row) -> bool:
    """Whether to queue ``row``: what it goes on from must be there, and a repeat must have nothing before it."""
    if row.message.status == "resolved":
        query = "SELECT 1 FROM alert_outbox WHERE identity = ?"
        return sqlite.execute(query, (row.beginning,)).fetchone() is not None
    query = "SELECT 1 FROM alert_outbox WHERE receiver = ? AND fingerprint = ? AND state = 'pending'"
    waits = (row.receiver, row.message.fingerprint)
    return not row.message.repeat or sqlite.execute(query, waits).fetchone() is None


def _row(found: Sequence[Any]) -> Row:
    """The message in a row of `_COLUMNS`."""
    identity, receiver, message, attempts, next_at, created, boot = found
    return Row(
        identity=identity,
        receiver=receiver,
        message=msgspec.json.decode(message, type=Message),
        attempts=attempts,
        next_at=next_at,
        created=created,
        boot=boot,
    )


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
