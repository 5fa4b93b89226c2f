"""Room probe: the energy of a model server's cards shared among the calls that it served. No I/O, no clock.

`meter` notes what the cards have taken and when calls begin and end. A call's share of each moment is by output tokens:
its tokens spread evenly over its time, against those of the calls beside it. What the cards take at rest is kept apart.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Mapping
from typing import Final

import msgspec

SHORTEST: Final = 0.2
"""A call must last this long: counters are brought up to date every 20 to 100 ms [s]."""

MOST_CALLS: Final = 128
"""Calls that may overlap with one; beyond them there are no shares, as working them out would cost the host's time."""

_REACH: Final = 0.3
"""How far beyond the first and the last sample a call may begin and end [s]."""

_MOST_GAP: Final = 2.0
"""Samples further apart than this are not one stretch [s]."""

_MOST_SAMPLES: Final = 6000


class Window(msgspec.Struct, kw_only=True, eq=False):
    """The time of one call.

    Attributes:
        end: ``None`` while it lasts.
        rate: Output tokens a second; ``None`` where nobody said.
    """

    start: float
    end: float | None = None
    rate: float | None = None


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """What a call took.

    Attributes:
        active: Above rest where `idle` is known, else all of it [J].
        idle: Its share of what the cards take at rest [J].
        sampled: Whether it was added up from samples of power, not from the cards' counters.
    """

    active: float
    idle: float | None
    sampled: bool


class Ledger(msgspec.Struct):
    """What the cards of one server took, and its calls.

    A sample is when, joules above rest, and joules at rest, both since the stretch began.
    """

    _times: deque[float] = msgspec.field(default_factory=lambda: deque(maxlen=_MOST_SAMPLES))
    _sums: deque[tuple[float, float]] = msgspec.field(default_factory=lambda: deque(maxlen=_MOST_SAMPLES))
    _last: Mapping[str, float] = msgspec.field(default_factory=dict)
    _rest: Mapping[str, float] = msgspec.field(default_factory=dict)
    _sampled: bool = False
    _open: list[Window] = msgspec.field(default_factory=list)
    _ended: deque[Window] = msgspec.field(default_factory=lambda: deque(maxlen=MOST_CALLS))

    @property
    def is_open(self) -> bool:
        """Whether a call lasts."""
        return bool(self._open)

    def note(self, now: float, joules: Mapping[str, float], rest: Mapping[str, float], *, sampled: bool) -> None:
        """Take a sample.

        Args:
            now: When it was taken [s].
            joules: By card, what it has taken since some moment [J].
            rest: By card, what it draws at rest, where that is known [W].
            sampled: Whether any of it is made of samples of power.
        """
        gap = now - self._times[-1] if self._times else 0.0
        known = {card: rest[card] for card in joules if card in rest} if joules.keys() <= rest.keys() else {}
        if not self._times or gap <= 0 or gap > _MOST_GAP or joules.keys() != self._last.keys() or known != self._rest:
            self._times.clear()
            self._sums.clear()
            self._sums.append((0.0, 0.0))
            self._sampled = sampled
        else:
            idle = sum(known.values()) * gap
            taken = sum(joules[card] - self._last[card] for card in joules)
            active, rested = self._sums[-1]
            self._sums.append((active + taken - idle, rested + idle))
            self._sampled |= sampled
        self._times.append(now)
        self._last, self._rest = dict(joules), known

    def begin(self, now: float) -> Window | None:
        """A call begins; ``None`` where there are too many."""
        if len(self._open) >= MOST_CALLS:
            return None
        window = Window(start=now)
        self._open.append(window)
        return window

    def end(self, window: Window, now: float, tokens: int | None) -> Share | None:
        """A call ends; its share, or ``None`` where that cannot be told."""
        if window not in self._open:
            return None
        self._open.remove(window)
        window.end = now
        lasted = now - window.start
        window.rate = tokens / lasted if tokens and lasted > 0 else None
        beside = [
            one
            for one in (*self._ended, *self._open)
            if one.start < now and (one.end is None or one.end > window.start)
        ]
        full = len(self._ended) == MOST_CALLS and (self._ended[0].end or now) > window.start
        self._ended.append(window)
        if lasted < SHORTEST or full or not self._covers(window.start, now):
            return None
        active, idle = self._apportion(window, now, beside)
        return Share(active=max(0.0, active), idle=idle if self._rest else None, sampled=self._sampled)

    def forget(self, before: float) -> None:
        """Let go of calls that began before then: nobody will end them."""
        self._open = [window for window in self._open if window.start >= before]

    def _apportion(self, window: Window, end: float, beside: list[Window]) -> tuple[float, float]:
        """Sweep over the moments at which a call beside this one begins or ends."""
        rates = [one.rate for one in (window, *beside) if one.rate is not None]
        usual = sum(rates) / len(rates) if rates else 1.0
        own = window.rate if window.rate is not None else usual
        together = own
        changes: list[tuple[float, float]] = []
        for one in beside:
            rate = one.rate if one.rate is not None else usual
            if one.start <= window.start:
                together += rate
            else:
                changes.append((one.start, rate))
            if one.end is not None:
                changes.append((one.end, -rate))
        changes.sort()
        changes.append((end, 0.0))
        active = idle = 0.0
        before = self._at(window.start)
        for moment, change in changes:
            after = self._at(moment)
            part = own / together if together > 0 else 1.0
            active += (after[0] - before[0]) * part
            idle += (after[1] - before[1]) * part
            before = after
            together = max(own, together + change)
        return active, idle

    def _covers(self, start: float, end: float) -> bool:
        times = self._times
        return len(times) > 1 and times[0] - start <= _REACH and end - times[-1] <= _REACH

    def _at(self, moment: float) -> tuple[float, float]:
        """The sums at a moment, by a line between samples; beyond the last by the line that led there."""
        times = self._times
        place = min(max(bisect_right(times, moment), 1), len(times) - 1)
        early, late = times[place - 1], times[place]
        part = max(0.0, moment - early) / (late - early)
        (active, idle), (active_then, idle_then) = self._sums[place - 1], self._sums[place]
        return active + (active_then - active) * part, idle + (idle_then - idle) * part
