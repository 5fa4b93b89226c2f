"""How near each provider's rate limits are, from the headers of its answers. Pure: time is an argument.

One series for each provider, model and host, and for each of requests and tokens. Providers say what is left; what
was used is how far that fell from one answer to the next, whoever used it. A rise is the window's renewal and tells
nothing.
"""

from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Final, NamedTuple, TypeAlias

Key: TypeAlias = tuple[tuple[str, str | bool | int | None], ...]
"""Names a series: attribute and value."""

WINDOW: Final = 60.0
"""Over how long consumption is told [s]."""

LASTS: Final = 300.0
"""How long what an answer said is taken to hold, where it does not say itself when the window is renewed [s]."""

MOST: Final = 200
"""Most series; the one that was heard of longest ago makes room."""

_SLICE: Final = 5.0
"""What is used is added up over so long at a time [s]."""

_SHORTEST: Final = 1.0
"""Less time than this says nothing of a rate [s]."""


class Said(NamedTuple):
    """What one answer says of one limit; ``None`` where it does not.

    Attributes:
        reset: Until the window is renewed [s].
    """

    remaining: int | None = None
    limit: int | None = None
    reset: float | None = None


class Saturation(NamedTuple):
    """How one limit stands.

    Attributes:
        reset: Until the window is renewed [s].
        time_to_limit: Until nothing is left, if all goes on as in the last minute [s]; ``None`` where nothing was used
            or too little is known.
    """

    remaining: int | None
    limit: int | None
    reset: float | None
    time_to_limit: float | None


class _Series:
    """What is known of one limit. Times are monotonic [s]."""

    __slots__ = ("_at", "_first_at", "_limit", "_remaining", "_reset_at", "_used")

    def __init__(self) -> None:
        self._at = self._first_at = float("-inf")
        self._remaining: int | None = None
        self._limit: int | None = None
        self._reset_at: float | None = None
        self._used: deque[tuple[float, int]] = deque(maxlen=round(WINDOW / _SLICE) + 1)

    def hear(self, said: Said, at: float) -> None:
        before = self._remaining if not self._is_over(at) else None
        if before is None:
            self._first_at = at
            self._used.clear()
        if said.remaining is not None:
            if before is not None and said.remaining < before:
                self._use(before - said.remaining, at)
            self._remaining = said.remaining
        if said.limit is not None:
            self._limit = said.limit
        self._reset_at = at + said.reset if said.reset is not None else None
        self._at = at

    def _use(self, number: int, at: float) -> None:
        start = at - at % _SLICE
        if self._used and self._used[-1][0] == start:
            number += self._used.pop()[1]
        self._used.append((start, number))

    def _is_over(self, at: float) -> bool:
        """Whether what was said holds no more: the window was renewed, or it is long ago."""
        return at > self._at + LASTS or (self._reset_at is not None and at >= max(self._reset_at, self._at + _SHORTEST))

    def tell(self, at: float) -> Saturation | None:
        if at > self._at + LASTS:
            return None
        if self._is_over(at):
            return Saturation(None, self._limit, None, None)
        reset = max(0.0, self._reset_at - at) if self._reset_at is not None else None
        return Saturation(self._remaining, self._limit, reset, self._forecast(at))

    def _forecast(self, at: float) -> float | None:
        if self._remaining is None:
            return None
        used = sum(number for start, number in self._used if start > at - WINDOW)
        since = min(WINDOW, at - self._first_at)
        return self._remaining * since / used if used and since >= _SHORTEST else None


class Limits:
    """The table of all series."""

    def __init__(self) -> None:
        self._series: OrderedDict[Key, _Series] = OrderedDict()

    def hear(self, key: Key, said: Said, at: float) -> None:
        """An answer of the series ``key`` said this at ``at`` (monotonic [s])."""
        series = self._series.get(key)
        if series is None:
            if len(self._series) >= MOST:
                self._series.popitem(last=False)
            series = self._series[key] = _Series()
        else:
            self._series.move_to_end(key)
        series.hear(said, at)

    def tell(self, at: float) -> Iterator[tuple[Key, Saturation]]:
        """How each limit stands at ``at`` (monotonic [s]); those that nothing is known of any more are left out."""
        for key, series in list(self._series.items()):
            told = series.tell(at)
            if told is not None:
                yield key, told
