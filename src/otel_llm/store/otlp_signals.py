"""Room store: stored log records and metric points as OTLP requests, made with OpenTelemetry's own messages.

There are fewer of them than spans, and more shapes, so the bytes are left to protobuf. Source:
opentelemetry/proto/{logs,metrics}/v1/*.proto.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from opentelemetry.proto.common.v1.common_pb2 import KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb

from otel_llm.store.otlp import Owners
from otel_llm.store.protobuf import any_value, attributes, field
from otel_llm.store.signals import LOG_COLUMNS
from otel_llm.store.values import unpack, unpack_value

LOGS: Final = ", ".join(f"logs.{name}" for name in ("id", *LOG_COLUMNS))
POINTS: Final = (
    "points.id, points.time, points.start_time, points.value, points.data, streams.id, streams.resource, streams.scope,"
    " streams.name, streams.unit, streams.description, streams.type, streams.temporality, streams.monotonic,"
    " streams.attributes, streams.bounds"
)


def logs_request(sqlite: sqlite3.Connection, rows: Iterable[Sequence[Any]]) -> bytes:
    """An ``ExportLogsServiceRequest`` with the records of ``rows`` of `LOGS`."""
    groups: dict[int, dict[int | None, list[bytes]]] = {}
    for _, *values in rows:
        said = dict(zip(LOG_COLUMNS, values, strict=True))
        groups.setdefault(said["resource"], {}).setdefault(said["scope"], []).append(field(b"\x12", _log(said)))
    return Owners(sqlite).request(groups)


def metrics_request(sqlite: sqlite3.Connection, rows: Iterable[Sequence[Any]]) -> bytes:
    """An ``ExportMetricsServiceRequest`` with the points of ``rows`` of `POINTS`, those of one metric together."""
    metrics: dict[tuple[Any, ...], pb.Metric] = {}
    for _, time, start, value, data, _, *head, own, bounds in rows:
        resource, scope, name, unit, description, kind, *shape = head
        key = (resource, scope, name, unit, description, kind, *shape)
        metric = metrics.get(key)
        if metric is None:
            metric = metrics[key] = _metric(name, unit, description, kind, *shape)
        content = unpack(data)
        point = _POINTS[kind](content | {"value": content.get("value", value), "bounds": unpack_value(bounds) or ()})
        point.time_unix_nano, point.start_time_unix_nano = time, start or 0
        point.attributes.MergeFrom(_pairs(unpack(own)))
        point.exemplars.extend(map(_exemplar, content.get("exemplars", ())))
        getattr(metric, kind).data_points.append(point)
    groups: dict[int, dict[int | None, list[bytes]]] = {}
    for key, metric in metrics.items():
        groups.setdefault(key[0], {}).setdefault(key[1], []).append(field(b"\x12", metric.SerializeToString()))
    return Owners(sqlite).request(groups)


def _log(said: Mapping[str, Any]) -> bytes:
    own = unpack(said["attributes"])
    record = LogRecord(
        time_unix_nano=said["timestamp"] or 0,
        observed_time_unix_nano=said["observed_timestamp"] or 0,
        severity_number=said["severity_number"] or 0,  # type: ignore[arg-type]  # the enum is open
        severity_text=_sound(own.pop("$severity_text", said["severity_text"])),
        event_name=_sound(own.pop("$event_name", said["event_name"])),
        trace_id=said["trace_id"] or b"",
        span_id=said["span_id"] or b"",
        flags=said["trace_flags"] or 0,
        dropped_attributes_count=said["dropped_attributes"],
        attributes=_pairs(own),
    )
    record.body.ParseFromString(any_value(unpack_value(said["body"])))
    return bytes(record.SerializeToString())


def _metric(
    name: str, unit: str | None, description: str | None, kind: str, temporality: int | None, monotonic: int | None
) -> pb.Metric:
    metric = pb.Metric(name=_sound(name), unit=_sound(unit), description=_sound(description))
    getattr(metric, kind).SetInParent()
    if kind != "gauge":
        getattr(metric, kind).aggregation_temporality = temporality or 0
    if kind == "sum":
        metric.sum.is_monotonic = bool(monotonic)
    return metric


def _number(said: Mapping[str, Any]) -> pb.NumberDataPoint:
    made = pb.NumberDataPoint()
    _tell(made, said["value"])
    return made


def _histogram(said: Mapping[str, Any]) -> pb.HistogramDataPoint:
    counts, bounds = said.get("bucket_counts", ()), said["bounds"]
    return pb.HistogramDataPoint(bucket_counts=counts, explicit_bounds=bounds, **_spread(said))


def _exponential(said: Mapping[str, Any]) -> pb.ExponentialHistogramDataPoint:
    buckets = {
        side: pb.ExponentialHistogramDataPoint.Buckets(**said[side])
        for side in ("positive", "negative")
        if said.get(side, {}).get("bucket_counts")
    }
    scale, zeros, flags = said.get("scale", 0), said.get("zero_count", 0), said.get("flags", 0)
    return pb.ExponentialHistogramDataPoint(scale=scale, zero_count=zeros, flags=flags, **buckets, **_spread(said))


_POINTS: Final[dict[str, Any]] = {
    "gauge": _number,
    "sum": _number,
    "histogram": _histogram,
    "exponential_histogram": _exponential,
}


def _spread(said: Mapping[str, Any]) -> dict[str, Any]:
    return {name: said[name] for name in ("count", "sum", "min", "max") if said.get(name) is not None}


def _exemplar(said: Mapping[str, Any]) -> pb.Exemplar:
    made = pb.Exemplar(time_unix_nano=said["time_unix_nano"], filtered_attributes=_pairs(said.get("attributes") or {}))
    if said.get("trace_id") and said.get("span_id"):
        made.trace_id, made.span_id = bytes.fromhex(said["trace_id"]), bytes.fromhex(said["span_id"])
    _tell(made, said["value"])
    return made


def _tell(point: pb.NumberDataPoint | pb.Exemplar, value: float | None) -> None:
    if isinstance(value, int):
        point.as_int = value
    elif value is not None:
        point.as_double = value


def _pairs(values: Mapping[str, Any]) -> Any:
    return KeyValueList.FromString(attributes(b"\x0a", values)).values


def _sound(text: str | None) -> str:
    return (text or "").encode("utf-8", "replace").decode()
