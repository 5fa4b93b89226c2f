"""Room alert: the thread that judges. It takes up what ended, shares it with the host's other workers, and ticks.

Each process counts; one at a time judges, whoever holds the ledger's lease, which is `tenure`'s part.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from otel_llm import boundary, supervisor
from otel_llm.alert import clock, ruleset
from otel_llm.alert.board import MOST
from otel_llm.alert.judge import Change
from otel_llm.alert.memory import MemoryLedger
from otel_llm.alert.processor import AlertProcessor, Intake
from otel_llm.alert.ruleset import RuleSet
from otel_llm.alert.signal import attempt
from otel_llm.alert.tenure import Facts, Nobody, Outlet, Tenure, Watcher
from otel_llm.alert.window import OTHER
from otel_llm.gate import importing
from otel_llm.ledger import Ledger
from otel_llm.suppression import suppress_instrumentation

STEP: Final = 1.0
"""How often the thread takes up, shares and looks whether a rule is due [s]."""

_QUIET: Final = 600.0
"""After this long without a call nobody is told any more that none is in flight [s]."""

_JUMP: Final = 2.0
"""The wall clock jumped if it moved this much more or less than the other [s]."""

_INFLIGHT: Final = "inflight_max_age"


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """What was counted in this process since it judges.

    Attributes:
        evaluations: Of rules.
        failures: Evaluations that failed.
        late: Ticks that came so late that time was left out.
        dropped: Finished calls that were never counted.
        unsent: Messages that were one too many to wait.
        folded: Samples that went into series that stand for the rest.
    """

    evaluations: int = 0
    failures: int = 0
    late: int = 0
    dropped: int = 0
    unsent: int = 0
    folded: int = 0


class _Life(msgspec.Struct):
    """What one process holds; after a fork the child begins afresh."""

    tenure: Tenure
    pid: int = msgspec.field(default_factory=os.getpid)
    stamp: tuple[int, int] | None = None
    busy_until: float = 0.0
    offset: float | None = None
    jumped_at: float = float("-inf")
    told_of_others: bool = False


class Engine:
    """Judges the rules in the background.

    Args:
        processor: Where finished calls and readings are put down.
        load: Reads the rules.
        ledger: Opens what outlives the process; called on the engine's thread. ``None`` is memory.
        outlet: Who gets to know.
        file: The rule file, looked at on every step for changes.
        gauge_interval: How often gauges are read [s].

    Attributes:
        facts: About itself.
    """

    def __init__(
        self,
        processor: AlertProcessor,
        load: Callable[[], RuleSet],
        *,
        ledger: Callable[[], Ledger] | None = None,
        outlet: Outlet | None = None,
        file: Path | None = None,
        gauge_interval: float = 10.0,
    ) -> None:
        self.facts = Facts()
        self._processor = processor
        self._load = load
        self._open = ledger or MemoryLedger
        self._outlet = outlet or Nobody()
        self._file = file
        self._gauge_interval = gauge_interval
        self._watchers: list[Watcher] = []
        self._life: _Life | None = None
        self._inherited: list[_Life] = []
        self._starting = threading.Lock()
        self._stopping = False
        self._loop = supervisor.Loop("alerts", self._run, end=self._end, where="alert.engine")

    # --- the host's side ----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the thread unless it runs in this process."""
        life = self._life
        if self._stopping:
            return
        if life is not None and life.pid == os.getpid():
            self._loop.ensure()
            return
        if life is not None:  # a fork copied it; its lock may be held by nobody
            self._inherited.append(life)  # its connection is the parent's, whose locks closing it here would take
            self._life, self._starting = None, threading.Lock()
        if self._starting.acquire(blocking=False):
            try:
                if self._life is None:
                    self._life = _Life(tenure=self._begin())
                self._loop.ensure()
            finally:
                self._starting.release()

    def watch(self, watcher: Watcher) -> None:
        """Have ``watcher`` called, on the engine's thread, with what is told."""
        self._watchers.append(watcher)

    def standing(self) -> Sequence[Change]:
        """Every alert that this process judges and remembers; may be called on any thread."""
        life = self._life
        if life is None or life.pid != os.getpid() or not self.facts.judging:
            return ()
        return list(life.tenure.judge.standing())

    def counted(self) -> Counted:
        """What was counted so far; may be called on any thread."""
        life = self._life
        if life is None or life.pid != os.getpid():
            return Counted()
        judge, board, ledger = life.tenure.judge, life.tenure.board, life.tenure.ledger
        return Counted(
            evaluations=judge.evaluations,
            failures=sum(judge.errors.copy().values()),
            late=judge.late,
            dropped=self._processor.intake.dropped(),
            unsent=0 if ledger is None else ledger.dropped,
            folded=board.folded(),
        )

    def oldest(self) -> float | None:
        """Age of the oldest call in flight in this process [s]; may be called on any thread."""
        intake = self._processor.intake
        return intake.oldest(time.monotonic()) if intake.pid == os.getpid() else None

    def reload(self) -> RuleSet:
        """What the rules say now; they are taken up at the next step."""
        if self._life is not None:
            self._life.stamp = None
        self._loop.wake()
        return self._load()

    def stop(self, timeout: float) -> None:
        """Count what has ended, write it down, and leave the lease to others, within ``timeout`` [s]."""
        self._stopping = True
        self._outlet.stop()
        self._loop.stop(timeout)

    # --- the thread's side --------------------------------------------------------------------------------------

    def _run(self, loop: supervisor.Loop) -> None:
        self._processor.intake.served = True
        life = self._life
        with suppress_instrumentation():
            while life is not None and loop.goes_on:
                self._step(life, clock.now(), time.time())
                self.facts.cpu = time.thread_time()
                loop.wait(STEP)

    def _end(self) -> None:
        with suppress_instrumentation():
            if self._life is not None:
                self._leave(self._life, clock.now(), time.time())

    def _begin(self) -> Tenure:
        return Tenure(
            self.facts,
            ledger=self._open,
            outlet=self._outlet,
            watchers=self._watchers,
            gauge_interval=self._gauge_interval,
        )

    def _step(self, life: _Life, now: float, wall: float) -> None:
        self._follow_file(life, now, wall)
        self._watch_clock(life, now, wall)
        self._fold(life, now)
        life.tenure.step(now, wall)

    def _fold(self, life: _Life, now: float) -> None:
        """Take up what ended and what was read."""
        intake: Intake = self._processor.intake
        board = life.tenure.board
        mono = time.monotonic()
        for attributes, start, end, status, started, ended in intake.take():
            duration = -1.0 if start is None or end is None else (end - start) / 1e9
            if started is not None and (duration < 0 or started < life.jumped_at):
                duration = ended - started
            try:
                board.fold(attempt(attributes, duration, failed=not status.is_ok, at=now - (mono - ended)))
            except Exception as error:  # noqa: BLE001 - one call that cannot be read must not cost the others
                boundary.swallow("alert.fold", error)
        while intake.readings:
            with boundary.guard("alert.read"):
                board.read(*intake.readings.popleft())
        if board.folded() and not life.told_of_others:
            life.told_of_others = True
            boundary.logger.warning(
                "more series than alert rules allow (max_instances, and %d for a process); the rest is judged as one,"
                " labelled %s",
                *(MOST, OTHER),
            )
        age = intake.oldest(mono)
        if age is not None:
            life.busy_until = now + _QUIET
        if now < life.busy_until:  # for a while after the last call it is known that there is none
            board.read(_INFLIGHT, age or 0.0, {}, now)

    def _follow_file(self, life: _Life, now: float, wall: float) -> None:
        """Take the rules up when their file changed; one with a mistake leaves the old ones in force."""
        stamp = self._look()
        if stamp == life.stamp:
            return
        life.stamp = stamp
        fresh = self._load()
        if fresh.faults and life.tenure.ruled:
            self.facts.reload_failures += 1
            boundary.logger.warning("%s; the rules that were in force stay", fresh.faults[0])
            return
        for fault in fresh.faults:
            boundary.logger.warning("%s; it is left out", fault)
        life.tenure.take(fresh, now, wall)

    def _look(self) -> tuple[int, int] | None:
        if self._file is None:
            return (0, 0)
        with contextlib.suppress(OSError):
            found = self._file.stat()
            return found.st_mtime_ns, found.st_size
        return (-1, -1)

    def _watch_clock(self, life: _Life, now: float, wall: float) -> None:
        offset = wall - now
        if life.offset is not None and abs(offset - life.offset) > _JUMP:
            life.jumped_at = time.monotonic()
            self.facts.clock_jumps += 1
            boundary.logger.warning("the wall clock jumped by %+.1f s; alerts do not go by it", offset - life.offset)
        life.offset = offset

    def _leave(self, life: _Life, now: float, wall: float) -> None:
        """Count what has ended, and leave."""
        if life.tenure.ledger is not None:
            self._fold(life, now)
            life.tenure.leave(now, wall)


def load_rules(file: Path | None, *, defaults: bool, webhook: str | None = None) -> Callable[[], RuleSet]:
    """What `Engine` reads its rules with; what reads a file is loaded for who has one."""
    if file is None and defaults and not webhook:
        return ruleset.made
    with importing.lock:
        from otel_llm.alert import schema  # noqa: PLC0415

    return lambda: schema.load(file, defaults=defaults, webhook=webhook)
