"""Room store: many values of one measure, and their percentiles. No I/O, no clock.

Values are kept as they are, or counted in bins of a log2 histogram, or both. There are 16 bins an octave: bin ``i``
holds the values in (2^((i-1)/16), 2^(i/16)], index i-1 of OTLP's exponential histogram at scale 4. A value is told as
its bin's geometric middle, 2^((i-1/2)/16), which is off by 2^(1/32) - 1 = 2.19 % at most; what is not above 0 is told
as 0. Bins end at 2^-30 (a nanosecond) and at 2^30 (34 years): the outermost take what lies beyond. The least and the
greatest are exact, and nothing is told outside them.
"""

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate, chain, repeat
from math import ceil, fsum, log2
from operator import add, mul, sub
from struct import Struct
from typing import Final, Literal

_FEWEST_FOR_P99: Final = 100
_PER_OCTAVE: Final = 16
_OUTERMOST: Final = 30 * _PER_OCTAVE
_HEAD: Final = Struct("<ddQhB")
"""The least, the greatest, the count of what is not above 0, the first bin's place among all, the width of a count."""

_CODES: Final[dict[int, Literal["B", "H", "I", "Q"]]] = {1: "B", 2: "H", 4: "I", 8: "Q"}
"""Width of a count [byte] to the type code of `array`."""


class Spread:
    """Values and their percentiles.

    Attributes:
        values: Those kept as they are.
        least: Of those in bins.
        most: Of those in bins.
    """

    __slots__ = ("_bins", "_first", "_zeros", "least", "most", "values")

    def __init__(self) -> None:
        self.values: array[float] = array("d")
        self.least: float | None = None
        self.most: float | None = None
        self._zeros = 0
        self._first = 0
        self._bins: list[int] = []

    def add(self, values: Iterable[float]) -> None:
        """Take values in."""
        self.values.extend(values)

    def pack(self) -> bytes | None:
        """All values as bins: `_HEAD`, then the counts of the bins from the first to the last that is not empty."""
        values = sorted(self.values)
        low = bisect_right(values, 0.0) if values and values[0] <= 0.0 else 0
        zeros = self._zeros + low
        places = [*map(ceil, map(mul, map(log2, values[low:]), repeat(_PER_OCTAVE)))]
        if places and (places[0] < -_OUTERMOST or places[-1] > _OUTERMOST):
            places = [min(max(place, -_OUTERMOST), _OUTERMOST) for place in places]
        first, counts = self._first, self._bins
        if places:
            first, counts = self._widened(places[0] + _OUTERMOST, places[-1] + _OUTERMOST + 1)
            for place in places:
                counts[place + _OUTERMOST - first] += 1
        if not zeros and not counts:
            return None
        largest = max(counts, default=0)
        width = next(width for width in _CODES if largest < 1 << 8 * width)
        told = bytes(counts) if width == 1 else array(_CODES[width], counts).tobytes()
        return _HEAD.pack(*self._bounds(values), zeros, first, width) + told

    def unpack(self, packed: bytes | None) -> None:
        """Take in what `pack` made of other values."""
        if packed is None:
            return
        least, most, zeros, first, width = _HEAD.unpack_from(packed)
        self.least = least if self.least is None else min(self.least, least)
        self.most = most if self.most is None else max(self.most, most)
        self._zeros += zeros
        counts = memoryview(packed)[_HEAD.size :].cast(_CODES[width])
        if counts:
            self._first, self._bins = self._widened(first, first + len(counts))
            begin = first - self._first
            end = begin + len(counts)
            self._bins[begin:end] = map(add, self._bins[begin:end], counts)  # a summary's inner loop: in C

    def percentiles(self) -> dict[str, float | int | None] | None:
        """mean, p50, p90, p95, p99, max and count; ``None`` for no values, p99 ``None`` below 100 of them.

        Linear between the two nearest ranks, as numpy does by default.
        """
        total = len(self.values) + self._zeros + sum(self._bins)
        if not total:
            return None
        ranked = _Ranked(self.values, self._told(), *self._bounds(sorted(self.values)))
        return {
            "mean": ranked.mean(total),
            "p50": ranked.quantile(0.5),
            "p90": ranked.quantile(0.9),
            "p95": ranked.quantile(0.95),
            "p99": ranked.quantile(0.99) if total >= _FEWEST_FOR_P99 else None,
            "max": ranked.quantile(1),
            "count": total,
        }

    def _widened(self, low: int, high: int) -> tuple[int, list[int]]:
        """The first bin's place, and a copy of the bins with room for those from ``low`` to before ``high``."""
        if not self._bins:
            return low, [0] * (high - low)
        first, end = min(self._first, low), max(self._first + len(self._bins), high)
        return first, [0] * (self._first - first) + self._bins + [0] * (end - self._first - len(self._bins))

    def _told(self) -> list[tuple[float, int]]:
        """What is in bins: the value that a bin is told as and how often."""
        places = enumerate(self._bins, start=self._first - _OUTERMOST)
        told = [(2.0 ** ((place - 0.5) / _PER_OCTAVE), times) for place, times in places]
        return [(value, times) for value, times in [(0.0, self._zeros), *told] if times]

    def _bounds(self, ranked: Sequence[float]) -> tuple[float, float]:
        """The least and the greatest of all values, of which there is one; those not in bins in their order."""
        if not ranked:
            return self.least or 0.0, self.most or 0.0
        if self.least is None or self.most is None:
            return ranked[0], ranked[-1]
        return min(self.least, ranked[0]), max(self.most, ranked[-1])


class _Ranked:
    """Values in order, each as often as it came."""

    def __init__(self, values: Sequence[float], bins: Sequence[tuple[float, int]], least: float, most: float) -> None:
        if bins:
            clipped = [(min(max(value, least), most), times) for value, times in bins]
            pairs = sorted([*zip(values, repeat(1)), *clipped])
            self._values: Sequence[float] = [value for value, _ in pairs]
            self._ends: Sequence[int] = [*accumulate(times for _, times in pairs)]
        else:
            self._values = sorted(values)
            self._ends = range(1, len(values) + 1)
        self._most = most

    def mean(self, total: int) -> float:
        """The mean of all ``total`` values."""
        if isinstance(self._ends, range):
            return fsum(self._values) / total
        times = map(sub, self._ends, chain((0,), self._ends))
        return fsum(map(mul, self._values, times)) / total

    def quantile(self, fraction: float) -> float:
        """The value at ``fraction`` of the way from the least to the greatest."""
        last = self._ends[-1] - 1
        place = last * fraction
        low = int(place)
        if low >= last:
            return self._most
        below, above = (self._values[bisect_right(self._ends, rank)] for rank in (low, low + 1))
        return below + (above - below) * (place - low)
