"""Room store: log records and metrics that come from elsewhere, in the shape that the writer takes. No I/O, no clock.

What no row can hold is left out and counted, and the others are kept. Source: opentelemetry/proto/{logs,metrics}/v1.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from opentelemetry._logs import SeverityNumber
from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics import export as sdk
from opentelemetry.sdk.metrics.export import AggregationTemporality
from opentelemetry.trace import TraceFlags

from otel_llm import semconv
from otel_llm.store.incoming import Owner, Owners, pairs, plain
from otel_llm.store.values import pack, pack_value, shorten

MOST_LOG: Final = 120 * 1024
"""[byte] What body and attributes of a log record may be, each; what is longer is cut and says so."""

MOST_LABELS: Final = 16 * 1024
"""[byte] What the attributes of a series may be together."""

_LAST: Final = 2**63
_CUT: Final = 8192
_NO_VALUE: Final = 1
"""Flag of a point: its series ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """What the writer asks of a log record."""

    timestamp: int | None
    observed_timestamp: int
    severity_number: SeverityNumber | None
    severity_text: str | None
    event_name: str | None
    trace_id: int
    span_id: int
    trace_flags: TraceFlags
    body: Any
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A log record with whose it is."""

    log_record: Log
    resource: Owner
    instrumentation_scope: Owner | None
    dropped_attributes: int = 0


@dataclass(slots=True)
class Faults:
    """What was left out.

    Attributes:
        count: Items.
        reason: Of the first.
    """

    count: int = 0
    reason: str = ""

    def add(self, reason: object, count: int = 1) -> None:
        """Leave out ``count`` items."""
        self.count += count
        self.reason = self.reason or str(reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """What the writer asks of the SDK's ``MetricsData``."""

    resource_metrics: Sequence["Group"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The metrics of a resource, by scope."""

    resource: Owner
    scope_metrics: list["Part"] = field(default_factory=list["Part"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The metrics of a scope."""

    scope: Owner | None
    metrics: list[sdk.Metric] = field(default_factory=list[sdk.Metric])


def records(request: Any, owners: Owners, faults: Faults, *, now: int) -> list[Record]:
    """The log records of an OTLP request.

    Args:
        request: ``ExportLogsServiceRequest``.
        owners: Remembers resources and scopes.
        faults: Is told what is left out.
        now: When it came [ns since the epoch].
    """
    found = []
    for group in request.resource_logs:
        resource = owners.of("resource", group.resource, group.schema_url)
        for below in group.scope_logs:
            scope = scope_of(below, owners)
            for log in below.log_records:
                try:
                    found.append(_record(log, resource, scope, now))
                except ValueError as error:
                    faults.add(error)
    return found


def _record(log: Any, resource: Owner, scope: Owner | None, now: int) -> Record:
    if max(log.time_unix_nano, log.observed_time_unix_nano) >= _LAST:
        raise ValueError("times: expected nanoseconds since 1970")  # noqa: EM101, TRY003
    attributes, body = pairs(log.attributes), plain(log.body)
    if len(pack(attributes)) > MOST_LOG or len(pack_value(body) or "") > MOST_LOG:
        attributes = {**shorten(attributes, _CUT), semconv.TRUNCATED: True}
        body = shorten(body, _CUT)
        if len(pack(attributes)) > MOST_LOG or len(pack_value(body) or "") > MOST_LOG:
            raise ValueError(f"record: expected at most {MOST_LOG} bytes, found more")  # noqa: EM102, TRY003
    return Record(
        log_record=Log(
            timestamp=log.time_unix_nano or None,
            observed_timestamp=log.observed_time_unix_nano or now,
            severity_number=SeverityNumber(log.severity_number) if 0 < log.severity_number <= 24 else None,  # noqa: PLR2004 - the enumeration's end
            severity_text=log.severity_text or None,
            event_name=log.event_name or None,
            trace_id=int.from_bytes(log.trace_id[:16]),
            span_id=int.from_bytes(log.span_id[:8]),
            trace_flags=TraceFlags(log.flags & 255),
            body=body,
            attributes=attributes,
        ),
        resource=resource,
        instrumentation_scope=scope,
        dropped_attributes=min(log.dropped_attributes_count, _LAST - 1),
    )


def metrics(request: Any, owners: Owners, faults: Faults, *, may: Callable[[object], bool]) -> Metrics:
    """The metrics of an OTLP request.

    Args:
        request: ``ExportMetricsServiceRequest``.
        owners: Remembers resources and scopes.
        faults: Is told how many points are left out.
        may: Whether a series may be kept, told by what tells it from others.
    """
    groups = []
    for group in request.resource_metrics:
        kept = Group(resource=owners.of("resource", group.resource, group.schema_url))
        for below in group.scope_metrics:
            part = Part(scope=scope_of(below, owners))
            for metric in below.metrics:
                about = (id(kept.resource), id(part.scope), metric.name)
                made = _metric(metric, faults, partial(_may, may, about))
                if made is not None:
                    part.metrics.append(made)
            kept.scope_metrics.append(part)
        groups.append(kept)
    return Metrics(resource_metrics=groups)


def _may(may: Callable[[object], bool], about: tuple[object, ...], labels: str) -> bool:
    return may((*about, labels))


def scope_of(below: Any, owners: Owners) -> Owner | None:
    """The scope of a part of a request; ``None`` where it says none."""
    return owners.of("scope", below.scope, below.schema_url) if below.scope.ByteSize() or below.schema_url else None


def _metric(metric: Any, faults: Faults, may: Callable[[str], bool]) -> sdk.Metric | None:
    kind = metric.WhichOneof("data")
    if kind not in _POINTS:
        if kind is not None:
            count = len(getattr(metric, kind).data_points)
            faults.add(f"{metric.name[:100]}: expected a sum, gauge or histogram, found a {kind}", count)
        return None
    data = getattr(metric, kind)
    points = list(_points(data.data_points, _POINTS[kind], metric.name, faults, may))
    if not points:
        return None
    return sdk.Metric(
        name=metric.name, description=metric.description, unit=metric.unit, data=_data(kind, data, points)
    )


def _points(
    points: Any, make: Callable[[Any, dict[str, Any]], Any], name: str, faults: Faults, may: Callable[[str], bool]
) -> Iterator[Any]:
    for point in points:
        if point.flags & _NO_VALUE:
            continue
        attributes = pairs(point.attributes)
        labels = pack(attributes)
        if not 0 < point.time_unix_nano < _LAST or point.start_time_unix_nano >= _LAST:
            faults.add(f"{name[:100]}: expected a point with a time")
        elif len(labels) > MOST_LABELS:
            faults.add(f"{name[:100]}: expected attributes of at most {MOST_LABELS} bytes")
        elif not may(labels):
            faults.add(f"{name[:100]}: expected fewer series in an hour")
        elif (made := make(point, attributes)) is None:
            faults.add(f"{name[:100]}: expected a point with a value")
        else:
            yield made


def _data(kind: str, data: Any, points: list[Any]) -> Any:
    if kind == "gauge":
        return sdk.Gauge(data_points=points)
    said = data.aggregation_temporality
    temporality = AggregationTemporality(said if said in {1, 2} else 0)
    if kind == "sum":
        return sdk.Sum(data_points=points, aggregation_temporality=temporality, is_monotonic=data.is_monotonic)
    made = sdk.Histogram if kind == "histogram" else sdk.ExponentialHistogram
    return made(data_points=points, aggregation_temporality=temporality)


def _head(point: Any, attributes: dict[str, Any]) -> dict[str, Any]:
    return {
        "attributes": attributes,
        "start_time_unix_nano": point.start_time_unix_nano or None,
        "time_unix_nano": point.time_unix_nano,
        "exemplars": [_exemplar(one) for one in point.exemplars],
    }


def _number(point: Any, attributes: dict[str, Any]) -> Any:
    kind = point.WhichOneof("value")
    return None if kind is None else sdk.NumberDataPoint(value=getattr(point, kind), **_head(point, attributes))


def _spread(point: Any) -> dict[str, Any]:
    said = {name: getattr(point, name) if point.HasField(name) else None for name in ("sum", "min", "max")}
    return {"count": point.count, **said}


def _histogram(point: Any, attributes: dict[str, Any]) -> Any:
    return sdk.HistogramDataPoint(
        bucket_counts=list(point.bucket_counts),
        explicit_bounds=list(point.explicit_bounds),
        **_spread(point),
        **_head(point, attributes),
    )


def _exponential(point: Any, attributes: dict[str, Any]) -> Any:
    return sdk.ExponentialHistogramDataPoint(
        scale=point.scale,
        zero_count=point.zero_count,
        flags=point.flags,
        positive=_buckets(point.positive),
        negative=_buckets(point.negative),
        **_spread(point),
        **_head(point, attributes),
    )


def _buckets(said: Any) -> sdk.Buckets:
    return sdk.Buckets(offset=said.offset, bucket_counts=list(said.bucket_counts))


def _exemplar(said: Any) -> Exemplar:
    kind = said.WhichOneof("value")
    return Exemplar(
        filtered_attributes=pairs(said.filtered_attributes),
        value=getattr(said, kind) if kind else 0,
        time_unix_nano=said.time_unix_nano,
        span_id=int.from_bytes(said.span_id[:8]) or None,
        trace_id=int.from_bytes(said.trace_id[:16]) or None,
    )


_POINTS: Final[Mapping[str, Callable[[Any, dict[str, Any]], Any]]] = {
    "gauge": _number,
    "sum": _number,
    "histogram": _histogram,
    "exponential_histogram": _exponential,
}
