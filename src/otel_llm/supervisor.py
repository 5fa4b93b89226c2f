"""The threads of otel-llm: begun at their first use, begun again after a crash, stopped within bounds, and shown.

A room makes a `Loop` for what it does in the background and calls `Loop.ensure` wherever there is something to do.
That never waits and never raises, so it may stand on the host's path, and after a fork the child's first call starts a
thread of its own. What the work raises ends nothing: it is counted, and the work is called again after a pause that
grows.

    self._loop = supervisor.Loop("forward", self._work)
    ...
    self._loop.ensure()                  # something is to be done; `wake` too, where it may be asleep

    def _work(self, loop):
        while loop.goes_on:
            ...                          # one turn; may raise
            loop.wait(5.0)

`standing` is what ``otel-llm doctor`` shows, by way of the metric ``otel_llm.self.loop.restarts``.
"""

import _thread
import contextlib
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, Final, Literal

import msgspec

from otel_llm import boundary, labour

LONGEST: Final = 30.0
"""Most time between a crash and the next try [s]."""

SHORTEST: Final = 0.2
"""Least [s]: a fault that stays must not keep a processor busy."""

_SOUND: Final = 60.0
"""What has run for so long was sound: its next crash counts as the first [s]."""

State = Literal["idle", "running", "resting", "stopped"]
"""``idle``: nothing to do, or not begun; ``resting``: crashed, and begun again soon; ``stopped``: for good."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How a loop stands.

    Attributes:
        name: What it works for.
        state: What it does.
        restarts: How often it crashed, in this process.
        error: What it crashed with last, type and place; ``None`` where it never did.
    """

    name: str
    state: State
    restarts: int
    error: str | None


def pause(crashes: int) -> float:
    """How long to rest after so many crashes in a row [s]: 0.2, 0.4, 0.8 and so on, at most `LONGEST`."""
    return min(LONGEST, SHORTEST * 2.0 ** min(max(0, crashes - 1), 10))


class Loop:
    """Work in the background, on one thread in each process that has any.

    Args:
        name: One word, as `labour` and ``doctor`` show it.
        work: Is given this loop and does its turns while `goes_on`; it may return when nothing is left to do, and is
            called again by the next `ensure`.
        end: Called on the thread when a stopped loop ends.
        where: Under which name `boundary` counts what ``work`` raises.
    """

    def __init__(
        self,
        name: str,
        work: Callable[["Loop"], object],
        *,
        end: Callable[[], object] | None = None,
        where: str | None = None,
    ) -> None:
        self.name = name
        self._where = where or f"supervisor.{name}"
        self._work = work
        self._end = end
        self._stopping = False
        self._begin_anew()
        _known.append(weakref.ref(self, _known.remove))

    def _begin_anew(self) -> None:
        """What one process holds: a fork copies neither the thread, nor who would let go of the locks."""
        self._pid = os.getpid()
        self._life: threading.Event | None = None
        self._starting = _thread.allocate_lock()
        self._wake: Any = None
        self._resting = False
        self._thread: int | None = None
        self.restarts = 0
        self.error: str | None = None

    # --- any thread ---------------------------------------------------------------------------------------------

    def ensure(self) -> bool:
        """Have the thread running; ``False`` where none is to be had, so that a later call tries again.

        `_thread` rather than `threading.Thread`: the latter takes locks that the interrupted caller may hold.
        """
        if self._pid != os.getpid():
            self._begin_anew()
        if self._life is not None:
            return True
        if self._stopping:
            return False
        if not self._starting.acquire(blocking=False):
            return True  # somebody else is at it
        try:
            if self._life is None:
                self._start()
        finally:
            self._starting.release()
        return self._life is not None

    def _start(self) -> None:
        # Locks of this moment: gevent may have exchanged their kind since the loop was made.
        self._wake = _thread.allocate_lock()
        self._wake.acquire()
        self._life = life = threading.Event()
        try:
            _thread.start_new_thread(self._run, (life, threading.gettrace()))
        except RuntimeError as error:  # no more threads, or the interpreter exits
            self._life = None
            self.error = str(error)

    def wake(self) -> None:
        """End the thread's `wait`. A lock let go twice says so, and that is fine."""
        if (wake := self._wake) is not None:
            with contextlib.suppress(RuntimeError):
                wake.release()

    def stop(self, timeout: float) -> bool:
        """Have the work end, for good; whether it has within ``timeout`` [s]."""
        self._stopping = True
        life = self._life
        if life is None or self._pid != os.getpid():
            return True
        self.wake()
        return not self.is_own and life.wait(timeout)

    @property
    def goes_on(self) -> bool:
        """Whether nobody asked it to stop."""
        return not self._stopping

    @property
    def is_running(self) -> bool:
        """Whether it has a thread in this process."""
        return self._life is not None and self._pid == os.getpid()

    @property
    def is_own(self) -> bool:
        """Whether the caller is its thread."""
        return self._thread == _thread.get_ident() and self.is_running

    @property
    def standing(self) -> Standing | None:
        """How it stands in this process; ``None`` where it was not begun in it."""
        if self._wake is None or self._pid != os.getpid():
            return None
        state: State = "stopped" if self._stopping else "idle"
        if self._life is not None:
            state = "resting" if self._resting else "running"
        return Standing(name=self.name, state=state, restarts=self.restarts, error=self.error)

    # --- its thread ---------------------------------------------------------------------------------------------

    def wait(self, timeout: float) -> bool:
        """Sleep until `wake`, `stop` or for ``timeout`` [s]; whether it goes on."""
        labour.note(self.name)
        if timeout > 0 and not self._stopping and self._wake is not None:
            self._wake.acquire(timeout=timeout)
        return not self._stopping

    def retire(self) -> None:
        """Say, from within the work, that it is about to return: from now on `ensure` starts another thread.

        Called under the lock under which others call `ensure`, it lets none of them believe that what they put down
        is still looked at.
        """
        self._life = None

    def _run(self, life: threading.Event, trace: Any) -> None:
        """The thread's life; ``life`` is set when it is over."""
        if trace is not None:
            sys.settrace(trace)  # debuggers and coverage follow `threading` threads only
        self._thread = _thread.get_ident()
        crashes = 0
        try:
            while True:
                begun = time.monotonic()
                try:
                    self._work(self)
                    break
                except Exception as error:  # noqa: BLE001 - it must live on whatever happens
                    crashes = 1 if time.monotonic() - begun > _SOUND else crashes + 1
                    self._crashed(error)
                if self._life is not life or not self._rest(pause(crashes)):
                    break
        finally:
            with boundary.guard(self._where):
                labour.note(self.name)
            if self._life is life:
                with boundary.guard(self._where):
                    self._finish()
                self._life = None
            life.set()

    def _crashed(self, error: Exception) -> None:
        self.restarts += 1
        boundary.swallow(self._where, error)
        self.error = boundary.place(error)

    def _rest(self, seconds: float) -> bool:
        """After a crash: `wake` ends it, but not before `SHORTEST` is over; whether to go on."""
        self._resting = True
        begun = time.monotonic()
        woken = False
        while not self._stopping and (left := begun + SHORTEST - time.monotonic()) > 0:
            woken = self._wake.acquire(timeout=left) or woken
        if not self._stopping and not woken and seconds > SHORTEST:
            self._wake.acquire(timeout=seconds - SHORTEST)
        self._resting = False
        return not self._stopping

    def _finish(self) -> None:
        if self._stopping and self._end is not None:
            self._end()


_known: Final[list["weakref.ref[Loop]"]] = []


def standing() -> list[Standing]:
    """How the loops stand that were begun in this process, by name; of those that share one, the worst."""
    found: dict[str, Standing] = {}
    for reference in tuple(_known):
        loop = reference()
        one = loop.standing if loop is not None else None
        if one is None:
            continue
        other = found.get(one.name)
        if other is None or (one.restarts, one.state == "running") > (other.restarts, other.state == "running"):
            found[one.name] = one
    return sorted(found.values(), key=lambda one: one.name)
