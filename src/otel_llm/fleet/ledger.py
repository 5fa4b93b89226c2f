"""Room fleet: the ledger of all hosts, which is the host's own while Redis does not answer.

A circuit breaker stands between the two. One failed or late answer opens it: from then on the local ledger decides,
which has been told what the fleet decided, and Redis is tried every few seconds behind everybody's back. When it
answers, what happened meanwhile is brought there, and the fleet decides again. Which way it goes is told once.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Protocol, TypeVar

from otel_llm import boundary
from otel_llm.fleet.client import FaultyUrlError
from otel_llm.fleet.line import WITHIN, Job, Line
from otel_llm.fleet.remote import LEASE, Remote, Sight
from otel_llm.ledger import (
    Kept,
    LedgerError,
    LedgerMovedError,
    LocalLedger,
    Outcome,
    Row,
    Shared,
    Silence,
)

AGAIN: Final = 3.0
"""Between two tries to join [s]."""

_FIRST: Final = WITHIN
"""How long the first step of a process waits to join [s]."""

_SOON: Final = 0.25
"""How long a later one does [s]; what takes longer is looked at in the next."""

_DRIFT: Final = 2.5
"""A server's clock that moved so much against this machine's is another clock [s]."""

_BROUGHT: Final = 1_000
"""Messages that a host brings when it joins."""

_FRESH: Final = 30.0
"""A first word is news for so long; afterwards it is one that others may have told [s]."""

_PATIENCE: Final = 2 * AGAIN + 1.0
"""After an outage nobody judges for so long [s]: first all hosts bring what they told, at a second try too."""

_SILENCED: Final = 2.0
"""Silences are exchanged this often [s]."""

_TIDIED: Final = 600.0

T = TypeVar("T")


class Teller(Protocol):
    """What else is to be told to Redis."""

    def condense(self) -> None:
        """Redis is away: make what waits small. On the thread that judges."""
        ...

    def publish(self, redis: Any) -> None:
        """Tell it. On the line's thread."""
        ...


class FleetLedger:
    """Alerts, messages and the lease in Redis, else where ``local`` keeps them.

    Args:
        local: Decides while Redis does not answer.
        remote: The fleet's.
        line: Asks Redis.
        place: Where that is, to be told.
        host: Whose ledger ``local`` is.
        teller: Is asked to tell Redis what else there is.

    Attributes:
        joined: Whether the fleet decides.
    """

    def __init__(
        self,
        local: LocalLedger,
        remote: Remote,
        line: Line,
        *,
        place: str,
        host: str,
        teller: Teller | None = None,
    ) -> None:
        self.joined = False
        self._local = local
        self._remote = remote
        self._line = line
        self._place = place
        self._lock = threading.Lock()
        self._job: Job | None = None
        self._brought: Sequence[Row] = ()
        self._tried = False
        self._next_try = 0.0
        self._moved = False
        self._stale = False
        self._told = False
        self._hopeless = False
        self._sight = Sight(time=0.0, identity="", version=0, adopted=0)
        self._identity = ""
        self._adopted = 0
        self._noted = -1
        self._held_until = float("-inf")
        self._patient_until = float("-inf")
        self._mirrored: dict[str, Row] = {}
        self._host = host
        self._teller = teller
        self._published: Job | None = None
        self._silences: Sequence[Silence] = ()
        self._silenced: Sequence[Silence] = ()
        self._silences_at = float("-inf")
        self._tidied_at = time.monotonic()

    @property
    def stands_in(self) -> bool:
        """Whether the host decides for itself what the fleet should."""
        return not self.joined and not self._hopeless

    @property
    def dropped(self) -> int:
        """Messages that were one too many."""
        return self._local.dropped + self._remote.dropped

    # --- slots: the first that a step asks ------------------------------------------------------------------------

    def share(self, slots: Sequence[Shared], now: float) -> None:
        """Tell the others what this worker counted; the place where Redis is joined again."""
        self._look()
        if not self.joined:
            if self._teller is not None:
                self._teller.condense()
            self._local.share(slots, now)
            return
        sight = self._try(lambda: self._remote.share(slots))
        if sight.identity != self._identity or abs(self._remote.drift(sight)) > _DRIFT:
            # It lost its data, or is another server: what this host knows is to be brought there.
            self.joined, self._tried, self._next_try = False, False, 0.0
            self._look()  # which tells of the move where it succeeds
            raise LedgerMovedError(self._place, afresh=False)
        self._sight = sight
        if self._teller is not None and (self._published is None or self._published.done.is_set()):
            with contextlib.suppress(LedgerError):
                self._published = self._line.post(self._teller.publish)

    def shared(self, since: int, not_by: str) -> tuple[Iterable[Shared], int]:
        """A page of what others told after mark ``since``, and the next mark; 0 is the beginning."""
        self._check()
        return (
            self._try(lambda: self._remote.shared(since, not_by)) if self.joined else self._local.shared(since, not_by)
        )

    # --- the judge ------------------------------------------------------------------------------------------------

    def lease(self, owner: str, now: float) -> int | None:
        """Become or stay the judge, of the fleet or of this host; the epoch while held."""
        self._check()
        if not self.joined:
            return self._local.lease(owner, now)
        patient = time.monotonic() < self._patient_until
        epoch = None if patient else self._try(lambda: self._remote.lease(owner))
        self._held_until = float("-inf") if epoch is None else time.monotonic() + LEASE
        if epoch is None:
            self._adopted = self._sight.adopted
            self._let_go()
            self._try(lambda: self._mirror(owner, now))
        elif self._sight.adopted != self._adopted:
            # A host that was apart brought what happened there: what is kept counts, not what this judge remembers.
            self._adopted = self._sight.adopted
            raise LedgerMovedError(self._place, afresh=True)
        self._try(lambda: self._exchange(judging=epoch is not None))
        return epoch

    def release(self, owner: str) -> None:
        """Stop being the judge."""
        if self.joined:
            with contextlib.suppress(LedgerError):
                self._remote.release(owner)
        self._local.release(owner)

    def kept(self) -> Sequence[Kept]:
        """All alerts as they were kept."""
        self._check()
        return self._try(self._remote.kept) if self.joined else self._local.kept()

    def commit(self, epoch: int, kept: Sequence[Kept], rows: Sequence[Row]) -> bool:
        """Keep alerts and queue messages; ``False`` when the epoch is over.

        Where Redis fails in this very moment the local ledger takes them, so that nothing goes unsaid.
        """
        if not self.joined:
            self._stale = True
            return self._local.commit(epoch, kept, rows)
        try:
            queued = self._remote.commit(epoch, kept, rows)
        except LedgerError as error:
            self._part(error)
            self._local.note(kept, [row for row in rows if _is_news(row)])
            return True
        if queued is None:
            return False
        with contextlib.suppress(LedgerError):
            self._local.note(kept, queued)
            self._mirrored.update((row.identity, row) for row in queued)
        return True

    # --- messages -------------------------------------------------------------------------------------------------

    def due(self, receiver: str, now: float, most: int) -> Sequence[Row]:
        """Messages for ``receiver`` whose time has come, oldest first; of one alert only the oldest."""
        if self.joined:
            if time.monotonic() > self._held_until:
                return ()
            try:
                return self._remote.due(receiver, now, most)
            except LedgerError as error:
                self._part(error)
        return self._local.due(receiver, now, most)

    def claim(self, epoch: int, rows: Sequence[Row], now: float) -> Sequence[Row]:
        """Those of ``rows`` that the judge of ``epoch`` alone may send for a while; none in a moment of moving."""
        if not self.joined:
            return self._local.claim(epoch, rows, now)
        try:
            return self._remote.claim(epoch, rows)
        except LedgerError as error:
            self._part(error)
            return ()

    def accept(self, rows: Sequence[Row]) -> None:
        """Queue what a ledger that stood in for the host's own held."""
        if self.joined:
            try:
                self._remote.accept(rows)
            except LedgerError as error:
                self._part(error)
            else:
                return
        self._local.accept(rows)

    def settle(self, row: Row, outcome: Outcome, next_at: float, error: str | None) -> None:
        """Say how a try went: here first, so that it is known whatever becomes of Redis."""
        if not self.joined:
            self._stale = True
            self._local.settle(row, outcome, next_at, error)
            return
        with contextlib.suppress(LedgerError):
            if outcome == "sent" and row.identity not in self._mirrored:
                self._local.note((), [row])  # another judge queued it; this host knows that it is told
            self._local.settle(row, outcome, next_at, error)
        if outcome != "again":
            self._mirrored.pop(row.identity, None)
        try:
            self._remote.settle(row, outcome, next_at)
        except LedgerError as failure:
            self._part(failure)

    def silences(self, wall: float) -> Sequence[Silence]:
        """Silences of this host and, as far as they are known, of others, that are not over at ``wall`` [s]."""
        own = self._local.silences(wall)
        known = [one for one in self._silences if one.ends > wall and one not in own]
        return [*own, *known]

    # --- here and there -------------------------------------------------------------------------------------------

    def _try(self, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except LedgerMovedError:
            raise
        except LedgerError as error:
            self._part(error)
            self._moved = False
            raise LedgerMovedError(str(error), afresh=False) from error

    def _check(self) -> None:
        """Say that the ledger moved, where a thread that could not say so noticed it."""
        if self._moved:
            self._moved = False
            raise LedgerMovedError(self._place, afresh=False)

    def _part(self, error: LedgerError) -> None:
        """The host decides from now on."""
        with self._lock:
            self._moved = self._moved or self.joined
            self.joined = False
            self._held_until = float("-inf")
            self._next_try = time.monotonic() + AGAIN
            told, self._told = self._told, True
        if not told:
            boundary.logger.warning(
                "Redis at %s: %s; until it answers, alerts are judged on this host alone", self._place, error
            )

    def _look(self) -> None:
        """Join where that is possible now."""
        self._check()
        while not self.joined and not self._hopeless:
            if self._job is None:
                if time.monotonic() < self._next_try:
                    return
                self._bring()
            job = self._job
            if job is None or not job.done.wait(_SOON if self._tried else _FIRST):
                self._tried = True
                if job is not None:
                    self._part(LedgerError(f"no answer within {WITHIN:g} s"))
                return
            self._tried, self._job = True, None
            if job.error is not None:
                self._hopeless = isinstance(job.error, FaultyUrlError)
                self._part(job.error)
            elif not self._stale:  # else something happened here since, and is brought too
                self._enter(*job.answer)
                raise LedgerMovedError(self._place, afresh=True)

    def _bring(self) -> None:
        """Begin to join, with all that this host knows."""
        self._stale = False
        kept: Sequence[Kept] = ()
        told: Sequence[str] = ()
        self._brought = ()
        with contextlib.suppress(LedgerError):
            kept = self._local.kept()
            self._brought, told = self._local.written(_BROUGHT)
        try:
            self._job = self._line.post(lambda redis: self._remote.join(redis, kept, self._brought, told))
        except LedgerError as error:
            self._part(error)

    def _enter(self, sight: Sight, shift: float) -> None:
        self._remote.settle_at(shift)
        if self._told or self._identity:
            self._patient_until = time.monotonic() + _PATIENCE
        self._sight, self._identity, self._adopted = sight, sight.identity, sight.adopted
        self._noted = -1
        self._silences_at = float("-inf")
        self._silenced = ()
        with contextlib.suppress(LedgerError):
            for row in self._brought:  # they wait there now
                self._local.settle(row, "withdrawn", 0.0, None)
        with self._lock:
            self.joined, self._moved = True, False
            told, self._told = self._told, False
        if told:
            boundary.logger.warning("Redis at %s answers: alerts are judged for all hosts again", self._place)

    def _mirror(self, owner: str, now: float) -> None:
        """Have the local ledger know what the fleet decided; one process a host does."""
        if self._noted == self._sight.version:
            return
        kept = self._remote.kept()
        with contextlib.suppress(LedgerError):
            if self._local.lease(owner, now) is not None:
                self._local.note(kept, ())
            self._noted = self._sight.version

    def _let_go(self) -> None:
        """Another one judges: what waits is its to tell, also where Redis should fail."""
        if self._mirrored:
            with contextlib.suppress(LedgerError):
                for row in list(self._mirrored.values()):
                    self._local.settle(row, "withdrawn", 0.0, None)
            self._mirrored.clear()

    def _exchange(self, *, judging: bool) -> None:
        """Tell what is silenced here, hear what is elsewhere; the judge forgets what is old."""
        mono = time.monotonic()
        if mono - self._silences_at >= _SILENCED:
            own: Sequence[Silence] = ()
            with contextlib.suppress(LedgerError):
                own = self._local.silences(time.time())
            if own != self._silenced or self._silences_at == float("-inf"):
                self._remote.silence(self._host, own)
                self._silenced = own
            self._silences = self._remote.silences()
            self._silences_at = mono
        if judging and mono - self._tidied_at >= _TIDIED:
            self._tidied_at = mono
            self._remote.tidy()


def _is_news(row: Row) -> bool:
    """Whether a message is about what has just happened, and not about what others may have told long ago."""
    message = row.message
    return message.status == "resolved" or bool(message.repeat) or row.created - message.starts_at < _FRESH
