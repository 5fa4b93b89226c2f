"""Room alert: the thread that judges. It takes up what ended, shares it with the host's other workers, and ticks.

Each process counts; one at a time judges, whoever holds the ledger's lease. What it decides and what is to be told are
kept in one step, so that no restart forgets an alert or tells it twice. Where the ledger fails, a process judges its
own calls by itself, and its alerts say so (``scope="process"``).
"""

import contextlib
import os
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

import msgspec

from otel_llm import boundary, supervisor
from otel_llm.alert import clock, message, schema, state
from otel_llm.alert.board import MOST, Board
from otel_llm.alert.judge import Change, Judge, Rest
from otel_llm.alert.memory import MemoryLedger
from otel_llm.alert.notice import Plan
from otel_llm.alert.processor import AlertProcessor, Intake
from otel_llm.alert.rule import NAME, SCOPE, Group
from otel_llm.alert.schema import RuleSet
from otel_llm.alert.signal import attempt
from otel_llm.alert.state import Alert
from otel_llm.alert.window import FINE, OTHER, SLOT, Slot
from otel_llm.ledger import PAGE, Kept, Ledger, LedgerMovedError, Message, Row, Shared
from otel_llm.suppression import suppress_instrumentation

STEP: Final = 1.0
"""How often the thread takes up, shares and looks whether a rule is due [s]."""

_KEEP: Final = 30.0
"""An alert that does not rest is written down this often though nothing changed [s]."""

_QUIET: Final = 600.0
"""After this long without a call nobody is told any more that none is in flight [s]."""

_AGAIN: Final = 5.0
"""A ledger that failed is tried again after this [s]."""

_JUMP: Final = 2.0
"""The wall clock jumped if it moved this much more or less than the other [s]."""

_MOVES: Final = 2
"""How often a ledger may move within one step."""

_INFLIGHT: Final = "inflight_max_age"


class Outlet(Protocol):
    """Who gets to know."""

    def take(self, plan: Plan) -> None:
        """These receivers and routes are in force now."""
        ...

    def address(self, news: Sequence[Message], firing: Sequence[Message], owed: Sequence[Message]) -> Sequence[Row]:
        """A row for each receiver that is to hear something.

        Args:
            news: What is to be told.
            firing: All that fires now.
            owed: All that fires and was told of: who did not hear it then may hear it now.
        """
        ...

    def deliver(self, ledger: Ledger, epoch: int) -> None:
        """There may be something to send, by the judge of ``epoch``; must return at once."""
        ...

    def look(self) -> None:
        """The ledger has moved: messages may wait there that nobody here put down."""
        ...

    def stop(self) -> None:
        """The process exits."""
        ...


class Nobody:
    """An outlet without receivers."""

    def take(self, plan: Plan) -> None:
        """Nobody is in it."""

    def address(self, news: Sequence[Message], firing: Sequence[Message], owed: Sequence[Message]) -> Sequence[Row]:  # noqa: ARG002
        """None."""
        return ()

    def deliver(self, ledger: Ledger, epoch: int) -> None:
        """Nothing is sent."""

    def look(self) -> None:
        """Nothing is sent."""

    def stop(self) -> None:
        """Nothing runs."""


class Facts(msgspec.Struct):
    """What the engine says about itself.

    Attributes:
        judging: Whether this process is the judge.
        epoch: Of its lease.
        rules: In force.
        reload_failures: Rule files that had a mistake and were not.
        clock_jumps: Of the wall clock.
        fallback: Whether the ledger fails and the process judges by itself.
    """

    judging: bool = False
    epoch: int | None = None
    rules: int = 0
    reload_failures: int = 0
    clock_jumps: int = 0
    fallback: bool = False
    cpu: float = 0.0


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

    judge: Judge
    board: Board
    boot: str = msgspec.field(default_factory=clock.boot)
    worker: str = msgspec.field(default_factory=lambda: uuid.uuid4().hex[:12])
    pid: int = msgspec.field(default_factory=os.getpid)
    ledger: Ledger | None = None
    stand_in: MemoryLedger | None = None
    told_before: frozenset[tuple[str, int]] = frozenset()
    stamp: tuple[int, int] | None = None
    names: dict[Group, str] = msgspec.field(default_factory=dict[Group, str])
    groups: dict[str, Group] = msgspec.field(default_factory=dict[str, Group])
    shared_from: int = 0
    mark: int = 0
    kept_at: float = 0.0
    busy_until: float = 0.0
    restored: bool = False
    reached: bool = False
    retry_at: float = 0.0
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
        self._watchers: list[Callable[[Sequence[tuple[Change, Message]]], None]] = []
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
            self._inherited.append(
                life
            )  # its connection is the parent's: closing it here would take the parent's locks
            self._life, self._starting = None, threading.Lock()
        if self._starting.acquire(blocking=False):
            try:
                if self._life is None:
                    board = Board(())
                    self._life = _Life(judge=Judge((), board, self._gauge_interval), board=board)
                self._loop.ensure()
            finally:
                self._starting.release()

    def watch(self, watcher: Callable[[Sequence[tuple[Change, Message]]], None]) -> None:
        """Have ``watcher`` called, on the engine's thread, with what is told."""
        self._watchers.append(watcher)

    def standing(self) -> Sequence[Change]:
        """Every alert that this process judges and remembers; may be called on any thread."""
        life = self._life
        if life is None or life.pid != os.getpid() or not self.facts.judging:
            return ()
        return list(life.judge.standing())

    def counted(self) -> Counted:
        """What was counted so far; may be called on any thread."""
        life = self._life
        if life is None or life.pid != os.getpid():
            return Counted()
        return Counted(
            evaluations=life.judge.evaluations,
            failures=sum(life.judge.errors.copy().values()),
            late=life.judge.late,
            dropped=self._processor.intake.dropped(),
            unsent=0 if life.ledger is None else life.ledger.dropped,
            folded=life.board.folded(),
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

    def _step(self, life: _Life, now: float, wall: float) -> None:
        self._follow_file(life, now, wall)
        self._watch_clock(life, now, wall)
        self._fold(life, now)
        try:
            self._judge_where_kept(life, self._connect(life, now, wall), now, wall)
        except OSError as error:
            self._judge(life, self._fall_back(life, now, error), now, wall)
        life.board.expire(now, life.judge.needs)

    def _judge_where_kept(self, life: _Life, ledger: Ledger, now: float, wall: float) -> None:
        """Judge, and again where the ledger has moved meanwhile."""
        for _ in range(_MOVES):
            try:
                self._judge(life, ledger, now, wall)
            except LedgerMovedError as moved:
                life.mark = life.shared_from = 0
                life.kept_at = float("-inf")  # all that stands is written down there
                self._outlet.look()
                if moved.afresh:
                    life.judge.forget()
                    life.restored = False
            else:
                return
        self._judge(life, ledger, now, wall)

    def _connect(self, life: _Life, now: float, wall: float) -> Ledger:
        """The ledger; one that failed is tried again after a while, and gets what its stand-in holds."""
        if life.ledger is None:
            life.ledger = self._open()
        elif life.stand_in is not None and now >= life.retry_at:
            with contextlib.suppress(OSError):
                ledger = self._open()
                self._hand_over(life, life.stand_in, ledger, wall)
                life.ledger, life.stand_in = ledger, None
                life.restored, life.mark, life.shared_from, life.kept_at = False, 0, 0, 0.0
                self.facts.fallback = False
                boundary.logger.warning("alerts are judged for the whole host again")
            life.retry_at = now + _AGAIN
        return life.ledger

    def _fall_back(self, life: _Life, now: float, error: OSError) -> Ledger:
        """Judge this process's own calls until the ledger answers."""
        if life.stand_in is None:
            # A ledger that never answered is the store's to tell, which it does.
            tell = boundary.logger.warning if life.reached else boundary.logger.info
            tell("alerts of this process are judged by itself: %s", error)
            life.ledger, life.restored = MemoryLedger(), True
            life.stand_in = life.ledger
            life.told_before = frozenset(_episode(one) for one in life.judge.standing())
        self.facts.fallback = True
        life.retry_at = now + _AGAIN
        return life.stand_in

    def _hand_over(self, life: _Life, stand_in: MemoryLedger, ledger: Ledger, wall: float) -> None:
        """Give ``ledger`` the messages that wait, and the end of what this process found by itself."""
        own = [one for one in life.judge.standing() if _episode(one) not in life.told_before]
        ended = [_end(one, wall) for one in own if one.alert.state == "firing"]
        told = [
            (change, self._scope(said, stand_in)) for change in ended if (said := message.write(change)) is not None
        ]
        rows = stand_in.close()
        try:
            ends = self._outlet.address([said for _, said in told], (), ())
            ledger.accept([*rows, *(row for row in ends if stand_in.knows(row.beginning))])
        except OSError:
            stand_in.reopen()
            raise
        life.judge.forget()
        self._announce(told)

    def _fold(self, life: _Life, now: float) -> None:
        """Take up what ended and what was read."""
        intake: Intake = self._processor.intake
        mono = time.monotonic()
        for attributes, start, end, status, started, ended in intake.take():
            duration = -1.0 if start is None or end is None else (end - start) / 1e9
            if started is not None and (duration < 0 or started < life.jumped_at):
                duration = ended - started
            try:
                life.board.fold(attempt(attributes, duration, failed=not status.is_ok, at=now - (mono - ended)))
            except Exception as error:  # noqa: BLE001 - one call that cannot be read must not cost the others
                boundary.swallow("alert.fold", error)
        while intake.readings:
            with boundary.guard("alert.read"):
                life.board.read(*intake.readings.popleft())
        if life.board.folded() and not life.told_of_others:
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
            life.board.read(_INFLIGHT, age or 0.0, {}, now)

    def _judge(self, life: _Life, ledger: Ledger, now: float, wall: float) -> None:
        """Share what was counted; where this process holds the lease, tick and tell."""
        self._share(life, ledger, now)
        epoch = ledger.lease(life.worker, now)
        self.facts.judging, self.facts.epoch = epoch is not None, epoch
        life.reached = life.reached or not self.facts.fallback
        if epoch is None:
            life.judge.forget()
            life.restored, life.mark = False, 0
            return
        ended = [] if life.restored else self._restore(life, ledger, now, wall)
        self._absorb(life, ledger, now)
        self._commit(life, ledger, epoch, [*ended, *life.judge.tick(now, wall)], now, wall)

    def _share(self, life: _Life, ledger: Ledger, now: float) -> None:
        slots = [
            Shared(
                group=life.names[series.group],
                key=key,
                worker=life.worker,
                number=number,
                until=number + int(max(series.width, FINE) / SLOT) + 1,
                content=slot.pack(),
                boot=life.boot,
            )
            for series, key, number, slot in life.board.changed(life.shared_from)
        ]
        ledger.share(slots, now)
        life.shared_from = int(now / SLOT)

    def _absorb(self, life: _Life, ledger: Ledger, now: float) -> None:
        """Take in what others told since, page by page: at the beginning that is six hours of every worker."""
        beginning = life.mark == 0
        if beginning:
            life.board.forget_others()
        while True:
            mark = life.mark
            others, life.mark = ledger.shared(mark, life.worker)
            for other in others:
                group = life.groups.get(other.group)
                if group is not None and other.boot == life.boot:
                    slot = Slot.unpack(other.content)
                    life.board.replace(group, other.key, (other.worker, other.number), slot, int(now / SLOT))
            # This worker's own slots are left out of a page, so that a full one may look shorter; what a page of many
            # own ones hides waits for the next tick.
            if life.mark == mark or not (beginning or len(others) >= PAGE // 2):
                return

    def _restore(self, life: _Life, ledger: Ledger, now: float, wall: float) -> list[Change]:
        """Take up what was kept; gives the ends of alerts whose rules are gone."""
        ended: list[Change] = []
        for kept in ledger.kept():
            gap = now - kept.at if kept.boot == life.boot else wall - kept.wall
            alert = msgspec.convert(kept.content, Alert)
            own = {NAME, *(name for name, _ in alert.labels)}
            rest = Rest(labels={name: text for name, text in kept.labels.items() if name not in own}, wall=wall)
            change = life.judge.restore(kept.rule, kept.digest, alert, max(0.0, gap), rest)
            if change is not None:
                ended.append(change)
        life.restored = True
        return ended

    def _commit(
        self, life: _Life, ledger: Ledger, epoch: int, changes: Sequence[Change], now: float, wall: float
    ) -> None:
        """Keep what moved, and queue what is to be told, in one step."""
        aside = self.facts.fallback or ledger.stands_in
        told = [
            (change, self._scope(said, ledger)) for change in changes if (said := message.write(change)) is not None
        ]
        moved = [change for change in changes if change.before != change.alert.state or change.notice is not None]
        if changes and now - life.kept_at >= _KEEP:
            life.kept_at = now
            known = {change.fingerprint for change in changes}
            moved = [*changes, *(one for one in life.judge.standing() if one.fingerprint not in known)]
        if moved:
            firing = [one for one in life.judge.standing() if one.alert.state == "firing"]
            all_of_it = [self._scope(message.describe(one.rule, one.alert), ledger) for one in firing]
            # A ledger that stands in for another does not know what was told, and must not have it told again.
            told_of = [one.alert.told and not aside for one in firing]
            owed = [word for word, was_told in zip(all_of_it, told_of, strict=True) if was_told]
            rows = self._outlet.address([word for _, word in told], all_of_it, owed)
            if not ledger.commit(epoch, [_keep(change, now, wall, life.boot) for change in moved], rows):
                life.judge.forget()  # another process judges by now, and has told what it found
                life.restored = False
                return
        self._outlet.deliver(ledger, epoch)
        self._announce(told)

    def _announce(self, told: Sequence[tuple[Change, Message]]) -> None:
        for watcher in self._watchers if told else ():
            with boundary.guard("alert.watch"):
                watcher(told)

    def _scope(self, said: Message, ledger: Ledger) -> Message:
        """``said``, and that it is about this process, or this host, alone where that is so."""
        if not self.facts.fallback:
            if not ledger.stands_in:
                return said
            return msgspec.structs.replace(said, annotations={**said.annotations, SCOPE: "host"})
        return msgspec.structs.replace(said, labels={**said.labels, SCOPE: "process"})

    def _follow_file(self, life: _Life, now: float, wall: float) -> None:
        """Take the rules up when their file changed; one with a mistake leaves the old ones in force."""
        stamp = self._look()
        if stamp == life.stamp:
            return
        first, life.stamp = not life.names, stamp
        fresh = self._load()
        if fresh.faults and not first:
            self.facts.reload_failures += 1
            boundary.logger.warning("%s; the rules that were in force stay", fresh.faults[0])
            return
        for fault in fresh.faults:
            boundary.logger.warning("%s; it is left out", fault)
        self._outlet.take(fresh.plan)
        self.facts.rules = len(fresh.rules)
        changes = life.judge.reload(fresh.rules, wall)
        life.names = {group: _write(group) for group in life.board.series}
        life.groups = {text: group for group, text in life.names.items()}
        life.mark = life.shared_from = 0
        if changes and life.ledger is not None and self.facts.epoch is not None:
            self._commit(life, life.ledger, self.facts.epoch, changes, now, wall)

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
        """Count and share once more; say nothing about an end, for a process that exits has not recovered."""
        if life.ledger is None:
            return
        self._fold(life, now)
        with contextlib.suppress(OSError):
            self._share(life, life.ledger, now)
            if self.facts.epoch is not None:
                kept = [_keep(change, now, wall, life.boot) for change in life.judge.standing()]
                life.ledger.commit(self.facts.epoch, kept, ())
            life.ledger.release(life.worker)


def load_rules(file: Path | None, *, defaults: bool, webhook: str | None = None) -> Callable[[], RuleSet]:
    """What `Engine` reads its rules with."""
    return lambda: schema.load(file, defaults=defaults, webhook=webhook)


def _episode(change: Change) -> tuple[str, int]:
    return change.fingerprint, change.alert.episode


def _end(change: Change, wall: float) -> Change:
    """The end of what one process found by itself, now that it is judged together with the others."""
    after, notice = state.remove(change.rule, change.alert, wall, "rejoined")
    return Change(rule=change.rule, alert=after, before=change.before, notice=notice)


def _keep(change: Change, now: float, wall: float, boot: str) -> Kept:
    alert, rule = change.alert, change.rule
    return Kept(
        fingerprint=change.fingerprint,
        rule=rule.name,
        digest=rule.digest,
        state=alert.state,
        content=msgspec.structs.asdict(alert),
        labels=message.describe(rule, alert).labels,
        at=now,
        wall=wall,
        boot=boot,
    )


def _write(group: Group) -> str:
    """A group as other workers with the same rules write it."""
    return msgspec.json.encode(group).decode()
