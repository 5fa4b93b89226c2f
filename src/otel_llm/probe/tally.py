"""Room probe: totals out of what devices count. No I/O, and time is an argument.

A device's counter may wrap, or begin anew with its driver; the total made of it never falls. Totals go from the GPU
sources into readings and into the ledger of energy.
"""

from typing import Final

import msgspec

_SLACK: Final = 1.0
"""Devices bring their counters up to date now and then: a step may hold this much more time than has passed [s]."""

_MOST_GAP: Final = 60.0
"""Longest time between two samples that a line is drawn through [s]."""


class Tally(msgspec.Struct, kw_only=True):
    """A total since the first look, from a counter that may wrap or be reset.

    Attributes:
        fastest: More than this a second is no count, but the mark of a wrap or a reset.
        wrap: Where the counter may wrap; ``None`` where it is wide enough never to.
        total: What was counted since the first look.
    """

    fastest: float
    wrap: int | None = None
    total: int = 0
    _last: int | None = None
    _at: float = 0.0

    def feed(self, count: int, now: float) -> int:
        """The total with ``count``, the device's own, as it stood at ``now`` [s]."""
        if self._last is not None:
            most = self.fastest * (max(0.0, now - self._at) + _SLACK)
            step = count - self._last
            # Fallen: it wrapped, or it began anew and has counted this much since.
            wrapped = step + self.wrap if self.wrap else -1
            steps = (step,) if step >= 0 else (wrapped, count)
            self.total += next((likely for likely in steps if 0 <= likely <= most), 0)
        self._last, self._at = count, now
        return self.total


class Integral(msgspec.Struct, kw_only=True):
    """A rate added up over time by trapezoids, as energy from samples of power.

    Attributes:
        total: The integral since the first sample, without the gaps that no sample covers.
    """

    total: float = 0.0
    _last: float | None = None
    _at: float = 0.0

    def feed(self, rate: float, now: float) -> float:
        """The total with a sample of ``rate`` at ``now`` [s]."""
        if self._last is not None and 0.0 < now - self._at <= _MOST_GAP:
            self.total += (self._last + rate) / 2 * (now - self._at)
        self._last, self._at = rate, now
        return self.total
