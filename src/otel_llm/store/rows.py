"""Room store: finished spans, log records and metric points become rows. Runs on the writer's thread.

Which field of a `Call` has a column, and where, is said once, here; `schema/` follows and a test compares the two.
Written for speed, for the user's machine pays for each span: values move in C (`map`, `itemgetter`) and are judged
together.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import fields
from itertools import repeat
from math import copysign, isfinite
from operator import itemgetter
from typing import Any, Final, get_args, get_origin, get_type_hints

from opentelemetry.sdk.trace import ReadableSpan

from otel_llm import semconv
from otel_llm.call import Call
from otel_llm.store import redaction
from otel_llm.store.interning import Table
from otel_llm.store.values import is_clean, pack, pack_value

SPAN_FIELDS: Final = (
    *("time_to_first_token", "time_per_output_token", "queue_wait", "time_to_first_chunk", "stream_max_gap"),
    *("connection_wait", "backoff", "retry_after", "server_queue_time", "server_prefill_time", "server_decode_time"),
    *("input_tokens", "output_tokens", "resend_count", "cache_read_input_tokens", "cache_creation_input_tokens"),
    *("reasoning_output_tokens", "stream_chunks", "remaining_requests", "remaining_tokens", "max_tokens", "seed"),
    "response_id",
)
"""Fields of `Call` that differ from call to call: columns of ``spans``."""

PARAMETER_FIELDS: Final = (
    *("temperature", "top_p", "top_k", "frequency_penalty", "presence_penalty", "stop_sequences", "choice_count"),
    *("reasoning_level", "encoding_formats", "dimension_count", "limit_requests", "limit_tokens"),
)
"""Fields of `Call` that a program repeats with every call: together one row of ``parameters``."""

SERIES_FIELDS: Final = (
    *("operation", "provider", "request_model", "response_model", "server_address", "server_port", "stream"),
    *("finish_reasons", "usage_source", "outcome", "error_type", "error_code", "status_code", "queue_name"),
    "truncated",
)
"""Fields of `Call` that few values share out among many calls: columns of ``series``."""

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

_FIELDS: Final = SPAN_FIELDS + PARAMETER_FIELDS + SERIES_FIELDS
_NAMES: Final = tuple(ATTRIBUTES[field] for field in _FIELDS)
_CELL_KINDS: Final = tuple(KINDS[field] for field in _FIELDS)
_SPAN: Final = slice(len(SPAN_FIELDS))
_PARAMETERS: Final = slice(len(SPAN_FIELDS), len(SPAN_FIELDS) + len(PARAMETER_FIELDS))
_SERIES: Final = slice(len(SPAN_FIELDS) + len(PARAMETER_FIELDS), len(_FIELDS))
_FLOATS: Final = tuple(index for index, kind in enumerate(_CELL_KINDS) if kind is float)
_TUPLES: Final = tuple(index for index, kind in enumerate(_CELL_KINDS) if kind is tuple)
_pick_floats: Final = itemgetter(*_FLOATS)
_pick_tuples: Final = itemgetter(*_TUPLES)
_NO_PARAMETERS: Final = (None,) * len(PARAMETER_FIELDS)
_REASONS: Final = SERIES_FIELDS.index("finish_reasons")
_OPERATION: Final = ATTRIBUTES["operation"]
_INT63: Final = 2**63
_MAX_REMEMBERED: Final = 4096
_MAX_OWNERS: Final = 256
_HAS_PLACE: Final = 256
_IS_REMOTE: Final = 512


class Encoder:
    """Makes rows, and the interned rows that they point at, inside the writer's transaction."""

    def __init__(self) -> None:
        self._shapes: set[tuple[type, ...]] = set()
        self._verdicts: dict[str, int] = {}
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

    def span(self, connection: sqlite3.Connection, span: ReadableSpan, *, careful: bool = False) -> tuple[object, ...]:
        """The row of ``spans`` for ``span``, in the order of `SPAN_COLUMNS`.

        Args:
            connection: Inside a write transaction.
            span: Finished.
            careful: Look at every value. Otherwise integers beyond 64 bits and lone surrogates in texts are only found
                when SQLite refuses them.

        Raises:
            ValueError: The span has no identity or no times.
            OverflowError: An integer is beyond 64 bits; `careful` finds it a place.
            UnicodeEncodeError: A text holds a lone surrogate; `careful` finds it a place.
        """
        context, parent, start, end = span.context, span.parent, span.start_time, span.end_time
        if context is None or start is None or end is None:
            message = "a span needs a context, a start and an end"
            raise ValueError(message)
        rest = _copied(span.attributes)
        cells = self._take_cells(rest, careful=careful)
        if rest:
            self._judge(rest)
        status, flags = span.status, context.trace_flags
        if parent is not None:
            flags |= _HAS_PLACE | _IS_REMOTE if parent.is_remote else _HAS_PLACE
        details = _details(span)
        key = (
            self.scope(connection, span.instrumentation_scope),
            span.name,
            span.kind._value_,  # the public property costs four times as much
            status.status_code._value_,
            flags,
            *cells[_SERIES],
        )
        series = self._series.known(key)
        if series is None:
            series = self._new_series(connection, key, rest, details)
        setting = tuple(cells[_PARAMETERS])
        return (
            start,
            end - start,
            series,
            self.resource(connection, span.resource),
            *cells[_SPAN],
            context.trace_id.to_bytes(16),
            context.span_id.to_bytes(8),
            None if parent is None else parent.span_id.to_bytes(8),
            None if setting == _NO_PARAMETERS else self._setting(connection, setting, rest),
            pack(rest) if rest else None,
            pack(details) if details else None,
        )

    def _take_cells(self, rest: dict[str, Any], *, careful: bool) -> list[Any]:
        """Take out of ``rest`` what has a column and fits it; other cells are ``None``.

        Most spans look like one before: the types are compared all at once.
        """
        cells = list(map(rest.pop, _NAMES, repeat(None)))
        shape = tuple(map(type, cells))
        floats = _pick_floats(cells)
        told = list(filter(None, floats))
        usual = (
            not careful
            and shape in self._shapes
            and len(told) + floats.count(None) == len(floats)  # a zero may be a negative one
            and isfinite(sum(told))
            and all(type(item) is str for items in _pick_tuples(cells) if items is not None for item in items)
        )
        if usual:
            return cells
        fitting = True
        for index, value in enumerate(cells):
            if value is not None and not _fits(value, _CELL_KINDS[index]):
                rest[_NAMES[index]] = value
                cells[index] = None
                fitting = False
        if fitting and len(self._shapes) < _MAX_REMEMBERED:
            self._shapes.add(shape)
        return cells

    def _judge(self, rest: dict[str, Any]) -> None:
        """Remove from ``rest`` what must never be stored."""
        for key in list(rest):
            verdict = self._verdicts.get(key)
            if verdict is None:
                verdict = redaction.verdict(key)
                if len(self._verdicts) < _MAX_REMEMBERED:
                    self._verdicts[key] = verdict
            if verdict == redaction.DROP:
                del rest[key]
            elif verdict == redaction.CLEAN:
                rest[key] = redaction.clean(key, rest[key])

    def _new_series(
        self, connection: sqlite3.Connection, key: tuple[Any, ...], rest: dict[str, Any], details: dict[str, Any]
    ) -> int:
        """The series of values seen for the first time; beyond the limit the row itself keeps them."""
        head, tail = key[:5], key[5:]
        name = head[1]
        if is_clean(name):
            columns = list(tail)
            columns[_REASONS] = pack_value(tail[_REASONS])
            found = self._series.id(connection, key, (*head, *columns))
            if found is not None:
                return found
        self.overflows += 1
        details["name"] = name
        rest.update(_said(SERIES_FIELDS, tail))
        operation = rest.pop(_OPERATION) if rest.get(_OPERATION) in semconv.INFERENCE_OPERATIONS else None
        bare = (head[0], None, *head[2:], operation, *[None] * (len(SERIES_FIELDS) - 1))
        return self._bare.known(bare) or self._bare.id(connection, bare, bare) or 0

    def _setting(self, connection: sqlite3.Connection, setting: tuple[Any, ...], rest: dict[str, Any]) -> int | None:
        found = self._parameters.known(setting)
        if found is None:
            said = _said(PARAMETER_FIELDS, setting)
            found = self._parameters.id(connection, setting, (pack(said),))
            if found is None:
                self.overflows += 1
                rest.update(said)
        return found

    def resource(self, connection: sqlite3.Connection, resource: Any) -> int | None:
        """The id of a resource."""
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
        """The id of an instrumentation scope, ``None`` for none."""
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
        if len(self._seen) >= _MAX_OWNERS:
            self._seen.clear()
        self._seen[id(thing)] = (thing, number)
        return number


def _said(fields_of: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    """Attributes again, of what is known."""
    return {ATTRIBUTES[name]: value for name, value in zip(fields_of, values, strict=True) if value is not None}


def _copied(attributes: Any) -> dict[str, Any]:
    """A dict of ``attributes`` to take apart; the SDK's own mapping copies itself fast but answers slowly."""
    try:
        copied = attributes.copy()
    except AttributeError:
        copied = attributes
    return copied if type(copied) is dict else dict(copied or {})


def _fits(value: Any, kind: type) -> bool:
    """Whether a column gives ``value`` back as it is: SQLite has no NaN, no negative zero and no wider integers."""
    if type(value) is not kind:
        return False
    if kind is float:
        return isfinite(value) and (value != 0.0 or copysign(1.0, value) > 0.0)
    if kind is int:
        return bool(-_INT63 <= value < _INT63)
    if kind is str:
        return is_clean(value)
    return kind is not tuple or all(type(item) is str for item in value)


def _details(span: ReadableSpan) -> dict[str, Any]:
    """What a span of ours mostly lacks."""
    details: dict[str, Any] = {}
    context, parent, events, links = span.context, span.parent, span.events, span.links
    if span.status.description:
        details["description"] = redaction.clean_text(span.status.description)
    if context.trace_state:
        details["trace_state"] = context.trace_state.to_header()
    if parent is not None and parent.trace_id != context.trace_id:
        details["parent_trace_id"] = f"{parent.trace_id:032x}"
    if events:
        details["events"] = [_event(event) for event in events]
    if links:
        details["links"] = [_link(link) for link in links]
    for name, count in (
        ("dropped_attributes", span.dropped_attributes),
        ("dropped_events", span.dropped_events),
        ("dropped_links", span.dropped_links),
    ):
        if count:
            details[name] = count
    return details


def _event(event: Any) -> dict[str, Any]:
    return {
        "name": event.name,
        "time_unix_nano": event.timestamp,
        "attributes": redaction.clean_attributes(event.attributes),
        "dropped_attributes": event.dropped_attributes,
    }


def _link(link: Any) -> dict[str, Any]:
    place = _HAS_PLACE | _IS_REMOTE if link.context.is_remote else _HAS_PLACE
    return {
        "trace_id": f"{link.context.trace_id:032x}",
        "span_id": f"{link.context.span_id:016x}",
        "trace_state": link.context.trace_state.to_header(),
        "flags": link.context.trace_flags | place,
        "attributes": redaction.clean_attributes(link.attributes),
        "dropped_attributes": link.dropped_attributes,
    }
