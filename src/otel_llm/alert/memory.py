"""Room alert: a ledger that a process has to itself and that dies with it: for where there is no store.

One stands in for the store while that cannot be used, and gives what it holds when the store is back.
"""

import threading
from collections.abc import Iterable, Sequence

import msgspec

from otel_llm.ledger import CLAIM, MOST_ROWS, Kept, LedgerError, Outcome, Row, Shared, Silence


class MemoryLedger:
    """Alerts and messages in memory.

    Attributes:
        stands_in: Never.
        dropped: Messages that were one too many.
    """

    stands_in = False

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str, Kept] = {}
        self._rows: dict[str, Row] = {}
        self._settled: dict[str, str] = {}
        self._claimed: dict[str, float] = {}
        self._closed = False
        self.dropped = 0

    def close(self) -> Sequence[Row]:
        """Give what waits into other hands; from now on nothing is sent from here. What is being sent is due later."""
        with self._lock:
            self._closed = True
            return [
                msgspec.structs.replace(row, next_at=max(row.next_at, self._claimed.get(row.identity, row.next_at)))
                for row in self._rows.values()
            ]

    def reopen(self) -> None:
        """Take back what `close` gave: nobody took it."""
        with self._lock:
            self._closed = False

    def knows(self, identity: str) -> bool:
        """Whether a row of that identity was queued here, sent or not."""
        with self._lock:
            return identity in self._rows or identity in self._settled

    def lease(self, owner: str, now: float) -> int | None:  # noqa: ARG002
        """Always: there is nobody else."""
        return 1

    def release(self, owner: str) -> None:
        """Nobody takes over."""

    def share(self, slots: Sequence[Shared], now: float) -> None:
        """Nobody listens."""

    def shared(self, since: int, not_by: str) -> tuple[Iterable[Shared], int]:  # noqa: ARG002
        """Nobody told anything."""
        return (), since

    def kept(self) -> Sequence[Kept]:
        """All alerts as they were kept."""
        with self._lock:
            return tuple(self._kept.values())

    def commit(self, epoch: int, kept: Sequence[Kept], rows: Sequence[Row]) -> bool:  # noqa: ARG002
        """Keep alerts and queue messages."""
        with self._lock:
            for one in kept:
                self._kept[one.fingerprint] = one
            for row in rows:
                if self._is_wanted(row):
                    self._rows[row.identity] = row
            self._shrink()
        return True

    def due(self, receiver: str, now: float, most: int) -> Sequence[Row]:
        """Messages for ``receiver`` whose time has come, oldest first; of one alert only the oldest."""
        found: list[Row] = []
        seen: set[str] = set()
        with self._lock:
            for row in self._rows.values():
                if row.receiver != receiver or row.message.fingerprint in seen:
                    continue
                seen.add(row.message.fingerprint)
                if row.next_at <= now:
                    found.append(row)
        return found[:most]

    def claim(self, epoch: int, rows: Sequence[Row], now: float) -> Sequence[Row]:  # noqa: ARG002
        """All that still wait: nobody else sends them."""
        with self._lock:
            found = [] if self._closed else [row for row in rows if row.identity in self._rows]
            self._claimed.update((row.identity, now + CLAIM) for row in found)
            return found

    def accept(self, rows: Sequence[Row]) -> None:
        """Queue what another ledger held."""
        with self._lock:
            for row in rows:
                if row.identity not in self._settled:
                    self._rows.setdefault(row.identity, row)
            self._shrink()

    def settle(self, row: Row, outcome: Outcome, next_at: float, error: str | None) -> None:  # noqa: ARG002
        """Say how a try went; a row that is ``withdrawn`` may be queued again."""
        with self._lock:
            if self._closed:  # whoever sent it says so to the ledger that has the row now
                message = "what waited here is in other hands"
                raise LedgerError(message)
            self._claimed.pop(row.identity, None)
            if outcome == "again":
                if row.identity in self._rows:
                    self._rows[row.identity] = msgspec.structs.replace(row, attempts=row.attempts + 1, next_at=next_at)
                return
            self._rows.pop(row.identity, None)
            if outcome != "withdrawn":
                self._settled[row.identity] = outcome
            while len(self._settled) > MOST_ROWS:
                del self._settled[next(iter(self._settled))]

    def silences(self, wall: float) -> Sequence[Silence]:  # noqa: ARG002
        """None: nobody can say one."""
        return ()

    def note(self, kept: Sequence[Kept], rows: Sequence[Row]) -> None:
        """Keep alerts and messages as a judge elsewhere decided; messages that are known stay as they are."""
        with self._lock:
            for one in kept:
                self._kept[one.fingerprint] = one
            for row in rows:
                if row.identity not in self._settled:
                    self._rows.setdefault(row.identity, row)
            self._shrink()

    def written(self, most: int) -> tuple[Sequence[Row], Sequence[str]]:
        """The newest messages: those that wait, and the identities of those that do not."""
        with self._lock:
            return list(self._rows.values())[-most:], list(self._settled)[-most:]

    def _is_wanted(self, row: Row) -> bool:
        if row.identity in self._rows or row.identity in self._settled:
            return False
        if row.message.status == "resolved":
            return row.beginning in self._rows or row.beginning in self._settled
        waiting = (one.message.fingerprint for one in self._rows.values() if one.receiver == row.receiver)
        return not row.message.repeat or row.message.fingerprint not in waiting

    def _shrink(self) -> None:
        while len(self._rows) > MOST_ROWS:
            repeats = (identity for identity, row in self._rows.items() if row.message.repeat)
            del self._rows[next(repeats, next(iter(self._rows)))]
            self.dropped += 1
