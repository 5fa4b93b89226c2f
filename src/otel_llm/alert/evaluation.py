"""Room alert: what a rule's conditions say of its series at one moment. No I/O, no clock.

`Evaluation` is one look: series are merged once for all rules that read the same window.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from otel_llm.alert.board import Board, Series
from otel_llm.alert.rule import REASON, Condition, Group, Labels, Rule
from otel_llm.alert.signal import QUANTILES
from otel_llm.alert.state import Verdict
from otel_llm.alert.window import SLOT, Slot

_STALE: Final = 3
"""A gauge that missed this many readings has no data."""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A statistic and what it was made of.

    Attributes:
        value: ``None`` where nothing was measured.
        samples: How many.
    """

    value: float | None
    samples: int


class Evaluation:
    """One look at the board.

    Args:
        board: What is known.
        now: On the clock of slots [s].
        gauge_interval: How often gauges are read [s].
    """

    def __init__(self, board: Board, now: float, gauge_interval: float = 10.0) -> None:
        self._board = board
        self._now = int(now / SLOT)
        self._fresh = max(SLOT, _STALE * gauge_interval)
        self._merged: dict[tuple[Group, tuple[str, ...], float, str | None], Slot] = {}

    def instances(self, rule: Rule) -> Iterator[Labels]:
        """The labels of every alert that ``rule`` may have now: those of the series of its first condition."""
        condition = rule.conditions[0]
        series = self._board.series.get(condition.group)
        if series is None:
            return
        if not condition.group.by:
            yield ()
            return
        for key in list(series.windows):
            yield series.labels(key)

    def judge(self, rule: Rule, labels: Labels, *, firing: bool) -> Verdict:
        """What the windows say about the alert of ``rule`` with ``labels``."""
        if firing_on_silence := dict(labels).get(REASON) == "no_data":
            labels = tuple(pair for pair in labels if pair[0] != REASON)
        verdict = self._judge(rule, labels, firing=firing and not firing_on_silence)
        if firing_on_silence:
            return Verdict(data="breach" if verdict.data == "no_data" else "clear")
        return verdict

    def _judge(self, rule: Rule, labels: Labels, *, firing: bool) -> Verdict:
        value: float | None = None
        samples = 0
        clear = False
        worst: Verdict | None = None
        for index, condition in enumerate(rule.conditions):
            found = self.look(condition, labels)
            if index == 0:
                value, samples = found.value, found.samples
            if found.samples == 0 and (condition.min_samples > 0 or found.value is None):
                worst = Verdict(data="no_data")
            elif found.samples < condition.min_samples or found.value is None:
                worst = worst or Verdict(data="insufficient", value=value, samples=samples)
            elif not condition.breached(found.value, firing=firing):
                clear = True
        if worst is not None and not (clear and len(rule.conditions) > 1):
            return worst if worst.data == "no_data" else Verdict(data="insufficient", value=value, samples=samples)
        return Verdict(data="clear" if clear else "breach", value=value, samples=samples)

    def look(self, condition: Condition, labels: Labels) -> Found:
        """The statistic of ``condition`` for the series with ``labels``; labels that it does not have are left out."""
        series = self._board.series.get(condition.group)
        if series is None:
            return Found(value=None, samples=0)
        key = _key(series, labels)
        if key is None or key not in series.windows:
            return Found(value=None, samples=0)
        kind = condition.about.kind
        if kind == "ratio":
            return _ratio(condition, self._read(condition, key, ""))
        if kind == "rate":
            slot = self._read(condition, key, "")
            calls = slot.attempts - slot.resends
            return Found(value=calls / condition.window, samples=calls)
        name = condition.group.source[0] if condition.group.source is not None else condition.signal
        if kind == "gauge":
            latest = self._merge(condition.group, key, min(condition.window, self._fresh), name)
            if name not in latest.measures:
                return Found(value=None, samples=0)
        return _statistic(condition, self._read(condition, key, name), name)

    def _read(self, condition: Condition, key: tuple[str, ...], only: str) -> Slot:
        return self._merge(condition.group, key, condition.window, only)

    def _merge(self, group: Group, key: tuple[str, ...], width: float, only: str) -> Slot:
        place = (group, key, width, only)
        slot = self._merged.get(place)
        if slot is None:
            slot = self._merged[place] = self._board.series[group].windows[key].read(self._now, width, only)
        return slot


def _key(series: Series, labels: Labels) -> tuple[str, ...] | None:
    """The key of the series that ``labels`` name, ``None`` where one of its labels is not among them."""
    if not series.group.by:
        return ()
    known: Mapping[str, str] = dict(labels)
    names = series.names
    return tuple(known[name] for name in names) if all(name in known for name in names) else None


def _ratio(condition: Condition, slot: Slot) -> Found:
    errors = slot.errors
    if condition.error_types:
        wanted = set(condition.error_types)
        errors = sum(count for types, count in slot.types.items() if not wanted.isdisjoint(types.split("\n")))
    attempts = slot.attempts
    if condition.signal == "error_rate":  # of calls: what was resent is no failed call
        errors, attempts = max(0, errors - slot.resends), attempts - slot.resends
    if attempts <= 0:
        return Found(value=None, samples=0)
    return Found(value=min(1.0, errors / attempts), samples=attempts)


def _statistic(condition: Condition, slot: Slot, name: str) -> Found:
    measure = slot.measures.get(name)
    if measure is None or not measure.count:
        return Found(value=None, samples=0)
    stat = condition.stat
    if stat in QUANTILES:
        value = measure.quantile(QUANTILES[stat])
    elif stat in {"sum", "rate"}:
        scale = (condition.per or condition.window) if stat == "sum" else 1.0
        value = measure.total * scale / condition.window
    elif stat == "max":
        value = measure.most
    elif stat == "min":
        value = measure.least
    else:
        value = measure.total / measure.count
    return Found(value=value, samples=measure.count)
