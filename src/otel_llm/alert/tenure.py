"""Room alert: one process under the ledger: it shares what it counted, and judges while it holds the lease.

What it decides and what is to be told are kept in one step, so that no restart forgets an alert or tells it twice.
Where the ledger fails, the process judges its own calls by itself, and its alerts say so (``scope="process"``).
"""

import contextlib
import uuid
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec

from otel_llm import boundary
from otel_llm.alert import clock, message, state
from otel_llm.alert.board import Board
from otel_llm.alert.judge import Change, Judge, Rest
from otel_llm.alert.memory import MemoryLedger
from otel_llm.alert.notice import Plan
from otel_llm.alert.rule import NAME, SCOPE, Group
from otel_llm.alert.ruleset import RuleSet
from otel_llm.alert.state import Alert
from otel_llm.alert.window import FINE, SLOT, Slot
from otel_llm.ledger import PAGE, Kept, Ledger, LedgerMovedError, Message, Row, Shared

_KEEP: Final = 30.0
"""An alert that does not rest is written down this often though nothing changed [s]."""

_AGAIN: Final = 5.0
"""A ledger that failed is tried again after this [s]."""

_MOVES: Final = 2
"""How often a ledger may move within one step."""


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


Watcher = Callable[[Sequence[tuple[Change, Message]]], None]


class Tenure:
    """What one process holds of judging; a child after a fork has one of its own.

    Args:
        facts: Where it says whether it judges.
        ledger: Opens what outlives the process.
        outlet: Who gets to know.
        watchers: Called with what is told.
        gauge_interval: How often gauges are read [s].

    Attributes:
        judge: The rules and their alerts.
        board: What was counted, here and by the host's other workers.
        ledger: What is judged by; the stand-in where the real one fails.
        ruled: Whether rules were ever in force.
    """

    def __init__(
        self,
        facts: Facts,
        *,
        ledger: Callable[[], Ledger],
        outlet: Outlet,
        watchers: Sequence[Watcher] = (),
        gauge_interval: float,
    ) -> None:
        self.board = Board(())
        self.judge = Judge((), self.board, gauge_interval)
        self.ledger: Ledger | None = None
        self.ruled = False
        self._facts = facts
        self._open = ledger
        self._outlet = outlet
        self._watchers = watchers
        self._boot = clock.boot()
        self._worker = uuid.uuid4().hex[:12]
        self._names: dict[Group, str] = {}
        self._groups: dict[str, Group] = {}
        self._shared_from = 0
        self._mark = 0
        self._kept_at = 0.0
        self._restored = False
        self._reached = False
        self._stand_in: MemoryLedger | None = None
        self._told_before: frozenset[tuple[str, int]] = frozenset()
        self._retry_at = 0.0

    def take(self, rules: RuleSet, now: float, wall: float) -> None:
        """These rules are in force now; alerts whose rules are gone end."""
        self._outlet.take(rules.plan)
        self._facts.rules = len(rules.rules)
        changes = self.judge.reload(rules.rules, wall)
        self._names = {group: _write(group) for group in self.board.series}
        self._groups = {text: group for group, text in self._names.items()}
        self._mark = self._shared_from = 0
        self.ruled = True
        if changes and self.ledger is not None and self._facts.epoch is not None:
            self._commit(self.ledger, self._facts.epoch, changes, now, wall)

    def step(self, now: float, wall: float) -> None:
        """Share what was counted, and judge where it is this process's turn."""
        try:
            self._judge_where_kept(self._connect(now, wall), now, wall)
        except OSError as error:
            self._judge(self._fall_back(now, error), now, wall)
        self.board.expire(now, self.judge.needs)

    def leave(self, now: float, wall: float) -> None:
        """Share once more; say nothing about an end, for a process that exits has not recovered."""
        if self.ledger is None:
            return
        with contextlib.suppress(OSError):
            self._share(self.ledger, now)
            if self._facts.epoch is not None:
                kept = [_keep(change, now, wall, self._boot) for change in self.judge.standing()]
                self.ledger.commit(self._facts.epoch, kept, ())
            self.ledger.release(self._worker)

    def _judge_where_kept(self, ledger: Ledger, now: float, wall: float) -> None:
        """Judge, and again where the ledger has moved meanwhile."""
        for _ in range(_MOVES):
            try:
                self._judge(ledger, now, wall)
            except LedgerMovedError as moved:
                self._mark = self._shared_from = 0
                self._kept_at = float("-inf")  # all that stands is written down there
                self._outlet.look()
                if moved.afresh:
                    self.judge.forget()
                    self._restored = False
            else:
                return
        self._judge(ledger, now, wall)

    def _connect(self, now: float, wall: float) -> Ledger:
        """The ledger; one that failed is tried again after a while, and gets what its stand-in holds."""
        if self.ledger is None:
            self.ledger = self._open()
        elif self._stand_in is not None and now >= self._retry_at:
            with contextlib.suppress(OSError):
                ledger = self._open()
                self._hand_over(self._stand_in, ledger, wall)
                self.ledger, self._stand_in = ledger, None
                self._restored, self._mark, self._shared_from, self._kept_at = False, 0, 0, 0.0
                self._facts.fallback = False
                boundary.logger.warning("alerts are judged for the whole host again")
            self._retry_at = now + _AGAIN
        return self.ledger

    def _fall_back(self, now: float, error: OSError) -> Ledger:
        """Judge this process's own calls until the ledger answers."""
        if self._stand_in is None:
            # A ledger that never answered is the store's to tell, which it does.
            tell = boundary.logger.warning if self._reached else boundary.logger.info
            tell("alerts of this process are judged by itself: %s", error)
            self.ledger, self._restored = MemoryLedger(), True
            self._stand_in = self.ledger
            self._told_before = frozenset(_episode(one) for one in self.judge.standing())
        self._facts.fallback = True
        self._retry_at = now + _AGAIN
        return self._stand_in

    def _hand_over(self, stand_in: MemoryLedger, ledger: Ledger, wall: float) -> None:
        """Give ``ledger`` the messages that wait, and the end of what this process found by itself."""
        own = [one for one in self.judge.standing() if _episode(one) not in self._told_before]
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
        self.judge.forget()
        self._announce(told)

    def _judge(self, ledger: Ledger, now: float, wall: float) -> None:
        """Share what was counted; where this process holds the lease, tick and tell."""
        self._share(ledger, now)
        epoch = ledger.lease(self._worker, now)
        self._facts.judging, self._facts.epoch = epoch is not None, epoch
        self._reached = self._reached or not self._facts.fallback
        if epoch is None:
            self.judge.forget()
            self._restored, self._mark = False, 0
            return
        ended = [] if self._restored else self._restore(ledger, now, wall)
        self._absorb(ledger, now)
        self._commit(ledger, epoch, [*ended, *self.judge.tick(now, wall)], now, wall)

    def _share(self, ledger: Ledger, now: float) -> None:
        """Tell what was counted since, few slots at once: to a ledger that moved that is all that this process holds.

        The series of one slot are told together, for they may be kept as one value.
        """
        changed = sorted(self.board.changed(self._shared_from), key=lambda found: found[2])
        page: list[Shared] = []
        for place, (series, key, number, slot) in enumerate(changed):
            if len(page) >= PAGE and number != changed[place - 1][2]:
                ledger.share(page, now)
                page = []
            page.append(
                Shared(
                    group=self._names[series.group],
                    key=key,
                    worker=self._worker,
                    number=number,
                    until=number + int(max(series.width, FINE) / SLOT) + 1,
                    content=slot.pack(),
                    boot=self._boot,
                )
            )
        ledger.share(page, now)
        self._shared_from = int(now / SLOT)

    def _absorb(self, ledger: Ledger, now: float) -> None:
        """Take in what others told since, page by page: at the beginning that is six hours of every worker."""
        beginning = self._mark == 0
        if beginning:
            self.board.forget_others()
        while True:
            mark = self._mark
            others, self._mark = ledger.shared(mark, self._worker)
            told = 0
            for told, other in enumerate(others, 1):  # noqa: B007 - how many there were is asked below
                group = self._groups.get(other.group)
                if group is not None and other.boot == self._boot:
                    slot = Slot.unpack(other.content)
                    self.board.replace(group, other.key, (other.worker, other.number), slot, int(now / SLOT))
            # This worker's own slots are left out of a page, so that a full one may look shorter; what a page of many
            # own ones hides waits for the next tick.
            if self._mark == mark or not (beginning or told >= PAGE // 8):
                return

    def _restore(self, ledger: Ledger, now: float, wall: float) -> list[Change]:
        """Take up what was kept; gives the ends of alerts whose rules are gone."""
        ended: list[Change] = []
        for kept in ledger.kept():
            gap = now - kept.at if kept.boot == self._boot else wall - kept.wall
            alert = msgspec.convert(kept.content, Alert)
            own = {NAME, *(name for name, _ in alert.labels)}
            rest = Rest(labels={name: text for name, text in kept.labels.items() if name not in own}, wall=wall)
            change = self.judge.restore(kept.rule, kept.digest, alert, max(0.0, gap), rest)
            if change is not None:
                ended.append(change)
        self._restored = True
        return ended

    def _commit(self, ledger: Ledger, epoch: int, changes: Sequence[Change], now: float, wall: float) -> None:
        """Keep what moved, and queue what is to be told, in one step."""
        aside = self._facts.fallback or ledger.stands_in
        told = [
            (change, self._scope(said, ledger)) for change in changes if (said := message.write(change)) is not None
        ]
        moved = [change for change in changes if change.before != change.alert.state or change.notice is not None]
        if changes and now - self._kept_at >= _KEEP:
            self._kept_at = now
            known = {change.fingerprint for change in changes}
            moved = [*changes, *(one for one in self.judge.standing() if one.fingerprint not in known)]
        if moved:
            firing = [one for one in self.judge.standing() if one.alert.state == "firing"]
            all_of_it = [self._scope(message.describe(one.rule, one.alert), ledger) for one in firing]
            # A ledger that stands in for another does not know what was told, and must not have it told again.
            told_of = [one.alert.told and not aside for one in firing]
            owed = [word for word, was_told in zip(all_of_it, told_of, strict=True) if was_told]
            rows = self._outlet.address([word for _, word in told], all_of_it, owed)
            if not ledger.commit(epoch, [_keep(change, now, wall, self._boot) for change in moved], rows):
                self.judge.forget()  # another process judges by now, and has told what it found
                self._restored = False
                return
        self._outlet.deliver(ledger, epoch)
        self._announce(told)

    def _announce(self, told: Sequence[tuple[Change, Message]]) -> None:
        for watcher in self._watchers if told else ():
            with boundary.guard("alert.watch"):
                watcher(told)

    def _scope(self, said: Message, ledger: Ledger) -> Message:
        """``said``, and that it is about this process, or this host, alone where that is so."""
        if not self._facts.fallback:
            if not ledger.stands_in:
                return said
            return msgspec.structs.replace(said, annotations={**said.annotations, SCOPE: "host"})
        return msgspec.structs.replace(said, labels={**said.labels, SCOPE: "process"})


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
