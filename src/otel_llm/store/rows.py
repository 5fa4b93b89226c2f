"""Room store: finished spans become rows. Runs on the writer's thread, inside its transaction.

Only what a span has is written: a row is its values together with the statement that takes them, for Python's sqlite3
spends more on a ``None`` than on a number.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import compress, repeat
from operator import attrgetter, not_, or_, sub
from typing import Any, Final, TypeAlias

from opentelemetry.sdk.trace import ReadableSpan

from otel_llm import semconv
from otel_llm.calls import ATTRIBUTES
from otel_llm.store import redaction
from otel_llm.store.alike import Columns, place_of, sort
from otel_llm.store.details import details_of, packed
from otel_llm.store.interning import Table
from otel_llm.store.plans import PARAMETER_FIELDS, SERIES_FIELDS, Plan, Plans, Values
from otel_llm.store.values import is_clean, pack, pack_value
from otel_llm.store.written import Written

SERIES_COLUMNS: Final = ("scope", "name", "kind", "status", "flags", *SERIES_FIELDS)
RESOURCE_COLUMNS: Final = ("service", "content")
SCOPE_COLUMNS: Final = ("name", "content")

_ALWAYS: Final = ("start_time", "duration", "series", "resource", "trace_id", "span_id")
_SOMETIMES: Final = ("parent_span_id", "parameters", "attributes", "details")
_REASONS: Final = SERIES_FIELDS.index("finish_reasons")
_OPERATION: Final = ATTRIBUTES["operation"]
_NOTHING: Final = (None,)
_OUTSIDE: Final = attrgetter(
    *("context", "parent", "start_time", "end_time", "name", "kind._value_", "status.status_code._value_"),
    *("instrumentation_scope", "resource", "attributes", "status.description", "dropped_attributes"),
    *("events", "dropped_events", "links", "dropped_links"),
)
"""The same through the public properties, which are many times as dear and work for whatever is like a span."""

TOGETHER: Final = 24
"""Rows that one statement inserts where there are enough; with all columns it has some 800 parameters."""

_Common: TypeAlias = tuple[int, int | None, Values]
"""What a span has in common with others: the ids of its series and its setting, and the values that told them."""

Insert: TypeAlias = tuple[str, str]
"""The statements that insert one row, and `TOGETHER` rows."""

_MAX_COMMON: Final = 20_000
_MAX_SHARED: Final = 1024
_MAX_OWNERS: Final = 256


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
        self._common: dict[tuple[Any, ...], _Common] = {}
        self.overflows = 0

    def forget(self) -> None:
        """Forget every interned id, for the transaction that made them was rolled back or others deleted them."""
        for table in (self._series, self._bare, self._parameters, self._resources, self._scopes):
            table.forget()
        self._seen.clear()
        self._common.clear()

    def span(
        self, connection: sqlite3.Connection, span: ReadableSpan, *, careful: bool = False
    ) -> tuple[Insert, list[object]]:
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
        context, parent, start, end, name, kind, status, scope, resource, held, *rarities = _OUTSIDE(span)
        if context is None or start is None or end is None:
            message = "a span needs a context, a start and an end"
            raise ValueError(message)
        flags, above = context.trace_flags, None
        if parent is not None:
            flags |= place_of(parent)
            above = bytearray(parent.span_id.to_bytes(8))
        rare = any(rarities) or context.trace_state or (parent is not None and parent.trace_id != context.trace_id)
        details = details_of(span, context) if rare else {}
        names, values = tuple(held or ()), tuple(held.values() if held else ())
        plan = self._plans.plan(names, tuple(map(type, values)))
        if careful or not plan.suits(values):
            plan = self._plans.careful(names, values)
        whole = values + _NOTHING
        rest = plan.remainder(whole) if plan.rest else {}
        key = (plan.sharing, self.scope(connection, scope), name, kind, status, flags, plan.shared(whole))
        common = self._common.get(key)
        if common is None:
            if not careful and self._plans.careful(names, values) is not plan:
                return self.span(connection, span, careful=True)
            common = self._new_common(connection, plan, key, whole, rest, details)
        row: list[object] = [
            start,
            end - start,
            common[0],
            self.resource(connection, resource),
            bytearray(context.trace_id.to_bytes(16)),  # sqlite3 takes a bytearray faster than bytes
            bytearray(context.span_id.to_bytes(8)),
        ]
        return _completed(row, plan, whole, above, common[1], rest, details)

    def rows(
        self, connection: sqlite3.Connection, spans: Sequence[ReadableSpan], kept: list[ReadableSpan | Written]
    ) -> Iterator[tuple[Insert, Iterable[Sequence[object]]]]:
        """The statements that insert ``spans``, each with its rows.

        Spans that say nothing out of the way are taken many at a time, column by column, which goes on in C; the others
        one by one.

        Args:
            connection: Inside a write transaction.
            spans: Finished.
            kept: Gets what each can be written again from.

        Raises:
            Exception: One of them is odd; `span`, asked to be careful, knows what to do with it.
        """
        groups, odd = sort(spans, self._plans)
        for (plan, place), members in groups.items():
            group, columns = members, members.columns()
            known = self._known(connection, plan, place, columns, group.common)
            found = [*filter(None, known)]
            if not found:
                odd += group.spans
                continue
            if len(found) < len(known):
                odd += compress(group.spans, map(not_, known))
                group = group.only(known)
                columns = group.columns()
            shared = [values for _, _, values in found]
            kept += map(Written, group.heads, repeat(plan.names), group.own, shared)
            yield self._together(connection, plan, place, columns, group.own, found)
        kept += odd
        singles: defaultdict[Insert, list[list[object]]] = defaultdict(list)
        for span in odd:
            statement, row = self.span(connection, span)
            singles[statement].append(row)
        yield from singles.items()

    def _known(
        self, connection: sqlite3.Connection, plan: Plan, place: int, columns: Columns, common: Iterable[Values]
    ) -> list[_Common | None]:
        """What each has in common with spans before it; ``None`` for the first of its kind."""
        _, _, _, flags, *_ = zip(*columns.contexts, strict=True)
        if place:
            flags = tuple(map(or_, flags, repeat(place)))
        owners = self._numbers(connection, columns.scopes, self.scope)
        heads = (owners, columns.names, columns.kinds, columns.statuses, flags)
        return [*map(self._common.get, zip(repeat(plan.sharing), *heads, common, strict=False))]

    def _together(
        self,
        connection: sqlite3.Connection,
        plan: Plan,
        place: int,
        columns: Columns,
        own: Iterable[Values],
        known: Iterable[_Common],
    ) -> tuple[Insert, Iterable[Sequence[object]]]:
        """The statement for spans with the same plan and parent's place, and their rows."""
        trace_ids, span_ids, *_ = zip(*columns.contexts, strict=True)
        series, settings, _ = zip(*known, strict=True)
        row: list[Iterable[object]] = [
            columns.starts,
            map(sub, columns.ends, columns.starts),
            series,
            self._numbers(connection, columns.resources, self.resource),
            map(bytearray, map(int.to_bytes, trace_ids, repeat(16))),
            map(bytearray, map(int.to_bytes, span_ids, repeat(8))),
        ]
        if place:
            _, parent_ids, *_ = zip(*columns.parents, strict=True)
            row.append(map(bytearray, map(int.to_bytes, parent_ids, repeat(8))))
        if plan.parameters is not None:
            row.append(settings)
        said = bool(place) | (plan.parameters is not None) << 1
        return _statement(plan, said), zip(*row, *zip(*own, strict=True), strict=False)

    def _numbers(
        self,
        connection: sqlite3.Connection,
        owners: Sequence[object],
        number: Callable[[sqlite3.Connection, Any], int | None],
    ) -> Iterable[int | None]:
        """The ids of ``owners``, which mostly are one."""
        places = [*map(id, owners)]
        if places.count(places[0]) == len(places):
            return repeat(number(connection, owners[0]), len(places))
        return [number(connection, owner) for owner in owners]

    def _new_common(
        self,
        connection: sqlite3.Connection,
        plan: Plan,
        key: tuple[Any, ...],
        values: tuple[Any, ...],
        rest: dict[str, Any],
        details: dict[str, Any],
    ) -> _Common:
        """What values seen for the first time have in common; remembered where both numbers are of rows."""
        _, *head, _ = key
        whole = self.overflows
        said = (*head, plan.series(values))
        series = self._series.known(said) or self._new_series(connection, said, rest, details)
        setting = self._setting(connection, plan.parameters(values), rest) if plan.parameters else None
        if self.overflows == whole:
            if len(self._common) >= _MAX_COMMON:
                self._common.clear()
            self._common[key] = (series, setting, key[-1])
        return series, setting, key[-1]

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


def insert_into(table: str, columns: Sequence[str], rows: int = 1) -> str:
    """The statement that inserts ``rows`` rows, each unless it is there already."""
    marks = f"({','.join('?' * len(columns))})"
    return f"INSERT OR IGNORE INTO {table} ({','.join(columns)}) VALUES {','.join([marks] * rows)}"  # noqa: S608


def _completed(  # noqa: PLR0913, PLR0917 - called once, for the sake of its caller's length
    row: list[object],
    plan: Plan,
    values: tuple[Any, ...],
    parent: bytearray | None,
    setting: int | None,
    rest: dict[str, Any],
    details: dict[str, Any],
) -> tuple[Insert, list[object]]:
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
        row.append(packed(rest))
    if details:
        said |= 8
        row.append(packed(details))
    row += plan.pick(values)
    return _statement(plan, said), row


def _statement(plan: Plan, said: int) -> Insert:
    """The INSERT for spans of a plan that say some of `_SOMETIMES`, a bit each."""
    statement = plan.statements.get(said)
    if statement is None:
        sometimes = [name for bit, name in enumerate(_SOMETIMES) if said >> bit & 1]
        columns = (*_ALWAYS, *sometimes, *plan.columns)
        statement = insert_into("spans", columns), insert_into("spans", columns, TOGETHER)
        plan.statements[said] = statement
    return statement


def _said(fields_of: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    """Attributes again, of what is known."""
    return {ATTRIBUTES[name]: value for name, value in zip(fields_of, values, strict=True) if value is not None}
