"""Room alert: the same rules over what happened before. No I/O, no clock: time is the samples' own.

Calls come in the order in which they began, are counted when they ended, and in between are in flight. Only those are
held that have not ended yet, so that a day is replayed in the memory of its busiest moment.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from math import ceil, gcd
from typing import Any, Final, Generic, TypeVar

from otel_llm.alert.board import Board
from otel_llm.alert.judge import Change, Judge
from otel_llm.alert.rule import Rule
from otel_llm.alert.signal import attempt

INFLIGHT: Final = "inflight_max_age"

Call = tuple[float, float, Mapping[str, Any], bool]
"""Start and end (wall clock) [s], attributes, whether it failed."""
Reading = tuple[float, str, float, Mapping[str, Any]]
"""When (wall clock) [s], metric, value, attributes."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A change and when it would have come about.

    Attributes:
        at: (wall clock) [s]
    """

    at: float
    change: Change


class Stage:
    """A board and a judge whose clock is moved by hand.

    Args:
        rules: To be judged.
        gauge_interval: How often gauges are read [s].
    """

    def __init__(self, rules: Sequence[Rule], gauge_interval: float = 10.0) -> None:
        self.board = Board(rules)
        self.judge = Judge(rules, self.board, gauge_interval)
        self.step = float(max(1, gcd(*(max(1, round(rule.interval)) for rule in rules)))) if rules else 10.0

    def tick(self, at: float) -> list[Change]:
        """What the rules whose time has come say at ``at`` [s]."""
        changes = self.judge.tick(at, at)
        self.board.expire(at, self.judge.needs)
        return changes

    def is_at_rest(self) -> bool:
        """Whether nothing will change before the next sample."""
        return not self.board.count() and not any(alert.state != "inactive" for alert in self.judge.alerts.values())


def replay(rules: Sequence[Rule], calls: Iterable[Call], readings: Iterable[Reading], until: float) -> Iterator[Moment]:
    """Every change of a state, in its order.

    Args:
        rules: To be judged.
        calls: In the order of their starts.
        readings: In the order of their times.
        until: When to stop (wall clock) [s].
    """
    stage = Stage(rules)
    begun, read = _Peek(calls), _Peek(readings)
    flying: list[tuple[float, int, Call]] = []
    number = 0
    at = _first(stage, begun, read)
    while at <= until:
        while begun.head is not None and begun.head[0] <= at:
            number += 1
            heappush(flying, (begun.head[1], number, begun.head))
            begun.next()
        while flying and flying[0][0] <= at:
            start, end, attributes, failed = heappop(flying)[2]
            stage.board.fold(attempt(attributes, end - start, failed=failed, at=end))
        while read.head is not None and read.head[0] <= at:
            when, metric, value, attributes = read.head
            stage.board.read(metric, value, attributes, when)
            read.next()
        if flying:
            stage.board.read(INFLIGHT, at - min(call[0] for _, _, call in flying), {}, at)
        for change in stage.tick(at):
            if change.before != change.alert.state or change.notice is not None:
                yield Moment(at=at, change=change)
        at += stage.step
        if not flying and stage.is_at_rest():
            at = max(at, _first(stage, begun, read))


def _first(stage: Stage, begun: "_Peek[Call]", read: "_Peek[Reading]") -> float:
    """The tick after the next sample [s]."""
    heads = [head[0] for head in (begun.head, read.head) if head is not None]
    return ceil(min(heads) / stage.step) * stage.step if heads else float("inf")


class _Peek(Generic[_T]):
    """An iterator whose next item can be seen before it is taken.

    Attributes:
        head: The next item, ``None`` at the end.
    """

    def __init__(self, items: Iterable[_T]) -> None:
        self._items = iter(items)
        self.head: _T | None = next(self._items, None)

    def next(self) -> None:
        """Take it."""
        self.head = next(self._items, None)
