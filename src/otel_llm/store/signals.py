"""Room store: log records and metric points become rows. Runs on the writer's thread, like `rows`."""

import sqlite3
from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any, Final

from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.metrics.export import (
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Histogram,
    HistogramDataPoint,
    MetricsData,
    NumberDataPoint,
    Sum,
)

from otel_llm.store import redaction
from otel_llm.store.interning import Table
from otel_llm.store.values import is_clean, pack, pack_value

LOG_COLUMNS: Final = (
    *("time", "timestamp", "observed_timestamp", "resource", "scope", "severity_number", "severity_text", "event_name"),
    *("trace_id", "span_id", "trace_flags", "body", "attributes", "dropped_attributes"),
)
POINT_COLUMNS: Final = ("time", "start_time", "stream", "value", "data")
STREAM_COLUMNS: Final = (
    *("resource", "scope", "name", "unit", "description", "type", "temporality", "monotonic", "attributes", "bounds"),
)
_INT63: Final = 2**63


def log_row(record: ReadableLogRecord, resource: int | None, scope: int | None) -> tuple[object, ...]:
    """The row of ``logs`` for ``record``, in the order of `LOG_COLUMNS`."""
    log = record.log_record
    body = redaction.clean_text(log.body) if isinstance(log.body, str) else log.body
    texts = {"severity_text": log.severity_text, "event_name": log.event_name}
    attributes = redaction.clean_attributes(log.attributes)
    for name, text in texts.items():
        if text is not None and not is_clean(text):
            attributes["$" + name], texts[name] = text, None
    return (
        log.timestamp or log.observed_timestamp or 0,
        log.timestamp,
        log.observed_timestamp,
        resource,
        scope,
        None if log.severity_number is None else log.severity_number.value,
        texts["severity_text"],
        texts["event_name"],
        log.trace_id.to_bytes(16) if log.trace_id else None,
        log.span_id.to_bytes(8) if log.span_id else None,
        None if log.trace_flags is None else int(log.trace_flags),
        pack_value(body),
        pack(attributes) if attributes else None,
        record.dropped_attributes,
    )


class PointEncoder:
    """Makes rows of ``points`` and the streams that they belong to."""

    def __init__(self) -> None:
        self._streams = Table("streams", STREAM_COLUMNS, limit=None)

    def forget(self) -> None:
        """Forget every interned id."""
        self._streams.forget()

    def drafts(
        self, connection: sqlite3.Connection, metrics: MetricsData, owners: Any
    ) -> Iterator[tuple[tuple[object, ...], Any]]:
        """Each point with what its stream has in common; `row` makes a row of both.

        Args:
            connection: Inside a write transaction.
            metrics: What a reader collected.
            owners: Gives the ids of a resource and of a scope (`rows.Encoder`).
        """
        for of_resource in metrics.resource_metrics:
            resource = owners.resource(connection, of_resource.resource)
            for of_scope in of_resource.scope_metrics:
                scope = owners.scope(connection, of_scope.scope)
                for metric in of_scope.metrics:
                    for point in metric.data.data_points:
                        head = (resource, scope, metric.name, metric.unit, metric.description, *_type(metric.data))
                        yield head, point

    def row(self, connection: sqlite3.Connection, head: tuple[object, ...], point: Any) -> tuple[object, ...]:
        """The row of ``points``, in the order of `POINT_COLUMNS`."""
        attributes = redaction.clean_attributes(point.attributes)
        bounds = pack_value(tuple(point.explicit_bounds)) if isinstance(point, HistogramDataPoint) else None
        row = (*head, pack(attributes), bounds)
        stream = self._streams.known(row) or self._streams.id(connection, row, row)
        value, data = _content(point)
        if point.exemplars:
            data["exemplars"] = [_exemplar(exemplar) for exemplar in point.exemplars]
        return (point.time_unix_nano, point.start_time_unix_nano, stream, value, pack(data) if data else None)


def _type(data: Any) -> tuple[str, int | None, bool | None]:
    """Type, temporality and monotony of a metric."""
    if isinstance(data, Sum):
        return "sum", data.aggregation_temporality.value, data.is_monotonic
    if isinstance(data, Histogram):
        return "histogram", data.aggregation_temporality.value, None
    if isinstance(data, ExponentialHistogram):
        return "exponential_histogram", data.aggregation_temporality.value, None
    return "gauge", None, None


def _content(point: Any) -> tuple[int | float | None, dict[str, Any]]:
    """A number where a column can hold it, else the point's parts."""
    if isinstance(point, NumberDataPoint):
        value = point.value
        held = isfinite(value) and (isinstance(value, float) or -_INT63 <= value < _INT63)
        negative_zero = isinstance(value, float) and value == 0.0 and str(value)[0] == "-"
        return (value, {}) if held and not negative_zero else (None, {"value": value})
    data: dict[str, Any] = {"count": point.count, "sum": point.sum, "min": point.min, "max": point.max}
    if isinstance(point, ExponentialHistogramDataPoint):
        return None, data | {
            "scale": point.scale,
            "zero_count": point.zero_count,
            "positive": {"offset": point.positive.offset, "bucket_counts": tuple(point.positive.bucket_counts)},
            "negative": {"offset": point.negative.offset, "bucket_counts": tuple(point.negative.bucket_counts)},
            "flags": point.flags,
        }
    return None, data | {"bucket_counts": tuple(point.bucket_counts)}


def _exemplar(exemplar: Any) -> Mapping[str, Any]:
    return {
        "value": exemplar.value,
        "time_unix_nano": exemplar.time_unix_nano,
        "trace_id": None if exemplar.trace_id is None else f"{exemplar.trace_id:032x}",
        "span_id": None if exemplar.span_id is None else f"{exemplar.span_id:016x}",
        "attributes": redaction.clean_attributes(exemplar.filtered_attributes),
    }
