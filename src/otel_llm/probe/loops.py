"""Room probe: how late the event loops of this process are, measured from outside them.

A loop is noted, weakly, where a call begins on it. Once in a while a thread asks each loop that runs to call back at
once, and times the answer; a loop that does not answer is late by what has passed so far. Nothing is asked of a loop
that does not run, and nothing keeps one alive. asyncio's loops and others of its interface (uvloop) alike.
"""

import os
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Final

import msgspec

from otel_llm import labour, semconv, supervisor
from otel_llm.probe import shares
from otel_llm.probe.reading import Reading

PERIOD: Final = 1.0
"""Between two questions to a loop [s]."""

MOST_LOOPS: Final = 16
"""Loops that are watched at once."""

_LINGER: Final = 60.0
"""How long loops are watched after a call began on one [s]."""

_STEP: Final = 0.02
"""How often it is looked whether a loop that owes an answer still runs [s]."""


class _Watched(msgspec.Struct, eq=False):
    """A loop, and since when it owes an answer (monotonic clock) [s]."""

    loop: "weakref.ref[Any]"
    asked_at: float | None = None


class _State(msgspec.Struct):
    """What one process holds; after a fork the child begins afresh."""

    pid: int = msgspec.field(default_factory=os.getpid)
    watched: dict[int, _Watched] = msgspec.field(default_factory=dict[int, _Watched])
    lags: deque[float] = msgspec.field(default_factory=lambda: deque(maxlen=1000))
    noted_at: float = 0.0
    lock: threading.Lock = msgspec.field(default_factory=threading.Lock)


class Loops:
    """The event loops that calls were made on, as a source.

    Args:
        period: Between two questions [s].
        linger: How long they are asked after the last call [s].
    """

    name = "loops"

    def __init__(self, *, period: float = PERIOD, linger: float = _LINGER) -> None:
        self._period = period
        self._linger = linger
        self._state = _State()
        self._loop = supervisor.Loop("loops", self._run, where="probe.loops")

    def note(self) -> None:
        """A call begins: watch the loop that runs on this thread, if any. On the host's path: about a microsecond."""
        asyncio = sys.modules.get("asyncio")
        loop = asyncio._get_running_loop() if asyncio is not None else None  # noqa: SLF001 - public, but for its name
        if loop is None:
            return
        state = self._state
        if state.pid != os.getpid():
            state = self._state = _State()
        state.noted_at = time.monotonic()
        known = state.watched.get(id(loop))
        if known is None or known.loop() is not loop or not self._loop.is_running:
            self._watch(state, loop)

    def read(self, now: float) -> Sequence[Reading]:  # noqa: ARG002 - answers have a clock of their own
        """The longest that a loop was late since the reading before; nothing where none was asked."""
        state = self._state
        if state.pid != os.getpid():
            return ()
        lags: list[float] = []
        while state.lags:
            lags.append(state.lags.popleft())
        at = time.monotonic()
        owed = [(watched, watched.asked_at) for watched, _ in _running(state)]
        lags += [at - asked_at for _, asked_at in owed if asked_at is not None]
        if not lags:
            return ()
        return (Reading(semconv.METRIC_PROCESS_EVENT_LOOP_LAG, max(0.0, *lags), shares.process()),)

    def close(self) -> None:
        """Nothing is held; the thread ends by itself."""

    def _watch(self, state: _State, loop: Any) -> None:
        """Take ``loop`` up, and have the thread running."""
        with state.lock:
            for key, watched in tuple(state.watched.items()):
                if watched.loop() is None:
                    del state.watched[key]
            if len(state.watched) < MOST_LOOPS or id(loop) in state.watched:
                state.watched[id(loop)] = _Watched(weakref.ref(loop))
            self._loop.ensure()

    def _run(self, loop: supervisor.Loop) -> None:
        """Ask the loops while calls are made."""
        state = self._state
        while loop.goes_on:
            self._ask(state)
            labour.note("loops")
            with state.lock:
                if time.monotonic() - state.noted_at > self._linger or not state.watched:
                    loop.retire()
                    return

    def _ask(self, state: _State) -> None:
        """Ask each loop that runs, then let a period pass; who stops meanwhile owes no answer any more."""
        ends_at = time.monotonic() + self._period
        self._post(state)
        while (left := ends_at - time.monotonic()) > 0:
            owing = [watched for watched in tuple(state.watched.values()) if watched.asked_at is not None]
            time.sleep(min(_STEP, left) if owing else left)
            running = {id(watched) for watched, _ in _running(state)}
            for watched in owing:
                if id(watched) not in running:
                    watched.asked_at = None

    def _post(self, state: _State) -> None:
        """Ask; in a frame of its own, for one that sleeps must not hold a loop."""
        for watched, loop in _running(state):
            if watched.asked_at is None:
                watched.asked_at = asked_at = time.monotonic()
                try:
                    loop.call_soon_threadsafe(partial(self._answer, state, watched, asked_at))
                except RuntimeError:  # closed at this very moment
                    watched.asked_at = None

    def _answer(self, state: _State, watched: _Watched, asked_at: float) -> None:
        """On the loop: it has come to it. What was asked before the loop stopped and began anew tells nothing."""
        if watched.asked_at == asked_at:
            watched.asked_at = None
            state.lags.append(time.monotonic() - asked_at)


def _running(state: _State) -> Iterator[tuple[_Watched, Any]]:
    """The loops that run; those that are gone or closed are forgotten."""
    for key, watched in tuple(state.watched.items()):
        loop = watched.loop()
        if loop is None or loop.is_closed():
            state.watched.pop(key, None)
        elif loop.is_running():
            yield watched, loop
