"""Room store: what a row of a span tells as JSON: what it mostly lacks, and attributes without a column. No I/O."""

from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext

from otel_llm import semconv
from otel_llm.store import redaction
from otel_llm.store.values import pack, shorten

MAX_TEXT: Final = 120 * 1024
"""[byte] How long a row's attributes and its details may be, each; what is longer is cut and says so."""

MAX_CONTENT: Final = 512 * 1024
"""[byte] What content may add to that: four attributes of 64 KiB, which are JSON in JSON here."""

HAS_PLACE: Final = 256
IS_REMOTE: Final = 512
"""Flags of OTLP: where a span's parent was is known; it was in another process."""


def details_of(span: ReadableSpan, context: SpanContext) -> dict[str, Any]:
    """What a span of ours mostly lacks."""
    details: dict[str, Any] = {}
    parent = span.parent
    if span.status.description:
        details["description"] = redaction.clean_text(span.status.description)
    if context.trace_state:
        details["trace_state"] = context.trace_state.to_header()
    if parent is not None and parent.trace_id != context.trace_id:
        details["parent_trace_id"] = f"{parent.trace_id:032x}"
    if events := span.events:
        details["events"] = [_event(event) for event in events]
    if links := span.links:
        details["links"] = [_link(link) for link in links]
    for name in ("dropped_attributes", "dropped_events", "dropped_links"):
        if count := getattr(span, name):
            details[name] = count
    return details


def packed(content: dict[str, Any]) -> str:
    """JSON text of bounded length."""
    text = pack(content)
    most = MAX_TEXT
    if len(text) > most and not content.keys().isdisjoint(semconv.CONTENT):
        most += MAX_CONTENT
    for longest in (8192, 512, 32):
        if len(text) <= most:
            break
        text = pack({**shorten(content, longest), semconv.TRUNCATED: True})
    return text


def _event(event: Any) -> dict[str, Any]:
    return {
        "name": event.name,
        "time_unix_nano": event.timestamp,
        "attributes": redaction.clean_attributes(event.attributes),
        "dropped_attributes": event.dropped_attributes,
    }


def _link(link: Any) -> dict[str, Any]:
    place = HAS_PLACE | IS_REMOTE if link.context.is_remote else HAS_PLACE
    return {
        "trace_id": f"{link.context.trace_id:032x}",
        "span_id": f"{link.context.span_id:016x}",
        "trace_state": link.context.trace_state.to_header(),
        "flags": link.context.trace_flags | place,
        "attributes": redaction.clean_attributes(link.attributes),
        "dropped_attributes": link.dropped_attributes,
    }
