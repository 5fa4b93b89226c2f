"""Room alert: what outlives a process and is shared between them, as the engine asks for it; and one in memory.

The store has one in SQLite, so that the workers of a host are judged as one; Redis has one for a fleet. Times are on
the clock of slots where they are compared with now, so that a jump of the wall clock moves nothing.
"""

import threading
from collections.abc import Sequence
from typing import Any, Final, Literal, Protocol

import msgspec

from otel_llm.alert.message import Message

LEASE: Final = 3.0
"""How long a judge is trusted without a sign of life [s]."""

MOST_ROWS: Final = 10_000
"""Messages that may wait; beyond, the oldest repeats go first and are counted."""


class Shared(msgspec.Struct, frozen=True, kw_only=True):
    """One slot of one series of one worker; a later word about the same slot replaces it.

    Attributes:
        group: `Group`, as ``engine`` encodes it.
        key: Values of ``by``.
        worker: Who counted.
        number: Of the slot.
        content: `Slot.pack`.
    """

    group: str
    key: tuple[str, ...]
    worker: str
    number: int
    content: list[Any]


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """An alert as it is kept.

    Attributes:
        fingerprint: Who it is.
        rule: Its rule's name.
        digest: Of its rule when it was judged.
        state: ``inactive``, ``pending`` or ``firing``.
        content: `Alert`'s fields.
        labels: As they are told, static ones too.
        at: When it was judged (clock of slots) [s].
        wall: When it was judged (wall clock) [s].
        boot: Which boot of the machine ``at`` belongs to.
    """

    fingerprint: str
    rule: str
    digest: str
    state: Literal["inactive", "pending", "firing"]
    content: dict[str, Any]
    labels: dict[str, str]
    at: float
    wall: float
    boot: str


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A message on its way to one receiver.

    Attributes:
        identity: ``RECEIVER:`` and the message's identity; unique.
        receiver: Who gets it.
        message: What.
        attempts: Tries so far.
        next_at: Not before this (clock of slots) [s].
        created: (wall clock) [s]
        boot: Which boot of the machine ``next_at`` belongs to.
    """

    identity: str
    receiver: str
    message: Message
    attempts: int = 0
    next_at: float = 0.0
    created: float = 0.0
    boot: str = ""


class Ledger(Protocol):
    """What the engine keeps. Each may raise `OSError`: then the engine judges its own slice and says so."""

    def lease(self, owner: str, now: float) -> int | None:
        """Become or stay the judge for `LEASE` seconds; the epoch while held, ``None`` while another one is."""

    def release(self, owner: str) -> None:
        """Stop being the judge."""

    def share(self, slots: Sequence[Shared], now: float) -> None:
        """Tell the others what this worker counted, and forget what no window reaches."""

    def shared(self, since: int, not_by: str) -> tuple[Sequence[Shared], int]:
        """What others told after mark ``since``, and the next mark; 0 is the beginning."""

    def kept(self) -> Sequence[Kept]:
        """All alerts as they were kept."""

    def commit(self, epoch: int, kept: Sequence[Kept], rows: Sequence[Row]) -> bool:
        """Keep alerts and queue messages, both or neither; ``False`` when the epoch is over. A row is queued once."""

    def due(self, receiver: str, now: float, most: int) -> Sequence[Row]:
        """Messages for ``receiver`` whose time has come, oldest first; of one alert only the oldest."""

    def settle(self, row: Row, outcome: Literal["sent", "dead", "again"], next_at: float, error: str | None) -> None:
        """Say how a try went."""


class MemoryLedger:
    """A ledger that a process has to itself and that dies with it: for where there is no store."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str, Kept] = {}
        self._rows: dict[str, Row] = {}
        self._settled: dict[str, str] = {}
        self.dropped = 0

    def lease(self, owner: str, now: float) -> int | None:  # noqa: ARG002
        """Always: there is nobody else."""
        return 1

    def release(self, owner: str) -> None:
        """Nobody takes over."""

    def share(self, slots: Sequence[Shared], now: float) -> None:
        """Nobody listens."""

    def shared(self, since: int, not_by: str) -> tuple[Sequence[Shared], int]:  # noqa: ARG002
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
                if row.identity not in self._rows and row.identity not in self._settled:
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

    def settle(self, row: Row, outcome: Literal["sent", "dead", "again"], next_at: float, error: str | None) -> None:  # noqa: ARG002
        """Say how a try went."""
        with self._lock:
            if outcome == "again":
                if row.identity in self._rows:
                    self._rows[row.identity] = msgspec.structs.replace(row, attempts=row.attempts + 1, next_at=next_at)
                return
            self._rows.pop(row.identity, None)
            self._settled[row.identity] = outcome
            while len(self._settled) > MOST_ROWS:
                del self._settled[next(iter(self._settled))]

    def _shrink(self) -> None:
        while len(self._rows) > MOST_ROWS:
            repeats = (identity for identity, row in self._rows.items() if row.message.repeat)
            del self._rows[next(repeats, next(iter(self._rows)))]
            self.dropped += 1
