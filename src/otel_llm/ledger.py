"""What alerting keeps beyond a process, and the door to where it is kept. No I/O, no clock.

``alert`` asks, ``store`` gives, and neither knows the other: a ledger in SQLite makes the workers of a host one, one in
Redis a fleet. Times are on the clock of slots (since the machine started) where they are compared with now, so that a
jump of the wall clock moves nothing.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal, Protocol

import msgspec

SLOT: Final = 5.0
"""Width of a slot [s]; its number is the time it begins at, in these."""

LEASE: Final = 3.0
"""How long a judge is trusted without a sign of life [s]."""

CLAIM: Final = 15.0
"""How long a process that sends a message has it to itself [s]; more than a try may take."""

PAGE: Final = 400
"""Slots that a ledger is told, or tells, at once, where there are more; what that takes is bounded thereby."""

MOST_ROWS: Final = 10_000
"""Messages that may wait; beyond, the oldest repeats go first and are counted."""


Outcome = Literal["sent", "dead", "again", "withdrawn"]
"""How a try to deliver went: taken, refused for good, to be tried again, or not to be told after all."""


class LedgerError(OSError):
    """The ledger cannot be read or written now; another try may succeed."""


class LedgerMovedError(LedgerError):
    """The ledger is kept elsewhere from now on: at the next try, which may be at once, everything is to be told anew.

    Attributes:
        afresh: Whether what is kept there counts; else what this process knows does, where it judges.
    """

    def __init__(self, message: str, *, afresh: bool) -> None:
        super().__init__(message)
        self.afresh = afresh


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One word about one episode of one alert.

    Attributes:
        status: ``firing`` or ``resolved``.
        labels: With ``alertname``.
        annotations: Rendered, with ``value``, ``threshold``, ``window``, ``samples``, ``episode`` and, where there is
            one, ``reason``.
        starts_at: When it fired (wall clock) [s]; the same for every word about the episode.
        ends_at: When it resolved (wall clock) [s].
        fingerprint: Who it is.
        episode: How often it fired so far.
        repeat: How often this was said before.
    """

    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    annotations: dict[str, str]
    starts_at: float
    ends_at: float | None
    fingerprint: str
    episode: int
    repeat: int = 0

    @property
    def identity(self) -> str:
        """The same for every try to deliver this word; an ``Idempotency-Key``."""
        repeat = f":{self.repeat}" if self.repeat else ""
        return f"{self._episode}:{self.status}{repeat}"

    @property
    def beginning(self) -> str:
        """The identity of the first word about the same episode."""
        return f"{self._episode}:firing"

    @property
    def _episode(self) -> str:
        return f"{self.fingerprint}:{int(self.starts_at * 1000)}"


class Shared(msgspec.Struct, frozen=True, kw_only=True):
    """One slot of one series of one worker; a later word about the same slot replaces it.

    Attributes:
        group: What its series has in common, as the engine writes it.
        key: Values of ``by``.
        worker: Who counted.
        number: Of the slot.
        until: Number of the slot from which on no window reaches it.
        content: What it counted.
        boot: Which boot of the machine ``number`` belongs to.
    """

    group: str
    key: tuple[str, ...]
    worker: str
    number: int
    until: int
    content: list[Any]
    boot: str


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """An alert as it is kept.

    Attributes:
        fingerprint: Who it is.
        rule: Its rule's name.
        digest: Of its rule when it was judged.
        state: ``inactive``, ``pending`` or ``firing``.
        content: The state machine's own fields.
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

    @property
    def beginning(self) -> str:
        """The identity of the row that told the same receiver that it fires."""
        return f"{self.receiver}:{self.message.beginning}"


class Silence(msgspec.Struct, frozen=True, kw_only=True):
    """Alerts that are not told for a while.

    Attributes:
        matchers: Labels and the values that an alert must have.
        starts: (wall clock) [s]
        ends: (wall clock) [s]
    """

    matchers: dict[str, str]
    starts: float
    ends: float


class Ledger(Protocol):
    """What the engine keeps. Each may raise `LedgerError`: then the engine judges its own slice and says so.

    Attributes:
        stands_in: Whether it does the work of one that more processes share, and so does not know all that was told.
        dropped: Messages that were one too many.
    """

    @property
    def stands_in(self) -> bool:
        """See above."""
        ...

    @property
    def dropped(self) -> int:
        """See above."""
        ...

    def lease(self, owner: str, now: float) -> int | None:
        """Become or stay the judge for `LEASE` seconds; the epoch while held, ``None`` while another one is."""
        ...

    def release(self, owner: str) -> None:
        """Stop being the judge."""
        ...

    def share(self, slots: Sequence[Shared], now: float) -> None:
        """Tell the others what this worker counted, and forget what no window reaches."""
        ...

    def shared(self, since: int, not_by: str) -> tuple[Iterable[Shared], int]:
        """A page of what others told after mark ``since``, and the next mark; 0 is the beginning.

        Where the mark stays as it was there is no more. A page can be read once: each slot is made when it is reached,
        for as plain values all of them are a hundred times as large as what they were told in.
        """
        ...

    def kept(self) -> Sequence[Kept]:
        """All alerts as they were kept."""
        ...

    def commit(self, epoch: int, kept: Sequence[Kept], rows: Sequence[Row]) -> bool:
        """Keep alerts and queue messages, both or neither; ``False`` when the epoch is over.

        A row is queued once. A repeat is not while an older word about its alert waits, and a resolve is not where the
        receiver was not to hear that it fires.
        """
        ...

    def due(self, receiver: str, now: float, most: int) -> Sequence[Row]:
        """Messages for ``receiver`` whose time has come, oldest first; of one alert only the oldest."""
        ...

    def claim(self, epoch: int, rows: Sequence[Row], now: float) -> Sequence[Row]:
        """Those of ``rows`` that the judge of ``epoch`` alone may send for `CLAIM` seconds; none once its time is over.

        What a judge before it claimed is let go when that time is over: its process may be dead, or slow to answer.
        `settle` ends a claim.
        """
        ...

    def accept(self, rows: Sequence[Row]) -> None:
        """Queue what a ledger that stood in for this one held, whoever judges; a row that is known stays as it is."""
        ...

    def settle(self, row: Row, outcome: Outcome, next_at: float, error: str | None) -> None:
        """Say how a try went; a row that is ``withdrawn`` may be queued again."""
        ...

    def silences(self, wall: float) -> Sequence[Silence]:
        """Silences that are not over at ``wall`` [s]."""
        ...


class LocalLedger(Ledger, Protocol):
    """A ledger that can stand in for a wider one, because it is told what that one decides."""

    def note(self, kept: Sequence[Kept], rows: Sequence[Row]) -> None:
        """Keep alerts and messages as a judge elsewhere decided; messages that are known stay as they are."""
        ...

    def written(self, most: int) -> tuple[Sequence[Row], Sequence[str]]:
        """The newest messages: those that wait, and the identities of those that do not."""
        ...
