"""Room alert: samples of one series over time, and what any window of it holds. No I/O, no clock.

A series is a group of calls (``by``) or one reading of a machine. Its samples fall into slots of 5 s, and whole
windows are read from slots, so that an old sample leaves without being looked for and slots of several processes add
up. Slots older than a quarter of an hour are kept as minutes. A window of W seconds is the last W/5 slots, the open one
among them.

A `Measure` is a log2 histogram with 16 bins an octave, bin ``i`` for (2^((i-1)/16), 2^(i/16)]: at most 2.2 % off, and
index i-1 of OTLP's exponential histogram at scale 4.
"""

from collections.abc import Iterable, Iterator
from math import ceil, log2
from typing import Any, Final, Self

from otel_llm import ledger

SLOT: Final = ledger.SLOT
"""Width of a slot [s]; windows are multiples of it."""

MINUTE: Final = 60.0
"""Width of an old slot [s]."""

FINE: Final = 900.0
"""How long slots stay fine, and the longest window that is read from fine ones alone [s]."""

LONGEST: Final = 6 * 3600.0
"""The longest window [s]."""

OTHER: Final = "__other__"
"""What stands for every value beyond a bound."""

_PER_OCTAVE: Final = 16
_OUTERMOST: Final = 30 * _PER_OCTAVE
_SLOTS_A_MINUTE: Final = int(MINUTE / SLOT)
_MOST_TYPES: Final = 16


class Measure:
    """Values of one signal in one slot.

    Attributes:
        count: How many.
        total: Their sum.
        most: The greatest; meaningless while ``count`` is 0.
        least: The smallest; meaningless while ``count`` is 0.
        bins: How many above 0, by bin.
    """

    __slots__ = ("bins", "count", "least", "most", "total")

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        self.most = float("-inf")
        self.least = float("inf")
        self.bins: dict[int, int] = {}

    def add(self, value: float) -> None:
        """Take a finite value in."""
        self.count += 1
        self.total += value
        if value > self.most:  # noqa: PLR1730 - a call less, of which there is one a span and signal
            self.most = value
        if value < self.least:  # noqa: PLR1730
            self.least = value
        if value > 0.0:
            place = ceil(log2(value) * _PER_OCTAVE)
            if not -_OUTERMOST <= place <= _OUTERMOST:
                place = _OUTERMOST if place > 0 else -_OUTERMOST
            try:
                self.bins[place] += 1
            except KeyError:
                self.bins[place] = 1

    def merge(self, other: Self) -> None:
        """Take another's values in."""
        self.count += other.count
        self.total += other.total
        self.most = max(self.most, other.most)
        self.least = min(self.least, other.least)
        bins = self.bins
        for place, times in other.bins.items():
            bins[place] = bins.get(place, 0) + times

    def quantile(self, fraction: float) -> float:
        """The value at rank ``ceil(fraction * count)``, within 2.2 %; there is one."""
        if fraction >= 1:
            return self.most
        left = max(1, ceil(fraction * self.count)) - (self.count - sum(self.bins.values()))
        if left <= 0:
            return min(self.most, 0.0)
        for place in sorted(self.bins):
            left -= self.bins[place]
            if left <= 0:
                return min(max(float(2.0 ** ((place - 0.5) / _PER_OCTAVE)), self.least), self.most)
        return self.most


class Slot:
    """What happened in one stretch of time.

    Attributes:
        attempts: Finished attempts.
        resends: Those among them that repeated another.
        errors: Those that failed.
        types: Failed ones by ``error.type``, at most 16 of them.
        measures: Values by signal.
    """

    __slots__ = ("attempts", "errors", "measures", "resends", "types")

    def __init__(self) -> None:
        self.attempts = 0
        self.resends = 0
        self.errors = 0
        self.types: dict[str, int] = {}
        self.measures: dict[str, Measure] = {}

    def fail(self, error_type: str) -> None:
        """Count a failed attempt."""
        self.errors += 1
        types = self.types
        if error_type not in types and len(types) >= _MOST_TYPES:
            error_type = OTHER
        types[error_type] = types.get(error_type, 0) + 1

    def measure(self, signal: str, value: float) -> None:
        """Take a finite value of a signal in."""
        measure = self.measures.get(signal)
        if measure is None:
            measure = self.measures[signal] = Measure()
        measure.add(value)

    def merge(self, other: Self, only: str | None = None) -> None:
        """Take in what another holds; of its measures ``only`` that one, where given."""
        self.attempts += other.attempts
        self.resends += other.resends
        self.errors += other.errors
        for error_type, count in other.types.items():
            self.types[error_type] = self.types.get(error_type, 0) + count
        for signal, measure in other.measures.items():
            if only is None or signal == only:
                mine = self.measures.get(signal)
                if mine is None:
                    mine = self.measures[signal] = Measure()
                mine.merge(measure)

    def pack(self) -> list[Any]:
        """As plain values, for the store."""
        measures = {
            signal: [measure.count, measure.total, measure.most, measure.least, measure.bins]
            for signal, measure in self.measures.items()
        }
        return [self.attempts, self.resends, self.errors, self.types, measures]

    @classmethod
    def unpack(cls, packed: list[Any]) -> Self:
        """What `pack` made."""
        slot = cls()
        slot.attempts, slot.resends, slot.errors, types, measures = packed
        slot.types = dict(types)
        for signal, (count, total, most, least, bins) in measures.items():
            measure = slot.measures[signal] = Measure()
            measure.count, measure.total, measure.most, measure.least = count, total, most, least
            measure.bins = {int(place): times for place, times in bins.items()}
        return slot


class Window:
    """The slots of one series: this process's own, and those of others on the host.

    Args:
        longest: The longest window that is read [s].
    """

    __slots__ = ("_fine", "_last", "_long", "_minutes", "_open", "_others", "_others_minutes", "_reach")

    def __init__(self, longest: float) -> None:
        self._reach = longest
        self._fine: dict[int, Slot] = {}
        self._minutes: dict[int, Slot] = {}
        self._others: dict[tuple[str, int], Slot] = {}
        self._others_minutes: dict[int, Slot] = {}
        self._open: Slot | None = None
        self._last = -1

    def widen(self, longest: float) -> None:
        """Windows up to ``longest`` [s] are read from now on; what is held stays."""
        self._reach = max(self._reach, longest)

    @property
    def last(self) -> int:
        """The newest slot of this process, -1 for none."""
        return self._last

    def slot(self, number: int) -> Slot:
        """This process's slot ``number`` (time [s] // 5), to be written to."""
        if number == self._last and self._open is not None:
            return self._open
        slot = self._fine.get(number)
        if slot is None:
            slot = self._fine[number] = Slot()
            self._forget(number)
        if number > self._last:
            self._last = number
            self._open = slot
        return slot

    def replace(self, told: tuple[str, int], slot: Slot, now: int) -> None:
        """What another worker holds in the slot of that number; the newest word counts, and all are said once.

        Of old slots only their minute is kept, and nothing is said of them twice.
        """
        if told[1] < self._oldest(now):
            self._age(told[1], slot)
        else:
            self._others[told] = slot

    def forget_others(self) -> None:
        """Forget what other processes hold: it will be said anew."""
        self._others.clear()
        self._others_minutes.clear()

    def own(self, since: int) -> Iterator[tuple[int, Slot]]:
        """This process's fine slots from ``since`` on, with their numbers."""
        return ((number, slot) for number, slot in self._fine.items() if number >= since)

    def read(self, now: int, width: float, only: str | None = None) -> Slot:
        """What the ``width`` seconds up to slot ``now`` hold, of measures ``only`` one where given."""
        first = now - int(width / SLOT) + 1
        whole = Slot()
        for slot in self._between(first, now):
            whole.merge(slot, only)
        return whole

    def expire(self, now: int) -> None:
        """Forget what no window reaches any more."""
        oldest = self._oldest(now)
        for key in [key for key in self._others if key[1] < oldest]:
            self._age(key[1], self._others.pop(key))
        self._forget(now)

    def is_empty(self) -> bool:
        """Whether nothing is held."""
        return not (self._fine or self._minutes or self._others or self._others_minutes)

    def _between(self, first: int, last: int) -> Iterable[Slot]:
        for number, slot in self._fine.items():
            if first <= number <= last:
                yield slot
        for (_, number), slot in self._others.items():
            if first <= number <= last:
                yield slot
        for minutes in (self._minutes, self._others_minutes):
            for minute, slot in minutes.items():
                if first <= minute * _SLOTS_A_MINUTE <= last:
                    yield slot

    def _age(self, number: int, slot: Slot) -> None:
        """Keep of another worker's slot what long windows read."""
        if self._reach > FINE:
            self._others_minutes.setdefault(number // _SLOTS_A_MINUTE, Slot()).merge(slot)

    def _oldest(self, now: int) -> int:
        """The first fine slot that is kept."""
        return now - int(min(self._reach, FINE) / SLOT)

    def _forget(self, now: int) -> None:
        """Drop fine slots past their time; where long windows are read, add them to their minute."""
        oldest = self._oldest(now)
        for number in [number for number in self._fine if number < oldest]:
            slot = self._fine.pop(number)
            if self._reach > FINE:
                self._minutes.setdefault(number // _SLOTS_A_MINUTE, Slot()).merge(slot)
        for minutes in (self._minutes, self._others_minutes):
            oldest = (now - int(self._reach / SLOT)) // _SLOTS_A_MINUTE
            for minute in [minute for minute in minutes if minute < oldest]:
                del minutes[minute]
