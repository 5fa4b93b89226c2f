"""Room store: many values of one measure, and their percentiles. No I/O, no clock.

Values are kept as they are, or counted in bins of a log2 histogram, or both. There are 16 bins an octave: bin ``i``
holds the values in (2^((i-1)/16), 2^(i/16)], index i-1 of OTLP's exponential histogram at scale 4. A value is told as
its bin's geometric middle, 2^((i-1/2)/16), which is off by 2^(1/32) - 1 = 2.19 % at most; what is not above 0 is told
as 0. The least and the greatest are exact, and nothing is told outside them.
"""

from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import accumulate, repeat
from math import ceil, log2
from operator import mul
from typing import Final

import msgspec

_FEWEST_FOR_P99: Final = 100
_PER_OCTAVE: Final = 16
_NONE: Final = -20_000
"""The bin of what is not above 0: below that of any double."""

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(list[float | int]).decode


class Spread:
    """Values and their percentiles.

    Attributes:
        values: Those kept as they are.
        least: Of those in bins.
        most: Of those in bins.
    """

    __slots__ = ("_bins", "least", "most", "values")

    def __init__(self) -> None:
        self.values: array[float] = array("d")
        self.least: float | None = None
        self.most: float | None = None
        self._bins: Counter[int] = Counter()

    def add(self, values: Iterable[float]) -> None:
        """Take values in."""
        self.values.extend(values)

    def pack(self) -> bytes | None:
        """All values as bins: the least, the greatest, then of each bin its distance from the last and its count."""
        bins = Counter(self._bins)
        _count(self.values, bins)
        if not bins:
            return None
        least, most = self._bounds()
        told: list[float | int] = [least, most]
        before = 0
        for place in sorted(bins):
            told += (place - before, bins[place])
            before = place
        return _encode(told)

    def unpack(self, packed: bytes | None) -> None:
        """Take in what `pack` made of other values."""
        if packed is None:
            return
        told = _decode(packed)
        self.least = told[0] if self.least is None else min(self.least, told[0])
        self.most = told[1] if self.most is None else max(self.most, told[1])
        bins = self._bins
        for place, count in zip(accumulate(told[2::2]), told[3::2], strict=True):
            bins[place] += count  # type: ignore[index, assignment] # pyright: ignore[reportArgumentType]

    def percentiles(self) -> dict[str, float | int | None] | None:
        """p50, p90, p95, p99, max and count; ``None`` for no values, p99 ``None`` below 100 of them.

        Linear between the two nearest ranks, as numpy does by default.
        """
        count = len(self.values) + self._bins.total()
        if not count:
            return None
        ranked = _Ranked(self.values, self._bins, *self._bounds())
        return {
            "p50": ranked.quantile(0.5),
            "p90": ranked.quantile(0.9),
            "p95": ranked.quantile(0.95),
            "p99": ranked.quantile(0.99) if count >= _FEWEST_FOR_P99 else None,
            "max": ranked.quantile(1),
            "count": count,
        }

    def _bounds(self) -> tuple[float, float]:
        """The least and the greatest of all values; there is one."""
        known = [*(bound for bound in (self.least, self.most) if bound is not None)]
        if self.values:
            known += (min(self.values), max(self.values))
        return min(known), max(known)


class _Ranked:
    """Values in order, each as often as it came."""

    def __init__(self, values: Sequence[float], bins: Counter[int], least: float, most: float) -> None:
        if bins:
            pairs = sorted(
                [*zip(values, repeat(1)), *((min(max(_middle(place), least), most), bins[place]) for place in bins)]
            )
            self._values: Sequence[float] = [value for value, _ in pairs]
            self._ends: Sequence[int] = [*accumulate(count for _, count in pairs)]
        else:
            self._values = sorted(values)
            self._ends = range(1, len(values) + 1)
        self._most = most

    def quantile(self, fraction: float) -> float:
        """The value at ``fraction`` of the way from the least to the greatest."""
        last = self._ends[-1] - 1
        place = last * fraction
        low = int(place)
        if low >= last:
            return self._most
        below, above = (self._values[bisect_right(self._ends, rank)] for rank in (low, low + 1))
        return below + (above - below) * (place - low)


def _count(values: Sequence[float], bins: Counter[int]) -> None:
    """Put ``values`` into ``bins``; the loop is in C."""
    if not values:
        return
    if min(values) <= 0:
        bins[_NONE] += sum(1 for value in values if value <= 0)
        values = [value for value in values if value > 0]
    bins.update(map(ceil, map(mul, map(log2, values), repeat(_PER_OCTAVE))))


def _middle(place: int) -> float:
    return 0.0 if place == _NONE else float(2.0 ** ((place - 0.5) / _PER_OCTAVE))
