"""Room store: spans that come from elsewhere, in the shape that the writer takes. No I/O, no clock.

From a line of an export, or from an OTLP request, as JSON or as message. What is odd raises `ValueError` with what was
expected.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.trace import SpanContext, SpanKind, StatusCode, TraceFlags, TraceState

from otel_llm.store.stored import StoredSpan
from otel_llm.store.values import tagged, untagged

_IDS: Final = frozenset({"traceId", "spanId", "parentSpanId"})
_REMOTE: Final = 512
_TRACE_FLAGS: Final = 255
_LAST: Final = 2**63


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """A resource or scope; ``name`` and ``version`` are a scope's."""

    attributes: Mapping[str, Any]
    schema_url: str = ""
    name: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A span's status; unlike the SDK's it keeps a message beside any code."""

    status_code: StatusCode
    description: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What happened during a span."""

    name: str
    timestamp: int
    attributes: Mapping[str, Any]
    dropped_attributes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What a span points at."""

    context: SpanContext
    attributes: Mapping[str, Any]
    dropped_attributes: int = 0


@dataclass(frozen=True, kw_only=True)
class Incoming:
    """A finished span with what the writer asks of a `ReadableSpan`."""

    name: str
    context: SpanContext
    parent: SpanContext | None
    kind: SpanKind
    start_time: int
    end_time: int
    status: Status
    attributes: Mapping[str, Any]
    resource: Owner
    instrumentation_scope: Owner | None
    events: Sequence[Event] = ()
    links: Sequence[Link] = ()
    dropped_attributes: int = 0
    dropped_events: int = 0
    dropped_links: int = 0

    def __post_init__(self) -> None:
        if not (0 < self.context.trace_id < 2**128 and 0 < self.context.span_id < 2**64):
            raise ValueError("ids: expected 32 and 16 hexadecimal digits, not all 0")  # noqa: EM101, TRY003
        if not 0 < self.start_time <= self.end_time < _LAST:
            raise ValueError("times: expected a start, and an end not before it [ns since 1970]")  # noqa: EM101, TRY003


class Owners:
    """Gives the same object for the same resource or scope, which the writer then knows again."""

    def __init__(self) -> None:
        self._known: dict[str, Owner] = {}

    def same(self, key: str, make: Callable[[], Owner]) -> Owner:
        """The one for ``key``."""
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= 256:  # noqa: PLR2004 - as many as the writer remembers
                self._known.clear()
            found = self._known[key] = make()
        return found

    def of(self, what: str, message: Any, url: str) -> Owner:
        """The one that ``message`` tells, a ``resource`` or a ``scope``."""
        return self.same(
            f"{what} {message.SerializeToString(deterministic=True)!r} {url}",
            lambda: Owner(
                attributes=pairs(message.attributes),
                schema_url=url,
                name=getattr(message, "name", ""),
                version=getattr(message, "version", ""),
            ),
        )


def line(span: StoredSpan) -> dict[str, Any]:
    """``span`` as a line of an export: everything that was stored, and its duration [s]."""
    return {
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "parent_span_id": span.parent_span_id,
        "name": _plain(span.name),
        "kind": span.kind,
        "start_time_unix_nano": span.start_time_unix_nano,
        "end_time_unix_nano": span.end_time_unix_nano,
        "duration": span.duration,
        "status": span.status,
        **({"status_message": _plain(span.status_message)} if span.status_message is not None else {}),
        "attributes": tagged(span.attributes),
        "resource": tagged(span.resource),
        "resource_schema_url": span.resource_schema_url,
        "scope": {**span.scope, "attributes": tagged(span.scope.get("attributes") or {})} if span.scope else None,
        "trace_state": span.trace_state,
        "flags": span.flags,
        "events": [{**event, "attributes": tagged(event.get("attributes") or {})} for event in span.events],
        "links": [{**link, "attributes": tagged(link.get("attributes") or {})} for link in span.links],
        "dropped": span.dropped,
    }


def from_line(said: Mapping[str, Any], owners: Owners) -> Incoming:
    """The span that `line` told.

    Raises:
        ValueError: It is none.
    """
    try:
        return _from_line(said, owners)
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        message = f"expected a span of an export, found one without a sound {error}"
        raise ValueError(message) from error


def _from_line(said: Mapping[str, Any], owners: Owners) -> Incoming:
    context = _context(said["trace_id"], said["span_id"], int(said.get("flags", 1)), said.get("trace_state", ""))
    parent, scope = said.get("parent_span_id"), said.get("scope")
    remote = int(said.get("flags", 1)) & _REMOTE
    resource, url = said.get("resource") or {}, said.get("resource_schema_url") or ""
    dropped = said.get("dropped") or {}
    message = said.get("status_message")
    return Incoming(
        name=_text(said["name"]),
        context=context,
        parent=_context(said["trace_id"], parent, remote, "") if parent else None,
        kind=SpanKind[said.get("kind", "INTERNAL")],
        start_time=int(said["start_time_unix_nano"]),
        end_time=int(said["end_time_unix_nano"]),
        status=Status(
            status_code=StatusCode[said.get("status", "UNSET")], description=None if message is None else _text(message)
        ),
        attributes=untagged(said.get("attributes") or {}),
        resource=owners.same(
            f"resource {resource} {url}", lambda: Owner(attributes=untagged(resource), schema_url=_text(url))
        ),
        instrumentation_scope=owners.same(f"scope {scope}", lambda: _scope(scope)) if scope else None,
        events=[_event(event) for event in said.get("events") or ()],
        links=[_link(link) for link in said.get("links") or ()],
        dropped_attributes=int(dropped.get("attributes", 0)),
        dropped_events=int(dropped.get("events", 0)),
        dropped_links=int(dropped.get("links", 0)),
    )


def _event(said: Mapping[str, Any]) -> Event:
    return Event(
        name=_text(said["name"]),
        timestamp=int(said["time_unix_nano"]),
        attributes=untagged(said.get("attributes") or {}),
        dropped_attributes=int(said.get("dropped_attributes") or 0),
    )


def _link(said: Mapping[str, Any]) -> Link:
    return Link(
        context=_context(said["trace_id"], said["span_id"], int(said.get("flags") or 0), said.get("trace_state") or ""),
        attributes=untagged(said.get("attributes") or {}),
        dropped_attributes=int(said.get("dropped_attributes") or 0),
    )


def _scope(said: Mapping[str, Any]) -> Owner:
    return Owner(
        name=_text(said.get("name") or ""),
        version=said.get("version"),  # type: ignore[arg-type]  # kept as it was told, none too
        schema_url=said.get("schema_url"),  # type: ignore[arg-type]  # as above
        attributes=untagged(said.get("attributes") or {}),
    )


def from_otlp_json(document: Mapping[str, Any], owners: Owners) -> Iterator[Incoming]:
    """The spans of a request in OTLP/JSON, whose ids are hexadecimal.

    Raises:
        ValueError: It is none.
    """
    return from_request(from_json(document, ExportTraceServiceRequest()), owners)


def from_json(document: Any, message: Any) -> Any:
    """``message`` filled from OTLP/JSON, whose ids are hexadecimal.

    Raises:
        ValueError: It is none.
    """
    try:
        return json_format.ParseDict(_binary_ids(document), message, ignore_unknown_fields=True)
    except (json_format.ParseError, RecursionError, OverflowError, TypeError, AttributeError) as error:
        text = f"expected OTLP/JSON, found: {str(error)[:200]}"
        raise ValueError(text) from error


def from_request(
    request: ExportTraceServiceRequest, owners: Owners, refuse: Callable[[ValueError], object] | None = None
) -> Iterator[Incoming]:
    """The spans of an OTLP request.

    Args:
        request: As a message.
        owners: Remembers resources and scopes.
        refuse: Is told of each span that none can be made of, and the others go on.

    Raises:
        ValueError: One of them has no identity or no times, and there is no ``refuse``.
    """
    for group in request.resource_spans:
        resource = owners.of("resource", group.resource, group.schema_url)
        for below in group.scope_spans:
            known = below.scope.ByteSize() or below.schema_url
            scope = owners.of("scope", below.scope, below.schema_url) if known else None
            for span in below.spans:
                try:
                    yield _from_message(span, resource, scope)
                except ValueError as error:
                    if refuse is None:
                        raise
                    refuse(error)


def _from_message(span: Any, resource: Owner, scope: Owner | None) -> Incoming:
    # Who tells no W3C flags sends sampled spans alone.
    flags = span.flags if span.flags & _TRACE_FLAGS else span.flags | 1
    trace_id = span.trace_id.hex()
    parent = _context(trace_id, span.parent_span_id.hex(), flags & _REMOTE, "") if span.parent_span_id else None
    return Incoming(
        name=span.name,
        context=_context(trace_id, span.span_id.hex(), flags & ~_REMOTE, span.trace_state),
        parent=parent,
        kind=SpanKind(span.kind - 1) if 0 < span.kind <= len(SpanKind) else SpanKind.INTERNAL,
        start_time=span.start_time_unix_nano,
        end_time=span.end_time_unix_nano,
        status=Status(
            status_code=StatusCode(span.status.code) if span.status.code in (1, 2) else StatusCode.UNSET,
            description=span.status.message or None,
        ),
        attributes=pairs(span.attributes),
        resource=resource,
        instrumentation_scope=scope,
        events=[
            Event(
                name=event.name,
                timestamp=event.time_unix_nano,
                attributes=pairs(event.attributes),
                dropped_attributes=event.dropped_attributes_count,
            )
            for event in span.events
        ],
        links=[
            Link(
                context=_context(link.trace_id.hex(), link.span_id.hex(), link.flags, link.trace_state),
                attributes=pairs(link.attributes),
                dropped_attributes=link.dropped_attributes_count,
            )
            for link in span.links
        ],
        dropped_attributes=span.dropped_attributes_count,
        dropped_events=span.dropped_events_count,
        dropped_links=span.dropped_links_count,
    )


def to_otlp_json(request: Any) -> dict[str, Any]:
    """A request's message as OTLP/JSON: ids hexadecimal, enumerations as numbers."""
    document = json_format.MessageToDict(request, use_integers_for_enums=True)
    result: dict[str, Any] = _hexadecimal_ids(document)
    return result


def pairs(said: Any) -> dict[str, Any]:
    """The attributes of a message."""
    return {pair.key: plain(pair.value) for pair in said}


def plain(value: Any) -> Any:
    """The value of an ``AnyValue``."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return tuple(plain(item) for item in value.array_value.values)
    if kind == "kvlist_value":
        return pairs(value.kvlist_value.values)
    return getattr(value, kind) if kind else None


def _hexadecimal_ids(value: Any) -> Any:
    if isinstance(value, list):
        return [_hexadecimal_ids(item) for item in value]
    if isinstance(value, dict):
        return {
            key: base64.b64decode(item).hex() if key in _IDS else _hexadecimal_ids(item) for key, item in value.items()
        }
    return value


def _binary_ids(value: Any) -> Any:
    """``value`` with ids in the base64 that protobuf's JSON reads."""
    if isinstance(value, list):
        return [_binary_ids(item) for item in value]
    if not isinstance(value, dict):
        return value
    result = {}
    for key, item in value.items():
        if key in _IDS:
            try:
                result[key] = base64.b64encode(bytes.fromhex(item)).decode()
            except (TypeError, ValueError, binascii.Error) as error:
                message = f"{key}: expected hexadecimal digits, found {str(item)[:40]!r}"
                raise ValueError(message) from error
        else:
            result[key] = _binary_ids(item)
    return result


def _context(trace_id: str, span_id: str, flags: int, state: str) -> SpanContext:
    if not (re.fullmatch("[0-9a-f]{32}", trace_id) and re.fullmatch("[0-9a-f]{16}", span_id)):
        raise ValueError("ids: expected 32 and 16 hexadecimal digits")  # noqa: EM101, TRY003
    return SpanContext(
        int(trace_id, 16),
        int(span_id, 16),
        is_remote=bool(flags & _REMOTE),
        trace_flags=TraceFlags(flags & _TRACE_FLAGS),
        trace_state=TraceState.from_header([state]) if state else TraceState(),
    )


def _plain(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("text")  # noqa: EM101
    return value
