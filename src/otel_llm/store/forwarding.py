"""Room store: forwarding. The store is the queue; what is in it goes to an OTLP backend for as long as processes live.

Of the processes that share a store one sends, the one that has the seat; when it ends, however it ends, another takes
the seat within `TAKE_OVER` and goes on where the store says that the last one was. A backend may be away for as long as
the store keeps things: nothing is given up, pauses only grow. Each burst is a `Replay` of its own, so that between two
of them nothing is held and a file that was replaced is noticed.
"""

import os
import sqlite3
import ssl
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import quote

from otel_llm import boundary
from otel_llm.gate import importing
from otel_llm.store import forwarded
from otel_llm.store.connection import BusyError, Connection, NewerSchemaError
from otel_llm.store.database import leak
from otel_llm.store.destinations import Route, routes
from otel_llm.store.errors import InUseError, StoreError
from otel_llm.store.gate import gate
from otel_llm.store.origin import origin
from otel_llm.store.replay import GaveUpError, Replay, Wish
from otel_llm.store.seat import Seat
from otel_llm.store.sender import Sender, connect, load
from otel_llm.supervisor import Loop
from otel_llm.suppression import suppress_instrumentation

LOOK: Final = 1.0
"""[s] Between two looks for something new, at the files' sizes and dates alone."""

TAKE_OVER: Final = 2.0
"""[s] Between two tries for the seat."""

_STUCK: Final = 30.0
"""[s] Until a backend that refused everything, credentials perhaps, is tried again: it may have been mended."""

_UNKNOWN: Final = 600.0
"""[s] Until a signal that the backend does not know is tried again."""


class Forwarder:
    """Sends what a store holds to one backend, on a thread that begins with `start`.

    Args:
        path: The store.
        route: The backend, and what it is sent.
        since: What began before is not sent, unless an earlier process said otherwise [ns since the epoch].

    Attributes:
        waiting: Items, about, that are still to be sent; 0 where another process sends.

    Raises:
        ValueError: The address cannot be one.
        OSError: A certificate cannot be read.
    """

    def __init__(self, path: Path, route: Route, *, since: int) -> None:
        connect(route.destination).close()
        self.loop = Loop("forward", self._work)
        self._path, self._route, self._since = path, route, since
        self._identity = route.destination.identity
        self._seat = Seat(path, "forwarding", f"{self._identity} {','.join(route.signals)}")
        self._sender: Sender | None = None
        self._clear()

    def _clear(self) -> None:
        self._pid = os.getpid()
        self._sender = None
        self._state: forwarded.State | None = None
        self._seen: tuple[int, ...] | None = None
        self._sent: tuple[int | None, ...] = ()
        self._unknown: dict[str, float] = {}
        self._well = True
        self._said = ""
        self._counts: Counter[str] = Counter()
        self.waiting = 0

    def start(self) -> None:
        """Have it run in this process; never waits, never raises."""
        with boundary.guard("store.forward"):
            self.loop.ensure()

    def stop(self, timeout: float) -> bool:
        """Send what there is, unless the backend is away, and end; whether within ``timeout`` [s]."""
        return self.loop.stop(timeout)

    def counts(self) -> Counter[str]:
        """Spans that this process sent (``exported``) and that could not be, by reason."""
        return Counter() if self._pid != os.getpid() else self._counts

    # --- its thread ---------------------------------------------------------------------------------------------

    def _work(self, loop: Loop) -> None:
        if self._pid != os.getpid():  # the connection's other end is the fork's parent's: not to be closed
            if self._sender is not None:
                leak(self._sender)
            self._clear()
        with importing.lock:
            load(self._route.destination.protocol)
        with suppress_instrumentation():
            while loop.goes_on:
                loop.wait(self._turn())
            if self._well:
                self._turn()  # what was recorded last; a backend that is away is not waited for
        self._seat.leave()
        if self._sender is not None:
            self._sender.close()

    def _turn(self) -> float:
        """Send what is new; how long to rest [s]."""
        try:
            seen = self._look()
            if seen is not None and not self._seat.take():
                self.waiting = 0
                return TAKE_OVER
            if seen is None or seen == self._seen:
                return LOOK
            newest = self._newest()
            if newest != self._sent or not newest[0]:  # a new file knows of no sending
                self._burst()
        except InUseError:
            return LOOK  # somebody replays by hand
        except (GaveUpError, ssl.SSLError) as error:
            self._trouble(error)
            return _STUCK
        except (StoreError, NewerSchemaError, BusyError, sqlite3.Error, OSError) as error:
            self._trouble(error)
            return TAKE_OVER
        self._seen, self._sent = seen, newest
        return LOOK

    def _look(self) -> tuple[int, ...] | None:
        """What tells that something was written; ``None`` where there is no store yet."""
        found: list[int] = []
        for path in (self._path, self._path.with_name(self._path.name + "-wal")):
            try:
                about = os.stat(path)  # noqa: PTH116 - twice a second
            except FileNotFoundError:
                found.append(0)
            else:
                found += (about.st_ino, about.st_size, about.st_mtime_ns)
        return tuple(found) if found[0] else None

    def _newest(self) -> tuple[int | None, ...]:
        """The newest rows: of what is written to the file the most is not to be sent, such as the lease of alerts."""
        with gate.lock:
            reader = sqlite3.Connection(f"file:{quote(str(self._path))}?mode=ro", uri=True, timeout=5)
            try:
                return forwarded.newest(reader, self._route.signals)
            finally:
                reader.close()

    def _burst(self) -> None:
        """Send everything that is there now."""
        now = time.monotonic()
        signals = tuple(one for one in self._route.signals if self._unknown.get(one, 0.0) <= now)
        if not signals:
            return
        state = self._state = self._state or self._kept_state()
        sender = self._sender = self._sender or connect(self._route.destination, origin(self._path))
        before = replace(state)
        wish = Wish(since=state.since, signals=signals, patience=float("inf"))
        with Replay(
            self._path, self._route.destination, wish, lambda rest: self._wait(rest, replay, state), sender
        ) as replay:
            told: Counter[str] = Counter()
            try:
                for _ in replay.run():
                    self._account(replay, before, state, told)
                self._unknown.update(dict.fromkeys(replay.tally.left_out, now + _UNKNOWN))
                state.error = _objection(replay)
            except GaveUpError as error:
                if not self.loop.goes_on:
                    return  # at the end nobody gave up
                state.error, state.error_at = str(error), time.time_ns()
                raise
            finally:
                self._account(replay, before, state, told)
                if state != before or self.waiting:
                    self._keep(replay, state)
        self._well, self._said = True, ""

    def _kept_state(self) -> forwarded.State:
        with gate.lock:
            connection = Connection(self._path)
            try:
                return forwarded.begin(connection.sqlite, self._identity, self._route.signals, self._since)
            finally:
                connection.close()

    def _account(self, replay: Replay, before: forwarded.State, state: forwarded.State, told: Counter[str]) -> None:
        """Count what a burst has done so far.

        Args:
            replay: The burst.
            before: The state at its beginning.
            state: The state now.
            told: What of it this process's own counts have already.
        """
        tally = replay.tally
        delivered = before.delivered + sum(tally.sent.values())
        if delivered > state.delivered:
            state.delivered_at = time.time_ns()
            state.error = ""
            self._well = True
        state.delivered, state.refused = delivered, before.refused + tally.refused
        state.expired = before.expired + sum(n for (_, reason), n in tally.lost.items() if reason == "expired")
        mine = Counter({reason: n for (signal, reason), n in tally.lost.items() if signal == "spans"})
        mine["exported"] = tally.sent.get("spans", 0)
        self._counts += mine - told
        told.update(mine - told)

    def _wait(self, seconds: float, replay: Replay, state: forwarded.State) -> bool:
        """While the backend is away; true when it is time to end.

        Raises:
            StoreError: The file was replaced meanwhile, and must not be held on to.
        """
        if not replay.connection.is_current():
            raise StoreError(str(self._path), expected="the store that was opened", found="another file")
        self._trouble(replay.tally.trouble)
        state.error, state.error_at = replay.tally.trouble, time.time_ns()
        self._keep(replay, state)
        return not self.loop.wait(seconds)

    def _keep(self, replay: Replay, state: forwarded.State) -> None:
        """Write the state down, and see what waits; a store that is busy is told the next time."""
        sqlite = replay.connection.sqlite
        try:
            with gate.lock:
                forwarded.keep(sqlite, self._identity, self._route.signals, state)
                self.waiting = forwarded.waiting(sqlite, self._identity, self._route.signals)
        except sqlite3.Error as error:
            boundary.swallow("store.forward", error)

    def _trouble(self, error: object) -> None:
        """Say once what stands in the way; until something goes again, nobody waits for it at the exit."""
        self._well = False
        if not self._said and self.loop.goes_on:
            self._said = str(error)
            boundary.logger.warning("forwarding to %s waits: %s", self._identity, error)


def forwarders(
    path: Path, environ: Mapping[str, str], signals: Iterable[str], *, since: int
) -> tuple[list[Forwarder], list[str]]:
    """One for each backend that OpenTelemetry's variables name, and what is wrong with the variables.

    Args:
        path: The store.
        environ: Environment variables.
        signals: What is forwarded: ``traces``, ``metrics``, ``logs``.
        since: What began before is not sent [ns since the epoch].
    """
    found, faults = routes(environ, signals)
    made = []
    for route in found:
        try:
            made.append(Forwarder(path, route, since=since))
        except (ValueError, OSError) as error:
            faults.append(str(error))
    return made, faults


def _objection(replay: Replay) -> str:
    """What the backend has against what it was sent; empty for nothing."""
    if replay.tally.left_out:
        return f"it takes no {' and no '.join(sorted(replay.tally.left_out))}"
    return replay.tally.trouble if replay.tally.refused else ""
