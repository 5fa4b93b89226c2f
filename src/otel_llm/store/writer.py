"""Room store: the one thread of a process that writes, and the queue in front of it.

The host's side is `Writer.submit`: it appends to a deque and at most lets go of a lock, so it never waits, even when it
is called by a finaliser in the middle of anything. Everything else happens on the thread, which starts with the first
item. What cannot be written yet is kept, up to the queue's bound; what is lost is counted under a reason.
"""

import errno
import os
import sqlite3
import time
from collections import Counter, deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan

from otel_llm import boundary, supervisor
from otel_llm.store import batch
from otel_llm.store.connection import BusyError, Connection, DamageError, NewerSchemaError, is_corrupt
from otel_llm.store.gate import gate
from otel_llm.store.house import House, LogFullError
from otel_llm.store.marks import MARKER, SPAN, Marker, Tally, Timer
from otel_llm.store.written import Written

QUEUE: Final = 2048
BATCH: Final = 512
PROOF: Final = 2.0
"""[s] After a write until it is read again; damage that tells no error is so found."""

_SOONEST_PROOF: Final = 0.25
"""[s] From one such reading to the next, which comes early where a batch waits for it: it is kept until then."""

_REPLACED: Final = 3
_RETRIES: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
_LONGEST_WAIT: Final = 3600.0


class Writer:
    """The queue and the thread of one process.

    Args:
        path: The database.
        max_size: Quota of database and write-ahead log [byte].
        max_age: Older rows are deleted [s].
        timers: Shared with the owner, who may add to them.
    """

    def __init__(self, path: Path, *, max_size: int, max_age: float, timers: list[Timer]) -> None:
        self.pid = os.getpid()
        self.queue: deque[tuple[int, Any]] = deque()
        self.connection: Connection | None = None
        self.last_error: str | None = None
        self.stored = 0
        self.lost: Counter[str] = Counter()
        self.stored_spans = 0
        self.lost_spans: Counter[str] = Counter()
        self.seen = (Tally(), Tally(), Tally())
        self.refused = (Tally(), Tally(), Tally())
        self.ended = False
        self._path = path
        self._house = House(max_size=max_size, max_age=max_age)
        self._most = BATCH
        self._timers = timers
        self._rows = batch.Batches()
        self._markers: deque[Marker] = deque()
        self._pending: list[tuple[int, Any]] = []
        self._unproved: deque[ReadableSpan | Written] = deque(maxlen=QUEUE)
        self._prove_at = 0.0
        self._proof_tried = 0.0
        self._doubts = 0
        self._failures = 0
        self._set_asides = 0
        self._retry_at = 0.0
        self._reason = ""
        self._warned: set[str] = set()
        self._loop = supervisor.Loop("store", self._run, end=self._end, where="store.writer")
        self._idle = True
        self._hurry = False
        self._closing = False

    # --- the host's side ----------------------------------------------------------------------------------------

    def submit(self, kind: int, item: Any) -> bool:
        """Queue ``item``; ``False`` when it was refused and counted. Never waits, never raises."""
        self.seen[kind].add()
        queue = self.queue
        if len(queue) >= QUEUE or self._closing:
            self.refused[kind].add()
            return False
        queue.append((kind, item))
        if self._idle or len(queue) >= BATCH:
            self.wake()
        return True

    def wake(self) -> None:
        """Have the thread look; where none can be had, a later submit tries again."""
        if self._loop.ensure():
            self._loop.wake()
        else:
            self.last_error = self._loop.error

    def flush(self, timeout: float) -> bool:
        """Whether everything queued so far is on disk within ``timeout`` [s]."""
        if self.ended or not (self._loop.is_running or self.queue):
            return not self.queue
        if self._loop.is_own:
            return False
        marker = Marker()
        self._markers.append(marker)
        self.queue.append((MARKER, marker))
        self._hurry = True
        self.wake()
        if not self._loop.is_running:
            # No thread is to be had (Python 3.12 gives none to an interpreter that exits): the caller writes.
            self._step()
        return marker.wait(timeout)

    def close(self, timeout: float) -> bool:
        """Write what is queued, close the file and end the thread; ``False`` if ``timeout`` [s] came first."""
        whole = not self._loop.is_running or self.flush(timeout)
        self._closing = True
        return self._loop.stop(timeout) and whole

    def dropped(self) -> dict[str, int]:
        """Items that are lost, by reason."""
        return _told(self.lost, sum(kind.value() for kind in self.refused))

    def dropped_spans(self) -> dict[str, int]:
        """Those of them that are spans."""
        return _told(self.lost_spans, self.refused[SPAN].value())

    # --- the thread's side --------------------------------------------------------------------------------------

    def _run(self, _loop: supervisor.Loop) -> None:
        now = time.monotonic()
        for timer in self._timers:
            timer.due = now + timer.interval
        try:
            while not (self._closing and not self.queue and not self._pending):
                self._step()
                if self._closing and self._failures:
                    break
        except Exception as error:
            with boundary.guard("store.writer"):
                self._fail("internal", error)
            raise
        finally:
            self._idle = True

    def _step(self) -> None:
        """Wait for something to do and do it."""
        self._idle = True
        if self._pending or not self.queue:
            wait = self._until_due()
            if wait > 0 and not (self._closing or self._hurry):
                self._loop.wait(wait)
        self._idle = False
        self._run_timers()
        if self._pending and time.monotonic() < self._retry_at and not self._closing:
            self._answer_markers()
            self._hurry = False
            return
        if self.queue and not (self._hurry or self._closing) and len(self.queue) < BATCH:
            self._loop.wait(self._house.linger)
        self._hurry = False
        while self.queue or self._pending:
            if not self._pending:
                self._pending = self._take()
            with gate.lock:
                written = self._write()
            if not written and self._failures:
                break
        with gate.lock:
            self._prove()
            self._keep_house()

    def _until_due(self) -> float:
        """Time until something happens by itself [s]."""
        now = time.monotonic()
        dues = [timer.due for timer in self._timers if not timer.cancelled]
        if self._pending:
            dues.append(self._retry_at)
        if self._house.due is not None and self.connection is not None:
            dues.append(self._house.due)
        if self._unproved:
            dues.append(self._prove_at)
        return min(_LONGEST_WAIT, *(due - now for due in dues)) if dues else _LONGEST_WAIT

    def _take(self) -> list[tuple[int, Any]]:
        queue = self.queue
        return [queue.popleft() for _ in range(min(self._most, len(queue)))]

    def _run_timers(self) -> None:
        now = time.monotonic()
        for timer in list(self._timers):
            if timer.due == 0.0:
                timer.due = now + timer.interval
            elif now >= timer.due and not timer.cancelled:
                timer.due = max(timer.due + timer.interval, now)
                with boundary.guard("store.timer"):
                    timer.function()

    def _write(self) -> bool:
        """Bring the pending items to disk; ``False`` when that must be tried again later."""
        try:
            done = self._write_pending()
        except NewerSchemaError as error:
            self._fail("newer_schema", error)
            self._give_up("newer_schema")  # it stays so until another version of this software runs
        except BusyError as error:
            self._fail("busy", error)
        except LogFullError as error:
            self._fail("log_full", error)
        except sqlite3.Error as error:
            if (is_corrupt(error) and self._set_aside()) or (is_full(error) and self._make_room()):
                return False  # at once again: into a new file, or fewer into this one
            if self.connection is None and self._house.give_reserve(self._path):
                return False  # not even opened: that takes room too
            self._fail(_reason(error), error)
        except OSError as error:
            self._fail("disk_full" if error.errno == errno.ENOSPC else "unwritable", error)
        else:
            self._settle(done)
            return True
        return False

    def _write_pending(self) -> batch.Done:
        for _ in range(_REPLACED):
            connection = self._connect()
            self._house.admit(connection)
            done = self._rows.write(connection.sqlite, self._pending)
            self._house.checkpoint(connection)
            if connection.is_current():
                return done
            self._drop_connection()  # the file was replaced meanwhile: what was written went nowhere
            self._write_again()
        message = "the file is replaced again and again"
        raise OSError(message)

    def _settle(self, done: batch.Done) -> None:
        """Count what was written and let those go who wait for it."""
        self._failures = self._set_asides = 0
        self._reason = ""
        self.stored += done.stored
        self.lost.update(done.lost)
        self.stored_spans += done.spans
        self.lost_spans.update(done.lost_spans)
        self._house.rows += done.stored
        self._most = min(BATCH, 2 * self._most)
        if not self._unproved:
            self._prove_at = time.monotonic() + PROOF
        for kind, item in self._pending:
            if kind == MARKER:
                item.finish(durable=True)
        self._unproved.extend(done.kept)
        if len(self._unproved) >= BATCH:
            self._prove_at = min(self._prove_at, self._proof_tried + _SOONEST_PROOF)
        self._pending = []
        while self._markers and self._markers[0].durable:
            self._markers.popleft()

    def _connect(self) -> Connection:
        """The open connection to the files that stand at the path now."""
        if self.connection is not None and not self.connection.is_current():
            self._drop_connection()
            self._write_again()
        if self.connection is None:
            self._rows.forget()
            self.connection = Connection(self._path)
            self._house.enter(self.connection.sqlite)
            self._tell_aside(self.connection.aside)
        return self.connection

    def _drop_connection(self) -> None:
        connection, self.connection = self.connection, None
        self._rows.forget()
        if connection is not None:
            connection.close()

    def _set_aside(self) -> bool:
        """Quarantine a damaged file; whether to go on with a new one at once."""
        connection, self.connection = self.connection, None
        self._rows.forget()
        self._set_asides += 1
        if connection is None or self._set_asides > _REPLACED:
            return False
        try:
            aside = connection.set_aside()
        except (OSError, BusyError):
            return False
        self._tell_aside(aside)
        self._write_again()
        self._failures = 0
        return True

    def _make_room(self) -> bool:
        """Where the quota is in the way: delete the oldest, and have half as many tried. ``False``: it is the disk."""
        connection = self.connection
        if connection is None:
            return False
        try:
            if self._house.is_filled(connection):
                if not self._house.make_room(connection) and len(self._pending) == 1:
                    self._lose(self._pending, "too_large")
                    self._pending = []
                self._most = max(1, len(self._pending) // 2)
                self.queue.extendleft(reversed(self._pending[self._most :]))
                del self._pending[self._most :]
                return True
            self._house.relieve(connection)
        except (sqlite3.Error, OSError) as error:
            self.last_error = f"retention: {error}"
        return False

    def _give_up(self, reason: str) -> None:
        """Lose all that waits; whoever waits for it has been told."""
        waiting = [self.queue.popleft() for _ in range(len(self.queue))]
        self._lose((*self._pending, *waiting), reason)
        self._pending = []

    def _lose(self, items: Iterable[tuple[int, Any]], reason: str) -> None:
        left = Counter(kind for kind, _ in items if kind != MARKER)
        if left:
            self.lost[reason] += left.total()
            self.lost_spans[reason] += left[SPAN]

    def _write_again(self) -> None:
        """Take up again what was written and never read since; what is there still is known by its identity."""
        self.stored -= len(self._unproved)
        self.stored_spans -= len(self._unproved)
        again = [one.span() if isinstance(one, Written) else one for one in self._unproved]
        self._pending = [*((SPAN, span) for span in again), *self._pending]
        self._unproved.clear()

    def _prove(self) -> None:
        """Read what was written, once in a while; what cannot be read is written again, at last into another file."""
        if self.connection is None or not self._unproved or time.monotonic() < self._prove_at:
            return
        self._proof_tried = time.monotonic()
        try:
            if self.connection.is_current():
                self.connection.prove()
                self._unproved.clear()
                self._doubts = 0
                return
            self._drop_connection()
        except BusyError:
            self._prove_at = time.monotonic() + PROOF
            return
        except (DamageError, OSError) as error:
            self.last_error = f"damaged: {error}"
            self._doubts += 1
            if self._doubts > 1:
                self._set_aside()
            else:
                self.connection.read_log_anew()
        self._write_again()

    def _tell_aside(self, aside: Path | None) -> None:
        if aside is not None:
            self._warn("corrupt", f"was damaged; it is now {aside.name} and a new one was started")

    def _fail(self, reason: str, error: Exception) -> None:
        """Keep the pending items for later, say so once, and let nobody wait."""
        self.last_error = f"{reason}: {error}"
        self._reason = reason
        pause = 0.0 if reason == "internal" else _RETRIES[min(self._failures, len(_RETRIES) - 1)]
        self._retry_at = time.monotonic() + pause  # after a fault of ours it is the supervisor that rests
        self._failures += 1
        if reason == "internal":
            self._drop_connection()  # a transaction that is open would keep others from writing
        if reason not in {"busy", "internal"}:
            if reason != "log_full":
                self._drop_connection()
            self._warn(reason, f"cannot be written ({error}); the application is not affected, its calls are not kept")
        self._answer_markers()

    def _answer_markers(self) -> None:
        """While nothing can be written nobody waits for it; a busy file is given a few tries."""
        if self._reason == "busy" and self._failures < len(_RETRIES):
            return
        while self._markers:
            self._markers.popleft().finish(durable=False)
        self._pending = [entry for entry in self._pending if entry[0] != MARKER]

    def _warn(self, reason: str, text: str) -> None:
        if reason not in self._warned:
            self._warned.add(reason)
            boundary.logger.warning("the store %s %s", self._path, text)

    def _keep_house(self) -> None:
        """Keep the bounds, where something is open."""
        if self.connection is None or not self.connection.is_current():
            return
        try:
            if self._house.keep(self.connection):
                self._rows.forget()
        except (sqlite3.Error, OSError) as error:
            if not (isinstance(error, sqlite3.Error) and _reason(error) == "busy"):
                self.last_error = f"retention: {error}"

    def _end(self) -> None:
        self._lose((*self._pending, *self.queue), self._reason or "exit")
        self._pending = []
        self.queue.clear()
        with gate.lock:
            self._drop_connection()
        self._answer_markers()
        self.ended = True


def _told(lost: Counter[str], refused: int) -> dict[str, int]:
    """What is lost, by reason, with what the queue had no room for."""
    counts = {reason: count for reason, count in lost.items() if count}
    if refused:
        counts["queue_full"] = counts.get("queue_full", 0) + refused
    return counts


def _reason(error: sqlite3.Error) -> str:
    code = (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return "busy"
    return "disk_full" if is_full(error) else "unwritable"


def is_full(error: sqlite3.Error) -> bool:
    """Whether the disk or the quota has no room for it."""
    return (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF == sqlite3.SQLITE_FULL
