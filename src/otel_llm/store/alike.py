"""Room store: which spans of a batch go together, column by column. No I/O, no clock."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import compress
from operator import attrgetter
from typing import Any, Final, NamedTuple, Self, TypeAlias

import msgspec
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import DEFAULT_TRACE_STATE, SpanContext

from otel_llm.store.details import HAS_PLACE, IS_REMOTE
from otel_llm.store.plans import Plan, Plans, Values

INSIDE: Final = attrgetter(
    *("_context", "_parent", "_start_time", "_end_time", "_name", "_kind._value_", "_status._status_code._value_"),
    *("_instrumentation_scope", "_resource", "_attributes._dict", "_status._description", "_attributes.dropped"),
    *("_events._dq", "_events.dropped", "_links._dq", "_links.dropped"),
)
"""All of a span of the SDK's own in one step of C; it has ended, so nobody writes to it any more."""

_HELD: Final = 9
_STATE: Final = 4
"""Where the attributes stand in that; and the trace state in a `SpanContext`, a tuple that begins with its trace."""

Column: TypeAlias = tuple[Any, ...]


class Columns(NamedTuple):
    """What every span has, of many spans."""

    contexts: Column
    parents: Column
    starts: Column
    ends: Column
    names: Column
    kinds: Column
    statuses: Column
    scopes: Column
    resources: Column


class Group(msgspec.Struct):
    """Spans that say the same kinds of things, and nothing out of the way.

    Attributes:
        spans: Themselves.
        heads: What each has of `Columns`.
        own: What its plan takes out of its attributes as its own.
        common: What it takes out of them that many share.
    """

    spans: list[ReadableSpan] = []
    heads: list[Values] = []
    own: list[Values] = []
    common: list[Values] = []

    def columns(self) -> Columns:
        """The heads, column by column."""
        return Columns(*zip(*self.heads, strict=True))

    def only(self, chosen: Sequence[object]) -> Self:
        """Those for which ``chosen`` holds something."""
        return type(self)(*([*compress(each, chosen)] for each in msgspec.structs.astuple(self)))


Groups: TypeAlias = Mapping[tuple[Plan, int], Group]
"""By plan and flags that tell where the parents are."""


class _Sized(msgspec.Struct):
    """Spans with equally many attributes."""

    spans: list[ReadableSpan] = []
    heads: list[Values] = []
    attributes: list[Mapping[str, Any]] = []


def sort(spans: Sequence[ReadableSpan], plans: Plans) -> tuple[Groups, list[ReadableSpan]]:
    """Spans that go together, and those that are odd."""
    groups: defaultdict[tuple[Plan, int], Group] = defaultdict(Group)
    sized, odd = _sized(spans)
    for (_, place), some in sized.items():
        if not _put(groups, place, plans, some):
            for span, head, attributes in zip(some.spans, some.heads, some.attributes, strict=True):
                if not _put(groups, place, plans, _Sized([span], [head], [attributes])):
                    odd.append(span)
    return groups, odd


def place_of(parent: SpanContext) -> int:
    """The flags that tell where the parent was."""
    return HAS_PLACE | IS_REMOTE if parent.is_remote else HAS_PLACE


def _sized(spans: Sequence[ReadableSpan]) -> tuple[Mapping[tuple[int, int], _Sized], list[ReadableSpan]]:
    """Usual spans by the number of their attributes and the parent's place; and the others."""
    sized: defaultdict[tuple[int, int], _Sized] = defaultdict(_Sized)
    odd: list[ReadableSpan] = []
    for span in spans:
        try:
            inside = INSIDE(span)
            context, parent, state = inside[0], inside[1], inside[0][_STATE]
        except (AttributeError, TypeError):  # not made by the SDK's tracer
            odd.append(span)
            continue
        if (
            not any(inside[_HELD + 1 :])
            and (state is DEFAULT_TRACE_STATE or not state)
            and (parent is None or parent[0] == context[0])
        ):
            attributes = inside[_HELD]
            some = sized[len(attributes), 0 if parent is None else place_of(parent)]
            some.spans.append(span)
            some.heads.append(inside[:_HELD])
            some.attributes.append(attributes)
        else:
            odd.append(span)
    return sized, odd


def _put(groups: defaultdict[tuple[Plan, int], Group], place: int, plans: Plans, some: _Sized) -> bool:
    """Whether one plan takes all of them, and they are in its group now."""
    found = plans.guess(some.attributes)
    if found is None:
        return False
    plan, own, common = found
    group = groups[plan, place]
    group.spans += some.spans
    group.heads += some.heads
    group.own += own
    group.common += common
    return True
