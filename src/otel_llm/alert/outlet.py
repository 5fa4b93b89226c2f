"""Room alert: from the ledger's rows to their receivers. The engine's thread puts down, one thread a receiver delivers.

Only the process that judges delivers. What a receiver does, answer, hang, refuse, keeps its own thread and nobody else.
"""

import os
import random
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import msgspec

from otel_llm import boundary, supervisor
from otel_llm.alert import clock
from otel_llm.alert.body import Batch
from otel_llm.alert.carriage import Result
from otel_llm.alert.notice import Plan
from otel_llm.alert.receiver import Email, Receiver, Webhook
from otel_llm.alert.route import Route, is_silenced
from otel_llm.gate import importing
from otel_llm.ledger import LEASE, Ledger, Message, Outcome, Row, Silence
from otel_llm.suppression import suppress_instrumentation

MOST: Final = 1_000
"""Rows that are looked at in one turn."""

LONGEST_BACKOFF: Final = 60.0
"""Between two tries at most, but for a receiver's own wish [s]."""

JITTER: Final = 0.2
GIVE_UP: Final = 86_400.0
"""A message that nobody takes for so long is dropped [s]."""

RATE: Final = 30
"""Notifications a minute to one receiver; what is more waits and is told together."""

_AGAIN: Final = 5.0
"""After a fault of our own the next turn comes in this [s]."""

_SHORTEST: Final = 0.05
"""Between two turns [s]."""

_FLUSHED: Final = 10_000
"""Groups whose last notification is remembered."""


def carry(receiver: Receiver, batch: Batch) -> Result:
    """Send ``batch`` the way that ``receiver`` is reached; that way is loaded where it is taken and not before."""
    if isinstance(receiver.to, Webhook):
        with importing.lock:
            from otel_llm.alert import webhook  # noqa: PLC0415

        return webhook.send(receiver.to, batch)
    if isinstance(receiver.to, Email):
        with importing.lock:
            from otel_llm.alert import mail  # noqa: PLC0415

        return mail.send(receiver.to, batch)
    with importing.lock:
        from otel_llm.alert import apprised  # noqa: PLC0415

    return apprised.send(receiver.to, batch)


class _Bucket(msgspec.Struct):
    """Lets `RATE` through in a minute, all of them at once where none went before."""

    tokens: float = float(RATE)
    at: float = 0.0

    def wait(self, now: float) -> float:
        """How long until the next may go [s]; takes it where that is now."""
        self.tokens = min(float(RATE), self.tokens + max(0.0, now - self.at) * RATE / 60)
        self.at = now
        if self.tokens < 1:
            return (1 - self.tokens) * 60 / RATE
        self.tokens -= 1
        return 0.0


class Desk(msgspec.Struct):
    """What is known of one receiver.

    Attributes:
        name: Its name.
        held_until: It failed, and is left alone until then [s].
        flushed: By group, when it was told last [s].
        settled: Rows that were sent and that the ledger does not know of yet.
        failing: Whether the last try failed.
        expects: Whether something was put down since its thread looked last.
    """

    name: str
    held_until: float = float("-inf")
    flushed: dict[str, float] = msgspec.field(default_factory=dict[str, float])
    bucket: _Bucket = msgspec.field(default_factory=_Bucket)
    settled: dict[str, Outcome] = msgspec.field(default_factory=dict[str, Outcome])
    failing: bool = False
    expects: bool = False
    lock: threading.Lock = msgspec.field(default_factory=threading.Lock)
    loop: supervisor.Loop | None = None


class _Pile(msgspec.Struct):
    """Rows that are told together."""

    route: Route
    key: str
    ripe_at: float = float("inf")
    rows: list[Row] = msgspec.field(default_factory=list[Row])


class Post:
    """Delivers what is told to the receivers of a `Plan`.

    Args:
        now: The clock of slots.
        wall: The date.

    Attributes:
        counts: Messages by receiver and outcome: ``sent``, ``failed`` (a try), ``dead``.
    """

    def __init__(self, *, now: Callable[[], float] = clock.now, wall: Callable[[], float] = time.time) -> None:
        self.counts: dict[tuple[str, str], int] = {}
        self._now = now
        self._wall = wall
        self._plan = Plan()
        self._firing: tuple[Message, ...] = ()
        self._owed: dict[str, Message] = {}
        self._desks: dict[str, Desk] = {}
        self._expected: set[str] = set()
        self._ledger: Ledger | None = None
        self._epoch = 0
        self._until = float("-inf")
        self._stopping = threading.Event()
        self._boot = clock.boot()
        self._pid = os.getpid()

    # --- the engine's side --------------------------------------------------------------------------------------

    def take(self, plan: Plan) -> None:
        """Deliver by ``plan`` from now on."""
        self._plan = plan
        self.look()

    def address(self, news: Sequence[Message], firing: Sequence[Message], owed: Sequence[Message]) -> Sequence[Row]:
        """A row for each receiver that is to hear of it."""
        now, wall = self._now(), self._wall()
        self._firing = tuple(firing)
        self._owed = {message.fingerprint: message for message in owed}
        silences = self._silences(self._ledger, wall)
        new = {message.identity for message in news}
        late = [message for message in owed if message.identity not in new]
        rows = [
            Row(
                identity=f"{name}:{message.identity}",
                receiver=name,
                message=message,
                next_at=now + (route.group_wait if message.status == "firing" else 0.0),
                created=wall,
                boot=self._boot,
            )
            for message in (*news, *late)
            if message.status == "resolved" or not self._is_muted(message, silences, wall)
            for name, route in self._plan.routes(message).items()
        ]
        self._expected.update(row.receiver for row in rows)
        return rows

    def deliver(self, ledger: Ledger, epoch: int) -> None:
        """Have threads deliver what waits in ``ledger``; this process judges for now, in ``epoch``."""
        if self._pid != os.getpid():  # a fork copied what belongs to the parent's threads
            self._pid, self._desks, self._ledger = os.getpid(), {}, None
        now = self._now()
        fresh = ledger is not self._ledger or now > self._until
        self._ledger, self._epoch, self._until = ledger, epoch, now + LEASE
        expected, self._expected = self._expected, set()
        for name in self._plan.receivers:
            if fresh or name in expected:
                self._rouse(self._desks.setdefault(name, Desk(name)))

    def look(self) -> None:
        """Have the next `deliver` look what waits for whom."""
        self._ledger = None

    def stop(self) -> None:
        """Send nothing more; what waits is in the ledger."""
        self._stopping.set()
        for desk in list(self._desks.values()):
            if desk.loop is not None:
                desk.loop.stop(0.0)

    def _rouse(self, desk: Desk) -> None:
        """Have the thread of ``desk`` look; start it where there is none."""
        with desk.lock:
            desk.expects = True
            if self._stopping.is_set():
                return
            if desk.loop is None:
                desk.loop = supervisor.Loop("delivery", partial(self._run, desk), where="alert.deliver")
            desk.loop.ensure()
        desk.loop.wake()

    def _silences(self, ledger: Ledger | None, wall: float) -> Sequence[Silence]:
        return () if ledger is None else ledger.silences(wall)

    def _is_muted(self, message: Message, silences: Sequence[Silence], wall: float) -> bool:
        return is_silenced(message.labels, silences, wall) or self._plan.inhibition.covers(message.labels, self._firing)

    # --- a receiver's side --------------------------------------------------------------------------------------

    def _run(self, desk: Desk, loop: supervisor.Loop) -> None:
        with suppress_instrumentation():
            while self._goes_on(desk, loop):
                desk.expects = False
                try:
                    pause = self._turn_while_judging(desk)
                except Exception:
                    desk.expects = True
                    raise
                if pause is not None:
                    desk.expects = True
                    loop.wait(min(max(pause, _SHORTEST), _AGAIN))

    def _goes_on(self, desk: Desk, loop: supervisor.Loop) -> bool:
        """Whether there is something to look for; where not, the thread ends."""
        with desk.lock:
            if desk.expects and not self._stopping.is_set() and desk.name in self._plan.receivers:
                return True
            loop.retire()
            return False

    def _turn_while_judging(self, desk: Desk) -> float | None:
        ledger, now = self._ledger, self._now()
        if ledger is None or now > self._until:
            return None
        due = self.turn(desk, ledger, self._epoch)
        return None if due is None else due - self._now()

    def turn(self, desk: Desk, ledger: Ledger, epoch: int) -> float | None:
        """Tell a receiver all that is to be told now, and that no judge before ``epoch`` is telling it.

        Returns:
            When there is more to do (clock of slots) [s]; ``None`` where nothing waits.
        """
        now, wall = self._now(), self._wall()
        if now < desk.held_until:
            return desk.held_until
        receiver = self._plan.receivers[desk.name]
        rows = ledger.due(desk.name, now + _longest_wait(self._plan.root), MOST)
        silences = self._silences(ledger, wall)
        told = [row for row in rows if self._is_to_be_told(desk, ledger, row, silences, wall)]
        next_at: float | None = now if len(told) < len(rows) else None
        for pile in sorted(self._pile(desk, told, now), key=lambda one: one.ripe_at):
            wait = 0.0 if pile.ripe_at > now else desk.bucket.wait(now)
            if pile.ripe_at > now or wait:
                return min(next_at or float("inf"), max(pile.ripe_at, now + wait))
            if self._stopping.is_set():
                return None
            pile.rows = list(ledger.claim(epoch, pile.rows, now))
            if not pile.rows:
                next_at = min(next_at or float("inf"), now + _AGAIN)
                continue
            result = carry(receiver, self._batch(desk, pile, silences, wall))
            self._settle(desk, ledger, pile, result)
            if result.outcome == "again":
                return desk.held_until
            next_at = now  # what was behind these rows may be due
        return next_at

    def _is_to_be_told(self, desk: Desk, ledger: Ledger, row: Row, silences: Sequence[Silence], wall: float) -> bool:
        """Whether ``row`` is still to be sent; settles it where not."""
        if row.identity in desk.settled:  # it was, and the ledger could not be told then
            ledger.settle(row, desk.settled[row.identity], 0.0, None)
            del desk.settled[row.identity]
            return False
        if wall - row.created > GIVE_UP:
            self._count(desk.name, "dead", 1)
            boundary.logger.warning("receiver %s: nobody took a message for a day; it is dropped", desk.name)
            ledger.settle(row, "dead", 0.0, "nobody took it for a day")
            return False
        message = row.message
        first = message.status == "firing" and not message.repeat and not row.attempts
        if first and self._is_muted(message, silences, wall):
            ledger.settle(row, "withdrawn", 0.0, None)
            return False
        return True

    def _pile(self, desk: Desk, rows: Sequence[Row], now: float) -> list[_Pile]:
        """``rows`` as they are told together: by group; what was tried before goes as it went."""
        piles: dict[tuple[str, float | None], _Pile] = {}
        for row in rows:
            route = self._plan.route(desk.name, row.message) or Route()
            group = route.key(row.message.labels)
            pile = piles.setdefault((group, row.next_at if row.attempts else None), _Pile(route, group))
            pile.ripe_at = min(pile.ripe_at, row.next_at if row.boot == self._boot else now)
            pile.rows.append(row)
        for (group, tried), pile in piles.items():
            if tried is None:
                pile.ripe_at = max(pile.ripe_at, desk.flushed.get(group, float("-inf")) + pile.route.group_interval)
        return list(piles.values())

    def _batch(self, desk: Desk, pile: _Pile, silences: Sequence[Silence], wall: float) -> Batch:
        messages = [row.message for row in pile.rows]
        told = {message.fingerprint for message in messages}
        still = any(
            pile.route.key(message.labels) == pile.key
            for message in self._owed.values()
            if message.fingerprint not in told
            and self._plan.route(desk.name, message) is not None
            and not self._is_muted(message, silences, wall)
        )
        return Batch(
            receiver=desk.name,
            group=pile.key,
            labels=pile.route.group(messages[0].labels),
            messages=messages,
            still=still,
        )

    def _settle(self, desk: Desk, ledger: Ledger, pile: _Pile, result: Result) -> None:
        now = self._now()
        next_at = 0.0
        if result.outcome == "again":
            next_at = now + max(_backoff(pile.rows[0].attempts), result.retry_after or 0.0)
            desk.held_until = next_at
            if not desk.failing:
                boundary.logger.warning("receiver %s: %s; it is tried again", desk.name, result.error)
        else:
            if len(desk.flushed) >= _FLUSHED:
                desk.flushed.clear()
            desk.flushed[pile.key] = now
            desk.settled.update(dict.fromkeys((row.identity for row in pile.rows), result.outcome))
            if result.outcome == "dead":
                boundary.logger.warning("receiver %s: %s; the message is dropped", desk.name, result.error)
        desk.failing = result.outcome == "again"
        self._count(desk.name, "failed" if result.outcome == "again" else result.outcome, len(pile.rows))
        for row in pile.rows:
            ledger.settle(row, result.outcome, next_at, result.error)
            desk.settled.pop(row.identity, None)

    def _count(self, receiver: str, outcome: str, messages: int) -> None:
        place = (receiver, outcome)
        self.counts[place] = self.counts.get(place, 0) + messages


def _backoff(attempts: int) -> float:
    """Until the next try [s]: 1, 2, 4, 8 ... 60, each a little more or less."""
    pause = min(LONGEST_BACKOFF, 2.0 ** min(attempts, 10))
    return pause * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - so that many do not come at once


def _longest_wait(route: Route) -> float:
    return max((route.group_wait, *(_longest_wait(one) for one in route.routes)))
