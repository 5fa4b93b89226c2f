"""Room store: what a backend has been sent already, as ranges of time and of row ids. No I/O, no clock.

Who asks for the last hour today and for the last week tomorrow is sent what is missing, and nothing twice.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

FOREVER: Final = 2**63 - 1
"""[ns since the epoch] No latest start."""

MOST: Final = 16
"""Ranges kept; one forgotten costs duplicates, no loss."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Rows up to an id that began in a stretch of time.

    Attributes:
        since: Earliest start, inclusive [ns since the epoch].
        until: Latest start, exclusive [ns since the epoch].
        reached: Greatest row id.
    """

    since: int
    until: int
    reached: int = 0

    def covers(self, other: "Range") -> bool:
        """Whether every row of ``other`` is one of this."""
        return self.since <= other.since and self.until >= other.until and self.reached >= other.reached


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A range that is being sent, and what was sent before.

    Attributes:
        asked: What is being sent; its ``reached`` rises.
        before: What others sent.
    """

    asked: Range
    before: tuple[Range, ...] = ()

    @classmethod
    def resume(cls, since: int, until: int, before: Iterable[Range], newest: int) -> "Progress":
        """Where the sending of ``since`` to ``until`` goes on.

        Args:
            since: [ns since the epoch]
            until: [ns since the epoch]
            before: Ranges that were sent.
            newest: Greatest row id there is. What was sent beyond it was of rows that are gone, whose ids come again.
        """
        sound = tuple(range_ for range_ in before if range_.reached <= newest)
        wider = [range_.reached for range_ in sound if range_.since <= since and range_.until >= until]
        return cls(asked=Range(since=since, until=until, reached=max(wider, default=0)), before=sound)

    def on(self, reached: int) -> "Progress":
        """After everything up to the id ``reached`` was sent."""
        return replace(self, asked=replace(self.asked, reached=reached))

    def ranges(self) -> tuple[Range, ...]:
        """What is sent now: no range within another, at most `MOST`, the furthest ones."""
        kept: list[Range] = []
        for range_ in sorted((self.asked, *self.before), key=lambda one: (one.reached, one.until - one.since)):
            kept = [other for other in kept if not range_.covers(other)]
            if not any(other.covers(range_) for other in kept):
                kept.append(range_)
        return tuple(kept[-MOST:])

    def where(self, number: str, time: str) -> tuple[str, list[int]]:
        """SQL condition on the columns ``number`` and ``time`` for what is still to be sent, and its values."""
        condition = f"{number} > ? AND {time} >= ? AND {time} < ?"
        values = [self.asked.reached, self.asked.since, self.asked.until]
        for sent in self.before:
            if sent.reached > self.asked.reached:
                condition += f" AND NOT ({number} <= ? AND {time} >= ? AND {time} < ?)"
                values += [sent.reached, sent.since, sent.until]
        return condition, values


def packed(ranges: Sequence[Range]) -> list[list[int]]:
    """``ranges`` as plain lists."""
    return [[range_.since, range_.until, range_.reached] for range_ in ranges]


def unpacked(lists: Iterable[Sequence[int]]) -> tuple[Range, ...]:
    """The ranges that `packed` wrote."""
    return tuple(Range(since=since, until=until, reached=reached) for since, until, reached in lists)
