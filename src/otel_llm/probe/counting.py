"""Room probe: counters of the machine made into counts since we first saw them. No I/O, no clock.

The kernel counts since boot, a card since its driver was loaded; a device may be taken out and a counter may wrap. A
count that starts at 0 when it is first seen and never falls can be summed over restarts and reporters.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from otel_llm.probe.reading import Reading

_MAX_SERIES: Final = 2000


class Counts:
    """What each counter has grown by since it was first seen.

    Args:
        names: The metrics that are counters; readings of others pass unchanged.
        own: Those of them that began at 0 in this process, and are counted from there.
    """

    def __init__(self, names: frozenset[str], own: frozenset[str] = frozenset()) -> None:
        self._names = names
        self._own = own
        self._series: dict[tuple[str, frozenset[tuple[str, str | int]]], tuple[float, float]] = {}

    def since(self, readings: Sequence[Reading]) -> list[Reading]:
        """``readings`` with counters counted from their first reading.

        What a counter that fell did before it fell is not known: its count goes on from where it was. One of the
        process's own that fell is that of a forked child, and began again at 0. Beyond 2,000 series, new ones are left
        out.
        """
        return [
            reading if reading.name not in self._names else reading._replace(value=value)
            for reading in readings
            if (value := self._count(reading)) is not None
        ]

    def _count(self, reading: Reading) -> float | None:
        if reading.name not in self._names:
            return reading.value
        key = (reading.name, _identity(reading.attributes))
        own = reading.name in self._own
        last, count = self._series.get(key, (0 if own else reading.value, 0))
        if key not in self._series and len(self._series) >= _MAX_SERIES:
            return None
        count += reading.value if own and reading.value < last else max(0, reading.value - last)
        self._series[key] = (reading.value, count)
        return count


def _identity(attributes: Mapping[str, str | int]) -> frozenset[tuple[str, str | int]]:
    return frozenset(attributes.items())
