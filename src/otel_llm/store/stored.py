"""Room store: a row becomes the span again that was written. No I/O."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from otel_llm.calls import ATTRIBUTES, KINDS
from otel_llm.store.plans import SERIES_FIELDS, SPAN_FIELDS
from otel_llm.store.values import presentable, unpack, unpack_value

_KINDS: Final = ("INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
_STATUSES: Final = ("UNSET", "OK", "ERROR")
COLUMNS: Final = (
    "spans.id, spans.start_time, spans.duration, spans.trace_id, spans.span_id, spans.parent_span_id,"
    " spans.attributes, spans.details, parameters.content, series.name, series.kind, series.status, series.flags,"
    " resources.content, scopes.content, "
    + ", ".join([*(f"series.{name}" for name in SERIES_FIELDS), *(f"spans.{name}" for name in SPAN_FIELDS)])
)
JOINS: Final = (
    "spans CROSS JOIN series ON series.id = spans.series CROSS JOIN resources ON resources.id = spans.resource"
    " LEFT JOIN scopes ON scopes.id = series.scope LEFT JOIN parameters ON parameters.id = spans.parameters"
)
_FIELDS: Final = tuple((ATTRIBUTES[name], KINDS[name]) for name in SERIES_FIELDS + SPAN_FIELDS)
_FIRST_FIELD: Final = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSpan:
    """A span as it was written.

    Attributes:
        trace_id: 32 hexadecimal digits.
        span_id: 16 hexadecimal digits.
        parent_span_id: ``None`` for a root.
        kind: ``INTERNAL``, ``SERVER``, ``CLIENT``, ``PRODUCER`` or ``CONSUMER``.
        start_time_unix_nano: [ns since the epoch]
        end_time_unix_nano: [ns since the epoch]
        status: ``UNSET``, ``OK`` or ``ERROR``.
        attributes: As written; sequences are tuples.
        events: ``name``, ``time_unix_nano``, ``attributes``, ``dropped_attributes``.
        links: ``trace_id``, ``span_id``, ``trace_state``, ``flags``, ``attributes``, ``dropped_attributes``.
        resource: The resource's attributes.
        scope: ``name``, ``version``, ``schema_url``, ``attributes``; empty when there was none.
        resource_schema_url: Of the resource's attributes.
        trace_state: W3C ``tracestate`` header.
        flags: As in OTLP: W3C trace flags; 256 the parent's place is known; 512 it is remote.
        dropped: ``attributes``, ``events``, ``links``: how many the SDK's limits cost, where any.
    """

    trace_id: str
    span_id: str
    parent_span_id: str | None
    name: str
    kind: str
    start_time_unix_nano: int
    end_time_unix_nano: int
    status: str
    status_message: str | None
    attributes: dict[str, Any]
    events: list[dict[str, Any]]
    links: list[dict[str, Any]]
    resource: dict[str, Any]
    scope: dict[str, Any]
    resource_schema_url: str = ""
    trace_state: str = ""
    flags: int = 0
    dropped: dict[str, int]

    @property
    def duration(self) -> float:
        """From start to end [s]."""
        return (self.end_time_unix_nano - self.start_time_unix_nano) / 1e9

    def as_json(self, *, detail: bool = False) -> dict[str, Any]:
        """The span as ``calls --json`` prints it; with ``detail`` as ``calls show`` does."""
        told: dict[str, Any] = {
            "trace_id": self.trace_id,
            "span_id": self.span_id,
            "parent_span_id": self.parent_span_id,
            "name": presentable(self.name),
            "kind": self.kind,
            "start_time_unix_nano": self.start_time_unix_nano,
            "duration": max(0.0, self.duration),
            "status": self.status,
            "attributes": presentable(self.attributes),
            "resource": {"service.name": "unknown_service", **presentable(self.resource)},
        }
        if self.status_message is not None:
            told["status_message"] = presentable(self.status_message)
        if detail:
            told["events"] = presentable(self.events)
            told["links"] = presentable(self.links)
            told["scope"] = presentable(self.scope)
        return told


def stored_span(row: Sequence[Any]) -> StoredSpan:
    """The span of a row of `COLUMNS`."""
    _, start, duration, trace_id, span_id, parent, rest, extra, parameters, name, kind, status, flags, owner, scope = (
        row[:_FIRST_FIELD]
    )
    attributes: dict[str, Any] = {}
    for (attribute, of_kind), value in zip(_FIELDS, row[_FIRST_FIELD:], strict=True):
        if value is not None:
            attributes[attribute] = (
                bool(value) if of_kind is bool else unpack_value(value) if of_kind is tuple else value
            )
    attributes |= unpack(parameters)
    attributes |= unpack(rest)
    details = unpack(extra)
    resource = unpack(owner)
    return StoredSpan(
        trace_id=trace_id.hex(),
        span_id=span_id.hex(),
        parent_span_id=None if parent is None else parent.hex(),
        name=details.get("name", name),
        kind=_KINDS[kind],
        start_time_unix_nano=start,
        end_time_unix_nano=start + duration,
        status=_STATUSES[status],
        status_message=details.get("description"),
        attributes=attributes,
        events=list(details.get("events", ())),
        links=list(details.get("links", ())),
        resource=resource.get("attributes", {}),
        resource_schema_url=resource.get("schema_url") or "",
        scope=unpack(scope),
        trace_state=details.get("trace_state", ""),
        flags=flags,
        dropped={
            what: details[f"dropped_{what}"]
            for what in ("attributes", "events", "links")
            if details.get(f"dropped_{what}")
        },
    )
