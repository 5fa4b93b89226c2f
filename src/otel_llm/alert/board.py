"""Room alert: all series of a process, and how samples get into them. No I/O, no clock.

Fifty rules read what one span is written into once: rules with the same `Group` share its series. The number of series
is bounded, a group's by its rules' ``max_instances`` and all together by `MOST`; what comes beyond goes into one series
that stands for the rest.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import isfinite
from typing import Any, Final

from otel_llm.alert.rule import Group, Labels, Rule, label_name, label_value, needs
from otel_llm.alert.signal import MEASURED, Attempt
from otel_llm.alert.window import OTHER, SLOT, Slot, Window

MOST: Final = 512
"""Series of one process, over all groups."""

IDLE: Final = 900.0
"""A series that no alert needs is forgotten after its window or this long without a sample [s]."""

_SHORT: Final = 256
"""Longest value whose series is remembered [character]."""

_ABSENT: Final = "unknown"
"""The label's value where a call does not have the attribute."""


class Series:
    """One group's series.

    Attributes:
        group: What they have in common.
        names: The labels of ``group.by``, in its order.
        signals: Those that are read.
        measured: Those among them that have values of their own.
        width: The longest window that is read [s].
        windows: By the values of the attributes in ``group.by``.
        folded: Samples that went into the series for the rest.
    """

    __slots__ = ("_allowed", "_take", "folded", "group", "measured", "names", "signals", "width", "windows")

    def __init__(self, group: Group, width: float) -> None:
        self.group = group
        self.names = tuple(map(label_name, group.by))
        self.signals: frozenset[str] = frozenset()
        self.measured: tuple[str, ...] = ()
        self.width = width
        self.windows: dict[tuple[str, ...], Window] = {}
        self.folded = 0
        self._take = _reader(group.by)
        self._allowed = tuple((name, frozenset(values)) for name, values in group.where)

    def widen(self, width: float) -> None:
        """Windows up to ``width`` [s] are read from now on."""
        if width > self.width:
            self.width = width
            for window in self.windows.values():
                window.widen(width)

    def key(self, attributes: Mapping[str, Any]) -> tuple[str, ...] | None:
        """Which series ``attributes`` belong to; ``None`` for none of this group."""
        for name, values in self._allowed:
            value = attributes.get(name)
            if value not in values and str(value) not in values:
                return None
        return self._take(attributes)

    def labels(self, key: tuple[str, ...]) -> Labels:
        """The labels of a series, sorted."""
        return tuple(sorted(zip(self.names, key, strict=True)))


_Place = tuple[Slot, tuple[str, ...], Series | None]
"""Where a call is counted: a slot, the signals that are measured there, and the series where it stands for the rest."""


class Board:
    """Every series that the rules read.

    Args:
        rules: The rules.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.series: dict[Group, Series] = {}
        self._calls: list[Series] = []
        self._names: tuple[str, ...] = ()
        self._number = -1
        self._open: dict[tuple[Any, ...], list[_Place]] = {}
        self._gauges: dict[str, list[Series]] = {}
        self.resize(rules)

    def resize(self, rules: Sequence[Rule]) -> None:
        """Make series for new rules and drop those of rules that are gone; others keep what they hold."""
        kept: dict[Group, Series] = {}
        for group, need in needs(rules).items():
            old = self.series.get(group)
            series = old if old is not None else Series(group, need.width)
            series.widen(need.width)
            series.signals = need.signals
            series.measured = tuple(sorted(need.signals & MEASURED))
            kept[group] = series
        self.series = kept
        self._calls = [series for series in kept.values() if series.group.source is None]
        named = {
            name for series in self._calls for name in (*series.group.by, *(pair[0] for pair in series.group.where))
        }
        self._names = tuple(sorted(named))
        self._open = {}
        self._gauges = {}
        for series in kept.values():
            if series.group.source is not None:
                self._gauges.setdefault(series.group.source[0], []).append(series)

    def fold(self, attempt: Attempt) -> None:
        """Take a finished attempt in."""
        number = int(attempt.at / SLOT)
        if number != self._number:
            self._number, self._open = number, {}
        get = attempt.attributes.get
        said = tuple([get(name) for name in self._names])
        try:
            places = self._open.get(said)
        except TypeError:  # a list is no key
            places = None
        if places is None:
            places = self._places(said, attempt.attributes, number)
        error, resend, measures = attempt.error, attempt.resend, attempt.measures
        for slot, measured, rest in places:
            slot.attempts += 1
            if resend:
                slot.resends += 1
            if error is not None:
                slot.fail(error)
            if rest is not None:
                rest.folded += 1
            for signal in measured:
                if signal in measures:
                    slot.measure(signal, measures[signal])

    def read(self, metric: str, value: float, attributes: Mapping[str, Any], at: float) -> None:
        """Take a reading of a machine in."""
        for series in self._gauges.get(metric, ()):
            source = series.group.source
            if source is not None and all(attributes.get(name, "") == wanted for name, wanted in source[1]):
                key = series.key(attributes)
                if key is not None and isfinite(value):
                    window, kept = self._window(series, key)
                    window.slot(int(at / SLOT)).measure(metric, value)
                    series.folded += not kept

    def replace(self, group: Group, key: tuple[str, ...], told: tuple[str, int], slot: Slot, now: int) -> None:
        """What another worker holds.

        Args:
            group: Of its series.
            key: The series.
            told: The worker, and the slot's number.
            slot: What is in it.
            now: The number of the slot that is open now.
        """
        series = self.series.get(group)
        if series is not None:
            window, kept = self._window(series, key)
            window.replace(told, slot, now)
            series.folded += not kept

    def forget_others(self) -> None:
        """Forget what other processes hold: it will be said anew."""
        for series in self.series.values():
            for window in series.windows.values():
                window.forget_others()

    def changed(self, since: int) -> Iterator[tuple[Series, tuple[str, ...], int, Slot]]:
        """This process's slots from number ``since`` on."""
        for series in self.series.values():
            for key, window in series.windows.items():
                if window.last >= since:
                    for number, slot in window.own(since):
                        yield series, key, number, slot

    def expire(self, now: float, needed: Callable[[Group, tuple[str, ...]], bool]) -> None:
        """Forget old slots, and series that are idle and not ``needed`` by an alert."""
        number = int(now / SLOT)
        for group, series in self.series.items():
            oldest = number - int(max(series.width, IDLE) / SLOT)
            for key, window in list(series.windows.items()):
                window.expire(number)
                if window.last < oldest and window.is_empty() and not needed(group, key):
                    del series.windows[key]

    def count(self) -> int:
        """Series at present."""
        return sum(len(series.windows) for series in self.series.values())

    def folded(self) -> int:
        """Samples that went into series for the rest."""
        return sum(series.folded for series in self.series.values())

    def _places(self, said: tuple[Any, ...], attributes: Mapping[str, Any], number: int) -> list[_Place]:
        """The slots of a call; remembered while they are open, for calls are alike in what tells series apart."""
        found: list[_Place] = []
        for series in self._calls:
            key = series.key(attributes)
            if key is not None:
                window, kept = self._window(series, key)
                found.append((window.slot(number), series.measured, None if kept else series))
        # only texts, for True is 1 to a dictionary, and short ones, for what is remembered is bounded
        short = all(value is None or (type(value) is str and len(value) <= _SHORT) for value in said)
        if short and len(self._open) < 2 * MOST:
            self._open[said] = found
        return found

    def _window(self, series: Series, key: tuple[str, ...]) -> tuple[Window, bool]:
        """The window of ``key``, and whether it is its own; else it is the one for the rest."""
        window = series.windows.get(key)
        if window is not None:
            return window, True
        rest = (OTHER,) * len(key)
        if key and key != rest and (len(series.windows) >= series.group.most or self.count() >= MOST):
            return self._window(series, rest)[0], False
        window = series.windows[key] = Window(series.width)
        return window, True


def _reader(by: tuple[str, ...]) -> Callable[[Mapping[str, Any]], tuple[str, ...]]:
    """A function that gives the values of the attributes ``by``."""
    cleaned: dict[Any, str] = {}

    def clean(value: Any) -> str:
        if value is None:
            return _ABSENT
        text = cleaned.get(value) if type(value) is str else None
        if text is None:
            text = label_value(value)
            if len(cleaned) < MOST and type(value) is str:
                cleaned[value] = text
        return text

    if not by:
        return lambda _: ()
    if len(by) == 1:
        (only,) = by
        return lambda attributes: (clean(attributes.get(only)),)
    return lambda attributes: tuple([clean(attributes.get(name)) for name in by])
