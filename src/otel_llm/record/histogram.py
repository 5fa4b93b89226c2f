"""A histogram whose records of a series seen before cost a fraction; the SDK's own door for all else.

The SDK cleans, copies and hashes the attributes of each record again: four fifths of what a record takes, three times
a call. A series of ours is clean and does not change, so its aggregation is looked up by the key that the SDK gave it.
Where the SDK keeps it is no public interface: the way is tried once for each class of instrument, on a provider of its
own, and must lead to the same points, exemplars included, as the public door; else that one is used.
"""

from contextlib import suppress
from time import time_ns
from typing import Any, Final, NamedTuple

from opentelemetry.context import Context
from opentelemetry.metrics import Histogram as Instrument
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from otel_llm.record.limits import Key

_MOST: Final = 2000
"""Series of one histogram that are known, as many as the SDK tells apart."""

_trusted: Final[dict[type, bool]] = {}
"""By the class of an instrument: whether its aggregations may be looked up."""


class _Series(NamedTuple):
    """A series as the SDK has it: its attributes, and the key under which their aggregation stands."""

    attributes: dict[str, Any]
    key: Any


class _Measurement(NamedTuple):
    """What an aggregation asks of the SDK's own, whose making cleans the attributes."""

    value: float
    time_unix_nano: int
    instrument: Any
    context: Context
    attributes: dict[str, Any]


class Histogram:
    """Records into ``instrument``, of whatever SDK."""

    __slots__ = ("_instrument", "_known")

    def __init__(self, instrument: Instrument) -> None:
        self._instrument: Any = instrument
        self._known: dict[Key, _Series] = {}

    def record(self, value: float, key: Key, context: Context) -> None:
        """What ``instrument.record(value, dict(key), context)`` does.

        Args:
            value: In the instrument's unit.
            key: The series; names and values, of the same types in all series of this histogram.
            context: Holds a span, for the exemplar.
        """
        series = self._known.get(key)
        if series is not None and 0 <= value < _INFINITE and self._instrument._is_enabled():  # noqa: SLF001 - see above
            _add(self._instrument, value, series, context)
            return
        attributes = dict(key)
        self._instrument.record(value, attributes, context)
        if series is None and len(self._known) < _MOST and _may_be_trusted(self._instrument):
            found = _find(self._instrument, attributes)
            if found is not None:
                self._known[key] = found


_INFINITE: Final = float("inf")


def _add(instrument: Any, value: float, series: _Series, context: Context) -> None:
    """Add ``value`` to ``series`` for each reader."""
    attributes, key = series
    consumer = instrument._measurement_consumer  # noqa: SLF001
    now = time_ns()
    measurement = _Measurement(value, now, instrument, context, attributes)
    sampled = consumer._sdk_config.exemplar_filter.should_sample(value, now, attributes, context)  # noqa: SLF001
    for storage in consumer._reader_storages.values():  # noqa: SLF001
        for match in storage._get_or_init_view_instrument_match(instrument):  # noqa: SLF001
            if match._reset_on_collect:  # noqa: SLF001 - collecting throws its aggregations away, under this lock
                with match._lock:  # noqa: SLF001
                    added = _aggregate(match, key, measurement, sampled)
            else:
                added = _aggregate(match, key, measurement, sampled)
            if not added:
                match.consume_measurement(measurement, sampled)


def _aggregate(match: Any, key: Any, measurement: _Measurement, sampled: bool) -> bool:  # noqa: FBT001 - the SDK's way
    """Whether there is an aggregation under ``key``: it may not be there yet, or a view names it otherwise."""
    aggregation = match._attributes_aggregation.get(key)  # noqa: SLF001
    if aggregation is None:
        return False
    aggregation.aggregate(measurement, sampled)
    return True


def _find(instrument: Any, attributes: dict[str, Any]) -> _Series | None:
    """The series of ``attributes``, which was recorded a moment ago; ``None`` where no reader tells it apart."""
    for storage in instrument._measurement_consumer._reader_storages.values():  # noqa: SLF001
        for match in storage._get_or_init_view_instrument_match(instrument):  # noqa: SLF001
            for key, aggregation in reversed(list(match._attributes_aggregation.items())):  # noqa: SLF001
                if aggregation._attributes == attributes:  # noqa: SLF001
                    return _Series(attributes, key)
    return None


def _may_be_trusted(instrument: Any) -> bool:
    kind = type(instrument)
    if kind not in _trusted:
        _trusted[kind] = False
        with suppress(Exception):
            _trusted[kind] = _leads_there(kind)
    return _trusted[kind]


def _leads_there(kind: type) -> bool:
    """Whether both doors lead to the same points, for a reader of sums and for one of differences."""
    from opentelemetry.sdk.metrics import Histogram as Kind  # noqa: PLC0415 - whoever has an instrument has the SDK
    from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415
    from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415

    ways = (AggregationTemporality.CUMULATIVE, AggregationTemporality.DELTA)
    readers = [InMemoryMetricReader({Kind: way}) for way in ways]
    provider = MeterProvider(readers, resource=Resource.get_empty(), shutdown_on_exit=False)
    try:
        slow, swift = (provider.get_meter("otel_llm").create_histogram(name) for name in ("slow", "swift"))
        return type(swift) is kind and _agree(slow, swift, readers)
    finally:
        provider.shutdown()


def _agree(slow: Any, swift: Any, readers: list[Any]) -> bool:
    """Record the same into ``slow`` by the public door and into ``swift`` by the other, and collect, three times."""
    for instrument in (slow, swift):
        instrument.record(_VALUES[0], _ATTRIBUTES, _CONTEXT)
    series = _find(swift, _ATTRIBUTES)
    if series is None:
        return False
    for _ in range(3):
        for value in _VALUES:
            slow.record(value, _ATTRIBUTES, _CONTEXT)
            _add(swift, value, series, _CONTEXT)
        for reader in readers:
            one, other = _points(reader)
            if one != other:
                return False
    return True


_VALUES: Final = (0.5, 3, 3, 70_000.0)
_ATTRIBUTES: Final[dict[str, Any]] = {"text": "a", "number": 1, "flag": True}
_SPAN: Final = SpanContext(1, 1, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
_CONTEXT: Final = set_span_in_context(NonRecordingSpan(_SPAN))


def _points(reader: Any) -> list[list[Any]]:
    """What ``reader`` collects of each instrument, without its times."""
    metrics = reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics
    return [[_told(point) for point in metric.data.data_points] for metric in metrics]


def _told(point: Any) -> tuple[Any, ...]:
    exemplars = [(one.value, one.span_id, one.trace_id, one.filtered_attributes) for one in point.exemplars]
    counted = (point.count, point.sum, point.min, point.max, tuple(point.bucket_counts))
    return dict(point.attributes), counted, exemplars
