"""Room store: stored spans as an OTLP request, from the rows to bytes. Reads resources, scopes and series; no clock.

What a series, a resource or a setting says is written once and kept as bytes, so that a span costs what it has for its
own. The result is what the SDK's encoder makes of the same spans, but for the order of attributes, and for a link's
trace state, which the SDK leaves out. Source: opentelemetry/proto/trace/v1/trace.proto.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Any, Final

from otel_llm.calls import ATTRIBUTES, KINDS
from otel_llm.store.plans import SERIES_FIELDS, SPAN_FIELDS
from otel_llm.store.protobuf import attributes, field, text, varint, writer
from otel_llm.store.values import unpack, unpack_value

COLUMNS: Final = ", ".join(
    f"spans.{name}"
    for name in (
        *("id", "start_time", "duration", "trace_id", "span_id", "parent_span_id", "resource", "series"),
        *("parameters", "attributes", "details"),
        *SPAN_FIELDS,
    )
)
"""Of ``spans``; no other table is joined."""

_FIRST_FIELD: Final = 11
_ATTRIBUTE: Final = b"\x4a"
_FIELDS: Final = tuple(writer(_ATTRIBUTE, ATTRIBUTES[name], KINDS[name]) for name in SPAN_FIELDS)
_SERIES: Final = f"SELECT scope, name, kind, status, flags, {', '.join(SERIES_FIELDS)} FROM series WHERE id = ?"  # noqa: S608
_TIMES: Final = Struct("<cQcQ").pack
_FIXED64: Final = Struct("<cQ").pack
_FIXED32: Final = Struct("<I").pack
_FLAGS: Final = b"\x85\x01"
_LINK_FLAGS: Final = b"\x35"
_HAS_PLACE: Final = 256
_IS_REMOTE: Final = 512
_DROPPED: Final = (("dropped_attributes", b"\x50"), ("dropped_events", b"\x60"), ("dropped_links", b"\x70"))
_MOST_KEPT: Final = 4096
_LAST: Final = 2**64 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Series:
    """What the spans of a series share, as bytes.

    Attributes:
        scope: Row of ``scopes``.
        shared: Name, kind, attributes and flags.
        named: Whether the name is among them.
        code: The status code.
        status: The status of a span without a message.
    """

    scope: int | None
    shared: bytes
    named: bool
    code: int
    status: bytes


class SpanEncoder:
    """Makes requests of rows of `COLUMNS`.

    Args:
        sqlite: Where the rows came from.
    """

    def __init__(self, sqlite: sqlite3.Connection) -> None:
        self._sqlite = sqlite
        self._series: dict[int, _Series] = {}
        self._parameters: dict[int, bytes] = {}
        self._owners = Owners(sqlite)

    def request(self, rows: Iterable[Sequence[Any]]) -> bytes:
        """An ``ExportTraceServiceRequest`` with the spans of ``rows``, by resource and scope."""
        groups: dict[int, dict[int | None, list[bytes]]] = {}
        for row in rows:
            series = self._series.get(row[7]) or self._new_series(row[7])
            groups.setdefault(row[6], {}).setdefault(series.scope, []).append(self._span(row, series))
        return self._owners.request(groups)

    def _span(self, row: Sequence[Any], series: _Series) -> bytes:
        _, start, duration, trace_id, span_id, parent, _, _, parameters, rest, extra = row[:_FIRST_FIELD]
        parts = [
            b"\x0a\x10",
            trace_id,
            b"\x12\x08",
            span_id,
            series.shared,
            _TIMES(b"\x39", start & _LAST, b"\x41", (start + duration) & _LAST),
        ]
        if parent is not None:
            parts += b"\x22\x08", parent
        if parameters is not None:
            parts.append(self._parameters.get(parameters) or self._new_parameters(parameters))
        if rest:
            parts.append(attributes(_ATTRIBUTE, unpack(rest)))
        parts += [write(value) for write, value in zip(_FIELDS, row[_FIRST_FIELD:], strict=True) if value is not None]
        parts.append(_details(unpack(extra), series) if extra else series.status)
        content = b"".join(parts)
        return b"\x12" + varint(len(content)) + content

    def _new_series(self, number: int) -> _Series:
        if len(self._series) >= _MOST_KEPT:
            self._series.clear()
        scope, name, kind, status, flags, *values = self._sqlite.execute(_SERIES, (number,)).fetchone()
        shared = field(b"\x2a", text(name)) if name is not None else b""
        shared += b"\x30" + varint(kind + 1)
        for column, value in zip(SERIES_FIELDS, values, strict=True):
            if value is not None:
                of_kind = KINDS[column]
                said = bool(value) if of_kind is bool else unpack_value(value) if of_kind is tuple else value
                shared += attributes(_ATTRIBUTE, {ATTRIBUTES[column]: said})
        made = self._series[number] = _Series(
            scope=scope,
            shared=shared + _FLAGS + _FIXED32(_HAS_PLACE | flags & _IS_REMOTE),
            named=name is not None,
            code=status,
            status=field(b"\x7a", _status(status, None)),
        )
        return made

    def _new_parameters(self, number: int) -> bytes:
        if len(self._parameters) >= _MOST_KEPT:
            self._parameters.clear()
        (content,) = self._sqlite.execute("SELECT content FROM parameters WHERE id = ?", (number,)).fetchone()
        made = self._parameters[number] = attributes(_ATTRIBUTE, unpack(content))
        return made


class Owners:
    """Resources and scopes as bytes, and what belongs to them put below them.

    Args:
        sqlite: Where they are kept.
    """

    def __init__(self, sqlite: sqlite3.Connection) -> None:
        self._sqlite = sqlite
        self._resources: dict[int, tuple[bytes, bytes]] = {}
        self._scopes: dict[int | None, tuple[bytes, bytes]] = {None: (b"\x0a\x00", b"")}

    def request(self, groups: Mapping[int, Mapping[int | None, Sequence[bytes]]]) -> bytes:
        """The request with the items of ``groups``, which are by resource and scope, each a field 2.

        Spans, metrics and logs have the same numbers for these levels.
        """
        whole = []
        for resource, by_scope in groups.items():
            before, after = self._resources.get(resource) or self._new_resource(resource)
            inner = [before]
            for scope, items in by_scope.items():
                head, schema = self._scopes.get(scope) or self._new_scope(scope)
                inner.append(field(b"\x12", head + b"".join(items) + schema))
            whole.append(field(b"\x0a", b"".join([*inner, after])))
        return b"".join(whole)

    def _new_resource(self, number: int) -> tuple[bytes, bytes]:
        if len(self._resources) >= _MOST_KEPT:
            self._resources.clear()
        row = self._sqlite.execute("SELECT content FROM resources WHERE id = ?", (number,)).fetchone()
        content = unpack(row[0]) if row else {}
        message = field(b"\x0a", attributes(b"\x0a", content.get("attributes", {})))
        made = self._resources[number] = message, _schema(content)
        return made

    def _new_scope(self, number: int | None) -> tuple[bytes, bytes]:
        if len(self._scopes) >= _MOST_KEPT:
            self._scopes.clear()
        row = self._sqlite.execute("SELECT content FROM scopes WHERE id = ?", (number,)).fetchone()
        content = unpack(row[0]) if row else {}
        message = b"".join(
            field(tag, text(content[key])) for tag, key in ((b"\x0a", "name"), (b"\x12", "version")) if content.get(key)
        )
        message += attributes(b"\x1a", content.get("attributes") or {})
        made = self._scopes[number] = field(b"\x0a", message), _schema(content)
        return made


def _schema(content: Mapping[str, Any]) -> bytes:
    url = content.get("schema_url")
    return field(b"\x1a", text(url)) if url else b""


def _status(code: int, message: str | None) -> bytes:
    said = field(b"\x12", text(message)) if message else b""
    return said + (b"\x18" + varint(code) if code else b"")


def _details(details: Mapping[str, Any], series: _Series) -> bytes:
    """What few spans have, and the status."""
    parts = []
    if not series.named and "name" in details:
        parts.append(field(b"\x2a", text(details["name"])))
    if state := details.get("trace_state"):
        parts.append(field(b"\x1a", text(state)))
    parts += [field(b"\x5a", _event(event)) for event in details.get("events", ())]
    parts += [field(b"\x6a", _link(link)) for link in details.get("links", ())]
    parts += [tag + varint(details[key]) for key, tag in _DROPPED if details.get(key)]
    parts.append(field(b"\x7a", _status(series.code, details.get("description"))))
    return b"".join(parts)


def _event(event: Mapping[str, Any]) -> bytes:
    said = _FIXED64(b"\x09", event["time_unix_nano"] & _LAST) + field(b"\x12", text(event["name"]))
    said += attributes(b"\x1a", event.get("attributes") or {})
    dropped = event.get("dropped_attributes")
    return said + (b"\x20" + varint(dropped) if dropped else b"")


def _link(link: Mapping[str, Any]) -> bytes:
    said = field(b"\x0a", bytes.fromhex(link["trace_id"])) + field(b"\x12", bytes.fromhex(link["span_id"]))
    if state := link.get("trace_state"):
        said += field(b"\x1a", text(state))
    said += attributes(b"\x22", link.get("attributes") or {})
    if dropped := link.get("dropped_attributes"):
        said += b"\x28" + varint(dropped)
    return said + _LINK_FLAGS + _FIXED32(_HAS_PLACE | link.get("flags", 0) & _IS_REMOTE)
