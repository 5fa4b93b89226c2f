"""Room store: finished spans become rows. Runs on the writer's thread, inside its transaction.

Only what a span has is written: a row is its values together with the statement that takes them, for Python's sqlite3
spends more on a ``None`` than on a number.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, Final

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext

from otel_llm import semconv
from otel_llm.calls import ATTRIBUTES
from otel_llm.store import redaction
from otel_llm.store.interning import Table
from otel_llm.store.plans import PARAMETER_FIELDS, SERIES_FIELDS, Plan, Plans
from otel_llm.store.values import is_clean, pack, pack_value, shorten

SERIES_COLUMNS: Final = ("scope", "name", "kind", "status", "flags", *SERIES_FIELDS)
RESOURCE_COLUMNS: Final = ("service", "content")
SCOPE_COLUMNS: Final = ("name", "content")

MAX_TEXT: Final = 120 * 1024
"""[byte] How long a row's attributes and its details may be, each; what is longer is cut and says so."""

MAX_CONTENT: Final = 512 * 1024
"""[byte] What content may add to that: four attributes of 64 KiB, which are JSON in JSON here."""

_ALWAYS: Final = ("start_time", "duration", "series", "resource", "trace_id", "span_id")
_SOMETIMES: Final = ("parent_span_id", "parameters", "attributes", "details")
_REASONS: Final = SERIES_FIELDS.index("finish_reasons")
_OPERATION: Final = ATTRIBUTES["operation"]
_NOTHING: Final = (None,)
_MAX_SHARED: Final = 1024
_MAX_OWNERS: Final = 256
_HAS_PLACE: Final = 256
_IS_REMOTE: Final = 512


class Encoder:
    """Makes rows, and the interned rows that they point at, inside the writer's transaction."""

    def __init__(self) -> None:
        self._plans = Plans()
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

    def span(
        self, connection: sqlite3.Connection, span: ReadableSpan, *, careful: bool = False
    ) -> tuple[str, list[object]]:
        """The statement that inserts ``span``, and its values.

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
        details = _details(span, context) if careful or _has_details(span, context) else {}
        attributes = _held(span, public=careful)
        names, values = tuple(attributes), tuple(attributes.values())
        plan = self._plans.plan(names, tuple(map(type, values)))
        if careful or not plan.suits(values):
            plan = self._plans.careful(names, values)
        values += _NOTHING
        rest = plan.remainder(values) if plan.rest else {}
        flags = context.trace_flags
        if parent is not None:
            flags |= _HAS_PLACE | _IS_REMOTE if parent.is_remote else _HAS_PLACE
        key = (
            self.scope(connection, span.instrumentation_scope),
            span.name,
            span.kind._value_,  # the public property costs four times as much
            span.status.status_code._value_,
            flags,
            plan.series(values),
        )
        series = self._series.known(key) or self._new_series(connection, key, rest, details)
        setting = self._setting(connection, plan.parameters(values), rest) if plan.parameters else None
        row: list[object] = [
            start,
            end - start,
            series,
            self.resource(connection, span.resource),
            bytearray(context.trace_id.to_bytes(16)),  # sqlite3 takes a bytearray faster than bytes
            bytearray(context.span_id.to_bytes(8)),
        ]
        return _completed(
            row, plan, values, None if parent is None else bytearray(parent.span_id.to_bytes(8)), setting, rest, details
        )

    def _new_series(
        self, connection: sqlite3.Connection, key: tuple[Any, ...], rest: dict[str, Any], details: dict[str, Any]
    ) -> int:
        """The series of values seen for the first time; beyond the limit the row itself keeps them."""
        *head, tail = key
        name = head[1]
        if is_clean(name) and all(len(text) <= _MAX_SHARED for text in (name, *tail) if isinstance(text, str)):
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


def insert_into(table: str, columns: Sequence[str]) -> str:
    """The statement that inserts a row, unless it is there already."""
    marks = ",".join("?" * len(columns))
    return f"INSERT OR IGNORE INTO {table} ({','.join(columns)}) VALUES ({marks})"  # noqa: S608


def _completed(  # noqa: PLR0913, PLR0917 - called once, for the sake of its caller's length
    row: list[object],
    plan: Plan,
    values: tuple[Any, ...],
    parent: bytearray | None,
    setting: int | None,
    rest: dict[str, Any],
    details: dict[str, Any],
) -> tuple[str, list[object]]:
    """The statement for a row that begins with `_ALWAYS`, and the row with what it has besides."""
    said = 0
    if parent is not None:
        said = 1
        row.append(parent)
    if setting is not None:
        said |= 2
        row.append(setting)
    if rest:
        said |= 4
        row.append(_packed(rest))
    if details:
        said |= 8
        row.append(_packed(details))
    row += plan.pick(values)
    statement = plan.statements.get(said)
    if statement is None:
        sometimes = [name for bit, name in enumerate(_SOMETIMES) if said >> bit & 1]
        statement = plan.statements[said] = insert_into("spans", (*_ALWAYS, *sometimes, *plan.columns))
    return statement, row


def _said(fields_of: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    """Attributes again, of what is known."""
    return {ATTRIBUTES[name]: value for name, value in zip(fields_of, values, strict=True) if value is not None}


def _held(span: ReadableSpan, *, public: bool) -> Mapping[str, Any]:
    """The span's attributes; unless ``public``, the dict inside the SDK's own mapping, which answers in Python."""
    attributes = span._attributes  # noqa: SLF001
    if not public and type(attributes) is BoundedAttributes:
        return attributes._dict  # noqa: SLF001 - ended, so nobody writes to it
    return dict(span.attributes or {})


def _has_details(span: ReadableSpan, context: SpanContext) -> bool:
    """Whether there are `_details`, asked of the SDK's own lists: its properties copy them, mostly to show nothing."""
    attributes, events, links, parent = span._attributes, span._events, span._links, span.parent  # noqa: SLF001
    return bool(
        events
        or links
        or span.status.description
        or context.trace_state
        or type(attributes) is not BoundedAttributes
        or attributes.dropped
        or getattr(events, "dropped", 0)
        or getattr(links, "dropped", 0)
        or (parent is not None and parent.trace_id != context.trace_id)
    )


def _details(span: ReadableSpan, context: SpanContext) -> dict[str, Any]:
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


def _packed(content: dict[str, Any]) -> str:
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
    place = _HAS_PLACE | _IS_REMOTE if link.context.is_remote else _HAS_PLACE
    return {
        "trace_id": f"{link.context.trace_id:032x}",
        "span_id": f"{link.context.span_id:016x}",
        "trace_state": link.context.trace_state.to_header(),
        "flags": link.context.trace_flags | place,
        "attributes": redaction.clean_attributes(link.attributes),
        "dropped_attributes": link.dropped_attributes,
    }
