"""A histogram whose records of a series seen before cost a fraction; the SDK's own door for all else.

The SDK cleans, copies and hashes the attributes of each record again: four fifths of what a record takes, three times
a call. A series of ours is clean and does not change, so its aggregation is looked up by the key that the SDK gave it.
Where the SDK keeps it is no public interface: the way is tried once for each class of instrument, on a provider of its
own, and must lead to the same points, exemplars included, as the public door; else that one is used.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from time import time_ns
from typing import Any, Final, NamedTuple

import msgspec
from opentelemetry.context import Context
from opentelemetry.metrics import Histogram as Instrument
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from otel_llm.record.limits import Key

_trusted: Final[dict[type, bool]] = {}
"""By the class of an instrument: whether its aggregations may be looked up."""

_plain: Final[set[tuple[type, type]]] = set()
"""Classes of an aggregation and its reservoir of exemplars that several values may be poured into at once."""

_filters: Final[set[type]] = set()
"""Classes of the SDK's own filters of exemplars: they look at the context alone, so once a call is enough."""


class Origin(msgspec.Struct):
    """Where a call was made: what its measurements share.

    Attributes:
        context: Holds a span, for the exemplar.
        sampled: Whether it gives exemplars; ``None`` until the SDK's filter was asked.
    """

    context: Context
    sampled: bool | None = None


Measured = tuple[float, Origin]
"""A value in the instrument's unit, and where it comes from."""


class _Measurement(NamedTuple):
    """What an aggregation asks of the SDK's own, whose making cleans the attributes."""

    value: float
    time_unix_nano: int
    instrument: Any
    context: Context
    attributes: dict[str, Any]


class Series:
    """One series of ``instrument``, which may be of any SDK.

    Args:
        instrument: A histogram.
        key: Names and values, of the same types in all series of this instrument.
    """

    __slots__ = ("attributes", "instrument", "place")

    def __init__(self, instrument: Instrument, key: Key) -> None:
        self.instrument: Any = instrument
        self.attributes = dict(key)
        self.place: Any = None
        """The key under which the SDK has its aggregation; ``None`` while the public door is the way."""

    def record(self, measured: Sequence[Measured]) -> None:
        """What ``instrument.record(value, attributes, origin.context)`` does, for each of ``measured`` in turn."""
        if self.place is None:
            self._introduce(measured[0])
            measured = measured[1:]
        if self.place is not None and _goes(self.instrument, measured):
            _add(self, measured)
        else:
            for value, origin in measured:
                self.instrument.record(value, self.attributes, origin.context)

    def _introduce(self, first: Measured) -> None:
        """Record the first by the public door; see under which key the SDK has it."""
        self.instrument.record(first[0], self.attributes, first[1].context)
        if _may_be_trusted(self.instrument):
            self.place = next((key for key, _ in _places(self)), None)


_INFINITE: Final = float("inf")


def _goes(instrument: Any, measured: Sequence[Measured]) -> bool:
    """Whether the short way says all that the public door would: it knows nothing of what that refuses."""
    if type(instrument._measurement_consumer._sdk_config.exemplar_filter) not in _filters:  # noqa: SLF001 - see above
        return False
    for value, _ in measured:
        if not 0 <= value < _INFINITE:
            return False
    return bool(measured and instrument._is_enabled())  # noqa: SLF001


def _add(series: Series, measured: Sequence[Measured]) -> None:
    """Add what was ``measured`` to ``series`` for each reader."""
    instrument, attributes, place = series.instrument, series.attributes, series.place
    consumer = instrument._measurement_consumer  # noqa: SLF001
    asked = consumer._sdk_config.exemplar_filter.should_sample  # noqa: SLF001
    now = time_ns()
    for storage in consumer._reader_storages.values():  # noqa: SLF001
        for match in storage._get_or_init_view_instrument_match(instrument):  # noqa: SLF001
            if match._reset_on_collect:  # noqa: SLF001 - collecting throws its aggregations away, under this lock
                with match._lock:  # noqa: SLF001
                    poured = _pour(match._attributes_aggregation.get(place), attributes, measured, asked, now)  # noqa: SLF001
            else:
                poured = _pour(match._attributes_aggregation.get(place), attributes, measured, asked, now)  # noqa: SLF001
            for value, origin in () if poured else measured:
                one = _Measurement(value, now, instrument, origin.context, attributes)
                match.consume_measurement(one, asked(value, now, attributes, origin.context))


_Asked = Callable[[float, int, dict[str, Any], Context], bool]
"""A filter of exemplars."""


def _pour(aggregation: Any, attributes: dict[str, Any], measured: Sequence[Measured], asked: _Asked, now: int) -> bool:
    """Add all that was ``measured`` to ``aggregation`` at once, as the SDK does one after another.

    ``False`` where it is none that is known: there may be none yet, a view may name it otherwise or want another kind.
    """
    if _kinds(aggregation) not in _plain:
        return False
    boundaries = aggregation._boundaries  # noqa: SLF001
    buckets: set[int] = set()
    with aggregation._lock:  # noqa: SLF001
        counts = aggregation._value  # noqa: SLF001
        if counts is None:
            counts = aggregation._value = aggregation._get_empty_bucket_counts()  # noqa: SLF001
        total, least, most = aggregation._sum, aggregation._min, aggregation._max  # noqa: SLF001
        for value, _ in measured:
            bucket = bisect_left(boundaries, value)
            buckets.add(bucket)
            counts[bucket] += 1
            total += value
            if value < least:  # noqa: PLR1730 - a call would take longer than all of this
                least = value
            if value > most:  # noqa: PLR1730
                most = value
        aggregation._sum = total  # noqa: SLF001
        if aggregation._record_min_max:  # noqa: SLF001
            aggregation._min, aggregation._max = least, most  # noqa: SLF001
    for bucket in buckets:
        some = measured if len(buckets) == 1 else [one for one in measured if bisect_left(boundaries, one[0]) == bucket]
        _offer(aggregation._reservoir, bucket, attributes, some, asked, now)  # noqa: SLF001
    return True


def _offer(
    reservoir: Any, bucket: int, attributes: dict[str, Any], measured: Sequence[Measured], asked: _Asked, now: int
) -> None:
    """Offer the latest of ``measured``, all of one ``bucket``, that gives an exemplar: ``reservoir`` keeps no other."""
    for value, origin in reversed(measured):
        if origin.sampled is None:
            origin.sampled = asked(value, now, attributes, origin.context)
        if origin.sampled:
            with reservoir._lock:  # noqa: SLF001
                reservoir._reservoir_storage[bucket].offer(value, now, attributes, origin.context)  # noqa: SLF001
            return


def _kinds(aggregation: Any) -> tuple[type, type]:
    """The classes of an aggregation and of its reservoir of exemplars."""
    return type(aggregation), type(getattr(aggregation, "_reservoir", None))


def _places(series: Series) -> Iterator[tuple[Any, Any]]:
    """Key and aggregation of ``series``, recorded a moment ago, for each reader that tells it apart."""
    for storage in series.instrument._measurement_consumer._reader_storages.values():  # noqa: SLF001
        for match in storage._get_or_init_view_instrument_match(series.instrument):  # noqa: SLF001
            for key, aggregation in reversed(list(match._attributes_aggregation.items())):  # noqa: SLF001
                if aggregation._attributes == series.attributes:  # noqa: SLF001
                    yield key, aggregation
                    break


def _may_be_trusted(instrument: Any) -> bool:
    kind = type(instrument)
    if kind not in _trusted:
        _trusted[kind] = False
        with suppress(Exception):
            _trusted[kind] = _leads_there(kind)
    return _trusted[kind]


def _leads_there(kind: type) -> bool:
    """Whether both doors lead to the same points, for a reader of sums and for one of differences."""
    from opentelemetry.sdk import metrics  # noqa: PLC0415 - whoever has an instrument has the SDK
    from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415

    _filters.update((metrics.AlwaysOffExemplarFilter, metrics.AlwaysOnExemplarFilter, metrics.TraceBasedExemplarFilter))
    ways = (AggregationTemporality.CUMULATIVE, AggregationTemporality.DELTA)
    readers = [InMemoryMetricReader({metrics.Histogram: way}) for way in ways]
    provider = metrics.MeterProvider(readers, resource=Resource.get_empty(), shutdown_on_exit=False)
    try:
        slow, swift = (provider.get_meter("otel_llm").create_histogram(name) for name in ("slow", "swift"))
        return type(swift) is kind and _agree(slow, Series(swift, _KEY), readers)
    finally:
        provider.shutdown()


def _agree(slow: Any, swift: Series, readers: list[Any]) -> bool:
    """Record the same into ``slow`` by the public door and into ``swift`` by the other, and collect, three times."""
    for instrument in (slow, swift.instrument):
        instrument.record(1, swift.attributes, _contexts()[0])
    for place, aggregation in _places(swift):
        swift.place = place
        _plain.add(_kinds(aggregation))
    for size in (1, len(_VALUES), 2) if swift.place is not None else ():
        told = list(zip(_VALUES, _contexts(), strict=True))
        for value, context in told:
            slow.record(value, swift.attributes, context)
        for start in range(0, len(told), size):
            _add(swift, [(value, Origin(context)) for value, context in told[start : start + size]])
        for reader in readers:
            one, other = _points(reader)
            if one != other:
                return False
    return swift.place is not None


_VALUES: Final = (0.5, 3, 3, 5, 4.5, 70_000.0, 0)
_KEY: Final[Key] = (("text", "a"), ("number", 1), ("flag", True))


def _contexts() -> list[Context]:
    """One for each value, with a span of its own; the fifth is not sampled."""
    flags = [TraceFlags(number != 4) for number in range(len(_VALUES))]  # noqa: PLR2004
    spans = [SpanContext(1, number + 1, is_remote=False, trace_flags=flag) for number, flag in enumerate(flags)]
    return [set_span_in_context(NonRecordingSpan(span)) for span in spans]


def _points(reader: Any) -> list[list[Any]]:
    """What ``reader`` collects of each instrument, without its times."""
    metrics = reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics
    return [[_told(point) for point in metric.data.data_points] for metric in metrics]


def _told(point: Any) -> tuple[Any, ...]:
    exemplars = [(one.value, one.span_id, one.trace_id, one.filtered_attributes) for one in point.exemplars]
    counted = (point.count, point.sum, point.min, point.max, tuple(point.bucket_counts))
    return dict(point.attributes), counted, exemplars
