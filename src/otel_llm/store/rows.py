"""Room store: finished spans, log records and metric points become rows. Runs on the writer's thread.

Which field of a `Call` has a column, and where, is said once, here; `schema/` follows and a test compares the two.
Written for speed, for a core of the user's machine pays for each span: one pass over the attributes, one dictionary
look-up each.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import fields
from math import copysign, isfinite
from typing import Any, Final, get_args, get_origin, get_type_hints

from opentelemetry.sdk.trace import ReadableSpan

from otel_llm import semconv
from otel_llm.call import Call
from otel_llm.store import redaction
from otel_llm.store.interning import Table
from otel_llm.store.values import is_clean, pack, pack_value

SERIES_FIELDS: Final = (
    *("operation", "provider", "request_model", "response_model", "server_address", "server_port", "stream"),
    *("finish_reasons", "usage_source", "outcome", "error_type", "error_code", "status_code", "queue_name"),
    "truncated",
)
"""Fields of `Call` that few values share out among many calls: columns of ``series``."""

SPAN_FIELDS: Final = (
    *("time_to_first_token", "time_per_output_token", "queue_wait", "input_tokens", "output_tokens", "resend_count"),
    *("cache_read_input_tokens", "cache_creation_input_tokens", "reasoning_output_tokens", "time_to_first_chunk"),
    *("stream_chunks", "stream_max_gap", "connection_wait", "backoff", "retry_after", "remaining_requests"),
    *("remaining_tokens", "max_tokens", "seed", "server_queue_time", "server_prefill_time", "server_decode_time"),
    "response_id",
)
"""Fields of `Call` that differ from call to call: columns of ``spans``."""

PARAMETER_FIELDS: Final = (
    *("temperature", "top_p", "top_k", "frequency_penalty", "presence_penalty", "stop_sequences", "choice_count"),
    *("reasoning_level", "encoding_formats", "dimension_count", "limit_requests", "limit_tokens"),
)
"""Fields of `Call` that a program repeats with every call: together one row of ``parameters``."""

SPAN_COLUMNS: Final = (
    *("start_time", "duration", "series", "resource", *SPAN_FIELDS),
    *("trace_id", "span_id", "parent_span_id", "parameters", "attributes", "details"),
)
SERIES_COLUMNS: Final = ("scope", "name", "kind", "status", "flags", *SERIES_FIELDS)
RESOURCE_COLUMNS: Final = ("service", "content")
SCOPE_COLUMNS: Final = ("name", "content")

ATTRIBUTES: Final = {field.name: field.metadata["attribute"] for field in fields(Call) if field.metadata}
"""Field of `Call` to attribute."""

KINDS: Final = {
    name: get_origin(kind) or kind
    for name, hint in get_type_hints(Call).items()
    if name in ATTRIBUTES
    for kind in [next((part for part in get_args(hint) if part is not type(None)), hint)]
}
"""Field of `Call` to the type of its value."""

MAX_ROW: Final = 256 * 1024
"""[byte] What one span may hold in text."""

_CELLS: Final = len(SPAN_FIELDS) + len(SERIES_FIELDS)
_REST: Final = -1
_PARAMETER: Final = -2
_CLEANED: Final = -3
_DROPPED: Final = -4
_PLACES: Final = {ATTRIBUTES[name]: (index, KINDS[name]) for index, name in enumerate(SPAN_FIELDS + SERIES_FIELDS)} | {
    ATTRIBUTES[name]: (_PARAMETER, object) for name in PARAMETER_FIELDS
}
_MAX_PLACES: Final = 4096
_REASONS: Final = SERIES_FIELDS.index("finish_reasons")
_RESPONSE_ID: Final = SPAN_FIELDS.index("response_id")
_OPERATION: Final = ATTRIBUTES["operation"]
_HUGE: Final = 1e300
_INT63: Final = 2**63
_EMPTY: Final = [None] * _CELLS
_HAS_PLACE: Final = 256
_IS_REMOTE: Final = 512


class Encoder:
    """Makes rows, and the interned rows that they point at, inside the writer's transaction."""

    def __init__(self) -> None:
        self._places: dict[str, tuple[int, Any]] = dict(_PLACES)
        self._series = Table("series", SERIES_COLUMNS)
        self._bare = Table("series", SERIES_COLUMNS, limit=None)  # few: scopes x kinds x statuses x flags x operations
        self._parameters = Table("parameters", ("content",))
        self._resources = Table("resources", RESOURCE_COLUMNS, limit=None)
        self._scopes = Table("scopes", SCOPE_COLUMNS, limit=None)
        self._seen: dict[int, tuple[object, int | None]] = {}
        self.overflows = 0

    def forget(self) -> None:
        """Forget every interned id, for the transaction that made them was rolled back or others deleted them."""
        for table in (self._series, self._bare, self._parameters, self._resources, self._scopes):
            table.forget()
        self._seen.clear()

    def span(self, connection: sqlite3.Connection, span: ReadableSpan) -> tuple[object, ...]:
        """The row of ``spans`` for ``span``, in the order of `SPAN_COLUMNS`.

        Raises:
            ValueError: The span has no identity or no times, or they are beyond 64 bits.
        """
        context, parent, start, end = span.context, span.parent, span.start_time, span.end_time
        if context is None or start is None or end is None:
            message = "a span needs a context, a start and an end"
            raise ValueError(message)
        cells, rest, parameters = self._sort(_copied(span.attributes))
        if cells[_RESPONSE_ID] is not None and not is_clean(cells[_RESPONSE_ID]):
            rest[ATTRIBUTES["response_id"]] = cells[_RESPONSE_ID]
            cells[_RESPONSE_ID] = None
        status = span.status
        flags = int(context.trace_flags)
        if parent is not None:
            flags |= _HAS_PLACE | _IS_REMOTE if parent.is_remote else _HAS_PLACE
        scope = self.scope(connection, span.instrumentation_scope)
        key = (scope, span.name, span.kind.value, status.status_code.value, flags, *cells[len(SPAN_FIELDS) :])
        details: dict[str, Any] = {}
        try:
            series = self._series.known(key)
        except TypeError:
            series = None
        if series is None:
            series = self._new_series(connection, key, rest, details)
        setting: int | None = None
        if parameters:
            setting = self._setting(connection, parameters, rest)
        _describe(span, details)
        return (
            start,
            end - start,
            series,
            self.resource(connection, span.resource),
            *cells[: len(SPAN_FIELDS)],
            context.trace_id.to_bytes(16),
            context.span_id.to_bytes(8),
            None if parent is None else parent.span_id.to_bytes(8),
            setting,
            pack(rest) if rest else None,
            pack(details) if details else None,
        )

    def _sort(self, attributes: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any], dict[str, Any]]:
        """Each attribute into its column, among the parameters, or among the rest."""
        cells = _EMPTY.copy()
        rest: dict[str, Any] = {}
        parameters: dict[str, Any] = {}
        find = self._places.get
        for key, value in attributes.items():
            place = find(key)
            if place is None:
                place = self._learn(key)
            index, kind = place
            if index >= 0:
                if type(value) is kind and (kind is str or _fits(value, kind)):
                    cells[index] = value
                else:
                    rest[key] = value
            elif index == _REST:
                rest[key] = value
            elif index == _PARAMETER:
                parameters[key] = value
            elif index == _CLEANED:
                rest[key] = redaction.clean(key, value)
        return cells, rest, parameters

    def _learn(self, key: str) -> tuple[int, Any]:
        """What becomes of an attribute that has no column."""
        index = {redaction.KEEP: _REST, redaction.CLEAN: _CLEANED, redaction.DROP: _DROPPED}[redaction.verdict(key)]
        if len(self._places) < _MAX_PLACES:
            self._places[key] = (index, object)
        return index, object

    def _new_series(
        self, connection: sqlite3.Connection, key: tuple[Any, ...], rest: dict[str, Any], details: dict[str, Any]
    ) -> int:
        """The series of values seen for the first time; beyond the limit the row itself keeps them."""
        head, tail = key[:5], key[5:]
        name = head[1]
        if all(is_clean(value) for value in (name, *tail) if type(value) is str):
            columns = list(tail)
            columns[_REASONS] = pack_value(tail[_REASONS])
            found = self._series.id(connection, key, (*head, *columns))
            if found is not None:
                return found
        self.overflows += 1
        details["name"] = name
        rest.update((ATTRIBUTES[field], value) for field, value in zip(SERIES_FIELDS, tail, strict=True) if value is not None)
        operation = rest.pop(_OPERATION) if rest.get(_OPERATION) in semconv.INFERENCE_OPERATIONS else None
        bare = (head[0], None, *head[2:], operation, *[None] * (len(SERIES_FIELDS) - 1))
        return self._bare.known(bare) or self._bare.id(connection, bare, bare) or 0

    def _setting(self, connection: sqlite3.Connection, parameters: dict[str, Any], rest: dict[str, Any]) -> int | None:
        text = pack(parameters)
        found = self._parameters.known(text)
        if found is None:
            found = self._parameters.id(connection, text, (text,))
        if found is None:
            self.overflows += 1
            rest.update(parameters)
        return found

    def resource(self, connection: sqlite3.Connection, resource: Any) -> int | None:
        seen = self._seen.get(id(resource))
        if seen is not None:
            return seen[1]
        content = {"attributes": redaction.clean_attributes(resource.attributes), "schema_url": resource.schema_url}
        service = content["attributes"].get("service.name")
        if not (isinstance(service, str) and is_clean(service)):
            service = None
        text = pack(content)
        return self._remember(resource, self._resources.id(connection, text, (service, text)))

    def scope(self, connection: sqlite3.Connection, scope: Any) -> int | None:
        if scope is None:
            return None
        seen = self._seen.get(id(scope))
        if seen is not None:
            return seen[1]
        text = pack(
            {
                "name": scope.name,
                "version": scope.version,
                "schema_url": scope.schema_url,
                "attributes": dict(scope.attributes or {}),
            }
        )
        name = scope.name if isinstance(scope.name, str) and is_clean(scope.name) else None
        return self._remember(scope, self._scopes.id(connection, text, (name, text)))

    def _remember(self, thing: object, number: int | None) -> int | None:
        """By identity, and holding on to it: an id() is given again once its owner is gone."""
        if len(self._seen) >= 256:
            self._seen.clear()
        self._seen[id(thing)] = (thing, number)
        return number


def _copied(attributes: Any) -> Mapping[str, Any]:
    """``attributes`` as a dict: the SDK's own mapping answers each look-up in Python."""
    try:
        copied: Mapping[str, Any] = attributes.copy()
    except AttributeError:
        return dict(attributes or {})
    return copied


def _fits(value: Any, kind: type) -> bool:
    """Whether a column gives ``value`` back as it is: SQLite has no NaN, no negative zero and no wider integers."""
    if kind is float:
        return 0.0 < value < _HUGE or (isfinite(value) and (value != 0.0 or copysign(1.0, value) > 0.0))
    if kind is int:
        return -_INT63 <= value < _INT63
    return kind is not tuple or all(type(item) is str for item in value)


def _describe(span: ReadableSpan, details: dict[str, Any]) -> None:
    """Into ``details``: what a span of ours mostly lacks."""
    if span.status.description:
        details["description"] = redaction.clean_text(span.status.description)
    state = span.context.trace_state
    if state:
        details["trace_state"] = state.to_header()
    if span.parent is not None and span.parent.trace_id != span.context.trace_id:
        details["parent_trace_id"] = f"{span.parent.trace_id:032x}"
    events, links = span.events, span.links
    if events:
        details["events"] = [
            {
                "name": event.name,
                "time_unix_nano": event.timestamp,
                "attributes": redaction.clean_attributes(event.attributes),
                "dropped_attributes": event.dropped_attributes,
            }
            for event in events
        ]
    if links:
        details["links"] = [
            {
                "trace_id": f"{link.context.trace_id:032x}",
                "span_id": f"{link.context.span_id:016x}",
                "trace_state": link.context.trace_state.to_header(),
                "flags": int(link.context.trace_flags) | (_HAS_PLACE | _IS_REMOTE if link.context.is_remote else _HAS_PLACE),
                "attributes": redaction.clean_attributes(link.attributes),
                "dropped_attributes": link.dropped_attributes,
            }
            for link in links
        ]
    for name in ("dropped_attributes", "dropped_events", "dropped_links"):
        if count := getattr(span, name):
            details[name] = count
